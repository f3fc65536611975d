"""Scores of coarse planes to disparity at full size in one pass, row by row.

The twin is ``stereo.disparity``: ``upsample_scores`` and ``soft_argmax`` one after the other, which
write all planes at full size on the way.
"""

import numba
import numpy as np
import numpy.typing as npt

from nas.fused.group_kernels import GROUPS, I64, done, take

F32 = npt.NDArray[np.float32]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _places(size: int, factor: int, have: int, first: I64, weight: F32) -> None:
    """Write, for every place at full size, the coarse place before it and the weight of the next.

    Linear between centers; before the first and behind the last the value of these.
    """
    for i in range(size):
        at: float = max((i + 0.5) / factor - 0.5, 0.0)
        first[i] = min(int(at), have - 1)
        weight[i] = at - first[i] if first[i] + 1 < have else 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _expectation(scores: F32, column: int, best: int, window: int) -> float:
    """Return the mean plane under softmax around the best one."""
    top = scores[best, column]
    total, mean = np.float32(0.0), np.float32(0.0)
    for d in range(max(0, best - window), min(scores.shape[0], best + window + 1)):
        share = np.exp(scores[d, column] - top)
        total += share
        mean += share * np.float32(d)
    return float(mean / total)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def estimate(
    scores: F32, scale: float, factor: int, window: int, disparity: F32, tickets: I64
) -> None:
    """Write the disparity in pixels.

    Args:
        scores: ``[D, h, w]`` of planes ``factor`` pixels apart.
        scale: what scores are multiplied by: one over the time steps that they are sums of.
        factor: full size over coarse size.
        window: planes on either side of the best that take part.
        disparity: ``[H, W]``, at most ``factor`` times as large as a plane.
        tickets: groups of rows that are not taken yet.
    """
    planes, rows, columns = scores.shape
    height, width = disparity.shape
    row_of, row_weight = np.empty(height, np.int64), np.empty(height, np.float32)
    column_of, column_weight = np.empty(width, np.int64), np.empty(width, np.float32)
    _places(height, factor, rows, row_of, row_weight)
    _places(width, factor, columns, column_of, column_weight)
    line, fine = np.empty(columns + 1, np.float32), np.empty((planes, width), np.float32)
    top, best = np.empty(width, np.float32), np.empty(width, np.int32)
    while True:
        group = take(tickets)
        if group >= GROUPS:
            return
        for y in range(group * height // GROUPS, (group + 1) * height // GROUPS):
            above, below = row_of[y], min(row_of[y] + 1, rows - 1)
            lower = row_weight[y] * np.float32(scale)
            upper = (np.float32(1.0) - row_weight[y]) * np.float32(scale)
            top[:] = -np.inf
            best[:] = 0
            for d in range(planes):
                for x in range(columns):
                    line[x] = upper * scores[d, above, x] + lower * scores[d, below, x]
                line[columns] = line[columns - 1]
                for x in range(width):
                    at = column_of[x]
                    value = line[at] + column_weight[x] * (line[at + 1] - line[at])
                    fine[d, x] = value
                    if value > top[x]:
                        top[x] = value
                        best[x] = d
            for x in range(width):
                disparity[y, x] = factor * _expectation(fine, x, best[x], window)
        done(tickets)
