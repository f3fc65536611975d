"""A tiny image set in folders of classes that a network can learn: two colors under noise."""

import cv2
import numpy as np


def write_class_folders(root, *, per_class=8, size=16, seed=0):
    rng = np.random.default_rng(seed)
    for part in ("train", "val"):
        for place, name in enumerate(("blue", "red")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for n in range(per_class):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[..., 2 * place] += 130  # OpenCV stores blue first
                cv2.imwrite(str(folder / f"{n}.png"), pixels)
    return root
