"""Matching without learning: OpenCV's semi-global and block matching on images of events.

The least that a trained network has to beat. Both see one image per camera, the number of ON minus
that of OFF events of the window, smoothed, and look for the disparities that the network looks for.
Where a matcher finds nothing, the nearest estimate to the left is taken, else the nearest to the
right, else the estimate is 0: every pixel gets a value, as the network gives every pixel one.
Smoothing and the settings of both had the least mean error of those that were tried on validation
frames of a generated suite (`tests/benchmarks/tune_classical.py`).
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from stereo.config import EncodingConfig, StereoConfig

Image = UInt8[np.ndarray, "H W"]
Found = Float32[np.ndarray, "H W"]
Matcher = Callable[[int], cv2.StereoMatcher]
"""From the number of disparities to a matcher of OpenCV."""

GRAY_PER_EVENT = 60
"""Gray levels of one event, around 128, before smoothing."""

SMOOTHED_PX = 1.5
"""Standard deviation of the Gaussian that smooths the images. Without it, single events of noise
match one another."""

MULTIPLE = 16
"""OpenCV searches a multiple of so many disparities."""

FRACTION = 16
"""OpenCV's disparities are fixed-point numbers with four binary places."""

MATCHERS: dict[str, Matcher] = {}
"""By name."""


def matcher(name: str) -> Callable[[Matcher], Matcher]:
    """Register a matcher."""

    def add(make: Matcher) -> Matcher:
        MATCHERS[name] = make
        return make

    return add


@matcher("semi-global matching")
def semi_global(disparities: int) -> cv2.StereoMatcher:
    """Return StereoSGBM over all eight directions; jumps cost four times what examples give."""
    block = 3
    return cv2.StereoSGBM.create(
        minDisparity=0, numDisparities=disparities, blockSize=block, P1=8 * block**2,
        P2=128 * block**2, uniquenessRatio=5, disp12MaxDiff=-1, mode=cv2.STEREO_SGBM_MODE_HH,
    )  # fmt: skip


@matcher("block matching")
def block(disparities: int) -> cv2.StereoMatcher:
    """Return StereoBM on locally normalized images, without its test for texture."""
    found = cv2.StereoBM.create(numDisparities=disparities, blockSize=31)
    found.setTextureThreshold(0)
    found.setUniquenessRatio(10)
    found.setPreFilterType(cv2.STEREO_BM_PREFILTER_NORMALIZED_RESPONSE)
    return found


def counting(config: StereoConfig) -> StereoConfig:
    """Return a configuration whose encoding is what these matchers see."""
    seen = EncodingConfig(
        name="counts", steps=1, bins=1, window_us=config.encoding.window_us
    )  # fmt: skip
    return replace(config, encoding=seen)


class ClassicalMatcher(nn.Module):
    """A matcher in the place of a network; it has no weights and stays on the CPU.

    Args:
        name: in ``MATCHERS``.
        max_disparity: largest disparity searched, pixels.
    """

    def __init__(self, name: str, max_disparity: int) -> None:
        super().__init__()
        self._disparities = -(-(max_disparity + 1) // MULTIPLE) * MULTIPLE
        self._matcher = MATCHERS[name](self._disparities)
        self._largest = float(max_disparity)

    def forward(
        self, left: Float[Tensor, "T B 2 H W"], right: Float[Tensor, "T B 2 H W"]
    ) -> Float[Tensor, "B H W"]:
        """Return the disparity in pixels from 0 to the largest, at every pixel.

        Args:
            left: counts of OFF and ON events.
            right: likewise.
        """
        pairs = zip(event_images(left), event_images(right), strict=True)
        found = np.stack([self._match(*pair) for pair in pairs])
        return torch.from_numpy(found).to(left.device)

    def _match(self, left: Image, right: Image) -> Found:
        # OpenCV gives nothing for the first columns, whose matches may lie outside; a border as
        # wide as the search gives them one.
        wide = [
            cv2.copyMakeBorder(image, 0, 0, self._disparities, 0, cv2.BORDER_REPLICATE)
            for image in (left, right)
        ]
        raw = self._matcher.compute(*wide)[:, self._disparities :]
        found = raw.astype(np.float32) / np.float32(FRACTION)
        return fill_rows(np.clip(found, -1.0, self._largest), found >= 0)


def event_images(counts: Float[Tensor, "T B 2 H W"]) -> list[Image]:
    """Return an image for each sample of a batch: ON minus OFF events, smoothed, 128 for none."""
    whole = counts.float().sum(dim=0)
    images = []
    for signed in (whole[:, 1] - whole[:, 0]).cpu().numpy():
        smooth = cv2.GaussianBlur(signed, (0, 0), SMOOTHED_PX)
        images.append(np.clip(128 + GRAY_PER_EVENT * smooth, 0, 255).round().astype(np.uint8))
    return images


def fill_rows(values: Found, known: npt.NDArray[np.bool_]) -> Found:
    """Return values with those that are not known taken from their row.

    Args:
        values: ``[H, W]``.
        known: ``[H, W]``.

    Returns:
        The nearest known value to the left, else the nearest to the right, else 0.
    """
    width = values.shape[1]
    columns = np.arange(width)
    before = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, columns, width)[:, ::-1], axis=1)[:, ::-1]
    source = np.where(before >= 0, before, after)
    found = np.take_along_axis(values, np.minimum(source, max(0, width - 1)), axis=1)
    return np.where(source < width, found, 0).astype(np.float32)
