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
def fill_spikes(
    x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, width: int,
    height: int, out: F32,
) -> None:  # fmt: skip
    """Set ``out`` [slots, 2, pixels] to 1 where at least one event falls (OFF = 0, ON = 1)."""
    for slot in range(first, stop):
        off, on = out[slot, 0], out[slot, 1]
        off[:] = 0.0
        on[:] = 0.0
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                if p[i]:
                    on[pixel] = 1.0
                else:
                    off[pixel] = 1.0


@numba.njit(nogil=True, cache=True)
def fill_counts(
    x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, width: int,
    height: int, out: F32,
) -> None:  # fmt: skip
    """Count the events of each polarity in ``out`` [slots, 2, pixels] (OFF = 0, ON = 1)."""
    for slot in range(first, stop):
        off, on = out[slot, 0], out[slot, 1]
        off[:] = 0.0
        on[:] = 0.0
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                if p[i]:
                    on[pixel] += np.float32(1.0)
                else:
                    off[pixel] += np.float32(1.0)


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
                image[pixel] += np.float32(1.0) if p[i] else np.float32(-1.0)


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
                image[pixel] = 1.0 if p[i] else -1.0
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
                value = np.float32(math.exp((t[i] - edges[slot + 1]) / tau_us))
                if p[i]:
                    on[pixel] = value
                else:
                    off[pixel] = value


@numba.njit(nogil=True, cache=True)
def fill_voxels(
    t: I64, x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, t0_us: int,
    length_us: int, width: int, height: int, out: F32, pair: F32, tail: F32,
) -> None:  # fmt: skip
    """Split ON +1 and OFF -1 linearly between the bins on either side of each event.

    Slot ``k`` lies between the bins ``k`` and ``k + 1`` of ``out`` [bins, pixels]. The two bins are
    summed in ``pair`` [pixels, 2], where both halves of an event share a cache line; ``pair`` is
    zero before and after. Writes the bins ``first`` to ``stop - 1``, and what belongs to the
    bin ``stop`` to ``tail``, because another thread may be writing that bin.
    """
    slots = out.shape[0] - 1
    scale = np.float32(1.0 / length_us)
    for slot in range(first, stop):
        begin = slot * length_us
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                # In integers up to here: the share is exact at the bins, for any clock.
                late = np.float32((t[i] - t0_us) * slots - begin) * scale
                sign = np.float32(1.0) if p[i] else np.float32(-1.0)
                late *= sign
                pair[pixel, 0] += sign - late
                pair[pixel, 1] += late
        image = out[slot]
        for j in range(image.size):
            image[j] = pair[j, 0]
            pair[j, 0] = pair[j, 1]
            pair[j, 1] = 0.0
    for j in range(tail.size):
        tail[j] = pair[j, 0]
        pair[j, 0] = 0.0


@numba.njit(nogil=True, cache=True)
def add_voxels(
    t: I64, x: U16, y: U16, p: Bool, table: I32, bounds: I64, first: int, stop: int, t0_us: int,
    length_us: int, width: int, height: int, out: F32, tail: F32,
) -> None:  # fmt: skip
    """Do what ``fill_voxels`` does, faster where events are far fewer than pixels."""
    slots = out.shape[0] - 1
    scale = np.float32(1.0 / length_us)
    out[first:stop] = 0.0
    tail[:] = 0.0
    for slot in range(first, stop):
        begin = slot * length_us
        early, later = out[slot], (out[slot + 1] if slot + 1 < stop else tail)
        for i in range(bounds[slot], bounds[slot + 1]):
            pixel = _pixel(x[i], y[i], table, width, height)
            if pixel >= 0:
                late = np.float32((t[i] - t0_us) * slots - begin) * scale
                sign = np.float32(1.0) if p[i] else np.float32(-1.0)
                late *= sign
                early[pixel] += sign - late
                later[pixel] += late


@numba.njit(nogil=True, cache=True, inline="always")
def _corner(
    pair: F32,
    row: np.int64,
    col: np.int64,
    width: int,
    height: int,
    early: np.float32,
    late: np.float32,
    share: np.float32,
) -> None:
    """Add a share of an event to one of its four pixels, if that is on the image."""
    if row >= 0 and col >= 0 and row < height and col < width:
        pair[row * width + col, 0] += early * share
        pair[row * width + col, 1] += late * share


@numba.njit(nogil=True, cache=True)
def _splat(
    t: I64, x: Pixels, y: Pixels, p: Bool, first: int, stop: int, start: int, t0_us: int,
    begin: int, slots: int, scale: np.float32, width: int, height: int, pair: F32,
) -> None:  # fmt: skip
    """Add the events ``first`` to ``stop - 1`` at float coordinates to ``pair`` [pixels, 2].

    ``x`` and ``y`` begin with the event ``start``. The share of the later bin is
    ``((t - t0) slots - begin) scale``.
    """
    one = np.float32(1.0)
    flat = pair.reshape(-1)
    for i in range(first, stop):
        fx, fy = np.float32(x[i - start]), np.float32(y[i - start])
        # Written so that NaN is outside too.
        if not (fx > -1.0 and fy > -1.0 and fx < width and fy < height):
            continue
        floor_x, floor_y = math.floor(fx), math.floor(fy)
        col, row = np.int64(floor_x), np.int64(floor_y)
        right, lower = fx - np.float32(floor_x), fy - np.float32(floor_y)
        left, upper = one - right, one - lower
        sign = one if p[i] else -one
        late = np.float32((t[i] - t0_us) * slots - begin) * scale * sign
        early = sign - late
        if row >= 0 and col >= 0 and row + 1 < height and col + 1 < width:
            # Both columns and both bins are four neighbors in memory.
            k = 2 * (row * width + col)
            flat[k] += early * left * upper
            flat[k + 1] += late * left * upper
            flat[k + 2] += early * right * upper
            flat[k + 3] += late * right * upper
            k += 2 * width
            flat[k] += early * left * lower
            flat[k + 1] += late * left * lower
            flat[k + 2] += early * right * lower
            flat[k + 3] += late * right * lower
        else:
            _corner(pair, row, col, width, height, early, late, left * upper)
            _corner(pair, row, col + 1, width, height, early, late, right * upper)
            _corner(pair, row + 1, col, width, height, early, late, left * lower)
            _corner(pair, row + 1, col + 1, width, height, early, late, right * lower)


@numba.njit(nogil=True, cache=True)
def fill_trilinear(
    t: I64, x: Pixels, y: Pixels, p: Bool, forward: F32, bounds: I64, first: int, stop: int,
    t0_us: int, length_us: int, width: int, height: int, out: F32, pair: F32, tail: F32,
    block: F32,
) -> None:  # fmt: skip
    """Split events between two bins and the four pixels around a float coordinate.

    ``forward`` [rows, cols, 2] is the float coordinate of each raw pixel; if it is empty, ``x`` and
    ``y`` are coordinates themselves. What falls on pixels outside the image is lost. Bins, ``pair``
    and ``tail`` as in ``fill_voxels``.

    Coordinates are looked up for a ``block`` [2, n] of events before these are added: looking up
    and adding touch memory at random, and one event at a time each would wait for the other.
    """
    slots = out.shape[0] - 1
    scale = np.float32(1.0 / length_us)
    for slot in range(first, stop):
        begin = slot * length_us
        if forward.size == 0:
            _splat(t, x, y, p, bounds[slot], bounds[slot + 1], 0, t0_us, begin, slots, scale,
                   width, height, pair)  # fmt: skip
        else:
            for start in range(bounds[slot], bounds[slot + 1], block.shape[1]):
                stop_at = min(start + block.shape[1], bounds[slot + 1])
                for i in range(start, stop_at):
                    row, col = np.int64(y[i]), np.int64(x[i])
                    if row < forward.shape[0] and col < forward.shape[1]:
                        block[0, i - start] = forward[row, col, 0]
                        block[1, i - start] = forward[row, col, 1]
                    else:
                        block[0, i - start] = np.nan
                _splat(t, block[0], block[1], p, start, stop_at, start, t0_us, begin, slots,
                       scale, width, height, pair)  # fmt: skip
        image = out[slot]
        for j in range(image.size):
            image[j] = pair[j, 0]
            pair[j, 0] = pair[j, 1]
            pair[j, 1] = 0.0
    for j in range(tail.size):
        tail[j] = pair[j, 0]
        pair[j, 0] = 0.0


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
