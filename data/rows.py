"""How many rows lower the right camera sees the same point, measured from the events alone.

In a rectified pair this is 0. The events of a short window make an image for each camera; its
cross-correlation over rows and disparities has its peak where most of the scene fits. Several
windows vote, so flashes and windows without structure do no harm.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from data.events import Events
from data.recording import CAMERAS, Camera, Recording
from data.rectified import RectifiedRecording, shifted_rows

WINDOWS = 32
"""Windows that vote, evenly spread over the recording."""

SHORTEST_US = 10_000
LONGEST_US = 80_000
"""A window grows until it holds enough events: motion blurs what is long."""

FEWEST_EVENTS = 400
"""Events that each camera must have in a window."""

FEWEST_WINDOWS = 3

LEAST_CONFIDENCE = 0.2
"""Below it nothing is corrected. Measured on generated data: unrelated cameras reach 0.1, related
ones 0.7 where every third event is noise, 0.2 where two of three are; on two real pairs, 0.65."""

NARROW, WIDE = 0.7, 3.0
"""Pixels of the two blurs whose difference is correlated: it keeps edges and drops brightness."""

MOST_PER_PIXEL = 3
"""Counts above it are cut, so that a hot pixel weighs no more than an edge."""

BESIDE = 4
"""Rows from the peak at which a correlation counts as elsewhere."""

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RowOffset:
    """An estimate of the row offset.

    Attributes:
        offset_px: row in the right view minus row in the left view of the same point.
        confidence: 0 to 1: the share of the windows that agree within a row, each weighed by how
            far its peak stands out.
        windows: windows that could vote.
        nearest_px: disparity to which the first number of ``fit`` belongs.
        fit: how well the views fit each other at each disparity, whole pixels upward from
            ``nearest_px``: mean correlation of the windows that agree, the best is 1.
    """

    offset_px: float
    confidence: float
    windows: int
    nearest_px: int = 0
    fit: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, float | int | bool]:
        """Return the numbers for JSON, without the curve, and whether to correct by them."""
        return {
            "offset_px": self.offset_px,
            "confidence": self.confidence,
            "windows": self.windows,
            "reliable": self.reliable,
        }

    @property
    def reliable(self) -> bool:
        """Whether to correct by it."""
        return self.confidence >= LEAST_CONFIDENCE and self.windows >= FEWEST_WINDOWS


def estimate_row_offset(
    recording: Recording, progress: Callable[[float], None] = lambda _share: None
) -> RowOffset:
    """Measure the row offset of a recording in its rectified view (raw where uncalibrated).

    Searched are rows up to a twelfth of the image (12 at least) and disparities from minus a tenth
    to 0.4 of its width. Without usable windows the offset is 0 and the confidence 0.

    Args:
        recording: two cameras.
        progress: called with the share that is done.

    Raises:
        RecordingError: the recording turned out to be damaged.
    """
    rows = max(12, recording.height // 12)
    first, last = recording.span_us
    near, far = -(recording.width // 10), (2 * recording.width) // 5
    votes: list[tuple[float, float, F32]] = []
    for index in range(WINDOWS):
        # The middles of equal parts.
        middle = first + (last - first) * (2 * index + 1) // (2 * WINDOWS)
        pair = _pair(recording, middle)
        if pair is not None:
            left, right = (_edges(e, recording.width, recording.height) for e in pair)
            vote = _vote(_correlate(left, right, rows=rows, near=near, far=far))
            if vote is not None:
                votes.append(vote)
        progress((index + 1) / WINDOWS)
    if not votes:
        return RowOffset(offset_px=0.0, confidence=0.0, windows=0)
    offsets, weights = np.array([vote[:2] for vote in votes]).T
    answer = _weighted_median(offsets, weights)
    agree = np.abs(offsets - answer) <= 1.0
    if agree.any() and weights[agree].sum() > 0:
        answer = float(np.average(offsets[agree], weights=weights[agree]))
    fit = np.mean([vote[2] for vote, counts in zip(votes, agree, strict=True) if counts], axis=0)
    return RowOffset(
        offset_px=answer,
        confidence=float(weights[agree].sum() / len(votes)),
        windows=len(votes),
        nearest_px=near,
        fit=tuple((fit / max(float(fit.max()), 1e-9)).tolist()),
    )


def without_calibration(
    recording: Recording, progress: Callable[[float], None] = lambda _share: None
) -> tuple[RectifiedRecording, RowOffset]:
    """Return the raw recording with its rows aligned, for disparity only, and the estimate.

    Rows stay as they are where the estimate is not reliable. A calibration of the recording is
    left aside, and so is its ground truth.
    """
    raw = shifted_rows(recording, 0.0)
    found = estimate_row_offset(raw, progress)
    return (shifted_rows(recording, found.offset_px) if found.reliable else raw), found


def _pair(recording: Recording, middle_us: int) -> tuple[Events, Events] | None:
    """Return the rectified events of both cameras around a time; None if they are too few."""
    length = SHORTEST_US
    while length <= LONGEST_US:
        start = middle_us - length // 2
        raw = {c: recording.events(c, start, start + length) for c in CAMERAS}
        if min(len(events) for events in raw.values()) >= FEWEST_EVENTS:
            seen: dict[Camera, Events] = {
                c: recording.rectify(c, raw[c]).inside(recording.width, recording.height)
                for c in CAMERAS
            }
            if min(len(events) for events in seen.values()) >= FEWEST_EVENTS // 2:
                return seen["left"], seen["right"]
        length *= 2
    return None


def _edges(events: Events, width: int, height: int) -> F32:
    """Return ``[H, W]``: the image of the events, its slow changes removed."""
    column, row = (
        np.floor(axis + np.float32(0.5)).astype(np.int64) for axis in (events.x, events.y)
    )
    counts = np.bincount(row * width + column, minlength=width * height).reshape(height, width)
    image = np.minimum(counts, MOST_PER_PIXEL).astype(np.float32)
    narrow = cv2.GaussianBlur(image, (0, 0), NARROW)
    return np.asarray(narrow - cv2.GaussianBlur(image, (0, 0), WIDE), np.float32)


def _vote(correlation: F32) -> tuple[float, float, F32] | None:
    """Return the row offset of one window, its weight, and the fit over disparities.

    The weight, from 0 to 1, is how far the best correlations of the other rows stay behind that of
    the peak. None without structure, or with the peak on the border of what was searched.

    Args:
        correlation: ``[2 R + 1, D]`` over row offsets from -R to R and disparities.
    """
    profile = correlation.max(axis=1)
    best = int(profile.argmax())
    peak = float(profile[best])
    # A peak on the border may be the flank of one beyond it.
    if peak <= 0 or best in (0, profile.size - 1):
        return None
    elsewhere = np.abs(np.arange(profile.size) - best) >= BESIDE
    weight = 1.0 - max(0.0, float(profile[elsewhere].mean())) / peak
    before, after = float(profile[best - 1]), float(profile[best + 1])
    bend = before - 2 * peak + after
    # The vertex of the parabola through the peak and its neighbors.
    part = 0.5 * (before - after) / bend if bend < 0 else 0.0
    beside = slice(best - 1, best + 2)
    fit = np.maximum(correlation[beside].max(axis=0), 0) / peak
    return best - profile.size // 2 + part, max(0.0, weight), fit


def _correlate(left: F32, right: F32, *, rows: int, near: int, far: int) -> F32:
    """Return ``[2 rows + 1, far - near + 1]``, the sum of left(y, x) right(y + r, x - d).

    Row offsets r from -rows to rows, disparities d from near to far.
    """
    height, width = left.shape
    size = (
        cv2.getOptimalDFTSize(height + rows),
        cv2.getOptimalDFTSize(width + max(far, -near)),
    )
    product = np.conj(np.fft.rfft2(left, size)) * np.fft.rfft2(right, size)
    plane = np.fft.irfft2(product, size)
    r, d = np.arange(-rows, rows + 1), np.arange(near, far + 1)
    return plane[np.ix_(r % size[0], -d % size[1])].astype(np.float32)


def _weighted_median(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """Return the value at which half of the weight lies below."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(total, total[-1] / 2))])
