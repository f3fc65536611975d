"""Slow twin of the coincidences of events at full resolution: one pixel after the other."""

import numpy as np


def fine_coincidences(left, right, planes, stride):
    """Return ``[stride * C, planes, h, w]`` of binary views ``[C, H, W]``."""
    channels, height, width = left.shape
    found = np.zeros((stride * channels, planes, height // stride, width // stride))
    for plane, part, c in np.ndindex(planes, stride, channels):
        disparity = plane * stride + part - stride // 2
        for y, x in np.ndindex(height, width):
            if 0 <= disparity <= x and left[c, y, x] and right[c, y, x - disparity]:
                found[part * channels + c, plane, y // stride, x // stride] = 1
    return found
