"""How far disparity is from the ground truth: the measures that DSEC and MVSEC papers print.

For one image, ``M`` are the pixels with ground truth (finite and above 0) and ``e = |d - d*|``:

    MAE  = mean_M e                         RMSE = sqrt(mean_M e^2)
    nPE  = 100 mean_M [e > n]   (strictly)  MDE  = mean_M |f b / (d + 1e-7) - f b / (d* + 1e-7)|

Every measure is taken per image and then averaged over the images; images without ground truth are
skipped. Images are summed with ``math.fsum``, so their order and grouping change nothing.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32, Float64

from stereo.errors import StereoError

LEVELS_PER_PX = 256
"""Resolution of the histogram behind the constant baseline: that of the ground-truth PNGs."""

_DEPTH_GUARD_PX = 1e-7
"""Added to disparities before they divide, as in the published code of DDES."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Averages over the images that have ground truth.

    Attributes:
        mae_px: mean absolute error.
        one_pe_percent: share of pixels with an error above 1 px.
        two_pe_percent: share of pixels with an error above 2 px.
        rmse_px: root mean squared error.
        mean_depth_error_m: mean absolute depth error; None without a calibration.
        constant_mae_px: ``mae_px`` of the best single disparity for all pixels of all images.
        constant_px: that disparity.
        valid_pixels: pixels compared, all images together.
        images: images compared.
    """

    mae_px: float
    one_pe_percent: float
    two_pe_percent: float
    rmse_px: float
    mean_depth_error_m: float | None
    constant_mae_px: float
    constant_px: float
    valid_pixels: int
    images: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the fields as JSON values."""
        return asdict(self)


class AccuracyMeter:
    """Collects images one at a time; memory does not grow with the size of the images.

    Args:
        fb: focal length times baseline in pixel meters; None without a calibration.
    """

    def __init__(self, fb: float | None = None) -> None:
        self._fb = fb
        self._errors: list[tuple[float, float, float, float, float]] = []
        self._truth_weights = np.zeros(0, np.float64)
        self._valid_pixels = 0

    def add(
        self, estimate: Float32[np.ndarray, "H W"], truth: Float32[np.ndarray, "H W"]
    ) -> float | None:
        """Compare one estimate with its ground truth.

        Args:
            estimate: ``[H, W]`` disparity in pixels.
            truth: ``[H, W]`` disparity in pixels; 0, negative, NaN or infinite = no ground truth.

        Returns:
            The mean absolute error of this image; None if it has no ground truth.

        Raises:
            StereoError: the estimate is not finite at a pixel with ground truth.
        """
        valid = np.isfinite(truth) & (truth > 0)
        count = int(valid.sum())
        if count == 0:
            return None
        found, true = estimate[valid].astype(np.float64), truth[valid].astype(np.float64)
        if not np.isfinite(found).all():
            raise StereoError("The estimated disparity holds NaN or infinity; it has no accuracy.")
        error = np.abs(found - true)
        self._errors.append(
            (
                float(error.mean()),
                100.0 * int((error > 1).sum()) / count,
                100.0 * int((error > 2).sum()) / count,
                math.sqrt(float((error**2).mean())),
                self._depth_error_m(found, true),
            )
        )
        self._count_truth(true)
        self._valid_pixels += count
        return self._errors[-1][0]

    def result(self) -> Accuracy | None:
        """Return the averages; None if no image had ground truth."""
        images = len(self._errors)
        if images == 0:
            return None
        mae, one, two, rmse, depth = (
            math.fsum(column) / images for column in zip(*self._errors, strict=True)
        )
        constant_px, constant_mae_px = self._best_constant()
        return Accuracy(
            mae_px=mae,
            one_pe_percent=one,
            two_pe_percent=two,
            rmse_px=rmse,
            mean_depth_error_m=None if self._fb is None else depth,
            constant_mae_px=constant_mae_px,
            constant_px=constant_px,
            valid_pixels=self._valid_pixels,
            images=images,
        )

    def _depth_error_m(
        self, found: Float64[np.ndarray, " N"], true: Float64[np.ndarray, " N"]
    ) -> float:
        """Return the mean absolute depth error, 0 (unused) without a calibration."""
        return 0.0 if self._fb is None else float(depth_errors_m(found, true, self._fb).mean())

    def _count_truth(self, true: Float64[np.ndarray, " N"]) -> None:
        """Add one image to the histogram of ground truth, each image with a weight of 1."""
        levels = np.rint(true * LEVELS_PER_PX).astype(np.int64)
        weights = np.bincount(levels, minlength=self._truth_weights.size) / true.size
        weights[: self._truth_weights.size] += self._truth_weights
        self._truth_weights = weights

    def _best_constant(self) -> tuple[float, float]:
        """Return the disparity with the least MAE (the weighted median) and that MAE."""
        weights = self._truth_weights
        running = np.cumsum(weights)
        median = int(np.searchsorted(running, running[-1] / 2))
        distance = np.abs(np.arange(weights.size) - median) / LEVELS_PER_PX
        return median / LEVELS_PER_PX, float((weights * distance).sum() / len(self._errors))


def depth_errors_m(
    found: Float64[np.ndarray, " N"], true: Float64[np.ndarray, " N"], fb: float
) -> Float64[np.ndarray, " N"]:
    """Return ``|f b / (d + 1e-7) - f b / (d* + 1e-7)|`` of each pixel, meters.

    Args:
        found: ``[N]`` estimated disparity, pixels.
        true: ``[N]`` likewise.
        fb: focal length times baseline, pixel meters.
    """
    errors: Float64[np.ndarray, " N"] = np.abs(
        fb / (found + _DEPTH_GUARD_PX) - fb / (true + _DEPTH_GUARD_PX)
    )
    return errors
