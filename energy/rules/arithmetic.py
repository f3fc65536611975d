"""Arithmetic without weights: element by element, norms, pooling, resizing, soft-argmax.

Counts follow the plain way to compute each function, one scalar operation at a time. A constant
factor counts like any other.
"""

import math
from typing import Any

from torch import Tensor

from energy.fans import pair
from energy.rules.registry import Call, Operations, rule, size


@rule("add", "__add__", "__radd__", "__iadd__", "add_", "sub", "subtract", "__sub__", "__rsub__",
      "__isub__", "sub_", "rsub")  # fmt: skip
def addition(call: Call) -> Operations:
    """Sum or difference, one addition per element; ``alpha`` is a factor."""
    elements = size(call.out)
    return Operations(add=elements, mul=elements if call.get(9, "alpha", 1) != 1 else 0)


@rule("mul", "multiply", "__mul__", "__rmul__", "__imul__", "mul_", "square")
def multiplication(call: Call) -> Operations:
    """Product, element by element."""
    return Operations(mul=size(call.out))


@rule("div", "divide", "true_divide", "__truediv__", "__rtruediv__", "__itruediv__", "div_",
      "__floordiv__", "floor_divide", "remainder", "__mod__", "fmod")  # fmt: skip
def division(call: Call) -> Operations:
    """Quotient; division by a number is multiplication by its inverse."""
    by = call.get(1, "other")
    plain = call.name not in ("__floordiv__", "floor_divide", "remainder", "__mod__", "fmod")
    if plain and not isinstance(by, Tensor) and call.name != "__rtruediv__":
        return Operations(mul=size(call.out))
    return Operations(special=size(call.out))


@rule("pow", "__pow__", "pow_")
def power(call: Call) -> Operations:
    """Power; a small whole exponent is that many products."""
    exponent = call.get(1, "exponent")
    if isinstance(exponent, (int, float)) and float(exponent).is_integer() and 1 <= exponent <= 4:
        return Operations(mul=(int(exponent) - 1) * size(call.out))
    return Operations(special=size(call.out))


@rule("addcmul", "addcmul_", "lerp", "lerp_")
def combination(call: Call) -> Operations:
    """A product and a sum; a linear interpolation has a difference more."""
    elements = size(call.out)
    return Operations(add=elements * (1 + call.name.startswith("lerp")), mul=elements)


@rule("exp", "exp_", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin",
      "cos", "tan", "tanh", "tanh_", "atan", "atan2", "sigmoid", "sigmoid_", "logsigmoid", "erf",
      "softplus", "reciprocal", "elu", "selu")  # fmt: skip
def special(call: Call) -> Operations:
    """A function that needs a table or a series."""
    return Operations(special=size(call.out))


@rule("gelu", "silu", "mish", "hardswish", "hardsigmoid")
def gated(call: Call) -> Operations:
    """An activation that is a product with such a function."""
    return Operations(special=size(call.out), mul=size(call.out))


@rule("relu", "relu_", "relu6", "hardtanh", "clamp", "clamp_", "clamp_min", "clamp_max", "clip",
      "maximum", "minimum", "fmax", "fmin", "gt", "ge", "lt", "le", "eq", "ne", "__gt__", "__ge__",
      "__lt__", "__le__", "__eq__", "__ne__", "greater", "less", "threshold", "abs", "abs_",
      "__abs__", "sign", "round", "floor", "ceil", "heaviside", "where", "masked_fill",
      "masked_fill_")  # fmt: skip
def comparison(call: Call) -> Operations:
    """A comparison or a choice per element."""
    return Operations(compare=size(call.out))


@rule("leaky_relu", "leaky_relu_", "prelu", "rrelu")
def leaky(call: Call) -> Operations:
    """A comparison and a product."""
    return Operations(compare=size(call.out), mul=size(call.out))


@rule("sum", "cumsum", "nansum", "mean", "nanmean")
def total(call: Call) -> Operations:
    """Sum over axes; a mean is scaled once per result."""
    elements = size(call.get(0, "input"))
    adds = elements if call.name == "cumsum" else max(0, elements - size(call.out))
    return Operations(add=adds, mul=size(call.out) if "mean" in call.name else 0)


@rule("amax", "amin", "max", "min", "argmax", "argmin", "topk", "sort", "argsort", "cummax")
def selection(call: Call) -> Operations:
    """Largest or smallest of an axis: a comparison less than elements; sorting, n log n."""
    elements = size(call.get(0, "input"))
    if call.name in ("topk", "sort", "argsort"):
        length = call.args[0].shape[-1] if call.args else 1
        return Operations(compare=int(elements * math.ceil(math.log2(max(2, length)))))
    return Operations(compare=max(size(call.out), elements - size(call.out)))


@rule("softmax", "log_softmax", "softmin")
def softmax(call: Call) -> Operations:
    """Maximum, difference, exponential, sum and quotient of every element."""
    n = size(call.out)
    return Operations(compare=n, add=2 * n, special=2 * n)


@rule("var", "std", "norm", "normalize", "cosine_similarity")
def spread(call: Call) -> Operations:
    """Squares and their sum, with a root or a quotient per result."""
    n = size(call.get(0, "input"))
    return Operations(mul=n, add=2 * n, special=size(call.out))


@rule("batch_norm")
def batch_norm(call: Call) -> Operations:
    """With running statistics one product and one sum per element; else as a layer norm.

    A norm right behind a layer with weights is folded into them by the counter and costs nothing.
    """
    if call.get(5, "training", False):
        return _normalized(call)
    return Operations(mul=size(call.out), add=size(call.out))


@rule("layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")
def layer_norm(call: Call) -> Operations:
    """Mean, variance, and one product and sum per element with their scale and shift."""
    return _normalized(call)


def _normalized(call: Call) -> Operations:
    n = size(call.out)
    return Operations(add=4 * n, mul=3 * n, special=1)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
      "adaptive_avg_pool3d", "lp_pool2d")  # fmt: skip
def average_pool(call: Call) -> Operations:
    """Sums of windows and one product per output."""
    n = size(call.out)
    return Operations(add=n * (window(call) - 1), mul=n)


@rule("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
      "adaptive_max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
      "max_pool3d_with_indices")  # fmt: skip
def max_pool(call: Call) -> Operations:
    """Comparisons within windows."""
    return Operations(compare=size(call.out) * (window(call) - 1))


def window(call: Call) -> int:
    """Return the inputs of one output of a pooling function."""
    if call.name.startswith("adaptive"):
        return max(1, round(size(call.get(0, "input")) / max(1, size(call.out))))
    axes = next(n for n in (1, 2, 3) if f"{n}d" in call.name)
    return math.prod(pair(call.get(1, "kernel_size"), axes))


_PER_OUTPUT = {"linear": (2, 1), "bilinear": (4, 3), "bicubic": (16, 15), "trilinear": (8, 7)}


@rule("interpolate", "upsample")
def interpolation(call: Call) -> Operations:
    """Resizing: nearest moves values; others weigh the neighbors of every output."""
    mode = call.get(3, "mode", "nearest")
    n = size(call.out)
    if mode == "area":
        inputs = size(call.get(0, "input"))
        return Operations(add=max(0, inputs - n), mul=n)
    mul, add = _PER_OUTPUT.get(mode, (0, 0))
    return Operations(mul=mul * n, add=add * n)


@rule("grid_sample")
def sampling(call: Call) -> Operations:
    """Four neighbors of every output, and four products and sums for the place of each."""
    n, grid = size(call.out), call.get(1, "grid")
    places = grid.numel() // grid.shape[-1]
    if call.get(2, "mode", "bilinear") == "nearest":
        return Operations(add=2 * places, mul=2 * places, compare=2 * places)
    return Operations(add=3 * n + 4 * places, mul=4 * n + 4 * places)


def is_free(call: Call) -> bool:
    """Return whether a call that has a rule moves values only."""
    return call.name in ("interpolate", "upsample") and str(
        call.get(3, "mode", "nearest")
    ).startswith("nearest")


def shape_of(out: Any) -> tuple[int, ...]:
    """Return the shape of a result, or of its first tensor."""
    if isinstance(out, (tuple, list)):
        out = out[0] if out else None
    return tuple(out.shape) if isinstance(out, Tensor) else ()
