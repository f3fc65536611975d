"""Worlds of solids: boxes and balls that tumble, and ground with things on it."""

import numpy as np

from data.simulator.rig import Rig
from data.simulator.scene import Body, Motion, Scene, Shape
from data.simulator.scenes.parts import Stage
from data.simulator.scenes.registry import scene


def _tumbling(stage: Stage, shape: Shape, disparity: float, texture: int) -> Body:
    """Return a solid that drifts and tumbles."""
    depth = stage.depth(disparity)
    # Nothing is so large that it would reach the camera.
    most = 0.3 * stage.rig.calibration.focal_px / stage.rig.width
    size = [stage.meters(min(most, stage.between(0.04, 0.11)), depth) for _ in range(3)]
    return Body(
        shape=shape,
        center=stage.somewhere(depth),
        tilt=stage.lean(1.5),
        half_size=(size[0], size[1]),
        half_depth=size[2],
        texture=texture,
        texel_m=stage.texel(depth),
        path=stage.roam(depth, stage.between(0.02, 0.12), stage.between(0.2, 1.0)),
    )


def _room_of(rng: np.random.Generator, rig: Rig, shape: Shape) -> Scene:
    """Return four to eight solids of one shape before a wall, often above a floor."""
    stage = Stage(rng, rig)
    far = stage.between(0.02, 0.05)
    depth = stage.depth(far)
    bodies = [stage.wall(far)]
    if rng.random() < 0.6:
        drop = stage.between(0.25, 0.45) * rig.height / rig.calibration.focal_px * depth
        bodies.append(stage.floor(drop, depth))
    near = stage.between(0.08, 0.16)
    for k, disparity in enumerate(stage.steps(1.4 * far, near, int(rng.integers(4, 9)))):
        bodies.append(_tumbling(stage, shape, disparity, 2 + k % 4))
    return Scene(bodies=tuple(bodies), textures=stage.tiles(6), motion=stage.ride(depth))


@scene("boxes")
def boxes(rng: np.random.Generator, rig: Rig) -> Scene:
    """Tumbling boxes before a wall, often above a floor."""
    return _room_of(rng, rig, Shape.BOX)


@scene("spheres")
def spheres(rng: np.random.Generator, rig: Rig) -> Scene:
    """Tumbling balls before a wall, often above a floor."""
    return _room_of(rng, rig, Shape.BALL)


@scene("ground")
def ground(rng: np.random.Generator, rig: Rig) -> Scene:
    """Level ground under a bright sky with boxes, poles and balls on it; the rig drives over it."""
    stage = Stage(rng, rig)
    far = stage.between(0.008, 0.02)
    near = stage.between(0.06, 0.12)
    # The ground at the lower edge of the picture is about as near as the nearest thing.
    drop = 0.9 * (0.5 * rig.height / rig.calibration.focal_px) * stage.depth(near)
    bodies = [stage.floor(drop, stage.depth(0.5 * (far + near)), texture=0)]
    for k, disparity in enumerate(stage.steps(far, near, int(rng.integers(6, 11)))):
        depth = stage.depth(disparity)
        shape = (Shape.BOX, Shape.CYLINDER, Shape.BALL)[int(rng.integers(3))]
        wide, high = (stage.between(0.1, 0.5) * drop for _ in range(2))
        if shape == Shape.CYLINDER:
            wide, high = 0.3 * wide, 2.5 * high
        x = stage.at(stage.between(0.0, 1.0), 0.5, depth)[0]
        moves = rng.random() < 0.4
        speed = stage.meters(stage.between(0.05, 0.2), depth) if moves else 0.0
        bodies.append(
            Body(
                shape=shape,
                center=(x, drop - (wide if shape == Shape.BALL else high), depth),
                velocity=(speed * float(rng.choice([-1.0, 1.0])), 0.0, 0.3 * speed),
                tilt=(0.0, 0.0 if shape == Shape.CYLINDER else stage.between(-0.8, 0.8), 0.0),
                half_size=(wide, high),
                half_depth=stage.between(0.6, 1.5) * wide,
                texture=1 + k % 5,
                texel_m=stage.texel(depth),
            )
        )
    drive = stage.roam(stage.depth(near), stage.between(0.01, 0.03), stage.between(0.02, 0.08))
    forward = stage.between(0.3, 1.0) * drop
    return Scene(
        bodies=tuple(bodies),
        textures=stage.tiles(6),
        motion=Motion(velocity=(0.0, 0.0, forward), path=drive),
        sky=1.0,
    )
