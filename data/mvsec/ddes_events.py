"""One camera's ``event0`` or ``event1`` folder of DDES: a file of rows per ground truth.

File k holds the rectified events strictly between 50 ms before stamp k and stamp k, as float64 rows
``t_s, x, y, p``. Stamps are not exactly 50 ms apart, so neighboring files overlap by a little
(events stored twice) or leave a gap (events stored nowhere). An overlap is cut here; gaps are
reported by the recording.
"""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.mvsec.events import LATEST_S
from data.mvsec.npy import npy_rows, read_rows

FILE_US = 50_000
"""What a file covers before its stamp."""

SLACK_US = 1
"""Stamps are printed with six decimals, so a time may pass them by a rounding."""

KEPT_FILES = 32
"""Decoded files kept; half a second of both cameras takes 20."""

Rows = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class EventFolder:
    """Events of one camera, read file by file, of which a few are kept.

    Args:
        folder: the folder of ``000000.npy`` and so on, one for each stamp.
        stamps_us: ``[K]`` increasing stamps.
        width: columns of the sensor.
        height: rows of the sensor.

    Attributes:
        count: rows in all files, those stored twice counted twice.
        ends_us: first and last time.
        dropped: rows dropped so far (outside the sensor, or NaN), each counted once.

    Raises:
        RecordingError: a missing file, one that is no N x 4 table, or no events at all.
    """

    def __init__(self, folder: Path, stamps_us: I64, width: int, height: int) -> None:
        self._folder = folder
        self._stamps_us = stamps_us
        self._size = width, height
        self._kept: OrderedDict[int, Events] = OrderedDict()
        self._last_s: dict[int, float] = {}
        self._dropped: dict[int, int] = {}
        present = {path.name for path in folder.iterdir()}
        missing = [k for k in range(stamps_us.size) if self._path(k).name not in present]
        if missing:
            raise RecordingError(
                f"{folder} lacks {len(missing)} of {stamps_us.size} files, the first of which is "
                f"{self._path(missing[0]).name}. Expected one for each line of timestamps.txt; "
                "convert the sequence again."
            )
        self._rows = [npy_rows(self._path(k)) for k in range(stamps_us.size)]
        self.count = sum(self._rows)
        filled = [k for k, rows in enumerate(self._rows) if rows]
        if not filled:
            raise RecordingError(f"{folder} has no events. Stereo needs both cameras.")
        first, last = self._load(filled[0]).t, self._load(filled[-1]).t
        if first.size == 0 or last.size == 0:
            raise RecordingError(
                f"The first or last events in {folder} cannot be used: all of them lie outside the "
                "sensor or are NaN. Convert the sequence again."
            )
        self.ends_us = int(first[0]), int(last[-1])

    @property
    def dropped(self) -> int:
        """Number of rows dropped so far."""
        return sum(self._dropped.values())

    def window(self, t0_us: int, t1_us: int) -> Events:
        """Return the events with ``t0_us <= t < t1_us`` from as many files as it takes."""
        first = int(np.searchsorted(self._stamps_us, t0_us - SLACK_US, side="left"))
        last = int(np.searchsorted(self._stamps_us, t1_us + FILE_US + SLACK_US, side="right"))
        parts = [self._load(k).window(t0_us, t1_us) for k in range(first, last)]
        parts = [part for part in parts if len(part)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Events.empty()
        # The constructor checks that the files are in order of time.
        return Events(
            t=np.concatenate([part.t for part in parts]),
            x=np.concatenate([part.x for part in parts]),
            y=np.concatenate([part.y for part in parts]),
            p=np.concatenate([part.p for part in parts]),
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    def _path(self, k: int) -> Path:
        return self._folder / f"{k:06d}.npy"

    def _load(self, k: int) -> Events:
        """Return the events of file k that no earlier file holds."""
        kept = self._kept.get(k)
        if kept is None:
            kept = self._decode(k, read_rows(self._path(k)))
            self._kept[k] = kept
            while len(self._kept) > KEPT_FILES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(k)
        return kept

    def _decode(self, k: int, rows: Rows) -> Events:
        seconds = rows[:, 0]
        timed = np.isfinite(seconds)
        t = np.zeros(seconds.size, np.int64)
        t[timed] = self._to_us(k, seconds[timed])
        # What an earlier file holds is what it could reach: all up to its last time, ties included.
        # Compared as stored, for rounding could tie what was not.
        with np.errstate(invalid="ignore"):
            fresh = ~(seconds <= self._reached_s(k))
        rows, t, timed = rows[fresh], t[fresh], timed[fresh]
        _, x, y, p = rows.T
        width, height = self._size
        with np.errstate(invalid="ignore"):
            usable = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        usable &= timed & np.isfinite(p)
        self._dropped[k] = int((~usable).sum())
        x, y, p = x[usable], y[usable], p[usable]
        columns, lines = x.astype(np.uint16), y.astype(np.uint16)
        polarity_known = bool(((p == 1) | (p == -1) | (p == 0)).all())
        if not (polarity_known and (columns == x).all() and (lines == y).all()):
            raise RecordingError(
                f"{self._path(k)} holds rows that are no events. Expected the time in seconds, "
                "then whole rectified pixels x and y, then the polarity -1 or 1; convert the "
                "sequence again."
            )
        return Events.trusted(t=t[usable], x=columns, y=lines, p=p > 0)

    def _to_us(self, k: int, seconds: Rows) -> I64:
        """Return whole microseconds, which must lie where file k has its events, in order."""
        if seconds.size == 0:
            return np.empty(0, np.int64)
        stamp = int(self._stamps_us[k])
        if np.abs(seconds).max() <= LATEST_S:
            t = np.rint(seconds * 1e6).astype(np.int64)
            if (t[1:] < t[:-1]).any():
                raise RecordingError(
                    f"The times in {self._path(k)} are not sorted. Expected times that never "
                    "decrease, after rounding to microseconds; convert the sequence again."
                )
            if stamp - FILE_US - SLACK_US <= t[0] and t[-1] <= stamp + SLACK_US:
                return t
        raise RecordingError(
            f"{self._path(k)} holds times from {seconds.min():.6f} to {seconds.max():.6f} s, but "
            f"line {k} of timestamps.txt says {stamp / 1e6:.6f} s. Expected events of the 50 ms "
            "before; the files are of different sequences or were renamed."
        )

    def _reached_s(self, k: int) -> float:
        """Return the last time stored in the files that overlap file k, as stored."""
        reached = -math.inf
        earlier = k - 1
        begin_us = int(self._stamps_us[k]) - FILE_US - SLACK_US
        while earlier >= 0 and self._stamps_us[earlier] + SLACK_US >= begin_us:
            reached = max(reached, self._last_of(earlier))
            earlier -= 1
        return reached

    def _last_of(self, k: int) -> float:
        """Return the last time in file k as stored, from its last row alone."""
        if k not in self._last_s:
            rows = read_rows(self._path(k), last_only=True)
            known = rows.size and math.isfinite(rows[-1, 0])
            self._last_s[k] = float(rows[-1, 0]) if known else -math.inf
        return self._last_s[k]
