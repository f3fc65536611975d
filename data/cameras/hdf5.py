"""HDF5 files of one camera: e2calib, DSEC's ``events.h5`` alone, v2e, M3ED.

Columns ``t, x, y, p`` in the root, in ``events/``, ``prophesee/<camera>/`` or ``<camera>/``; or one
table ``events`` with N x 4 numbers ``t_us, x, y, p`` (v2e) or with named fields. Times are
microseconds; a ``t_offset`` beside or above the columns is added.
"""

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters with h5py)
import numpy as np

from data.cameras.columns import CameraEvents, Read, from_readers, stated_size
from data.errors import RecordingError
from data.hdf5 import HDF5_FAULTS
from data.recording import CAMERAS, Camera

PLACES = ("prophesee/{camera}", "{camera}", "{camera}/events", "events/{camera}", "/", "events")
"""Where the events of a camera may lie; places that name the camera come first."""

MOST_PER_BYTE = 64
"""Events per byte of a file; beyond it a damaged length would be filled with zeros for hours."""

EXPECTED = (
    "Expected datasets t, x, y, p (whole microseconds and raw pixels) in the root, in 'events', "
    "'prophesee/left' or 'left', or a table 'events' of N x 4 numbers t_us, x, y, p"
)


def read_hdf5(path: Path, camera: Camera) -> CameraEvents:
    """Read the events of one camera; 13 bytes per event.

    A file that holds both cameras by name gives the one asked for.

    Raises:
        RecordingError: not HDF5, damaged, no columns, or columns that are no events.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file, camera)
    except RecordingError:
        raise
    except HDF5_FAULTS as error:
        raise RecordingError(
            f"{path} cannot be read as HDF5 ({' '.join(str(error).split())}). The file is "
            f"truncated, damaged ({path.stat().st_size} bytes) or needs a filter that is not "
            "installed; copy it again."
        ) from error


def holds_two_cameras(path: Path) -> bool:
    """Return whether a file is HDF5 with columns of a left and of a right camera."""
    named = PLACES[:4]
    try:
        with h5py.File(path, "r") as file:
            return all(_find(file, named, camera) is not None for camera in CAMERAS)
    except HDF5_FAULTS:
        return False


def _find(file: h5py.File, places: tuple[str, ...], camera: Camera) -> str | None:
    """Return the first place that holds events, None if there is none."""
    for place in places:
        name = place.format(camera=camera)
        node = file.get(name)
        if isinstance(node, h5py.Dataset) and _is_table(node):
            return name
        if isinstance(node, h5py.Group) and all(
            isinstance(node.get(column), h5py.Dataset) for column in "txyp"
        ):
            return name
    return None


def _is_table(node: h5py.Dataset) -> bool:
    names = node.dtype.names
    if names is not None:
        return bool(node.ndim == 1) and set("txyp") <= set(names)
    return bool(node.ndim == 2 and node.shape[1] == 4)


def _read(path: Path, file: h5py.File, camera: Camera) -> CameraEvents:
    if "davis" in file:
        raise RecordingError(
            f"{path} is laid out as MVSEC, which keeps both cameras in one file. Give its path "
            "alone, without a second camera."
        )
    name = _find(file, PLACES, camera)
    if name is None:
        inside = ", ".join(sorted(file)) or "nothing"
        raise RecordingError(f"{path} holds {inside}. {EXPECTED}.")
    node = file[name]
    count, read = _table(node) if isinstance(node, h5py.Dataset) else _columns(path, node)
    if count > MOST_PER_BYTE * path.stat().st_size:
        raise RecordingError(
            f"{path} claims {count} events, but has only {path.stat().st_size} bytes. It is "
            "damaged, or was not written to its end; copy it again."
        )
    where = f"the {camera} camera in {path}"
    return from_readers(
        read,
        count,
        where=where,
        format_name="hdf5",
        offset_us=_offset_us(path, file, node),
        size=_size(path, file, node),
    )


def _table(node: h5py.Dataset) -> tuple[int, dict[str, Read]]:
    """Return the length of one table and a reader of each column."""

    def reader(column: str) -> Read:
        if node.dtype.names is None:
            index = "txyp".index(column)
            return lambda part: np.asarray(node[part, index])
        return lambda part: np.asarray(node[part][column])

    return int(node.shape[0]), {column: reader(column) for column in "txyp"}


def _columns(path: Path, node: h5py.Group) -> tuple[int, dict[str, Read]]:
    """Return the length of four columns and a reader of each."""
    shapes = {column: node[column].shape for column in "txyp"}
    if len(set(shapes.values())) != 1 or len(shapes["t"]) != 1:
        raise RecordingError(
            f"The columns in {path} have shapes {shapes}. Expected four of one length; the file "
            "was not written to its end."
        )

    def reader(column: str) -> Read:
        return lambda part: np.asarray(node[column][part])

    return int(shapes["t"][0]), {column: reader(column) for column in "txyp"}


def _offset_us(path: Path, file: h5py.File, node: Any) -> int:
    """Return the time that is added to all events, 0 where the file states none."""
    for place in (node, node.parent, file):
        found = place.get("t_offset") if isinstance(place, h5py.Group) else None
        if isinstance(found, h5py.Dataset):
            value = np.asarray(found[()])
            if value.size != 1 or value.dtype.kind not in "iu":
                raise RecordingError(
                    f"t_offset in {path} is {value.dtype} {value.shape}. Expected one whole "
                    "number of microseconds."
                )
            return int(value.reshape(-1)[0])
    return 0


def _size(path: Path, file: h5py.File, node: Any) -> tuple[int, int] | None:
    """Return width and height where the file states them (attributes, or M3ED's ``calib``)."""
    for place in (node, node.parent, file):
        if {"width", "height"} <= set(place.attrs):
            return stated_size(place.attrs["width"], place.attrs["height"], path)
    resolution = node.get("calib/resolution") if isinstance(node, h5py.Group) else None
    if isinstance(resolution, h5py.Dataset):
        values = np.asarray(resolution[()]).reshape(-1)
        if values.size == 2:
            return stated_size(values[0], values[1], path)
    return None
