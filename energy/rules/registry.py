"""Counting rules: from a call of a torch function to the work that it is.

A rule is registered under the names of the functions it reads. Adding one, in the file where its
kind belongs, is all that a new operation needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from energy.fans import Fan


@dataclass(frozen=True)
class Call:
    """One call of a torch function.

    Attributes:
        name: of the function.
        args: positional arguments.
        kwargs: the others.
        out: what it returned.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any

    def get(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument by its place or its name."""
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(name, default)


@dataclass(frozen=True, kw_only=True)
class Synapses:
    """Work whose amount depends on what comes in: every input element feeds some outputs.

    Attributes:
        x: input, ``[N, C, *S]`` with as many axes ``S`` as there are fans; ``[..., C]`` without.
        outputs: channels that an input feeds; ``C_out / groups`` in a convolution.
        fans: one table per spatial axis.
        shape: of the output.
        padded: synapses with those of taps on padding.
        weight: what a shared layer is known by; None for a product of two activations.
        biases: elements of the bias, 0 without one.
        fan_in: synapses of one output, taps on padding included.
        taps: of the kernel per axis.
        strides: per axis.
        transposed: whether it is a transposed convolution.
        partner: the other factor of a product of two activations, ``[..., K, M]`` to ``x``
            ``[..., N, K]``; if both are spikes, only spikes that meet cost anything.
        origins: the tensors that ``x`` and ``partner`` are views of, whose history is known;
            themselves unless given.
    """

    x: Tensor
    outputs: int
    fans: tuple[Fan, ...]
    shape: tuple[int, ...]
    padded: int
    weight: Tensor | None = None
    biases: int = 0
    fan_in: int = 0
    taps: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    transposed: bool = False
    partner: Tensor | None = None
    origins: tuple[Tensor, Tensor | None] | None = None

    def dense(self) -> int:
        """Return the synapses of a dense run without the taps on padding."""
        positions = prod(fan.size for fan in self.fans)
        rows = self.x.numel() // max(1, positions)
        return self.outputs * rows * prod(int(fan.sum()) for fan in self.fans)


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Work whose amount depends on shapes alone, in scalar operations.

    Attributes:
        add: additions and subtractions.
        mul: multiplications.
        compare: comparisons and choices.
        special: divisions, roots, exponential functions and their like.
        mac: multiply-accumulates that belong to synapses (recurrent layers).
        weights: elements of the weights behind ``mac``.
    """

    add: int = 0
    mul: int = 0
    compare: int = 0
    special: int = 0
    mac: int = 0
    weights: int = 0


Work = Synapses | Operations
Rule = Callable[[Call], Work]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for torch functions of these names; refuses a name that has one."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"There is a counting rule for {name!r} already.")
            RULES[name] = function
        return function

    return register


def size(value: Any) -> int:
    """Return the elements of a tensor, or of the first of several."""
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    return value.numel() if isinstance(value, Tensor) else 0
