"""Named sensors: each gives two cameras of one make.

Values as v2e publishes them (Hu et al., CVPRW 2021) for ``clean`` and ``noisy``.
"""

from collections.abc import Callable

import numpy as np

from data.errors import RecordingError
from data.recording import CAMERAS, Camera
from data.simulator.sensor import Sensor

SensorPair = Callable[[np.random.Generator], dict[Camera, Sensor]]


def _default(rng: np.random.Generator) -> dict[Camera, Sensor]:
    """Return the cameras of the first scenes: thresholds of 0.18 to 0.24, little noise."""
    return {
        camera: Sensor(
            on_threshold=float(rng.uniform(0.18, 0.24)),
            off_threshold=float(rng.uniform(0.18, 0.24)),
        )
        for camera in CAMERAS
    }


def _clean(_: np.random.Generator) -> dict[Camera, Sensor]:
    """Return cameras with nothing but a slight mismatch of thresholds."""
    one = Sensor(
        on_threshold=0.2, off_threshold=0.2, mismatch=0.02, refractory_us=0.0, leak_hz=0.0,
        noise_hz=0.0, hot_share=0.0,
    )  # fmt: skip
    return dict.fromkeys(CAMERAS, one)


def _noisy(_: np.random.Generator) -> dict[Camera, Sensor]:
    """Return cameras in dim light: mismatch, dead time, 30 Hz of bandwidth, leak, shot noise."""
    one = Sensor(
        on_threshold=0.2, off_threshold=0.2, mismatch=0.05, refractory_us=500.0, leak_hz=0.1,
        leak_spread=0.1, leak_jitter=0.1, noise_hz=0.0, shot_hz=5.0, cutoff_hz=30.0, hot_share=0.0,
    )  # fmt: skip
    return dict.fromkeys(CAMERAS, one)


SENSORS: dict[str, SensorPair] = {"default": _default, "clean": _clean, "noisy": _noisy}


def make_sensors(name: str, rng: np.random.Generator) -> dict[Camera, Sensor]:
    """Return both cameras of a named make.

    Raises:
        RecordingError: no such name.
    """
    if name not in SENSORS:
        raise RecordingError(f"Unknown sensor {name!r}; known: {', '.join(sorted(SENSORS))}.")
    return SENSORS[name](rng)
