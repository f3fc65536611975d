"""Slow twins of the kernels behind the augmentations, and synthetic events that correspond."""

import math

import numpy as np

from data import Events
from data.augment import StereoEvents


def pixel(value):
    """Return the pixel that owns a coordinate: halves go upward."""
    return math.floor(float(value) + 0.5)


def mirrored_truth(disparity, valid):
    """Return the truth of the mirrored right view, pixel by pixel in plain Python."""
    height, width = disparity.shape
    out, known = np.zeros_like(disparity), np.zeros_like(valid)
    for row in range(height):
        points = [
            (col, float(disparity[row, col]), bool(valid[row, col]))
            for col in range(width)
            if (valid[row, col] or disparity[row, col] > 0) and disparity[row, col] <= width
        ]
        for there in range(width):
            mine = [(d, -col, ok) for col, d, ok in points if pixel(col - d) == there]
            touching = [d for col, d, _ in points if abs(col - d - there) < 1]
            mine = [m for m in mine if m[0] >= max(touching) - 1.0]
            if mine:
                d, _, ok = max(mine)
                out[row, width - 1 - there], known[row, width - 1 - there] = d, ok
    return out, known


def thinned(events, height, width, shares, counts):
    """Return which events remain, counting 2**-32 parts per pixel and polarity."""
    totals = {}
    keep = []
    for x, y, p in zip(events.x, events.y, events.p, strict=True):
        place = (
            int(p),
            min(max(pixel(y) + 1, 0), height + 1),
            min(max(pixel(x) + 1, 0), width + 1),
        )
        total = totals.get(place, int(counts[place])) + round(shares[int(p)] * 2**32)
        keep.append(total >= 2**32)
        totals[place] = total % 2**32
    return np.array(keep, bool)


def random_pair(seed, *, height=11, width=17, count=200, t0_us=1_000, t1_us=21_000, whole=False):
    """Return a window with random events, some outside the image, and random sparse truth."""
    rng = np.random.default_rng([seed, 77])

    def events():
        n = int(rng.integers(0, count + 1))
        x, y = rng.uniform(-3, width + 2, n), rng.uniform(-3, height + 2, n)
        halves = rng.random(n) < 0.3
        x[halves], y[halves] = np.round(2 * x[halves]) / 2, np.round(2 * y[halves]) / 2
        if whole:
            x, y = np.round(x), np.round(y)
        return Events(
            t=np.sort(rng.integers(t0_us, t1_us, n)),
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            p=rng.random(n) < 0.5,
        )

    disparity = rng.uniform(0, 6, (height, width)).astype(np.float32)
    disparity[rng.random(disparity.shape) < 0.4] = 0
    valid = (disparity > 0) & (rng.random(disparity.shape) < 0.8)
    return StereoEvents(
        left=events(), right=events(), disparity=disparity, valid=valid, t0_us=t0_us, t1_us=t1_us
    )


def corresponding_pair(seed, *, height=24, width=40, points=60):
    """Return a window in which event i of both cameras is one point at ``x_left - x_right = d``.

    Its time marks the point. The truth holds at the pixels of the left events.
    """
    rng = np.random.default_rng([seed, 78])
    t0_us = 5_000
    cells = rng.choice(height * width, points, replace=False)
    rows, cols = np.divmod(cells, width)
    d = (rng.integers(1, 40, points) / 8).astype(np.float32)
    t = t0_us + np.arange(points, dtype=np.int64) * 10
    p = rng.random(points) < 0.5
    left = Events(t=t, x=cols.astype(np.float32), y=rows.astype(np.float32), p=p)
    right = Events(t=t, x=cols.astype(np.float32) - d, y=rows.astype(np.float32), p=p)
    disparity = np.zeros((height, width), np.float32)
    disparity[rows, cols] = d
    return StereoEvents(
        left=left, right=right, disparity=disparity, valid=disparity > 0, t0_us=t0_us, t1_us=9_000
    )
