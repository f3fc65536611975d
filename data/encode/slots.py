"""Time cut into slots, in whole microseconds, so that no event crosses a border by rounding.

Slot ``s`` holds the events with ``edges[s] <= t < edges[s + 1]``.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def uniform_edges(slots: int, t0_us: int, t1_us: int) -> I64:
    """Return ``[slots + 1]`` edges of equal slots: ``t0 + ceil(s (t1 - t0) / slots)``.

    For whole ``t`` this is the same as ``s = floor((t - t0) slots / (t1 - t0))``.
    """
    length = t1_us - t0_us
    return np.array([t0_us - (-s * length // slots) for s in range(slots + 1)], np.int64)


def rank_edges(ranks: Sequence[int], times: Sequence[I64], t0_us: int, t1_us: int) -> I64:
    """Return the time of the events that have these ranks among the events of all cameras.

    Args:
        ranks: counted from 0 in the order of time, cameras together.
        times: sorted times of each camera, all in ``[t0, t1)``.
        t0_us: start of the window.
        t1_us: end of the window.

    Returns:
        ``[R]`` int64: the smallest time up to which more than ``rank`` events happen; ``t1`` where
        there are no more than ``rank`` events. Events of one time are never divided.
    """
    wanted = np.asarray(ranks, np.int64)
    low = np.full(wanted.size, t0_us, np.int64)
    high = np.full(wanted.size, t1_us, np.int64)
    while (low < high).any():
        middle = low + (high - low) // 2
        upto = sum((np.searchsorted(t, middle, side="right") for t in times), np.int64(0))
        enough = upto > wanted
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    return low
