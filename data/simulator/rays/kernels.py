"""Inner loops of the new scenes: rays against bodies, textures, pictures and ground truth.

Nothing here is compiled with fast math, so results do not depend on how a loop was compiled.

Layouts: a *frame* holds a body's pose in the camera, 12 numbers ``(e3, e3.c, e1, e1.c, e2, e2.c)``
with unit axes ``e`` and center ``c``; a *body* is ``(shape, a, b, c, tile, texels per meter,
offset u, offset v)`` with half sizes a, b, c (a the radius of what is round).

Numba's cache notices changes of a file, not of what it imports: who changes this file must touch
``adaptive/kernels.py``, which inlines it.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.simulator.jit import ALLOCATING, INLINED, KERNEL

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_RECTANGLE, _ELLIPSE, _PLANE, _BALL, _BOX, _CYLINDER = 0, 1, 2, 3, 4, 5
_FAR, _NEAR_M = 1e30, 1e-3
_TINY = 1e-12
_GRAZING = 0.02


@numba.njit(**INLINED)
def _round_hit(
    shape: float, a1: float, a2: float, a3: float, o1: float, o2: float, o3: float,
    radius: float, half: float,
) -> tuple[float, float]:  # fmt: skip
    """Return depth and cosine at which a ray meets a ball or a capped cylinder around axis 2."""
    square = 0.0 if shape == _CYLINDER else 1.0
    norm = a1 * a1 + a3 * a3 + square * a2 * a2
    facing = a1 * o1 + a3 * o3 + square * a2 * o2
    inside = facing * facing - norm * (o1 * o1 + o3 * o3 + square * o2 * o2 - radius * radius)
    if inside <= 0.0:
        return _FAR, 1.0
    root = math.sqrt(inside)
    z = (facing - root) / norm
    if square == 1.0 or abs(z * a2 - o2) <= half:
        return z, root / radius
    # Beyond the side of the cylinder the ray may still meet the nearer cap.
    z = (o2 + (half if a2 < 0.0 else -half)) / (a2 if a2 != 0.0 else _TINY)
    p1, p3 = z * a1 - o1, z * a3 - o3
    return (z, abs(a2)) if p1 * p1 + p3 * p3 <= radius * radius else (_FAR, 1.0)


@numba.njit(**INLINED)
def _box_hit(
    a1: float, a2: float, a3: float, o1: float, o2: float, o3: float,
    h1: float, h2: float, h3: float,
) -> tuple[float, int, float]:  # fmt: skip
    """Return depth, face (axis, and 3 more on its positive side) and cosine; slab by slab."""
    a1 = a1 if abs(a1) > _TINY else _TINY
    a2 = a2 if abs(a2) > _TINY else _TINY
    a3 = a3 if abs(a3) > _TINY else _TINY
    near1, far1 = (o1 - math.copysign(h1, a1)) / a1, (o1 + math.copysign(h1, a1)) / a1
    near2, far2 = (o2 - math.copysign(h2, a2)) / a2, (o2 + math.copysign(h2, a2)) / a2
    near3, far3 = (o3 - math.copysign(h3, a3)) / a3, (o3 + math.copysign(h3, a3)) / a3
    z = max(near1, near2, near3)
    if z > min(far1, far2, far3):
        return _FAR, 0, 1.0
    if z == near1:
        return z, 0 if a1 > 0.0 else 3, abs(a1)
    if z == near2:
        return z, 1 if a2 > 0.0 else 4, abs(a2)
    return z, 2 if a3 > 0.0 else 5, abs(a3)


@numba.njit(**INLINED)
def _solid_hit(
    frames: F64, s: int, j: int, bodies: F64, n: int, dx: float, dy: float, best: float
) -> tuple[float, float, float, float]:
    """Return depth, surface coordinates and cosine on a ball, box or cylinder; depth FAR: missed.

    A ball is painted like a cube around it, so that its texture is nowhere stretched without limit.
    """
    a3 = frames[s, j, 0] * dx + frames[s, j, 1] * dy + frames[s, j, 2]
    a1 = frames[s, j, 4] * dx + frames[s, j, 5] * dy + frames[s, j, 6]
    a2 = frames[s, j, 8] * dx + frames[s, j, 9] * dy + frames[s, j, 10]
    o3, o1, o2 = frames[s, j, 3], frames[s, j, 7], frames[s, j, 11]
    shape, size1, size2 = bodies[n, 0], bodies[n, 1], bodies[n, 2]
    face = 0
    if shape == _BOX:
        z, face, cosine = _box_hit(a1, a2, a3, o1, o2, o3, size1, size2, bodies[n, 3])
    else:
        z, cosine = _round_hit(shape, a1, a2, a3, o1, o2, o3, size1, size2)
    if z <= _NEAR_M or z >= best:
        return _FAR, 0.0, 0.0, 1.0
    p1, p2, p3 = z * a1 - o1, z * a2 - o2, z * a3 - o3
    if shape == _CYLINDER:
        return z, size1 * math.atan2(p1, -p3), p2, cosine
    if shape == _BALL:
        b1, b2, b3 = abs(p1), abs(p2), abs(p3)
        if b1 >= b2 and b1 >= b3:
            face = 0 if p1 < 0.0 else 3
        elif b2 >= b3:
            face = 1 if p2 < 0.0 else 4
        else:
            face = 2 if p3 < 0.0 else 5
        stretch = size1 / max(b1, b2, b3)
        p1, p2, p3 = p1 * stretch, p2 * stretch, p3 * stretch
    # A whole number of pictures apart, if the body shows one on each face.
    apart = 8.0 * size1 * face
    if face % 3 == 0:
        return z, p3 + apart, p2, cosine
    if face % 3 == 1:
        return z, p1 + apart, p3, cosine
    return z, p1 + apart, p2, cosine


@numba.njit(**INLINED)
def cast(
    frames: F64, s: int, near: I64, count: int, bodies: F64, dx: float, dy: float
) -> tuple[float, int, float, float, float]:
    """Return depth, body (-1 for none), surface coordinates and cosine along the ray (dx, dy, 1).

    Shapes: ``frames`` [S, N', 12], of which instant ``s`` is used; ``near`` [N'] the bodies that
    its entries belong to, of which the first ``count`` may be met.
    """
    best, hit, best_u, best_v, best_cosine = _FAR, -1, 0.0, 0.0, 1.0
    for j in range(count):
        n = near[j]
        shape = bodies[n, 0]
        if shape > _PLANE:
            z, u, v, cosine = _solid_hit(frames, s, j, bodies, n, dx, dy, best)
            if z < best:
                best, hit, best_u, best_v, best_cosine = z, n, u, v, cosine
            continue
        facing = frames[s, j, 0] * dx + frames[s, j, 1] * dy + frames[s, j, 2]
        z = frames[s, j, 3] / facing
        if not (z > _NEAR_M and z < best):
            continue
        u = z * (frames[s, j, 4] * dx + frames[s, j, 5] * dy + frames[s, j, 6]) - frames[s, j, 7]
        v = z * (frames[s, j, 8] * dx + frames[s, j, 9] * dy + frames[s, j, 10]) - frames[s, j, 11]
        if shape == _RECTANGLE and (abs(u) > bodies[n, 1] or abs(v) > bodies[n, 2]):
            continue
        if shape == _ELLIPSE:
            u_share, v_share = u / bodies[n, 1], v / bodies[n, 2]
            if u_share * u_share + v_share * v_share > 1.0:
                continue
        best, hit, best_u, best_v, best_cosine = z, n, u, v, abs(facing)
    return best, hit, best_u, best_v, best_cosine


@numba.njit(**INLINED)
def _bilinear(texels: F32, start: int, size: int, u: float, v: float) -> float:
    """Return the value of a periodic tile at (u, v) texels of its own."""
    u_floor, v_floor = math.floor(u), math.floor(v)
    u_part, v_part = u - u_floor, v - v_floor
    mask = size - 1
    u0, v0 = int(u_floor) & mask, int(v_floor) & mask
    u1, row0 = (u0 + 1) & mask, start + v0 * size
    row1 = start + ((v0 + 1) & mask) * size
    top = texels[row0 + u0] + (texels[row0 + u1] - texels[row0 + u0]) * u_part
    bottom = texels[row1 + u0] + (texels[row1 + u1] - texels[row1 + u0]) * u_part
    level: float = top + (bottom - top) * v_part
    return level


@numba.njit(**INLINED)
def shade(
    bodies: F64, texels: F32, starts: I64, n: int, u: float, v: float, footprint: float
) -> float:
    """Return the log radiance of body ``n`` at (u, v) meters, blurred to a pixel's footprint.

    Where a pixel covers more than one texel, two levels of the image pyramid are mixed (Williams,
    SIGGRAPH 1983). ``starts`` [tiles, levels] says where each level begins in ``texels``.
    """
    tile, scale = int(bodies[n, 4]), bodies[n, 5]
    u, v = u * scale + bodies[n, 6], v * scale + bodies[n, 7]
    size = 1 << (starts.shape[1] - 1)
    wide = footprint * scale
    if wide <= 1.0:
        nearest: float = _bilinear(texels, starts[tile, 0], size, u, v)
        return nearest
    depth = min(math.log2(wide), starts.shape[1] - 1.001)
    level = int(depth)
    share = depth - level
    shrink = 1.0 / (1 << level)
    # Texel centers of a coarser level lie between those of the finer one.
    u, v = (u + 0.5) * shrink - 0.5, (v + 0.5) * shrink - 0.5
    fine = _bilinear(texels, starts[tile, level], size >> level, u, v)
    u, v = (u + 0.5) * 0.5 - 0.5, (v + 0.5) * 0.5 - 0.5
    coarse = _bilinear(texels, starts[tile, level + 1], size >> (level + 1), u, v)
    mixed: float = fine + (coarse - fine) * share
    return mixed


@numba.njit(**KERNEL)
def radiance(
    frames: F64, s: int, near: I64, count: int, bodies: F64, texels: F32, starts: I64,
    view: F64, dx: float, dy: float,
) -> float:  # fmt: skip
    """Return the log radiance along a ray; ``view`` is (focal length, log radiance of nothing)."""
    z, n, u, v, cosine = cast(frames, s, near, count, bodies, dx, dy)
    level: float = view[1]
    if n >= 0:
        footprint = z / (view[0] * math.sqrt(max(cosine, _GRAZING)))
        level = shade(bodies, texels, starts, n, u, v, footprint)
    return level


@numba.njit(**KERNEL)
def _flat_tile(
    frames: F64, s: int, j: int, bodies: F64, n: int, m: int, dx: F64, dy: F64, z: F64, u: F64,
    v: F64, cosine: F64, hit: F64,
) -> None:  # fmt: skip
    """Let a flat body hide what ``m`` rays met so far; without branches, to be vectorized."""
    f0, f1, f2, fo = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
    g0, g1, g2, go = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
    h0, h1, h2, ho = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
    per_u, per_v, body = 1.0 / bodies[n, 1], 1.0 / bodies[n, 2], float(n)
    if bodies[n, 0] == _PLANE:
        per_u = per_v = 0.0
    round_one = bodies[n, 0] == _ELLIPSE
    for i in range(m):
        facing = f0 * dx[i] + f1 * dy[i] + f2
        depth = fo / facing
        across = depth * (g0 * dx[i] + g1 * dy[i] + g2) - go
        down = depth * (h0 * dx[i] + h1 * dy[i] + h2) - ho
        u_share, v_share = across * per_u, down * per_v
        square = max(abs(u_share), abs(v_share))
        radius = u_share * u_share + v_share * v_share
        size = radius if round_one else square
        met = (depth > _NEAR_M) & (depth < z[i]) & (size <= 1.0)
        z[i] = depth if met else z[i]
        u[i] = across if met else u[i]
        v[i] = down if met else v[i]
        cosine[i] = abs(facing) if met else cosine[i]
        hit[i] = body if met else hit[i]


@numba.njit(**KERNEL)
def _solid_tile(
    frames: F64, s: int, j: int, bodies: F64, n: int, m: int, dx: F64, dy: F64, z: F64, u: F64,
    v: F64, cosine: F64, hit: F64, inside: F64,
) -> None:  # fmt: skip
    """Let a ball, box or cylinder hide what ``m`` rays met so far; most miss a ball around it."""
    f0, f1, f2, fo = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
    g0, g1, g2, go = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
    h0, h1, h2, ho = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
    a, b, c = bodies[n, 1], bodies[n, 2], bodies[n, 3]
    radius2 = a * a
    if bodies[n, 0] == _BOX:
        radius2 += b * b + c * c
    elif bodies[n, 0] == _CYLINDER:
        radius2 += b * b
    rest = fo * fo + go * go + ho * ho - radius2
    x, y, depth = fo * f0 + go * g0 + ho * h0, fo * f1 + go * g1 + ho * h1, 0.0
    depth = fo * f2 + go * g2 + ho * h2
    for i in range(m):
        facing = x * dx[i] + y * dy[i] + depth
        inside[i] = facing * facing - (dx[i] * dx[i] + dy[i] * dy[i] + 1.0) * rest
    for i in range(m):
        if inside[i] > 0.0:
            found, across, down, slant = _solid_hit(frames, s, j, bodies, n, dx[i], dy[i], z[i])
            if found < z[i]:
                z[i], u[i], v[i], cosine[i], hit[i] = found, across, down, slant, float(n)


@numba.njit(**KERNEL)
def tile_radiance(
    frames: F64, s: int, near: I64, count: int, bodies: F64, texels: F32, starts: I64, view: F64,
    m: int, dx: F64, dy: F64, work: F64, hit: F64, out: F64,
) -> None:  # fmt: skip
    """Fill ``out`` and ``hit`` [>= m] with log radiance and body along ``m`` rays, as ``radiance``.

    Many times faster than one ray at a time. ``work`` [5, >= m] is scratch.
    """
    z, u, v, cosine, inside = work[0], work[1], work[2], work[3], work[4]
    for i in range(m):
        z[i], u[i], v[i], cosine[i], hit[i] = _FAR, 0.0, 0.0, 1.0, -1.0
    for j in range(count):
        n = near[j]
        if bodies[n, 0] <= _PLANE:
            _flat_tile(frames, s, j, bodies, n, m, dx, dy, z, u, v, cosine, hit)
        else:
            _solid_tile(frames, s, j, bodies, n, m, dx, dy, z, u, v, cosine, hit, inside)
    size, focal2 = 1 << (starts.shape[1] - 1), view[0] * view[0]
    mask = size - 1
    for i in range(m):
        n = int(hit[i])
        if n < 0:
            out[i] = view[1]
            continue
        scale = bodies[n, 5]
        wide = z[i] * scale
        if wide * wide > focal2 * max(cosine[i], _GRAZING):
            footprint = z[i] / (view[0] * math.sqrt(max(cosine[i], _GRAZING)))
            out[i] = shade(bodies, texels, starts, n, u[i], v[i], footprint)
            continue
        # What ``shade`` does where no pyramid is needed, written out: calls cost more than it.
        across, down = u[i] * scale + bodies[n, 6], v[i] * scale + bodies[n, 7]
        u_floor, v_floor = math.floor(across), math.floor(down)
        u_part, v_part = across - u_floor, down - v_floor
        u0, v0 = int(u_floor) & mask, int(v_floor) & mask
        start, u1 = starts[int(bodies[n, 4]), 0], (u0 + 1) & mask
        row0, row1 = start + v0 * size, start + ((v0 + 1) & mask) * size
        top = texels[row0 + u0] + (texels[row0 + u1] - texels[row0 + u0]) * u_part
        bottom = texels[row1 + u0] + (texels[row1 + u1] - texels[row1 + u0]) * u_part
        out[i] = top + (bottom - top) * v_part


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
            z, n, _, _, _ = cast(frames, 0, near, near.size, bodies, dx, dy)
            out[y, x] = 0.0
            disparity = focal * baseline / z
            if n < 0 or x - disparity < -0.5:
                continue
            seen, _, _, _, _ = cast(frames, 1, near, near.size, bodies, dx - baseline / z, dy)
            if seen >= z * (1.0 - 1e-4):
                out[y, x] = disparity
