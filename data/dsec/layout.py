"""Where the files of a DSEC sequence lie: three arrangements, one record of paths.

* ``loader``: the folder that the data set's own loader reads, ``<seq>/events/left/events.h5``,
  ``<seq>/disparity/event/``, ``<seq>/calibration/``, often below ``train/`` or ``test/``.
* ``zips``: the large archives unpacked side by side, ``train_events/<seq>/events/left/events.h5``,
  ``train_disparity/<seq>/disparity/event/``, ``test_disparity_timestamps/<seq>.csv``; the inner
  folder (``events``, ``disparity`` ...) may be missing.
* ``tonic``: one folder per archive of a sequence, ``<seq>/events_left/events.h5``,
  ``<seq>/disparity_event/``, ``<seq>/disparity_timestamps/<seq>_disparity_timestamps.txt``. The
  folders may carry the name of the sequence, as the archives do: ``<seq>/<seq>_events_left/``.

Only names are looked at here, nothing is opened.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.recording import CAMERAS, Camera

Arrangement = Literal["loader", "zips", "tonic"]
Part = Literal["train", "test"]
PARTS: tuple[Part, Part] = ("train", "test")

DEPTH = 3
"""How many folders below a root a sequence may lie: ``root/DSEC/train/<seq>``."""

EVENT_FOLDERS: Mapping[Arrangement, tuple[str, ...]] = {
    "loader": ("events/{camera}",),
    "tonic": ("events_{camera}", "{seq}_events_{camera}"),
    "zips": ("events/{camera}", "{camera}"),
}
"""Where the events of one camera lie below the folder of the sequence."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "calibration": (
        "calibration/{file}",
        "{seq}_calibration/{file}",
        "../../{part}_calibration/{seq}/calibration/{file}",
        "../../{part}_calibration/{seq}/{file}",
    ),
    "images": (
        "images/{camera}/rectified",
        "images_rectified_{camera}",
        "{seq}_images_rectified_{camera}",
        "../../{part}_images/{seq}/images/{camera}/rectified",
        "../../{part}_images/{seq}/{camera}/rectified",
    ),
    "image_timestamps": (
        "images/timestamps.txt",
        "image_timestamps/{seq}_image_timestamps.txt",
        "{seq}_image_timestamps.txt",
        "image_timestamps.txt",
        "../../{part}_images/{seq}/images/timestamps.txt",
        "../../{part}_images/{seq}/timestamps.txt",
    ),
    "disparity": (
        "disparity/event",
        "disparity_event",
        "{seq}_disparity_event",
        "../../{part}_disparity/{seq}/disparity/event",
        "../../{part}_disparity/{seq}/event",
    ),
    "disparity_timestamps": (
        "disparity/timestamps.txt",
        "disparity_timestamps/{seq}_disparity_timestamps.txt",
        "{seq}_disparity_timestamps.txt",
        "disparity_timestamps.txt",
        "../../{part}_disparity/{seq}/disparity/timestamps.txt",
        "../../{part}_disparity/{seq}/timestamps.txt",
    ),
    "submission": (
        "{seq}.csv",
        "../test_disparity_timestamps/{seq}.csv",
        "../../test_disparity_timestamps/{seq}.csv",
        "../{seq}.csv",
    ),
}
"""Where else things lie, best first. ``..`` leaves the folder of the sequence; ``{part}`` stands
for train or test and is tried for the arrangement ``zips`` only."""


@dataclass(frozen=True, kw_only=True)
class SequencePaths:
    """The files of one sequence, wherever they lie.

    A path that is None was not found. Event files and maps are always named, there or not, so that
    a reader can say what is missing.

    Attributes:
        name: of the sequence, ``zurich_city_04_a``.
        folder: the folder of the sequence; of the arrangement ``zips`` the one with its events.
        arrangement: how the files lie.
        part: ``train`` or ``test`` as the folder above says; None where it does not say.
        events: ``events.h5`` of each camera.
        maps: ``rectify_map.h5`` of each camera.
        calibration: ``cam_to_cam.yaml``.
        cam_to_lidar: ``cam_to_lidar.yaml``.
        images: folder of the rectified frames, of each camera that has one.
        image_timestamps: one stamp per frame.
        disparity: folder of the disparity images of the left event view.
        disparity_timestamps: one stamp per disparity image.
        submission: the official list of what has to be estimated, of a test sequence.
    """

    name: str
    folder: Path
    arrangement: Arrangement
    part: Part | None
    events: Mapping[Camera, Path]
    maps: Mapping[Camera, Path]
    calibration: Path | None
    cam_to_lidar: Path | None
    images: Mapping[Camera, Path]
    image_timestamps: Path | None
    disparity: Path | None
    disparity_timestamps: Path | None
    submission: Path | None


def is_sequence(path: Path) -> bool:
    """Return whether a folder looks like a DSEC sequence; the events of one camera are enough."""
    return sequence_paths(path) is not None


def sequence_paths(path: Path) -> SequencePaths | None:
    """Return where the files of the sequence at ``path`` lie; None if it is no sequence.

    Args:
        path: the folder of the sequence; of the arrangement ``zips`` the one in ``train_events`` or
            ``test_events``, whose neighbors hold the rest.
    """
    # A link may have another name and other neighbors than the folder that it leads to.
    folder = path.resolve() if path.name == "" or ".." in path.parts else path.absolute()
    homes = [folder] if folder.resolve() == folder else [folder, folder.resolve()]
    seen = [kind for kind in map(_arrangement, homes) if kind is not None]
    if not seen:
        return None

    def find(kind: str, **more: str) -> Path | None:
        for home in homes:
            words = {"seq": home.name} | more
            part = _part(home)
            if part is not None and home.parent.name == f"{part}_events":
                words["part"] = part
            place = _first(home, PLACES[kind], words)
            if place is not None:
                return place
        return None

    events = {camera: _event_folder(homes, camera) for camera in CAMERAS}
    images = {camera: find("images", camera=camera) for camera in CAMERAS}
    return SequencePaths(
        name=folder.name,
        folder=folder,
        arrangement="zips" if "zips" in seen else seen[0],
        part=next((part for part in map(_part, homes) if part is not None), None),
        events={camera: place / "events.h5" for camera, place in events.items()},
        maps={camera: place / "rectify_map.h5" for camera, place in events.items()},
        calibration=find("calibration", file="cam_to_cam.yaml"),
        cam_to_lidar=find("calibration", file="cam_to_lidar.yaml"),
        images={camera: place for camera, place in images.items() if place is not None},
        image_timestamps=find("image_timestamps"),
        disparity=find("disparity"),
        disparity_timestamps=find("disparity_timestamps"),
        submission=find("submission"),
    )


def walk_sequences(root: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Give the sequence folders at or below ``root``, in order of name within each folder.

    Hidden folders and the insides of sequences are not entered.
    """
    if is_sequence(root):
        yield root
    elif depth > 0 and root.is_dir():
        for child in sorted(root.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from walk_sequences(child, depth - 1)


def _part(folder: Path) -> Part | None:
    """Return the part of the data set that the folder above says."""
    return next((p for p in PARTS if folder.parent.name in (p, f"{p}_events")), None)


def _arrangement(folder: Path) -> Arrangement | None:
    """Return how the sequence at ``folder`` lies, by the folders of its events."""
    below_zip = folder.parent.name in [f"{part}_events" for part in PARTS]
    candidates: tuple[Arrangement, ...] = ("zips", "tonic") if below_zip else ("loader", "tonic")
    for arrangement in candidates:
        for camera in CAMERAS:
            words = {"seq": folder.name, "camera": camera}
            if _first(folder, EVENT_FOLDERS[arrangement], words) is not None:
                return arrangement
    return None


def _event_folder(homes: list[Path], camera: Camera) -> Path:
    """Return the folder of one camera's events; where it should be if there is none."""
    expected = None
    for home in homes:
        arrangement = _arrangement(home)
        if arrangement is not None:
            words = {"seq": home.name, "camera": camera}
            found = _first(home, EVENT_FOLDERS[arrangement], words)
            if found is not None:
                return found
            expected = expected or home / EVENT_FOLDERS[arrangement][0].format(**words)
    return expected or homes[0] / "events" / camera


def _first(folder: Path, patterns: tuple[str, ...], words: Mapping[str, str]) -> Path | None:
    """Return the first place that exists; patterns with a word that is not given are left out."""
    for pattern in patterns:
        if "{part}" in pattern and "part" not in words:
            continue
        place = folder
        for step in pattern.format(**words).split("/"):
            place = place.parent if step == ".." else place / step
        if place.exists():
            return place
    return None
