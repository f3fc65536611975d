"""The formats in which one camera's events may lie on disk.

To add a format, add one entry to ``CAMERA_FORMATS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.cameras.aedat import read_aedat4, refuse_old_aedat
from data.cameras.columns import CameraEvents
from data.cameras.evt import read_evt
from data.cameras.hdf5 import read_hdf5
from data.cameras.npz import read_npz
from data.errors import RecordingError
from data.recording import Camera

MAGIC_BYTES = 16
"""Bytes at the beginning of a file by which its format is known."""


@dataclass(frozen=True, kw_only=True)
class CameraFormat:
    """One way in which the events of one camera lie in a file.

    Attributes:
        name: short name.
        signs: what the file looks like, in words.
        magic: how it begins.
        read: return what it holds, given the path and which camera it is.
    """

    name: str
    signs: str
    magic: bytes
    read: Callable[[Path, Camera], CameraEvents]


CAMERA_FORMATS = (
    CameraFormat(
        name="npz",
        signs="an .npz with t, x, y, p",
        magic=b"PK",
        read=read_npz,
    ),
    CameraFormat(
        name="hdf5",
        signs="an HDF5 file with t, x, y, p (e2calib, DSEC, M3ED) or a table 'events' (v2e)",
        magic=b"\x89HDF\r\n\x1a\n",
        read=read_hdf5,
    ),
    CameraFormat(
        name="evt",
        signs="a Prophesee .raw (EVT2 or EVT3)",
        magic=b"% ",
        read=lambda path, _camera: read_evt(path),
    ),
    CameraFormat(
        name="aedat4",
        signs="an iniVation .aedat4",
        magic=b"#!AER-DAT4",
        read=lambda path, _camera: read_aedat4(path),
    ),
    CameraFormat(
        name="aedat",
        signs="",
        magic=b"#!AER-DAT",
        read=lambda path, _camera: refuse_old_aedat(path),
    ),
)
"""In the order in which they are tried."""


def read_camera(path: str | Path, camera: Camera) -> CameraEvents:
    """Read the file of one camera, whatever its format; what it begins with decides, not its name.

    Args:
        path: the file; ``~`` is the home folder.
        camera: which camera it is, for messages and for files that hold both.

    Raises:
        RecordingError: nothing there, an unknown format, or a file that its reader refuses.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise RecordingError(
            f"{path} is a folder. Two cameras are given as two files: {_all_signs()}."
        )
    if not path.is_file():
        raise RecordingError(f"There is no file {path} for the {camera} camera.")
    with path.open("rb") as file:
        head = file.read(MAGIC_BYTES)
    if not head:
        raise RecordingError(f"{path} is empty (0 bytes). Copy or record it again.")
    for entry in CAMERA_FORMATS:
        if head.startswith(entry.magic):
            return entry.read(path, camera)
    raise RecordingError(
        f"{path} is of an unknown kind (it begins with {head[:8]!r}). Expected {_all_signs()}."
    )


def camera_format(path: Path) -> str | None:
    """Return the name of the format that a file begins like; None if it is of no known one."""
    try:
        with path.open("rb") as file:
            head = file.read(MAGIC_BYTES)
    except OSError:
        return None
    return next((entry.name for entry in CAMERA_FORMATS if head.startswith(entry.magic)), None)


def _all_signs() -> str:
    return ", or ".join(entry.signs for entry in CAMERA_FORMATS if entry.signs)
