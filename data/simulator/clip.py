"""A scene, a rig and two sensors played for a while: events of both cameras and ground truth."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.events import Events
from data.recording import CAMERAS, Camera
from data.simulator.rig import Rig
from data.simulator.scene import Scene
from data.simulator.sensor import Sensor, simulate_camera

MOTION_PER_STEP_PX = 0.5
LONGEST_STEP_US = 4000.0
SHORTEST_STEP_US = 400.0
"""Beyond 1250 px/s the samples are more than half a pixel apart: the price of bounded time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """What the two cameras recorded, and what was true.

    Attributes:
        left: raw events, ``0 <= t < duration``.
        right: raw events.
        disparity: ``[K, H, W]`` float32 pixels of the left rectified view, 0 = none.
        disparity_t_us: ``[K]`` int64.
    """

    left: Events
    right: Events
    disparity: npt.NDArray[np.float32]
    disparity_t_us: npt.NDArray[np.int64]


def play(
    scene: Scene,
    rig: Rig,
    sensors: dict[Camera, Sensor],
    *,
    duration_us: int,
    disparity_t_us: Sequence[int],
    seed: int,
    light_hz: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> Clip:
    """Simulate both cameras at once, one thread each.

    The result depends on the arguments alone, not on the number of cores: each camera draws from
    its own generator.
    """
    speed = rig.fastest_px_per_s(scene, duration_us)
    step_us = MOTION_PER_STEP_PX / max(speed, 1.0) * 1e6
    step_us = min(LONGEST_STEP_US, max(SHORTEST_STEP_US, step_us))
    seeds = np.random.SeedSequence(seed).spawn(2)
    # Only one of the two reports: they take equally long.
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(
                simulate_camera, scene, rig, camera, sensors[camera], duration_us=duration_us,
                step_us=step_us, rng=np.random.default_rng(child), light_hz=light_hz,
                progress=progress if camera == "left" else None,
            )
            for camera, child in zip(CAMERAS, seeds, strict=True)
        ]  # fmt: skip
        left, right = (future.result() for future in futures)
    stamps = np.asarray(disparity_t_us, np.int64)
    truth = [rig.disparity(scene, int(t)) for t in stamps]
    shape = (len(truth), rig.height, rig.width)
    return Clip(
        left=left,
        right=right,
        disparity=np.stack(truth) if truth else np.empty(shape, np.float32),
        disparity_t_us=stamps,
    )
