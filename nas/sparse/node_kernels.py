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
from nas.sparse.line_kernels import CROWDED, add_line, add_run
from nas.sparse.vector_kernels import WIDE, add_one, count, entry, field

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
def _add_taps(
    edge: int, plane: int, row: int, pad: int, channels: int, second: int, places: int, counts: int,
    numbers: int, rows: int,
) -> bool:  # fmt: skip
    """Add what the spikes around a row give it; return whether the second row got any of it."""
    length, runs, inputs = field(edge, RUN), field(edge, RUNS), field(edge, INPUTS)
    depth, height, dilation = field(edge, DEPTH), field(edge, HEIGHT), field(edge, DILATION)
    from_planes, from_rows = field(edge, FROM_PLANES), field(edge, FROM_ROWS)
    left, stride = (pad - field(edge, REACH)) * channels, runs * length
    crowd, both = field(edge, FROM_COLUMNS) // CROWDED, False
    for kz in range(depth):
        z = plane + (kz - depth // 2) * dilation
        if z < 0 or z >= from_planes:
            continue
        for ky in range(height):
            y = row + (ky - height // 2) * dilation
            if y < 0 or y >= from_rows:
                continue
            line = z * from_rows + y
            spikes = count(counts, field(edge, FROM_COUNTS) + line)
            if spikes == 0:
                continue
            first = field(edge, FROM_PLACES) + line * field(edge, SLOT)
            weights = field(edge, WEIGHTS) + (kz * height + ky) * inputs * stride
            shift = second if spikes > crowd else 0
            both |= shift > 0
            for k in range(runs):
                add_line(
                    length, left + k * field(edge, SPACING), channels, shift, weights + k * length,
                    stride, first, first + spikes, places, numbers, rows,
                )  # fmt: skip
    return both


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_repeated(
    edge: int, node: int, plane: int, row: int, places: int, counts: int, numbers: int, rows: int
) -> None:
    """Add what the spikes of an input of half the size give a row.

    A spike there is two along every axis here, so the taps that both reach are summed beforehand:
    for 3 taps 4 places get something, a run. At the end of an odd axis the second of the two is
    missing. Weights are ``[2, 2, 2][taps along z][taps along y][C_in][run]``, first of all whether
    it is missing along z, y and x.
    """
    channels, length, inputs = field(node, CHANNELS), field(edge, RUN), field(edge, INPUTS)
    depth, height, factor = field(edge, DEPTH), field(edge, HEIGHT), field(edge, FACTOR_Z)
    left = (field(node, PAD) - field(edge, REACH)) * channels
    size, step = depth * height * inputs * length, 2 * channels
    before_z, before_y = (depth - factor) // 2, (height - 2) // 2  # taps before the first of two
    odd = field(node, COLUMNS) % 2 == 1
    end = (field(edge, FROM_COLUMNS) - 1) << 16
    for kz in range(depth):
        z = plane - kz + before_z
        if z < 0 or z % factor or z // factor >= field(edge, FROM_PLANES):
            continue
        alone_z = factor == 2 and z + 1 >= field(node, PLANES)
        for ky in range(height):
            y = row - ky + before_y
            if y < 0 or y % 2 or y // 2 >= field(edge, FROM_ROWS):
                continue
            alone_y = y + 1 >= field(node, ROWS)
            line = (z // factor) * field(edge, FROM_ROWS) + y // 2
            first = field(edge, FROM_PLACES) + line * field(edge, SLOT)
            last = first + count(counts, field(edge, FROM_COUNTS) + line)
            middle = last
            while odd and middle > first and entry(places, middle - 1) >= end:
                middle -= 1
            tap = field(edge, WEIGHTS) + (4 * alone_z + 2 * alone_y) * size
            tap += (kz * height + ky) * inputs * length
            add_line(length, left, step, 0, tap, length, first, middle, places, numbers, rows)
            add_line(length, left, step, 0, tap + size, length, middle, last, places, numbers, rows)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_tiles(
    edge: int, plane: int, row: int, columns: int, pad: int, channels: int,
    places: int, counts: int, numbers: int, rows: int,
) -> None:  # fmt: skip
    """Add what the spikes of the tiles of a row give it; each reaches one place."""
    length, size, inputs = field(edge, RUN), field(edge, HEIGHT), field(edge, INPUTS)
    for kz in range(field(edge, DEPTH)):
        z = plane * field(edge, DEPTH) + kz
        if z >= field(edge, FROM_PLANES):
            continue
        for ky in range(size):
            y = row * size + ky
            if y >= field(edge, FROM_ROWS):
                continue
            line = z * field(edge, FROM_ROWS) + y
            first = field(edge, FROM_PLACES) + line * field(edge, SLOT)
            weights = field(edge, WEIGHTS) + (kz * size + ky) * size * inputs * length
            for n in range(first, first + count(counts, field(edge, FROM_COUNTS) + line)):
                place = entry(places, n)
                x = (place >> 16) // size
                if x < columns:
                    tap = ((place >> 16) - x * size) * inputs + (place & 0xFFFF)
                    add_run(rows, (pad + x) * channels, numbers, weights + tap * length, length)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_same(
    edge: int, plane: int, row: int, pad: int, channels: int, places: int, counts: int, rows: int
) -> None:
    """Add the spikes of the same row as they are."""
    line = plane * field(edge, FROM_ROWS) + row
    first = field(edge, FROM_PLACES) + line * field(edge, SLOT)
    offset = pad * channels + field(edge, OFFSET)
    for n in range(first, first + count(counts, field(edge, FROM_COUNTS) + line)):
        place = entry(places, n)
        add_one(rows, offset + (place >> 16) * channels + (place & 0xFFFF))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_currents(
    edge: int, node: int, plane: int, row: int, numbers: int, maps: int, rows: int
) -> None:
    """Add currents that were computed before, repeated where they are of a coarser map."""
    channels, columns = field(node, CHANNELS), field(node, COLUMNS)
    to_plane = field(edge, MAPS)
    to_row = to_plane + field(node, PLANES)
    to_column = to_row + field(node, ROWS)
    line = count(maps, to_plane + plane) * field(edge, FROM_ROWS) + count(maps, to_row + row)
    begin = field(edge, FROM_CURRENT) + line * field(edge, FROM_COLUMNS) * channels
    at = field(node, PAD) * channels
    if columns == field(edge, FROM_COLUMNS):
        add_run(rows, at, numbers, begin, columns * channels)
        return
    for x in range(columns):
        source = begin + count(maps, to_column + x) * channels
        add_run(rows, at + x * channels, numbers, source, channels)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_edge(
    edge: int, node: int, plane: int, row: int, second: int, places: int, counts: int, numbers: int,
    maps: int, rows: int,
) -> bool:  # fmt: skip
    """Add what one edge gives a row, by the addresses of everything.

    Returns:
        Whether the second row got any of it.
    """
    channels, pad, columns = field(node, CHANNELS), field(node, PAD), field(node, COLUMNS)
    kind = field(edge, KIND)
    if kind == TAPS:
        return _add_taps(edge, plane, row, pad, channels, second, places, counts, numbers, rows)
    if kind == TILES:
        _add_tiles(edge, plane, row, columns, pad, channels, places, counts, numbers, rows)
    elif kind == REPEATED:
        _add_repeated(edge, node, plane, row, places, counts, numbers, rows)
    elif kind == SAME:
        _add_same(edge, plane, row, pad, channels, places, counts, rows)
    else:
        _add_currents(edge, node, plane, row, numbers, maps, rows)
    return False


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _empty(row: F32, to: F32) -> None:
    """Add a row to another one; zeros are left."""
    for i in range(row.size):
        to[i] += row[i]
        row[i] = 0


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
            # Written in any case and counted if it fires: which one does cannot be foreseen.
            places[n] = np.uint32(x << 16 | c)
            n += fired[i] > 0
            c += 1
            ends = c == channels
            c, x = 0 if ends else c, x + ends
    counts[node[COUNTS] + line] = n - first


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _write(node: I64, line: int, current: F32, numbers: F32) -> None:
    """Write the currents of a row that nothing fires on."""
    begin = node[CURRENT_OUT] + line * current.size
    found = numbers[begin : begin + current.size]
    lowest = np.float32(0.0) if node[RECTIFIES] else np.float32(-np.inf)
    if node[ADDS]:
        for i in range(current.size):
            current[i] += found[i]
    for i in range(current.size):
        found[i] = max(lowest, current[i])


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
    # Two rows of currents, the sum of which counts (``line_kernels.add_line``).
    size = (node[COLUMNS] + 2 * pad) * channels + 2 * WIDE
    rows = np.zeros(2 * size, np.float32)
    fired, kept = np.empty(width, np.float32), np.empty((1, 1), np.float32)
    const_size = node[CONST_WIDTH]
    const = numbers[node[CONST] : node[CONST] + 7 * const_size].reshape(7, const_size)
    at_edges, at_node, at_maps = edges.ctypes.data, node.ctypes.data, maps.ctypes.data
    at_places, at_counts, at_numbers = places.ctypes.data, counts.ctypes.data, numbers.ctypes.data
    at_rows = rows.ctypes.data
    begin, end = pad * channels, pad * channels + width
    center, second = rows[begin:end], rows[size + begin : size + end]
    # Tables could be what is written to, for all the compiler knows: it would read them every time.
    bias = numbers[node[BIAS] : node[BIAS] + width]
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for line in range(group * lines // GROUPS, (group + 1) * lines // GROUPS):
            plane, row = line // node[ROWS], line % node[ROWS]
            for i in range(width):
                center[i] = bias[i]
            both = False
            for e in range(edges.shape[0]):
                both |= _add_edge(
                    at_edges + 8 * EDGE_FIELDS * e, at_node, plane, row, size, at_places, at_counts,
                    at_numbers, at_maps, at_rows,
                )  # fmt: skip
            if both:
                _empty(second, center)
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
