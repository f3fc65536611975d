"""A world of thin things: poles, wires and leaves."""

import numpy as np

from data.simulator.rig import Rig
from data.simulator.scene import Body, Scene, Shape
from data.simulator.scenes.parts import Stage
from data.simulator.scenes.registry import scene


def _rod(stage: Stage, disparity: float, half_px: float, tilt: float, texture: int) -> Body:
    """Return a cylinder that crosses the picture, ``half_px`` pixels in radius."""
    depth = stage.depth(disparity)
    meter_per_px = depth / stage.rig.calibration.focal_px
    return Body(
        shape=Shape.CYLINDER,
        center=stage.somewhere(depth),
        tilt=(stage.between(-0.2, 0.2), 0.0, tilt),
        half_size=(half_px * meter_per_px, stage.meters(stage.between(0.5, 1.2), depth)),
        texture=texture,
        texel_m=stage.texel(depth),
        path=stage.roam(depth, stage.between(0.0, 0.1), stage.between(0.0, 0.3)),
    )


@scene("thin")
def thin(rng: np.random.Generator, rig: Rig) -> Scene:
    """Poles, wires a pixel or two thick, and twigs of leaves before a wall."""
    stage = Stage(rng, rig)
    far = stage.between(0.015, 0.035)
    near = stage.between(0.08, 0.16)
    bodies = [stage.wall(far)]
    for disparity in stage.steps(1.5 * far, near, int(rng.integers(2, 5))):
        half_px = stage.between(0.006, 0.018) * rig.width
        bodies.append(_rod(stage, disparity, half_px, stage.between(-0.25, 0.25), 1))
    for disparity in stage.steps(1.5 * far, near, int(rng.integers(2, 5))):
        across = float(np.pi / 2) + stage.between(-0.4, 0.4)
        bodies.append(_rod(stage, disparity, stage.between(0.6, 1.2), across, 2))
    for disparity in stage.steps(1.5 * far, near, 2):
        depth = stage.depth(disparity)
        x, y, _ = stage.somewhere(depth)
        sway = stage.roam(depth, stage.between(0.02, 0.1), stage.between(0.2, 1.0))
        for _ in range(int(rng.integers(4, 8))):
            spread = stage.meters(0.08, depth)
            bodies.append(
                Body(
                    shape=Shape.ELLIPSE,
                    center=(
                        x + stage.between(-spread, spread),
                        y + stage.between(-spread, spread),
                        depth * stage.between(0.95, 1.05),
                    ),
                    tilt=stage.lean(0.9),
                    half_size=(
                        stage.meters(stage.between(0.004, 0.012), depth),
                        stage.meters(stage.between(0.015, 0.035), depth),
                    ),
                    texture=3,
                    texel_m=stage.texel(depth),
                    path=sway,
                )
            )
    return Scene(bodies=tuple(bodies), textures=stage.tiles(4), motion=stage.ride(stage.depth(far)))
