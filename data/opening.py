"""Open what a user names: one recording or two cameras, with or without a calibration."""

from pathlib import Path

from data.cameras import PairRecording
from data.cameras.calibration import read_geometry
from data.cameras.hdf5 import holds_two_cameras
from data.errors import RecordingError
from data.formats import open_recording
from data.npz import NpzRecording
from data.recording import Recording
from data.rectified import RectifiedRecording

RECTIFIED = ("ddes",)
"""Layouts that store rectified pixels, so that there is nothing to calibrate."""


def open_cameras(
    path: str | Path,
    *,
    right: str | Path | None = None,
    calibration: str | Path | None = None,
    width: int | None = None,
    height: int | None = None,
    offset_us: int = 0,
    sort: bool = False,
) -> Recording:
    """Open a recording of any layout, or the files of two cameras.

    Args:
        path: a recording, or the file of the left camera if ``right`` is given.
        right: file of the right camera.
        calibration: calibration file for a recording that has none (``data.cameras.calibration``).
        width: columns of the sensors, for layouts that do not state them.
        height: rows of the sensors.
        offset_us: added to the times of the right camera.
        sort: bring unsorted events into the order of time, instead of refusing them.

    Raises:
        RecordingError: what the readers refuse, an option that the layout cannot use, or a
            calibration for a recording that has one.
    """
    path = Path(path).expanduser()
    if right is None and path.is_file() and holds_two_cameras(path):
        right = path
    if right is not None:
        if path.is_dir():
            raise RecordingError(
                f"{path} is a folder, and {right} is given for the right camera. A second camera "
                "goes with the file of one left camera; give the folder of a recording alone."
            )
        return PairRecording(
            path,
            right,
            calibration=calibration,
            width=width,
            height=height,
            offset_us=offset_us,
            sort=sort,
        )
    if offset_us:
        raise RecordingError("An offset of the right camera needs that camera's file (--right).")
    if path.is_file() and path.suffix.lower() == ".npz":
        return NpzRecording(path, width=width, height=height, calibration=calibration, sort=sort)
    recording = open_recording(path)
    if width is not None or height is not None or sort:
        recording.close()
        raise RecordingError(
            f"{path} has the layout {recording.layout}, which states the size of its sensors and "
            "must be sorted. Leave out --width, --height and --sort."
        )
    return recording if calibration is None else _calibrated(recording, calibration)


def _calibrated(recording: Recording, calibration: str | Path) -> Recording:
    """Return the recording with a calibration of the user's choice.

    Raises:
        RecordingError: it has one of its own.
    """
    rectified = recording.layout in RECTIFIED or recording.rectify_map("left") is not None
    if recording.calibration is not None or rectified:
        recording.close()
        raise RecordingError(
            f"{recording.name} ({recording.layout}) is rectified by its own files. Leave out the "
            "calibration, or remove theirs."
        )
    geometry = read_geometry(calibration, (recording.width, recording.height))
    return RectifiedRecording(recording, maps=geometry.maps, calibration=geometry.calibration)
