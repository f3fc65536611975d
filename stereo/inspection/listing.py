"""The recordings in a folder: a data set, or one of its parts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.errors import RecordingError
from data.formats import LAYOUTS, open_recording
from data.mvsec.files import data_files

DEPTH = 4
"""Folders below the root in which recordings are looked for."""

Progress = Callable[[float, float], None]


def recordings_in(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Go over everything below a folder that looks like a recording, by name.

    What lies inside a recording is not looked at; hidden folders and links to folders are left out.
    """
    for child in sorted(folder.iterdir()):
        if child.name.startswith(".") or (child.is_dir() and child.is_symlink()):
            continue
        if child.is_dir() and len(data_files(child)) > 1:
            yield from data_files(child)  # MVSEC keeps several sequences in the folder of a scene
        elif any(layout.matches(child) for layout in LAYOUTS):
            yield child
        elif child.is_dir() and depth > 1:
            yield from recordings_in(child, depth - 1)


def list_recordings(
    folder: Path, paths: list[Path], progress: Progress = lambda _done, _all: None
) -> dict[str, Any]:
    """Open each recording and say what it is; no event is counted.

    Args:
        folder: the data set.
        paths: its recordings.
        progress: called with the recordings done and all recordings.

    Returns:
        The document that ``stereo inspect --json`` prints: ``sequences`` with one entry each,
        ``problem`` in place of the numbers where one cannot be opened.
    """
    sequences: list[dict[str, Any]] = []
    for done, path in enumerate(paths, start=1):
        sequences.append({"path": str(path), "name": str(path.relative_to(folder))} | _entry(path))
        progress(done, len(paths))
    return {"recording": str(folder), "sequences": sequences}


def _entry(path: Path) -> dict[str, Any]:
    """Return what is known of one recording without reading its events."""
    try:
        with open_recording(path) as recording:
            first, last = recording.span_us
            return {
                "layout": recording.layout,
                "width": recording.width,
                "height": recording.height,
                "duration_s": (last - first) / 1e6,
                "events": dict(recording.total),
                "ground_truths": int(recording.disparity_t_us.size),
                "calibrated": recording.calibration is not None,
                "problem": None,
            }
    except RecordingError as error:
        absent = ("layout", "width", "height", "duration_s", "events", "ground_truths")
        return dict.fromkeys(absent) | {"calibrated": None, "problem": str(error)}
