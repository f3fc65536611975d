"""Layers with weights, and products of activations: what spikes are counted through."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from energy.fans import conv_fan, pair, transposed_fan
from energy.rules.registry import Call, Synapses, rule

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (
    "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
)  # fmt: skip
_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1,
             "groups": 1}  # fmt: skip


def _arguments(call: Call, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of a convolution by name; one without a batch gets one."""
    found = _DEFAULTS | dict(zip(names, call.args, strict=False)) | dict(call.kwargs)
    found["origins"] = found["input"], None
    if found["input"].ndim < found["weight"].ndim:
        found["input"] = found["input"].unsqueeze(0)
    return found


@rule("conv1d", "conv2d", "conv3d")
def conv(call: Call) -> Synapses:
    """Convolution: any stride, padding, dilation and number of groups."""
    given = _arguments(call, _CONV)
    x, weight = given["input"], given["weight"]
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    stride, dilation = pair(given["stride"], axes), pair(given["dilation"], axes)
    padding = _padding(given["padding"], kernel, dilation)
    fans = tuple(
        conv_fan(*values)
        for values in zip(x.shape[-axes:], kernel, stride, padding, dilation, strict=True)
    )
    fan_in = weight[0].numel()
    return Synapses(
        x=x, outputs=weight.shape[0] // given["groups"], fans=fans, shape=tuple(call.out.shape),
        padded=call.out.numel() * fan_in, weight=weight, biases=_elements(given["bias"]),
        fan_in=fan_in, taps=kernel, strides=stride, origins=given["origins"],
    )  # fmt: skip


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(call: Call) -> Synapses:
    """Transposed convolution; taps cropped by the padding are not counted."""
    given = _arguments(call, _TRANSPOSED)
    x, weight = given["input"], given["weight"]
    kernel = tuple(weight.shape[2:])
    axes = len(kernel)
    settings = [pair(given[n], axes) for n in ("stride", "padding", "output_padding", "dilation")]
    fans = tuple(
        transposed_fan(*values) for values in zip(x.shape[-axes:], kernel, *settings, strict=True)
    )
    return Synapses(
        x=x, outputs=weight.shape[1], fans=fans, shape=tuple(call.out.shape),
        padded=x.numel() * weight[0].numel(), weight=weight, biases=_elements(given["bias"]),
        fan_in=weight[:, 0].numel(), taps=kernel, strides=settings[0], transposed=True,
        origins=given["origins"],
    )  # fmt: skip


@rule("linear")
def linear(call: Call) -> Synapses:
    """Fully connected layer over the last axis."""
    weight = call.get(1, "weight")
    return _dense(call, call.get(0, "input"), weight, weight.shape[0], call.get(2, "bias"))


@rule("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv")
def product(call: Call) -> Synapses:
    """Matrix product; with a parameter a fully connected layer, else one of two activations."""
    a, b = call.get(0, "input"), call.get(1, "other", call.kwargs.get("mat2"))
    if call.name == "__rmatmul__":
        a, b = b, a
    return _product(call, a, b)


@rule("addmm", "baddbmm", "addbmm")
def added_product(call: Call) -> Synapses:
    """A bias and a matrix product."""
    first, second = ("batch1", "batch2") if "b" in call.name[3:6] else ("mat1", "mat2")
    bias = call.get(0, "input")
    return _product(call, call.get(1, first), call.get(2, second), bias)


def _product(call: Call, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Synapses:
    columns = b.shape[-1] if b.ndim > 1 else 1
    if isinstance(b, nn.Parameter) and b.ndim <= 2:
        return _dense(call, a, b, columns, bias)
    rows = a.shape[-2] if a.ndim > 1 else 1
    if isinstance(a, nn.Parameter) and a.ndim <= 2:
        return _dense(call, b, a, rows, bias)
    batch = np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    left = a if a.ndim > 1 else a.unsqueeze(0)
    right = b if b.ndim > 1 else b.unsqueeze(1)
    left, right = (m.expand(*batch, *m.shape[-2:]) for m in (left, right))
    return Synapses(
        x=left, outputs=columns, fans=(), shape=tuple(call.out.shape),
        padded=left.numel() * columns, biases=_elements(bias), fan_in=a.shape[-1], partner=right,
        origins=(a, b),
    )  # fmt: skip


def _dense(call: Call, x: Tensor, weight: Tensor, outputs: int, bias: Tensor | None) -> Synapses:
    return Synapses(
        x=x, outputs=outputs, fans=(), shape=tuple(call.out.shape), padded=x.numel() * outputs,
        weight=weight, biases=_elements(bias), fan_in=weight.numel() // max(1, outputs),
    )  # fmt: skip


def _elements(bias: Tensor | None) -> int:
    return 0 if bias is None else bias.numel()


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
