"""The content of a small DSEC sequence: bent lenses, ties and gaps in time, sparse ground truth."""

import cv2
import numpy as np

from data import Calibration, Events
from data.camera import Lens

OFFSET_US = 53_193_302_164
"""Of the size of a real DSEC offset: far beyond what fits in uint32."""


def random_events(seed, *, count=3_000, width=64, height=48, last_us=300_000):
    """Return raw events with many ties, gaps of several ms and a first event at time 0."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last_us // 7, count) * 7)
    t[(t > 100_000) & (t < 120_000)] = 100_000
    t[0] = 0
    return Events(
        t=t.astype(np.int64),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        p=rng.integers(0, 2, count) > 0,
    )


def small_pair(seed=0, *, width=64, height=48):
    """Return the arguments of ``write_dsec`` for a small pair with bent lenses."""
    rng = np.random.default_rng([seed, 9])
    truth = rng.uniform(0, 20, (3, height, width)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.5] = 0
    turn = [cv2.Rodrigues(np.array(v))[0] for v in ([0.01, -0.02, 0.005], [-0.015, 0.01, 0.0])]
    return {
        "left": random_events([seed, 1], width=width, height=height),
        "right": random_events([seed, 2], width=width, height=height),
        "lenses": {
            camera: Lens(
                camera_matrix=(58.0 + k, 57.5, 31.0, 24.5 - k),
                distortion=(-0.098, 0.21, -0.00036, 0.00007),
                rotation=rotation,
            )
            for k, (camera, rotation) in enumerate(zip(("left", "right"), turn, strict=True))
        },
        "calibration": Calibration(focal_px=60.0, cx_px=32.25, cy_px=23.5, baseline_m=0.25),
        "disparity": truth,
        "disparity_t_us": np.array([0, 100_000, 200_000]),
        "t_offset_us": OFFSET_US,
        "width": width,
        "height": height,
    }
