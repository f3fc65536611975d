"""The inner loops of the voxel grids: events sorted by bands of the image, then added band by band.

One bin of 640 x 480 pixels does not fit the cache that a core has to itself, so adding events as
they come waits for memory nearly every time. A counting sort, which reads and writes in streams
and keeps the order of time, puts the events of one band next to each other; then the band is
summed over all slots while it stays in that cache. Each pixel gets its events in the order of time
as before.

Slot ``k`` lies between the bins ``k`` and ``k + 1``. A call takes ``pieces`` [n, 3] int64 of
consecutive slots, ``slot, first event, stop``, with no more events than the memory to sort them
holds. ``out`` [bins, pixels] are the bins; ``tail`` [pixels] is taken for the bin ``stop``, because
another thread may be writing that one. Bins up to ``begun`` hold sums already, later ones anything.
The share of an event in its later bin carries the sign of its polarity, -0.0 included.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.encode.kernels import F32, I32, I64, U16, Bool, Pixels

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

BLOCK = 1024
"""Events whose values are computed, several at a time, before any is sorted; these fit in L1."""

OUTSIDE = np.uint32(0xFFFFFFFF)
"""The pixel, or band, of an event that is not on the image."""

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill_voxels(
    t: I64, x: U16, y: U16, p: Bool, table: I32, pieces: I64, begun: int, stop: int, t0_us: int,
    length_us: int, width: int, height: int, band_bits: int, out: F32, tail: F32, chosen: U32,
    ordered: F32,
) -> None:  # fmt: skip
    """Split ON +1 and OFF -1 linearly between the bins on either side of each event.

    ``table`` gives the flat pixel of a raw pixel as in ``data.encode.kernels``. A band has
    ``2 ** band_bits`` pixels. ``chosen`` [N] and ``ordered`` [N, 2] are written and read here only.
    """
    slots, size = out.shape[0] - 1, out.shape[1]
    bits = np.uint32(band_bits)
    bands = ((size - 1) >> band_bits) + 1
    origin = pieces[0, 1]
    places = np.zeros((pieces.shape[0], bands + 1), np.uint64)
    for n in range(pieces.shape[0]):
        begin, end = pieces[n, 1], pieces[n, 2]
        pixel = chosen[begin - origin : end - origin]
        _pixels(x[begin:end], y[begin:end], table, width, height, pixel)
        _count(pixel, bits, places[n])
    _places(places)

    late, indices = np.empty(BLOCK, np.float32), ordered.view(np.uint32)
    for n in range(pieces.shape[0]):
        for begin in range(pieces[n, 1], pieces[n, 2], BLOCK):
            end = min(begin + BLOCK, pieces[n, 2])
            pixel = chosen[begin - origin : end - origin]
            _late(t[begin:end], p[begin:end], pieces[n, 0], slots, t0_us, length_us, late)
            for i in range(pixel.size):
                band = min(pixel[i] >> bits, np.uint32(bands))
                k = places[n, band]
                places[n, band] = k + np.uint64(1)
                indices[k, 0] = pixel[i]
                ordered[k, 1] = late[i]

    k = np.uint64(0)
    for band in range(bands):
        low, high = band << band_bits, min(size, (band + 1) << band_bits)
        reached = begun
        for n in range(pieces.shape[0]):
            slot = pieces[n, 0]
            early, later = out[slot], (out[slot + 1] if slot + 1 < stop else tail)
            if reached < slot:
                early[low:high] = _ZERO
            if reached < slot + 1:
                later[low:high] = _ZERO
                reached = slot + 1
            end = places[n, band]
            for i in range(k, end):
                j, share = indices[i, 0], ordered[i, 1]
                early[j] += math.copysign(_ONE, share) - share
                later[j] += share
            k = end


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill_trilinear(
    t: I64, x: F32, y: F32, p: Bool, pieces: I64, begun: int, stop: int, t0_us: int,
    length_us: int, width: int, height: int, band_bits: int, out: F32, tail: F32, ordered: F32,
    tiles: F32,
) -> None:  # fmt: skip
    """Split events between two bins and the four pixels around a float coordinate.

    What falls on pixels outside the image is lost. ``x`` and ``y`` begin with the first event of
    ``pieces``. A band has ``2 ** band_bits`` rows. ``tiles`` [2, band rows + 1, width + 2], zero
    before and after, are a band of the early and of the later bin with a frame of pixels that are
    not on the image; the last row belongs to the next band too. ``ordered`` [N, 4].
    """
    slots = out.shape[0] - 1
    rows, columns = tiles.shape[1], tiles.shape[2]
    bands = (height >> band_bits) + 1
    origin = pieces[0, 1]
    places = np.zeros((pieces.shape[0], bands + 1), np.uint64)
    which, pixel = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    right, lower = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    late, indices = np.empty(BLOCK, np.float32), ordered.view(np.uint32)
    for n in range(pieces.shape[0]):
        for begin in range(pieces[n, 1] - origin, pieces[n, 2] - origin, BLOCK):
            end = min(begin + BLOCK, pieces[n, 2] - origin)
            _corners(x[begin:end], y[begin:end], width, height, band_bits, which, pixel, right,
                     lower)  # fmt: skip
            _count(which[: end - begin], np.uint32(0), places[n])
    _places(places)

    for n in range(pieces.shape[0]):
        for begin in range(pieces[n, 1], pieces[n, 2], BLOCK):
            end = min(begin + BLOCK, pieces[n, 2])
            _corners(x[begin - origin : end - origin], y[begin - origin : end - origin], width,
                     height, band_bits, which, pixel, right, lower)  # fmt: skip
            _late(t[begin:end], p[begin:end], pieces[n, 0], slots, t0_us, length_us, late)
            for i in range(end - begin):
                band = min(which[i], np.uint32(bands))
                k = places[n, band]
                places[n, band] = k + np.uint64(1)
                indices[k, 0] = pixel[i]
                ordered[k, 1] = right[i]
                ordered[k, 2] = lower[i]
                ordered[k, 3] = late[i]

    flat = tiles.reshape(2, rows * columns)
    k = np.uint64(0)
    for band in range(bands):
        turn = 0
        for n in range(pieces.shape[0]):
            slot = pieces[n, 0]
            _splat(ordered, indices, k, places[n, band], flat[turn], flat[1 - turn], columns)
            k = places[n, band]
            if n + 1 == pieces.shape[0] or pieces[n + 1, 0] > slot:
                _flush(tiles[turn], band * (rows - 1) - 1, width, height, slot <= begun, out[slot])
                turn = 1 - turn
        slot = pieces[pieces.shape[0] - 1, 0] + 1
        image = out[slot] if slot < stop else tail
        _flush(tiles[turn], band * (rows - 1) - 1, width, height, slot <= begun, image)


@numba.njit(nogil=True, cache=True)
def look_up(x: Pixels, y: Pixels, forward: F32, to_x: F32, to_y: F32) -> None:
    """Write the float coordinate of each event: ``forward`` [rows, cols, 2] at its raw pixel.

    An empty ``forward`` means that ``x`` and ``y`` are coordinates; outside of it there is NaN.
    """
    if forward.size == 0:
        for i in range(x.size):
            to_x[i], to_y[i] = np.float32(x[i]), np.float32(y[i])
        return
    rows, columns = np.uint32(forward.shape[0]), np.uint32(forward.shape[1])
    for i in range(x.size):
        row, col = np.uint32(y[i]), np.uint32(x[i])
        if row < rows and col < columns:
            to_x[i], to_y[i] = forward[row, col, 0], forward[row, col, 1]
        else:
            to_x[i] = to_y[i] = np.float32(np.nan)


@numba.njit(nogil=True, cache=True)
def _pixels(x: U16, y: U16, table: I32, width: int, height: int, pixel: U32) -> None:
    """Write the flat pixel of each event, or ``OUTSIDE``."""
    columns, rows = np.uint32(width), np.uint32(height)
    if table.size == 0:
        for i in range(x.size):
            inside = (np.uint32(x[i]) < columns) & (np.uint32(y[i]) < rows)
            flat = np.uint32(y[i]) * columns + np.uint32(x[i])
            pixel[i] = flat if inside else OUTSIDE
        return
    rows, columns = np.uint32(table.shape[0]), np.uint32(table.shape[1])
    for i in range(x.size):
        row, col = np.uint32(y[i]), np.uint32(x[i])
        # -1, the pixel outside, becomes OUTSIDE.
        pixel[i] = np.uint32(table[row, col]) if row < rows and col < columns else OUTSIDE


@numba.njit(nogil=True, cache=True)
def _count(pixel: U32, band_bits: np.uint32, counts: U64) -> None:
    """Add the events of each band to ``counts``, whose last entry takes those outside."""
    last = np.uint32(counts.size - 1)
    for i in range(pixel.size):
        counts[min(pixel[i] >> band_bits, last)] += np.uint64(1)


@numba.njit(nogil=True, cache=True)
def _places(counts: U64) -> None:
    """Turn the counts [pieces, bands] into where each begins, band by band, in the sorted events.

    The sort then moves each to where it ends.
    """
    total = np.uint64(0)
    for band in range(counts.shape[1]):
        for n in range(counts.shape[0]):
            count = counts[n, band]
            counts[n, band] = total
            total += count


@numba.njit(nogil=True, cache=True)
def _late(t: I64, p: Bool, slot: int, slots: int, t0_us: int, length_us: int, late: F32) -> None:
    """Write the share of the later bin, negative for OFF."""
    scale = np.float32(1.0 / length_us)
    begin = slot * length_us
    for i in range(t.size):
        # In integers up to here: the share is exact at the bins, for any clock.
        share = np.float32((t[i] - t0_us) * slots - begin) * scale
        late[i] = share * (np.float32(np.int32(p[i]) * np.int32(2) - np.int32(1)))


@numba.njit(nogil=True, cache=True)
def _corners(
    x: F32, y: F32, width: int, height: int, band_bits: int, band: U32, pixel: U32, right: F32,
    lower: F32,
) -> None:  # fmt: skip
    """Write where in a tile the upper left of four pixels is, and the shares right and below."""
    columns, rows = np.float32(width), np.float32(height)
    within = np.int32((1 << band_bits) - 1)
    stride = np.int32(width + 2)
    for i in range(x.size):
        # Written so that NaN is outside too.
        inside = (x[i] > -_ONE) & (y[i] > -_ONE) & (x[i] < columns) & (y[i] < rows)
        left, top = np.float32(math.floor(x[i])), np.float32(math.floor(y[i]))
        # The frame: column 0 of a tile is column -1 of the image.
        row, col = np.int32(top) + np.int32(1), np.int32(left) + np.int32(1)
        band[i] = np.uint32(row >> band_bits) if inside else OUTSIDE
        pixel[i] = np.uint32((row & within) * stride + col)
        right[i], lower[i] = x[i] - left, y[i] - top


@numba.njit(nogil=True, cache=True)
def _splat(
    ordered: F32, indices: U32, first: np.uint64, stop: np.uint64, early: F32, later: F32,
    columns: int,
) -> None:  # fmt: skip
    """Add sorted events to the tiles of their two bins."""
    one, down = np.uint64(1), np.uint64(columns)
    for k in range(first, stop):
        j = np.uint64(indices[k, 0])
        right, lower, late = ordered[k, 1], ordered[k, 2], ordered[k, 3]
        soon = math.copysign(_ONE, late) - late
        left, upper = _ONE - right, _ONE - lower
        early[j] += soon * left * upper
        early[j + one] += soon * right * upper
        later[j] += late * left * upper
        later[j + one] += late * right * upper
        j += down
        early[j] += soon * left * lower
        early[j + one] += soon * right * lower
        later[j] += late * left * lower
        later[j + one] += late * right * lower


@numba.njit(nogil=True, cache=True)
def _flush(tile: F32, top: int, width: int, height: int, add: bool, image: F32) -> None:
    """Move a tile, whose first row is the row ``top``, to the image, and zero it.

    The first row has been written by the band above as its last; the others are added to what is
    there only if ``add``.
    """
    for r in range(tile.shape[0]):
        row = top + r
        if 0 <= row < height:
            values, pixels = tile[r, 1 : width + 1], image[row * width : (row + 1) * width]
            if r == 0 or add:
                for j in range(width):
                    pixels[j] += values[j]
            else:
                for j in range(width):
                    pixels[j] = values[j]
    tile[:] = _ZERO
