"""Rays against solids by walking along them: slow, and free of any formula for a hit."""

import numpy as np


def inside(shape, size, point):
    """Return whether a point in the body's own axes lies in a ball, box or cylinder."""
    x, y, z = point
    if shape == "BALL":
        return x * x + y * y + z * z <= size[0] ** 2
    if shape == "CYLINDER":
        return x * x + z * z <= size[0] ** 2 and abs(y) <= size[1]
    return abs(x) <= size[0] and abs(y) <= size[1] and abs(z) <= size[2]


def first_depth(shape, size, axes, center, dx, dy, step=0.004):
    """Return the depth at which the ray (dx, dy, 1) enters the body, None if it does not.

    A touch shorter than ``step`` may be missed.
    """
    ray = np.array([dx, dy, 1.0])
    reach = float(np.linalg.norm(size))
    low = max(1e-3, center[2] - reach)

    def within(z):
        return inside(shape, size, axes.T @ (z * ray - center))

    for z in np.arange(low, center[2] + reach + step, step):
        if within(z):
            start, end = z - step, z
            for _ in range(50):
                middle = 0.5 * (start + end)
                start, end = (start, middle) if within(middle) else (middle, end)
            return end
    return None
