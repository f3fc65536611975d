"""Slopes of the surrogates in compiled loops; their twins are in ``nas.surrogate``."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
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


@intrinsic
def _as_float(typing_context: Any, bits: Any) -> Any:
    """Return the float32 with the bits of an int32."""
    del typing_context, bits

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def exp_minus(y: np.float32) -> np.float32:
    """Return ``exp(-y)`` for ``y >= 0`` to float32 precision, without a call: it vectorizes.

    ``exp(-y) = 2**n 2**f`` with ``|f| <= 1/2``; the polynomial is the series of ``2**f``.
    """
    z = max(-y * np.float32(1.4426950408889634), np.float32(-126.0))
    n = np.int32(z - np.float32(0.5))
    f = (z - np.float32(n)) * np.float32(0.6931471805599453)
    p = np.float32(1.0 / 5040.0)
    p = p * f + np.float32(1.0 / 720.0)
    p = p * f + np.float32(1.0 / 120.0)
    p = p * f + np.float32(1.0 / 24.0)
    p = p * f + np.float32(1.0 / 6.0)
    p = p * f + np.float32(0.5)
    p = p * f + np.float32(1.0)
    p = p * f + np.float32(1.0)
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
    if kind == DSPIKE:
        # v/b slope, minus what the normalization 1 / (2 tanh(b/2)) loses as b grows.
        e = exp_minus(abs(b * v) * np.float32(2.0))
        here = (np.float32(1.0) - e) / (np.float32(1.0) + e)
        end = b / (np.float32(2.0) * scale)
        lost = here * (np.float32(1.0) - end * end) / (np.float32(4.0) * end * end)
        inner = v / b * slope - (lost if v > 0 else -lost)
        return inner if abs(v) < np.float32(0.5) else np.float32(0.0)
    if kind == SUPERSPIKE:
        return -v * abs(v) * slope
    return v / b * slope
