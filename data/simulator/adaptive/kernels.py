"""Inner loops of the adaptive engine: what a tile may meet, how fast, and the march through time.

Nothing is compiled with fast math and all chance comes from counters (``pixels/kernels.py``), so
the results depend neither on the number of threads nor on the order of the work. The layouts of
frames and bodies are in ``rays/kernels.py``.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.simulator.jit import INLINED, KERNEL
from data.simulator.pixels.kernels import (
    BODY,
    CUTOFF,
    FILTERED,
    FLICKER,
    FLICKER_RATE,
    LEAK,
    LEVEL,
    MID_DN,
    NEVER,
    NEXT_SHOT,
    OFF,
    ON,
    READY,
    REFERENCE,
    TOLERANCE,
    advance,
    brightness,
    exponential,
    light_at,
    start_pixel,
)
from data.simulator.rays.kernels import radiance, tile_radiance

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
Scene = tuple[F64, F32, I64, F64]
Scratch = tuple[F64, F64, F64, F64, F64, I64, I64]

(JUMPS, PIECES, FLOORED, FASTEST, LARGEST, STATISTICS) = range(6)
"""Statistics: changes of half a threshold within ``_JUMP_US``, pieces of time, chunks of a tile
whose step was held at the floor, largest motion per step px, largest change per piece in units of
half a threshold, jumps aside; their number."""

_JUMP_US = 64.0
_HALF_PX = 0.5
_SLACK = 1.05
TILE_ROWS, TILE_COLUMNS = 8, 16
"""Pixels that share their steps."""
(_SEEN, _BEFORE, _LOW, _HIGH, _LIMIT, _BUSY, _DX, _DY, _LEAK, _DUE, _HIT, _LAST, _FILTERED,
 WORK) = range(6, 20)  # fmt: skip
"""Rows of a tile's table, one number for each pixel: log radiance now and before, levels between
which the pixel stays idle, half its threshold, whether it has something to do, its ray, leak, next
candidate for shot noise, body seen now and before, low-passed level; the number of rows. Rays use
those before. The table stands in for the pixels' states as long as they are idle."""
_FAR = 1e30


@numba.njit(**INLINED)
def flow(dx: float, dy: float, inverse_z: float, twist: F64, k: int, n: int) -> float:
    """Return the image speed of a point of a moving body, in focal lengths per us.

    ``twist`` [K, N, 6] is (v, w): a point X of the body moves by ``w x X + v`` in the camera.
    """
    vx, vy, vz = twist[k, n, 0], twist[k, n, 1], twist[k, n, 2]
    wx, wy, wz = twist[k, n, 3], twist[k, n, 4], twist[k, n, 5]
    turn_z = wx * dy - wy * dx
    x = (vx - dx * vz) * inverse_z + wy - wz * dy - dx * turn_z
    y = (vy - dy * vz) * inverse_z + wz * dx - wx - dy * turn_z
    return math.sqrt(x * x + y * y)


@numba.njit(**INLINED)
def _tile_speed(
    corners: F64, near: I64, count: int, bounds: F64, frames: F64, twist: F64, first: int,
    last: int, bodies: F64,
) -> float:  # fmt: skip
    """Return the fastest image motion in a tile from instant ``first`` to ``last``.

    ``corners`` is (least dx, largest dx, least dy, largest dy). At a given ray the speed is convex
    in 1/z, so it is largest at an end of the body's range of depth; a plane has one depth per ray.
    """
    fastest = 0.0
    for j in range(count):
        n = near[j]
        for k in (first, last):
            for corner in range(4):
                dx, dy = corners[corner & 1], corners[2 + (corner >> 1)]
                low, high = 1.0 / bounds[n, 5], 1.0 / bounds[n, 4]
                if bodies[n, 0] <= 2.0:
                    facing = frames[k, n, 0] * dx + frames[k, n, 1] * dy + frames[k, n, 2]
                    away = frames[k, n, 0] * frames[k, n, 9] + frames[k, n, 1] * frames[k, n, 10]
                    away += frames[k, n, 2] * frames[k, n, 11]
                    low = high = min(high, max(low, facing / away))
                fastest = max(fastest, flow(dx, dy, low, twist, k, n))
                fastest = max(fastest, flow(dx, dy, high, twist, k, n))
    return fastest


@numba.njit(**KERNEL)
def _plan(
    c: int, corners: F64, ticks: F64, chunks: I64, frames: F64, twist: F64, bounds: F64,
    bodies: F64, view: F64, sensor: F64, least_step_us: float, near: I64, poses: F64,
    statistics: F64,
) -> tuple[int, int]:  # fmt: skip
    """Find what a tile may meet in a chunk and how fast; write the poses at its samples.

    Returns:
        The number of steps (0: nothing moves), and how many entries of ``near`` are set.
    """
    count = 0
    for n in range(bodies.shape[0]):
        across = bounds[c, n, 0] <= corners[1] and bounds[c, n, 1] >= corners[0]
        if across and bounds[c, n, 2] <= corners[3] and bounds[c, n, 3] >= corners[2]:
            near[count] = n
            count += 1
    first, last = chunks[c], chunks[c + 1]
    length = ticks[last] - ticks[first]
    speed = _SLACK * view[0] * _tile_speed(
        corners, near, count, bounds[c], frames, twist, first, last, bodies
    )  # fmt: skip
    if speed == 0.0 and sensor[FLICKER] == 0.0:
        return 0, count
    wanted = math.ceil(length * max(speed / _HALF_PX, sensor[FLICKER_RATE] * 8.0 / math.pi))
    steps = int(max(1.0, min(wanted, math.floor(length / least_step_us))))
    statistics[FLOORED] += 1.0 if steps < wanted else 0.0
    statistics[FASTEST] = max(statistics[FASTEST], speed * length / steps)
    ticks_n = last - first
    for s in range(steps + 1):
        place = ticks_n * s / steps
        a = first + min(int(place), ticks_n - 1)
        share = place - (a - first)
        for j in range(count):
            for i in range(12):
                start = frames[a, near[j], i]
                poses[s, j, i] = start + (frames[a + 1, near[j], i] - start) * share
    return steps, count


@numba.njit(**KERNEL)
def _halve(
    t0: float, l0: float, t1: float, l1: float, poses: F64, s: int, between: F64, seen: I64,
    places: I64, count: int, scene: Scene, dx: float, dy: float, pixel: F64, sensor: F64,
    key: int, where: int, found: int, out_t: I64, out_id: I32, stack: F64, statistics: F64,
) -> int:  # fmt: skip
    """Advance a pixel from sample ``s - 1`` to ``s``, halving until each change is small.

    Every piece changes the log radiance by less than half the pixel's smaller threshold, or is
    shorter than ``_JUMP_US``: an edge of a body, where the radiance jumps and no step is short
    enough. Those are counted. In between only the bodies ``seen`` at the two ends are looked for:
    ``count`` entries of ``poses``, at ``places``.
    """
    bodies, texels, starts, view = scene
    limit = 0.5 * min(pixel[ON], pixel[OFF])
    begin, length = t0, t1 - t0
    stack[0, 0], stack[0, 1], top = t1, l1, 0
    while top >= 0:
        t2, l2 = stack[top, 0], stack[top, 1]
        change = abs(l2 - l0)
        if change >= limit and t2 - t0 > _JUMP_US:
            now = 0.5 * (t0 + t2)
            share = (now - begin) / length
            for j in range(count):
                for i in range(12):
                    pose = poses[s - 1, places[j], i]
                    between[0, j, i] = pose + (poses[s, places[j], i] - pose) * share
            level = light_at(sensor, now) + radiance(
                between, 0, seen, count, bodies, texels, starts, view, dx, dy
            )
            top += 1
            stack[top, 0], stack[top, 1] = now, level
            continue
        found = advance(t0, l0, t2, l2, pixel, sensor, key, where, found, out_t, out_id)
        statistics[PIECES] += 1.0
        if change >= limit:
            statistics[JUMPS] += 1.0
        else:
            statistics[LARGEST] = max(statistics[LARGEST], change / limit)
        t0, l0 = t2, l2
        top -= 1
    return found


@numba.njit(**INLINED)
def _seen(near: I64, count: int, first: float, second: float, seen: I64, places: I64) -> int:
    """List the one or two bodies that are seen (-1: none), and where they stand in ``near``."""
    number = 0
    for j in range(count):
        if near[j] == first or near[j] == second:
            seen[number], places[number] = near[j], j
            number += 1
    return number


@numba.njit(**KERNEL)
def _window(pixels: F64, i: int, work: F64) -> None:
    """Note between which levels a pixel stays idle: none if it is blind."""
    low, high = work[_LOW], work[_HIGH]
    on, off = pixels[i, ON], pixels[i, OFF]
    work[_LIMIT, i], work[_LEAK, i] = 0.5 * min(on, off), pixels[i, LEAK]
    work[_DUE, i], work[_FILTERED, i] = pixels[i, NEXT_SHOT], pixels[i, FILTERED]
    if pixels[i, READY] != NEVER:
        low[i], high[i] = 1.0, -1.0
    else:
        low[i] = pixels[i, REFERENCE] - off + TOLERANCE
        high[i] = pixels[i, REFERENCE] + on - TOLERANCE


@numba.njit(**KERNEL)
def _look(
    t0: float, t_us: float, s: int, still: bool, poses: F64, near: I64, count: int, scene: Scene,
    m: int, work: F64, sensor: F64,
) -> None:  # fmt: skip
    """Write what a tile sees at sample ``s``, and which of its pixels have something to do."""
    bodies, texels, starts, view = scene
    hit, level, before = work[_HIT], work[_SEEN], work[_BEFORE]
    low, high, limit = work[_LOW], work[_HIGH], work[_LIMIT]
    busy, leak, due = work[_BUSY], work[_LEAK], work[_DUE]
    if still:
        for i in range(m):
            level[i] = before[i]
    else:
        tile_radiance(
            poses, s, near, count, bodies, texels, starts, view, m, work[_DX], work[_DY], work,
            hit, level,
        )  # fmt: skip
        light = light_at(sensor, t_us)
        for i in range(m):
            level[i] += light
    filtered, cutoff, mid_dn = work[_FILTERED], sensor[CUTOFF], sensor[MID_DN]
    if cutoff == 0.0:
        for i in range(m):
            rise = level[i] + leak[i] * t_us
            idle = (low[i] < rise) & (rise < high[i]) & (due[i] >= t_us)
            busy[i] = 0.0 if idle & (abs(level[i] - before[i]) < limit[i]) else 1.0
        return
    length = t_us - t0
    per_us = 1.0 / length
    for i in range(m):
        # What ``advance`` does with a piece that gives no event: either the piece is short and ends
        # within the thresholds, or all that the low-pass can reach lies within them.
        l0, l1, was = before[i], level[i], filtered[i]
        rate = cutoff * brightness(mid_dn, 0.5 * (l0 + l1))
        slope = (l1 - l0) * per_us
        lag = slope / rate
        gap = was - l0 + lag
        after = l1 - lag + gap * exponential(-rate * length)
        rise = after + leak[i] * t_us
        short = (abs(slope) + rate * abs(gap)) * length < limit[i]
        inside = short & (low[i] < rise) & (rise < high[i])
        least = min(min(l0, l1), was) + leak[i] * t0
        most = max(max(l0, l1), was) + leak[i] * t_us
        inside = inside | ((low[i] < least) & (most < high[i]))
        idle = inside & (due[i] >= t_us) & (abs(l1 - l0) < limit[i])
        busy[i] = 0.0 if idle else 1.0
        filtered[i] = after if idle else filtered[i]


@numba.njit(**KERNEL)
def _march_tile(
    ta: float, tb: float, steps: int, poses: F64, near: I64, count: int, scene: Scene, m: int,
    width: int, first_where: int, columns: int, work: F64, between: F64, stack: F64, seen: I64,
    pixels: F64, sensor: F64, key: int, found: int, out_t: I64, out_id: I32, statistics: F64,
) -> int:  # fmt: skip
    """Take the ``m`` pixels of a tile, ``columns`` a row, through ``steps`` equal steps (0: still).

    ``pixels`` [m, STATE] and ``work`` [WORK, >= m] are the tile's own; ``between``, ``stack`` and
    ``seen`` are scratch. A pixel whose level stays within its thresholds costs one comparison.
    """
    hit, last, level, before = work[_HIT], work[_LAST], work[_SEEN], work[_BEFORE]
    limit, busy, filtered = work[_LIMIT], work[_BUSY], work[_FILTERED]
    t0 = ta
    for s in range(1, max(1, steps) + 1):
        t1 = ta + (tb - ta) * s / max(1, steps)
        _look(t0, t1, s, steps == 0, poses, near, count, scene, m, work, sensor)
        for i in range(m):
            if busy[i] == 0.0:
                continue
            pixels[i, FILTERED] = filtered[i]
            where = first_where + (i // columns) * width + i % columns
            if abs(level[i] - before[i]) < limit[i]:
                found = advance(
                    t0, before[i], t1, level[i], pixels[i], sensor, key, where, found, out_t, out_id
                )
            else:
                number = _seen(near, count, last[i], hit[i], seen[0], seen[1])
                found = _halve(
                    t0, before[i], t1, level[i], poses, s, between, seen[0], seen[1], number, scene,
                    work[_DX, i], work[_DY, i], pixels[i], sensor, key, where, found, out_t,
                    out_id, stack, statistics,
                )  # fmt: skip
            _window(pixels, i, work)
        if steps > 0:
            for i in range(m):
                before[i], last[i] = level[i], hit[i]
        t0 = t1
    return found


@numba.njit(**KERNEL)
def _open_tile(
    fresh: bool, t_us: float, frames: F64, scene: Scene, near: I64, rays: F32, first: int,
    columns: int, first_row: int, work: F64, corners: F64, pixels: F64, sensor: F64, key: int,
) -> None:  # fmt: skip
    """Fill the tables of a tile; if ``fresh`` draw its pixels first, each at what it sees."""
    bodies, texels, starts, view = scene
    dx, dy, rows, width = work[_DX], work[_DY], rays.shape[0], rays.shape[1]
    corners[0], corners[1], corners[2], corners[3] = _FAR, -_FAR, _FAR, -_FAR
    for row in range(rows):
        for col in range(columns):
            x, y = float(rays[row, first + col, 0]), float(rays[row, first + col, 1])
            dx[row * columns + col], dy[row * columns + col] = x, y
            corners[0], corners[1] = min(corners[0], x), max(corners[1], x)
            corners[2], corners[3] = min(corners[2], y), max(corners[3], y)
    m = rows * columns
    if fresh:
        for n in range(near.size):
            near[n] = n
        tile_radiance(
            frames, 0, near, near.size, bodies, texels, starts, view, m, dx, dy, work, work[_HIT],
            work[_SEEN],
        )  # fmt: skip
    for i in range(m):
        if fresh:
            where = (first_row + i // columns) * width + first + i % columns
            level = work[_SEEN, i] + light_at(sensor, t_us)
            start_pixel(pixels[i], sensor, key, where, t_us, level)
            pixels[i, BODY] = work[_HIT, i]
        work[_BEFORE, i], work[_LAST, i] = pixels[i, LEVEL], pixels[i, BODY]
        _window(pixels, i, work)


@numba.njit(**KERNEL)
def play_rows(
    ticks: F64, chunks: I64, frames: F64, twist: F64, bounds: F64, scene: Scene, rays: F32,
    first_row: int, fresh: bool, pixels: F64, sensor: F64, key: int, least_step_us: float,
    scratch: Scratch, out_t: I64, out_id: I32, ends: I64, statistics: F64,
) -> int:  # fmt: skip
    """Simulate some rows of one camera; return the number of events, written as far as they fit.

    Shapes: ``ticks`` [K] us; ``chunks`` [C + 1] the ticks between which each chunk lies; ``frames``
    [K, N, 12]; ``twist`` [K, N, 6]; ``bounds`` [C, N, 6] (x/z, y/z and z, least and largest of
    each body); ``scene`` bodies, texels, starts and view as ``radiance`` takes them; ``rays``
    [rows, W, 2]; ``pixels`` [rows W, STATE], tile by tile, drawn anew if ``fresh``; ``scratch`` as
    the engine makes it; ``ends`` [C] gets the number of events up to the end of each chunk. An
    event is its time and ``2 (row W + column) + polarity``, in no order within a chunk.
    """
    rows, width = rays.shape[0], rays.shape[1]
    poses, work, between, stack, corners, near, seen = scratch
    tiles = (width + TILE_COLUMNS - 1) // TILE_COLUMNS
    for tile in range(tiles):
        first = tile * TILE_COLUMNS
        columns = min(TILE_COLUMNS, width - first)
        _open_tile(
            fresh, ticks[0], frames, scene, near, rays, first, columns, first_row, work[tile],
            corners[tile], pixels[first * rows : (first + columns) * rows], sensor, key,
        )  # fmt: skip
    found = 0
    for c in range(chunks.size - 1):
        for tile in range(tiles):
            first = tile * TILE_COLUMNS
            columns = min(TILE_COLUMNS, width - first)
            steps, count = _plan(
                c, corners[tile], ticks, chunks, frames, twist, bounds, scene[0], scene[3], sensor,
                least_step_us, near, poses, statistics,
            )  # fmt: skip
            found = _march_tile(
                ticks[chunks[c]], ticks[chunks[c + 1]], steps, poses, near, count, scene,
                rows * columns, width, first_row * width + first, columns, work[tile], between,
                stack, seen, pixels[first * rows : (first + columns) * rows], sensor, key, found,
                out_t, out_id, statistics,
            )  # fmt: skip
        ends[c] = found
    for tile in range(tiles):
        first = tile * TILE_COLUMNS
        for i in range(rows * min(TILE_COLUMNS, width - first)):
            pixel = first * rows + i
            pixels[pixel, LEVEL] = work[tile, _BEFORE, i]
            pixels[pixel, BODY] = work[tile, _LAST, i]
            pixels[pixel, FILTERED] = work[tile, _FILTERED, i]
    return found
