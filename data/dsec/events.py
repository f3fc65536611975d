"""One camera's ``events.h5`` of DSEC: windows of events found through ``ms_to_idx``.

``t`` is relative to ``t_offset``; ``ms_to_idx[k]`` is the first event at or after ``k`` ms, so it
brackets any window without reading the whole of ``t``. The bracket is verified at every read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the Blosc filter with h5py)
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

I64 = npt.NDArray[np.int64]


class EventFile:
    """Events of one camera, read window by window.

    The file is opened lazily in each process, so an object may be pickled or live through a fork.

    Args:
        path: the ``events.h5``.

    Attributes:
        path: the ``events.h5``.
        count: number of events.
        ends_us: absolute time of the first and the last event.

    Raises:
        RecordingError: a file that is missing, empty, truncated or incomplete, or has no events.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        self._process = 0
        self._table: I64 | None = None
        with self._reading() as file:
            self.count = self._check(file)
            offset = np.asarray(file["t_offset"][()]) if "t_offset" in file else np.zeros(())
            if offset.size != 1:
                raise RecordingError(
                    f"t_offset in {path} has shape {offset.shape}. Expected one number."
                )
            # Python integers: uint32 times plus an offset of 5e10 would overflow or be refused.
            self.offset_us = int(offset.reshape(-1)[0])
            first, last = int(file["events/t"][0]), int(file["events/t"][self.count - 1])
            self.ends_us = first + self.offset_us, last + self.offset_us

    def window(self, t0_us: int, t1_us: int) -> tuple[I64, I64, I64, npt.NDArray[np.bool_]]:
        """Return t (absolute), x, y, p of the events with ``t0_us <= t < t1_us``.

        Any window is allowed: empty ones, and those that begin before or end after the recording.

        Raises:
            RecordingError: unreadable data, unsorted times, or a wrong ``ms_to_idx``.
        """
        t0, t1 = t0_us - self.offset_us, t1_us - self.offset_us
        with self._reading() as file:
            low, high = self._bracket(file, t0, t1)
            # One event more on either side shows whether the bracket really holds the window.
            start, stop = max(low - 1, 0), min(high + 1, self.count)
            t = file["events/t"][start:stop].astype(np.int64)
            self._check_sorted(t, start)
            first, last = (int(i) for i in np.searchsorted(t, (t0, t1), side="left"))
            if (first == 0 and start > 0) or (last == t.size and stop < self.count and t1 > t0):
                raise RecordingError(
                    f"ms_to_idx in {self.path} does not fit its times around {t0_us} us. Expected "
                    "ms_to_idx[k] to be the first event at or after k ms; make the table again."
                )
            part = slice(start + first, start + max(first, last))
            x, y, p = (file[f"events/{name}"][part] for name in "xyp")
        t = t[first : max(first, last)] + self.offset_us
        return t, x.astype(np.int64), y.astype(np.int64), p > 0

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    @contextmanager
    def _reading(self) -> Iterator[h5py.File]:
        """Give the open file; turn what HDF5 says about damage into a RecordingError."""
        try:
            if self._file is None or self._process != os.getpid():
                if not self.path.is_file():
                    raise RecordingError(
                        f"There is no {self.path}. A DSEC sequence needs events/left/events.h5 and "
                        "events/right/events.h5; stereo needs both cameras."
                    )
                self._file, self._process = h5py.File(self.path, "r"), os.getpid()
            yield self._file
        except (OSError, RuntimeError) as error:
            raise RecordingError(
                f"{self.path} cannot be read as HDF5 ({error}). The file is empty, truncated or "
                f"damaged ({self.path.stat().st_size} bytes); copy or download it again."
            ) from error

    def _check(self, file: h5py.File) -> int:
        """Return the number of events of a file whose columns are as they should be."""
        names = [*(f"events/{name}" for name in "txyp"), "ms_to_idx"]
        missing = [name for name in names if not isinstance(file.get(name), h5py.Dataset)]
        if missing:
            raise RecordingError(
                f"{self.path} lacks {', '.join(missing)}. Expected DSEC's datasets events/t, "
                "events/x, events/y, events/p and ms_to_idx; is it the file of another data set?"
            )
        odd = {name: str(file[name].dtype) for name in names if file[name].dtype.kind not in "uib"}
        if odd:
            raise RecordingError(f"{self.path} holds {odd}. Expected integers, times in us.")
        shapes = {name: file[name].shape for name in names[:4]}
        if len(set(shapes.values())) != 1 or len(shapes["events/t"]) != 1:
            raise RecordingError(
                f"The columns in {self.path} have shapes {shapes}. Expected four of one length; "
                "the file was not written to its end."
            )
        count = int(shapes["events/t"][0])
        if count == 0:
            raise RecordingError(f"{self.path} has no events. Stereo needs both cameras.")
        return count

    def _bracket(self, file: h5py.File, t0: int, t1: int) -> tuple[int, int]:
        """Return indices such that all events of the relative window lie in ``[low, high)``."""
        if self._table is None:
            table = file["ms_to_idx"][()].astype(np.int64)
            if table.ndim != 1 or (np.diff(table) < 0).any() or (table > self.count).any():
                raise RecordingError(
                    f"ms_to_idx in {self.path} must be one row of indices from 0 to {self.count} "
                    "that never decrease. Make the table again."
                )
            self._table = table
        table = self._table
        # The table begins at 0 ms, where its entry is 0 even if earlier events exist, and ends at
        # the last whole ms of the recording (or sooner, if its writer stopped early).
        first_ms = min(t0 // 1000, table.size - 1)
        last_ms = max(-(-t1 // 1000), 1)
        low = int(table[first_ms]) if first_ms > 0 else 0
        high = int(table[last_ms]) if last_ms < table.size else self.count
        return low, max(low, high)

    def _check_sorted(self, t: I64, start: int) -> None:
        """Refuse times that decrease."""
        back = t[1:] < t[:-1]
        if back.any():
            row = int(np.argmax(back))
            raise RecordingError(
                f"The times in {self.path} are not sorted: event {start + row + 1} has "
                f"t={t[row + 1]} us after t={t[row]} us. Sort the events and make ms_to_idx again."
            )
