"""One camera's ``events.h5`` of DSEC: windows of events found through ``ms_to_idx``.

``t`` is relative to ``t_offset``; ``ms_to_idx[k]`` is the first event at or after ``k`` ms. The
table only says where to look first: what is returned is decided by the times themselves, so a table
that is short or wrong costs time and nothing else. Events are read block by block, each checked
once and kept for the next window (``blocks.py``).
"""

import itertools
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from data.dsec.blocks import SHARED, Block
from data.dsec.hdf5 import CACHE_BYTES, cache_bytes_for, check_written, open_hdf5, readable
from data.dsec.rows import (
    COLUMNS,
    Columns,
    all_inside,
    as_signs,
    before,
    check_columns,
    read_block,
    read_offset,
    read_rows,
    row_bytes,
)  # fmt: skip
from data.errors import RecordingError
from data.events import Events

I64 = npt.NDArray[np.int64]

BLOCK = 1 << 16
"""Events per block, rounded up to whole chunks of the file."""

LARGEST_BLOCK = 1 << 20
"""The same where chunks are huge; then a block is a part of one."""

EVENT_BYTES = 9
"""Memory of an event, unpacked."""

DIRECT_SHARE = 2
"""Files larger than so many times the memory for blocks are read without keeping any."""

DIRECT_CACHE_BYTES = 1 << 23
"""HDF5's own cache of unpacked chunks for them, per column: h5py's usual size since 3.16."""

LARGEST_DIRECT = 1 << 24
"""Events that a window may have to be read without blocks; more only in a table that is wrong."""

LARGEST_TIME_US = 1 << 61
"""Times and offsets beyond it (73,000 years) would overflow when added."""

OWNERS = itertools.count()
"""Names of event files in the shared cache."""


class EventFile:
    """Events of one camera, read window by window.

    The file is opened lazily in each process, so an object may be pickled or live through a fork.

    Args:
        path: the ``events.h5``.
        width: columns of the sensor.
        height: rows of the sensor.

    Attributes:
        path: the ``events.h5``.
        count: number of events stored, those outside the sensor included.
        offset_us: what the file's times are relative to.
        ends_us: absolute time of the first and the last event.

    Raises:
        RecordingError: a file that is missing, empty, truncated or incomplete, or has no events.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self._sensor = width, height
        self._file: h5py.File | None = None
        self._columns: tuple[h5py.Dataset, ...] = ()
        self._process = 0
        self._owner = next(OWNERS)
        self._table: I64 | None = None
        self._cache_bytes = CACHE_BYTES
        with readable(path):
            file = self._opened()
            self.count = check_columns(path, file)
            self.offset_us = read_offset(path, file)
            times = file["events/t"]
            chunk = times.chunks[0] if times.chunks else BLOCK
            self._block = min(-(-BLOCK // chunk) * chunk, LARGEST_BLOCK)
            # Blocks pay where they come again: in a file that fits into their memory, or nearly.
            self._is_large = self.count > DIRECT_SHARE * SHARED.budget_bytes // EVENT_BYTES
            least = DIRECT_CACHE_BYTES if self._is_large else CACHE_BYTES
            self._cache_bytes = max(cache_bytes_for(file[name], least) for name in COLUMNS)
            first, last = int(times[0]), int(times[self.count - 1])
        if max(abs(first), abs(last), abs(self.offset_us)) > LARGEST_TIME_US:
            raise RecordingError(
                f"The times in {path} run from {first} to {last}, with t_offset {self.offset_us}. "
                "Expected microseconds; the file is damaged or has another unit."
            )
        # Python integers: uint32 times plus an offset of 5e10 would overflow or be refused.
        self.ends_us = first + self.offset_us, last + self.offset_us
        if self._cache_bytes > CACHE_BYTES:
            self.close()  # the next read opens it with room for its chunks

    def window(self, t0_us: int, t1_us: int) -> tuple[Events, I64]:
        """Return the events with ``t0_us <= t < t1_us``.

        Any window is allowed: empty ones, and those that begin before or end after the recording.

        Returns:
            The events on the sensor, and the times of those outside it.

        Raises:
            RecordingError: unreadable data or unsorted times.
        """
        first, last = (end - self.offset_us for end in self.ends_us)
        t0 = max(operator.index(t0_us) - self.offset_us, first)
        t1 = min(operator.index(t1_us) - self.offset_us, last + 1)
        if t0 >= t1:
            return Events.empty(), np.empty(0, np.int64)
        if self._is_large:
            events = self._direct(t0, t1)
            if events is not None:
                return events
        index = self._locate(t0)
        found: list[Block] = []
        try:
            while True:
                found.append(self._get(index))
                self._check_order(found[-2:])
                if found[-1].last >= t1 or found[-1].stop == self.count:
                    return self._join(found, t0, t1)
                index += 1
        finally:
            SHARED.release(found)

    def last(self, t_us: int, count: int, start_us: int) -> tuple[Events, I64]:
        """Return the last ``count`` events on the sensor with ``start_us <= t < t_us``.

        Returns:
            The events, and the times of those outside the sensor among them.

        Raises:
            RecordingError: unreadable data or unsorted times.
        """
        first, last = (end - self.offset_us for end in self.ends_us)
        start = max(operator.index(start_us) - self.offset_us, first)
        stop = min(operator.index(t_us) - self.offset_us, last + 1)
        if start >= stop or count <= 0:
            return Events.empty(), np.empty(0, np.int64)
        # The first block that ends at or after the limit: equal times may fill several blocks.
        index = self._locate(stop) if stop <= last else -(-self.count // self._block) - 1
        found: list[Block] = []
        held = 0
        try:
            while True:
                found.insert(0, self._get(index))
                self._check_order(found[:2])
                held += before(found[0].t, stop) - before(found[0].t, start)
                if held >= count or found[0].first < start or index == 0:
                    break
                index -= 1
            events, outside = self._join(found, start, stop)
        finally:
            SHARED.release(found)
        events = events.take(slice(max(0, len(events) - count), len(events)))
        return events, outside[outside >= events.t[0]] if len(events) == count else outside

    def blocks(self) -> Iterator[Block]:
        """Give all blocks in order; what one holds is gone when the next one is asked for.

        Raises:
            RecordingError: unreadable data or unsorted times.
        """
        before: list[Block] = []
        for index in range(-(-self.count // self._block)):
            block = self._read(index, before[0].buffer if before else None)
            self._check_order([*before, block])
            yield block
            before = [block]

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file, self._columns = None, ()
        SHARED.forget(self._owner)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_columns": (), "_table": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._owner = next(OWNERS)

    def _opened(self) -> h5py.File:
        """Return the open file of this process; call within ``readable``."""
        if self._file is None or self._process != os.getpid():
            if not self.path.is_file():
                raise RecordingError(
                    f"There is no {self.path}. A DSEC sequence needs the events.h5 of the left and "
                    "of the right camera; stereo needs both cameras."
                )
            self._file = open_hdf5(self.path, cache_bytes=self._cache_bytes)
            self._columns = ()
            self._process = os.getpid()
        return self._file

    def _open_columns(self) -> Columns:
        """Return the columns of the open file; call within ``readable``."""
        file = self._opened()
        if not self._columns:
            # Kept open: HDF5 forgets where the chunks lie whenever a dataset is closed.
            self._columns = tuple(file[name] for name in COLUMNS)
        return self._columns

    def _locate(self, t: int) -> int:
        """Return the first block that ends at or after ``t``; one of them must."""
        table = self._hints()
        low, high = 0, -(-self.count // self._block) - 1  # the block lies in [low, high]
        row = min(max(t // 1000, 0), table.size - 1)
        probe = min(int(table[row]) // self._block, high) if row >= 0 else high // 2
        tries = 0
        while low < high:
            block = self._get(probe)
            SHARED.release([block])  # only its ends are looked at
            tries += 1
            if block.last < t:
                low, near = probe + 1, probe + 1
            elif block.first < t:
                return probe
            else:
                high, near = probe, probe - 1
            # A true table is off by one block at most; leave any other by halving.
            probe = near if tries == 1 and low <= near <= high else (low + high) // 2
        return low

    def _hints(self) -> I64:
        """Return ``ms_to_idx``, read once.

        Raises:
            RecordingError: it is no table of indices.
        """
        if self._table is None:
            with readable(self.path):
                dataset = self._opened()["ms_to_idx"]
                check_written(self.path, dataset)
                table = dataset[()].astype(np.int64)
            wrong = table.ndim != 1 or (table < 0).any() or (table > self.count).any()
            if wrong or (np.diff(table) < 0).any():
                raise RecordingError(
                    f"ms_to_idx in {self.path} must be one row of indices from 0 to {self.count} "
                    "that never decrease. Make the table again."
                )
            self._table = table
        return self._table

    def _get(self, index: int) -> Block:
        """Return a block, kept or read; it must be released."""
        block = SHARED.get((self._owner, index))
        if block is None:
            block = self._read(index)
            SHARED.put(block)
        return block

    def _read(self, index: int, buffer: npt.NDArray[np.uint8] | None = None) -> Block:
        """Read and check one block, into ``buffer`` if that is given."""
        start = index * self._block
        stop = min(start + self._block, self.count)
        with readable(self.path):
            columns = self._open_columns()
            if buffer is None:
                buffer = SHARED.buffer(self._block * row_bytes(columns))
            t, x, y, p = read_block(columns, start, stop, buffer)
        self._check_sorted(t, start)
        first, last = int(t[0]), int(t[-1])
        t, x, y, p, outside = self._part(t, x, y, p)
        return Block(
            key=(self._owner, index), start=start, stop=stop, first=first, last=last,
            t=t, x=x, y=y, p=p, outside=outside, buffer=buffer,
        )  # fmt: skip

    def _direct(self, t0: int, t1: int) -> tuple[Events, I64] | None:
        """Read a relative window without keeping anything; None where the table does not fit.

        One event more on either side shows whether the table really brackets the window.
        """
        table = self._hints()
        low_ms, high_ms = t0 // 1000, -(-t1 // 1000)
        if low_ms < 1 or high_ms >= table.size:
            return None
        low, high = max(int(table[low_ms]) - 1, 0), min(int(table[high_ms]) + 1, self.count)
        if not 0 < high - low <= LARGEST_DIRECT:
            return None
        with readable(self.path):
            columns = self._open_columns()
            t = np.empty(high - low, columns[0].dtype)
            read_rows(columns[0], low, t)
            if (int(t[0]) >= t0 and low > 0) or (int(t[-1]) < t1 and high < self.count):
                return None
            self._check_sorted(t, low)
            start, stop = before(t, t0), before(t, t1)
            x, y, p = (np.empty(stop - start, column.dtype) for column in columns[1:])
            for column, values in zip(columns[1:], (x, y, p), strict=True):
                read_rows(column, low + start, values)
        t, x, y, p, outside = self._part(t[start:stop], x, y, p)
        shift = np.int64(self.offset_us)
        absolute = np.add(t, shift, dtype=np.int64, casting="unsafe")
        return Events.trusted(t=absolute, x=x, y=y, p=p), outside.astype(np.int64) + shift

    def _part(
        self,
        t: npt.NDArray[np.integer],
        x: npt.NDArray[np.integer],
        y: npt.NDArray[np.integer],
        p: npt.NDArray[Any],
    ) -> tuple[Any, ...]:
        """Return the columns of the events on the sensor, and the times of the others."""
        outside = t[:0]
        if not (all_inside(x, self._sensor[0]) and all_inside(y, self._sensor[1])):
            inside = (x >= 0) & (x < self._sensor[0]) & (y >= 0) & (y < self._sensor[1])
            outside = t[~inside]
            t, x, y, p = t[inside], x[inside], y[inside], p[inside]
        x, y = (places.astype(np.uint16, copy=False) for places in (x, y))
        return t, x, y, as_signs(p), outside

    def _join(self, blocks: list[Block], t0: int, t1: int) -> tuple[Events, I64]:
        """Return the events of the relative window, and the times of those outside, absolute."""
        parts = [slice(before(b.t, t0), before(b.t, t1)) for b in blocks]
        ends = np.cumsum([0, *(part.stop - part.start for part in parts)])
        t, p = np.empty(ends[-1], np.int64), np.empty(ends[-1], np.bool_)
        x, y = np.empty(ends[-1], np.uint16), np.empty(ends[-1], np.uint16)
        for block, part, start, stop in zip(blocks, parts, ends[:-1], ends[1:], strict=True):
            t[start:stop] = block.t[part]
            x[start:stop], y[start:stop] = block.x[part], block.y[part]
            p[start:stop] = block.p[part]
        t += self.offset_us
        gone = [b.outside[before(b.outside, t0) : before(b.outside, t1)] for b in blocks]
        outside = np.concatenate([part.astype(np.int64) for part in gone]) + self.offset_us
        # Every block is sorted, and so is their row: nothing is left to be checked.
        return Events.trusted(t=t, x=x, y=y, p=p), outside

    def _check_sorted(self, t: npt.NDArray[np.integer], start: int) -> None:
        """Refuse times that decrease; ``start`` is the index of the first."""
        back = t[1:] < t[:-1]
        if back.any():
            row = int(np.argmax(back))
            raise self._unsorted(start + row + 1, int(t[row + 1]), int(t[row]))

    def _check_order(self, pair: list[Block]) -> None:
        """Refuse a block that begins before its predecessor ends."""
        before, after = pair[0], pair[-1]
        if len(pair) == 2 and after.first < before.last:
            raise self._unsorted(after.start, after.first, before.last)

    def _unsorted(self, index: int, time: int, before: int) -> RecordingError:
        return RecordingError(
            f"The times in {self.path} are not sorted: event {index} has t={time} us after "
            f"t={before} us. Sort the events and make ms_to_idx again."
        )
