"""How DSEC's own loader finds a window in ``events.h5``, from the published law of ``ms_to_idx``.

Written from the description of the format alone; nothing of ``data.dsec`` is used.
"""

import h5py
import hdf5plugin  # noqa: F401 - registers the filter
import numpy as np


class Slicer:
    """``t[ms_to_idx[ms]] >= 1000 ms`` and the event before it is earlier, for ms > 0."""

    def __init__(self, path):
        with h5py.File(path) as file:
            self.columns = {name: file[f"events/{name}"][()] for name in "txyp"}
            self.ms_to_idx = file["ms_to_idx"][()]
            self.offset = int(file["t_offset"][()])
        # uint32 plus an offset of hours would overflow.
        self.t = self.columns["t"].astype(np.int64)

    def check(self):
        """Assert the law for every whole millisecond up to the last event."""
        assert self.columns["t"].dtype == np.uint32
        assert {self.columns[name].dtype for name in "xy"} == {np.dtype(np.uint16)}
        assert self.columns["p"].dtype == np.uint8
        assert len(self.ms_to_idx) == self.t[-1] // 1000 + 1
        assert self.ms_to_idx[0] == 0
        for ms in range(1, len(self.ms_to_idx)):
            first = int(self.ms_to_idx[ms])
            assert self.t[first] >= 1000 * ms
            assert self.t[first - 1] < 1000 * ms

    def events(self, t0_us, t1_us):
        """Return the columns of ``[t0, t1)`` on the absolute clock, None past the table."""
        start, stop = t0_us - self.offset, t1_us - self.offset
        first_ms, last_ms = start // 1000, -(-stop // 1000)
        assert first_ms >= 0
        if last_ms >= len(self.ms_to_idx):
            return None
        low, high = int(self.ms_to_idx[first_ms]), int(self.ms_to_idx[last_ms])
        keep = [k for k in range(low, high) if start <= self.t[k] < stop]
        found = {name: column[keep] for name, column in self.columns.items()}
        found["t"] = found["t"].astype(np.int64) + self.offset
        return found
