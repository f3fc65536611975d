"""Open a recording of any layout: look at what is on disk, choose the reader, or say what is wrong.

To add a layout, add one entry to ``LAYOUTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.cameras import PairRecording
from data.cameras.formats import camera_format
from data.cameras.hdf5 import holds_two_cameras
from data.dsec import DsecRecording
from data.dsec.layout import is_sequence as is_dsec
from data.errors import RecordingError
from data.mvsec import DdesRecording, MvsecRecording
from data.mvsec.ddes import is_ddes
from data.mvsec.files import is_sequence
from data.npz import NpzRecording
from data.recording import Recording

LISTED = 12
"""How many sequences or files an error lists."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which recordings lie on disk.

    Attributes:
        name: the ``layout`` of its recordings.
        signs: what ``matches`` looks for, in words.
        matches: whether a path looks like it; reads names only.
        open: make the recording.
    """

    name: str
    signs: str
    matches: Callable[[Path], bool]
    open: Callable[[Path], Recording]


LAYOUTS = (
    Layout(
        name="npz",
        signs="a file *.npz with the keys 'left' and 'right'",
        matches=lambda path: path.is_file() and path.suffix.lower() == ".npz",
        open=NpzRecording,
    ),
    Layout(
        name="dsec",
        signs="a DSEC sequence folder with events/left/events.h5 and events/right/events.h5",
        matches=is_dsec,
        open=DsecRecording,
    ),
    Layout(
        name="mvsec",
        signs="an MVSEC file <scene>N_data.hdf5, or the folder of one",
        matches=is_sequence,
        open=MvsecRecording,
    ),
    Layout(
        name="ddes",
        signs="a folder of MVSEC preprocessed as by DDES, with timestamps.txt, event0 and event1",
        matches=is_ddes,
        open=DdesRecording,
    ),
    Layout(
        name="pair",
        signs="an HDF5 file with a left and a right camera (M3ED)",
        matches=lambda path: path.is_file() and holds_two_cameras(path),
        open=lambda path: PairRecording(path, path),
    ),
)


def open_recording(path: str | Path) -> Recording:
    """Open the recording at ``path``, whatever its layout.

    Args:
        path: a file or the folder of one sequence; ``~`` is the home folder. A folder that holds
            exactly one sequence stands for it.

    Raises:
        RecordingError: nothing there, nothing that is known, several sequences, or a recording that
            its reader refuses.
    """
    path = Path(path).expanduser()
    for layout in LAYOUTS:
        if layout.matches(path):
            return layout.open(path)
    if not path.exists():
        raise RecordingError(
            f"There is nothing at {path}. Give the path of a recording: {_all_signs()}."
        )
    if path.is_dir():
        return _open_inside(path)
    raise RecordingError(f"{path} is a file of an unknown kind. {_hint(path)}")


def _open_inside(folder: Path) -> Recording:
    """Open the only sequence in a folder of sequences (a data set, or its train or test part)."""
    near = sorted(child for child in folder.glob("*") if _is_sequence_folder(child))
    found = near or sorted(child for child in folder.glob("*/*") if _is_sequence_folder(child))
    if len(found) == 1:
        return open_recording(found[0])
    if found:
        names = [str(child.relative_to(folder)) for child in found]
        raise RecordingError(
            f"{folder} holds {len(found)} sequences. Choose one of them, for example "
            f"{found[0]}: {_some(names)}."
        )
    inside = sorted(child.name for child in folder.glob("*"))
    raise RecordingError(
        f"{folder} is no recording. Looked for {_all_signs()}; the folder holds "
        f"{_some(inside) if inside else 'nothing'}."
    )


def _is_sequence_folder(path: Path) -> bool:
    return path.is_dir() and any(layout.matches(path) for layout in LAYOUTS)


def _hint(path: Path) -> str:
    """Return what to give instead of a file that is no recording."""
    if path.name in ("events.h5", "rectify_map.h5"):
        return f"It is one part of a DSEC sequence: give the folder {path.parent.parent.parent}."
    format_name = camera_format(path)
    if format_name is not None:
        return f"It may hold one camera ({format_name}): give the other's file too (--right FILE)."
    return f"Expected {_all_signs()}. Convert it to an .npz first (data/README.md says how)."


def _all_signs() -> str:
    return ", or ".join(layout.signs for layout in LAYOUTS)


def _some(names: list[str]) -> str:
    """Return the first names in one line."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
