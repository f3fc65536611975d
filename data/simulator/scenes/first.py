"""The first scenes. Published numbers rest on them: their results are pinned by a test."""

import numpy as np

from data.simulator.rig import Rig
from data.simulator.scene import Body, Motion, Scene, Shape, Vector
from data.simulator.scenes.registry import scene
from data.simulator.textures import random_tile


@scene("room")
def room(rng: np.random.Generator, rig: Rig) -> Scene:
    """A back wall, often a floor, and a few boards and balls; the rig moves."""
    far = float(rng.uniform(0.03, 0.10)) * rig.width
    near = float(rng.uniform(1.6, 3.0)) * far
    textures = np.stack([random_tile(rng) for _ in range(6)])
    bodies = [_wall(rng, rig, 0.6 * far if rng.random() < 0.5 else far)]
    if rng.random() < 0.5:
        bodies.append(_floor(rng, rig, bodies[0].center[2]))
    for _ in range(int(rng.integers(3, 8))):
        bodies.append(_body(rng, rig, float(rng.uniform(far, max(near, far + 4.0)))))
    motion = _motion(rng, rig, far, (0.12, 0.6))
    return Scene(bodies=tuple(bodies), textures=textures, motion=motion, even_steps=True)


@scene("toss")
def toss(rng: np.random.Generator, rig: Rig) -> Scene:
    """A still rig that watches a few balls and boards fly past a wall."""
    far = float(rng.uniform(0.01, 0.06)) * rig.width
    textures = np.stack([random_tile(rng) for _ in range(4)])
    bodies = [_wall(rng, rig, far)]
    for _ in range(int(rng.integers(1, 5))):
        disparity = far + float(rng.uniform(0.03, 0.28)) * rig.width
        bodies.append(_body(rng, rig, disparity, speed_px_s=float(rng.uniform(40, 500))))
    return Scene(bodies=tuple(bodies), textures=textures, motion=Motion(), even_steps=True)


@scene("studio")
def studio(rng: np.random.Generator, rig: Rig) -> Scene:
    """The built-in example: wall, floor and five bodies at 2 to 6 percent of the width, at ease."""
    far, near = 0.016 * rig.width, 0.06 * rig.width
    textures = np.stack([random_tile(rng) for _ in range(6)])
    bodies = [_wall(rng, rig, far)]
    bodies.append(_floor(rng, rig, bodies[0].center[2]))
    for disparity in np.linspace(1.6 * far, near, 5):
        speed = float(rng.uniform(0.01, 0.04)) * rig.width
        bodies.append(_body(rng, rig, float(disparity), speed_px_s=speed))
    motion = _motion(rng, rig, far, (0.02, 0.035))
    return Scene(bodies=tuple(bodies), textures=textures, motion=motion, even_steps=True)


def _depth(rig: Rig, disparity_px: float) -> float:
    """Return the depth in meters of a disparity in pixels."""
    return rig.calibration.fb / disparity_px


def _texel(rng: np.random.Generator, rig: Rig, depth_m: float) -> float:
    """Return a texel size that covers one and a half to six pixels, so that nothing aliases."""
    return float(np.exp(rng.uniform(np.log(1.5), np.log(6.0)))) * depth_m / rig.calibration.focal_px


def _wall(rng: np.random.Generator, rig: Rig, disparity_px: float) -> Body:
    depth = _depth(rig, disparity_px)
    return Body(
        shape=Shape.PLANE,
        center=(0.0, 0.0, depth),
        tilt=(float(rng.uniform(-0.15, 0.15)), float(rng.uniform(-0.25, 0.25)), 0.0),
        texture=0,
        texel_m=_texel(rng, rig, depth),
    )


def _floor(rng: np.random.Generator, rig: Rig, wall_m: float) -> Body:
    """A ground plane that meets the wall in the lower half of the picture."""
    drop = float(rng.uniform(0.25, 0.45)) * rig.height / rig.calibration.focal_px * wall_m
    return Body(
        shape=Shape.PLANE,
        center=(0.0, drop, wall_m),
        tilt=(float(np.pi / 2 + rng.uniform(-0.05, 0.05)), 0.0, 0.0),
        texture=1,
        texel_m=_texel(rng, rig, 0.6 * wall_m),
    )


def _body(
    rng: np.random.Generator, rig: Rig, disparity_px: float, speed_px_s: float | None = None
) -> Body:
    """A board or ball at a random place of the picture."""
    depth = _depth(rig, disparity_px)
    meter_per_px = depth / rig.calibration.focal_px
    size_px = rng.uniform(0.05, 0.22, 2) * rig.width
    shape = Shape(int(rng.choice([Shape.RECTANGLE, Shape.ELLIPSE, Shape.BALL])))
    if shape == Shape.BALL:
        # A ball nearer than its own radius allows would swallow the camera.
        size_px = np.minimum(size_px, 0.3 * rig.calibration.focal_px)
    speed = float(rng.uniform(0.0, 0.35)) * rig.width if speed_px_s is None else speed_px_s
    angle = float(rng.uniform(0.0, 2 * np.pi))
    x_px = float(rng.uniform(0.05, 0.95)) * rig.width - rig.calibration.cx_px
    y_px = float(rng.uniform(0.05, 0.95)) * rig.height - rig.calibration.cy_px
    lean = rng.uniform(-0.5, 0.5, 3)
    return Body(
        shape=shape,
        center=(x_px * meter_per_px, y_px * meter_per_px, depth),
        velocity=(
            speed * np.cos(angle) * meter_per_px,
            speed * np.sin(angle) * meter_per_px,
            float(rng.uniform(-0.3, 0.3)) * depth,
        ),
        tilt=(float(lean[0]), float(lean[1]), float(lean[2])),
        half_size=(float(size_px[0] * meter_per_px), float(size_px[1] * meter_per_px)),
        texture=int(rng.integers(1, 4)),
        texel_m=_texel(rng, rig, depth),
    )


def _motion(
    rng: np.random.Generator, rig: Rig, far_px: float, speed: tuple[float, float]
) -> Motion:
    """A rig that moves the far wall by a share of the picture's width per second."""
    meter_per_px = _depth(rig, far_px) / rig.calibration.focal_px
    meters = float(rng.uniform(*speed)) * rig.width * meter_per_px
    direction = rng.standard_normal(3) * np.array([1.0, 0.6, 1.2])
    direction *= meters / np.linalg.norm(direction)
    turn = rng.uniform(-1.0, 1.0, 3) * np.array([0.12, 0.2, 0.15])
    sway = rng.uniform(-1.0, 1.0, 3) * 0.03 * meters
    return Motion(
        velocity=_vector(direction),
        turn=_vector(turn),
        sway=_vector(sway),
        sway_hz=float(rng.uniform(1.0, 4.0)),
    )


def _vector(values: "np.typing.NDArray[np.float64]") -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
