"""One Heaviside, many slopes.

The forward pass is always the hard step ``s = 1 if v > 0 else 0`` of the distance ``v = u - V_th``
between membrane potential and threshold. A surrogate is a frozen dataclass that returns the
derivative used in its place in the backward pass.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

SURROGATES: dict[str, type["Surrogate"]] = {}


@runtime_checkable
class Surrogate(Protocol):
    """The slope of the step in the backward pass."""

    name: ClassVar[str]

    def derivative(self, v: Tensor) -> Tensor:
        """Return ds/dv at ``v = u - V_th``, same shape."""


@dataclass(frozen=True)
class Dspike:
    r"""Dspike: a stretched and cut hyperbolic tangent whose integral is one for every temperature.

    .. math:: ds/dv = \frac{b}{2\tanh(b/2)}\,(1-\tanh^2(b v))\quad\text{for } |v| < 1/2

    and zero elsewhere. Small ``b`` is nearly a rectangle, large ``b`` nearly a delta.

    Attributes:
        temperature: ``b``, no unit, positive.

    Reference: Li et al., Differentiable Spike, NeurIPS 2021, in the form that SpikeDHS uses.
    """

    name: ClassVar[str] = "dspike"
    temperature: float = 3.0

    def __post_init__(self) -> None:
        """Refuse a temperature that has no slope."""
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"Dspike needs a positive temperature, got {self.temperature}.")

    def derivative(self, v: Tensor) -> Tensor:
        """Return ds/dv at ``v = u - V_th``, same shape."""
        b = self.temperature
        slope = b / (2.0 * math.tanh(b / 2.0)) * (1.0 - torch.tanh(b * v) ** 2)
        return torch.where(v.abs() < 0.5, slope, torch.zeros_like(slope))


SURROGATES[Dspike.name] = Dspike


class _Heaviside(torch.autograd.Function):
    """Hard step forward, surrogate slope backward."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(v)
        ctx.surrogate = surrogate
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.derivative(v), None


def heaviside(v: Tensor, surrogate: Surrogate) -> Tensor:
    """Return 1 where ``v > 0`` and 0 elsewhere; the surrogate gives the gradient.

    Args:
        v: any shape, ``u - V_th``.
        surrogate: slope of the backward pass.
    """
    return _Heaviside.apply(v, surrogate)  # type: ignore[no-untyped-call,no-any-return]
