"""The inner loops of the encodings: serial, without the interpreter lock, nothing allocated.

All take contiguous columns of events that lie in the window. ``x`` and ``y`` are uint16; ``table``
``[rows, cols]`` int32 gives the flat pixel ``row * width + column`` to which a raw pixel belongs,
-1 outside the image; an empty table means that raw pixels are image pixels. Slot ``s`` holds the
events ``bounds[s]`` to ``bounds[s + 1]``. Images are flat: ``pixels = height * width``.

Each kernel fills the slots ``first`` to ``stop - 1`` and touches no other, so that threads share
the slots of a window without locks.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U16 = npt.NDArray[np.uint16]
F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint16] | npt.NDArray[np.float32]


@numba.njit(nogil=True, cache=True, inline="always")
def _pixel(x: np.uint16, y: np.uint16, table: I32, width: int, height: int) -> np.int64:
    """Return the flat pixel of an event, or -1."""
    if table.size:
        if np.int64(y) >= table.shape[0] or np.int64(x) >= table.shape[1]:
            return np.int64(-1)
        return np.int64(table[np.int64(y), np.int64(x)])
    if np.int64(x) >= width or np.int64(y) >= height:
        return np.int64(-1)
    return np.int64(y) * width + np.int64(x)


@numba.njit(nogil=True, cache=True)
def nearest(x: F32, y: F32, width: int, height: int, to_x: U16, to_y: U16) -> None:
    """Write the pixel that each float coordinate belongs to; 65535 where it is outside.

    Halves go upward: the pixel ``x`` owns ``[x - 0.5, x + 0.5)`` as in ``Events.inside``.
    """
    for i in range(x.size):
        if x[i] < -0.5 or y[i] < -0.5 or x[i] >= width - 0.5 or y[i] >= height - 0.5:
            to_x[i] = to_y[i] = 65535
        else:
            # float64, because 0.49999997 + 0.5 is 1 in float32.
            to_x[i], to_y[i] = int(np.float64(x[i]) + 0.5), int(np.float64(y[i]) + 0.5)


@numba.njit(nogil=True, cache=True)
def fill_counts(
    x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, width: int,
    height: int, add: bool, out: F32,
) -> None:  # fmt: skip
    """Count the events of each polarity in ``out`` [slots, 2, pixels] (OFF = 0, ON = 1).

    Without ``add`` a pixel is 1 where at least one event falls.
    """
    for slot in range(first, stop):
        out[slot] = 0.0
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                # Not a branch: the next polarity cannot be foreseen.
                polarity = np.int64(p[i])
                if add:
                    out[slot, polarity, pixel] += np.float32(1.0)
                else:
                    out[slot, polarity, pixel] = np.float32(1.0)


@numba.njit(nogil=True, cache=True)
def fill_sums(
    x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, width: int,
    height: int, out: F32,
) -> None:  # fmt: skip
    """Sum the polarities, ON +1 and OFF -1, in ``out`` [slots, 1, pixels]."""
    for slot in range(first, stop):
        image = out[slot, 0]
        image[:] = 0.0
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                image[pixel] += np.float32(np.int64(p[i]) * 2 - 1)


@numba.njit(nogil=True, cache=True)
def fill_last(
    x: U16, y: U16, p: Bool, table: I32, bounds: I64, width: int, height: int, out: F32
) -> None:
    """Write the last polarity per pixel since each ``bounds[level]`` to ``out`` [levels, pixels].

    From the most recent level backward: a level is its own events, overlaid by the next level.
    """
    levels = out.shape[0]
    for level in range(levels - 1, -1, -1):
        image = out[level]
        image[:] = 0.0
        for i in range(bounds[level], bounds[level + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                image[pixel] = np.float32(np.int64(p[i]) * 2 - 1)
        if level + 1 < levels:
            later = out[level + 1]
            for j in range(image.size):
                if later[j] != 0.0:
                    image[j] = later[j]


@numba.njit(nogil=True, cache=True)
def fill_surface(
    t: I64, x: U16, y: U16, p: Bool, table: I32, bounds: I64, edges: I64, tau_us: float,
    width: int, height: int, out: F32,
) -> None:  # fmt: skip
    """Write ``exp(-(slot end - last event) / tau)`` per polarity to ``out`` [slots, 2, pixels].

    Each slot is the one before, decayed over its length, with its own events written over it.
    """
    for slot in range(out.shape[0]):
        off, on = out[slot, 0], out[slot, 1]
        if slot:
            decay = np.float32(math.exp(-(edges[slot + 1] - edges[slot]) / tau_us))
            for j in range(off.size):
                off[j] = out[slot - 1, 0, j] * decay
                on[j] = out[slot - 1, 1, j] * decay
        else:
            off[:] = 0.0
            on[:] = 0.0
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                value = math.exp((t[i] - edges[slot + 1]) / tau_us)
                out[slot, np.int64(p[i]), pixel] = np.float32(value)


@numba.njit(nogil=True, cache=True)
def normalize(grid: F32) -> None:
    """Give the values of ``grid`` [n] that are not zero mean 0 and standard deviation 1.

    The unbiased deviation; where it is zero only the mean is taken off. Sums in float64.
    """
    count, total, squares = 0, 0.0, 0.0
    for j in range(grid.size):
        if grid[j] != 0.0:
            count += 1
            total += grid[j]
    if count == 0:
        return
    mean = total / count
    for j in range(grid.size):
        if grid[j] != 0.0:
            squares += (grid[j] - mean) ** 2
    deviation = math.sqrt(squares / (count - 1)) if count > 1 else 0.0
    factor = 1.0 / deviation if deviation > 0.0 else 1.0
    for j in range(grid.size):
        if grid[j] != 0.0:
            grid[j] = np.float32((grid[j] - mean) * factor)
