"""The event cache: the columns of ``events.h5`` unpacked once, for windows at the speed of memory.

A cached camera is a folder with six ``.npy`` columns and ``about.json``. Its name comes from the
path, size and modification time of the ``events.h5``, the version of this format and the size of
the sensor, so a file that changes gets another. It appears complete or not at all, what it holds is
proven when it is opened, and what is damaged or out of date is made again. It takes 9 bytes per
event, three times the size of a DSEC file.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.atomic import new_folder
from data.dsec.cached import COLUMNS, CachedEvents
from data.dsec.columns import ColumnWriter, DamagedError, open_column
from data.dsec.events import EventFile
from data.errors import RecordingError
from data.places import cache_folder

FORMAT = 1
"""Raised whenever the files change, or what is in them."""

ABOUT = "about.json"

NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-\d+x\d+")
"""Path, state of the file, size of the sensor."""

PARTIAL = re.compile(rf"\.{NAME.pattern}\.[0-9a-f]{{32}}\.partial")

ABANDONED_S = 3600
"""A temporary folder that nobody wrote to for so long was left by a killed process."""

LONGEST_US = 2**32
"""Times are kept in 32 bits: 71 minutes."""

ATTEMPTS = 3
"""Others may remove or replace what was just made."""

Progress = Callable[[float], None]


class CacheUnusableError(Exception):
    """The cache cannot be used for a file, which can be read without it; the text says why."""


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One cached camera.

    Attributes:
        folder: with its files.
        source: the ``events.h5``; None where the description is damaged.
        bytes: size on disk.
    """

    folder: Path
    source: Path | None
    bytes: int


def event_cache_folder() -> Path:
    """Return the user's own folder for cached events."""
    return cache_folder() / "dsec-events"


def cached_events(
    path: Path, width: int, height: int, folder: Path, progress: Progress | None = None
) -> CachedEvents:
    """Return the events of one camera from the cache, which is filled at first.

    Args:
        path: the ``events.h5``.
        width: columns of the sensor.
        height: rows of the sensor.
        folder: of the cache; made if need be.
        progress: called with the share done while the cache is filled.

    Raises:
        CacheUnusableError: no room or permission, a recording longer than 71 minutes, or one that
            is damaged somewhere.
    """
    try:
        source = path.resolve()
        state = source.stat()
        identity = {
            "format": FORMAT, "source": str(source), "size": state.st_size,
            "mtime_ns": state.st_mtime_ns, "width": width, "height": height,
        }  # fmt: skip
        entry = folder / _name(identity)
        for _ in range(ATTEMPTS):
            if entry.is_dir():
                try:
                    return CachedEvents(entry, _read_about(entry, identity))
                except DamagedError:
                    shutil.rmtree(entry, ignore_errors=True)
            _sweep(folder, entry.name)
            _fill(path, identity, entry, progress)
    except (OSError, RecordingError) as error:
        raise CacheUnusableError(f"{error}") from error
    raise CacheUnusableError(f"{entry} does not stay as it was written; is the disk damaged?")


def cache_entries(folder: Path | None = None) -> list[CacheEntry]:
    """Return what is in the cache, largest first.

    Args:
        folder: of the cache; the user's own by default.
    """
    folder = event_cache_folder() if folder is None else folder
    entries = []
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.is_dir() and (NAME.fullmatch(place.name) or PARTIAL.fullmatch(place.name)):
            try:
                source = Path(json.loads((place / ABOUT).read_text())["source"])
            except (OSError, ValueError, KeyError, TypeError):
                source = None
            entries.append(CacheEntry(folder=place, source=source, bytes=_bytes(place)))
    return sorted(entries, key=lambda entry: -entry.bytes)


def clear_cache(folder: Path | None = None, *, source: Path | None = None) -> int:
    """Delete cached events and return how many bytes that gave back.

    Nothing else in the folder is touched. Recordings that are open keep working where the system
    lets open files be deleted.

    Args:
        folder: of the cache; the user's own by default.
        source: delete only what was made from this ``events.h5``, or from files below this folder.
    """
    freed = 0
    wanted = None if source is None else source.resolve()
    for entry in cache_entries(folder):
        ours = entry.source
        if wanted is None or (ours is not None and wanted in (ours, *ours.parents)):
            shutil.rmtree(entry.folder, ignore_errors=True)
            freed += entry.bytes - _bytes(entry.folder)
    return freed


def verify(entry: Path) -> None:
    """Compare every byte of a cached camera with the checksums written with it.

    Raises:
        RecordingError: they differ; the entry should be deleted.
    """
    try:
        about = _read_about(entry, None)
        for name in COLUMNS:
            open_column(entry / f"{name}.npy", about["columns"][name], whole=True)
    except (DamagedError, KeyError, TypeError) as error:
        raise RecordingError(f"The event cache {entry} is damaged ({error}); delete it.") from error


def _name(identity: dict[str, Any]) -> str:
    """Return the name of an entry."""
    state = f"{identity['format']} {identity['size']} {identity['mtime_ns']}"
    parts = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (identity["source"], state)]
    return f"{parts[0]}-{parts[1]}-{identity['width']}x{identity['height']}"


def _read_about(entry: Path, identity: dict[str, Any] | None) -> dict[str, Any]:
    """Return the description of an entry.

    Raises:
        DamagedError: none, a changed one, or that of another file.
    """
    try:
        about = json.loads((entry / ABOUT).read_text(encoding="utf-8"))
        proof = about.pop("proof")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{ABOUT} cannot be read ({error})") from error
    if proof != _proof(about):
        raise DamagedError(f"{ABOUT} was changed")
    if identity is not None and {key: about.get(key) for key in identity} != identity:
        raise DamagedError(f"{ABOUT} describes another file")
    return dict(about)


def _proof(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _fill(path: Path, identity: dict[str, Any], entry: Path, progress: Progress | None) -> None:
    """Write an entry, block by block; another process may be faster."""
    file = EventFile(path, identity["width"], identity["height"])
    first, last = file.ends_us
    base_us = first - first % 1000
    if last - base_us >= LONGEST_US:
        raise RecordingError(f"{path} lasts longer than the 71 minutes that the cache can hold")
    entry.parent.mkdir(parents=True, exist_ok=True)
    needed = 9 * file.count + 8 * (last - first) // 1000 + (1 << 20)
    free = shutil.disk_usage(entry.parent).free
    if needed > free:
        raise RecordingError(
            f"there are {free} bytes left at {entry.parent}, but the events of {path} need {needed}"
        )
    try:
        with new_folder(entry) as folder:
            columns = _write_columns(file, base_us, folder, progress)
            about = identity | {
                "count": file.count, "ends_us": [first, last], "base_us": base_us,
                "columns": columns,
            }  # fmt: skip
            text = json.dumps(about | {"proof": _proof(about)}, indent=1)
            (folder / ABOUT).write_text(text, encoding="utf-8")
    except RecordingError:
        if not entry.is_dir():  # else another process was faster, with the same result
            raise
    finally:
        file.close()


def _write_columns(
    file: EventFile, base_us: int, folder: Path, progress: Progress | None
) -> dict[str, Any]:
    """Write the columns of a file and return what proves them."""
    writers = {name: ColumnWriter(folder / f"{name}.npy", kind) for name, kind in COLUMNS.items()}
    shift = file.offset_us - base_us
    try:
        next_ms, written = 0, 0
        for block in file.blocks():
            t = block.t.astype(np.int64) + shift
            if t.size:
                # Every millisecond up to the block's last event begins in this block, or before.
                whole = np.arange(next_ms, int(t[-1]) // 1000 + 1)
                writers["ms"].add(written + np.searchsorted(t, 1000 * whole))
                next_ms += whole.size
            written += t.size
            for name, values in (("t", t), ("x", block.x), ("y", block.y), ("p", block.p)):
                writers[name].add(values.astype(COLUMNS[name], copy=False))
            writers["outside"].add((block.outside.astype(np.int64) + shift).astype(np.uint32))
            if progress is not None:
                progress(block.stop / file.count)
        writers["ms"].add(np.array([written]))
        return {name: writer.finish() for name, writer in writers.items()}
    finally:
        for writer in writers.values():
            writer.close()


def _sweep(folder: Path, name: str) -> None:
    """Delete what an older state of the same file, or a killed process, has left."""
    path_part, state, _ = name.split("-")
    for place in folder.iterdir() if folder.is_dir() else ():
        if NAME.fullmatch(place.name):
            stale = place.name.startswith(f"{path_part}-") and place.name.split("-")[1] != state
        else:
            abandoned = time.time() - ABANDONED_S
            stale = PARTIAL.fullmatch(place.name) is not None and _touched(place) < abandoned
        if stale:
            shutil.rmtree(place, ignore_errors=True)


def _touched(folder: Path) -> float:
    """Return when something in a folder was last written to."""
    times = [place.stat().st_mtime for place in (folder, *folder.glob("*")) if place.exists()]
    return max(times, default=time.time())


def _bytes(folder: Path) -> int:
    return sum(place.stat().st_size for place in folder.glob("*") if place.is_file())
