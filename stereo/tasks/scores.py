"""Accuracy of many frames: over all of them, and for each sequence."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from stereo.metrics import Accuracy, AccuracyMeter, depth_errors_m
from stereo.tasks.distances import Distances
from stereo.tasks.stereo_data import Origin
from stereo.tasks.task import Metrics

NAMES = ("mae_px", "one_pe_percent", "two_pe_percent", "rmse_px")


@dataclass(frozen=True, kw_only=True)
class _Sequence:
    """What is collected of one recording."""

    fb: float | None
    meter: AccuracyMeter
    medians_m: list[float] = field(default_factory=list)


class Scores:
    """Collects frames one at a time; every measure is taken per frame and then averaged.

    Beside the measures of ``stereo.metrics``, ``mae_at_events_px`` and ``one_pe_at_events_percent``
    are those of the pixels with events of the left camera in the window; elsewhere an estimate can
    only be a guess from what is around. Under the names that MVSEC papers use,
    ``mean_disparity_error_px`` is the mean absolute error, ``one_pixel_accuracy_percent`` 100 minus
    the share of errors above 1 px, ``median_depth_error_m`` the median in each frame.

    Args:
        largest: disparity that the network can estimate, pixels; larger ground truth is counted.
    """

    def __init__(self, largest: float) -> None:
        self._largest = largest
        self._whole, self._at_events = AccuracyMeter(), AccuracyMeter()
        self._sequences: dict[str, _Sequence] = {}
        self._distances = Distances()
        self._beyond = 0

    def add(
        self,
        estimate: Float32[np.ndarray, "H W"],
        truth: Float32[np.ndarray, "H W"],
        origin: Origin | None = None,
        *,
        seen: Bool[np.ndarray, "H W"],
    ) -> float | None:
        """Compare one estimate with its ground truth; see ``AccuracyMeter.add``.

        Args:
            estimate: ``[H, W]`` disparity in pixels.
            truth: ``[H, W]`` likewise, 0 = none.
            origin: sequence and calibration.
            seen: ``[H, W]``, True where the left camera had events in the window.

        Returns:
            The mean absolute error of the frame, pixels; None without ground truth.
        """
        error = self._whole.add(estimate, truth)
        self._at_events.add(estimate, np.where(seen, truth, np.float32(0)))
        self._beyond += int((truth > self._largest).sum())
        if origin is not None:
            self._add_to(origin, estimate, truth)
        return error

    def _add_to(
        self,
        origin: Origin,
        estimate: Float32[np.ndarray, "H W"],
        truth: Float32[np.ndarray, "H W"],
    ) -> None:
        """Add a frame to its sequence, and its pixels to their distances."""
        if origin.sequence not in self._sequences:
            self._sequences[origin.sequence] = _Sequence(
                fb=origin.fb, meter=AccuracyMeter(origin.fb)
            )
        sequence = self._sequences[origin.sequence]
        sequence.meter.add(estimate, truth)
        known = truth > 0
        if sequence.fb is not None and known.any():
            found, true = (d[known].astype(np.float64) for d in (estimate, truth))
            off = depth_errors_m(found, true, sequence.fb)
            sequence.medians_m.append(float(np.median(off)))
            self._distances.add(found, true, sequence.fb)

    def metrics(self) -> Metrics | None:
        """Return the averages over all frames; None if none had ground truth.

        Depth errors only where every sequence is calibrated.
        """
        result = self._whole.result()
        if result is None:
            return None
        known = {name: float(v) for name, v in result.to_json().items() if v is not None}
        at_events = self._at_events.result()
        if at_events is not None:
            known["mae_at_events_px"] = at_events.mae_px
            known["one_pe_at_events_percent"] = at_events.one_pe_percent
        if not self._sequences:
            return known
        return known | _as_mvsec(result) | self._depth(result.images)

    def tables(self) -> dict[str, Any]:
        """Return the results of each sequence and distance, and what no estimate could reach."""
        result = self._whole.result()
        if not self._sequences or result is None:
            return {}
        rows = {name: _row(sequence) for name, sequence in sorted(self._sequences.items())}
        share = 100.0 * self._beyond / result.valid_pixels
        by_distance = self._distances.rows()
        return {"per_sequence": rows, "by_distance": by_distance, "beyond_range_percent": share}

    def _depth(self, images: int) -> Metrics:
        """Return the depth errors over all frames, nothing if a sequence has no calibration."""
        results = [(s, s.meter.result()) for s in self._sequences.values()]
        if any(s.fb is None for s, r in results if r is not None):
            return {}
        sums = [(r.mean_depth_error_m or 0.0) * r.images for _, r in results if r is not None]
        medians = [value for s, _ in results for value in s.medians_m]
        return {
            "mean_depth_error_m": math.fsum(sums) / images,
            "median_depth_error_m": math.fsum(medians) / images,
        }


def _as_mvsec(result: Accuracy) -> Metrics:
    return {
        "mean_disparity_error_px": result.mae_px,
        "one_pixel_accuracy_percent": 100.0 - result.one_pe_percent,
    }


def _row(sequence: _Sequence) -> dict[str, float | int | None]:
    """Return one sequence as JSON has it; absent values are null."""
    result = sequence.meter.result()
    if result is None:
        return {"images": 0, "valid_pixels": 0}
    medians = sequence.medians_m
    return {
        "images": result.images,
        "valid_pixels": result.valid_pixels,
        **{name: getattr(result, name) for name in NAMES},
        **_as_mvsec(result),
        "mean_depth_error_m": result.mean_depth_error_m,
        "median_depth_error_m": math.fsum(medians) / len(medians) if medians else None,
    }
