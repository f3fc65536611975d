"""Two files of one camera each, of any format, as one recording."""

from pathlib import Path

import numpy as np

from data.cameras.calibration import stated_resolution
from data.cameras.columns import CameraEvents
from data.cameras.formats import read_camera
from data.cameras.hdf5 import holds_two_cameras
from data.cameras.memory import MemoryRecording, choose_size
from data.errors import RecordingError
from data.recording import CAMERAS, Camera


class PairRecording(MemoryRecording):
    """A left and a right camera's file on one clock, held in memory at 13 bytes per event.

    The size of the sensors is the given one, else the one that the files state, else that of the
    calibration, else guessed (``data.cameras.memory.guess_sensor``).

    Args:
        left: file of the left camera, any of ``CAMERA_FORMATS``.
        right: file of the right camera; the same one if it holds both by name (M3ED).
        calibration: calibration file, ``data.cameras.calibration`` lists its kinds; without it
            there is disparity of raw pixels, but no depth.
        width: columns of each sensor.
        height: rows of each sensor, given together with ``width``.
        offset_us: added to the times of the right camera, to bring it on the clock of the left.
        sort: bring unsorted events into the order of time, instead of refusing them.

    Raises:
        RecordingError: a file that cannot be read, unsorted times, two different sensors, two
            cameras that share no time, or a calibration of other sensors.
    """

    layout = "pair"

    def __init__(
        self,
        left: str | Path,
        right: str | Path,
        *,
        calibration: str | Path | None = None,
        width: int | None = None,
        height: int | None = None,
        offset_us: int = 0,
        sort: bool = False,
    ) -> None:
        sources: dict[Camera, Path] = {
            "left": Path(left).expanduser(),
            "right": Path(right).expanduser(),
        }
        cameras = read_cameras(sources, offset_us=offset_us)
        self.name = pair_name(sources["left"], sources["right"])
        stated = any(cameras[c].size for c in CAMERAS)
        if width is None and height is None and not stated and calibration is not None:
            width, height = stated_resolution(calibration) or (None, None)
        size = choose_size(sources, cameras, width, height)
        super().__init__(
            sources=sources,
            cameras=cameras,
            size=size,
            calibration=calibration,
            sort=sort,
        )


def read_cameras(sources: dict[Camera, Path], *, offset_us: int = 0) -> dict[Camera, CameraEvents]:
    """Return what the two files hold, the right one moved in time by ``offset_us``.

    Raises:
        RecordingError: a file that cannot be read, or an impossible offset.
    """
    if abs(offset_us) >= 2**62:
        raise RecordingError(f"An offset of {offset_us} us is not possible.")
    same = sources["left"].resolve() == sources["right"].resolve()
    if same and sources["left"].is_file() and not holds_two_cameras(sources["left"]):
        raise RecordingError(
            f"{sources['left']} is given for both cameras, but holds one. Give the file of the "
            "other camera too."
        )
    cameras: dict[Camera, CameraEvents] = {c: read_camera(sources[c], c) for c in CAMERAS}
    if offset_us:
        # Within int64: times and offset are both below 2**62.
        np.add(cameras["right"].t, offset_us, out=cameras["right"].t)
    return cameras


def pair_name(left: Path, right: Path) -> str:
    """Return a name for titles: what the two file names share, else the left one's.

    ``run3_left.raw`` and ``run3_right.raw`` are ``run3``; ``left.raw`` and ``right.raw`` take the
    name of their folder.
    """
    stem = left.name.split(".")[0]
    for word in ("left", "right"):
        stem = stem.replace(word, "")
    stem = stem.strip("_-. ")
    shared = right.name.split(".")[0]
    for word in ("left", "right"):
        shared = shared.replace(word, "")
    if stem != shared.strip("_-. "):
        return left.name.split(".")[0]
    return stem or left.resolve().parent.name or "pair"
