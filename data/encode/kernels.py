"""The inner loops of the encodings: one pass over the events, nothing allocated.

All take contiguous columns of events that already lie in the window ``[t0_us, t1_us)``, and skip
those outside the image. Coordinates are uint16 or float32; a float belongs to the pixel it rounds
to, halves upward, so that the pixel ``x`` owns ``[x - 0.5, x + 0.5)`` as in ``Events.inside``.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint16] | npt.NDArray[np.float32]


@numba.njit(nogil=True, cache=True)
def add_spikes(t: I64, x: Pixels, y: Pixels, p: Bool, t0_us: int, t1_us: int, out: F32) -> None:
    """Set ``out`` [slots, 2, H, W] to 1 where at least one event falls (OFF = 0, ON = 1)."""
    slots, _, height, width = out.shape
    for i in range(t.size):
        if x[i] < -0.5 or y[i] < -0.5 or x[i] >= width - 0.5 or y[i] >= height - 0.5:
            continue
        # In integers: no event is moved over the border of its slot by rounding.
        slot = (t[i] - t0_us) * slots // (t1_us - t0_us)
        out[slot, 1 if p[i] else 0, int(y[i] + 0.5), int(x[i] + 0.5)] = 1.0


@numba.njit(nogil=True, cache=True)
def add_voxels(t: I64, x: Pixels, y: Pixels, p: Bool, t0_us: int, t1_us: int, out: F32) -> None:
    """Add +1 (ON) or -1 (OFF) per event to ``out`` [bins, H, W], split between two bins."""
    bins, height, width = out.shape
    for i in range(t.size):
        if x[i] < -0.5 or y[i] < -0.5 or x[i] >= width - 0.5 or y[i] >= height - 0.5:
            continue
        row, col = int(y[i] + 0.5), int(x[i] + 0.5)
        place = (bins - 1) * (t[i] - t0_us) / (t1_us - t0_us)
        lower = math.floor(place)
        late = place - lower
        sign = 1.0 if p[i] else -1.0
        out[lower, row, col] += sign * (1.0 - late)
        if late > 0.0:
            out[lower + 1, row, col] += sign * late
