"""The folder of a cache: what is in it, and how it stays below a limit."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".sample"
PARTIAL = ".partial"

ABANDONED_S = 3600.0
"""A temporary file this old belongs to a process that was killed."""

RECOUNT = 64
"""The folder is counted anew after one part in this many of the limit has been written."""

PATIENCE_S = 30.0
"""A folder that was found full is not counted again before this has passed."""


class Room:
    """Keeps a folder below its limit; processes do so each for itself, and may exceed it a bit.

    Files that nobody has used since this was made give way, oldest first; those in use stay.

    Args:
        folder: of the files.
        limit: bytes, None for any number.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._folder = folder
        self._limit = limit
        # Clocks of file systems are coarse: a file written now may seem a little older.
        self._opened_s = time.time() - 0.1
        self._held: int | None = None
        self._written = 0
        self._full_s = -PATIENCE_S

    def used(self, path: Path) -> None:
        """Note that a file is in use."""
        if self._limit is not None:
            try:
                os.utime(path)
            except OSError:
                return  # Gone meanwhile, or not ours to touch; it was read all the same.

    def forget(self) -> None:
        """Count the folder anew before the next file."""
        self._held, self._full_s = None, -PATIENCE_S

    def make(self, size: int) -> bool:
        """Return whether there is room for a file of ``size`` bytes, having made it if possible."""
        if self._limit is None:
            return True
        if time.monotonic() - self._full_s < PATIENCE_S:
            return False
        full = self._held is not None and self._held + size > self._limit
        if self._held is None or full or self._written > self._limit // RECOUNT:
            self._recount(size)
        if (self._held or 0) + size > self._limit:
            self._full_s = time.monotonic()
            return False
        self._held, self._written = (self._held or 0) + size, self._written + size
        return True

    def _recount(self, size: int) -> None:
        """Count the folder, and delete what nobody has used since the start if it is too full."""
        # A little more than needed, so that the next files need no new count.
        limit = (self._limit or 0) * (RECOUNT - 1) // RECOUNT
        files = sorted(files_in(self._folder), key=lambda file: file[1].st_mtime)
        held = sum(state.st_size for _, state in files)
        for path, state in files:
            if held + size <= limit or state.st_mtime >= self._opened_s:
                break
            delete(path)
            held -= state.st_size
        self._held, self._written = held, 0


def files_in(folder: Path, suffix: str = SUFFIX) -> Iterator[tuple[Path, os.stat_result]]:
    """Give the files of a cache and their state; those that vanish meanwhile are left out."""
    for path in folder.glob(f"??/*{suffix}"):
        try:
            yield path, path.stat()
        except OSError:
            continue


def sweep(folder: Path) -> None:
    """Delete the temporary files of processes that were killed."""
    for path, state in list(files_in(folder, PARTIAL)):
        if time.time() - state.st_mtime > ABANDONED_S:
            delete(path)


def delete(path: Path) -> None:
    """Delete a file if it is there and may be deleted."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # Another process is as good at it; a file that stays is counted as held.
