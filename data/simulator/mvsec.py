"""Generated recordings in true MVSEC layout."""

from pathlib import Path
from typing import Any

import numpy as np

from data.camera import Calibration, FisheyeLens
from data.mvsec.splits import Part, Split
from data.mvsec.writer import write_mvsec
from data.recording import Camera
from data.simulator.pictures import PictureFolder
from data.simulator.rig import Rig
from data.simulator.scene import rotation
from data.simulator.take import Progress, Take, record

DEPTH_PERIOD_US = 50_000
"""MVSEC's depth comes at 20 Hz."""

T_OFFSET_US = 1_504_645_177_000_000
"""A unix time, as in MVSEC: at this size a float64 of seconds resolves a quarter microsecond."""


def mvsec_rig(width: int, height: int) -> Rig:
    """Return a pair like MVSEC's: f near 200 px at 346 columns, 0.1 m apart, both lenses fisheye.

    The lenses and turns are those of a pair of DAVIS 346, rounded; f B = 19.94 px m at full size.
    """
    scale = width / 346.0
    focal = 199.65 * scale
    calibration = Calibration(
        focal_px=focal, cx_px=0.5128 * width, cy_px=0.4877 * height, baseline_m=0.0999
    )
    lenses: dict[Camera, FisheyeLens] = {
        "left": FisheyeLens(
            camera_matrix=(226.4 * scale, 226.2 * scale, 0.502 * width, 0.514 * height),
            distortion=(-0.048, 0.0113, -0.0554, 0.0215),
            rotation=rotation(np.array([-0.005, -0.0045, -0.015])),
        ),
        "right": FisheyeLens(
            camera_matrix=(226.0 * scale, 225.8 * scale, 0.504 * width, 0.478 * height),
            distortion=(-0.0485, 0.0101, -0.0429, 0.0052),
            rotation=rotation(np.array([0.005, 0.0001, -0.004])),
        ),
    }
    return Rig(calibration=calibration, width=width, height=height, lenses=lenses)


def simulate_mvsec(
    out: Path,
    *,
    scene: str,
    seed: int,
    duration_s: float,
    width: int = 346,
    height: int = 260,
    sensor: str = "default",
    pictures: PictureFolder | None = None,
    dense: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate a scene and write it as a folder in MVSEC's layout.

    The sequence is called ``generated_<scene>1``. Depth comes at 20 Hz, the first at time zero
    before any event, and like a LiDAR's it is missing at about half of the pixels unless it is
    asked to be ``dense``. A recording with at least three depth images has a split of its own:
    the last quarter is held out.

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
    rig = mvsec_rig(width, height)
    sequence = f"generated_{scene.replace('-', '_')}1"
    lenses = {c: lens for c, lens in (rig.lenses or {}).items() if isinstance(lens, FisheyeLens)}

    def write(path: Path, **content: Any) -> None:
        split = short_split(sequence, content["disparity_t_us"].size)
        write_mvsec(path, sequence=sequence, lenses=lenses, t_offset_us=T_OFFSET_US, split=split,
                    **content)  # fmt: skip

    return record(take, out, rig, DEPTH_PERIOD_US, write, progress)


def short_split(sequence: str, count: int) -> Split | None:
    """Return a split for one sequence with ``count`` depth images, None if they are too few.

    The first image has no events before it and belongs to nothing. Of the last quarter, which is
    held out, a quarter is for validation.
    """
    if count < 3:
        return None
    held_out = count - max(1, count // 4)
    return Split(
        name="sample",
        source="generated data",
        train=(Part(sequence=sequence, first=1, end=held_out),),
        held_out=Part(sequence=sequence, first=held_out, end=count),
        validation=(count - held_out) // 4,
    )
