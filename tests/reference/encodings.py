"""Slow, obvious twins of ``data.encode``: one Python loop per event, float64."""

import math

import numpy as np


def inside_pixel(x, y, width, height):
    """Return the pixel (col, row) that owns the point, or None outside the image."""
    col, row = math.floor(float(x) + 0.5), math.floor(float(y) + 0.5)
    return (col, row) if 0 <= col < width and 0 <= row < height else None


def seen(events, height, width, t0_us, t1_us):
    """Yield t, col, row, p of the events in the window and on the image."""
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        pixel = inside_pixel(x, y, width, height)
        if t0_us <= t < t1_us and pixel is not None:
            yield int(t), *pixel, bool(p)


def uniform_slot(t, slots, t0_us, t1_us):
    """Return the one slot with ``s D <= (t - t0) slots < (s + 1) D``."""
    length = t1_us - t0_us
    (slot,) = (
        s for s in range(slots) if s * length <= (t - t0_us) * slots < (s + 1) * length
    )  # fmt: skip
    return slot


def voxel_grid(events, *, bins, height, width, t0_us, t1_us):
    grid = np.zeros((bins, height, width))
    for t, col, row, p in seen(events, height, width, t0_us, t1_us):
        place = (bins - 1) * (t - t0_us) / (t1_us - t0_us)
        for b in range(bins):
            weight = max(0.0, 1.0 - abs(b - place))
            grid[b, row, col] += weight * (1 if p else -1)
    return grid


def trilinear(events, *, bins, height, width, t0_us, t1_us):
    grid = np.zeros((bins, height, width))
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        if not t0_us <= t < t1_us:
            continue
        place = (bins - 1) * (int(t) - t0_us) / (t1_us - t0_us)
        for b in range(bins):
            for row in range(height):
                for col in range(width):
                    weight = max(0.0, 1 - abs(b - place)) * max(0.0, 1 - abs(col - float(x)))
                    weight *= max(0.0, 1 - abs(row - float(y)))
                    grid[b, row, col] += weight * (1 if p else -1)
    return grid


def spikes(events, **window):
    return np.minimum(counts(events, **window), 1)


def counts(events, *, bins, steps, height, width, t0_us, t1_us):
    out = np.zeros((steps, 2 * bins, height, width))
    for t, col, row, p in seen(events, height, width, t0_us, t1_us):
        step, sub_bin = divmod(uniform_slot(t, steps * bins, t0_us, t1_us), bins)
        out[step, 2 * sub_bin + int(p), row, col] += 1
    return out


def stack_time(events, *, bins, steps, height, width, t0_us, t1_us):
    out = np.zeros((steps, bins, height, width))
    for t, col, row, p in seen(events, height, width, t0_us, t1_us):
        step, sub_bin = divmod(uniform_slot(t, steps * bins, t0_us, t1_us), bins)
        out[step, sub_bin, row, col] += 1 if p else -1
    return out


def joint_times(events, others, t0_us, t1_us):
    """Return the sorted times in the window of several cameras, on the image or not."""
    return sorted(int(t) for e in (events, *others) for t in e.t if t0_us <= t < t1_us)


def stack_number(events, *, bins, steps, height, width, t0_us, t1_us, others=()):
    slots, times = steps * bins, joint_times(events, others, t0_us, t1_us)
    starts = [math.ceil(s * len(times) / slots) for s in range(1, slots)]
    edges = [times[rank] if rank < len(times) else t1_us for rank in starts]
    out = np.zeros((steps, bins, height, width))
    for t, col, row, p in seen(events, height, width, t0_us, t1_us):
        step, sub_bin = divmod(sum(edge <= t for edge in edges), bins)
        out[step, sub_bin, row, col] += 1 if p else -1
    return out


def mdes(events, *, bins, steps, height, width, t0_us, t1_us, others=()):
    times = joint_times(events, others, t0_us, t1_us)
    out = np.zeros((steps * bins, height, width))
    for level in range(steps * bins):
        recent = len(times) // 2**level
        start = times[len(times) - recent] if recent else t1_us
        for t, col, row, p in seen(events, height, width, start if level else t0_us, t1_us):
            assert t >= start
            out[level, row, col] = 1 if p else -1
    return out.reshape(steps, bins, height, width)


def time_surface(events, *, bins, steps, height, width, t0_us, t1_us, tau_us=50_000.0):
    slots = steps * bins
    out = np.zeros((slots, 2, height, width))
    for slot in range(slots):
        end = t0_us + math.ceil((slot + 1) * (t1_us - t0_us) / slots)
        for t, col, row, p in seen(events, height, width, t0_us, end):
            out[slot, int(p), row, col] = math.exp((t - end) / tau_us)
    return out.reshape(steps, 2 * bins, height, width)


def normalized(grid):
    """Return the grid with mean 0 and unbiased deviation 1 over the values that are not 0."""
    values = grid[grid != 0]
    out = grid.copy()
    if values.size:
        deviation = values.std(ddof=1) if values.size > 1 else 0.0
        out[grid != 0] = (values - values.mean()) / (deviation or 1.0)
    return out


def voxel(events, *, bins, steps, height, width, t0_us, t1_us):
    window = {"height": height, "width": width, "t0_us": t0_us, "t1_us": t1_us}
    grid = voxel_grid(events, bins=steps * bins, **window)
    return grid.reshape(steps, bins, height, width)


def voxel_trilinear(events, *, bins, steps, height, width, t0_us, t1_us):
    window = {"height": height, "width": width, "t0_us": t0_us, "t1_us": t1_us}
    grid = trilinear(events, bins=steps * bins, **window)
    return grid.reshape(steps, bins, height, width)


TWINS = {
    "spikes": spikes,
    "counts": counts,
    "stack_time": stack_time,
    "stack_number": stack_number,
    "mdes": mdes,
    "time_surface": time_surface,
    "voxel": voxel,
    "voxel_trilinear": voxel_trilinear,
}
