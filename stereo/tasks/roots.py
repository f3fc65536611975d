"""Folders of recordings that stereo is trained and evaluated on: what they are, and their parts.

To add a data set, write a ``Root`` for it and enter it in ``KINDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from data.datasets import StereoWindows
from data.datasets.registry import dsec, mvsec, recordings
from data.dsec.layout import walk_sequences
from data.dsec.splits import SPLITS, find_sequences
from data.errors import RecordingError
from data.mvsec import Protocol as MvsecProtocol
from data.mvsec import Split, published_split
from data.mvsec.ddes import is_ddes
from data.mvsec.files import DATA_END
from data.recording import is_generated
from data.simulator.suite import GEOMETRIES, MANIFEST, PARTS, SUITES, entries, read_manifest
from stereo.config import DataConfig
from stereo.errors import StereoError

LISTED = 8
"""How many names an error lists."""

Reading = Mapping[str, Any]
"""Options of ``StereoWindows``: encoding, steps, window, augmentations."""


@runtime_checkable
class Root(Protocol):
    """A folder of recordings that is divided into parts.

    Attributes:
        title: what it is, in words.
        parts: those with ground truth besides "train"; the last is that of results.
    """

    title: str
    parts: tuple[str, ...]

    def windows(self, part: str, reading: Reading) -> StereoWindows:
        """Return the windows of a part, "train" too."""

    def protocol(self, part: str) -> str:
        """Say in one line what an evaluation on a part looks at."""


class DsecRoot:
    """DSEC in any of its arrangements, divided by a published split."""

    def __init__(self, path: Path, setting: DataConfig) -> None:
        self._path, self._partial = path, setting.partial
        self._split = setting.split or "secff"
        known = [name.removesuffix("-train") for name in SPLITS if name.endswith("-train")]
        if self._split not in known:
            raise StereoError(
                f"DSEC has no split {self._split!r} with a part for validation; choose data.split "
                f"from {', '.join(known)}."
            )
        self.parts: tuple[str, ...] = ("validation",)
        self.title = f"DSEC, split {self._split}"

    def windows(self, part: str, reading: Reading) -> StereoWindows:
        """Return the windows of the sequences of a part."""
        split = f"{self._split}-{part}"
        absent = find_sequences(self._path, split).absent
        if absent and not self._partial:
            raise StereoError(
                f"{self._path} lacks {len(absent)} of the {len(SPLITS[split])} sequences of "
                f"{split}: {_some(list(absent))}. Unpack them, or allow a part of the split with "
                "data.partial=true; its numbers are not those of the split."
            )
        return dsec(self._path, split=split, partial=True, **reading)

    def protocol(self, part: str) -> str:
        """Say which sequences are looked at, and whether all of them."""
        found = find_sequences(self._path, f"{self._split}-{part}")
        whole = len(found) + len(found.absent)
        lacking = f", of which only {len(found)} are there" if found.absent else ""
        both = set(SPLITS[f"{self._split}-train"]) & set(SPLITS[f"{self._split}-{part}"])
        seen = f"; {len(both)} of them TRAINED ON, so no measure of the network" if both else ""
        return f"DSEC {self._split}-{part}: {whole} sequences{lacking}; whole image{seen}"


class MvsecRoot:
    """MVSEC in its own files or as DDES preprocessed it, divided by a published split or a file."""

    def __init__(self, path: Path, setting: DataConfig) -> None:
        self._path, self._sparse = path, setting.truth == "sparse"
        self._split = _mvsec_split(setting.split or "1")
        roles = ("validation", "test") if self._split.validation else ("test",)
        self.parts: tuple[str, ...] = roles
        self.title = f"MVSEC, split {self._split.name} of {self._split.source}"

    def windows(self, part: str, reading: Reading) -> StereoWindows:
        """Return the windows of the frames of a part."""
        return mvsec(self._path, protocol=self._of(part), **reading)

    def protocol(self, part: str) -> str:
        """Say which frames and pixels are looked at."""
        return f"MVSEC {self._of(part)}"

    def _of(self, part: str) -> MvsecProtocol:
        role: Any = part
        return MvsecProtocol(split=self._split, role=role, sparse=self._sparse)


class SuiteRoot:
    """What ``stereo simulate --suite`` made, or any folder with recordings in a folder per part."""

    def __init__(self, path: Path, setting: DataConfig) -> None:
        if setting.split:
            raise StereoError(
                f"A suite is divided already; leave data.split={setting.split} out, or say what "
                f"{path} is with data.kind."
            )
        places = suite_folders(path) or [path]
        if len(places) > 1:
            raise StereoError(
                f"{path} holds the suite in {len(places)} geometries; give one of them: "
                f"{', '.join(map(str, places))}."
            )
        self._path = places[0]
        manifest = read_manifest(self._path) if (self._path / MANIFEST).is_file() else {}
        self._recordings = {p: self._listed(p, manifest, setting.partial) for p in PARTS}
        self.parts = tuple(part for part in PARTS if part != "train" and self._recordings[part])
        if not self.parts:
            raise StereoError(
                f"{self._path} has recordings neither in validation nor in test, so nothing could "
                "say how good a network is. Make them with `stereo simulate --suite`."
            )
        name, geometry = (manifest.get(key) for key in ("suite", "geometry"))
        self.title = f"the suite {name} ({geometry})" if name else "recordings in a folder per part"

    def windows(self, part: str, reading: Reading) -> StereoWindows:
        """Return the windows of all recordings of a part."""
        if not self._recordings[part]:
            raise StereoError(
                f"{self._path / part} holds no recordings. Make them with `stereo simulate OUT "
                f"--suite NAME`."
            )
        return recordings(*self._recordings[part], **reading)

    def protocol(self, part: str) -> str:
        """Say how many recordings are looked at, and of what."""
        places = self._recordings[part]
        kind = "; generated data" if all(map(is_generated, places)) else ""
        return f"{self.title}, {part}: {len(places)} recordings; whole image{kind}"

    def _listed(self, part: str, manifest: Mapping[str, Any], partial: bool) -> tuple[Path, ...]:
        """Return the recordings of a part, by its manifest where there is one.

        Raises:
            StereoError: some are missing, and that was not allowed.
        """
        folder = self._path / part
        if not manifest:
            names = folder.iterdir() if folder.is_dir() else ()
            return tuple(sorted(path for path in names if not path.name.startswith(".")))
        wanted = {
            title.partition("/")[2] for title in manifest["recordings"]
            if title.partition("/")[0] == part
        }  # fmt: skip
        suite = SUITES.get(str(manifest.get("suite")))
        geometry = manifest.get("geometry")
        if wanted and suite is not None and geometry in GEOMETRIES:
            wanted |= {entry.name for entry in entries(suite, geometry, [part])}
        missing = sorted(name for name in wanted if not (folder / name).is_dir())
        if missing and not partial:
            raise StereoError(
                f"{folder} lacks {len(missing)} of {len(wanted)} recordings: {_some(missing)}. "
                "Make the suite again, which goes on where it stopped, or allow a part of it with "
                "data.partial=true; its numbers are not those of the suite."
            )
        return tuple(folder / name for name in sorted(wanted.difference(missing)))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of folder.

    Attributes:
        signs: what ``matches`` looks for, in words.
        matches: whether a folder looks like it; reads names only.
        open: makes the root.
    """

    signs: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, DataConfig], Root]


def suite_folders(path: Path) -> list[Path]:
    """Return the folders with a manifest: the path itself, or those of the geometries in it."""
    places = [path, *(path / name for name in sorted(GEOMETRIES))]
    return [place for place in places if (place / MANIFEST).is_file()]


def holds_mvsec(path: Path) -> bool:
    """Return whether sequences of MVSEC lie at most three folders down; reads names only."""
    found = (place for depth in ("*", "*/*", "*/*/*") for place in path.glob(depth))
    return any(place.name.endswith(DATA_END) or is_ddes(place) for place in found)


def holds_dsec(path: Path) -> bool:
    """Return whether sequences of DSEC lie at most three folders down; reads names only."""
    return next(walk_sequences(path), None) is not None


KINDS: dict[str, Kind] = {
    "suite": Kind(
        signs=f"a suite ({MANIFEST}, in the folder or in one called {' or '.join(GEOMETRIES)})",
        matches=lambda path: bool(suite_folders(path)),
        open=SuiteRoot,
    ),
    "dsec": Kind(
        signs="DSEC (<sequence>/events/left, train_events/<sequence> or <sequence>/events_left)",
        matches=lambda path: not suite_folders(path) and holds_dsec(path),
        open=DsecRoot,
    ),
    "mvsec": Kind(
        signs=f"MVSEC (<scene>N{DATA_END}, or a folder of DDES with timestamps.txt and event0)",
        matches=lambda path: not suite_folders(path) and holds_mvsec(path),
        open=MvsecRoot,
    ),
}
"""By the name that ``data.kind`` has. A suite consists of recordings that look like the others."""


def find_root(path: Path, setting: DataConfig) -> Root:
    """Return what a folder is.

    Args:
        path: the folder; ``~`` is the home folder.
        setting: its ``kind`` decides unless it is "auto".

    Raises:
        StereoError: no folder, an unknown kind, or a folder that looks like none or several.
        RecordingError: a folder of the kind that cannot be used.
    """
    path = path.expanduser()
    if setting.kind != "auto" and setting.kind not in KINDS:
        raise StereoError(f"Unknown data.kind {setting.kind!r}; known: auto, {', '.join(KINDS)}.")
    signs = "; ".join(kind.signs for kind in KINDS.values())
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise StereoError(f"{path} {what}. Give a folder with recordings to --data: {signs}.")
    try:
        found = [name for name, kind in KINDS.items() if kind.matches(path)]
    except OSError as error:
        raise StereoError(f"{path} cannot be searched for recordings ({error}).") from error
    if setting.kind != "auto":
        found = [setting.kind]
    if not found:
        held = sorted(place.name for place in path.iterdir())
        raise StereoError(
            f"{path} holds nothing that stereo can be trained on. Looked, up to three folders "
            f"down, for {signs}. The folder holds {_some(held) if held else 'nothing'}. For other "
            "recordings, lay them into folders called train, validation and test, and say "
            "data.kind=suite."
        )
    if len(found) > 1:
        raise StereoError(
            f"{path} holds {' and '.join(found)}. Give a folder of one of them, or say which with "
            f"data.kind={found[0]}."
        )
    return KINDS[found[0]].open(path, setting)


def _mvsec_split(name: str) -> Split:
    """Return a published split, or that of a file."""
    if name.endswith(".json"):
        return Split.load(Path(name).expanduser())
    source, _, number = name.rpartition("-")
    try:
        return published_split(int(number), source or "DDES")
    except (ValueError, RecordingError) as error:
        raise StereoError(
            f"MVSEC has no split {name!r}; choose data.split from 1, 2 and 3 (DDES), "
            "StereoSpike-1, EMatch-1 and so on, or give a file *_split.json."
        ) from error


def _some(names: list[str]) -> str:
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
