"""What the elements of a tensor are declared to be."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from energy.errors import EnergyError

MOST = 1 << 22
"""Largest multiple of a unit: up to here a float32 and a half more are told apart."""

ROUNDINGS = 4
"""Units in the last place by which a multiple may be off where the unit is not 1: it was rounded
itself, and sums of it were."""


@dataclass(frozen=True)
class Declared:
    """A tensor and what it holds, apart from zeros.

    Attributes:
        x: the tensor.
        unit: value of one spike, as the type of ``x`` rounds it; None if any value is one event.
        most: largest multiple.
        signed: whether negative multiples are allowed.
        slack: rounding error that is allowed, relative to the value.
    """

    x: Tensor
    unit: float | None
    most: int
    signed: bool
    slack: float


def declare(
    x: Tensor, unit: float | Tensor | None, most: int | None, signed: bool
) -> Declared:  # fmt: skip
    """Check a declaration; a unit per channel is divided out.

    Raises:
        EnergyError: a unit that is not finite, or ``most`` below 1.
    """
    if most is not None and most < 1:
        raise EnergyError(f"The largest multiple of a spike is 1 or more, got {most}.")
    most = MOST if most is None else min(most, MOST)
    eps = torch.finfo(x.dtype).eps if x.is_floating_point() else 0.0
    if isinstance(unit, Tensor) and unit.numel() == 1 and unit.device.type == "cpu":
        unit = float(unit)
    if isinstance(unit, Tensor):
        wide = torch.float64 if x.dtype == torch.float64 else torch.float32
        eps = max(eps, torch.finfo(wide).eps)
        unit = unit.detach().to(x.device, x.dtype if x.is_floating_point() else wide)
        # Zeros stay zeros even if a channel's unit is zero as well.
        ratio = torch.where(x == 0, 0.0, x.to(wide) / unit.to(wide))
        return Declared(ratio, 1.0, most, signed, ROUNDINGS * eps)
    if unit is None:
        return Declared(x, None, most, signed, 0.0)
    if not math.isfinite(unit):
        raise EnergyError(f"The unit of scaled spikes is a finite number, got {unit}.")
    if unit == 1:
        return Declared(x, 1.0, most, signed, 0.0)
    if x.is_floating_point():
        unit = torch.tensor(unit, dtype=x.dtype).item()
    return Declared(x, unit, most, signed, ROUNDINGS * max(eps, torch.finfo(torch.float32).eps))
