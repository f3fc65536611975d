"""The real spheres: median disparity of the board and of both spheres in windows with a flash.

    python tests/benchmarks/real_spheres.py RECORDING.npz [--run DIR] [--merge 3]

The references, 49 px for the board and 92 to 99 px for the spheres, come from block matching by
hand; they are not ground truth. Nothing moves, so things are told apart by how many events the left
camera's pixels have in all: the spheres most, the board some.
Prints one line per window with a flash and a summary; ``--picture FILE.png`` draws the last one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from data.formats import open_recording
from data.rows import without_calibration
from stereo.checkpoint import load_network
from stereo.stream import run_windows
from stereo.windows import Window

WINDOW_US = 50_000
REFERENCE = {"board": (49.0, 49.0), "left sphere": (92.0, 99.0), "right sphere": (92.0, 99.0)}
"""Smallest and largest disparity, pixels."""

TOLERANCE_PX = 3.0
FLASH = 0.02
"""A window with a flash has events at more than this share of the pixels."""

BOARD, SPHERES = 5.0, 32.0
"""Least mean number of events of a pixel in the whole recording."""


def counted(events, width, height):
    """Return the number of events of every pixel."""
    image = np.zeros((height, width), np.float32)
    np.add.at(image, (np.rint(events.y).astype(int), np.rint(events.x).astype(int)), 1.0)
    return image


def largest(mask, count, opening):
    """Return the largest parts of a mask, from left to right, after an opening by a disc."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening, opening))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    _, labels, stats, centers = cv2.connectedComponentsWithStats(opened)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:count]
    return [labels == label for label in sorted(order, key=lambda label: centers[label][0])]


def things(counts):
    """Return the masks of the board and of both spheres."""
    density = cv2.boxFilter(counts, -1, (9, 9))
    left, right = largest(density > SPHERES, 2, 51)
    (board,) = largest((density > BOARD) & (density < SPHERES), 1, 41)
    return {"board": board, "left sphere": left, "right sphere": right}


def draw(path, image, masks, disparity, farthest):
    """Write what fired, with what was told apart, beside the disparity."""
    seen = cv2.cvtColor(255 * (image > 0).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for mask, color in zip(masks.values(), ((0, 255, 0), (0, 0, 255), (255, 0, 0)), strict=True):
        seen[mask] = seen[mask] // 2 + np.array(color, np.uint8) // 2
    level = np.clip(disparity / farthest * 255, 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), np.hstack([seen, cv2.applyColorMap(level, cv2.COLORMAP_TURBO)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--max-disparity", type=int, default=112)
    parser.add_argument("--merge", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    network = load_network(asked.run)
    found = {name: [] for name in REFERENCE}
    with open_recording(asked.recording) as recording:
        recording, rows = without_calibration(recording, lambda _share: None)
        print(f"rows aligned: {rows.to_dict()}")
        begin, end = recording.span_us
        windows = [Window(t0_us=t, t1_us=t + WINDOW_US)
                   for t in range(begin, end - WINDOW_US, WINDOW_US)]  # fmt: skip
        flashes, total = [], 0.0
        for result in run_windows(
            recording, network, windows, max_disparity=asked.max_disparity, merge=asked.merge
        ):
            counts = counted(result.events, recording.width, recording.height)
            total = total + counts
            if (counts > 0).mean() >= FLASH:
                flashes.append((result.window.t0_us, counts, result.disparity))
    masks = things(total)
    for t0_us, counts, disparity in flashes:
        told = []
        for name, mask in masks.items():
            median = float(np.median(disparity[mask & (counts > 0)]))
            found[name].append(median)
            told.append(f"{name} {median:6.1f} px")
        print(f"{t0_us:9d} us  " + "  ".join(told))
    if asked.picture:
        draw(asked.picture, counts, masks, disparity, asked.max_disparity)
    for name, values in found.items():
        low, high = REFERENCE[name]
        inside = [low - TOLERANCE_PX <= value <= high + TOLERANCE_PX for value in values]
        print(
            f"{name}: median {np.median(values):.1f} px, reference {low:g} to {high:g} px, "
            f"{sum(inside)} of {len(values)} windows within {TOLERANCE_PX:g} px"
        )


if __name__ == "__main__":
    main()
