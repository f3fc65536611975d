"""One camera's ``davis/<camera>/events`` of MVSEC: N x 4 float64 rows ``x, y, t, p``.

There is no index in the file, so one is made while it is read: the time at the start of every
block of rows that a binary search has touched. Windows are found with a dozen small reads at
first and almost none later; nothing is read that no window needs.
"""

from bisect import bisect_left, bisect_right

import h5py
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.mvsec.hdf5 import Hdf5File, check_complete, find_dataset
from data.recording import Camera

BLOCK = 4096
"""Rows between two entries of the index; rounded to whole HDF5 chunks."""

PIECE = 1 << 18
"""Rows read at once (8 MB), so that a long window needs little more than its result."""

LATEST_S = float(2**32)
"""Seconds. Up to here float64 resolves half a microsecond, and no clock of seconds is later."""

MOST_ROWS = 1 << 30
"""Rows of one window beyond which the result could not be held."""

Rows = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class EventTable:
    """Events of one camera, read by time or by row.

    Times are float64 unix seconds; ``rint(t * 1e6)`` gives back every whole microsecond, because
    up to 2**32 s the two roundings together stay below half a microsecond. Rows that no stage could
    use (NaN or infinite in any column, pixels outside the sensor) are dropped and counted. All rows
    with a time must be in order **after** rounding; ties are kept in the order of the file.

    Args:
        file: the data file.
        camera: which camera.
        width: columns of the sensor.
        height: rows of the sensor.

    Attributes:
        count: number of rows.
        ends_us: first and last time.
        dropped: rows dropped so far, each counted once however the reads overlap.

    Raises:
        RecordingError: no such events, or the wrong shape or type.
    """

    def __init__(self, file: Hdf5File, camera: Camera, width: int, height: int) -> None:
        self._file = file
        self._name = f"davis/{camera}/events"
        self._where = f"{self._name} in {file.path}"
        self._size = width, height
        self._starts: dict[int, int] = {}
        self._last_block: tuple[int, I64] | None = None
        self._seen = Intervals()
        self.dropped = 0
        with file.reading() as opened:
            dataset = self._dataset(opened)
            check_complete(file.path, dataset)
            self.count = int(dataset.shape[0])
            chunk = int(dataset.chunks[0]) if dataset.chunks else 1
        if self.count == 0:
            raise RecordingError(f"{self._where} has no events. Stereo needs both cameras.")
        self._block = max(BLOCK // chunk, 1) * chunk
        self._blocks = -(-self.count // self._block)
        self.ends_us = self._known(0)[0], self._known(self._blocks - 1)[1]

    def window(self, t0_us: int, t1_us: int) -> Events:
        """Return the usable events with ``t0_us <= t < t1_us``.

        Raises:
            RecordingError: unreadable data, or times that are not sorted.
        """
        return self._take(self.row_at(t0_us), self.row_at(t1_us), (t0_us, t1_us))

    def last(self, t_us: int, count: int, not_before_us: int) -> Events:
        """Return the last ``count`` usable events before ``t_us``, none before ``not_before_us``.

        Reads backward from ``t_us``, no more than is missing (and at least a block).
        """
        stop, floor = self.row_at(t_us), self.row_at(not_before_us)
        parts: list[Events] = []
        missing = max(count, 0)
        while missing > 0 and stop > floor:
            start = max(floor, stop - max(missing, BLOCK))
            part = self._take(start, stop, (not_before_us, t_us))
            part = part.take(slice(max(0, len(part) - missing), len(part)))
            missing -= len(part)
            parts.append(part)
            stop = start
        return _joined(parts[::-1])

    def row_at(self, t_us: int) -> int:
        """Return the first row whose time is not before ``t_us``; the number of rows if none is."""
        low, high = 0, self._blocks  # the blocks before `low` begin before t_us
        while low < high:
            middle = (low + high) // 2
            if self._start_of(middle) < t_us:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return 0
        times = self._block_times(low - 1)
        return (low - 1) * self._block + int(np.searchsorted(times, t_us, side="left"))

    def _take(self, first: int, last: int, bounds_us: tuple[int, int]) -> Events:
        """Return the usable events of rows ``[first, last)``, which must lie within the bounds."""
        if last - first > MOST_ROWS:
            raise RecordingError(
                f"A window of {self._where} holds {last - first:,} events, more than fits in "
                "memory. Ask for shorter windows."
            )
        parts: list[Events] = []
        earliest, end = bounds_us
        for start in range(first, last, PIECE):
            part = self._decode(self._rows(start, min(start + PIECE, last)), start)
            if len(part):
                if part.t[0] < earliest or part.t[-1] >= end:
                    raise self._unsorted(start)
                earliest = int(part.t[-1])
            parts.append(part)
        return _joined(parts)

    def _decode(self, rows: Rows, start: int) -> Events:
        """Return the usable events of raw rows; count the others."""
        x, y, seconds, p = rows.T
        t = self._to_us(seconds, start)
        width, height = self._size
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        usable = inside & np.isfinite(seconds) & np.isfinite(p)
        fresh = self._seen.add(start, start + rows.shape[0])
        if not usable.all():
            self.dropped += sum(int((~usable[a - start : b - start]).sum()) for a, b in fresh)
            x, y, t, p = x[usable], y[usable], t[usable], p[usable]
        columns, lines = x.astype(np.uint16), y.astype(np.uint16)
        polarity_known = bool(((p == 1) | (p == -1) | (p == 0)).all())
        if not (polarity_known and (columns == x).all() and (lines == y).all()):
            raise RecordingError(
                f"The rows near {start} of {self._where} are no events. Expected whole pixels x "
                "and y, then the time in seconds, then the polarity -1 or 1. Is it the file of "
                "another data set, or one with rectified pixels?"
            )
        return Events.trusted(t=t, x=columns, y=lines, p=p > 0)

    def _unsorted(self, row: int) -> RecordingError:
        return RecordingError(
            f"The times of {self._where} are not sorted near row {row}. Expected times that never "
            "decrease, after rounding to microseconds; sort the events and write the file again."
        )

    def _start_of(self, block: int) -> int:
        """Return the first known time in a block, kept for the next search."""
        time = self._starts.get(block)
        if time is None:
            first = block * self._block
            row = self._rows(first, first + 1)
            known = bool(np.isfinite(row[0, 2]))
            time = int(self._to_us(row[:, 2], first)[0]) if known else self._known(block)[0]
            self._starts[block] = time
        return time

    def _known(self, block: int) -> tuple[int, int]:
        """Return the first and the last known time in a block."""
        first = block * self._block
        seconds = self._rows(first, min(first + self._block, self.count))[:, 2]
        known = seconds[np.isfinite(seconds)]
        if known.size == 0:
            raise RecordingError(
                f"The times of {self._where} are NaN from row {first} to row "
                f"{first + seconds.size}. The recording is damaged; copy or download it again."
            )
        ends = self._to_us(known[[0, -1]], first)
        return int(ends[0]), int(ends[1])

    def _block_times(self, block: int) -> I64:
        """Return the times of a block, of which the one asked for last is kept."""
        if self._last_block is None or self._last_block[0] != block:
            first = block * self._block
            rows = self._rows(first, min(first + self._block, self.count))
            self._last_block = block, self._to_us(rows[:, 2], first)
        return self._last_block[1]

    def _to_us(self, seconds: Rows, start: int) -> I64:
        """Return whole microseconds; a row without a time gets that of the row before it.

        Raises:
            RecordingError: numbers that cannot be seconds, or that decrease.
        """
        known = np.isfinite(seconds)
        if not known.all():
            # The first of all may have no time: then it goes with the first that has.
            places = np.maximum.accumulate(np.where(known, np.arange(seconds.size), -1))
            places[places < 0] = int(np.argmax(known))
            seconds = np.where(known.any(), seconds[places], 0.0)
        if seconds.size and np.abs(seconds).max() > LATEST_S:
            raise RecordingError(
                f"The times of {self._where} reach {np.abs(seconds).max():g} near row {start}. "
                "Expected seconds (unix time, about 1.5e9); are they micro- or nanoseconds?"
            )
        t = np.rint(seconds * 1e6).astype(np.int64)
        if (t[1:] < t[:-1]).any():
            raise self._unsorted(start + int(np.argmax(t[1:] < t[:-1])) + 1)
        return t

    def _rows(self, start: int, stop: int) -> Rows:
        return self._file.rows(self._name, start, stop).astype(np.float64, copy=False)

    def _dataset(self, opened: h5py.File) -> h5py.Dataset:
        """Return the dataset, its shape and type checked."""
        dataset = find_dataset(opened, self._name)
        if dataset is None:
            raise RecordingError(f"There is no {self._where}. Copy or download the file again.")
        is_float64 = dataset.dtype.kind == "f" and dataset.dtype.itemsize == 8
        if dataset.ndim != 2 or dataset.shape[1] != 4 or not is_float64:
            raise RecordingError(
                f"{self._where} has shape {dataset.shape} and type {dataset.dtype}. Expected N x 4 "
                "float64 numbers x, y, t in seconds, p; a smaller type cannot hold unix time."
            )
        return dataset


class Intervals:
    """A growing set of whole numbers, kept as intervals that neither touch nor overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Add ``[start, stop)`` and return the parts of it that were not in the set."""
        if stop <= start:
            return []
        # Those from `first` to `last` overlap or touch the new one.
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        fresh, at = [], start
        for a, b in zip(self._starts[first:last], self._stops[first:last], strict=True):
            if a > at:
                fresh.append((at, a))
            at = max(at, b)
        if at < stop:
            fresh.append((at, stop))
        merged = [start, *self._starts[first:last]], [stop, *self._stops[first:last]]
        self._starts[first:last] = [min(merged[0])]
        self._stops[first:last] = [max(merged[1])]
        return fresh


def _joined(parts: list[Events]) -> Events:
    """Return parts that follow each other as one record."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Events.empty()
    return Events.trusted(
        t=np.concatenate([part.t for part in parts]),
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        p=np.concatenate([part.p for part in parts]),
    )
