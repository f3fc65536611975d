"""Flat worlds: boards and a wall, painted at random, with patterns that repeat or pictures."""

import numpy as np

from data.simulator.rig import Rig
from data.simulator.scene import Body, Scene, Shape
from data.simulator.scenes.parts import Stage
from data.simulator.scenes.registry import Pictures, scene
from data.simulator.textures import repeating_tile


def _board(stage: Stage, disparity: float, texture: int) -> Body:
    """Return a rectangle or ellipse that drifts and turns."""
    depth = stage.depth(disparity)
    flat = (Shape.RECTANGLE, Shape.ELLIPSE)
    return Body(
        shape=flat[int(stage.rng.integers(2))],
        center=stage.somewhere(depth),
        tilt=stage.lean(0.6),
        half_size=(
            stage.meters(stage.between(0.06, 0.2), depth),
            stage.meters(stage.between(0.06, 0.2), depth),
        ),
        texture=texture,
        texel_m=stage.texel(depth),
        path=stage.roam(depth, stage.between(0.0, 0.12), stage.between(0.0, 0.6)),
    )


@scene("planes")
def planes(rng: np.random.Generator, rig: Rig) -> Scene:
    """Five to nine textured boards before a wall; boards and rig move in six degrees of freedom."""
    stage = Stage(rng, rig)
    far = stage.between(0.02, 0.05)
    near = stage.between(0.09, 0.2)
    bodies = [stage.wall(far)]
    for k, disparity in enumerate(stage.steps(1.3 * far, near, int(rng.integers(5, 10)))):
        bodies.append(_board(stage, disparity, 1 + k % 5))
    return Scene(bodies=tuple(bodies), textures=stage.tiles(6), motion=stage.ride(stage.depth(far)))


@scene("repetitive")
def repetitive(rng: np.random.Generator, rig: Rig) -> Scene:
    """Boards and a wall of stripes, checks, dots, bricks: each place looks like its neighbor."""
    stage = Stage(rng, rig)
    far = stage.between(0.02, 0.05)
    near = stage.between(0.09, 0.18)
    bodies = [stage.wall(far)]
    for k, disparity in enumerate(stage.steps(1.4 * far, near, int(rng.integers(3, 7)))):
        bodies.append(_board(stage, disparity, 1 + k % 3))
    textures = np.stack([repeating_tile(rng) for _ in range(4)])
    return Scene(bodies=tuple(bodies), textures=textures, motion=stage.ride(stage.depth(far)))


@scene("photos", needs_pictures=True)
def photos(rng: np.random.Generator, rig: Rig, pictures: Pictures) -> Scene:
    """Pictures of the user's on a wall, on boards and on boxes."""
    stage = Stage(rng, rig)
    textures = pictures(rng, 6)
    size = textures.shape[-1]
    far = stage.between(0.02, 0.04)
    depth = stage.depth(far)
    # The wall shows its picture about once over the width of the view.
    wall_m = stage.meters(stage.between(1.0, 1.6), depth) / size
    bodies = [
        Body(shape=Shape.PLANE, center=(0.0, 0.0, depth), tilt=stage.lean(0.15), texel_m=wall_m,
             centered=True)
    ]  # fmt: skip
    for k, disparity in enumerate(stage.steps(1.4 * far, stage.between(0.08, 0.16), 6)):
        depth = stage.depth(disparity)
        half = stage.meters(stage.between(0.07, 0.18), depth)
        bodies.append(
            Body(
                shape=Shape.BOX if k % 2 else Shape.RECTANGLE,
                center=stage.somewhere(depth),
                tilt=stage.lean(0.7),
                half_size=(half, half),
                half_depth=half if k % 2 else 0.0,
                texture=1 + k % 5,
                texel_m=2.0 * half / size,
                path=stage.roam(depth, stage.between(0.0, 0.1), stage.between(0.0, 0.5)),
                centered=True,
            )
        )
    return Scene(
        bodies=tuple(bodies), textures=textures, motion=stage.ride(stage.depth(far), 0.03, 0.1)
    )
