"""One take: everything that decides what a generated recording holds, checked, and played."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.simulator.clip import Clip, play
from data.simulator.pictures import PictureFolder
from data.simulator.rig import Rig
from data.simulator.scenes import find_scene
from data.simulator.sensors import make_sensors

Progress = Callable[[float], None]

ROWS_LOST = 1 / 3
PIXELS_LOST = 0.25
"""What a LiDAR leaves out: rows, and pixels of the other rows."""


@dataclass(frozen=True, kw_only=True)
class Take:
    """What to simulate; equal takes give equal recordings.

    Attributes:
        scene: name in ``SCENES``.
        seed: of everything random.
        duration_s: seconds.
        width: columns of each sensor.
        height: rows of each sensor.
        sensor: name in ``SENSORS``.
        pictures: textures for scenes that need them.
        dense: ground truth at every pixel; else about half is missing as in a LiDAR's.
    """

    scene: str
    seed: int
    duration_s: float
    width: int
    height: int
    sensor: str = "default"
    pictures: PictureFolder | None = None
    dense: bool = False

    def __post_init__(self) -> None:
        """Refuse what has no meaning before anything is computed."""
        find_scene(self.scene)
        make_sensors(self.sensor, np.random.default_rng(0))
        sides = (self.width, self.height)
        # Written so that NaN fails too.
        if not 0.1 <= self.duration_s <= 600 or min(sides) < 32 or max(sides) > 4096:
            raise RecordingError(
                "A simulation needs 0.1 to 600 seconds and 32 to 4096 pixels a side, got "
                f"{self.duration_s} s and {self.width}x{self.height}."
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The take as plain values for the mark of generated data, and their hash."""
        values = asdict(replace(self, pictures=None))
        values["pictures"] = None if self.pictures is None else self.pictures.digest
        text = json.dumps(values, sort_keys=True)
        return values | {"settings_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def play(self, rig: Rig, truth_period_us: int, progress: Progress | None = None) -> Clip:
        """Simulate for a rig; the first ground truth is at time zero, before any event.

        Raises:
            RecordingError: pictures are missing, unreadable, or of no use to this scene.
        """
        duration_us = round(self.duration_s * 1e6)
        scene_rng, sensor_rng, mask_rng = np.random.default_rng(self.seed).spawn(3)
        world = find_scene(self.scene)(scene_rng, rig, self.pictures)
        clip = play(
            world, rig, make_sensors(self.sensor, sensor_rng), duration_us=duration_us,
            disparity_t_us=range(0, duration_us + 1, truth_period_us), seed=self.seed,
            progress=progress, adaptive=None if self.sensor == "default" else True,
        )  # fmt: skip
        if self.dense:
            return clip
        return replace(clip, disparity=like_lidar(clip.disparity, mask_rng))


def like_lidar(
    disparity: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return ``[K, H, W]`` disparities with a third of the rows and a quarter of the rest gone."""
    images, height, _ = disparity.shape
    keep = rng.random((images, height, 1)) > ROWS_LOST
    keep = keep & (rng.random(disparity.shape, dtype=np.float32) > PIXELS_LOST)
    return np.where(keep, disparity, np.float32(0))


def outcome(clip: Clip) -> dict[str, Any]:
    """Return the numbers of events and how finely time was sampled, as plain values."""
    return {
        "events": {"left": len(clip.left), "right": len(clip.right)},
        "steps": None if clip.steps is None else asdict(clip.steps),
    }


def record(
    take: Take,
    out: Path,
    rig: Rig,
    truth_period_us: int,
    write: Callable[..., None],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Simulate a take and write it.

    Args:
        take: what to simulate.
        out: folder to write; must not exist.
        rig: the cameras.
        truth_period_us: from one ground truth to the next.
        write: writer of the layout; gets ``out`` and, by name, what every layout needs.
        progress: called with the share done, 0 to 1.

    Returns:
        ``{"left": events, "right": events, "steps": how finely time was sampled}``.

    Raises:
        RecordingError: ``out`` exists, or the take cannot be played.
    """
    if out.exists():
        raise RecordingError(f"{out} exists already; choose another folder or remove it first.")
    clip = take.play(rig, truth_period_us, progress)
    done = outcome(clip)
    write(
        out, left=clip.left, right=clip.right, calibration=rig.calibration,
        disparity=clip.disparity, disparity_t_us=clip.disparity_t_us, width=take.width,
        height=take.height, generated=take.settings | done,
    )  # fmt: skip
    return {**done["events"], "steps": done["steps"]}
