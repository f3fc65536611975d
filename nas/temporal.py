"""Temporal search: which type of neuron, with which time constants, decided by gradient descent.

What the paper does here is known as one sentence; this is our design (``nas/README.md`` says why).
A searched neuron is a mixture of types at the membrane update. All candidates share one membrane
and one spike train; each keeps what it has beyond that (adaptation, synaptic current) to itself:

    u_t = sum_k w_k u_t^k,    V_t = sum_k w_k V_th,t^k,    s_t = H(u_t - V_t),
    v_t = sum_k w_k R_k(u_t, s_t)

with ``w = softmax(logits / softness)``. Where one ``w_k`` is 1 this is candidate ``k`` itself, to
the last bit, so a decision changes nothing but the mixture. Time constants are learned within their
range, one per node or per channel, and like the logits belong to the architecture: they are moved
on held-out data (``nas.bilevel``).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import GenotypeError
from nas.genotype import Dynamics
from nas.neurons import NEURONS, LIFParams, Neuron
from nas.surrogate import heaviside

CANDIDATES = ("if", "lif", "leaky", "alif", "current")
"""Types that a search chooses from unless told otherwise; they fire, and differ in equation."""

TIME_CONSTANTS = ("decay", "current_decay", "adaptation_decay")
"""Constants of a type that are searched, where it has them and they are not fixed to the border."""


class SearchedNeuron(nn.Module):
    """A neuron whose type and time constants are searched; a drop-in for a neuron.

    Args:
        params: decay, threshold and surrogate to start from.
        candidates: names in ``NEURONS`` of types with a membrane that fire.
        shape: of the time constants: ``()`` one per node, ``(C, 1, 1)`` one per channel of images.
        softness: of the softmax; 1 at first, smaller ones are closer to a choice.

    Raises:
        ValueError: no candidates, one twice, or one without membrane or spikes.
    """

    emits_spikes = True

    def __init__(
        self,
        params: LIFParams | None = None,
        *,
        candidates: Sequence[str] = CANDIDATES,
        shape: tuple[int, ...] = (),
        softness: float = 1.0,
    ) -> None:
        super().__init__()
        self.params = params or LIFParams()
        types = {name: NEURONS[name](self.params) for name in candidates if name in NEURONS}
        usable = all(isinstance(t, Neuron) and _fires(t) for t in types.values())
        if not candidates or not usable or len(types) != len(candidates):
            raise ValueError(
                f"Candidates must be different types with a membrane that fire, got "
                f"{list(candidates)}; choose from {sorted(n for n in NEURONS if _usable(n))}."
            )
        self.candidates = tuple(candidates)
        self.types = nn.ModuleDict({n: _searched(t, shape) for n, t in types.items()})
        self.logits = nn.Parameter(torch.zeros(len(candidates)))
        self.softness = softness
        self.choice: Tensor
        self.register_buffer("choice", torch.tensor(-1))

    def weights(self) -> Tensor:
        """Return ``[K]`` weights of the candidates, which sum to 1; one is 1 once decided."""
        choice = int(self.choice)
        if choice >= 0:
            return torch.eye(len(self.candidates), device=self.logits.device)[choice]
        return torch.softmax(self.logits / self.softness, 0)

    def entropy(self) -> Tensor:
        """Return the entropy of the weights in nats, 0 for a decision."""
        w = self.weights()
        return -(w * torch.log(w.clamp_min(torch.finfo(w.dtype).tiny))).sum()

    def forward(self, x: Tensor) -> Tensor:
        """Return spikes ``[T, B, ...]`` of neurons at rest that receive ``x``."""
        return self.scan(x, None)[0]

    def scan(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return spikes ``[T, B, ...]`` and the state after them, to hand on with a stream."""
        w = self.weights().unbind()
        mixed = [(t, t.constants(), weight) for t, weight in zip(self._types(), w, strict=True)]
        spikes = []
        for current in x:
            s, state = mixed_step(current, state, mixed, self.params)
            spikes.append(s)
        return (torch.stack(spikes) if spikes else torch.zeros_like(x)), state

    def decide(self, choice: str | None = None) -> str:
        """End the search of the type: from now on one candidate has all the weight.

        Args:
            choice: the candidate; the heaviest unless given.

        Returns:
            Its name.
        """
        index = int(self.logits.argmax()) if choice is None else self.candidates.index(choice)
        self.choice.fill_(index)
        return self.candidates[index]

    def decoded(self) -> Dynamics:
        """Return the heaviest candidate with its constants as they are now."""
        name = self.candidates[int(self.weights().argmax())]
        chosen = self.types[name]
        assert isinstance(chosen, Neuron)
        now = chosen.constants()
        found = {n: _plain(getattr(now, n)) for n in chosen.learned}
        return Dynamics(
            neuron=name,
            decay=found.pop("decay", _plain(now.decay)),
            threshold=_plain(now.threshold),
            temperature=_plain(now.surrogate.temperature),
            constants=found,
        )

    def _types(self) -> list[Neuron]:
        return [t for t in self.types.values() if isinstance(t, Neuron)]

    def extra_repr(self) -> str:
        """Show the weights."""
        shown = zip(self.candidates, self.weights().tolist(), strict=True)
        return ", ".join(f"{name} {weight:.2f}" for name, weight in shown)


def mixed_step(
    x: Tensor,
    state: tuple[Tensor, list[Tensor | None]] | None,
    mixed: Sequence[tuple[Neuron, LIFParams, Tensor]],
    params: LIFParams,
) -> tuple[Tensor, tuple[Tensor, list[Tensor | None]]]:
    r"""Advance a mixture of neuron types by one time step; the equation of this file.

    Args:
        x: input current, any shape.
        state: shared membrane, and what each candidate has beyond it; None for rest.
        mixed: type, constants and weight of each candidate.
        params: whose surrogate gives the slope of the spike.

    Returns:
        Spikes in {0, 1} and the next state.
    """
    rest = torch.zeros_like(x)
    v, before = state or (rest, [rest if len(t.states) > 1 else None for t, *_ in mixed])
    halves = [
        type(t).membrane(x, v, more, constants)
        for (t, constants, _), more in zip(mixed, before, strict=True)
    ]
    weights = [weight for *_, weight in mixed]
    u = sum((w * h[0] for w, h in zip(weights, halves, strict=True)), torch.zeros_like(x))
    level = sum((w * h[1] for w, h in zip(weights, halves, strict=True)), torch.zeros_like(x))
    spikes = heaviside(u - level, params.surrogate)
    after: list[Tensor | None] = []
    v = torch.zeros_like(x)
    for (t, constants, w), (_, _, more) in zip(mixed, halves, strict=True):
        settled, more = type(t).settle(u, level, spikes, more, constants)
        v = v + w * settled
        after.append(more)
    return spikes, (v, after)


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """From a soft mixture to a choice.

    The softness falls from ``first`` to ``last``, by the same factor at each step; the weight of
    the entropy in the loss of the architecture rises linearly from 0 to ``entropy``.

    Attributes:
        steps: length of the search.
        first: softness at its beginning.
        last: softness at its end.
        entropy: weight of the mean entropy, in units of the loss per nat, at the end.
    """

    steps: int
    first: float = 1.0
    last: float = 0.1
    entropy: float = 0.1

    def softness(self, step: int) -> float:
        """Return the softness at a step."""
        return float(self.first * (self.last / self.first) ** self._share(step))

    def entropy_weight(self, step: int) -> float:
        """Return the weight of the entropy at a step."""
        return self.entropy * self._share(step)

    def _share(self, step: int) -> float:
        return min(1.0, max(0.0, step / max(1, self.steps - 1)))


def searched_neurons(model: nn.Module) -> dict[str, SearchedNeuron]:
    """Return the searched neurons of a model by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, SearchedNeuron)}


def temporal_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yield what the temporal search moves: logits and time constants; the rest are weights."""
    for neuron in searched_neurons(model).values():
        yield from neuron.parameters()


def anneal(model: nn.Module, schedule: Annealing, step: int) -> Tensor | float:
    """Set the softness of a step, and return the entropy term of the architecture's loss."""
    neurons = searched_neurons(model).values()
    for neuron in neurons:
        neuron.softness = schedule.softness(step)
    if not neurons:
        return 0.0
    entropy = torch.stack([neuron.entropy() for neuron in neurons]).mean()
    return schedule.entropy_weight(step) * entropy


def decode(model: nn.Module) -> dict[str, Dynamics]:
    """Decide every searched neuron of a model; return what was found, by name."""
    found = {}
    for name, neuron in searched_neurons(model).items():
        neuron.decide()
        found[name] = neuron.decoded()
    return found


def replace_searched(model: nn.Module, found: Mapping[str, Dynamics]) -> None:
    """Put plain neurons with the constants found in place of the searched ones, in place.

    Args:
        model: with searched neurons.
        found: by name, as ``decode`` returns.
    """
    for name, searched in searched_neurons(model).items():
        parent, _, own = name.rpartition(".")
        dimension = max((p.ndim - 1 for p in searched.parameters() if p is not searched.logits),
                        default=0)  # fmt: skip
        setattr(model.get_submodule(parent), own, found[name].build(max(dimension, 0)))


def _fires(module: nn.Module) -> bool:
    return bool(getattr(module, "emits_spikes", False))


def _usable(name: str) -> bool:
    made = NEURONS[name](LIFParams())
    return isinstance(made, Neuron) and _fires(made)


def _searched(neuron: nn.Module, shape: tuple[int, ...]) -> Neuron:
    """Return the same neuron with its time constants learned."""
    if not isinstance(neuron, Neuron):
        raise GenotypeError(f"{type(neuron).__name__} has no time constants.")
    own = neuron.constants()
    values = {f.name: getattr(own, f.name) for f in fields(own)}
    for name in TIME_CONSTANTS:
        if isinstance(values.get(name), Tensor):
            values[name] = values[name].detach().mean().item()
    free = {n: shape for n in TIME_CONSTANTS if 0 < values.get(n, 0.0) < 1}
    return type(neuron)(type(own)(**values), learn=free, backend="reference")


def _plain(value: float | Tensor) -> float | tuple[float, ...]:
    """Return a constant as JSON has it: one number, or one per channel."""
    if not isinstance(value, Tensor):
        return float(value)
    numbers = [float(v) for v in value.detach().reshape(-1).tolist()]
    if value.numel() != 1 and value.numel() != value.shape[0]:
        raise GenotypeError(
            f"A genotype holds one constant per node or per channel, got one of shape "
            f"{tuple(value.shape)}."
        )
    if any(not math.isfinite(number) for number in numbers):
        raise GenotypeError("A searched time constant is not finite; lower the step of the search.")
    return numbers[0] if value.numel() == 1 else tuple(numbers)
