"""What the spikes of one line add to one row of currents: the innermost loop of all nodes.

Runs have few lengths, and a loop for one length is more than twice as fast as one that counts
vectors, so the usual lengths have a loop each.
"""

from typing import Any

import numba

from nas.sparse.vector_kernels import NARROW, WIDE, add, entry

CROWDED = 8
"""A list with a spike for every so many columns is crowded: runs of neighbours overlap."""


def _line_of(lanes: int) -> Any:
    """Return the loop for runs of one length."""

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def line(
        at: int, step: int, shift: int, weights: int, stride: int, first: int, last: int,
        places: int, numbers: int, to: int,
    ) -> None:  # fmt: skip
        other = at + shift
        n = first
        while n + 1 < last:
            a, b = entry(places, n), entry(places, n + 1)
            add(to, at + (a >> 16) * step, numbers, weights + (a & 0xFFFF) * stride, lanes)
            add(to, other + (b >> 16) * step, numbers, weights + (b & 0xFFFF) * stride, lanes)
            n += 2
        if n < last:
            a = entry(places, n)
            add(to, at + (a >> 16) * step, numbers, weights + (a & 0xFFFF) * stride, lanes)

    return line


_line_8, _line_16, _line_24, _line_32, _line_40 = map(_line_of, (8, 16, 24, 32, 40))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_run(to: int, at: int, values: int, first: int, length: int) -> None:
    """Add any number of numbers; fastest are multiples of 8."""
    place = 0
    while place + WIDE <= length:
        add(to, at + place, values, first + place, 16)
        place += WIDE
    if place + NARROW <= length:
        add(to, at + place, values, first + place, 8)
        place += NARROW
    while place < length:
        add(to, at + place, values, first + place, 1)
        place += 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_line(
    length: int, at: int, step: int, shift: int, weights: int, stride: int, first: int, last: int,
    places: int, numbers: int, to: int,
) -> None:  # fmt: skip
    """Add a run for every spike of a list.

    A run is added to numbers that are in memory, and must wait for the run before it if that has
    just written there. So every second spike goes to another row, to be added to the first one
    later; where there are few spikes it may be the same.

    Args:
        length: of a run, a multiple of 8.
        at: where the run of a spike in column 0 begins.
        step: from the run of one column to that of the next.
        shift: to the other row; 0 for the same.
        weights: where the run of channel 0 begins among the numbers.
        stride: from there to that of channel 1.
        first: entry of the list.
        last: after its end.
        places: address of all lists.
        numbers: of all numbers.
        to: of the rows of currents.
    """
    if length == 8:
        _line_8(at, step, shift, weights, stride, first, last, places, numbers, to)
    elif length == 16:
        _line_16(at, step, shift, weights, stride, first, last, places, numbers, to)
    elif length == 24:
        _line_24(at, step, shift, weights, stride, first, last, places, numbers, to)
    elif length == 32:
        _line_32(at, step, shift, weights, stride, first, last, places, numbers, to)
    elif length == 40:
        _line_40(at, step, shift, weights, stride, first, last, places, numbers, to)
    else:
        for n in range(first, last):
            a = entry(places, n)
            tap = weights + (a & 0xFFFF) * stride
            add_run(to, at + (a >> 16) * step, numbers, tap, length)
