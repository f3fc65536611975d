"""Generated recordings in true DSEC layout, and the built-in one."""

from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from data.camera import Calibration, Lens
from data.dsec.writer import write_dsec
from data.errors import RecordingError
from data.places import cache_folder
from data.recording import Camera
from data.simulator.pictures import PictureFolder
from data.simulator.rig import Rig
from data.simulator.scene import rotation
from data.simulator.take import Progress, Take, record

DISPARITY_PERIOD_US = 100_000
T_OFFSET_US = 53_200_000_000
"""A time of day, as in DSEC: large enough to overflow a reader that adds it to uint32."""

BUILTIN_SEED = 1_000_000_007
"""Far from the seeds that training draws from."""


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
    sensor: str = "default",
    pictures: PictureFolder | None = None,
    dense: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate a scene and write it as a DSEC sequence folder.

    Ground truth comes at 10 Hz, the first at time zero before any event, and like a LiDAR's it is
    missing at about half of the pixels unless it is asked to be ``dense``.

    Args:
        out: folder to write; must not exist.
        scene: name in ``SCENES``.
        seed: of everything random; equal arguments give equal files.
        duration_s: seconds.
        width: columns of each sensor.
        height: rows.
        sensor: name in ``SENSORS``.
        pictures: textures for scenes that need them.
        dense: keep the ground truth at every pixel.
        progress: called with the share done, 0 to 1.

    Returns:
        ``{"left": events, "right": events, "steps": how finely time was sampled}``.

    Raises:
        RecordingError: unknown scene or sensor, missing pictures, a size or duration without
            meaning, ``out`` exists.
    """
    take = Take(
        scene=scene, seed=seed, duration_s=duration_s, width=width, height=height, sensor=sensor,
        pictures=pictures, dense=dense,
    )  # fmt: skip
    rig = dsec_rig(width, height)
    write = partial(write_dsec, lenses=rig.lenses or {}, t_offset_us=T_OFFSET_US)
    return record(take, out, rig, DISPARITY_PERIOD_US, write, progress)


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
