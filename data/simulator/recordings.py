"""Generated recordings in true DSEC layout, and the built-in one."""

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.camera import Calibration, Lens
from data.dsec.writer import write_dsec
from data.errors import RecordingError
from data.recording import CAMERAS, Camera
from data.simulator.clip import play
from data.simulator.rig import Rig
from data.simulator.scene import rotation
from data.simulator.scenes import SCENES
from data.simulator.sensor import Sensor

DISPARITY_PERIOD_US = 100_000
T_OFFSET_US = 53_200_000_000
"""A time of day, as in DSEC: large enough to overflow a reader that adds it to uint32."""

BUILTIN_SEED = 1_000_000_007
"""Far from the seeds that training draws from."""

Progress = Callable[[float], None]


def dsec_rig(width: int, height: int) -> Rig:
    """Return a pair like DSEC's: f near 570 px at 640 columns, 0.6 m apart, both lenses bent."""
    scale = width / 640.0
    calibration = Calibration(
        focal_px=569.3 * scale, cx_px=0.5 * width - 0.5, cy_px=0.5 * height - 0.5, baseline_m=0.6
    )
    lenses: dict[Camera, Lens] = {
        "left": Lens(
            camera_matrix=(553.5 * scale, 553.4 * scale, 0.512 * width, 0.487 * height),
            distortion=(-0.094, 0.194, 1e-4, 1.5e-3),
            rotation=rotation(np.array([0.004, -0.006, 0.003])),
        ),
        "right": Lens(
            camera_matrix=(555.6 * scale, 555.7 * scale, 0.495 * width, 0.508 * height),
            distortion=(-0.105, 0.24, 4e-4, -6e-4),
            rotation=rotation(np.array([-0.003, 0.005, -0.004])),
        ),
    }
    return Rig(calibration=calibration, width=width, height=height, lenses=lenses)


def simulate_dsec(
    out: Path,
    *,
    scene: str,
    seed: int,
    duration_s: float,
    width: int = 640,
    height: int = 480,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate a scene and write it as a DSEC sequence folder.

    Ground truth comes at 10 Hz, the first at time zero before any event, and like a LiDAR's it is
    missing at about half of the pixels.

    Args:
        out: folder to write; must not exist.
        scene: name in ``SCENES``.
        seed: of everything random; equal arguments give equal files.
        duration_s: seconds.
        width: columns of each sensor.
        height: rows.
        progress: called with the share done, 0 to 1.

    Returns:
        ``{"left": events, "right": events}``.

    Raises:
        RecordingError: unknown scene, a size or duration without meaning, ``out`` exists.
    """
    if scene not in SCENES:
        raise RecordingError(f"Unknown scene {scene!r}; known: {', '.join(sorted(SCENES))}.")
    if not (0.1 <= duration_s <= 600 and 32 <= width <= 4096 and 32 <= height <= 4096):
        raise RecordingError(
            "A simulation needs 0.1 to 600 seconds and 32 to 4096 pixels a side, got "
            f"{duration_s} s and {width}x{height}."
        )
    if out.exists():
        raise RecordingError(f"{out} exists already; choose another folder or remove it first.")
    duration_us = round(duration_s * 1e6)
    rig = dsec_rig(width, height)
    scene_rng, sensor_rng, mask_rng = np.random.default_rng(seed).spawn(3)
    sensors: dict[Camera, Sensor] = {
        camera: Sensor(
            on_threshold=float(sensor_rng.uniform(0.18, 0.24)),
            off_threshold=float(sensor_rng.uniform(0.18, 0.24)),
        )
        for camera in CAMERAS
    }
    clip = play(
        SCENES[scene](scene_rng, rig), rig, sensors, duration_us=duration_us,
        disparity_t_us=range(0, duration_us + 1, DISPARITY_PERIOD_US), seed=seed,
        progress=progress,
    )  # fmt: skip
    write_dsec(
        out, left=clip.left, right=clip.right, lenses=rig.lenses or {},
        calibration=rig.calibration, disparity=like_lidar(clip.disparity, mask_rng),
        disparity_t_us=clip.disparity_t_us, t_offset_us=T_OFFSET_US, width=width, height=height,
        generated={"scene": scene, "seed": seed, "duration_s": duration_s},
    )  # fmt: skip
    return {"left": len(clip.left), "right": len(clip.right)}


def like_lidar(
    disparity: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return ``[K, H, W]`` disparities with a third of the rows and a quarter of the rest gone."""
    images, height, _ = disparity.shape
    keep = rng.random((images, height, 1)) > 1 / 3
    keep = keep & (rng.random(disparity.shape, dtype=np.float32) > 0.25)
    return np.where(keep, disparity, np.float32(0))


def cache_folder() -> Path:
    """Return the user's cache folder for this product: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "stereo"


def builtin_recording(progress: Progress | None = None) -> Path:
    """Return the folder of the built-in recording, making it on first use (a few seconds).

    0.6 s of the scene "studio" at 640x480. It is generated data, with a seed that no training uses.
    """
    try:
        release = version("stereo")
    except PackageNotFoundError:
        release = "source"
    folder = cache_folder() / f"studio-{release}"
    if folder.is_dir():
        return folder
    try:
        simulate_dsec(folder, scene="studio", seed=BUILTIN_SEED, duration_s=0.6, progress=progress)
    except RecordingError:
        if not folder.is_dir():  # else another process was faster, with the same result
            raise
    return folder
