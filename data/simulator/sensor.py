r"""Pixels of an event camera: contrast thresholds, dead time, leak and noise.

A pixel keeps a reference :math:`R` of its log radiance :math:`L`. Whenever :math:`L` has moved
away by a threshold it emits an event of that sign and moves :math:`R` by one threshold; between
two samples :math:`L` is linear, so the event's time is interpolated. After an event the pixel is
blind for the refractory period and wakes up referenced to what it then sees. :math:`R` leaks
down, which gives ON events without cause; shot noise adds events of either sign.

Thresholds are drawn once per pixel and camera, :math:`C = \max(0.05, C_0 + \sigma n)`, and every
pixel starts at a random phase, so that neither the cameras nor the pixels are in step.

Reference: the models of ESIM (Rebecq et al., CoRL 2018) and v2e (Hu et al., CVPRW 2021), restated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.recording import Camera
from data.simulator.kernels import pixel_events
from data.simulator.rig import Rig
from data.simulator.scene import Scene

ROWS_PER_CALL = 16
"""Rows between two chances to report progress or to be interrupted."""


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Parameters of one event camera.

    Attributes:
        on_threshold: log contrast of an ON event.
        off_threshold: log contrast of an OFF event.
        mismatch: standard deviation of both thresholds from pixel to pixel.
        refractory_us: dead time after an event, microseconds.
        leak_hz: rate of ON events by leakage, per pixel.
        noise_hz: rate of shot noise events, per pixel.
        hot_share: share of pixels that fire without cause at ``hot_hz``.
        hot_hz: their rate.
        bias_off: share of OFF events that this camera suppresses (0 none, 1 all).
    """

    on_threshold: float = 0.2
    off_threshold: float = 0.2
    mismatch: float = 0.03
    refractory_us: float = 300.0
    leak_hz: float = 0.1
    noise_hz: float = 0.2
    hot_share: float = 1e-4
    hot_hz: float = 100.0
    bias_off: float = 0.0

    def __post_init__(self) -> None:
        """Refuse thresholds that would emit events without end."""
        if min(self.on_threshold, self.off_threshold) < 0.05:
            raise RecordingError(
                "Contrast thresholds must be at least 0.05, got "
                f"{self.on_threshold} and {self.off_threshold}."
            )


def simulate_camera(
    scene: Scene,
    rig: Rig,
    camera: Camera,
    sensor: Sensor,
    *,
    duration_us: int,
    step_us: float,
    rng: np.random.Generator,
    light_hz: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> Events:
    """Return the raw events of one camera with ``0 <= t < duration_us``.

    Args:
        scene: what there is to see.
        rig: where the camera stands and how its lens bends.
        camera: which of the two.
        sensor: its pixels.
        duration_us: microseconds.
        step_us: time between two samples of the radiance; keep the motion within half a pixel.
        rng: source of this camera's chance; never share it between the cameras.
        light_hz: frequency of a small flicker of the light, 0 for none.
        progress: called with the share done, 0 to 1.
    """
    samples = max(2, int(np.ceil(duration_us / step_us)) + 1)
    t_us = np.linspace(0.0, duration_us, samples)
    light = 0.1 * np.sin(2 * np.pi * light_hz * t_us * 1e-6)
    poses = scene.pose_table(t_us * 1e-6, rig.eye_x_m(camera))
    bounds = scene.view_bounds(poses)
    size = (rig.height, rig.width)
    on, off = (
        np.maximum(0.05, c + sensor.mismatch * rng.standard_normal(size)).astype(np.float32)
        for c in (sensor.on_threshold, sensor.off_threshold)
    )
    phase = (rng.uniform(-1.0, 1.0, size) * np.minimum(on, off)).astype(np.float32)
    rays = rig.rays(camera)
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]] = []
    capacity = ROWS_PER_CALL * rig.width * 4
    for row in range(0, rig.height, ROWS_PER_CALL):
        rows = slice(row, row + ROWS_PER_CALL)
        count = -1
        while count < 0:
            times, pixels = np.empty(capacity, np.int64), np.empty((capacity, 3), np.uint16)
            count = pixel_events(
                t_us, poses, scene.body_table(), bounds, scene.textures, light, rays[rows],
                on[rows], off[rows], phase[rows], sensor.refractory_us, sensor.leak_hz * 1e-6, row,
                times, pixels,
            )  # fmt: skip
            capacity = capacity if count >= 0 else 2 * capacity
        parts.append((times[:count].copy(), pixels[:count].copy()))
        if progress is not None:
            progress(min(1.0, (row + ROWS_PER_CALL) / rig.height))
    parts.append(_noise(sensor, size, duration_us, rng))
    return _merge(parts, duration_us, sensor.bias_off, rng)


def _noise(
    sensor: Sensor, size: tuple[int, int], duration_us: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """Return times and ``(x, y, p)`` of events that no light caused."""
    height, width = size
    seconds = duration_us * 1e-6
    everywhere = rng.integers(
        0, width * height, rng.poisson(sensor.noise_hz * seconds * width * height)
    )
    hot = rng.integers(0, width * height, rng.poisson(sensor.hot_share * width * height))
    repeated = np.repeat(hot, rng.poisson(sensor.hot_hz * seconds, hot.size))
    where = np.concatenate([everywhere, repeated])
    pixels = np.stack([where % width, where // width, rng.integers(0, 2, where.size)], axis=-1)
    return rng.integers(0, duration_us, where.size), pixels.astype(np.uint16)


def _merge(
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]],
    duration_us: int,
    bias_off: float,
    rng: np.random.Generator,
) -> Events:
    """Return all events in order of time."""
    times = np.concatenate([part[0] for part in parts])
    pixels = np.concatenate([part[1] for part in parts])
    keep = times < duration_us
    if bias_off > 0.0:
        keep &= (pixels[:, 2] == 1) | (rng.random(times.size) >= bias_off)
    times, pixels = times[keep], pixels[keep]
    order = np.argsort(times, kind="stable")
    times, pixels = times[order], pixels[order]
    return Events(
        t=times, x=pixels[:, 0].copy(), y=pixels[:, 1].copy(), p=pixels[:, 2].astype(np.bool_)
    )
