"""Counting rules: from a call of a torch function to the work that it is.

A rule is registered under the name of the function it reads, and sees that function's arguments.
Adding one here is all that a new kind of layer needs.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from energy.counts import Work, conv_fan, pair, transposed_fan

Rule = Callable[[tuple[Any, ...], Mapping[str, Any], Tensor], Work]
RULES: dict[str, Rule] = {}

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (
    "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
)  # fmt: skip
_DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for torch functions of these names; refuses a name that has one."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"There is a counting rule for {name!r} already.")
            RULES[name] = function
        return function

    return register


@rule("conv1d", "conv2d", "conv3d")
def conv(args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Tensor) -> Work:
    """Convolution: any stride, padding, dilation and number of groups."""
    call = _DEFAULTS | dict(zip(_CONV, args, strict=False)) | dict(kwargs)
    x, weight = call["input"], call["weight"]
    kernel = weight.shape[2:]
    axes = len(kernel)
    stride, dilation = pair(call["stride"], axes), pair(call["dilation"], axes)
    fans = tuple(
        conv_fan(n, k, s, p, d)
        for n, k, s, p, d in zip(
            x.shape[-axes:], kernel, stride, _padding(call["padding"], kernel, dilation), dilation,
            strict=True,
        )
    )  # fmt: skip
    outputs = weight.shape[0] // call["groups"]
    return Work(x=x, outputs=outputs, fans=fans, shape=tuple(out.shape))


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Tensor) -> Work:
    """Transposed convolution; taps cropped by the padding are not counted."""
    call = _DEFAULTS | dict(zip(_TRANSPOSED, args, strict=False)) | dict(kwargs)
    x, weight = call["input"], call["weight"]
    axes = weight.ndim - 2
    settings = (pair(call[n], axes) for n in ("stride", "padding", "output_padding", "dilation"))
    fans = tuple(
        transposed_fan(*values)
        for values in zip(x.shape[-axes:], weight.shape[2:], *settings, strict=True)
    )
    return Work(x=x, outputs=weight.shape[1], fans=fans, shape=tuple(out.shape))


@rule("linear")
def linear(args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Tensor) -> Work:
    """Fully connected layer over the last axis."""
    call = dict(zip(("input", "weight", "bias"), args, strict=False)) | dict(kwargs)
    return Work(x=call["input"], outputs=call["weight"].shape[0], fans=(), shape=tuple(out.shape))


def _padding(
    padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Return zeros before and after, per axis; 'same' puts the odd one behind, as torch does."""
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in pair(padding, len(kernel))]
