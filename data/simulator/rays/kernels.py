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

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_RECTANGLE, _ELLIPSE, _PLANE, _BALL, _BOX, _CYLINDER = 0, 1, 2, 3, 4, 5
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
def _angle(y: float, x: float) -> float:
    """Return ``atan2(y, x)`` to 1e-4 (Abramowitz and Stegun, 4.4.49), without branches."""
    low, high = min(abs(x), abs(y)), max(max(abs(x), abs(y)), _TINY)
    t = low / high
    t2 = t * t
    angle = t * (
        0.9998660 + t2 * (-0.3302995 + t2 * (0.1801410 + t2 * (-0.0851330 + t2 * 0.0208351)))
    )  # fmt: skip
    angle = 0.5 * math.pi - angle if abs(y) > abs(x) else angle
    angle = math.pi - angle if x < 0.0 else angle
    return -angle if y < 0.0 else angle


@numba.njit(**INLINED)
def _paint(
    shape: float, size1: float, size2: float, size3: float, p1: float, p2: float, p3: float,
    a1: float, a2: float, a3: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Return surface coordinates of the point p of a body, and the cosine to its normal there.

    Meters along flat faces and around a cylinder; a ball is painted like a cube around it, so that
    its texture is nowhere stretched without limit. ``a`` is the ray in the body's axes.
    """
    if shape <= _PLANE:
        return p1, p2, abs(a3)
    if shape == _CYLINDER:
        on_side = abs(p2) < size2 * (1.0 - 1e-9)
        slant = abs(p1 * a1 + p3 * a3) / size1 if on_side else abs(a2)
        return size1 * _angle(p1, -p3), p2, slant
    is_box = shape == _BOX
    b1, b2, b3 = abs(p1), abs(p2), abs(p3)
    b1, b2, b3 = b1 / size1, b2 / (size2 if is_box else size1), b3 / (size3 if is_box else size1)
    first, second = (b1 >= b2) & (b1 >= b3), b2 >= b3
    u = p3 if first else p1
    v = p3 if (not first) & second else p2
    side = p1 if first else (p2 if second else p3)
    slant = a1 if first else (a2 if second else a3)
    face = (0.0 if first else (1.0 if second else 2.0)) + (3.0 if side > 0.0 else 0.0)
    stretch = 1.0 if is_box else 1.0 / max(max(b1, b2), b3)
    slant = slant if is_box else (p1 * a1 + p2 * a2 + p3 * a3) / size1
    # A whole number of pictures apart, if the body shows one on each face.
    return u * stretch + 8.0 * size1 * face, v * stretch, abs(slant)


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
    u, v, cosine = _paint(shape, size1, size2, size3, p1, p2, p3, a1, a2, a3)
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
        if shape <= _PLANE:
            far = 0.0 if shape == _PLANE else 1.0
            z = _flat_depth(
                dx, dy, f0, f1, f2, fo, g0, g1, g2, go, h0, h1, h2, ho, far / size1, far / size2,
                shape == _ELLIPSE,
            )  # fmt: skip
        else:
            a1, a2, a3 = (
                g0 * dx + g1 * dy + g2, h0 * dx + h1 * dy + h2, f0 * dx + f1 * dy + f2,
            )  # fmt: skip
            if shape == _BALL:
                rest = cx * cx + cy * cy + cz * cz - size1 * size1
                z = _ball_depth(dx, dy, cx, cy, cz, rest)
            elif shape == _BOX:
                z = _box_depth(a1, a2, a3, go, ho, fo, size1, size2, size3)
            else:
                z = _cylinder_depth(a1, a2, a3, go, ho, fo, size1, size2)
        if z > _NEAR_M and z < best:
            best, place = z, j
    return best, place


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
    mantissa, exponent = math.frexp(footprint * scale)
    if exponent < 1:
        nearest: float = _bilinear(texels, starts[tile, 0], size, u, v)
        return nearest
    # Between powers of two straight lines stand in for the logarithm.
    level, share = exponent - 1, 2.0 * mantissa - 1.0
    if level > starts.shape[1] - 2:
        level, share = starts.shape[1] - 2, 1.0
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
    entry, far = float(j), 0.0 if shape == _PLANE else 1.0
    per_u, per_v, is_round = far / size1, far / size2, shape == _ELLIPSE
    if shape <= _PLANE:
        for i in range(m):
            depth = _flat_depth(
                dx[i], dy[i], f0, f1, f2, fo, g0, g1, g2, go, h0, h1, h2, ho, per_u, per_v, is_round
            )
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]
    elif shape == _BALL:
        rest = cx * cx + cy * cy + cz * cz - size1 * size1
        for i in range(m):
            depth = _ball_depth(dx[i], dy[i], cx, cy, cz, rest)
            met = (depth > _NEAR_M) & (depth < z[i])
            z[i], place[i] = depth if met else z[i], entry if met else place[i]
    elif shape == _BOX:
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


@numba.njit(**KERNEL)
def _painted(
    frames: F64, s: int, j: int, bodies: F64, n: int, starts: I64, view: F64, m: int, dx: F64,
    dy: F64, work: F64, hit: F64,
) -> None:  # fmt: skip
    """Write, for the rays that entry ``j`` is seen along, where its texture is to be read."""
    z, place, u, v, start, wide = work[0], work[1], work[2], work[3], work[4], work[5]
    f0, f1, f2, g0 = frames[s, j, 0], frames[s, j, 1], frames[s, j, 2], frames[s, j, 3]
    g1, g2, h0, h1 = frames[s, j, 4], frames[s, j, 5], frames[s, j, 6], frames[s, j, 7]
    h2, cx, cy, cz = frames[s, j, 8], frames[s, j, 9], frames[s, j, 10], frames[s, j, 11]
    fo, go = f0 * cx + f1 * cy + f2 * cz, g0 * cx + g1 * cy + g2 * cz
    ho = h0 * cx + h1 * cy + h2 * cz
    shape, size1, size2, size3 = bodies[n, 0], bodies[n, 1], bodies[n, 2], bodies[n, 3]
    scale, move_u, move_v = bodies[n, 5], bodies[n, 6], bodies[n, 7]
    entry, body, first = float(j), float(n), float(starts[int(bodies[n, 4]), 0])
    coarse = scale * scale / (view[0] * view[0])
    for i in range(m):
        mine = place[i] == entry
        a1 = g0 * dx[i] + g1 * dy[i] + g2
        a2 = h0 * dx[i] + h1 * dy[i] + h2
        a3 = f0 * dx[i] + f1 * dy[i] + f2
        p1, p2, p3 = z[i] * a1 - go, z[i] * a2 - ho, z[i] * a3 - fo
        across, down, slant = _paint(shape, size1, size2, size3, p1, p2, p3, a1, a2, a3)
        u[i] = across * scale + move_u if mine else u[i]
        v[i] = down * scale + move_v if mine else v[i]
        wide[i] = z[i] * z[i] * coarse / max(slant, _GRAZING) if mine else wide[i]
        start[i], hit[i] = first if mine else start[i], body if mine else hit[i]


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
        _painted(frames, s, j, bodies, near[j], starts, view, m, dx, dy, work, hit)
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
