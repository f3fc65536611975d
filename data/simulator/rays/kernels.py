"""Inner loops of the new scenes: rays against bodies, textures, pictures and ground truth.

Nothing here is compiled with fast math, so results do not depend on how a loop was compiled.

Layouts: a *frame* holds a body's pose in the camera, 12 numbers ``(e3, e1, e2, c)``, its unit axes
and its center; a *body* is ``(shape, a, b, c, tile, texels per meter,
offset u, offset v)`` with half sizes a, b, c (a the radius of what is round).

Numba's cache notices changes of a file, not of what it imports: who changes this file must touch
``adaptive/kernels.py``, which inlines it.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.simulator.jit import ALLOCATING, INLINED, KERNEL
from data.simulator.paint.kernels import BALL, BOX, CYLINDER, ELLIPSE, PLANE, paint, shade

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_FAR, _NEAR_M = 1e30, 1e-3
_TINY = 1e-12
_GRAZING = 0.02


@numba.njit(**INLINED)
def _flat_depth(
    dx: float, dy: float, f0: float, f1: float, f2: float, fo: float, g0: float, g1: float,
    g2: float, go: float, h0: float, h1: float, h2: float, ho: float, per_u: float, per_v: float,
    is_round: bool,
) -> float:  # fmt: skip
    """Return the depth of a flat body along the ray (dx, dy, 1), FAR if missed; no branches.

    ``per_u`` and ``per_v`` are the inverse half sizes, 0 for a plane.
    """
    z = fo / (f0 * dx + f1 * dy + f2)
    u = (z * (g0 * dx + g1 * dy + g2) - go) * per_u
    v = (z * (h0 * dx + h1 * dy + h2) - ho) * per_v
    size = u * u + v * v if is_round else max(abs(u), abs(v))
    return z if size <= 1.0 else _FAR


@numba.njit(**INLINED)
def _ball_depth(dx: float, dy: float, cx: float, cy: float, cz: float, rest: float) -> float:
    """Return the nearer root of ``z^2 d.d - 2 z d.c + rest = 0``; ``rest`` is ``c.c - r^2``."""
    norm, facing = dx * dx + dy * dy + 1.0, dx * cx + dy * cy + cz
    inside = facing * facing - norm * rest
    z = (facing - math.sqrt(max(inside, 0.0))) / norm
    return z if inside > 0.0 else _FAR


@numba.njit(**INLINED)
def _box_depth(
    a1: float, a2: float, a3: float, o1: float, o2: float, o3: float, s1: float, s2: float,
    s3: float,
) -> float:  # fmt: skip
    """Return the depth of a box with half sizes s, by slabs; a ray is ``z a - o`` in its axes."""
    i1 = 1.0 / (a1 if abs(a1) > _TINY else _TINY)
    i2 = 1.0 / (a2 if abs(a2) > _TINY else _TINY)
    i3 = 1.0 / (a3 if abs(a3) > _TINY else _TINY)
    m1, m2, m3 = o1 * i1, o2 * i2, o3 * i3
    w1, w2, w3 = s1 * abs(i1), s2 * abs(i2), s3 * abs(i3)
    z = max(max(m1 - w1, m2 - w2), m3 - w3)
    return z if z <= min(min(m1 + w1, m2 + w2), m3 + w3) else _FAR


@numba.njit(**INLINED)
def _cylinder_depth(
    a1: float, a2: float, a3: float, o1: float, o2: float, o3: float, radius: float, half: float
) -> float:
    """Return the depth of a capped cylinder around axis 2; a ray is ``z a - o`` in its axes."""
    norm, facing = a1 * a1 + a3 * a3, a1 * o1 + a3 * o3
    inside = facing * facing - norm * (o1 * o1 + o3 * o3 - radius * radius)
    side = (facing - math.sqrt(max(inside, 0.0))) / norm
    cap = (o2 - math.copysign(half, a2)) / (a2 if abs(a2) > _TINY else _TINY)
    p1, p3 = cap * a1 - o1, cap * a3 - o3
    on_cap = p1 * p1 + p3 * p3 <= radius * radius
    on_side = (inside > 0.0) & (abs(side * a2 - o2) <= half)
    return side if on_side else (cap if on_cap else _FAR)


@numba.njit(**INLINED)
def _surface(
    frames: F64, s: int, j: int, bodies: F64, n: int, dx: float, dy: float, z: float
) -> tuple[float, float, float]:
    """Return surface coordinates in meters, and the cosine to the surface's normal, at depth z."""
    a1 = frames[s, j, 3] * dx + frames[s, j, 4] * dy + frames[s, j, 5]
    a2 = frames[s, j, 6] * dx + frames[s, j, 7] * dy + frames[s, j, 8]
    a3 = frames[s, j, 0] * dx + frames[s, j, 1] * dy + frames[s, j, 2]
    x, y = z * dx - frames[s, j, 9], z * dy - frames[s, j, 10]
    depth = z - frames[s, j, 11]
    p1 = frames[s, j, 3] * x + frames[s, j, 4] * y + frames[s, j, 5] * depth
    p2 = frames[s, j, 6] * x + frames[s, j, 7] * y + frames[s, j, 8] * depth
    p3 = frames[s, j, 0] * x + frames[s, j, 1] * y + frames[s, j, 2] * depth
    shape, size1, size2, size3 = bodies[n, 0], bodies[n, 1], bodies[n, 2], bodies[n, 3]
    u, v, cosine = paint(shape, size1, size2, size3, p1, p2, p3, a1, a2, a3)
    return u, v, cosine


@numba.njit(**KERNEL)
def cast(
    frames: F64, s: int, near: I64, count: int, bodies: F64, dx: float, dy: float
) -> tuple[float, int]:
    """Return the depth along the ray (dx, dy, 1) and which entry of ``near`` it meets, -1 for none.

    Shapes: ``frames`` [S, N', 12], of which instant ``s`` is used; ``near`` [N'] the bodies that
    its entries belong to, of which the first ``count`` may be met.
    """
    best, place = _FAR, -1
    for j in range(count):
        n = near[j]
        shape, size1, size2, size3 = bodies[n, 0], bodies[n, 1], bodies[n, 2], bodies[n, 3]
        f0, f1, f2, g0 = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
        g1, g2, h0, h1 = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
        h2, cx, cy, cz = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
        fo, go = f0 * cx + f1 * cy + f2 * cz, g0 * cx + g1 * cy + g2 * cz
        ho = h0 * cx + h1 * cy + h2 * cz
        if shape <= PLANE:
            far = 0.0 if shape == PLANE else 1.0
            z = _flat_depth(
                dx, dy, f0, f1, f2, fo, g0, g1, g2, go, h0, h1, h2, ho, far / size1, far / size2,
                shape == ELLIPSE,
            )  # fmt: skip
        else:
            a1, a2, a3 = (
                g0 * dx + g1 * dy + g2, h0 * dx + h1 * dy + h2, f0 * dx + f1 * dy + f2,
            )  # fmt: skip
            if shape == BALL:
                rest = cx * cx + cy * cy + cz * cz - size1 * size1
                z = _ball_depth(dx, dy, cx, cy, cz, rest)
            elif shape == BOX:
                z = _box_depth(a1, a2, a3, go, ho, fo, size1, size2, size3)
            else:
                z = _cylinder_depth(a1, a2, a3, go, ho, fo, size1, size2)
        if z > _NEAR_M and z < best:
            best, place = z, j
    return best, place


@numba.njit(**KERNEL)
def radiance(
    frames: F64, s: int, near: I64, count: int, bodies: F64, texels: F32, starts: I64,
    view: F64, dx: float, dy: float,
) -> float:  # fmt: skip
    """Return the log radiance along a ray; ``view`` is (focal length, log radiance of nothing)."""
    z, j = cast(frames, s, near, count, bodies, dx, dy)
    level: float = view[1]
    if j >= 0:
        u, v, cosine = _surface(frames, s, j, bodies, near[j], dx, dy, z)
        footprint = z / (view[0] * math.sqrt(max(cosine, _GRAZING)))
        level = shade(bodies, texels, starts, near[j], u, v, footprint)
    return level


@numba.njit(**KERNEL)
def _nearer(
    frames: F64, s: int, j: int, bodies: F64, n: int, m: int, dx: F64, dy: F64, z: F64, place: F64
) -> None:
    """Let one body hide what ``m`` rays met so far; one vectorized loop for each shape."""
    shape, size1, size2, size3 = bodies[n, 0], bodies[n, 1], bodies[n, 2], bodies[n, 3]
    f0, f1, f2, g0 = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
    g1, g2, h0, h1 = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
    h2, cx, cy, cz = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
    fo, go = f0 * cx + f1 * cy + f2 * cz, g0 * cx + g1 * cy + g2 * cz
    ho = h0 * cx + h1 * cy + h2 * cz
    entry, far = float(j), 0.0 if shape == PLANE else 1.0
    per_u, per_v, is_round = far / size1, far / size2, shape == ELLIPSE
    if shape <= PLANE:
        for i in range(m):
            depth = _flat_depth(
                dx[i], dy[i], f0, f1, f2, fo, g0, g1, g2, go, h0, h1, h2, ho, per_u, per_v, is_round
            )
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]
    elif shape == BALL:
        rest = cx * cx + cy * cy + cz * cz - size1 * size1
        for i in range(m):
            depth = _ball_depth(dx[i], dy[i], cx, cy, cz, rest)
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]
    elif shape == BOX:
        for i in range(m):
            x, y = dx[i], dy[i]
            depth = _box_depth(
                g0 * x + g1 * y + g2, h0 * x + h1 * y + h2, f0 * x + f1 * y + f2, go, ho, fo,
                size1, size2, size3,
            )  # fmt: skip
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]
    else:
        for i in range(m):
            x, y = dx[i], dy[i]
            depth = _cylinder_depth(
                g0 * x + g1 * y + g2, h0 * x + h1 * y + h2, f0 * x + f1 * y + f2, go, ho, fo,
                size1, size2,
            )  # fmt: skip
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]


@numba.njit(**INLINED)
def _paint_rays(
    kind: float, frames: F64, s: int, j: int, bodies: F64, n: int, first: float, focal: float,
    m: int, dx: F64, dy: F64, work: F64, hit: F64,
) -> None:  # fmt: skip
    """Write where the texture of entry ``j`` is to be read, for the rays along which it is seen."""
    z, place, u, v, start, wide = work[0], work[1], work[2], work[3], work[4], work[5]
    f0, f1, f2, g0 = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
    g1, g2, h0, h1 = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
    h2, cx, cy, cz = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
    size1, size2, size3, scale = bodies[n, 1], bodies[n, 2], bodies[n, 3], bodies[n, 5]
    move_u, move_v, entry, body = bodies[n, 6], bodies[n, 7], float(j), float(n)
    coarse = scale * scale / (focal * focal)
    for i in range(m):
        mine = place[i] == entry
        x, y, depth = z[i] * dx[i] - cx, z[i] * dy[i] - cy, z[i] - cz
        across, down, slant = paint(
            kind, size1, size2, size3, g0 * x + g1 * y + g2 * depth, h0 * x + h1 * y + h2 * depth,
            f0 * x + f1 * y + f2 * depth, g0 * dx[i] + g1 * dy[i] + g2,
            h0 * dx[i] + h1 * dy[i] + h2, f0 * dx[i] + f1 * dy[i] + f2,
        )  # fmt: skip
        # All is computed before anything is chosen: a choice that spares work is a branch.
        across, down = across * scale + move_u, down * scale + move_v
        blur = z[i] * z[i] * coarse / max(slant, _GRAZING)
        old_u, old_v, old_wide, old_start, old_hit = u[i], v[i], wide[i], start[i], hit[i]
        u[i], v[i] = across if mine else old_u, down if mine else old_v
        wide[i], start[i] = blur if mine else old_wide, first if mine else old_start
        hit[i] = body if mine else old_hit


@numba.njit(**KERNEL)
def _painted(
    frames: F64, s: int, j: int, bodies: F64, n: int, first: float, focal: float, m: int, dx: F64,
    dy: F64, work: F64, hit: F64,
) -> None:  # fmt: skip
    """Do ``_paint_rays`` in a loop for each kind: with the kind known the compiler vectorizes."""
    shape = bodies[n, 0]
    if shape <= PLANE:
        _paint_rays(PLANE, frames, s, j, bodies, n, first, focal, m, dx, dy, work, hit)
    elif shape == BALL:
        _paint_rays(BALL, frames, s, j, bodies, n, first, focal, m, dx, dy, work, hit)
    elif shape == BOX:
        _paint_rays(BOX, frames, s, j, bodies, n, first, focal, m, dx, dy, work, hit)
    else:
        _paint_rays(CYLINDER, frames, s, j, bodies, n, first, focal, m, dx, dy, work, hit)


@numba.njit(**KERNEL)
def tile_radiance(
    frames: F64, s: int, near: I64, count: int, bodies: F64, texels: F32, starts: I64, view: F64,
    m: int, dx: F64, dy: F64, work: F64, hit: F64, out: F64,
) -> None:  # fmt: skip
    """Fill ``out`` and ``hit`` [>= m] with log radiance and body along ``m`` rays, as ``radiance``.

    Many times faster than one ray at a time. ``work`` [6, >= m] is scratch.
    """
    z, place, u, v, start, wide = work[0], work[1], work[2], work[3], work[4], work[5]
    for i in range(m):
        z[i], place[i], hit[i] = _FAR, -1.0, -1.0
        u[i], v[i], start[i], wide[i] = 0.0, 0.0, 0.0, 0.0
    for j in range(count):
        _nearer(frames, s, j, bodies, near[j], m, dx, dy, z, place)
    for j in range(count):
        first = float(starts[int(bodies[near[j], 4]), 0])
        _painted(frames, s, j, bodies, near[j], first, view[0], m, dx, dy, work, hit)
    size = 1 << (starts.shape[1] - 1)
    mask, blurred = size - 1, 0.0
    for i in range(m):
        u_floor, v_floor = math.floor(u[i]), math.floor(v[i])
        u_part, v_part = np.float32(u[i] - u_floor), np.float32(v[i] - v_floor)
        u0, v0 = int(u_floor) & mask, int(v_floor) & mask
        u1 = (u0 + 1) & mask
        row0 = int(start[i]) + v0 * size
        row1 = int(start[i]) + ((v0 + 1) & mask) * size
        top = texels[row0 + u0] + (texels[row0 + u1] - texels[row0 + u0]) * u_part
        bottom = texels[row1 + u0] + (texels[row1 + u1] - texels[row1 + u0]) * u_part
        out[i] = top + (bottom - top) * v_part if hit[i] >= 0.0 else view[1]
        blurred = max(blurred, wide[i])
    if blurred < 1.0:
        return
    for i in range(m):
        if wide[i] >= 1.0:
            n = int(hit[i])
            across, down = (
                (u[i] - bodies[n, 6]) / bodies[n, 5], (v[i] - bodies[n, 7]) / bodies[n, 5]
            )  # fmt: skip
            footprint = math.sqrt(wide[i]) / bodies[n, 5]
            out[i] = shade(bodies, texels, starts, n, across, down, footprint)


@numba.njit(**ALLOCATING)
def picture(
    frames: F64, bodies: F64, texels: F32, starts: I64, view: F64, rays: F32, out: F32
) -> None:
    """Fill ``out`` [H, W] with the log radiance that rays [H, W, 2] see at frames [1, N, 12]."""
    near = np.arange(bodies.shape[0])
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = radiance(
                frames, 0, near, near.size, bodies, texels, starts, view, float(rays[y, x, 0]),
                float(rays[y, x, 1]),
            )  # fmt: skip


@numba.njit(**ALLOCATING)
def ground_truth(frames: F64, bodies: F64, geometry: F64, out: F32) -> None:
    """Fill ``out`` [H, W] with disparity in pixels, 0 where the right camera cannot see the point.

    ``frames`` [2, N, 12] of the left and the right camera; ``geometry`` is (f, cx, cy, baseline).
    """
    focal, cx, cy, baseline = geometry[0], geometry[1], geometry[2], geometry[3]
    near = np.arange(bodies.shape[0])
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            dx, dy = (x - cx) / focal, (y - cy) / focal
            z, n = cast(frames, 0, near, near.size, bodies, dx, dy)
            out[y, x] = 0.0
            disparity = focal * baseline / z
            if n < 0 or x - disparity < -0.5:
                continue
            seen, _ = cast(frames, 1, near, near.size, bodies, dx - baseline / z, dy)
            if seen >= z * (1.0 - 1e-4):
                out[y, x] = disparity
