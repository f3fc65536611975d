"""The real pendulum: median disparity of the ball per 30 ms window beside the reference shifts.

    python tests/benchmarks/real_pendulum.py RECORDING.npz REFERENCE.csv [--run DIR]

The reference is a window-wise correlation, not ground truth. The ball is taken to be where events
of the left camera have company; everything else stands still in this recording.
Prints one line per window with a reference and a summary; writes nothing.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from data.formats import open_recording
from stereo.checkpoint import load_network
from stereo.stream import run_windows
from stereo.windows import Window

WINDOW_US = 30_000


def ball_mask(events, width, height):
    """Return where events have company: at least 4 others within two pixels."""
    image = np.zeros((height, width), np.float32)
    np.add.at(image, (np.rint(events.y).astype(int), np.rint(events.x).astype(int)), 1.0)
    company = cv2.boxFilter(image, -1, (5, 5), normalize=False)
    return (image > 0) & (company >= 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--max-disparity", type=int, default=48)
    options = parser.parse_args()
    rows = np.loadtxt(options.reference, delimiter=",", usecols=(0, 1), comments="#", ndmin=2)
    expected = {int(t0): float(shift) for t0, shift in rows}
    network = load_network(options.run)
    windows = [Window(t0_us=t0, t1_us=t0 + WINDOW_US) for t0 in sorted(expected)]
    errors = []
    with open_recording(options.recording) as recording:
        offset = recording.span_us[0]
        for result in run_windows(recording, network, windows, max_disparity=options.max_disparity):
            mask = ball_mask(result.events, recording.width, recording.height)
            if not mask.any():
                continue
            found = float(np.median(result.disparity[mask]))
            reference = expected[result.window.t0_us]
            errors.append(found - reference)
            print(
                f"{result.window.t0_us:9d} us  ball {found:6.2f} px  reference {reference:5.1f} px"
                f"  difference {found - reference:+6.2f}  ({int(mask.sum())} pixels)"
            )
        print(f"first event at {offset} us; dropped {recording.dropped}")
    size = np.abs(errors)
    print(
        f"{size.size} windows of {len(expected)}: within 2 px {100 * (size <= 2).mean():.1f} %, "
        f"within 3 px {100 * (size <= 3).mean():.1f} %, median |difference| "
        f"{np.median(size):.2f} px, mean {size.mean():.2f} px"
    )


if __name__ == "__main__":
    main()
