"""The events that are stored in files, whether or not they make a usable recording.

For describing what is wrong with a recording that its reader refuses: nothing is dropped, ordered
or put on one clock here. Everything is read into memory, 13 bytes per event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from data.cameras.columns import CameraEvents, Read, Source, from_readers
from data.cameras.formats import camera_format, read_camera
from data.cameras.hdf5 import holds_two_cameras
from data.cameras.npz import names_two_cameras
from data.dsec.layout import sequence_paths
from data.errors import RecordingError
from data.recording import CAMERAS, Camera


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """What is stored.

    Attributes:
        cameras: those that can be read; at least one.
        alone: whether the file was made for one camera, so that no other is missing.
    """

    cameras: Mapping[Camera, CameraEvents]
    alone: bool = False


def stored_cameras(path: str | Path, right: str | Path | None = None) -> Stored:
    """Return what is stored of each camera that can be read at all.

    Args:
        path: a recording, or the file of one camera, which then is the left one.
        right: file of the right camera.

    Raises:
        RecordingError: a file that is named is not there, or nothing can be read.
    """
    path = Path(path).expanduser()
    if right is not None:
        files: dict[Camera, Path] = {"left": path, "right": Path(right).expanduser()}
        for file in files.values():
            if not file.is_file():
                raise RecordingError(f"There is no file {file}.")
        return Stored(cameras=_those_that_read(files))
    if path.is_dir():
        found = sequence_paths(path)
        if found is None:
            raise RecordingError(f"{path} holds no events that can be read.")
        return Stored(cameras=_those_that_read({c: found.events[c] for c in CAMERAS}))
    kind = camera_format(path)
    if kind == "hdf5" and any(_is_mvsec(path, c) for c in CAMERAS):
        return Stored(cameras={c: _read_mvsec(path, c) for c in CAMERAS if _is_mvsec(path, c)})
    if kind in ("hdf5", "npz"):
        return _of_either(path)
    return Stored(cameras={"left": read_camera(path, "left")}, alone=True)


def _of_either(path: Path) -> Stored:
    """Return the cameras of a file that may hold both by name, or one without a name."""
    cameras = _those_that_read(dict.fromkeys(CAMERAS, path))
    if _names_both(path):
        return Stored(cameras=cameras)
    if len(cameras) < len(CAMERAS):
        return Stored(cameras=cameras)
    # Reading it as either camera gave the same events: they belong to none by name.
    return Stored(cameras={"left": cameras["left"]}, alone=True)


def _names_both(path: Path) -> bool:
    """Return whether a file holds a left and a right camera by name."""
    return holds_two_cameras(path) or names_two_cameras(path)


def _those_that_read(files: Mapping[Camera, Path]) -> dict[Camera, CameraEvents]:
    """Return the cameras that can be read; the error of the last one if there are none."""
    cameras: dict[Camera, CameraEvents] = {}
    refused: RecordingError | None = None
    for camera, file in files.items():
        try:
            cameras[camera] = read_camera(file, camera)
        except RecordingError as error:
            refused = error
    if not cameras and refused is not None:
        raise refused
    return cameras


def _is_mvsec(path: Path, camera: Camera) -> bool:
    """Return whether a file holds a camera in MVSEC's place: N x 4 ``x, y, t_s, p``."""
    try:
        with h5py.File(path, "r") as file:
            node = file.get(f"davis/{camera}/events")
            return isinstance(node, h5py.Dataset) and node.ndim == 2 and node.shape[1] == 4
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        return False


def _read_mvsec(path: Path, camera: Camera) -> CameraEvents:
    """Return one camera of an MVSEC file, seconds rounded to microseconds."""
    try:
        with h5py.File(path, "r") as file:
            node = file[f"davis/{camera}/events"]

            def reader(column: int) -> Read:
                return lambda part: np.asarray(node[part, column])

            def seconds(part: slice) -> Source:
                return np.rint(np.asarray(node[part, 2], np.float64) * 1e6)

            return from_readers(
                {"t": seconds, "x": reader(0), "y": reader(1), "p": reader(3)},
                int(node.shape[0]),
                where=f"the {camera} camera in {path}",
                format_name="mvsec",
            )
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        raise RecordingError(
            f"{path} cannot be read as HDF5 ({' '.join(str(error).split())}). The file is "
            "truncated or damaged; copy it again."
        ) from error
