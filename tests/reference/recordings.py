"""Small recordings, in memory and on disk, for tests of what uses recordings."""

import numpy as np

from data import Calibration, Events
from data.recording import Recording


def random_events(rng, count, length_us, width, height):
    """Return raw events anywhere on a sensor, at any time from 0 to ``length_us``."""
    return Events(
        t=np.sort(rng.integers(0, length_us, count)),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        p=rng.random(count) < 0.5,
    )


class FakeRecording(Recording):
    """Two cameras of 40 x 32 pixels with random events; rectification shifts columns by 2.5 px.

    The ground truth is 4 px on the left half of the image and missing on the right half.
    """

    name = "fake"
    layout = "npz"
    width = 40
    height = 32

    def __init__(self, *, last_us=199_999, stamps=(100_000, 200_000), count=4_000, seed=0):
        rng = np.random.default_rng(seed)
        self._events = {
            camera: random_events(rng, count, last_us + 1, self.width, self.height)
            for camera in ("left", "right")
        }
        self.span_us = (0, last_us)
        self.disparity_t_us = np.array(stamps, np.int64)
        self.dropped = {"left": 0, "right": 7}
        self.total = {"left": 4003, "right": 4007}
        self.calibration = (
            Calibration(focal_px=50.0, cx_px=20.0, cy_px=16.0, baseline_m=0.2) if stamps else None
        )
        self.reads = 0

    def events(self, camera, t0_us, t1_us):
        found = self._events[camera].window(t0_us, t1_us)
        self.reads += len(found)
        return found

    def rectify(self, camera, events):
        return Events(
            t=events.t,
            x=events.x.astype(np.float32) - np.float32(2.5),
            y=events.y.astype(np.float32),
            p=events.p,
        )

    def rectify_map(self, camera):
        y, x = np.mgrid[: self.height, : self.width]
        return np.stack([x - 2.5, y], axis=-1).astype(np.float32)

    def disparity(self, index):
        truth = np.zeros((self.height, self.width), np.float32)
        truth[:, : self.width // 2] = 4.0
        return truth

    def close(self):
        pass


def write_npz(path, rows=400, **changes):
    """Write a good two-camera recording, with some keys replaced or (None) left out."""
    rng = np.random.default_rng(0)
    columns = {
        camera: np.stack(
            [
                np.sort(rng.integers(0, 100_000, rows)),
                rng.integers(0, 128, rows),
                rng.integers(0, 128, rows),
                rng.integers(0, 2, rows),
            ],
            axis=1,
        )
        for camera in ("left", "right")
    }
    arrays = {key: value for key, value in (columns | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path
