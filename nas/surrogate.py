"""One Heaviside, many slopes.

The forward pass is always the hard step ``s = 1 if v > 0 else 0`` of the distance ``v = u - V_th``
between membrane potential and threshold. A surrogate is a frozen dataclass with a temperature
``b``; it stands for a soft step ``S_b(v)``, and gives two derivatives of it: ``dS/dv``, which takes
the place of the step's own in the backward pass, and ``dS/db``, by which the temperature itself can
be learned. The larger ``b``, the steeper and narrower the slope.

To add one, subclass ``Surrogate`` and ``register`` it.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

Kind = TypeVar("Kind", bound="type[Surrogate]")

SURROGATES: dict[str, type["Surrogate"]] = {}


def register(kind: Kind) -> Kind:
    """Enter a surrogate in ``SURROGATES`` under its name, which must be new."""
    if kind.name in SURROGATES:
        raise ValueError(f"There already is a surrogate named {kind.name!r}.")
    SURROGATES[kind.name] = kind
    return kind


@dataclass(frozen=True, eq=False)
class Surrogate(ABC):
    """The slope of the step in the backward pass.

    Attributes:
        name: key in ``SURROGATES``.
        temperature: ``b``, no unit, positive; a number, or a tensor that broadcasts against the
            membrane (one per layer, or per channel as ``[C, 1, 1]``), which may require gradients.

    Raises:
        ValueError: a number that is not positive and finite.
    """

    name: ClassVar[str]
    temperature: float | Tensor

    def __post_init__(self) -> None:
        """Refuse a temperature that has no slope."""
        b = self.temperature
        if not isinstance(b, Tensor) and not (b > 0 and math.isfinite(b)):
            raise ValueError(f"{type(self).__name__} needs a positive temperature, got {b}.")

    @staticmethod
    @abstractmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv at ``v = u - V_th``."""

    @staticmethod
    @abstractmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db at ``v = u - V_th``."""

    @staticmethod
    @abstractmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return the soft step S, which is 1/2 at ``v = 0``."""

    def derivative(self, v: Tensor) -> Tensor:
        """Return ds/dv at ``v = u - V_th`` for this temperature, same shape."""
        return self.slope(v, torch.as_tensor(self.temperature, dtype=v.dtype, device=v.device))


@register
@dataclass(frozen=True, eq=False)
class Dspike(Surrogate):
    r"""Dspike: a stretched and cut hyperbolic tangent whose integral is one for every temperature.

    .. math:: ds/dv = \frac{b}{2\tanh(b/2)}\,(1-\tanh^2(b v))\quad\text{for } |v| < 1/2

    and zero elsewhere. Small ``b`` is nearly a rectangle, large ``b`` nearly a delta.

    Reference: Li et al., Differentiable Spike, NeurIPS 2021, in the form that SpikeDHS uses.
    """

    name: ClassVar[str] = "dspike"
    temperature: float | Tensor = 3.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        inner = b / (2.0 * torch.tanh(b / 2.0)) * (1.0 - torch.tanh(b * v) ** 2)
        return torch.where(v.abs() < 0.5, inner, 0.0)

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db of S = tanh(b v) / (2 tanh(b/2)) + 1/2."""
        end, here = torch.tanh(b / 2.0), torch.tanh(b * v)
        inner = v * (1.0 - here**2) / (2.0 * end) - here * (1.0 - end**2) / (4.0 * end**2)
        return torch.where(v.abs() < 0.5, inner, 0.0)

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        inside = v.clamp(-0.5, 0.5)
        return torch.tanh(b * inside) / (2.0 * torch.tanh(b / 2.0)) + 0.5


@register
@dataclass(frozen=True, eq=False)
class Triangle(Surrogate):
    r"""Triangle: :math:`ds/dv = b \max(0, 1 - b |v|)`, of width 2/b and integral one.

    Reference: Esser et al., Convolutional networks for fast, energy-efficient neuromorphic
    computing, PNAS 2016.
    """

    name: ClassVar[str] = "triangle"
    temperature: float | Tensor = 1.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        return b * (1.0 - b * v.abs()).clamp(min=0.0)

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db = v/b dS/dv, as for every S that depends on b v alone."""
        return v * (1.0 - b * v.abs()).clamp(min=0.0)

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        z = (b * v).clamp(-1.0, 1.0)
        return 0.5 + z - 0.5 * z * z.abs()


@register
@dataclass(frozen=True, eq=False)
class Arctan(Surrogate):
    r"""Arctan: :math:`ds/dv = \frac{b}{2} / (1 + (\frac{\pi}{2} b v)^2)`, integral one.

    Reference: Fang et al., Incorporating learnable membrane time constant, ICCV 2021 (alpha = b).
    """

    name: ClassVar[str] = "arctan"
    temperature: float | Tensor = 2.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        return 0.5 * b / (1.0 + (0.5 * math.pi * b * v) ** 2)

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db."""
        return 0.5 * v / (1.0 + (0.5 * math.pi * b * v) ** 2)

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        return torch.atan(0.5 * math.pi * b * v) / math.pi + 0.5


@register
@dataclass(frozen=True, eq=False)
class Sigmoid(Surrogate):
    r"""Logistic function: :math:`ds/dv = b\,\sigma(b v)\,(1 - \sigma(b v))`, integral one."""

    name: ClassVar[str] = "sigmoid"
    temperature: float | Tensor = 4.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        return b * torch.sigmoid(b * v) * torch.sigmoid(-b * v)

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db."""
        return v * torch.sigmoid(b * v) * torch.sigmoid(-b * v)

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        return torch.sigmoid(b * v)


@register
@dataclass(frozen=True, eq=False)
class Rectangle(Surrogate):
    r"""Rectangle: :math:`ds/dv = b` for :math:`|v| < 1/(2b)`, integral one.

    Reference: Wu et al., Spatio-temporal backpropagation, Frontiers 2018 (width a = 1/b).
    """

    name: ClassVar[str] = "rectangle"
    temperature: float | Tensor = 1.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        return torch.where((b * v).abs() < 0.5, b, 0.0)

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db."""
        return torch.where((b * v).abs() < 0.5, v, 0.0)

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        return (b * v).clamp(-0.5, 0.5) + 0.5


@register
@dataclass(frozen=True, eq=False)
class SuperSpike(Surrogate):
    r"""SuperSpike: :math:`ds/dv = 1 / (1 + b |v|)^2`; its peak is one and its integral 2/b.

    Reference: Zenke and Ganguli, SuperSpike, Neural Computation 2018.
    """

    name: ClassVar[str] = "superspike"
    temperature: float | Tensor = 10.0

    @staticmethod
    def slope(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/dv."""
        return 1.0 / (1.0 + b * v.abs()) ** 2

    @staticmethod
    def by_temperature(v: Tensor, b: Tensor) -> Tensor:
        """Return dS/db of S = v / (1 + b |v|) + 1/2."""
        return -v * v.abs() / (1.0 + b * v.abs()) ** 2

    @staticmethod
    def soft(v: Tensor, b: Tensor) -> Tensor:
        """Return S."""
        return v / (1.0 + b * v.abs()) + 0.5


class _Heaviside(torch.autograd.Function):
    """Hard step forward, the two derivatives of the soft one backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, b: Tensor, kind: type[Surrogate]) -> Tensor:
        del b, kind
        return (v > 0).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del output
        v, b, ctx.kind = inputs
        ctx.save_for_backward(v, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        v, b = ctx.saved_tensors
        by_b = None
        if ctx.needs_input_grad[1]:
            by_b = (grads[0] * ctx.kind.by_temperature(v, b)).sum_to_size(b.shape)
        return grads[0] * ctx.kind.slope(v, b), by_b, None


def heaviside(v: Tensor, surrogate: Surrogate) -> Tensor:
    """Return 1 where ``v > 0`` and 0 elsewhere; the surrogate gives the gradients.

    Args:
        v: any shape, ``u - V_th``.
        surrogate: slope of the backward pass; a temperature that is a tensor gets a gradient too.
    """
    b = torch.as_tensor(surrogate.temperature, dtype=v.dtype, device=v.device)
    return _Heaviside.apply(v, b, type(surrogate))  # type: ignore[no-untyped-call,no-any-return]
