"""Which settings of OpenCV's matchers have the least error on validation frames.

    python tests/benchmarks/tune_classical.py BENCH [--frames 24] [--max-disparity 72]

BENCH is the folder of a suite that ``stereo simulate --suite stereo-bench`` made. Every setting of
a grid is tried; the test scenes are not touched. ``stereo/classical.py`` has what came out best.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from stereo import classical
from stereo.classical import ClassicalMatcher, Matcher, counting
from stereo.presets import PRESETS
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source

SMOOTHED = (1.0, 1.5, 2.0)


def semi_global() -> Iterator[tuple[str, Matcher]]:
    """Yield what is tried of semi-global matching."""
    for block, one, more, unique in product((3, 5), (4, 8, 32), (32, 128, 256), (5, 10)):
        yield (
            f"semi-global, block {block}, P1 {one} and P2 {more} a pixel, unique {unique} %",
            lambda disparities, b=block, p1=one, p2=more, u=unique: cv2.StereoSGBM.create(
                minDisparity=0, numDisparities=disparities, blockSize=b, P1=p1 * b**2,
                P2=p2 * b**2, uniquenessRatio=u, disp12MaxDiff=-1,
                mode=cv2.STEREO_SGBM_MODE_HH,
            ),
        )  # fmt: skip


def block() -> Iterator[tuple[str, Matcher]]:
    """Yield what is tried of block matching."""
    kinds = {
        "gradient": cv2.STEREO_BM_PREFILTER_XSOBEL,
        "normalized": cv2.STEREO_BM_PREFILTER_NORMALIZED_RESPONSE,
    }
    for size, texture, unique, kind in product((15, 21, 31, 45), (0, 100), (0, 10), kinds):

        def make(disparities, s=size, t=texture, u=unique, k=kind):
            found = cv2.StereoBM.create(numDisparities=disparities, blockSize=s)
            found.setTextureThreshold(t)
            found.setUniquenessRatio(u)
            found.setPreFilterType(kinds[k])
            return found

        yield f"block {size}, texture {texture}, unique {unique} %, {kind}", make


def main() -> None:
    """Print the errors, the least first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--max-disparity", type=int, default=72)
    parser.add_argument("--shown", type=int, default=5)
    asked = parser.parse_args()
    changes = {"network.max_disparity": str(asked.max_disparity)}
    task = StereoTask(
        counting(PRESETS["searched"]().override(changes)), Source(data=asked.bench)
    )  # fmt: skip
    held = task.data.held("validation", asked.frames)
    samples = [held.samples[place] for place in held.places]
    for settings in (semi_global, block):
        errors = []
        for smoothed, (name, make) in product(SMOOTHED, settings()):
            classical.SMOOTHED_PX, classical.MATCHERS["tried"] = smoothed, make
            tried = ClassicalMatcher("tried", asked.max_disparity)
            off = []
            for sample in samples:
                found = tried(sample.left[:, None], sample.right[:, None])[0]
                off.append(float((found - sample.disparity)[sample.valid].abs().mean()))
            errors.append((float(np.mean(off)), f"{name}, smoothed {smoothed:g} px"))
        for error, name in sorted(errors)[: asked.shown]:
            print(f"{error:.2f} px  {name}", flush=True)


if __name__ == "__main__":
    main()
