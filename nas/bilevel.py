"""The bi-level step: architecture on held-out data, weights on training data, in turn.

First order (DARTS, Liu et al., ICLR 2019): the architecture moves down the gradient at the present
weights, without looking through their own step. Second order looks through it (``nas.unrolled``).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nas.unrolled import unrolled_gradients

Loss = Callable[[nn.Module, Any], Tensor]
"""``loss(model, batch)`` returns a number to be made small."""

Gradients = list[Tensor | None]
"""One per parameter; None where the loss does not depend on it."""


class MicroBatches(list[Any]):
    """Batches whose mean makes one half of a step; anything else stands for one batch.

    Only one of them is in memory with its activations at a time.
    """


@dataclass(frozen=True, kw_only=True)
class BiLevelLosses:
    """The two losses of a step, before each of its halves.

    Attributes:
        held_out: of the architecture, without what was added to it; in a step of second order
            after the weights' virtual step.
        training: of the weights.
    """

    held_out: float
    training: float


@dataclass(frozen=True, kw_only=True)
class StepRules:
    """How losses become steps.

    Attributes:
        second_order: look through the next step of the weights.
        clip: largest norm of the weights' gradient; a longer one is shortened to it.
        loss_scale: factor of the loss while it is differentiated, divided out afterwards; a power
            of two keeps small float16 gradients from vanishing and changes nothing else.
        precision: context in which the loss is computed, such as ``torch.autocast``.
        reduce: averages tensors over processes, in place. All processes call it in the same order
            with tensors of the same shapes, so the same parameters must be in use everywhere.

    Raises:
        ValueError: a clip or scale that is not positive.
    """

    second_order: bool = False
    clip: float = math.inf
    loss_scale: float = 1.0
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    reduce: Callable[[list[Tensor]], None] | None = None

    def __post_init__(self) -> None:
        for name in ("clip", "loss_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")


def bilevel_step(
    model: nn.Module,
    loss: Loss,
    *,
    training: Any,
    held_out: Any,
    weights: Optimizer,
    architecture: Optimizer,
    added: Callable[[], Tensor | float] = lambda: 0.0,
    rules: StepRules | None = None,
    judge: Loss | None = None,
) -> BiLevelLosses:
    """Move the architecture on a held-out batch, then the weights on a training batch.

    Args:
        model: trained in place.
        loss: of the model and a batch.
        training: batch for the weights, or ``MicroBatches``.
        held_out: batch for the architecture, of data that the weights are never trained on.
        weights: optimizer of the weights.
        architecture: optimizer of the architecture; no parameter may be in both.
        added: what the architecture's loss has besides, such as an entropy or a cost; called when
            the model has run on the held-out data.
        rules: first order, one process, and nothing clipped unless given.
        judge: loss on the held-out batch; ``loss`` unless given.

    Raises:
        FloatingPointError: a loss or gradient that is not finite; no parameter has been moved by
            it then, in no process.
    """
    rules = rules or StepRules()
    parameters = _parameters(architecture)

    def on_held_out(of: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        return _gradients(model, judge or loss, held_out, of, rules, "held-out", added)

    def on_training(of: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        return _gradients(model, loss, training, of, rules, "training")

    if rules.second_order:
        value, gradients = unrolled_gradients(
            model, parameters, weights, on_training=on_training, on_held_out=on_held_out,
            shorten=lambda found: _shortened(found, rules.clip),
        )  # fmt: skip
    else:
        value, gradients = on_held_out(parameters)
    _move(architecture, gradients)
    return BiLevelLosses(
        held_out=float(value), training=weights_step(model, loss, training, weights, rules)
    )


def weights_step(
    model: nn.Module, loss: Loss, training: Any, weights: Optimizer, rules: StepRules
) -> float:
    """Move the weights alone, and return their loss; arguments as for ``bilevel_step``."""
    value, gradients = _gradients(model, loss, training, _parameters(weights), rules, "training")
    present = [gradient for gradient in gradients if gradient is not None]
    short = iter(_shortened(present, rules.clip))
    _move(weights, [None if gradient is None else next(short) for gradient in gradients])
    return float(value)


def others(model: nn.Module, architecture: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are not the architecture's: the weights."""
    taken = {id(p) for p in architecture}
    return [p for p in model.parameters() if id(p) not in taken]


def _gradients(
    model: nn.Module,
    loss: Loss,
    data: Any,
    parameters: Sequence[Tensor],
    rules: StepRules,
    which: str,
    added: Callable[[], Tensor | float] = lambda: 0.0,
) -> tuple[Tensor, Gradients]:
    """Return the mean loss over micro-batches and processes, and its gradients."""
    batches = data if isinstance(data, MicroBatches) else [data]
    if not batches:
        raise ValueError(f"A step needs {which} data, got no batch.")
    total: Gradients = [None] * len(parameters)
    values = []
    for number, batch in enumerate(batches, start=1):
        with rules.precision():
            value = loss(model, batch)
        values.append(value.detach().float())
        objective = value / len(batches)
        if number == len(batches):
            objective = objective + added()
        found = torch.autograd.grad(objective * rules.loss_scale, parameters, allow_unused=True)
        total = [_sum(old, new) for old, new in zip(total, found, strict=True)]
    mean = torch.stack(values).mean()
    present = [gradient for gradient in total if gradient is not None]
    for gradient in present:
        gradient.div_(rules.loss_scale)
    if rules.reduce is not None:
        # The loss goes along, so that all processes stop together when it is not finite.
        rules.reduce([*present, mean])
    norm = torch.nn.utils.get_total_norm(present)
    if not bool(torch.isfinite(mean) & torch.isfinite(norm)):
        raise FloatingPointError(
            f"On {which} data the loss is {float(mean)} and the norm of its gradient is "
            f"{float(norm)}: lower the step sizes (or the loss scale, with float16) and go on from "
            f"the last state that was kept."
        )
    return mean, total


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """Return the sum in a tensor of its own, as autograd may hand out shared or expanded ones."""
    if new is None:
        return old
    return new.detach().clone() if old is None else old.add_(new)


def _shortened(gradients: Sequence[Tensor], longest: float) -> list[Tensor]:
    """Return gradients of at most this norm together; differentiable."""
    if math.isinf(longest) or not gradients:
        return list(gradients)
    norm = torch.sqrt(torch.stack([g.double().square().sum() for g in gradients]).sum())
    if norm <= longest:
        return list(gradients)
    return [g * (longest / norm).to(g.dtype) for g in gradients]


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _move(optimizer: Optimizer, gradients: Gradients) -> None:
    """Make one step of an optimizer with these gradients of its own parameters."""
    for parameter, gradient in zip(_parameters(optimizer), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
