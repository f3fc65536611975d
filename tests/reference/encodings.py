"""Slow, obvious twins of ``data.encode``: one Python loop per event, float64."""

import math

import numpy as np


def inside_pixel(x, y, width, height):
    """Return the pixel (col, row) that owns the point, or None outside the image."""
    col, row = math.floor(float(x) + 0.5), math.floor(float(y) + 0.5)
    return (col, row) if 0 <= col < width and 0 <= row < height else None


def voxel_grid(events, *, bins, height, width, t0_us, t1_us):
    grid = np.zeros((bins, height, width))
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        pixel = inside_pixel(x, y, width, height)
        if not t0_us <= t < t1_us or pixel is None:
            continue
        place = (bins - 1) * (int(t) - t0_us) / (t1_us - t0_us)
        for b in range(bins):
            weight = max(0.0, 1.0 - abs(b - place))
            grid[b, pixel[1], pixel[0]] += weight * (1 if p else -1)
    return grid


def spikes(events, *, bins, steps, height, width, t0_us, t1_us):
    out = np.zeros((steps, 2 * bins, height, width))
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        pixel = inside_pixel(x, y, width, height)
        if not t0_us <= t < t1_us or pixel is None:
            continue
        for slot in range(steps * bins):
            # start <= t - t0 < end with both multiplied by steps * bins, so exact.
            elapsed = (int(t) - t0_us) * steps * bins
            if slot * (t1_us - t0_us) <= elapsed < (slot + 1) * (t1_us - t0_us):
                step, sub_bin = divmod(slot, bins)
                out[step, 2 * sub_bin + int(p), pixel[1], pixel[0]] = 1
    return out
