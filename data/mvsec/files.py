"""Which files make a sequence: data, ground truth and calibration, wherever they were unpacked."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import RecordingError
from data.mvsec.constants import scene_of
from data.recording import CAMERAS

DATA_END, TRUTH_END = "_data.hdf5", "_gt.hdf5"
LISTED = 12
"""How many names an error lists."""


@dataclass(frozen=True, kw_only=True)
class SequenceFiles:
    """The files of one sequence.

    Attributes:
        name: such as ``indoor_flying1``.
        scene: such as ``indoor_flying``.
        data: the events.
        truth: the depth, None if there is no such file.
        chain: ``camchain-imucam-<scene>.yaml``, None if there is none.
        maps: the four map files by ``left_x`` and so on; empty if none are there.
    """

    name: str
    scene: str
    data: Path
    truth: Path | None
    chain: Path | None
    maps: dict[str, Path]


def data_files(folder: Path) -> list[Path]:
    """Return the data files in a folder, sorted; hidden twins from other systems left out."""
    return sorted(p for p in folder.glob(f"*{DATA_END}") if not p.name.startswith("."))


def is_sequence(path: Path) -> bool:
    """Return whether a path looks like MVSEC's own files; reads names only."""
    if path.is_file():
        return path.suffix.lower() == ".hdf5"
    return bool(data_files(path)) if path.is_dir() else _named(path).is_file()


def locate(path: Path) -> SequenceFiles:
    """Return the files of the sequence that a path means.

    Args:
        path: a data file, a folder with exactly one, or ``folder/<scene>N`` without ending.

    Raises:
        RecordingError: no such file, several sequences, or a file of another role.
    """
    data = _data_file(path)
    name = data.name[: -len(DATA_END)] if data.name.endswith(DATA_END) else data.stem
    scene = scene_of(name)
    truth = data.with_name(name + TRUTH_END)
    return SequenceFiles(
        name=name,
        scene=scene,
        data=data,
        truth=truth if truth.is_file() else None,
        chain=find_chain(data, scene),
        maps=_maps(data, scene),
    )


def find_chain(data: Path, scene: str) -> Path | None:
    """Return the calibration of a scene for a file of one of its sequences, None if there is none.

    It is looked for beside the file, where its archive is usually unpacked, and one folder up.
    """
    name = f"camchain-imucam-{scene}.yaml"
    places = (folder / name for folder in _calibration_folders(data, scene))
    return next((path for path in places if path.is_file()), None)


def _data_file(path: Path) -> Path:
    """Return the data file that a path means."""
    if path.is_dir():
        found = data_files(path)
        if len(found) == 1:
            return found[0]
        names = [file.name[: -len(DATA_END)] for file in found[:LISTED]]
        if found:
            raise RecordingError(
                f"{path} holds {len(found)} sequences. Choose one of them, for example "
                f"{path / names[0]}: {', '.join(names)}."
            )
        raise RecordingError(
            f"There is no *{DATA_END} in {path}. Give the data file of one MVSEC sequence, such as "
            f"indoor_flying1{DATA_END}, or its folder."
        )
    if path.is_file():
        if path.name.endswith(TRUTH_END):
            sequence = path.name[: -len(TRUTH_END)]
            raise RecordingError(
                f"{path} is the ground truth of a sequence, without events. Give "
                f"{path.with_name(sequence + DATA_END)}; the ground truth is found beside it."
            )
        return path
    if _named(path).is_file():
        return _named(path)
    raise RecordingError(
        f"There is neither {path} nor {_named(path)}. Give the data file of one MVSEC sequence, or "
        "its folder."
    )


def _named(path: Path) -> Path:
    return path.with_name(path.name + DATA_END)


def _calibration_folders(data: Path, scene: str) -> list[Path]:
    """Return where the calibration may lie: beside the data, or where its archive was unpacked."""
    places = []
    for base in (data.parent, data.parent.parent):
        names = ("", f"{scene}_calib", "calib", "calibration", scene, f"{scene}/{scene}_calib")
        places += [base / name for name in names]
    return places


def _maps(data: Path, scene: str) -> dict[str, Path]:
    """Return the four map files of a scene, from the first folder that holds any.

    Raises:
        RecordingError: a folder that holds some of the four only.
    """
    names = {
        f"{camera}_{axis}": f"{scene}_{camera}_{axis}_map.txt"
        for camera in CAMERAS
        for axis in "xy"
    }
    for folder in _calibration_folders(data, scene):
        maps = {key: folder / name for key, name in names.items() if (folder / name).is_file()}
        missing = sorted(names[key] for key in names.keys() - maps.keys())
        if maps and missing:
            raise RecordingError(
                f"{folder} lacks {', '.join(missing)}. Expected all four rectification maps of the "
                "scene; unpack its calibration again, or remove the others to use the yaml."
            )
        if maps:
            return maps
    return {}
