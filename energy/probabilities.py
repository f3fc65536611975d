"""Probabilities that the modules of a relaxed network show, laid out for arithmetic on all at once.

A searched network has thousands of candidates and is asked for its expected energy at every step,
so what belongs to which layer is worked out once and values are gathered and multiplied together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from energy.errors import EnergyError

GATE, ONCE, SPIKING = "gate", "once", "spiking"
ATTRIBUTES = (GATE, ONCE, SPIKING)

ROUNDING = 1e-5
"""By so much sums and products of probabilities in float32 may leave [0, 1]."""

Name = tuple[str, str]
"""Name of a module, and of the attribute that it shows."""


@dataclass(frozen=True)
class Shown:
    """What a model shows now.

    Attributes:
        names: of all probabilities.
        numbers: which value each of them has; those decided together have one.
        values: ``[V + 1]``, the last of them 1.
    """

    names: tuple[Name, ...]
    numbers: tuple[int, ...]
    values: Tensor


@dataclass(frozen=True)
class Layout:
    """Which values belong to which layer: rows of numbers, filled up with that of the last, 1.

    Attributes:
        gates: ``[L, G]``, of the modules that a layer lies in.
        once: ``[L, O]``, likewise.
        has_once: ``[L]``, 1 where there is any.
        spiking: ``[L, S]``, of the makers of its input.
    """

    gates: Tensor
    once: Tensor
    has_once: Tensor
    spiking: Tensor


def shown_by(model: nn.Module) -> Shown:
    """Return all probabilities that a model shows.

    Raises:
        EnergyError: one outside [0, 1], or not a number.
    """
    names: list[Name] = []
    numbers: list[int] = []
    values: list[Tensor] = []
    seen: dict[int, int] = {}
    for name, module in model.named_modules():
        for attribute in ATTRIBUTES:
            value = _own(module, attribute)
            if value is None:
                continue
            names.append((name, attribute))
            number = seen.get(id(value)) if isinstance(value, Tensor) else None
            if number is None:
                number = len(values)
                values.append(_checked(value, f"{name or 'the model'}.{attribute}"))
                if isinstance(value, Tensor):
                    seen[id(value)] = number
            numbers.append(number)
    one = torch.ones((), dtype=torch.float64)
    stacked = torch.stack([*(v.to("cpu", torch.float64) for v in values), one])
    outside = torch.nonzero(
        (stacked < -ROUNDING) | (stacked > 1 + ROUNDING) | stacked.isnan()
    )  # fmt: skip
    if len(outside):
        first = names[numbers.index(int(outside[0]))]
        shown = values[int(outside[0])].item()
        raise EnergyError(f"{'.'.join(first)} is one probability in [0, 1], got {shown:g}.")
    return Shown(tuple(names), tuple(numbers), stacked)


def lay_out(shown: Shown, layers: Sequence[tuple[str, tuple[str, ...]]]) -> Layout:
    """Return which values belong to which layer.

    Args:
        shown: by the model.
        layers: path of each, and names of the modules that made its input.
    """
    number_of = dict(zip(shown.names, shown.numbers, strict=True))

    def along(path: str, attribute: str) -> list[int]:
        parts = path.split(".") if path else []
        outer = (".".join(parts[:n]) for n in range(len(parts) + 1))
        return [number_of[name, attribute] for name in outer if (name, attribute) in number_of]

    once = [along(path, ONCE) for path, _ in layers]
    makers = [
        sorted({number_of[s, SPIKING] for s in sources if (s, SPIKING) in number_of})
        for _, sources in layers
    ]
    last = len(shown.values) - 1
    return Layout(
        gates=_filled([along(path, GATE) for path, _ in layers], last),
        once=_filled(once, last),
        has_once=torch.tensor([float(bool(row)) for row in once], dtype=torch.float64),
        spiking=_filled(makers, last),
    )


def _own(module: nn.Module, attribute: str) -> Any:
    """Return what a module shows; a submodule of that name is something else."""
    if attribute in module.__dict__:
        return module.__dict__[attribute]
    if attribute in module._parameters or attribute in module._buffers:
        return getattr(module, attribute)
    return getattr(module, attribute) if hasattr(type(module), attribute) else None


def _checked(value: Any, name: str) -> Tensor:
    found = torch.as_tensor(value)
    if found.numel() != 1:
        raise EnergyError(f"{name} is one probability in [0, 1], got {value!r}.")
    return found.reshape(())


def _filled(rows: list[list[int]], last: int) -> Tensor:
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [last] * (width - len(row)) for row in rows]).long()
