"""Named benchmark suites: fixed generated recordings that results can be compared on.

The recordings of a part depend on the suite, the part and the recording's place in it, on nothing
else, so parts share neither textures nor geometry, and a suite can be made piece by piece.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import RecordingError
from data.recording import GENERATED_MARK
from data.simulator.mvsec import simulate_mvsec
from data.simulator.pictures import PictureFolder
from data.simulator.recordings import simulate_dsec
from data.simulator.take import Take

PARTS = ("train", "validation", "test")
GEOMETRIES: dict[str, tuple[int, int]] = {
    "mvsec": (346, 260),
    "dsec": (640, 480),
    "mvsec-half": (173, 130),
}
"""Columns and rows by the layout on disk; "-half" is that layout with a sensor of half the size."""

MANIFEST = "manifest.json"
Progress = Callable[[float, float, str], None]
"""Called with the simulated seconds that are done and that there are, and what is being made."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A fixed set of generated recordings.

    Attributes:
        name: in ``SUITES``.
        revision: goes up whenever a recording of the suite changes.
        families: scenes.
        picture_families: scenes that take part if pictures are given.
        sensors: names in ``SENSORS``.
        parts: recordings of each family and sensor, and seconds of each, by part.
    """

    name: str
    revision: int
    families: tuple[str, ...]
    picture_families: tuple[str, ...]
    sensors: tuple[str, ...]
    parts: dict[str, tuple[int, float]]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording of a suite: its part, its name in it, and what it holds."""

    part: str
    name: str
    take: Take


SUITES: dict[str, Suite] = {
    "stereo-bench": Suite(
        name="stereo-bench",
        revision=1,
        families=("planes", "boxes", "spheres", "ground", "thin", "repetitive"),
        picture_families=("photos",),
        sensors=("clean", "noisy"),
        parts={"train": (2, 1.0), "validation": (1, 0.5), "test": (1, 1.0)},
    ),
    "stereo-bench-clean": Suite(
        name="stereo-bench-clean",
        revision=1,
        families=("planes", "boxes", "spheres", "ground", "thin", "repetitive"),
        picture_families=("photos",),
        sensors=("clean",),
        parts={"train": (8, 1.0), "validation": (1, 0.5), "test": (2, 1.0)},
    ),
}
"""The second one is easier: sensors without noise, and four times as many scenes to train on."""


def find_suite(name: str) -> Suite:
    """Return the suite called ``name``.

    Raises:
        RecordingError: there is none.
    """
    if name not in SUITES:
        raise RecordingError(f"Unknown suite {name!r}; known: {', '.join(sorted(SUITES))}.")
    return SUITES[name]


def entries(
    suite: Suite, geometry: str, parts: Sequence[str] = PARTS, textures: Path | None = None
) -> list[Entry]:
    """Return the recordings of a suite, in the order in which they are made.

    Args:
        suite: which one.
        geometry: name in ``GEOMETRIES``.
        parts: of "train", "validation" and "test".
        textures: folder of pictures for the scenes that need them; every part gets its own third
            of them. None leaves those scenes out.

    Raises:
        RecordingError: unknown geometry or part, or too few pictures.
    """
    if geometry not in GEOMETRIES:
        raise RecordingError(f"Unknown geometry {geometry!r}; known: {', '.join(GEOMETRIES)}.")
    unknown = [part for part in parts if part not in suite.parts]
    if unknown or not parts:
        raise RecordingError(f"Unknown part {unknown}; known: {', '.join(suite.parts)}.")
    width, height = GEOMETRIES[geometry]
    families = suite.families + (suite.picture_families if textures is not None else ())
    found = []
    for part in parts:
        count, seconds = suite.parts[part]
        place = PARTS.index(part)
        pictures = None if textures is None else PictureFolder(textures, (place, len(PARTS)))
        for family in families:
            needs = family in suite.picture_families
            for sensor in suite.sensors:
                for index in range(count):
                    take = Take(
                        scene=family, seed=_seed(suite, geometry, part, family, sensor, index),
                        duration_s=seconds, width=width, height=height, sensor=sensor,
                        pictures=pictures if needs else None, dense=True,
                    )  # fmt: skip
                    name = f"{family}_{sensor}_{index:02d}"
                    found.append(Entry(part=part, name=name, take=take))
    return found


def _seed(suite: Suite, *names: str | int) -> int:
    """Return a seed that belongs to one recording alone."""
    text = "/".join(str(n) for n in (suite.name, suite.revision, *names))
    return int(np.random.SeedSequence(list(text.encode())).generate_state(1, np.uint32)[0])


def make_suite(
    out: Path,
    suite: Suite,
    *,
    geometry: str,
    parts: Sequence[str] = PARTS,
    textures: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make what is missing of a suite in ``out/<geometry>/<part>/<name>``; return the manifest.

    A recording appears complete or not at all, and one that is there with the right settings is
    kept, so a run that was stopped goes on where it was. The manifest ``out/<geometry>/
    manifest.json`` lists every recording of the parts that have been asked for.

    Raises:
        RecordingError: unknown names, too few pictures, or a folder that stands where a recording
            belongs and holds something else.
    """
    wanted = entries(suite, geometry, parts, textures)
    root = Path(out) / geometry
    total = sum(entry.take.duration_s for entry in wanted)
    done = 0.0
    for entry in wanted:
        title = f"{entry.part}/{entry.name}"
        folder = root / entry.part / entry.name
        if not _is_there(folder, entry):
            seconds, before = entry.take.duration_s, done

            def advance(
                share: float, before: float = before, seconds: float = seconds, title: str = title
            ) -> None:
                if progress is not None:
                    progress(before + share * seconds, total, title)

            folder.parent.mkdir(parents=True, exist_ok=True)
            _make(folder, geometry, entry.take, advance)
        _note(root, suite, geometry, entry)
        done += entry.take.duration_s
        if progress is not None:
            progress(done, total, title)
    return read_manifest(root)


def _make(folder: Path, geometry: str, take: Take, progress: Callable[[float], None]) -> None:
    """Write one recording in the layout of its geometry."""
    write = simulate_mvsec if geometry.startswith("mvsec") else simulate_dsec
    write(
        folder, scene=take.scene, seed=take.seed, duration_s=take.duration_s, width=take.width,
        height=take.height, sensor=take.sensor, pictures=take.pictures, dense=take.dense,
        progress=progress,
    )  # fmt: skip


def _is_there(folder: Path, entry: Entry) -> bool:
    """Return whether a recording is there already.

    Raises:
        RecordingError: something else is there.
    """
    if not folder.exists():
        return False
    if _mark(folder).get("settings_hash") != entry.take.settings["settings_hash"]:
        raise RecordingError(
            f"{folder} is not the recording that belongs there: its settings differ or cannot be "
            "read. Remove it, or choose another folder for the suite."
        )
    return True


def _mark(folder: Path) -> dict[str, Any]:
    """Return what a recording says of itself; nothing if it says nothing that can be read."""
    try:
        mark = json.loads((folder / GENERATED_MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def _note(root: Path, suite: Suite, geometry: str, entry: Entry) -> None:
    """Enter a finished recording in the manifest."""
    manifest = read_manifest(root) if (root / MANIFEST).exists() else {"recordings": {}}
    try:
        release = version("stereo")
    except PackageNotFoundError:
        release = "source"
    manifest |= {
        "suite": suite.name,
        "revision": suite.revision,
        "geometry": geometry,
        "version": release,
        "generated": "generated data: numbers obtained on it are never those of DSEC or MVSEC",
    }
    title = f"{entry.part}/{entry.name}"
    manifest["recordings"][title] = _mark(root / entry.part / entry.name) | {"part": entry.part}
    temporary = root / f".{MANIFEST}.tmp"
    temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    temporary.replace(root / MANIFEST)


def read_manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of a suite's geometry.

    Raises:
        RecordingError: it is missing or damaged.
    """
    try:
        found = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(found["recordings"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{root / MANIFEST} is missing or damaged; remove the folder {root} and make the suite "
            "again."
        ) from error
    manifest: dict[str, Any] = found
    return manifest
