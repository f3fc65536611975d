"""The one pass over a spike map that exact counting needs."""

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def spike_sums(x: F32, fan: I64) -> tuple[int, int, int]:
    """Return non-zeros of ``x`` [rows, P], their fan-out ``fan`` [P] summed, and non-binaries."""
    spikes, events, false = 0, 0, 0
    for row in range(x.shape[0]):
        for p in range(x.shape[1]):
            value = x[row, p]
            if value != 0:
                spikes += 1
                events += fan[p]
                if value != 1:
                    false += 1
    return spikes, events, false


@numba.njit(nogil=True, cache=True)
def spike_sums_channels_last(x: F32, fan: I64) -> tuple[int, int, int]:
    """Return the same for ``x`` [N, P, C], the memory order of channels-last tensors."""
    spikes, events, false = 0, 0, 0
    for n in range(x.shape[0]):
        for p in range(x.shape[1]):
            here = 0
            for c in range(x.shape[2]):
                value = x[n, p, c]
                if value != 0:
                    here += 1
                    if value != 1:
                        false += 1
            spikes += here
            events += here * fan[p]
    return spikes, events, false
