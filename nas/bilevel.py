"""The bi-level step: architecture on held-out data, weights on training data, in turn.

First order (DARTS, Liu et al., ICLR 2019): the architecture moves down the gradient at the present
weights, without looking through their own step.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Loss = Callable[[nn.Module, Any], Tensor]
"""``loss(model, batch)`` returns a number to be made small."""


@dataclass(frozen=True, kw_only=True)
class BiLevelLosses:
    """The two losses of a step, before each of its halves.

    Attributes:
        held_out: of the architecture, without what was added to it.
        training: of the weights.
    """

    held_out: float
    training: float


def bilevel_step(
    model: nn.Module,
    loss: Loss,
    *,
    training: Any,
    held_out: Any,
    weights: Optimizer,
    architecture: Optimizer,
    added: Callable[[], Tensor | float] = lambda: 0.0,
) -> BiLevelLosses:
    """Move the architecture on a held-out batch, then the weights on a training batch.

    Args:
        model: trained in place.
        loss: of the model and a batch.
        training: batch for the weights.
        held_out: batch for the architecture, of data that the weights are never trained on.
        weights: optimizer of the weights.
        architecture: optimizer of the architecture; no parameter may be in both.
        added: what the architecture's loss has besides, such as an entropy or a cost.

    Raises:
        FloatingPointError: a loss that is not finite; nothing has been moved by it then.
    """
    first = _descend(architecture, loss(model, held_out), added())
    second = _descend(weights, loss(model, training), 0.0)
    return BiLevelLosses(held_out=first, training=second)


def others(model: nn.Module, architecture: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are not the architecture's: the weights."""
    taken = {id(p) for p in architecture}
    return [p for p in model.parameters() if id(p) not in taken]


def _descend(optimizer: Optimizer, value: Tensor, added: Tensor | float) -> float:
    """Make one step of an optimizer; gradients reach its own parameters only."""
    if not torch.isfinite(value):
        raise FloatingPointError(f"The loss is {value.item()}; lower the step sizes.")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = torch.autograd.grad(value + added, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(value.detach())
