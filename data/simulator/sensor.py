r"""Sensors: contrast thresholds, dead time, bandwidth, leak and noise; and the first engine.

A pixel keeps a reference :math:`R` of its log radiance :math:`L`. Whenever :math:`L` has moved
away by a threshold it emits an event of that sign and moves :math:`R` by one threshold; between
two samples :math:`L` is linear, so the event's time is interpolated (ESIM: Rebecq et al., CoRL
2018). After an event the pixel is blind for the refractory period and wakes up referenced to what
it then sees.

* Thresholds are drawn once per pixel and camera, :math:`C = \max(0.05, C_0 + \sigma n)` (v2e: Hu et
  al., CVPRW 2021, with 0.01), and every pixel starts at a random phase.
* Bandwidth: :math:`\dot F = k (L - F)` with :math:`k = 2 \pi f_{3dB} (I + 20) / 275` stands in for
  :math:`L`, as in v2e; I is the digital number 0 to 255. Solved in closed form for straight pieces.
* Leak: :math:`R` falls by :math:`C r` per second, with a lognormal spread over the pixels and a
  jitter drawn anew after each event (v2e draws it for each frame).
* Shot noise: ON and OFF each at :math:`(r / 2) (1 - 0.75 (I + 20) / 275) C_0 / C` (v2e), a Poisson
  process instead of one chance per frame; after such an event the pixel refers to what it sees.
* Stray and hot pixel events come without cause and leave the pixel as it is.

The adaptive engine (``pixels/kernels.py``) does all of this; the first engine, below, knows
thresholds, dead time, a leak without spread, and stray events.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.recording import Camera
from data.simulator.kernels import pixel_events
from data.simulator.pixels import kernels as pixel_kernels
from data.simulator.rig import Rig
from data.simulator.scene import Scene

NOT_NEGATIVE = (
    "mismatch", "refractory_us", "leak_hz", "noise_hz", "hot_share", "hot_hz", "bias_off",
    "cutoff_hz", "shot_hz", "leak_spread", "leak_jitter", "mid_dn",
)  # fmt: skip

LEAST_THRESHOLD = 0.05
"""Of a pixel; v2e goes down to 0.01, where one pixel in ten thousand floods the output."""

FLICKER = 0.1
"""Amplitude of a flickering light, in log radiance."""

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
        cutoff_hz: 3 dB bandwidth of the photoreceptor at full light, 0 for no limit.
        shot_hz: rate of shot noise in darkness, per pixel; a quarter of it in full light.
        leak_spread: deviation of the logarithm of the leak from pixel to pixel.
        leak_jitter: relative deviation of the leak from event to event.
        mid_dn: digital number (0 to 255) of log radiance 0, for what depends on the light.
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
    cutoff_hz: float = 0.0
    shot_hz: float = 0.0
    leak_spread: float = 0.0
    leak_jitter: float = 0.0
    mid_dn: float = 64.0

    def __post_init__(self) -> None:
        """Refuse thresholds that would emit events without end."""
        if min(self.on_threshold, self.off_threshold) < 0.05:
            raise RecordingError(
                "Contrast thresholds must be at least 0.05, got "
                f"{self.on_threshold} and {self.off_threshold}."
            )
        rates = {name: getattr(self, name) for name in NOT_NEGATIVE}
        wrong = {name: rate for name, rate in rates.items() if not 0.0 <= rate < np.inf}
        if wrong:
            raise RecordingError(f"A sensor needs finite values of at least 0, got {wrong}.")

    @property
    def even_steps(self) -> bool:
        """Whether the first kernels know all that this sensor does."""
        return not (self.cutoff_hz or self.shot_hz or self.leak_spread or self.leak_jitter)


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
    light = FLICKER * np.sin(2 * np.pi * light_hz * t_us * 1e-6)
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


def sensor_row(sensor: Sensor, light_hz: float) -> npt.NDArray[np.float64]:
    """Return the sensor as ``pixels/kernels.py`` lays it out; rates per microsecond."""
    row = np.zeros(pixel_kernels.SENSOR)
    row[pixel_kernels.REFRACTORY] = sensor.refractory_us
    row[pixel_kernels.CUTOFF] = 2 * np.pi * sensor.cutoff_hz * 1e-6
    row[pixel_kernels.SHOT] = sensor.shot_hz * 1e-6
    row[pixel_kernels.LEAK_MEAN] = sensor.leak_hz * 1e-6
    row[pixel_kernels.LEAK_SPREAD] = sensor.leak_spread
    row[pixel_kernels.LEAK_JITTER] = sensor.leak_jitter
    row[pixel_kernels.ON_MEAN] = sensor.on_threshold
    row[pixel_kernels.OFF_MEAN] = sensor.off_threshold
    row[pixel_kernels.MISMATCH] = sensor.mismatch
    row[pixel_kernels.LEAST] = LEAST_THRESHOLD
    row[pixel_kernels.MID_DN] = sensor.mid_dn
    row[pixel_kernels.BIAS_OFF] = sensor.bias_off
    row[pixel_kernels.FLICKER] = FLICKER if light_hz else 0.0
    row[pixel_kernels.FLICKER_RATE] = 2 * np.pi * light_hz * 1e-6
    return row


def stray_events(
    sensor: Sensor, size: tuple[int, int], duration_us: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return times and ``2 (row W + column) + polarity`` of events that no light caused.

    Unlike shot noise they leave the pixel as it is. OFF events are lost as the sensor loses them.
    """
    times, pixels = _noise(sensor, size, duration_us, rng)
    keep = (pixels[:, 2] == 1) | (rng.random(times.size) >= sensor.bias_off)
    columns, rows, polarity = pixels[keep].astype(np.int32).T
    return times[keep], 2 * (rows * np.int32(size[1]) + columns) + polarity


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
