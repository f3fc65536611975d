"""What the families are put together from: depths, texels, walls, floors, paths."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data.simulator.path import random_path
from data.simulator.rig import Rig
from data.simulator.scene import Body, Motion, Shape, Vector
from data.simulator.textures import random_tile


@dataclass(frozen=True)
class Stage:
    """A rig and a source of chance; sizes and speeds in shares of the picture's width.

    Attributes:
        rng: source of chance.
        rig: for which the world is built.
    """

    rng: np.random.Generator
    rig: Rig

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly."""
        return float(self.rng.uniform(low, high))

    def depth(self, disparity: float) -> float:
        """Return the meters at which a disparity (share of the width) lies."""
        return self.rig.calibration.fb / (disparity * self.rig.width)

    def meters(self, share: float, depth_m: float) -> float:
        """Return how long a share of the width is at a depth."""
        return share * self.rig.width * depth_m / self.rig.calibration.focal_px

    def texel(self, depth_m: float, low: float = 1.5, high: float = 6.0) -> float:
        """Return a texel size in meters that covers ``low`` to ``high`` pixels at a depth."""
        pixels = float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        return pixels * depth_m / self.rig.calibration.focal_px

    def at(self, x: float, y: float, depth_m: float) -> Vector:
        """Return the point seen at a share of the picture's width and height."""
        c = self.rig.calibration
        return (
            (x * self.rig.width - c.cx_px) * depth_m / c.focal_px,
            (y * self.rig.height - c.cy_px) * depth_m / c.focal_px,
            depth_m,
        )

    def somewhere(self, depth_m: float) -> Vector:
        """Return a random point that is in the picture."""
        return self.at(self.between(0.05, 0.95), self.between(0.05, 0.95), depth_m)

    def lean(self, most: float) -> Vector:
        """Return a random small rotation vector."""
        x, y, z = self.rng.uniform(-most, most, 3)
        return float(x), float(y), float(z)

    def roam(self, depth_m: float, speed: float, turn_rad_s: float, **more: Any) -> Any:
        """Return a smooth random path that moves ``speed`` widths per second at a depth."""
        return random_path(
            self.rng, speed_m_s=self.meters(speed, depth_m), turn_rad_s=turn_rad_s, **more
        )

    def ride(self, depth_m: float, low: float = 0.03, high: float = 0.12) -> Motion:
        """Return a smooth motion of the rig in six degrees of freedom.

        What lies at ``depth_m`` moves by ``low`` to ``high`` widths per second.
        """
        turn = self.between(0.3, 0.8) * high * self.rig.width / self.rig.calibration.focal_px
        path = self.roam(depth_m, self.between(low, high), turn, flatten=(1.0, 0.6, 1.5))
        return Motion(path=path)

    def tiles(self, count: int) -> "np.typing.NDArray[np.float32]":
        """Return ``[count, TILE, TILE]`` random textures, of half the contrast of the first scenes.

        Events then come at rates that real rooms give, not ten times as fast.
        """
        return np.stack([np.float32(0.5) * random_tile(self.rng) for _ in range(count)])

    def wall(self, disparity: float, texture: int = 0) -> Body:
        """Return a tilted wall behind everything."""
        depth = self.depth(disparity)
        return Body(
            shape=Shape.PLANE,
            center=(0.0, 0.0, depth),
            tilt=(self.between(-0.15, 0.15), self.between(-0.25, 0.25), 0.0),
            texture=texture,
            texel_m=self.texel(depth),
        )

    def floor(self, drop_m: float, depth_m: float, texture: int = 1) -> Body:
        """Return level ground ``drop_m`` below the rig, painted for a view at ``depth_m``."""
        return Body(
            shape=Shape.PLANE,
            center=(0.0, drop_m, depth_m),
            tilt=(float(np.pi / 2) + self.between(-0.03, 0.03), 0.0, 0.0),
            texture=texture,
            texel_m=self.texel(0.5 * depth_m),
        )

    def steps(self, far: float, near: float, count: int) -> list[float]:
        """Return ``count`` disparities from ``far`` to ``near``, spread at random."""
        return [float(d) for d in np.sort(self.rng.uniform(far, near, count))]
