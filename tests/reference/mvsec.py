"""A small MVSEC scene, and the slow obvious twins of its reader and protocol."""

import math

import cv2
import h5py
import numpy as np
from reference.pairs import random_events

from data import Calibration
from data.camera import FisheyeLens

OFFSET_US = 1_504_645_177_123_457
"""A unix time like that of indoor_flying."""

NAME = "generated_hall1"


def small_scene(seed=0, *, width=64, height=48, images=4, count=3_000):
    """Return the arguments of ``write_mvsec`` for a small pair of fisheye lenses."""
    rng = np.random.default_rng([seed, 9])
    truth = rng.uniform(0.5, 20, (images, height, width)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.5] = 0
    turn = [cv2.Rodrigues(np.array(v))[0] for v in ([0.01, -0.02, 0.005], [-0.015, 0.01, 0.0])]
    size = {"width": width, "height": height, "count": count}
    return {
        "sequence": NAME,
        "left": random_events([seed, 1], **size),
        "right": random_events([seed, 2], **size),
        "lenses": {
            camera: FisheyeLens(
                camera_matrix=(41.0 + k, 40.5, 31.0, 24.5 - k),
                distortion=(-0.048, 0.0113, -0.0554, 0.0215),
                rotation=rotation,
            )
            for k, (camera, rotation) in enumerate(zip(("left", "right"), turn, strict=True))
        },
        "calibration": Calibration(focal_px=36.0, cx_px=32.25, cy_px=23.5, baseline_m=0.1),
        "disparity": truth,
        "disparity_t_us": 50_000 * np.arange(images),
        "t_offset_us": OFFSET_US,
        "width": width,
        "height": height,
    }


def all_rows(path, camera):
    """Return every row of a camera's events as tuples of Python numbers: t_us, x, y, p."""
    with h5py.File(path, "r") as file:
        table = file[f"davis/{camera}/events"][()]
    return [(round(t * 1e6), int(x), int(y), p > 0) for x, y, t, p in table.tolist()]


def nearest_pixel(value):
    """Round to the nearest whole number, halves away from zero, as Python 2 did for DDES."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def write_ddes(folder, data, truth, fb, maps, *, names=("event0", "event1")):
    """Convert a native sequence to the layout of DDES, event by event.

    Args:
        folder: to make.
        data: the data file.
        truth: the ground truth file.
        fb: focal length times baseline.
        maps: rectification map of each camera.
        names: of the two event folders.
    """
    (folder / "disparity_image").mkdir(parents=True)
    with h5py.File(truth) as file:
        depths = file["davis/left/depth_image_rect"][()]
        stamps = file["davis/left/depth_image_rect_ts"][()].tolist()
    np.savetxt(folder / "timestamps.txt", stamps, fmt="%f", header="timestamp")
    for index, depth in enumerate(depths):
        with np.errstate(invalid="ignore"):
            image = np.round(7.0 * fb / (depth + 1e-15))
            image[np.isnan(image) | (image >= 255)] = 255
        cv2.imwrite(str(folder / "disparity_image" / f"{index:06d}.png"), image.astype(np.uint8))
    for camera, name in zip(("left", "right"), names, strict=True):
        (folder / name).mkdir()
        with h5py.File(data) as file:
            rows = file[f"davis/{camera}/events"][()].tolist()
        height, width, _ = maps[camera].shape
        for index, stamp in enumerate(stamps):
            kept = []
            for x, y, t, p in rows:
                if stamp - 0.05 < t < stamp:
                    column, row = (nearest_pixel(float(v)) for v in maps[camera][int(y), int(x)])
                    if 0 <= column < width and 0 <= row < height:
                        kept.append([t, column, row, p])
            np.save(folder / name / f"{index:06d}.npy", np.array(kept))


def sparse_pixels(rows, rectify_map, stamp_us, *, count, horizon_us, width, height):
    """Return the pixels under the last ``count`` rectified events on the image before a stamp."""
    landed = []
    for t, x, y, _ in rows:
        if stamp_us - horizon_us <= t < stamp_us:
            column, row = (nearest_pixel(float(v)) for v in rectify_map[y, x])
            if 0 <= column < width and 0 <= row < height:
                landed.append((row, column))
    mask = np.zeros((height, width), bool)
    for row, column in landed[-count:] if count else []:
        mask[row, column] = True
    return mask


def fisheye_pixel(lens, calibration, x, y):
    """Return where one raw pixel lies in the rectified view, solved by bisection of the angle."""
    fx, fy, cx, cy = lens.camera_matrix
    a, b = (x - cx) / fx, (y - cy) / fy
    radius = math.hypot(a, b)

    def bent(angle):
        return angle + sum(k * angle ** (3 + 2 * n) for n, k in enumerate(lens.distortion))

    low, high = 0.0, 1.4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if bent(middle) < radius else (low, middle)
    ratio = math.tan(low) / radius if radius else 1.0
    ray = lens.rotation @ np.array([a * ratio, b * ratio, 1.0])
    return np.array(
        [
            calibration.focal_px * ray[0] / ray[2] + calibration.cx_px,
            calibration.focal_px * ray[1] / ray[2] + calibration.cy_px,
        ]
    )
