"""The one pass over a tensor that exact counting needs, serial and without the interpreter's lock.

A tensor is read in the order of its memory, as rows of ``row_size`` elements, each cut into lines
of the width of a table; the last line of a row may be shorter. A table holds the fan-out of every
element of a line, and what is left of it (axes further out) is one number per line: line ``l`` of a
row has the table ``plan[l % P, 0]`` and the weight ``plan[l % P, 1]``. ``energy.events`` lays that
out and sees to it that the sums of one line fit into 32 bits.

Loops have no branches that depend on the data, and integers of 32 bits wherever they can: so they
become vector instructions. They tell whether everything was as declared, which is the
rule; where it was not, somebody slower counts again.
"""

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int32] | npt.NDArray[np.uint8]

NONZERO, EVENTS, ACCUMULATES = 0, 1, 2
"""Columns of the sums."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_words(
    x: Words, tables: I32, plan: I64, row_size: int, first: int, stop: int, mask: int, one: int,
    sums: I64,
) -> int:  # fmt: skip
    """Add up the elements of one value, their bits read as integers; return the bits of the others.

    Args:
        x: ``[rows * row_size]`` bits of the elements.
        tables: ``[K, width]`` fan-outs.
        plan: ``[P, 2]`` table and weight of every line.
        row_size: elements of a row.
        first: line to begin with, counted through all rows.
        stop: line to end before.
        mask: bits to look at; all, or all but the sign.
        one: what those bits are in the elements to count: a spike's, or 0.
        sums: ``[rows, 3]``, added to.
    """
    width, period = tables.shape[1], plan.shape[0]
    lines = -(-row_size // width)
    look, spike = np.int32(mask), np.int32(one)
    rest = np.int32(0)
    for line in range(first, stop):
        row = line // lines
        place = line - row * lines
        start = row * row_size + place * width
        here = x[start : min(start + width, (row + 1) * row_size)]
        table = tables[plan[place % period, 0]]
        spikes, events = np.int32(0), np.int32(0)
        for i in range(here.size):
            value = np.int32(np.int32(here[i]) & look)
            fires = np.int32(value == spike)
            spikes = np.int32(spikes + fires)
            events = np.int32(events + (table[i] & np.int32(-fires)))
            rest = np.int32(rest | (value & np.int32(fires - np.int32(1))))
        cost = events * plan[place % period, 1]
        sums[row, NONZERO] += spikes
        sums[row, EVENTS] += cost
        sums[row, ACCUMULATES] += cost
    return int(rest)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_multiples(
    x: F32, tables: I32, plan: I64, row_size: int, first: int, stop: int, unit: float, most: float,
    signed: bool, slack: float, sums: I64,
) -> int:  # fmt: skip
    """Add up lines of multiples of a unit; return how many elements are none.

    Args:
        x: ``[rows * row_size]`` elements.
        tables: ``[K, width]`` fan-outs.
        plan: ``[P, 2]`` table and weight of every line.
        row_size: elements of a row.
        first: line to begin with, counted through all rows.
        stop: line to end before.
        unit: what one event adds to a value.
        most: largest multiple; times the sum of a table it stays below 2**31.
        signed: whether multiples may be negative.
        slack: rounding error that is allowed, relative to the value.
        sums: ``[rows, 3]``, added to; what is no multiple costs one accumulate.
    """
    width, period = tables.shape[1], plan.shape[0]
    lines = -(-row_size // width)
    inverse, limit, give = np.float32(1 / unit), np.float32(most), np.float32(slack)
    half, nothing = np.float32(0.5), np.float32(0.0)
    lowest = np.float32(-np.inf) if signed else nothing
    strange = 0
    for line in range(first, stop):
        row = line // lines
        place = line - row * lines
        start = row * row_size + place * width
        here = x[start : min(start + width, (row + 1) * row_size)]
        table = tables[plan[place % period, 0]]
        nonzero, fitting, events, costs = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(here.size):
            ratio = here[i] * inverse
            size = abs(ratio)
            near = np.float32(np.floor(size + half))
            active = np.int32(here[i] != nothing)
            fits = (
                np.int32(abs(size - near) <= give * near)
                & np.int32(ratio >= lowest)
                & np.int32(near > nothing)
                & np.int32(near <= limit)
            )
            # Converted only where it fits: a NaN has no integer.
            times = np.int32(near if fits else np.float32(active))
            nonzero = np.int32(nonzero + active)
            fitting = np.int32(fitting + fits)
            events = np.int32(events + (table[i] & np.int32(-active)))
            costs = np.int32(costs + np.int32(times * table[i]))
        sums[row, NONZERO] += nonzero
        sums[row, EVENTS] += events * plan[place % period, 1]
        sums[row, ACCUMULATES] += costs * plan[place % period, 1]
        strange += int(nonzero - fitting)
    return strange


@numba.njit(nogil=True, cache=True, error_model="numpy")
def sum_bits(
    x: U8, tables: I32, plan: I64, row_size: int, first: int, stop: int, bits: int,
    sums: I64,
) -> None:  # fmt: skip
    """Add up lines of spikes packed eight to a byte, the first on top.

    Args:
        x: ``[rows * row_size]`` bytes.
        tables: ``[K, 8 * width]`` fan-outs: those of the bytes' first bits, of their second, and so
            on; then ``[8 * width]`` more, which are 1 where a bit is an element and 0 where it
            fills up a byte.
        plan: ``[P, 2]`` table and weight of every line.
        row_size: bytes of a row.
        first: line to begin with, counted through all rows.
        stop: line to end before.
        bits: of a byte. An argument, lest the loop over them be unrolled, which takes long.
        sums: ``[rows, 3]``, added to.
    """
    width, period = tables.shape[1] // bits, plan.shape[0]
    lines = -(-row_size // width)
    inside = tables[tables.shape[0] - 1]
    for line in range(first, stop):
        row = line // lines
        place = line - row * lines
        start = row * row_size + place * width
        here = x[start : min(start + width, (row + 1) * row_size)]
        table = tables[plan[place % period, 0]]
        spikes, events = np.int32(0), np.int32(0)
        for bit in range(bits):
            mask = np.int32(1 << (bits - 1 - bit))
            fans = table[bit * width : bit * width + here.size]
            counts = inside[bit * width : bit * width + here.size]
            for i in range(here.size):
                fires = np.int32((np.int32(here[i]) & mask) != 0)
                spikes = np.int32(spikes + (counts[i] & fires))
                events = np.int32(events + (fans[i] & np.int32(-fires)))
        cost = events * plan[place % period, 1]
        sums[row, NONZERO] += spikes
        sums[row, EVENTS] += cost
        sums[row, ACCUMULATES] += cost
