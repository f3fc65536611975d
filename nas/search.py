"""The search: weights and architecture of a relaxed network in turn, under a budget, resumable.

It knows the network by its parameters and by callables, so it serves any task and any search space.
What a step sees depends on its number only, and so does what it draws: an interrupted search goes
on from its state exactly as if nothing had happened.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nas.bilevel import Loss, MicroBatches, StepRules, bilevel_step, others, weights_step
from nas.budget import Budget, Multiplier
from nas.search_config import Row, SearchConfig, SearchHistory, step_seed
from nas.temporal import Annealing


@runtime_checkable
class Stateful(Protocol):
    """What else must be kept to go on identically, such as the running counts of a cost."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return plain numbers, text and tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> Any:
        """Go on from there."""
        ...


def search(
    model: nn.Module,
    config: SearchConfig,
    *,
    training: Callable[[int], Any],
    held_out: Callable[[int], Any],
    loss: Loss,
    architecture: Sequence[nn.Parameter],
    cost: Callable[[], Tensor] | None = None,
    measure: Callable[[], None] | None = None,
    entropy: Callable[[], Mapping[str, Tensor]] = dict,
    budget: Budget | None = None,
    anneal: Callable[[float], None] = lambda _softness: None,
    extra: Mapping[str, Stateful] | None = None,
    state: Mapping[str, Any] | None = None,
    save: Callable[[int, Mapping[str, Any]], None] = lambda _done, _state: None,
    report: Callable[[int, Mapping[str, float]], None] = lambda _done, _row: None,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
    reduce: Callable[[list[Tensor]], None] | None = None,
    judge: Loss | None = None,
    early: Loss | None = None,
) -> SearchHistory:
    """Search: move weights on training data and the architecture on held-out data, in turn.

    Args:
        model: relaxed network, moved in place; in training mode.
        config: how.
        training: batch of a number for the weights; a step asks for ``accumulate`` of them.
        held_out: likewise for the architecture, of other data.
        loss: of the model and a batch.
        judge: loss that moves the architecture; the same unless given (``nas.relaxed.score``).
        early: loss of the weights in the first ``config.rectified`` steps; the same unless given.
        architecture: parameters of the model that are searched; all others are its weights.
        cost: expected cost at the present beliefs, differentiable, in the unit of the budget.
        measure: refreshes the counts behind the cost, from the same data in all processes.
        entropy: entropies of the choices in nats, by name.
        budget: what the cost should stay below.
        anneal: sets the softness of all choices.
        extra: what is kept in the state besides, by name.
        state: what ``save`` was given, to go on from there.
        save: keeps a state, of this moment only: write or copy it before returning.
        report: called after every step, with the number of steps done.
        precision: context in which losses are computed, such as ``torch.autocast``.
        reduce: averages tensors over processes, in place (``nas.synced.average_gradients``).

    Returns:
        The history from the first step on.

    Raises:
        ValueError: a budget without cost, parameters not of the model, a state of another search.
        FloatingPointError: a loss, gradient or cost that is not finite; it has moved nothing.
    """
    run = _Run(model, config, architecture, budget, cost, extra, _rules(config, precision, reduce))
    run.losses = loss, judge or loss, early or loss
    run.restore(state)
    schedule = _annealing(config)
    anneal(schedule.softness(run.done - config.warmup - 1))
    with torch.random.fork_rng(_cuda_devices(model)):
        while run.done < config.steps:
            step, began = run.done, perf_counter()
            rate, searching = run.begin(step), step - config.warmup
            if searching < 0:
                row = run.warm(_batches(training, step, config))
            else:
                anneal(schedule.softness(searching))
                if measure is not None and searching % config.measure_every == 0:
                    measure()
                data = _batches(training, step, config), _batches(held_out, step, config)
                row = run.step(*data, entropy, schedule.entropy_weight(searching))
                row["softness"] = schedule.softness(searching)
            run.finish({"step": float(step), **row, "lr": rate, "seconds": perf_counter() - began})
            if run.due:
                save(run.done, run.state())
            report(run.done, run.history.rows[-1])
    return run.history


class _Run:
    """What moves in a search, and its state."""

    losses: tuple[Loss, Loss, Loss]  # of the weights, of the architecture, of the weights at first

    def __init__(
        self,
        model: nn.Module,
        config: SearchConfig,
        architecture: Sequence[nn.Parameter],
        budget: Budget | None,
        cost: Callable[[], Tensor] | None,
        extra: Mapping[str, Stateful] | None,
        rules: StepRules,
    ) -> None:
        own = {id(p) for p in model.parameters()}
        if not architecture or any(id(p) not in own for p in architecture):
            raise ValueError("The architecture is a part of the model's parameters, at least one.")
        if budget is not None and cost is None:
            raise ValueError(f"To keep to {budget} the search needs the cost; give cost=.")
        self.model, self.config, self.done, self.cost = model, config, 0, cost
        self.extra = dict(extra or {})
        # A short search has to come below its budget before its choices harden.
        period = max(4, min(20, (config.steps - config.warmup) // 25))
        self.multiplier = None if budget is None else Multiplier(budget, period=period)
        self.rules = rules
        self._identity = config.identity() | {"budget": None if budget is None else str(budget)}
        moved = [p for p in others(model, architecture) if p.requires_grad]
        self.weights = _weights_optimizer(config, moved)
        self.architecture: Optimizer = Adam(
            architecture, lr=config.arch_lr, betas=config.arch_betas,
            weight_decay=config.arch_weight_decay,
        )  # fmt: skip
        self.history = SearchHistory()

    def begin(self, step: int) -> float:
        """Set the chance and the learning rate of a step; return the latter."""
        torch.manual_seed(step_seed(self.config.seed, step))
        rate = self.config.learning_rate(step)
        for group in self.weights.param_groups:
            group["lr"] = rate
        return rate

    def warm(self, training: Any) -> Row:
        """Move the weights alone."""
        loss, _, early = self.losses
        loss = early if self.done < self.config.rectified else loss
        return {"training": weights_step(self.model, loss, training, self.weights, self.rules)}

    def step(
        self,
        training: Any,
        held_out: Any,
        entropy: Callable[[], Mapping[str, Tensor]],
        entropy_weight: float,
    ) -> Row:
        """Move the architecture, with its entropy and cost, and then the weights."""
        row: Row = {}

        def added() -> Tensor | float:
            total: Tensor | float = 0.0
            entropies = dict(entropy())
            if entropies:
                mean = torch.stack(list(entropies.values())).mean()
                total = entropy_weight * mean
                row.update({f"entropy/{n}": float(e.detach()) for n, e in entropies.items()})
                row["entropy"] = float(mean.detach())
            if self.cost is not None:
                expected = self.cost()
                row["cost"] = self._averaged(expected)
                if self.multiplier is not None:
                    total = total + self.multiplier.added(expected)
            return total

        loss, judge, _ = self.losses
        found = bilevel_step(
            self.model, loss, training=training, held_out=held_out, weights=self.weights,
            architecture=self.architecture, added=added, rules=self.rules, judge=judge,
        )  # fmt: skip
        if self.multiplier is not None:
            self.multiplier.update(row["cost"])
            row |= {"multiplier": self.multiplier.value, "penalty": self.multiplier.penalty}
        return {"training": found.training, "held_out": found.held_out, **row}

    def finish(self, row: Row) -> None:
        """Note a step as done."""
        self.done += 1
        self.history.rows.append(row)

    @property
    def due(self) -> bool:
        """Whether the state is to be kept now."""
        every = self.config.checkpoint_every or math.inf
        return self.done == self.config.steps or self.done % every == 0

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the search depends on, and the history so far."""
        return {
            "done": self.done,
            "config": self._identity,
            "model": self.model.state_dict(),
            "weights": self.weights.state_dict(),
            "architecture": self.architecture.state_dict(),
            "multiplier": None if self.multiplier is None else self.multiplier.state_dict(),
            "extra": {name: dict(part.state_dict()) for name, part in self.extra.items()},
            "history": [dict(row) for row in self.history.rows],
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        theirs = {**state["config"], "extra": sorted(state["extra"])}
        ours = {**self._identity, "extra": sorted(self.extra)}
        different = [n for n in sorted({*theirs, *ours}) if theirs.get(n) != ours.get(n)]
        if different:
            told = ", ".join(f"{n} {theirs.get(n)} there, {ours.get(n)} here" for n in different)
            raise ValueError(f"The state is of another search ({told}); begin anew or change that.")
        self.done = int(state["done"])
        self.model.load_state_dict(state["model"])
        self.weights.load_state_dict(state["weights"])
        self.architecture.load_state_dict(state["architecture"])
        if self.multiplier is not None:
            self.multiplier.load_state_dict(state["multiplier"])
        for name, part in self.extra.items():
            part.load_state_dict(state["extra"][name])
        self.history.rows.extend(dict(row) for row in state["history"])

    def _averaged(self, expected: Tensor) -> float:
        """Return the cost as all processes see it, so that their multipliers stay the same."""
        value = expected.detach().clone()
        if self.rules.reduce is not None:
            self.rules.reduce([value])
        if not math.isfinite(float(value)):
            raise FloatingPointError(
                f"The expected cost is {float(value)}: look at what measure() counted last."
            )
        return float(value)


def _rules(
    config: SearchConfig,
    precision: Callable[[], AbstractContextManager[Any]],
    reduce: Callable[[list[Tensor]], None] | None,
) -> StepRules:
    return StepRules(
        second_order=config.second_order, clip=config.clip, loss_scale=config.loss_scale,
        precision=precision, reduce=reduce,
    )  # fmt: skip


def _annealing(config: SearchConfig) -> Annealing:
    """Return softness and weight of the entropy over the steps of the architecture."""
    return Annealing(
        steps=config.steps - config.warmup, first=config.softness, last=config.softness_last,
        entropy=config.entropy,
    )  # fmt: skip


def _weights_optimizer(config: SearchConfig, weights: list[nn.Parameter]) -> Optimizer:
    if config.optimizer == "sgd":
        return SGD(
            weights, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    return AdamW(
        weights, lr=config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay
    )


def _batches(source: Callable[[int], Any], step: int, config: SearchConfig) -> Any:
    """Return what a step sees."""
    if config.accumulate == 1:
        return source(step)
    first = step * config.accumulate
    return MicroBatches(source(first + n) for n in range(config.accumulate))


def _cuda_devices(model: nn.Module) -> list[int]:
    """Return the devices whose generators the seeds of steps reach."""
    return sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
