"""Windows of events from the cache: columns mapped into memory, nothing unpacked, little copied."""

import operator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.dsec.columns import DamagedError, open_column
from data.errors import RecordingError
from data.events import Events

I64 = npt.NDArray[np.int64]

COLUMNS = {"t": "<u4", "x": "<u2", "y": "<u2", "p": "|b1", "outside": "<u4", "ms": "<i8"}
"""Files of one cached camera: events on the sensor, times of those outside it, and the index.

``ms[k]`` is the first event of the columns at or after millisecond k; its last entry is their
number. Times are relative to ``base_us``.
"""


class CachedEvents:
    """Events of one camera, as ``EventFile`` gives them, from the cache.

    An object may be pickled or live through a fork. The columns ``x``, ``y`` and ``p`` of its
    events are views of the cache and read-only.

    Args:
        folder: with the columns.
        about: what the cache knows of them (``cache.py``).

    Attributes:
        folder: with the columns.
        count: number of events stored in the recording, those outside the sensor included.
        ends_us: absolute time of the first and the last event.

    Raises:
        DamagedError: a column that is not as it was written.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder = folder
        self._about = about
        try:
            self.count = int(about["count"])
            self.ends_us = int(about["ends_us"][0]), int(about["ends_us"][1])
            self._base_us = int(about["base_us"])
            self._columns: dict[str, npt.NDArray[Any]] | None = self._open()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DamagedError(f"its description is incomplete ({error})") from error

    def window(self, t0_us: int, t1_us: int) -> tuple[Events, I64]:
        """Return the events with ``t0_us <= t < t1_us``, and the times of those outside the sensor.

        Raises:
            RecordingError: the cache was damaged after it was opened.
        """
        t0, t1 = operator.index(t0_us), operator.index(t1_us)
        start = self._place(t0)
        return self._take(start, max(start, self._place(t1))), self._outside(t0, t1)

    def last(self, t_us: int, count: int, start_us: int) -> tuple[Events, I64]:
        """Return the last ``count`` events with ``start_us <= t < t_us``, as ``EventFile.last``.

        Raises:
            RecordingError: the cache was damaged after it was opened.
        """
        stop = self._place(operator.index(t_us))
        start = min(self._place(operator.index(start_us)), stop)
        if count <= 0:
            return Events.empty(), np.empty(0, np.int64)
        events = self._take(max(start, stop - count), stop)
        first = int(events.t[0]) if len(events) == count else start_us
        return events, self._outside(first, t_us)

    def close(self) -> None:
        """Release the files; the next read opens them again."""
        self._columns = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_columns": None}

    def _open(self) -> dict[str, npt.NDArray[Any]]:
        """Map the columns and prove them; the index, by which all else is found, as a whole."""
        columns = {
            name: open_column(
                self.folder / f"{name}.npy",
                self._about["columns"][name],
                whole=name == "ms",
                in_memory=name == "ms",
            )
            for name in COLUMNS
        }
        for name, dtype in COLUMNS.items():
            if columns[name].dtype != np.dtype(dtype):
                raise DamagedError(f"{name}.npy holds {columns[name].dtype}")
        sizes = {columns[name].size for name in "txyp"}
        if len(sizes) != 1 or columns["ms"].size == 0 or columns["ms"][-1] not in sizes:
            raise DamagedError("its columns have different lengths")
        return columns

    def _mapped(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns, mapped again after ``close`` or in another process."""
        if self._columns is None:
            try:
                self._columns = self._open()
            except DamagedError as error:
                raise RecordingError(
                    f"The event cache {self.folder} was removed or damaged meanwhile ({error}). "
                    "Open the recording again to make it anew."
                ) from error
        return self._columns

    def _place(self, t_us: int) -> int:
        """Return how many events of the columns lie before ``t_us``."""
        columns = self._mapped()
        index, t = columns["ms"], t_us - self._base_us
        if t <= 0:
            return 0
        if t // 1000 >= index.size - 1:
            return int(index[-1])
        start, stop = index[t // 1000], index[t // 1000 + 1]
        return int(start + columns["t"][start:stop].searchsorted(np.uint32(t)))

    def _take(self, start: int, stop: int) -> Events:
        """Return the events of part of the columns."""
        columns = self._mapped()
        t = np.add(columns["t"][start:stop], np.int64(self._base_us), dtype=np.int64)
        x, y, p = (columns[name][start:stop] for name in "xyp")
        # All columns were sorted and on the sensor when they were written.
        return Events.trusted(t=t, x=x, y=y, p=p)

    def _outside(self, t0_us: int, t1_us: int) -> I64:
        """Return the absolute times of the events outside the sensor in a window."""
        outside = self._mapped()["outside"]
        if outside.size == 0:
            return np.empty(0, np.int64)
        times = outside.astype(np.int64) + self._base_us
        return times[(times >= t0_us) & (times < t1_us)]
