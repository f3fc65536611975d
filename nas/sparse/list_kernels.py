"""Lists of spikes from dense maps and from other lists; layouts as in ``node_kernels``."""

import numba
import numpy as np

from nas.fused.group_kernels import GROUPS, I64, done, take
from nas.fused.step_kernels import F32
from nas.sparse.node_kernels import I32, U8, U32

(
    FROM_PLACES, FROM_COUNTS, FROM_PLANES, FROM_ROWS, FROM_COLUMNS, CHANNELS, TO_PLACES, TO_COUNTS,
    TO_PLANES, TO_ROWS, TO_COLUMNS, FACTOR_Z, FACTOR, MAPS,
) = range(14)  # fmt: skip
"""Of a resize: offsets, size and channels there; offsets and size here; places there that are one
here, along z and along both other axes; offset of the maps from places here to places there."""

RESIZE_FIELDS = 14


@numba.njit(nogil=True, cache=True, error_model="numpy")
def pack(dense: F32, size: I64, to: I64, places: U32, counts: I32) -> int:
    """List what is not zero of ``dense`` ``[planes, channels, rows, columns]``, flat.

    Args:
        dense: zeros and ones.
        size: planes, channels, rows and columns of it.
        to: offsets of lists and counts, rows and columns of the map, which may have more of both;
            nothing is there.
        places: all lists.
        counts: all counts.

    Returns:
        How many values are neither zero nor one, which are no spikes.
    """
    planes, channels, rows, columns = size[0], size[1], size[2], size[3]
    slot, wrong = to[3] * channels, 0
    for plane in range(planes):
        for y in range(to[2]):
            line = plane * to[2] + y
            begin = to[0] + line * slot
            n = begin
            if y < rows:
                for x in range(columns):
                    for c in range(channels):
                        value = dense[((plane * channels + c) * rows + y) * columns + x]
                        if value != 0:
                            places[n] = np.uint32(x << 16 | c)
                            n += 1
                            wrong += value != 1
            counts[to[1] + line] = n - begin
    return wrong


@numba.njit(nogil=True, cache=True, error_model="numpy")
def unpack(table: I64, places: U32, counts: I32, dense: F32) -> None:
    """Write ones into ``[planes, rows, columns, channels]``, flat, wherever a map spikes.

    Args:
        table: offsets of lists and counts, lines, columns and channels of the map; channels of
            ``dense``, and which of them is the map's first.
        places: all lists.
        counts: all counts.
        dense: zeros, where it goes.
    """
    columns, slot, channels = table[3], table[3] * table[4], table[5]
    for line in range(table[2]):
        begin = line * columns * channels + table[6]
        first = table[0] + line * slot
        for n in range(first, first + counts[table[1] + line]):
            dense[begin + np.int64(places[n] >> 16) * channels + np.int64(places[n] & 0xFFFF)] = 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _mark(table: I64, plane: int, row: int, places: U32, counts: I32, seen: U8) -> bool:
    """Mark what spikes in a row after pooling; return whether anything does."""
    columns, channels, factor = table[TO_COLUMNS], table[CHANNELS], table[FACTOR]
    slot, found = table[FROM_COLUMNS] * channels, False
    share = ((1 << 32) + factor - 1) // factor  # x // factor is x * share >> 32, for 16 bits
    last_plane = min((plane + 1) * table[FACTOR_Z], table[FROM_PLANES])
    last_row = min((row + 1) * factor, table[FROM_ROWS])
    for z in range(plane * table[FACTOR_Z], last_plane):
        for y in range(row * factor, last_row):
            source = z * table[FROM_ROWS] + y
            first = table[FROM_PLACES] + source * slot
            for n in range(first, first + counts[table[FROM_COUNTS] + source]):
                x = np.int64(places[n] >> 16) * share >> 32
                if x < columns:
                    seen[x * channels + np.int64(places[n] & 0xFFFF)] = 1
                    found = True
    return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _list_marked(columns: int, channels: int, seen: U8, begin: int, places: U32) -> int:
    """List what is marked, and unmark it; return how much that is."""
    n, at = begin, 0
    for x in range(columns):
        for c in range(channels):
            # Written in any case and counted if it is marked: which one is cannot be foreseen.
            places[n] = np.uint32(x << 16 | c)
            n += seen[at]
            seen[at] = 0
            at += 1
    return n - begin


@numba.njit(nogil=True, cache=True, error_model="numpy")
def pool(table: I64, places: U32, counts: I32, tickets: I64) -> None:
    """Spike wherever one of the places does that fall together; the last ones may be fewer.

    Args:
        table: see above.
        places: all lists.
        counts: all counts.
        tickets: groups of rows that are not taken yet.
    """
    columns, channels = table[TO_COLUMNS], table[CHANNELS]
    lines, width = table[TO_PLANES] * table[TO_ROWS], columns * channels
    seen = np.zeros(width, np.uint8)
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            plane, row = line // table[TO_ROWS], line % table[TO_ROWS]
            begin, used = table[TO_PLACES] + line * width, 0
            if _mark(table, plane, row, places, counts, seen):
                used = _list_marked(columns, channels, seen, begin, places)
            counts[table[TO_COUNTS] + line] = used
        done(tickets)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def repeat(table: I64, places: U32, counts: I32, maps: I32, tickets: I64) -> None:
    """Repeat every spike at all places here whose nearest place there is its own.

    Args:
        table: see above.
        places: all lists.
        counts: all counts.
        maps: from places here to places there.
        tickets: groups of rows that are not taken yet.
    """
    columns, channels = table[TO_COLUMNS], table[CHANNELS]
    lines, width = table[TO_PLANES] * table[TO_ROWS], columns * channels
    slot = table[FROM_COLUMNS] * channels
    to_row = table[MAPS] + table[TO_PLANES]
    to_column = to_row + table[TO_ROWS]
    first_of = np.empty(table[FROM_COLUMNS] + 1, np.int64)
    first_of[:] = columns
    for x in range(columns - 1, -1, -1):
        first_of[maps[to_column + x]] = x
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            plane, row = line // table[TO_ROWS], line % table[TO_ROWS]
            source = np.int64(maps[table[MAPS] + plane]) * table[FROM_ROWS] + np.int64(
                maps[to_row + row]
            )
            first = table[FROM_PLACES] + source * slot
            begin, used = table[TO_PLACES] + line * width, 0
            for n in range(first, first + counts[table[FROM_COUNTS] + source]):
                there = np.int64(places[n] >> 16)
                for here in range(first_of[there], first_of[there + 1]):
                    places[begin + used] = np.uint32(here << 16) | (places[n] & np.uint32(0xFFFF))
                    used += 1
            counts[table[TO_COUNTS] + line] = used
        done(tickets)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _set(
    seen: U8, begin: int, channels: int, places: U32, first: int, last: int, value: int
) -> None:
    """Write a value wherever a list has an entry."""
    for n in range(first, last):
        x, c = np.int64(places[n] >> 16), np.int64(places[n] & 0xFFFF)
        seen[begin + x * channels + c] = value


@numba.njit(nogil=True, cache=True, error_model="numpy")
def coincide(table: I64, places: U32, counts: I32, tickets: I64) -> None:
    """Spike in plane ``d`` where the left view spikes at ``x`` and the right one at ``x - d``.

    Args:
        table: as of a resize. There the two cameras are planes, the left one first; here planes are
            disparities. ``FACTOR`` is the first channel here of ``CHANNELS``; ``FACTOR_Z`` is how
            many there are.
        places: all lists.
        counts: all counts, set to zero before the first channels are written.
        tickets: groups of rows that are not taken yet.
    """
    columns, channels, rows = table[FROM_COLUMNS], table[CHANNELS], table[FROM_ROWS]
    slot, to_slot, factor = columns * channels, columns * table[FACTOR_Z], table[FACTOR]
    before = table[TO_PLANES] * channels  # zeros, so that there is something left of column 0
    right = np.zeros(before + slot, np.uint8)
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for row in range(group * rows // GROUPS, (group + 1) * rows // GROUPS):
            first = table[FROM_PLACES] + (rows + row) * slot
            last = first + counts[table[FROM_COUNTS] + rows + row]
            _set(right, before, channels, places, first, last, 1)
            own = table[FROM_PLACES] + row * slot
            own_end = own + counts[table[FROM_COUNTS] + row]
            for plane in range(min(table[TO_PLANES], columns)):
                line = plane * table[TO_ROWS] + row
                to = table[TO_PLACES] + line * to_slot + counts[table[TO_COUNTS] + line]
                begin = to
                shift = before - plane * channels
                for n in range(own, own_end):
                    # Written in any case, counted if it coincides: which does cannot be foreseen.
                    x, c = np.int64(places[n] >> 16), np.int64(places[n] & 0xFFFF)
                    places[to] = np.uint32(places[n] + factor)
                    to += right[shift + x * channels + c]
                counts[table[TO_COUNTS] + line] += to - begin
            _set(right, before, channels, places, first, last, 0)
        done(tickets)
