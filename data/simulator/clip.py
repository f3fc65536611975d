"""A scene, a rig and two sensors played for a while: events of both cameras and ground truth."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS, Camera
from data.simulator.adaptive.engine import Steps
from data.simulator.adaptive.engine import simulate as simulate_adaptive
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
        steps: how finely time was sampled; None where that was not kept.
    """

    left: Events
    right: Events
    disparity: npt.NDArray[np.float32]
    disparity_t_us: npt.NDArray[np.int64]
    steps: Steps | None = None


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
    adaptive: bool | None = None,
    threads: int | None = None,
) -> Clip:
    """Simulate both cameras at once.

    The result depends on the arguments alone, not on the number of threads.

    Args:
        scene: what there is to see.
        rig: the cameras.
        sensors: their pixels.
        duration_us: microseconds.
        disparity_t_us: when to take the ground truth.
        seed: of everything random.
        light_hz: frequency of a small flicker of the light, 0 for none.
        progress: called with the share done, 0 to 1.
        adaptive: whether time is sampled as finely as each pixel needs; None: unless the scene's
            results are pinned (``Scene.even_steps``) and the first kernels know these sensors.
        threads: at most so many, None for as many as there are processors.
    """
    if adaptive is None:
        adaptive = not (scene.even_steps and all(s.even_steps for s in sensors.values()))
    if adaptive:
        events, steps = simulate_adaptive(
            scene, rig, sensors, duration_us=duration_us, seed=seed, light_hz=light_hz,
            threads=threads, progress=progress,
        )  # fmt: skip
        return _clip(scene, rig, events, disparity_t_us, steps)
    if not scene.even_steps:
        raise RecordingError("Only scenes marked with even_steps can be sampled at even times.")
    events, steps = _play_evenly(scene, rig, sensors, duration_us, seed, light_hz, progress)
    return _clip(scene, rig, events, disparity_t_us, steps)


def _clip(
    scene: Scene,
    rig: Rig,
    events: dict[Camera, Events],
    disparity_t_us: Sequence[int],
    steps: Steps,
) -> Clip:
    """Add the ground truth."""
    stamps = np.asarray(disparity_t_us, np.int64)
    truth = [rig.disparity(scene, int(t)) for t in stamps]
    shape = (len(truth), rig.height, rig.width)
    return Clip(
        left=events["left"],
        right=events["right"],
        disparity=np.stack(truth) if truth else np.empty(shape, np.float32),
        disparity_t_us=stamps,
        steps=steps,
    )


def _play_evenly(
    scene: Scene,
    rig: Rig,
    sensors: dict[Camera, Sensor],
    duration_us: int,
    seed: int,
    light_hz: float,
    progress: Callable[[float], None] | None,
) -> tuple[dict[Camera, Events], Steps]:
    """Simulate at even times, one thread for each camera, each with a generator of its own."""
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
    motion = speed * step_us * 1e-6
    floored = int(motion > 1.001 * MOTION_PER_STEP_PX)
    return {"left": left, "right": right}, Steps(largest_motion_px=motion, floored=floored)
