"""How surfaces look: where a point lies on a body's surface, and what its texture is there.

The layout of a body is in ``rays/kernels.py``.

Numba's cache notices changes of a file, not of what it imports: who changes this file must touch
``rays/kernels.py`` and ``adaptive/kernels.py``, which inline it.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.simulator.jit import INLINED

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

RECTANGLE, ELLIPSE, PLANE, BALL, BOX, CYLINDER = 0, 1, 2, 3, 4, 5
"""The numbers of ``scene.Shape``."""

_TINY = 1e-12


@numba.njit(**INLINED)
def _angle(y: float, x: float) -> float:
    """Return ``atan2(y, x)`` to 1e-4 (Abramowitz and Stegun, 4.4.49), without branches."""
    low, high = min(abs(x), abs(y)), max(max(abs(x), abs(y)), _TINY)
    t = low / high
    t2 = t * t
    angle = t * (
        0.9998660 + t2 * (-0.3302995 + t2 * (0.1801410 + t2 * (-0.0851330 + t2 * 0.0208351)))
    )  # fmt: skip
    angle = 0.5 * math.pi - angle if abs(y) > abs(x) else angle
    angle = math.pi - angle if x < 0.0 else angle
    return -angle if y < 0.0 else angle


@numba.njit(**INLINED)
def paint(
    shape: float, size1: float, size2: float, size3: float, p1: float, p2: float, p3: float,
    a1: float, a2: float, a3: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Return surface coordinates of the point p of a body, and the cosine to its normal there.

    Meters along flat faces and around a cylinder; a ball is painted like a cube around it, so that
    its texture is nowhere stretched without limit. ``a`` is the ray in the body's axes.
    """
    if shape <= PLANE:
        return p1, p2, abs(a3)
    if shape == CYLINDER:
        on_side = abs(p2) < size2 * (1.0 - 1e-9)
        slant = abs(p1 * a1 + p3 * a3) / size1 if on_side else abs(a2)
        return size1 * _angle(p1, -p3), p2, slant
    is_box = shape == BOX
    b1, b2, b3 = abs(p1), abs(p2), abs(p3)
    b1, b2, b3 = b1 / size1, b2 / (size2 if is_box else size1), b3 / (size3 if is_box else size1)
    first, second = (b1 >= b2) & (b1 >= b3), b2 >= b3
    u = p3 if first else p1
    v = p3 if (not first) & second else p2
    side = p1 if first else (p2 if second else p3)
    slant = a1 if first else (a2 if second else a3)
    face = (0.0 if first else (1.0 if second else 2.0)) + (3.0 if side > 0.0 else 0.0)
    stretch = 1.0 if is_box else 1.0 / max(max(b1, b2), b3)
    slant = slant if is_box else (p1 * a1 + p2 * a2 + p3 * a3) / size1
    # A whole number of pictures apart, if the body shows one on each face.
    return u * stretch + 8.0 * size1 * face, v * stretch, abs(slant)


@numba.njit(**INLINED)
def _bilinear(texels: F32, start: int, size: int, u: float, v: float) -> float:
    """Return the value of a periodic tile at (u, v) texels of its own."""
    u_floor, v_floor = math.floor(u), math.floor(v)
    u_part, v_part = u - u_floor, v - v_floor
    mask = size - 1
    u0, v0 = int(u_floor) & mask, int(v_floor) & mask
    u1, row0 = (u0 + 1) & mask, start + v0 * size
    row1 = start + ((v0 + 1) & mask) * size
    top = texels[row0 + u0] + (texels[row0 + u1] - texels[row0 + u0]) * u_part
    bottom = texels[row1 + u0] + (texels[row1 + u1] - texels[row1 + u0]) * u_part
    level: float = top + (bottom - top) * v_part
    return level


@numba.njit(**INLINED)
def shade(
    bodies: F64, texels: F32, starts: I64, n: int, u: float, v: float, footprint: float
) -> float:
    """Return the log radiance of body ``n`` at (u, v) meters, blurred to a pixel's footprint.

    Where a pixel covers more than one texel, two levels of the image pyramid are mixed (Williams,
    SIGGRAPH 1983). ``starts`` [tiles, levels] says where each level begins in ``texels``.
    """
    tile, scale = int(bodies[n, 4]), bodies[n, 5]
    u, v = u * scale + bodies[n, 6], v * scale + bodies[n, 7]
    size = 1 << (starts.shape[1] - 1)
    mantissa, exponent = math.frexp(footprint * scale)
    if exponent < 1:
        nearest: float = _bilinear(texels, starts[tile, 0], size, u, v)
        return nearest
    # Between powers of two straight lines stand in for the logarithm.
    level, share = exponent - 1, 2.0 * mantissa - 1.0
    if level > starts.shape[1] - 2:
        level, share = starts.shape[1] - 2, 1.0
    shrink = 1.0 / (1 << level)
    # Texel centers of a coarser level lie between those of the finer one.
    u, v = (u + 0.5) * shrink - 0.5, (v + 0.5) * shrink - 0.5
    fine = _bilinear(texels, starts[tile, level], size >> level, u, v)
    u, v = (u + 0.5) * 0.5 - 0.5, (v + 0.5) * 0.5 - 0.5
    coarse = _bilinear(texels, starts[tile, level + 1], size >> (level + 1), u, v)
    mixed: float = fine + (coarse - fine) * share
    return mixed
