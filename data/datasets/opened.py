"""Recordings that stay open, a few at a time, each process its own."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.formats import open_recording
from data.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Part:
    """A recording, and which of its ground truths belong to the data set.

    Attributes:
        recording: path, or an open recording. A path is opened when and where it is needed; an
            open recording must be picklable and live through a fork to be used in workers.
        truths: indices of the ground truths in the order wanted, None for all.
    """

    recording: Path | Recording
    truths: tuple[int, ...] | None = None


class Opened:
    """The recordings of a data set, opened lazily; the least recently used are closed again.

    Files must not be shared between processes, so what another process has opened is never touched
    here, and nothing that is open travels with a pickle.

    Args:
        parts: the recordings.
        most: how many stay open at a time.
    """

    def __init__(self, parts: tuple[Part, ...], most: int) -> None:
        self._parts = parts
        self._most = most
        self._process = os.getpid()
        self._open: OrderedDict[int, Recording] = OrderedDict()

    def __getitem__(self, part: int) -> Recording:
        """Return recording ``part``, opening it if need be.

        Raises:
            RecordingError: it cannot be opened.
        """
        given = self._parts[part].recording
        if not isinstance(given, Path):
            return given
        if self._process != os.getpid():  # After a fork: the files belong to the parent.
            self._process, self._open = os.getpid(), OrderedDict()
        if part not in self._open:
            self._open[part] = open_recording(given)
        self._open.move_to_end(part)
        while len(self._open) > self._most:
            self._open.popitem(last=False)[1].close()
        return self._open[part]

    def given(self, part: int) -> Path | Recording:
        """Return recording ``part`` as it was given, without opening it."""
        return self._parts[part].recording

    def close(self) -> None:
        """Close what this process has opened."""
        if self._process == os.getpid():
            for recording in self._open.values():
                recording.close()
        self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}
