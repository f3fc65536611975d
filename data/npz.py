"""Reader of a two-camera ``.npz``: the layout of recordings made with scripts and small tools.

Either two tables ``left`` and ``right`` of N x 4 columns ``t_us, x, y, p``, or eight columns
``left_t``, ``left_x``, ``left_y``, ``left_p``, ``right_t`` and so on. Numbers may be integers or
whole floats; polarity is 0/1 or -1/1. Optional scalars ``width`` and ``height``. Any other key is
ignored. There is no ground truth in this layout, and no calibration but the one that is given.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.cameras.columns import CameraEvents, from_columns, is_possible
from data.cameras.memory import MemoryRecording, choose_size
from data.errors import RecordingError
from data.npz_columns import ARCHIVE_ERRORS, EXPECTED, camera_columns
from data.recording import CAMERAS, Camera


class NpzRecording(MemoryRecording):
    """Two event cameras in one ``.npz`` file, held in memory.

    Args:
        path: the file. It is never unpickled.
        width: columns of each sensor; by default the file's, or guessed (``guess_sensor``).
        height: rows of each sensor, given together with ``width``.
        calibration: calibration file, ``data.cameras.calibration`` lists its kinds.
        sort: bring unsorted events into the order of time, instead of refusing them.

    Raises:
        RecordingError: a file that is missing, broken or incomplete; times that are unsorted or not
            whole microseconds; coordinates that are NaN, negative or fractional; a camera without
            events; two cameras that share no time.
    """

    layout = "npz"

    def __init__(
        self,
        path: str | Path,
        *,
        width: int | None = None,
        height: int | None = None,
        calibration: str | Path | None = None,
        sort: bool = False,
    ) -> None:
        path = Path(path)
        cameras = read_pair(path)
        self.name = path.stem
        sources: dict[Camera, Path] = dict.fromkeys(CAMERAS, path)
        size = choose_size(sources, cameras, width, height)
        super().__init__(
            sources=sources,
            cameras=cameras,
            size=size,
            calibration=calibration,
            sort=sort,
        )


def read_pair(path: Path) -> dict[Camera, CameraEvents]:
    """Return what the file holds of each camera, in its order, nothing dropped.

    Raises:
        RecordingError: a file that is missing, broken or incomplete, or numbers that are no events.
    """
    arrays = _load(path)
    cameras: dict[Camera, CameraEvents] = {}
    size = _stored_size(path, arrays)
    for camera in CAMERAS:
        cameras[camera] = from_columns(
            camera_columns(path, arrays, camera),
            where=f"the {camera} camera in {path}",
            format_name="npz",
            size=size,
        )
    return cameras


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of the file that belong to the layout."""
    if not path.is_file():
        raise RecordingError(f"There is no file {path}. Give the path of a two-camera .npz file.")
    if path.stat().st_size == 0:
        raise RecordingError(f"{path} is empty (0 bytes). Copy or download the recording again.")
    wanted = [*CAMERAS, *(f"{c}_{name}" for c in CAMERAS for name in "txyp"), "width", "height"]
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem for name in archive.namelist() if name.endswith(".npy")}
        # NumPy leaves a file that it opened itself open where the archive is damaged.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {name: file[name] for name in wanted if name in names}
    except ARCHIVE_ERRORS as error:
        raise RecordingError(
            f"{path} cannot be read as an .npz archive ({' '.join(str(error).split())}). The file "
            "is truncated, damaged or of another kind; copy it again, or write it with "
            "numpy.savez_compressed."
        ) from error
    for camera in CAMERAS:
        if camera not in arrays and not any(name.startswith(f"{camera}_") for name in arrays):
            found = ", ".join(sorted(names)) or "none"
            raise RecordingError(
                f"{path} has no {camera} camera: its keys are {found}. {EXPECTED} Stereo needs "
                "both cameras in one file, or the right camera's file beside it (--right)."
            )
    return arrays


def _stored_size(
    path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]
) -> tuple[int, int] | None:
    """Return the width and height that the file holds, None without them."""
    if not {"width", "height"} <= arrays.keys():
        return None
    stored = [np.asarray(arrays[name]) for name in ("width", "height")]
    if any(value.size != 1 or value.dtype.kind not in "ui" for value in stored):
        raise RecordingError(f"'width' and 'height' in {path} must be one whole number each.")
    width, height = (int(value.item()) for value in stored)
    if not is_possible((width, height)):
        raise RecordingError(f"A sensor of {width} x {height} pixels is not possible ({path}).")
    return width, height
