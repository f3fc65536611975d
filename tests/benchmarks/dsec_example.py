"""The slicing that DSEC's own example loader does, in our words: the peer of two benchmarks."""

import math

import h5py
import numpy as np


class ExampleSlicer:
    """Windows of an ``events.h5``: the table brackets the window, one read of every column.

    Default settings of h5py; without the example's fault at uint32 plus offset.
    """

    def __init__(self, path):
        self.file = h5py.File(path, "r")
        self.events = {name: self.file[f"events/{name}"] for name in "txyp"}
        self.table = np.asarray(self.file["ms_to_idx"], np.int64)
        self.offset = int(self.file["t_offset"][()])

    def window(self, t0_us, t1_us):
        """Return the columns t, x, y, p of a window of absolute times."""
        t0, t1 = t0_us - self.offset, t1_us - self.offset
        low, high = self.table[t0 // 1000], self.table[math.ceil(t1 / 1000)]
        t = np.asarray(self.events["t"][low:high])
        first, last = np.searchsorted(t, np.array([t0, t1], t.dtype))
        x, y, p = (np.asarray(self.events[name][low + first : low + last]) for name in "xyp")
        return t[first:last].astype(np.int64) + self.offset, x, y, p
