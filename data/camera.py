"""Calibration of a rectified stereo pair, and disparity <-> depth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A rectified stereo pair of pinhole cameras.

    Attributes:
        focal_px: focal length in pixels, equal for both rectified views.
        cx_px: column of the principal point, left rectified view.
        cy_px: row of the principal point.
        baseline_m: distance between the cameras in metres, positive.
    """

    focal_px: float
    cx_px: float
    cy_px: float
    baseline_m: float

    def __post_init__(self) -> None:
        """Refuse a geometry that has no depth."""
        if not (self.focal_px > 0 and self.baseline_m > 0):
            raise RecordingError(
                "A calibration needs a positive focal length and baseline, got "
                f"{self.focal_px} px and {self.baseline_m} m."
            )

    @property
    def fb(self) -> float:
        """Focal length times baseline, in pixel metres."""
        return self.focal_px * self.baseline_m

    def depth_m(self, disparity_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return depth ``f b / d`` in metres, infinite where disparity is not positive."""
        depth = np.full(disparity_px.shape, np.inf, np.float32)
        np.divide(np.float32(self.fb), disparity_px, out=depth, where=disparity_px > 0)
        return depth
