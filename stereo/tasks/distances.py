"""Errors by distance: near and far ground truth each have their own row."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from stereo.metrics import depth_errors_m

EDGES_M = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, float("inf"))
"""Limits of the ranges, meters; the lower one belongs to a range. MVSEC's rooms lie in three of
them, DSEC's streets in five."""

Row = dict[str, float | int | None]


@dataclass
class Distances:
    """Collects pixels by the depth of their ground truth; all pixels of all frames count alike."""

    _sums: Float64[np.ndarray, "5 ranges"] = field(
        default_factory=lambda: np.zeros((5, len(EDGES_M) - 1))
    )

    def add(
        self, estimate: Float64[np.ndarray, " N"], truth: Float64[np.ndarray, " N"], fb: float
    ) -> None:
        """Add pixels.

        Args:
            estimate: ``[N]`` disparity in pixels.
            truth: ``[N]`` likewise, above 0.
            fb: focal length times baseline, pixel meters.
        """
        true_m = fb / truth
        place = np.searchsorted(EDGES_M, true_m, side="right") - 1
        error_px = np.abs(estimate - truth)
        error_m = depth_errors_m(estimate, truth, fb)
        measures = (np.ones_like(true_m), error_px, error_px > 1, error_m, error_m / true_m)
        for row, values in enumerate(measures):
            self._sums[row] += np.bincount(place, weights=values, minlength=len(EDGES_M) - 1)

    def rows(self) -> list[Row]:
        """Return a row for each range with pixels, the nearest first; ``to_m`` may be None."""
        total = self._sums[0].sum()
        found: list[Row] = []
        for n in np.flatnonzero(self._sums[0]):
            count, error_px, above, error_m, relative = self._sums[:, n]
            upper = EDGES_M[n + 1]
            found.append(
                {
                    "from_m": EDGES_M[n],
                    "to_m": None if np.isinf(upper) else upper,
                    "pixels": int(count),
                    "share_percent": float(100 * count / total),
                    "mae_px": float(error_px / count),
                    "one_pe_percent": float(100 * above / count),
                    "mean_depth_error_m": float(error_m / count),
                    "relative_depth_error_percent": float(100 * relative / count),
                }
            )
        return found
