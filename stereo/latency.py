"""How long after its end each window's estimate is there, and whether real time is kept.

A recording is read as fast as it can be, so its events are given the times at which they would
come live: a window can be begun once it has ended and the estimate before it is there. Nothing is
skipped; who falls behind is late until he has caught up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHARE = 1.01
"""Of the limits of two neighboring bins: percentiles are exact to one percent."""

LEAST_S, MOST_S = 1e-5, 1e5
"""Shorter and longer latencies fall into the first and the last bin."""

BINS = int(np.ceil(np.log(MOST_S / LEAST_S) / np.log(SHARE))) + 1


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Latencies of a stream: from the end of a window to its estimate, in seconds.

    Attributes:
        windows: that were counted.
        median_s: half of them are there after this time.
        p95_s: 95 of 100.
        p99_s: 99 of 100.
        worst_s: the longest.
        waited: windows that ended before the estimate of the last one was there.
        behind_s: the longest that one of them waited; 0 where real time was kept.
        windows_per_s: how many are estimated in a second of computing.
        busy: share of the stream's time that is spent computing; above 1 real time is lost.
    """

    windows: int
    median_s: float
    p95_s: float
    p99_s: float
    worst_s: float
    waited: int
    behind_s: float
    windows_per_s: float
    busy: float


class LatencyMeter:
    """Adds up latencies in a histogram, so memory does not grow with the stream.

    Attributes:
        behind_s: how long the present window waited for the one before it.
        windows: counted until now.
    """

    def __init__(self) -> None:
        self.behind_s = 0.0
        self.windows = 0
        self._bins: npt.NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._worst_s = self._most_behind_s = self._busy_s = 0.0
        self._waited = self._begin_us = self._end_us = 0
        self._free_us = 0.0

    def add(self, t0_us: int, t1_us: int, seconds: float) -> float:
        """Take in a window ``[t0_us, t1_us)`` and the time that it took; return its latency.

        Windows come in the order of their ends.
        """
        if self.windows == 0:
            self._begin_us, self._free_us = t0_us, float(t1_us)
        begin_us = max(float(t1_us), self._free_us)
        self.behind_s = (begin_us - t1_us) / 1e6
        self._free_us = begin_us + 1e6 * seconds
        self._end_us = t1_us
        latency = self.behind_s + seconds
        self.windows += 1
        self._waited += self.behind_s > 0
        self._most_behind_s = max(self._most_behind_s, self.behind_s)
        self._worst_s = max(self._worst_s, latency)
        self._busy_s += seconds
        self._bins[_bin(latency)] += 1
        return latency

    def result(self) -> Latency | None:
        """Return what was measured; None without windows."""
        if self.windows == 0:
            return None
        return Latency(
            windows=self.windows,
            median_s=self._percentile(0.5),
            p95_s=self._percentile(0.95),
            p99_s=self._percentile(0.99),
            worst_s=self._worst_s,
            waited=self._waited,
            behind_s=self._most_behind_s,
            windows_per_s=self.windows / self._busy_s,
            busy=1e6 * self._busy_s / max(1, self._end_us - self._begin_us),
        )

    def _percentile(self, share: float) -> float:
        """Return a time within which this share of the estimates is there, at most 1 % too long."""
        rank = np.ceil(share * self.windows)
        place = int(np.searchsorted(np.cumsum(self._bins), rank))
        return min(self._worst_s, LEAST_S * SHARE**place)


def _bin(seconds: float) -> int:
    """Return the bin of the latencies up to ``LEAST_S * SHARE**bin``."""
    place = np.ceil(np.log(max(seconds, LEAST_S) / LEAST_S) / np.log(SHARE))
    return int(min(place, BINS - 1))
