"""Which tensors are spikes: known from who made them, never from their values.

A module that declares ``emits_spikes = True`` marks its output. Marks follow a tensor through
operations that move values without changing them, and through the product of two spike tensors,
which is a logical AND. A sum of spikes is not spikes (it reaches 2), so no other arithmetic passes
a mark on.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from enum import Enum
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

MOVES = frozenset({
    "__getitem__", "cat", "concat", "concatenate", "stack", "hstack", "vstack", "select", "narrow",
    "permute", "transpose", "swapaxes", "movedim", "moveaxis", "t", "reshape", "view", "view_as",
    "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "detach", "chunk",
    "split", "tensor_split", "unbind", "expand", "expand_as", "repeat", "repeat_interleave", "roll",
    "flip", "to", "float", "double", "half", "bool", "type_as", "cpu", "index_select", "gather",
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "dropout",
})  # fmt: skip
"""Functions that keep {0, 1} values {0, 1} (dropout in eval mode only, checked there)."""

ZEROS = frozenset({"zeros", "zeros_like", "new_zeros"})


class Mark(Enum):
    """What is known of a tensor's values."""

    SPIKES = "spikes"
    ZEROS = "zeros"


class Provenance:
    """Marks of the tensors seen during one run; forgets a tensor when the run does."""

    def __init__(self) -> None:
        self._marks: MutableMapping[Tensor, Mark] = WeakTensorKeyDictionary()

    def is_spikes(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` is known to hold spikes (all zeros counts as silent spikes)."""
        return self._marks.get(tensor) is not None

    def mark(self, output: object, mark: Mark | None = Mark.SPIKES) -> None:
        """Mark a tensor, or every tensor of a list; of a tuple only the first (spikes, state)."""
        if isinstance(output, tuple) and output and type(output) is tuple:
            output = output[0]
        for tensor in tensors_in(output):
            self._set(tensor, mark)

    def follow(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: object
    ) -> None:
        """Pass marks from the inputs of a torch function to its output."""
        if name == "__setitem__":
            self._assign(args[0], args[2])
        elif name in ZEROS:
            self._set_all(out, Mark.ZEROS)
        elif name in MOVES or _keeps_values(name, kwargs):
            marks = {self._marks.get(t) for t in _sources(args, kwargs)}
            if marks and None not in marks:
                mark = Mark.SPIKES if Mark.SPIKES in marks else Mark.ZEROS
                self._set_all(out, mark)
        elif name in ("mul", "__mul__", "logical_and"):
            both = list(tensors_in(args))
            if len(both) == 2 and all(self.is_spikes(t) for t in both):
                self._set_all(out, Mark.SPIKES)
        elif name.endswith("_") and not name.endswith("__") and args:
            self._set_all(args[0], None)

    def _assign(self, target: Tensor, value: object) -> None:
        """``target[...] = value``: spikes written into zeros or spikes make spikes."""
        known = self._marks.get(target) is not None
        source = isinstance(value, Tensor) and self._marks.get(value) is not None
        mark = Mark.SPIKES if known and source else None
        self._set(target, mark)
        if target._base is not None:
            self._set(target._base, mark)

    def _set_all(self, output: object, mark: Mark | None) -> None:
        for tensor in tensors_in(output):
            self._set(tensor, mark)

    def _set(self, tensor: Tensor, mark: Mark | None) -> None:
        if mark is None:
            self._marks.pop(tensor, None)
        else:
            self._marks[tensor] = mark


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


def _keeps_values(name: str, kwargs: Mapping[str, Any]) -> bool:
    if name == "interpolate":
        return kwargs.get("mode", "nearest") in ("nearest", "nearest-exact")
    return name == "pad" and not kwargs.get("value")
