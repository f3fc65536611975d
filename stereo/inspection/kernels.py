"""The inner loop of ``stereo inspect``: everything that one look at every event can tell."""

import numba
import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
U32 = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]


@numba.njit(nogil=True, cache=True)
def tally(
    t: I64,
    x: U16,
    y: U16,
    p: Bools,
    previous_us: int,
    start_us: int,
    bin_us: int,
    image: U32,
    last_us: I64,
    rate: I64,
    counts: I64,
) -> int:
    """Count a block of events, going on where the block before it ended.

    Args:
        t: ``[N]`` times, sorted or not.
        x: ``[N]`` columns.
        y: ``[N]`` rows.
        p: ``[N]`` polarities.
        previous_us: time of the event before the block.
        start_us: where the first bin of ``rate`` begins.
        bin_us: length of a bin.
        image: ``[H, W]`` events per pixel, changed.
        last_us: ``[2, H, W]`` time of the last event per polarity and pixel, changed.
        rate: ``[bins]`` events per bin, changed; the outer bins take what lies beyond.
        counts: ``[5]`` changed: events on the sensor, outside it, ON events, events earlier than
            the one before them, events equal to an earlier one in time, pixel and polarity.

    Returns:
        The time of the last event.
    """
    height, width = image.shape
    for i in range(t.size):
        now = t[i]
        if now < previous_us:
            counts[3] += 1
        previous_us = now
        column, row = x[i], y[i]
        if column >= width or row >= height:
            counts[1] += 1
            continue
        counts[0] += 1
        sign = 1 if p[i] else 0
        counts[2] += sign
        if last_us[sign, row, column] == now:
            counts[4] += 1
        last_us[sign, row, column] = now
        image[row, column] += 1
        place = (now - start_us) // bin_us
        rate[min(max(place, 0), rate.size - 1)] += 1
    return previous_us
