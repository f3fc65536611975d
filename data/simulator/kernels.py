"""The two inner loops of the simulator: a ray tracer and the pixels of an event camera."""

import math

import numba
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_ELLIPSE, _PLANE, _BALL = 1, 2, 3


@numba.njit(nogil=True, cache=True, fastmath=True)
def trace(
    poses: F64, bodies: F64, candidates: I64, dx: float, dy: float
) -> tuple[float, int, float, float]:
    """Return depth, body index (-1 for none) and surface coordinates along the ray (dx, dy, 1).

    Shapes: ``poses`` [N, 12] and ``bodies`` [N, 5] as ``scene.py`` lays them out, ``candidates``
    the indices of the bodies that the ray may meet.
    """
    best_z, best_n, best_u, best_v = 1e30, -1, 0.0, 0.0
    for n in candidates:
        row = poses[n]
        facing = row[0] * dx + row[1] * dy + row[2]
        if bodies[n, 0] == _BALL:
            # z^2 |d|^2 - 2 z d.c + c.c - r^2 = 0, the nearer root
            norm = dx * dx + dy * dy + 1.0
            inside = facing * facing - norm * row[3]
            if inside <= 0.0:
                continue
            z = (facing - math.sqrt(inside)) / norm
        else:
            if facing == 0.0:
                continue
            z = row[3] / facing
        if z <= 1e-3 or z >= best_z:
            continue
        u = z * (row[4] * dx + row[5] * dy + row[6]) - row[7]
        v = z * (row[8] * dx + row[9] * dy + row[10]) - row[11]
        if bodies[n, 0] < _PLANE:
            u_share, v_share = abs(u) / bodies[n, 1], abs(v) / bodies[n, 2]
            if bodies[n, 0] == _ELLIPSE:
                if u_share * u_share + v_share * v_share > 1.0:
                    continue
            elif u_share > 1.0 or v_share > 1.0:
                continue
        best_z, best_n, best_u, best_v = z, n, u, v
    return best_z, best_n, best_u, best_v


@numba.njit(nogil=True, cache=True, fastmath=True)
def log_radiance(
    poses: F64, bodies: F64, candidates: I64, textures: F32, dx: float, dy: float
) -> float:
    """Return the log radiance along the ray (dx, dy, 1); 0 where it meets nothing."""
    _, n, u, v = trace(poses, bodies, candidates, dx, dy)
    if n < 0:
        return 0.0
    tile = textures[int(bodies[n, 3])]
    mask = tile.shape[0] - 1
    # An offset per body, so that two bodies with one tile do not look alike.
    u = u * bodies[n, 4] + 37.0 * n
    v = v * bodies[n, 4] + 91.0 * n
    u_floor, v_floor = math.floor(u), math.floor(v)
    u_part, v_part = u - u_floor, v - v_floor
    u0, v0 = int(u_floor) & mask, int(v_floor) & mask
    u1, v1 = (u0 + 1) & mask, (v0 + 1) & mask
    top = tile[v0, u0] * (1.0 - u_part) + tile[v0, u1] * u_part
    bottom = tile[v1, u0] * (1.0 - u_part) + tile[v1, u1] * u_part
    level: float = top * (1.0 - v_part) + bottom * v_part
    return level


@numba.njit(nogil=True, cache=True, fastmath=True)
def _may_meet(bounds: F64, dx: float, dy: float, out: I64) -> int:
    """Write the bodies whose bounds hold the ray (dx, dy, 1); return their number."""
    count = 0
    for n in range(bounds.shape[0]):
        if bounds[n, 0] <= dx <= bounds[n, 1] and bounds[n, 2] <= dy <= bounds[n, 3]:
            out[count] = n
            count += 1
    return count


@numba.njit(nogil=True, cache=True, fastmath=True)
def pixel_events(  # noqa: C901 - one loop over one pixel's state
    t_us: F64,
    poses: F64,
    bodies: F64,
    bounds: F64,
    textures: F32,
    light: F64,
    rays: F32,
    on_threshold: F32,
    off_threshold: F32,
    phase: F32,
    refractory_us: float,
    leak_per_us: float,
    first_row: int,
    out_t: I64,
    out_xyp: npt.NDArray[np.uint16],
) -> int:
    """Write the events of the rows in ``rays``; return their number, or -1 if they do not fit.

    Shapes: ``t_us`` [K], ``poses`` [K, N, 12], ``bounds`` [N, 4], ``light`` [K], ``rays``
    [rows, W, 2], thresholds and ``phase`` [rows, W], outputs [capacity] and [capacity, 3]. The
    model is in ``sensor.py``.
    """
    count = 0
    candidates = np.empty(bodies.shape[0], np.int64)
    for row in range(rays.shape[0]):
        for col in range(rays.shape[1]):
            dx, dy = float(rays[row, col, 0]), float(rays[row, col, 1])
            near = candidates[: _may_meet(bounds, dx, dy, candidates)]
            on, off = float(on_threshold[row, col]), float(off_threshold[row, col])
            t0 = t_us[0]
            level0 = log_radiance(poses[0], bodies, near, textures, dx, dy) + light[0]
            reference = level0 + phase[row, col]
            ready = t0
            for k in range(1, t_us.size):
                t1 = t_us[k]
                level1 = log_radiance(poses[k], bodies, near, textures, dx, dy) + light[k]
                slope = (level1 - level0) / (t1 - t0)
                reference -= leak_per_us * on * (t1 - t0)
                start = t0
                if ready > t0 and ready < t1:
                    # The pixel wakes up inside this interval, referenced to what it sees then.
                    start = ready
                    reference = level0 + slope * (start - t0)
                while start >= ready:
                    step = on if level1 > reference else -off
                    crossing = reference + step
                    if (step > 0.0 and level1 < crossing) or (step < 0.0 and level1 > crossing):
                        break
                    now = start
                    if slope != 0.0:
                        now = max(start, t0 + (crossing - level0) / slope)
                    if count == out_t.size:
                        return -1
                    out_t[count] = int(now)
                    out_xyp[count, 0] = col
                    out_xyp[count, 1] = first_row + row
                    out_xyp[count, 2] = 1 if step > 0.0 else 0
                    count += 1
                    reference = crossing
                    if refractory_us > 0.0:
                        ready = now + refractory_us
                        if ready >= t1:
                            break
                        start = ready
                        reference = level0 + slope * (start - t0)
                t0, level0 = t1, level1
    return count


@numba.njit(nogil=True, cache=True, fastmath=True)
def ground_truth(
    left: F64,
    right: F64,
    bodies: F64,
    focal: float,
    cx: float,
    cy: float,
    baseline: float,
    out: F32,
) -> None:
    """Fill ``out`` [H, W] with disparity in pixels, 0 where the right camera cannot see the point.

    ``left`` and ``right`` are the poses [N, 12] in the two cameras at one time.
    """
    height, width = out.shape
    everything = np.arange(bodies.shape[0])
    for y in range(height):
        for x in range(width):
            dx, dy = (x - cx) / focal, (y - cy) / focal
            z, n, _, _ = trace(left, bodies, everything, dx, dy)
            out[y, x] = 0.0
            if n < 0:
                continue
            disparity = focal * baseline / z
            if x - disparity < -0.5:
                continue
            seen, _, _, _ = trace(right, bodies, everything, dx - baseline / z, dy)
            if seen >= z * (1.0 - 1e-4):
                out[y, x] = disparity
