"""``.npz`` files of one camera: columns ``t, x, y, p``, or one table ``events``."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.cameras.columns import CameraEvents, from_columns, stated_size
from data.errors import RecordingError
from data.npz_columns import EXPECTED as EXPECTED_PAIR
from data.npz_columns import camera_columns, load_npz
from data.recording import Camera

EXPECTED = (
    "Expected the columns t, x, y, p (whole microseconds and raw pixels) or one table 'events': "
    "N x 4 numbers t_us, x, y, p, or a structured array with these fields"
)


def read_npz(path: Path, camera: Camera) -> CameraEvents:
    """Read the events of one camera. It is never unpickled.

    A file that holds both cameras gives the one asked for.

    Raises:
        RecordingError: not an archive, damaged, no columns, or columns that are no events.
    """
    arrays = load_npz(path)
    where = f"the {camera} camera in {path}"
    size = None
    if {"width", "height"} <= arrays.keys():
        size = stated_size(arrays["width"], arrays["height"], path)
    both = [key for key in arrays if key.split("_")[0] in ("left", "right")]
    columns: dict[str, npt.NDArray[np.generic]]
    if set("txyp") <= arrays.keys():
        columns = {name: arrays[name] for name in "txyp"}
    elif "events" in arrays:
        columns = _table(path, arrays["events"])
    elif any(key.startswith(camera) for key in both):
        columns = dict(camera_columns(path, arrays, camera))
    else:
        found = ", ".join(sorted(arrays)) or "none"
        raise RecordingError(f"{path} holds the keys {found}. {EXPECTED}. {EXPECTED_PAIR}")
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or len(shapes["t"]) != 1:
        raise RecordingError(
            f"The columns of {where} have shapes {shapes}. Expected four columns of one length."
        )
    return from_columns(columns, where=where, format_name="npz", size=size)


def names_two_cameras(path: Path) -> bool:
    """Return whether a file is an archive with keys of a left and of a right camera."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = {Path(name).stem.split("_")[0] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return {"left", "right"} <= keys


def _table(path: Path, table: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.generic]]:
    """Return the four columns of one table."""
    if table.dtype.names is not None and set("txyp") <= set(table.dtype.names):
        return {name: table[name] for name in "txyp"}
    if table.dtype.names is None and table.ndim == 2 and table.shape[1] == 4:
        return dict(zip("txyp", table.T, strict=True))
    raise RecordingError(f"'events' in {path} is {table.dtype} of shape {table.shape}. {EXPECTED}.")
