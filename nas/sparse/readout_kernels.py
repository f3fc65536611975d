"""A convolution of spikes summed over time steps, once after the last of them.

Whatever is linear may be computed on the sum. Spikes are added up in rows of one channel each, so
that a row of results is a few sums of whole rows, and rows that nothing fired in are left out.
"""

import numba
import numpy as np

from nas.fused.group_kernels import GROUPS, I64, done, take
from nas.fused.step_kernels import F32
from nas.sparse.node_kernels import I32, U8, U32

TAPS = 3
"""Along every axis."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_spikes(table: I64, places: U32, counts: I32, total: F32, marks: U8, tickets: I64) -> None:
    """Add the spikes of a map to their sum over time.

    Args:
        table: offsets of lists and counts, lines and columns of the map, its channels; channels of
            the sum and which of them is the map's first.
        places: all lists.
        counts: all counts.
        total: ``[lines, channels, columns]``, flat.
        marks: ``[lines, channels]``, flat; 1 where anything has fired.
        tickets: groups of rows that are not taken yet.
    """
    lines, columns, slot, channels = table[2], table[3], table[3] * table[4], table[5]
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            begin = line * channels + table[6]
            first = table[0] + line * slot
            for n in range(first, first + counts[table[1] + line]):
                row = begin + np.int64(places[n] & 0xFFFF)
                total[row * columns + np.int64(places[n] >> 16)] += np.float32(1.0)
                marks[row] = 1
        done(tickets)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_row(row: F32, left: float, middle: float, right: float, out: F32) -> None:
    """Add a row under three taps; there is nothing beyond its ends."""
    last = row.size - 1
    for x in range(1, last):
        out[x] += left * row[x - 1] + middle * row[x] + right * row[x + 1]
    if last == 0:
        out[0] += middle * row[0]
    else:
        out[0] += middle * row[0] + right * row[1]
        out[last] += left * row[last - 1] + middle * row[last]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def read_out(
    size: I64, total: F32, marks: U8, weights: F32, bias: float, out: F32, tickets: I64
) -> None:
    """Write a convolution of 3 x 3 x 3 taps to one channel.

    Args:
        size: planes, rows, columns and channels of the sum.
        total: ``[planes, rows, channels, columns]``, flat.
        marks: ``[planes, rows, channels]``, flat; 0 where all of a row is zero.
        weights: ``[3, 3, channels, 3]``, flat: of z, y, and along x.
        bias: of the result.
        out: ``[planes, rows, columns]``, flat.
        tickets: groups of rows that are not taken yet.
    """
    planes, rows, columns, channels = size[0], size[1], size[2], size[3]
    lines = planes * rows
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            to = out[line * columns : (line + 1) * columns]
            to[:] = bias
            for z in range(max(0, line // rows - 1), min(planes, line // rows + 2)):
                for y in range(max(0, line % rows - 1), min(rows, line % rows + 2)):
                    first = (z * rows + y) * channels
                    taps = (z - line // rows + 1) * TAPS + y - line % rows + 1
                    for c in range(channels):
                        if marks[first + c]:
                            begin = (first + c) * columns
                            tap = (taps * channels + c) * TAPS
                            _add_row(
                                total[begin : begin + columns], weights[tap], weights[tap + 1],
                                weights[tap + 2], to,
                            )  # fmt: skip
        done(tickets)
