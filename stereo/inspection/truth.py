"""What the ground truth of a recording covers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.recording import Recording

MOST_IMAGES = 64
"""So many ground truths are read, evenly spread."""

BINS_PER_PX = 4
MOST_PX = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class TruthFacts:
    """Ground truth of a recording.

    Attributes:
        count: ground truths.
        read: of which so many were read for the other numbers.
        first_us: time of the first.
        last_us: time of the last.
        within_events: of which so many lie in the time that both cameras cover.
        valid_share: pixels with a disparity, mean over those read.
        disparity_px: smallest, median and largest disparity.
        depth_m: the same as depth, nearest first; None without calibration.
        histogram: valid pixels per quarter pixel of disparity, from 0.
    """

    count: int
    read: int
    first_us: int
    last_us: int
    within_events: int
    valid_share: float
    disparity_px: tuple[float, float, float] | None
    depth_m: tuple[float, float, float] | None
    histogram: npt.NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, without the histogram."""
        fields = asdict(self)
        del fields["histogram"]
        for name in ("disparity_px", "depth_m"):
            values = fields[name]
            named = ("min", "median", "max")
            fields[name] = None if values is None else dict(zip(named, values, strict=True))
        return fields


def look_at_truth(recording: Recording) -> TruthFacts | None:
    """Read some ground truths; None where there are none.

    Raises:
        RecordingError: a damaged ground truth.
    """
    stamps = recording.disparity_t_us
    if stamps.size == 0:
        return None
    picks = np.unique(np.linspace(0, stamps.size - 1, min(MOST_IMAGES, stamps.size)).astype(int))
    histogram = np.zeros(MOST_PX * BINS_PER_PX, np.int64)
    shares: list[float] = []
    low, high = np.inf, 0.0
    for index in picks:
        disparity = recording.disparity(int(index))
        values = disparity[(disparity > 0) & np.isfinite(disparity)]
        shares.append(values.size / disparity.size)
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            places = np.minimum(values * BINS_PER_PX, histogram.size - 1).astype(np.int64)
            histogram += np.bincount(places, minlength=histogram.size)
    first, last = recording.span_us
    found = bool(histogram.any())
    reach = (low, _median_px(histogram), high) if found else None
    fb = recording.calibration.fb if recording.calibration else None
    return TruthFacts(
        count=int(stamps.size),
        read=int(picks.size),
        first_us=int(stamps[0]),
        last_us=int(stamps[-1]),
        within_events=int(((stamps >= first) & (stamps <= last)).sum()),
        valid_share=float(np.mean(shares)),
        disparity_px=reach,
        depth_m=(fb / reach[2], fb / reach[1], fb / reach[0]) if reach and fb else None,
        histogram=histogram,
    )


def _median_px(histogram: npt.NDArray[np.int64]) -> float:
    """Return the median to a quarter of a pixel: the middle of its bin."""
    total = np.cumsum(histogram)
    return float((np.searchsorted(total, total[-1] / 2) + 0.5) / BINS_PER_PX)
