"""Slopes of the surrogates in compiled loops; their twins are in ``nas.surrogate``."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

DSPIKE, TRIANGLE, ARCTAN, SIGMOID, RECTANGLE, SUPERSPIKE = range(6)
KINDS = {
    "dspike": DSPIKE,
    "triangle": TRIANGLE,
    "arctan": ARCTAN,
    "sigmoid": SIGMOID,
    "rectangle": RECTANGLE,
    "superspike": SUPERSPIKE,
}
"""The kernels' number of each surrogate, by its name in ``SURROGATES``."""


SERIES = tuple(np.float32(1.0 / n) for n in (720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0))
"""Coefficients of the exponential function from the sixth down; the seventh is 1 / 5040."""


@intrinsic
def _as_float(typing_context: Any, bits: Any) -> Any:
    """Return the float32 with the bits of an int32."""
    del typing_context, bits

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _times_plus(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c`` of float32, rounded once where the processor does that in one go."""
    del typing_context, a, b, c

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        fused = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, kind, "llvm.fmuladd.f32"
        )
        return builder.call(fused, arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def exp_minus(y: np.float32) -> np.float32:
    """Return ``exp(-y)`` for ``y >= 0`` to float32 precision, without a call: it vectorizes.

    ``exp(-y) = 2**n 2**f`` with ``|f| <= 1/2``; the polynomial is the series of ``2**f``.
    """
    z = max(-y * np.float32(1.4426950408889634), np.float32(-126.0))
    n = np.int32(z - np.float32(0.5))
    f = (z - np.float32(n)) * np.float32(0.6931471805599453)
    p = np.float32(1.0 / 5040.0)
    for c in SERIES:
        p = _times_plus(p, f, c)  # type: ignore[call-arg]
    return p * _as_float((n + np.int32(127)) << np.int32(23))  # type: ignore[call-arg]


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def slope_of(kind: int, v: np.float32, b: np.float32, scale: np.float32) -> np.float32:
    """Return dS/dv of a surrogate; ``scale`` is ``b / (2 tanh(b / 2))``."""
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    z = abs(b * v)
    if kind == DSPIKE:
        e = exp_minus(z + z)
        inner = scale * np.float32(4.0) * e / ((one + e) * (one + e))
        return inner if abs(v) < half else zero
    if kind == TRIANGLE:
        return b * max(one - z, zero)
    if kind == ARCTAN:
        w = np.float32(np.pi / 2) * z
        return half * b / (one + w * w)
    if kind == SIGMOID:
        e = exp_minus(z)
        return b * e / ((one + e) * (one + e))
    if kind == RECTANGLE:
        return b if z < half else zero
    return one / ((one + z) * (one + z))


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def by_temperature_of(
    kind: int, v: np.float32, b: np.float32, scale: np.float32, slope: np.float32
) -> np.float32:
    """Return dS/db of a surrogate, given its dS/dv."""
    zero, one, inverse = np.float32(0.0), np.float32(1.0), np.float32(1.0) / b
    if kind == DSPIKE:
        # v/b slope, minus what the normalization 1 / (2 tanh(b/2)) loses as b grows:
        # tanh(b v) (1 - t^2) / (4 t^2) with t = tanh(b/2) = b / (2 scale).
        z = abs(b * v)
        e = exp_minus(z + z)
        share = scale * inverse
        lost = (one - e) / (one + e) * (share * share - np.float32(0.25))
        inner = v * inverse * slope - (lost if v > zero else -lost)
        return inner if abs(v) < np.float32(0.5) else zero
    if kind == SUPERSPIKE:
        return -v * abs(v) * slope
    return v * inverse * slope
