"""What the kernels of the adaptive engine need to know of a scene, as arrays."""

from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.simulator.path import rotations
from data.simulator.scene import FAR, Body, Scene, Shape, rotation

Array = npt.NDArray[np.float64]

NEAREST_M = 1e-2
"""A body that comes nearer may be anywhere in the picture."""


def frame_table(scene: Scene, t_s: Array, eye_x_m: float) -> Array:
    """Return the pose of each body in a camera at each time.

    Args:
        scene: the bodies and the motion of the rig.
        t_s: ``[K]`` times, seconds.
        eye_x_m: 0 for the left camera, the baseline for the right one.

    Returns:
        ``[K, N, 12]``: ``(e3, e1, e2, c)``, the body's unit axes and its center in meters. Half
        way between two instants all of them may be averaged: the center stays true.
    """
    table = np.empty((t_s.size, len(scene.bodies), 12))
    turned = rotations(np.outer(t_s, scene.motion.turn))
    position = scene.motion.position(t_s)
    if scene.motion.path is not None:
        turned = turned @ rotations(scene.motion.path.rotation_vector(t_s))
        position = position + scene.motion.path.position(t_s)
    back = turned.transpose(0, 2, 1)
    for n, body in enumerate(scene.bodies):
        world = np.asarray(body.center) + np.outer(t_s, body.velocity) - position
        axes = np.broadcast_to(rotation(np.asarray(body.tilt)), (t_s.size, 3, 3))
        if body.path is not None:
            world = world + body.path.position(t_s)
            axes = rotations(body.path.rotation_vector(t_s)) @ axes
        center = (back @ world[:, :, None])[:, :, 0] - np.array([eye_x_m, 0.0, 0.0])
        axes = back @ axes
        for axis, slot in ((2, 0), (0, 3), (1, 6)):
            table[:, n, slot : slot + 3] = axes[:, :, axis]
        table[:, n, 9:] = center
    return table


def split_frames(frames: Array) -> tuple[Array, Array]:
    """Return axes ``[K, N, 3, 3]`` (columns) and centers ``[K, N, 3]`` of a frame table."""
    axes = np.stack([frames[..., 3:6], frames[..., 6:9], frames[..., 0:3]], axis=-1)
    return axes, frames[..., 9:]


def twist_table(frames: Array, tick_us: float) -> Array:
    """Return ``[K, N, 6]``: ``(v, w)`` per microsecond, a body's point X moves by ``w x X + v``."""
    axes, centers = split_frames(frames)
    turning = np.gradient(axes, tick_us, axis=0) @ axes.swapaxes(-1, -2)
    w = 0.5 * np.stack(
        [
            turning[..., 2, 1] - turning[..., 1, 2],
            turning[..., 0, 2] - turning[..., 2, 0],
            turning[..., 1, 0] - turning[..., 0, 1],
        ],
        axis=-1,
    )
    v = np.gradient(centers, tick_us, axis=0) - np.cross(w, centers)
    return np.concatenate([v, w], axis=-1)


def solid_table(scene: Scene) -> Array:
    """Return ``[N, 8]``: shape, three half sizes, tile, texels per meter, offset of the texture."""
    rows = []
    for n, b in enumerate(scene.bodies):
        # The offset keeps two bodies with one tile from looking alike; a picture stays where it is.
        shift = (0.0, 0.0) if b.centered else (37.0 * n, 91.0 * n)
        size = scene.textures.shape[-1] / 2.0 - 0.5 if b.centered else 0.0
        offset = (shift[0] + size, shift[1] + size)
        rows.append([b.shape, *b.half_size, b.half_depth, b.texture, 1.0 / b.texel_m, *offset])
    return np.array(rows, np.float64).reshape(-1, 8)


def bounds_table(
    scene: Scene, frames: Array, chunks: npt.NDArray[np.int64], margin: float
) -> Array:
    """Return ``[C, N, 6]``: least and largest ``x/z``, ``y/z``, ``z`` of each body in each chunk.

    Args:
        scene: the bodies.
        frames: ``[K, N, 12]``.
        chunks: ``[C + 1]``, the instants between which the chunks lie.
        margin: added to ``x/z`` and ``y/z`` on all sides, for what happens between two instants.
    """
    axes, centers = split_frames(frames)
    table = np.empty((chunks.size - 1, len(scene.bodies), 6))
    for n, body in enumerate(scene.bodies):
        if body.shape == Shape.PLANE:
            table[:, n] = -FAR, FAR, -FAR, FAR, NEAREST_M, FAR
            continue
        points = centers[:, n, None] + np.einsum("kij,pj->kpi", axes[:, n], _corners(body))
        z = points[..., 2]
        safe = np.maximum(z, NEAREST_M)
        for c, (first, last) in enumerate(pairwise(chunks)):
            part = slice(first, last + 1)
            low, high = float(z[part].min()), float(z[part].max())
            if low <= NEAREST_M:
                table[c, n] = -FAR, FAR, -FAR, FAR, NEAREST_M, max(high, 2 * NEAREST_M)
                continue
            x, y = (points[part, :, axis] / safe[part] for axis in (0, 1))
            table[c, n] = (
                x.min() - margin, x.max() + margin, y.min() - margin, y.max() + margin, low, high,
            )  # fmt: skip
    return table


def _corners(body: Body) -> Array:
    """Return ``[8, 3]``, a box around the body in its own axes."""
    a, b = body.half_size
    c = body.half_depth
    if body.shape == Shape.BALL:
        b = c = a
    elif body.shape == Shape.CYLINDER:
        c = a
    elif body.shape != Shape.BOX:
        c = 0.0
    return np.array(list(product((-a, a), (-b, b), (-c, c))), np.float64)


def pyramid(
    textures: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return all tiles at all sizes down to one texel.

    Coarser levels average radiance, not its logarithm: that is what a pixel would collect.

    Args:
        textures: ``[tiles, S, S]`` log radiance, S a power of two.

    Returns:
        The texels, and ``[tiles, levels]`` where each level begins.

    Raises:
        RecordingError: tiles of another shape.
    """
    size = textures.shape[-1]
    if textures.ndim != 3 or textures.shape[1] != size or size < 2 or size & (size - 1):
        raise RecordingError(
            "The textures of a scene must be [tiles, S, S] with S a power of two, got "
            f"{textures.shape}."
        )
    parts: list[npt.NDArray[np.float32]] = []
    starts = np.empty((len(textures), size.bit_length()), np.int64)
    place = 0
    for tile, log_tile in enumerate(textures):
        level = np.exp(log_tile.astype(np.float64))
        for k in range(size.bit_length()):
            starts[tile, k] = place
            parts.append((log_tile if k == 0 else np.log(level)).astype(np.float32).ravel())
            place += parts[-1].size
            side = level.shape[0] // 2
            level = level.reshape(side, 2, side, 2).mean(axis=(1, 3)) if side else level
    return np.concatenate(parts), starts
