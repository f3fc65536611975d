"""The one pass over a spike map that exact counting needs."""

import numba
import numpy as np
import numpy.typing as npt


@numba.njit(nogil=True, cache=True)
def spike_sums(x: npt.NDArray[np.float32], fan: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return the non-zeros of ``x`` [rows, P] and the sum of their fan-out ``fan`` [P]."""
    spikes, events = 0, 0
    for row in range(x.shape[0]):
        for p in range(x.shape[1]):
            if x[row, p] != 0:
                spikes += 1
                events += fan[p]
    return spikes, events
