"""Which tensors hold spikes, or sums of spikes: known from who made them, never from their values.

A module that declares ``emits_spikes = True`` marks its output. Marks follow a tensor through
operations that move values. Sums of spikes are counts, products with a number are scaled spikes,
averages are both; any other arithmetic ends a mark.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from energy.rules import arithmetic
from energy.rules.registry import Call
from energy.tensor_map import TensorMap

MOVES = frozenset({
    "__getitem__", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "select", "narrow",
    "permute", "transpose", "swapaxes", "movedim", "moveaxis", "t", "reshape", "view", "view_as",
    "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "detach", "chunk",
    "split", "tensor_split", "unbind", "expand", "expand_as", "repeat", "repeat_interleave", "roll",
    "flip", "to", "float", "double", "half", "bool", "type_as", "cpu", "index_select", "gather",
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "unfold", "bfloat16", "cuda", "broadcast_to", "amax",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "take_along_dim", "diagonal", "tile",
})  # fmt: skip
"""Functions that hand values on (dropout in eval mode, which is how models are profiled)."""

ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})

VIEWS = frozenset({
    "reshape", "view", "view_as", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous",
    "permute", "transpose", "movedim", "clone", "float", "to", "__get__", "chunk", "split",
})  # fmt: skip
"""Moves after which a norm still meets every value of a layer once."""


@dataclass(frozen=True)
class Values:
    """What is known of a tensor: every value is a whole multiple of a unit.

    Attributes:
        unit: the value of one spike; None for a factor that differs between channels and is part
            of the weights behind.
        most: largest multiple; 0 for zeros.
        signed: whether multiples may be negative.
    """

    unit: float | None = 1.0
    most: int = 1
    signed: bool = False


SPIKES = Values()
TERNARY = Values(signed=True)
ZERO = Values(most=0)
Operand = Values | float | None


class Provenance:
    """Marks of the tensors seen during one run; forgets a tensor when the run does."""

    def __init__(self) -> None:
        self._marks: MutableMapping[Tensor, Values] = TensorMap()
        self._sources: MutableMapping[Tensor, frozenset[str]] = TensorMap()

    def of(self, tensor: Tensor) -> Values | None:
        """Return what is known of a tensor; None if its values are analog."""
        return self._marks.get(tensor)

    def sources(self, tensor: Tensor) -> frozenset[str]:
        """Return the names of those who made the spikes in a tensor."""
        return self._sources.get(tensor, frozenset())

    def mark(self, output: object, values: Values | None = SPIKES, source: str = "") -> None:
        """Mark a tensor, or every tensor of a list; of a tuple only the first (spikes, state)."""
        if isinstance(output, tuple) and output and type(output) is tuple:
            output = output[0]
        for tensor in tensors_in(output):
            self._set(tensor, values)
            if source:
                self._sources[tensor] = frozenset({source})

    def follow(self, call: Call) -> None:
        """Pass marks from the inputs of a torch function to its output."""
        name, args, kwargs, out = call.name, call.args, call.kwargs, call.out
        if name == "__setitem__":
            self._assign(args[0], args[2])
        elif name in ZEROS:
            self._set_all(out, ZERO)
        elif name in MOVES or arithmetic.is_free(call) or _pads_with_zeros(call):
            self._set_all(out, join([self._marks.get(t) for t in _sources(args, kwargs)]))
        elif name in ARITHMETIC:
            operands = [self._operand(a) for a in (*args[:2], *_others(kwargs))]
            self._set_all(out, ARITHMETIC[name](call, operands))
        elif name.endswith("_") and not name.endswith("__") and args:
            self._set_all(args[0], None)
        self._hand_on(call)

    def _hand_on(self, call: Call) -> None:
        """Pass the names of the makers to whatever is still known to hold spikes."""
        if not self._sources:
            return
        given = (*call.args, *call.kwargs.values())
        named = [self.sources(t) for value in given for t in tensors_in(value)]
        found = frozenset().union(*named)
        if not found:
            return
        results = call.args[:1] if call.name == "__setitem__" else (call.out,)
        for tensor in (t for value in results for t in tensors_in(value)):
            if tensor in self._marks:
                self._sources[tensor] = self.sources(tensor) | found
                if call.name == "__setitem__" and tensor._base is not None:
                    self._sources[tensor._base] = self.sources(tensor._base) | found

    def _operand(self, value: object) -> Operand:
        """Return what is known of an operand: a mark, a number, or None for analog values."""
        if isinstance(value, (bool, int, float)):
            return float(value)
        if not isinstance(value, Tensor):
            return None
        known = self._marks.get(value)
        if known is None and value.numel() == 1 and not value.requires_grad:
            return float(value)
        if known is None and isinstance(value, nn.Parameter):
            return float("nan")  # a factor that differs between channels, or is still learned
        return known

    def _assign(self, target: Tensor, value: object) -> None:
        """``target[...] = value``: spikes written into zeros or spikes make spikes."""
        values = self._marks.get(value) if isinstance(value, Tensor) else None
        if isinstance(value, (int, float)) and value == 0:
            values = ZERO
        joined = join([self._marks.get(target), values])
        self._set(target, joined)
        if target._base is not None:
            self._set(target._base, joined)

    def _set_all(self, output: object, values: Values | None) -> None:
        for tensor in tensors_in(output):
            self._set(tensor, values)

    def _set(self, tensor: Tensor, values: Values | None) -> None:
        if values is None:
            self._marks.pop(tensor, None)
        else:
            self._marks[tensor] = values


def join(marks: list[Values | None]) -> Values | None:
    """Return what is known of tensors that lie in one: nothing, if of one nothing is known."""
    known = [mark for mark in marks if mark is not None]
    if not known or len(known) < len(marks):
        return None
    live = [mark for mark in known if mark.most]
    if not live:
        return ZERO
    if len({mark.unit for mark in live}) > 1:
        return None
    return Values(live[0].unit, max(m.most for m in live), any(m.signed for m in live))


def _add(call: Call, operands: list[Operand]) -> Values | None:
    """Spikes plus spikes are counts."""
    a, b = (*operands, None)[:2]
    if call.kwargs.get("alpha", 1) != 1 or not isinstance(a, Values) or not isinstance(b, Values):
        return None
    if 0 in (a.most, b.most):
        return a if b.most == 0 else b
    if a.unit is None or a.unit != b.unit:
        return None
    minus = "sub" in call.name
    return Values(a.unit, a.most + b.most, a.signed or b.signed or minus)


def _multiply(call: Call, operands: list[Operand]) -> Values | None:
    """A number scales; two spikes together are a logical AND."""
    a, b = (*operands, None)[:2]
    if isinstance(a, float):
        a, b = b, a
    if not isinstance(a, Values) or b is None:
        return None
    if isinstance(b, Values):
        unit = None if a.unit is None or b.unit is None else a.unit * b.unit
        return Values(unit, a.most * b.most, a.signed or b.signed)
    if "div" in call.name:
        b = 1.0 / b if b and not isinstance(operands[0], float) else float("nan")
    return scaled(a, b)


def scaled(values: Values, by: float) -> Values | None:
    """Return spikes times a number; the factor belongs to the weights behind."""
    if by == 0:
        return ZERO
    if by != by or values.unit is None:  # not a number: one that differs between channels
        return replace(values, unit=None) if values.most <= 1 and not values.signed else None
    return Values(values.unit * abs(by), values.most, values.signed or by < 0)


def _reduce(call: Call, operands: list[Operand]) -> Values | None:
    """Sums and averages of spikes are counts, scaled by the number of terms."""
    values = operands[0]
    x = call.get(0, "input")
    if not isinstance(values, Values) or values.unit is None or not isinstance(call.out, Tensor):
        return None
    pools = "pool" in call.name
    terms = arithmetic.window(call) if pools else x.numel() // max(1, call.out.numel())
    if call.name.startswith("adaptive") and terms * call.out.numel() != x.numel():
        return None  # windows of different sizes
    if pools and not call.name.startswith("adaptive") and call.get(5, "count_include_pad") is False:
        return None
    unit = values.unit if call.name == "sum" else values.unit / max(1, terms)
    return Values(unit, values.most * max(1, terms), values.signed)


def _keep_positive(_: Call, operands: list[Operand]) -> Values | None:
    """Rectification leaves what is not negative."""
    values = operands[0]
    return replace(values, signed=False) if isinstance(values, Values) else None


def _negate(_: Call, operands: list[Operand]) -> Values | None:
    values = operands[0]
    return replace(values, signed=True) if isinstance(values, Values) else None


ARITHMETIC: dict[str, Callable[[Call, list[Operand]], Values | None]] = {
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__", "add_", "sub", "__sub__", "sub_",
                     "__isub__"), _add),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "__imul__", "mul_", "logical_and", "div",
                     "__truediv__", "div_", "__itruediv__"), _multiply),
    **dict.fromkeys(("sum", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d",
                     "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _reduce),
    **dict.fromkeys(("relu", "relu_", "abs"), _keep_positive),
    **dict.fromkeys(("neg", "__neg__"), _negate),
}  # fmt: skip


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a tensor, list or tuple (nested once)."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, Tensor):
                yield item


def _sources(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors whose values reach the output (not indices)."""
    first = args[0] if args else next(iter(kwargs.values()), None)
    return list(tensors_in(first))


def _pads_with_zeros(call: Call) -> bool:
    return call.name == "pad" and not call.get(3, "value")


def _others(kwargs: Mapping[str, Any]) -> list[Any]:
    return [kwargs[name] for name in ("input", "other") if name in kwargs]
