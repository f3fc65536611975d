"""A node on lists of spikes: currents of its edges, the neuron, and the list of what fires.

All of it row by row: the currents of one output row stay in the first-level cache, the neuron
follows at once, and no map of currents is ever stored. Rows belong to threads, nothing else does.

Layouts. A map has ``P`` planes (of an image the two cameras), ``R`` rows, ``W`` columns and ``C``
channels. Its list has a slot of ``W*C`` entries for each of its ``P*R`` rows and how many of them
are used; an entry is ``x << 16 | c``. Lists of all maps share one array, so do all counts and all
numbers (weights, constants, states, currents); tables hold where each begins.

The weights of an edge are ``[taps along z][taps along y][C_in][run]``. A run is what one spike adds
to one row: the taps along x mirrored, ``C`` numbers each, all side by side, filled up with zeros to
whole vectors; of a dilated kernel each tap is a run of its own.
"""

import numba
import numpy as np
import numpy.typing as npt

from nas.fused.group_kernels import GROUPS, I64, done, take
from nas.fused.step_kernels import F32, call
from nas.sparse.vector_kernels import WIDE, add_narrow, add_wide

U32 = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

(
    PLANES, ROWS, COLUMNS, CHANNELS, PAD, BIAS, FIRES, PLACES, COUNTS, CONST, CONST_WIDTH, STATE,
    CURRENT_OUT, ADDS, RECTIFIES, STATES,
) = range(16)  # fmt: skip
"""Of a node: size; columns that runs may leave the row by; offset of a row of biases; whether it
fires; offsets of its list, counts, constants, their width, the state; offset of the currents that
it writes if it does not fire, whether it adds them to what is there, and whether it rectifies them;
rows of the state that are in use."""

NODE_FIELDS = 16

BLOCK = 32
"""Neurons that are looked at together for whether any fires."""

(
    KIND, DEPTH, HEIGHT, RUNS, SPACING, DILATION, REACH, WEIGHTS, INPUTS, RUN, FROM_PLACES,
    FROM_COUNTS, SLOT, FROM_PLANES, FROM_ROWS, FROM_COLUMNS, FROM_CURRENT, MAPS, OFFSET, FACTOR_Z,
) = range(20)  # fmt: skip
"""Of an edge: what it is; taps along z and y; runs of a spike in a row, the numbers between two of
them, rows and planes between two taps, columns that the first run lies to the left; offset of the
weights, channels of the input, length of a run; offsets of its list and counts, entries of a slot;
planes, rows and columns of the input; of currents their offset, and the offset of the maps from
places here to places there; of spikes passed on the first channel that they go to; of a repeated
input how many planes here one there is."""

EDGE_FIELDS = 20

TAPS, TILES, SAME, CURRENTS, REPEATED = range(5)
"""Kinds of edges: a convolution; one whose taps tile the input; spikes as they are; currents; a
convolution of an input of half the size, each spike of which is two along every axis."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_run(to: F32, at: int, values: F32, first: int, length: int) -> None:
    """Add a run, a multiple of 8 numbers."""
    place = 0
    while place + WIDE <= length:
        add_wide(to, at + place, values, first + place)
        place += WIDE
    if place < length:
        add_narrow(to, at + place, values, first + place)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_taps(
    edge: I64, plane: int, row: int, pad: int, channels: int,
    places: U32, counts: I32, numbers: F32, current: F32,
) -> None:  # fmt: skip
    """Add what the spikes around a row give it."""
    length, inputs = edge[RUN], edge[INPUTS]
    stride = edge[RUNS] * length
    left = (pad - edge[REACH]) * channels
    for kz in range(edge[DEPTH]):
        z = plane + (kz - edge[DEPTH] // 2) * edge[DILATION]
        if z < 0 or z >= edge[FROM_PLANES]:
            continue
        for ky in range(edge[HEIGHT]):
            y = row + (ky - edge[HEIGHT] // 2) * edge[DILATION]
            if y < 0 or y >= edge[FROM_ROWS]:
                continue
            line = z * edge[FROM_ROWS] + y
            first = edge[FROM_PLACES] + line * edge[SLOT]
            weights = edge[WEIGHTS] + (kz * edge[HEIGHT] + ky) * inputs * stride
            for n in range(first, first + counts[edge[FROM_COUNTS] + line]):
                at = left + np.int64(places[n] >> 16) * channels
                tap = weights + np.int64(places[n] & 0xFFFF) * stride
                for k in range(edge[RUNS]):
                    _add_run(current, at + k * edge[SPACING], numbers, tap + k * length, length)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_repeated(
    edge: I64, node: I64, plane: int, row: int, places: U32, counts: I32, numbers: F32, current: F32
) -> None:
    """Add what the spikes of an input of half the size give a row.

    A spike there is two along every axis here, so the taps that both reach are summed beforehand:
    for 3 taps 4 places get something, a run. At the end of an odd axis the second of the two is
    missing. Weights are ``[2, 2, 2][taps along z][taps along y][C_in][run]``, first of all whether
    it is missing along z, y and x.
    """
    channels, length, inputs = node[CHANNELS], edge[RUN], edge[INPUTS]
    depth, height, factor = edge[DEPTH], edge[HEIGHT], edge[FACTOR_Z]
    left = (node[PAD] - edge[REACH]) * channels
    size = depth * height * inputs * length
    before_z, before_y = (depth - factor) // 2, (height - 2) // 2  # taps before the first of two
    odd = node[COLUMNS] % 2 == 1
    last = edge[FROM_COLUMNS] - 1
    for kz in range(depth):
        z = plane - kz + before_z
        if z < 0 or z % factor or z // factor >= edge[FROM_PLANES]:
            continue
        alone_z = factor == 2 and z + 1 >= node[PLANES]
        for ky in range(height):
            y = row - ky + before_y
            if y < 0 or y % 2 or y // 2 >= edge[FROM_ROWS]:
                continue
            alone_y = y + 1 >= node[ROWS]
            line = (z // factor) * edge[FROM_ROWS] + y // 2
            first = edge[FROM_PLACES] + line * edge[SLOT]
            weights = edge[WEIGHTS] + (4 * alone_z + 2 * alone_y) * size
            weights += (kz * height + ky) * inputs * length
            for n in range(first, first + counts[edge[FROM_COUNTS] + line]):
                x = np.int64(places[n] >> 16)
                tap = weights + np.int64(places[n] & 0xFFFF) * length
                if odd and x == last:
                    tap += size
                _add_run(current, left + 2 * x * channels, numbers, tap, length)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_tiles(
    edge: I64, plane: int, row: int, columns: int, pad: int, channels: int,
    places: U32, counts: I32, numbers: F32, current: F32,
) -> None:  # fmt: skip
    """Add what the spikes of the tiles of a row give it; each reaches one place."""
    length, size = edge[RUN], edge[HEIGHT]
    for kz in range(edge[DEPTH]):
        z = plane * edge[DEPTH] + kz
        if z >= edge[FROM_PLANES]:
            continue
        for ky in range(size):
            y = row * size + ky
            if y >= edge[FROM_ROWS]:
                continue
            line = z * edge[FROM_ROWS] + y
            first = edge[FROM_PLACES] + line * edge[SLOT]
            weights = edge[WEIGHTS] + (kz * size + ky) * size * edge[INPUTS] * length
            for n in range(first, first + counts[edge[FROM_COUNTS] + line]):
                from_x = np.int64(places[n] >> 16)
                x = from_x // size
                if x < columns:
                    tap = (from_x - x * size) * edge[INPUTS] + np.int64(places[n] & 0xFFFF)
                    at = (pad + x) * channels
                    _add_run(current, at, numbers, weights + tap * length, length)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_same(
    edge: I64, plane: int, row: int, pad: int, channels: int, places: U32, counts: I32,
    current: F32,
) -> None:  # fmt: skip
    """Add the spikes of the same row as they are."""
    line = plane * edge[FROM_ROWS] + row
    first = edge[FROM_PLACES] + line * edge[SLOT]
    offset = pad * channels + edge[OFFSET]
    one = np.float32(1.0)
    for n in range(first, first + counts[edge[FROM_COUNTS] + line]):
        at = offset + np.int64(places[n] >> 16) * channels + np.int64(places[n] & 0xFFFF)
        current[at] += one


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_currents(
    edge: I64, plane: int, row: int, node: I64, numbers: F32, maps: I32, current: F32
) -> None:
    """Add currents that were computed before, repeated where they are of a coarser map."""
    channels, columns = node[CHANNELS], node[COLUMNS]
    to_row = edge[MAPS] + node[PLANES]
    to_column = to_row + node[ROWS]
    line = np.int64(maps[edge[MAPS] + plane]) * edge[FROM_ROWS] + np.int64(maps[to_row + row])
    begin = edge[FROM_CURRENT] + line * edge[FROM_COLUMNS] * channels
    at = node[PAD] * channels
    for x in range(columns):
        source = begin + np.int64(maps[to_column + x]) * channels
        for c in range(channels):
            current[at + c] += numbers[source + c]
        at += channels


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_edge(
    edge: I64, node: I64, plane: int, row: int, places: U32, counts: I32, numbers: F32,
    maps: I32, current: F32,
) -> None:  # fmt: skip
    """Add what one edge gives a row."""
    channels, pad = node[CHANNELS], node[PAD]
    if edge[KIND] == TAPS:
        _add_taps(edge, plane, row, pad, channels, places, counts, numbers, current)
    elif edge[KIND] == TILES:
        _add_tiles(edge, plane, row, node[COLUMNS], pad, channels, places, counts, numbers, current)
    elif edge[KIND] == REPEATED:
        _add_repeated(edge, node, plane, row, places, counts, numbers, current)
    elif edge[KIND] == SAME:
        _add_same(edge, plane, row, pad, channels, places, counts, current)
    else:
        _add_currents(edge, plane, row, node, numbers, maps, current)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc"})
def _sum(values: F32) -> np.float32:
    """Return the sum, in any order: many at a time instead of each after the other."""
    total = np.float32(0.0)
    for i in range(values.size):
        total += values[i]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _emit(node: I64, line: int, fired: F32, places: U32, counts: I32) -> None:
    """Write the list of a row; where little fires, most blocks are passed at once."""
    channels = node[CHANNELS]
    width = node[COLUMNS] * channels
    first = node[PLACES] + line * width
    n = first
    for begin in range(0, width, BLOCK):
        end = min(begin + BLOCK, width)
        if _sum(fired[begin:end]) == 0:
            continue
        x = begin // channels
        c = begin - x * channels
        for i in range(begin, end):
            if fired[i] > 0:
                places[n] = np.uint32(x << 16 | c)
                n += 1
            c += 1
            if c == channels:
                c = 0
                x += 1
    counts[node[COUNTS] + line] = n - first


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _write(node: I64, line: int, current: F32, numbers: F32) -> None:
    """Write the currents of a row that nothing fires on."""
    begin = node[CURRENT_OUT] + line * current.size
    lowest = np.float32(0.0) if node[RECTIFIES] else np.float32(-np.inf)
    for i in range(current.size):
        before = numbers[begin + i] if node[ADDS] else np.float32(0.0)
        numbers[begin + i] = max(lowest, before + current[i])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def run_node(
    node: I64, edges: npt.NDArray[np.int64], step: int, places: U32, counts: I32, numbers: F32,
    maps: I32, clock: I64, tickets: I64,
) -> None:  # fmt: skip
    """Compute one node at one time step: its list, or its currents if it does not fire.

    Args:
        node: its table, see above.
        edges: ``[E, EDGE_FIELDS]``.
        step: address of its neuron's step (``nas.fused.step_kernels.advance_of``).
        places: all lists.
        counts: all counts.
        numbers: all weights, constants, states and currents.
        maps: all maps from places of a map to those of a coarser one.
        clock: ``[1]``, time steps since all neurons rested.
        tickets: groups of rows that are not taken yet.
    """
    channels, pad = node[CHANNELS], node[PAD]
    width, lines = node[COLUMNS] * channels, node[PLANES] * node[ROWS]
    current = np.empty((node[COLUMNS] + 2 * pad) * channels + 2 * WIDE, np.float32)
    fired, kept = np.empty(width, np.float32), np.empty((1, 1), np.float32)
    const_size = node[CONST_WIDTH]
    const = numbers[node[CONST] : node[CONST] + 7 * const_size].reshape(7, const_size)
    center = current[pad * channels : pad * channels + width]
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            plane, row = line // node[ROWS], line % node[ROWS]
            for i in range(width):
                center[i] = numbers[node[BIAS] + i]
            for e in range(edges.shape[0]):
                _add_edge(edges[e], node, plane, row, places, counts, numbers, maps, current)
            if node[FIRES]:
                begin = node[STATE] + line * 3 * width
                if clock[0] == 0:
                    for i in range(begin, begin + node[STATES] * width):
                        numbers[i] = 0
                state = numbers[begin : begin + 3 * width].reshape(3, width)
                call(step, (center, width, const, state, kept, fired))
                _emit(node, line, fired, places, counts)
            else:
                _write(node, line, center, numbers)
        done(tickets)
