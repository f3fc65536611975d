"""What one update of a neuron costs, by its type.

A module says it by an attribute ``update_ops``, a mapping with the keys of ``Update``; a class
attribute or a property. Neurons of other libraries are known by name. Counted is the plain update:
a leak is a product, an input a sum, a threshold a comparison, each per neuron and time step; a soft
reset is a subtraction per spike, a hard reset writes a zero and costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from energy.errors import EnergyError


@dataclass(frozen=True, kw_only=True)
class Update:
    """Scalar operations of one neuron in one time step.

    Attributes:
        mul: multiplications.
        add: additions and subtractions.
        compare: comparisons.
        add_per_spike: additions when it fires: a soft reset, an adaptation.
        states: state variables that are read and written.
    """

    mul: int = 0
    add: int = 0
    compare: int = 0
    add_per_spike: int = 0
    states: int = 1


_IF = Update(add=1, compare=1)
_LEAKY = Update(mul=1, add=1, compare=1)
_SCALED = Update(mul=2, add=1, compare=1)
_CURRENT = Update(mul=2, add=2, compare=1, states=2)

KNOWN = {
    ("spikingjelly", "IFNode"): _IF,
    ("spikingjelly", "LIFNode"): _SCALED,
    ("spikingjelly", "ParametricLIFNode"): _SCALED,
    ("snntorch", "Leaky"): _LEAKY,
    ("snntorch", "Lapicque"): _SCALED,
    ("snntorch", "Synaptic"): _CURRENT,
    ("norse", "IAFCell"): _IF,
    ("norse", "LIFCell"): Update(mul=3, add=4, compare=1, states=2),
    ("norse", "LIFBoxCell"): _SCALED,
    ("sinabs", "IAF"): Update(add=1, compare=1, add_per_spike=1),
    ("sinabs", "LIF"): Update(mul=1, add=1, compare=1, add_per_spike=1),
}
"""Neurons of other libraries, by top-level package and class; they fire without declaring it."""


def update_of(module: nn.Module) -> Update | None:
    """Return what an update of a neuron costs; None for what is no neuron or not known.

    Raises:
        EnergyError: a declaration with other keys, or values that are no counts.
    """
    declared = getattr(module, "update_ops", None)
    if declared is not None:
        return _declared(module, declared)
    for kind in type(module).__mro__:
        found = KNOWN.get((kind.__module__.split(".")[0], kind.__name__))
        if found is not None:
            return found
    return None


def fires(module: nn.Module) -> bool:
    """Return whether a module's output is spikes: declared, or a known neuron of others."""
    declared = getattr(module, "emits_spikes", None)
    if declared is not None:
        return bool(declared)
    packages = {(kind.__module__.split(".")[0], kind.__name__) for kind in type(module).__mro__}
    return not packages.isdisjoint(KNOWN)


def _declared(module: nn.Module, declared: Mapping[str, Any]) -> Update:
    known = {field.name for field in fields(Update)}
    good = isinstance(declared, Mapping) and set(declared) <= known
    if not good or any(not isinstance(n, int) or n < 0 for n in declared.values()):
        raise EnergyError(
            f"{type(module).__name__}.update_ops maps {', '.join(sorted(known))} to counts, "
            f"got {declared!r}."
        )
    return Update(**declared)
