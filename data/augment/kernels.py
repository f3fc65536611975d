"""The inner loops of the augmentations.

Coordinates are float32 at rectified pixels; the pixel ``c`` owns ``[c - 0.5, c + 0.5)``.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U32 = npt.NDArray[np.uint32]
Bool = npt.NDArray[np.bool_]

SAME_SURFACE_PX = 1.0
"""Neighbors whose disparities differ by no more are one surface, which does not hide itself."""


@numba.njit(nogil=True, cache=True)
def move(values: F32, sign: int, offset: int, out: F32) -> None:
    """Write ``sign * values + offset``, in the pixel ``sign * pixel + offset`` to the last bit.

    Pixels are half-open, so a mirrored border would belong to the next pixel, and rounding to
    float32 may cross a border: such values are put on the right side of it.
    """
    for i in range(values.size):
        value = np.float64(values[i])
        pixel = sign * np.floor(value + 0.5) + offset
        moved = np.float32(sign * value + offset)
        if moved < pixel - 0.5:
            moved = np.float32(pixel - 0.5)
        if moved >= pixel + 0.5:
            moved = np.nextafter(np.float32(pixel + 0.5), np.float32(-np.inf))
        out[i] = moved


@numba.njit(nogil=True, cache=True)
def mark_near(x: F32, y: F32, row: int, col: int, height: int, width: int, keep: Bool) -> None:
    """Mark the events on a part of the image or on the ring of one pixel around it."""
    for i in range(x.size):
        r = math.floor(np.float64(y[i]) + 0.5) - row
        c = math.floor(np.float64(x[i]) + 0.5) - col
        keep[i] = -1 <= r <= height and -1 <= c <= width


@numba.njit(nogil=True, cache=True)
def find_front(disparity: F32, valid: Bool, front: F32) -> None:
    """Write the largest disparity that touches each pixel of a row ``[W]`` of the right view.

    A surface point between two pixels touches both. -1 where nothing is known; values of
    ``disparity`` that are neither valid nor positive are unknown.
    """
    width = front.size
    front[:] = -1.0
    for col in range(width):
        d = disparity[col]
        if (valid[col] or d > 0) and d <= width:
            place = col - np.float64(d)
            low = math.floor(place)
            if 0 <= low < width:
                front[low] = max(front[low], d)
            if place > low and 0 <= low + 1 < width:
                front[low + 1] = max(front[low + 1], d)


@numba.njit(nogil=True, cache=True)
def to_right_view(disparity: F32, valid: Bool, out: F32, out_valid: Bool) -> None:
    """Write the disparity of the left view as the right camera sees it, all arrays ``[H, W]``.

    The surface at ``x`` of the left view lies at ``x - d`` of the right one and belongs there to
    the nearest pixel; of several the one with the largest disparity is in front. A pixel that is
    touched by a surface in front of its own by more than ``SAME_SURFACE_PX`` is hidden, else the
    far surface would shine through the gaps of a slanted near one.
    """
    height, width = disparity.shape
    front = np.empty(width, np.float32)
    for row in range(height):
        find_front(disparity[row], valid[row], front)
        out[row, :] = -1.0
        out_valid[row, :] = False
        for col in range(width):
            d = disparity[row, col]
            if not ((valid[row, col] or d > 0) and d <= width):
                continue
            there = math.floor(col - np.float64(d) + 0.5)
            if there < 0 or there >= width or d <= out[row, there]:
                continue
            if d >= front[there] - SAME_SURFACE_PX:
                out[row, there] = d
                out_valid[row, there] = valid[row, col]
        for col in range(width):
            out[row, col] = max(out[row, col], np.float32(0.0))


@numba.njit(nogil=True, cache=True)
def thin(x: F32, y: F32, p: Bool, share_off: int, share_on: int, counts: U32, keep: Bool) -> None:
    """Mark every k-th event of each pixel and polarity, ``k`` a fraction on average.

    Args:
        x: columns.
        y: rows.
        p: polarities.
        share_off: share of OFF events to keep, times 2**32.
        share_on: the same of ON events.
        counts: ``[2, H + 2, W + 2]`` fractions counted so far, times 2**32; changed. Events outside
            the image share the counters of the ring around it.
        keep: written.
    """
    _, rows, cols = counts.shape
    for i in range(x.size):
        row = math.floor(np.float64(y[i]) + 0.5) + 1
        col = math.floor(np.float64(x[i]) + 0.5) + 1
        row = min(max(row, 0), rows - 1)
        col = min(max(col, 0), cols - 1)
        kind = 1 if p[i] else 0
        total = np.int64(counts[kind, row, col]) + (share_on if p[i] else share_off)
        keep[i] = total >= 4294967296
        counts[kind, row, col] = np.uint32(total & 4294967295)
