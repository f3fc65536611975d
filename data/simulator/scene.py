"""Textured bodies in motion, with their exact geometry at any time.

Frames: the world frame is the left rectified camera at time zero (x right, y down, z forward,
meters). The rig moves through it; each object moves on a straight line, or on a path as well.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import product

import numpy as np
import numpy.typing as npt

from data.simulator.path import Path

Vector = tuple[float, float, float]
Array = npt.NDArray[np.float64]

FAR = 1e30
"""Stands for infinity in the kernels, which are compiled with fast math."""


class Shape(IntEnum):
    """Outline of an object; the numbers are read by the kernels."""

    RECTANGLE = 0
    ELLIPSE = 1
    PLANE = 2
    BALL = 3
    BOX = 4
    CYLINDER = 5


@dataclass(frozen=True, kw_only=True)
class Body:
    """One textured object.

    Attributes:
        shape: outline.
        center: position at time zero, meters.
        velocity: meters per second.
        tilt: rotation vector (radians) of its own axes; a plane without tilt faces the camera.
        half_size: half extents along its own axes, meters; a ball uses the first as radius, a
            cylinder the first as radius and the second as half its length, a plane ignores them.
        texture: index of the tile.
        texel_m: size of one texel, meters.
        half_depth: half extent of a box along its third axis, meters.
        path: motion in six degrees of freedom on top of the velocity; None for none.
        centered: the middle of the tile lies at the center of the body, as for a picture.
    """

    shape: Shape
    center: Vector
    velocity: Vector = (0.0, 0.0, 0.0)
    tilt: Vector = (0.0, 0.0, 0.0)
    half_size: tuple[float, float] = (1.0, 1.0)
    texture: int = 0
    texel_m: float = 0.01
    half_depth: float = 0.0
    path: Path | None = None
    centered: bool = False


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Motion of the rig: a straight line, a steady turn, and a sway on top.

    Attributes:
        velocity: meters per second.
        turn: rotation vector per second, radians.
        sway: amplitude in meters.
        sway_hz: frequency of the sway.
        path: motion in six degrees of freedom on top of all this; None for none.
    """

    velocity: Vector = (0.0, 0.0, 0.0)
    turn: Vector = (0.0, 0.0, 0.0)
    sway: Vector = (0.0, 0.0, 0.0)
    sway_hz: float = 1.0
    path: Path | None = None

    def position(self, t_s: Array) -> Array:
        """Return ``[K, 3]`` positions at times ``[K]`` seconds, the path aside."""
        phase = np.sin(2 * np.pi * self.sway_hz * t_s)
        return np.outer(t_s, self.velocity) + np.outer(phase, self.sway)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Objects, their textures, and the motion of the rig.

    Attributes:
        bodies: the objects.
        textures: ``[N, TILE, TILE]`` float32 log radiance.
        motion: of the rig.
        sky: log radiance where a ray meets none of them.
        even_steps: sample at even times with the first kernels (``kernels.py``), which know neither
            boxes, cylinders, paths nor the sky. Only for scenes whose results are pinned.
    """

    bodies: tuple[Body, ...]
    textures: npt.NDArray[np.float32]
    motion: Motion
    sky: float = 0.0
    even_steps: bool = False

    def pose_table(self, t_s: Array, eye_x_m: float) -> Array:
        """Return what the first ray tracer needs of each body at each time; it ignores paths.

        Args:
            t_s: ``[K]`` times, seconds.
            eye_x_m: 0 for the left camera, the baseline for the right one.

        Returns:
            ``[K, N, 12]``: for planar shapes ``(normal, normal.c, e1, e1.c, e2, e2.c)``, for balls
            ``(c, c.c - r^2, e1, e1.c, e2, e2.c)``, in the camera's frame at that time.
        """
        table = np.empty((t_s.size, len(self.bodies), 12))
        turns = np.stack([rotation(t * np.asarray(self.motion.turn)) for t in t_s])
        position = self.motion.position(t_s)
        for n, body in enumerate(self.bodies):
            world = np.asarray(body.center) + np.outer(t_s, body.velocity) - position
            center = np.einsum("kji,kj->ki", turns, world) - np.array([eye_x_m, 0.0, 0.0])
            axes = np.einsum("kji,jm->kim", turns, rotation(np.asarray(body.tilt)))
            along = np.einsum("kim,ki->km", axes, center)
            for axis, slot in ((0, 4), (1, 8)):
                table[:, n, slot : slot + 3] = axes[:, :, axis]
                table[:, n, slot + 3] = along[:, axis]
            if body.shape == Shape.BALL:
                table[:, n, :3] = center
                table[:, n, 3] = (center**2).sum(axis=1) - body.half_size[0] ** 2
            else:
                table[:, n, :3] = axes[:, :, 2]
                table[:, n, 3] = along[:, 2]
        return table

    def body_table(self) -> Array:
        """Return ``[N, 5]``: shape, half extents, texture index, texels per meter."""
        return np.array(
            [[b.shape, *b.half_size, b.texture, 1.0 / b.texel_m] for b in self.bodies], np.float64
        )

    def view_bounds(self, poses: Array) -> Array:
        """Return ``[N, 4]``: smallest and largest ``x/z``, smallest and largest ``y/z`` of a body.

        Taken over all times of ``poses`` ``[K, N, 12]``; a ray outside cannot meet the body, so
        the renderer need not ask. Planes and bodies that reach behind the camera have no bounds.
        """
        bounds = np.tile([-FAR, FAR, -FAR, FAR], (len(self.bodies), 1))
        for n, body in enumerate(self.bodies):
            if body.shape == Shape.PLANE:
                continue
            half_u, half_v = body.half_size
            if body.shape == Shape.BALL:
                corners = half_u * np.array(list(product((-1, 1), repeat=3)), np.float64)
            else:
                corners = np.array(
                    [[u, v, 0.0] for u in (-half_u, half_u) for v in (-half_v, half_v)]
                )
            where = surface_points(poses[:, n], body, corners)
            if where[..., 2].min() > 1e-2:
                x, y = where[..., 0] / where[..., 2], where[..., 1] / where[..., 2]
                bounds[n] = x.min(), x.max(), y.min(), y.max()
        return bounds


def surface_points(poses: Array, body: Body, points: Array) -> Array:
    """Return ``[K, P, 3]`` camera coordinates of ``points`` ``[P, 3]`` given in a body's own axes.

    Args:
        poses: ``[K, 12]``, the body's rows of ``Scene.pose_table``.
        body: the body.
        points: meters along its two axes and the third.
    """
    e1, e2 = poses[:, 4:7], poses[:, 8:11]
    if body.shape == Shape.BALL:
        center, third = poses[:, :3], np.cross(e1, e2)
    else:
        third = poses[:, :3]
        center = e1 * poses[:, 7:8] + e2 * poses[:, 11:12] + third * poses[:, 3:4]
    axes = np.stack([e1, e2, third], axis=1)
    return np.asarray(center[:, None, :] + np.einsum("pa,kai->kpi", points, axes))


def rotation(vector: Array) -> Array:
    """Return the ``[3, 3]`` rotation matrix of a rotation vector (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
