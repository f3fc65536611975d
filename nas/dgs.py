"""DGS: the temperature of every spiking layer's surrogate, searched during training.

A temperature changes nothing in the forward pass, so it is judged by the weights that it leads to:
with each candidate the layer's own weights make one step on a training batch, and a held-out batch
says which step was good. The idea is that of SpikeDHS (Che et al., NeurIPS 2022), who do it for
the stem; here every layer takes part, and nothing of the model is copied or changed until a
temperature is chosen.

Candidates are mixed by their weights, ``W = sum_k a_k W_k`` with ``a`` a softmax: a synapse is
linear in its weights, so that these are the candidates' currents mixed at the membrane (where a
batch norm follows, to first order in the step).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.bilevel import Loss
from nas.look_ahead import Pass, Weights, loss_with, step_ahead
from nas.neurons import Neuron

Ahead = Mapping[str, Sequence[Weights]]
"""By name of the neuron, the layer's weights after the step of each candidate."""

Reduce = Callable[[Sequence[Tensor]], None]
"""Averages tensors over processes, in place; as in ``nas.bilevel.StepRules``."""


@dataclass(frozen=True, kw_only=True)
class DGS:
    """How temperatures are searched.

    Attributes:
        step: from one candidate to the next, no unit.
        reach: candidates on either side of the present temperature.
        low: least temperature.
        high: largest temperature.
        every: training steps from one round to the next.
        first: training step of the first round.
        batches: of a round, training and held out, as many of each; few mean a noisy choice.
        layers: pattern of the names of neurons that take part, as in a file system.
        look_ahead: length of the step of the weights, as a share of their norm.
        judge: "mixed" moves the shares of mixed candidates down the gradient of the held-out loss,
            as published; "loss" compares the held-out loss of every candidate by itself, one
            forward pass for each layer and candidate, and needs no surrogate to judge surrogates;
            "gradient" moves the temperature itself, down the gradient of the held-out loss through
            the step (a hypergradient): no candidates, the cheapest, and any temperature can result.
        rate: step size of Adam on the shares, or on the logarithm of the temperature.
    """

    step: float = 0.2
    reach: int = 2
    low: float = 1.0
    high: float = 6.0
    every: int = 500
    first: int = 500
    batches: int = 20
    layers: str = "*"
    look_ahead: float = 0.01
    judge: str = "mixed"
    rate: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a search that cannot move."""
        if not (self.step > 0 and self.reach > 0 and 0 < self.low < self.high):
            raise ValueError(
                f"DGS needs a positive step and reach and 0 < low < high, got step {self.step}, "
                f"reach {self.reach}, range {self.low} to {self.high}."
            )
        if self.batches < 1 or self.every < 1 or not self.look_ahead > 0 or not self.rate > 0:
            raise ValueError("DGS needs batches, every, look_ahead and rate above zero.")
        if self.judge not in JUDGES:
            raise ValueError(f"DGS judges by {', '.join(sorted(JUDGES))}; got {self.judge!r}.")

    def due(self, step: int) -> bool:
        """Return whether a round comes before this training step."""
        return step >= self.first and (step - self.first) % self.every == 0

    def candidates(self, temperature: float) -> list[float]:
        """Return the temperatures to compare in increasing order, the present one among them."""
        near = (temperature + self.step * k for k in range(-self.reach, self.reach + 1))
        return sorted({min(self.high, max(self.low, b)) for b in near})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a round found for one layer.

    Attributes:
        before: temperature until then.
        after: temperature from then on.
        candidates: that were compared; empty for a hypergradient.
        scores: of each, larger is better: final shares, or minus the mean held-out loss.
    """

    before: float
    after: float
    candidates: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()


def search_temperatures(
    model: nn.Module,
    loss: Loss,
    training: Sequence[Any],
    held_out: Sequence[Any],
    dgs: DGS,
    *,
    reduce: Reduce | None = None,
) -> dict[str, Choice]:
    """Make one round of DGS and set the temperature found for every layer.

    Args:
        model: its temperatures are set; weights, running statistics and mode stay as they are.
        loss: of the model and a batch.
        training: batches for the look ahead, at least ``dgs.batches``.
        held_out: as many batches to judge by.
        dgs: how.
        reduce: averages over processes that share the batches; all of them find then what one finds
            with the whole batches.

    Returns:
        What was found, by name of the neuron. Not in it are neurons that the model did not call,
        and those without weights of their own (behind a plain pool), which have no step to judge.

    Raises:
        ValueError: no layer matches, a temperature is learned or not one number, too few batches,
            or several processes with a judge that works in one only.
    """
    if reduce is not None and dgs.judge == "gradient":
        raise ValueError(
            "The judge 'gradient' differentiates twice, and norms that several processes share "
            "(nas.synced) cannot be; judge by mixed or loss, or use one process."
        )
    neurons = temperature_layers(model, dgs.layers)
    if min(len(training), len(held_out)) < dgs.batches:
        raise ValueError(
            f"A round needs {dgs.batches} training and held-out batches, got {len(training)} and "
            f"{len(held_out)}."
        )
    present = {name: temperature_of(neuron) for name, neuron in neurons.items()}
    judge = JUDGES[dgs.judge](present, dgs, reduce or _keep)
    for n in range(dgs.batches):
        passed = Pass(model, loss, training[n])
        judge.batch(model, passed, partial(loss_with, model, loss, held_out[n]))
    found: dict[str, Choice] = judge.choices()
    for name, choice in found.items():
        neurons[name].set_temperature(choice.after)
    return found


def temperature_layers(model: nn.Module, pattern: str = "*") -> dict[str, Neuron]:
    """Return the neurons of a model that fire and whose names match, in the model's order.

    Raises:
        ValueError: there are none.
    """
    found = {
        name: module for name, module in model.named_modules()
        if isinstance(module, Neuron) and module.emits_spikes and fnmatch(name, pattern)
    }  # fmt: skip
    if not found:
        raise ValueError(f"No spiking neuron of the model has a name like {pattern!r}.")
    return found


def temperature_of(neuron: Neuron) -> float:
    """Return a neuron's temperature.

    Raises:
        ValueError: it is learned by gradient, or there is more than one.
    """
    value = neuron.constants().surrogate.temperature
    if "temperature" in neuron.learned or (isinstance(value, Tensor) and value.numel() != 1):
        raise ValueError(
            "DGS searches one temperature per layer, fixed during a step; this neuron learns its "
            "own, or has one per channel. Leave it out with DGS(layers=...)."
        )
    return float(value)


def _keep(_: Sequence[Tensor]) -> None:
    """Average over one process."""


class _Compared:
    """What the judges of candidates share."""

    def __init__(self, present: Mapping[str, float], dgs: DGS, reduce: Reduce) -> None:
        self.dgs = dgs
        self.reduce = reduce
        self.present = present
        self.candidates = {name: dgs.candidates(b) for name, b in present.items()}
        self.judged: dict[str, None] = {}

    def batch(self, model: nn.Module, passed: Pass, held_out: Callable[[Weights], Tensor]) -> None:
        """Judge the candidates of all layers on one batch."""
        length = self.dgs.look_ahead
        ahead: dict[str, list[Weights]] = {}
        for name in passed.names:
            if name not in self.present:
                continue
            gradients = [passed.gradient(name, b) for b in self.candidates[name]]
            self.reduce([g for gradient in gradients for g in gradient.values()])
            if gradients[0]:  # without weights of its own there is no step
                ahead[name] = [step_ahead(model, gradient, length) for gradient in gradients]
        self.judged |= dict.fromkeys(ahead)
        if ahead:
            self.judge(ahead, held_out)

    def judge(self, ahead: Ahead, held_out: Callable[[Weights], Tensor]) -> None:
        """Add the evidence of one batch."""
        raise NotImplementedError

    def scores(self, name: str) -> list[float]:
        """Return the scores of a layer's candidates."""
        raise NotImplementedError

    def choices(self) -> dict[str, Choice]:
        """Return the best candidates; of equal ones the present temperature."""
        found = {}
        for name in self.judged:
            scores, candidates = self.scores(name), self.candidates[name]
            before = self.present[name]
            ranks = [(score, b == before) for score, b in zip(scores, candidates, strict=True)]
            after = candidates[ranks.index(max(ranks))]
            found[name] = Choice(before=before, after=after, candidates=tuple(candidates),
                                 scores=tuple(scores))  # fmt: skip
        return found


class _Mixed(_Compared):
    """The shares of mixed candidates, moved down the gradient of the held-out loss."""

    def __init__(self, present: Mapping[str, float], dgs: DGS, reduce: Reduce) -> None:
        super().__init__(present, dgs, reduce)
        self.logits = {name: torch.zeros(len(c), requires_grad=True)
                       for name, c in self.candidates.items()}  # fmt: skip
        self.adam = torch.optim.Adam(self.logits.values(), lr=dgs.rate)

    def judge(self, ahead: Ahead, held_out: Callable[[Weights], Tensor]) -> None:
        """Mix the candidates of all layers at once."""
        mixed: Weights = {}
        for name, steps in ahead.items():
            shares = torch.softmax(self.logits[name], 0)
            for parameter in steps[0]:
                stacked = torch.stack([step[parameter] for step in steps])
                mixed[parameter] = torch.tensordot(shares.to(stacked), stacked, 1)
        logits = [self.logits[name] for name in ahead]
        gradients = torch.autograd.grad(held_out(mixed), logits, allow_unused=True)
        self.reduce([gradient for gradient in gradients if gradient is not None])
        self.adam.zero_grad()  # a layer that this batch says nothing about stays
        for logit, gradient in zip(logits, gradients, strict=True):
            logit.grad = gradient
        self.adam.step()

    def scores(self, name: str) -> list[float]:
        """Return the shares."""
        return torch.softmax(self.logits[name].detach(), 0).tolist()


class _Losses(_Compared):
    """The held-out loss of every candidate by itself."""

    def __init__(self, present: Mapping[str, float], dgs: DGS, reduce: Reduce) -> None:
        super().__init__(present, dgs, reduce)
        self.totals = {name: [0.0] * len(c) for name, c in self.candidates.items()}

    def judge(self, ahead: Ahead, held_out: Callable[[Weights], Tensor]) -> None:
        """Run the model once for each layer and candidate."""
        with torch.no_grad():
            for name, steps in ahead.items():
                losses = torch.stack([held_out(step).double() for step in steps])
                self.reduce([losses])
                for k, value in enumerate(losses.tolist()):
                    self.totals[name][k] += value

    def scores(self, name: str) -> list[float]:
        """Return minus the mean losses."""
        return [-total / self.dgs.batches for total in self.totals[name]]


class _Gradient:
    """The hypergradient: how the agreement of a layer's step with the held-out data turns with b.

    With steps of one length the held-out loss falls, to first order, by their length times the
    cosine between the gradient on the training batch, which depends on the temperature, and that
    on the held-out batch.
    """

    def __init__(self, present: Mapping[str, float], dgs: DGS, reduce: Reduce) -> None:
        del reduce  # one process only
        self.present = present
        self.dgs = dgs
        self.logarithms = {
            name: torch.tensor(b).log().requires_grad_() for name, b in present.items()
        }
        self.adam = torch.optim.Adam(self.logarithms.values(), lr=dgs.rate)
        self.judged: dict[str, None] = {}

    def batch(self, model: nn.Module, passed: Pass, held_out: Callable[[Weights], Tensor]) -> None:
        """Move the temperatures of all layers by one batch."""
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(held_out({}), list(parameters.values()), allow_unused=True)
        wanted = {n: g for n, g in zip(parameters, found, strict=True) if g is not None}
        self.adam.zero_grad()  # a layer that this batch says nothing about stays
        for name in passed.names:
            if name not in self.present:
                continue
            logarithm = self.logarithms[name]
            gradient = passed.gradient(name, logarithm.exp())
            shared = [p for p in gradient if p in wanted]
            if not shared:  # without weights of its own there is no step
                continue
            self.judged[name] = None
            agreement = torch.cosine_similarity(
                torch.cat([gradient[p].flatten() for p in shared]),
                torch.cat([wanted[p].flatten() for p in shared]), dim=0,
            )  # fmt: skip
            (logarithm.grad,) = torch.autograd.grad(-agreement, logarithm)
        self.adam.step()
        ends = torch.tensor([self.dgs.low, self.dgs.high]).log()
        for name in self.judged:
            self.logarithms[name].data.clamp_(ends[0], ends[1])

    def choices(self) -> dict[str, Choice]:
        """Return where the temperatures have come to."""
        return {
            name: Choice(
                before=self.present[name], after=float(self.logarithms[name].detach().exp())
            )
            for name in self.judged
        }


JUDGES: dict[str, Callable[[Mapping[str, float], DGS, Reduce], Any]] = {
    "mixed": _Mixed,
    "loss": _Losses,
    "gradient": _Gradient,
}
"""By the name that ``DGS.judge`` uses."""
