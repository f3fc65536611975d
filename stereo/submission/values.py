"""Are these numbers disparity times 256? Rules for one image, and for the images of a sequence.

The bounds follow from the data set: focal length times baseline is 349.5 px m, so 1 px is 350 m,
10 px is 35 m and 192 px, the largest that published methods search, is 1.8 m. The camera looks
ahead from a car: the road at the bottom of the image is near, the middle rows hold the horizon.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt16

from data.dsec.truth import DISPARITY_SCALE

FEW_PX = 1.0
"""Almost all of a real image lies nearer than 350 m."""

LOW_PX = 10.0
"""In most images of a sequence something lies nearer than 35 m: at least the road."""

MANY_PX = 128.0
"""Half of a real image is never nearer than 2.7 m."""

SEARCHED_PX = 192.0

HORIZON, ROAD = (0.40, 0.55), (0.75, 0.95)
"""Shares of the rows, from the top."""

FAR_IS_LARGER = 1.5
SUSPICIOUS_RATIO = 1.1
"""Of the horizon's median to the road's. Of depth it is several, of disparity below 1."""

MOST = 0.75
"""Share of the images of a sequence that a rule about the sequence has to hold for."""

Severity = Literal["error", "warning"]
EXPECTED = "disparity in pixels times 256"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong or suspicious.

    Attributes:
        severity: ``error`` for what the server rejects or scores wrongly, else ``warning``.
        code: short name of the rule.
        file: file or folder in the submission; ``.`` is the submission itself.
        found: what is there.
        expected: what should be.
        remedy: what to do.
    """

    severity: Severity
    code: str
    file: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.found}. Expected {self.expected}. {self.remedy}"


def error(code: str, file: str, *, found: str, expected: str, remedy: str) -> Finding:
    """Return the finding that the server would refuse or misread something."""
    return Finding(
        severity="error", code=code, file=file, found=found, expected=expected, remedy=remedy
    )


def warning(code: str, file: str, *, found: str, expected: str, remedy: str) -> Finding:
    """Return the finding that something is legal but suspicious."""
    return Finding(
        severity="warning", code=code, file=file, found=found, expected=expected, remedy=remedy
    )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the rules look at in one image.

    Attributes:
        pixels: number of pixels.
        zeros: how many of them are 0.
        smallest: smallest stored number.
        largest: largest stored number.
        low_px: 1st percentile of the pixels that are not 0, read as disparity.
        median_px: their median.
        high_px: their 99th percentile.
        beyond: share of the pixels above ``SEARCHED_PX``.
        whole: whether every number is a whole number of pixels.
        ratio: median at the horizon over median on the road; None where one of them is 0.
        digest: of the numbers.
    """

    pixels: int
    zeros: int
    smallest: int
    largest: int
    low_px: float
    median_px: float
    high_px: float
    beyond: float
    whole: bool
    ratio: float | None
    digest: str


def measure(image: UInt16[np.ndarray, "H W"]) -> Facts:
    """Return what the rules look at."""
    counts = np.bincount(image.ravel(), minlength=1 << 16)
    total, zeros = image.size, int(counts[0])
    present = np.flatnonzero(counts)
    beyond = counts[int(SEARCHED_PX * DISPARITY_SCALE) + 1 :].sum()
    low, median, high = _percentiles(counts, (0.01, 0.5, 0.99))
    horizon, road = (float(np.median(_rows(image, band))) for band in (HORIZON, ROAD))
    return Facts(
        pixels=total,
        zeros=zeros,
        smallest=int(present[0]),
        largest=int(present[-1]),
        low_px=low,
        median_px=median,
        high_px=high,
        beyond=float(beyond) / total,
        whole=not (present % DISPARITY_SCALE).any(),
        ratio=horizon / road if horizon and road else None,
        digest=hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
    )


def judge_image(file: str, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the numbers of one image."""
    if facts.largest == 0:
        yield error(
            "all-zero",
            file,
            found="0 at every pixel",
            expected=EXPECTED,
            remedy="Look for NaN or an empty array before the conversion to 16 bits, and write the "
            "image again.",
        )
        return
    if facts.smallest == facts.largest:
        yield error(
            "constant",
            file,
            found=f"the number {facts.largest} ({facts.largest / DISPARITY_SCALE:.3f} px) at every "
            "pixel",
            expected="an estimate of the scene",
            remedy="Look for what was written in place of the estimate, and write the image again.",
        )
        return
    if facts.high_px < FEW_PX:
        yield error(
            "unscaled",
            file,
            found=f"99 % of the pixels below {facts.high_px:.3f} px (350 m), largest number "
            f"{facts.largest}, as disparity that was not multiplied by 256",
            expected=EXPECTED,
            remedy="Multiply the disparity by 256, round it and convert it to 16 bits last.",
        )
    elif facts.median_px > MANY_PX:
        yield error(
            "too-large",
            file,
            found=f"a median of {facts.median_px:.1f} px (depth of {349.5 / facts.median_px:.2f} "
            "m), as depth in millimeters, a picture stretched to 16 bits, or negative numbers",
            expected=EXPECTED,
            remedy="Write the disparity of the left view, not depth, without stretching it.",
        )
    yield from _suspicions(file, facts)


def _suspicions(file: str, facts: Facts) -> Iterator[Finding]:
    """Yield what is legal in an image, but seldom meant."""
    if facts.zeros > 0:
        yield warning(
            "zeros",
            file,
            found=f"0 at {facts.zeros:,} of {facts.pixels:,} pixels",
            expected="an estimate at every pixel",
            remedy="The server compares 0 with the ground truth as any other number. NaN becomes 0 "
            "when it is converted; fill the holes.",
        )
    if facts.beyond > 0.001 and facts.median_px <= MANY_PX:
        yield warning(
            "very-near",
            file,
            found=f"more than {SEARCHED_PX:g} px (nearer than 1.8 m) at {facts.beyond:.2%} of the "
            f"pixels, largest number {facts.largest}",
            expected="disparity of a street scene",
            remedy="Look for infinite or negative numbers before the conversion to 16 bits.",
        )
    if facts.whole:
        yield warning(
            "whole-pixels",
            file,
            found="whole pixels only (every number is a multiple of 256)",
            expected="fractions of a pixel",
            remedy="Multiply by 256 before rounding, not after.",
        )
    if facts.high_px >= FEW_PX and facts.high_px - facts.low_px < 0.25:
        yield warning(
            "nearly-constant",
            file,
            found=f"98 % of the pixels between {facts.low_px:.2f} and {facts.high_px:.2f} px",
            expected="an estimate of the scene",
            remedy="Look at the image; an untrained network, or one without events, gives this.",
        )


def judge_sequence(name: str, files: Sequence[str], facts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield what is wrong with the numbers of the images of one sequence together.

    Args:
        name: of the sequence.
        files: its images, in order.
        facts: of each.
    """
    seen: dict[str, str] = {}
    for file, fact in zip(files, facts, strict=True):
        if fact.smallest != fact.largest and fact.digest in seen:
            yield warning(
                "repeated",
                file,
                found=f"the same image as {seen[fact.digest]}",
                expected="another one per stamp",
                remedy="Look whether the window of events moves from stamp to stamp.",
            )
        seen.setdefault(fact.digest, file)
    telling = [f for f in facts if f.largest and f.smallest != f.largest and f.high_px >= FEW_PX]
    if not telling:
        return
    typical = float(np.median([fact.high_px for fact in telling]))
    if typical < LOW_PX:
        yield error(
            "scale",
            name,
            found=f"99 % of the pixels of a typical image below {typical:.2f} px "
            f"({349.5 / typical:.0f} m), as disparity times another factor than 256 (16: OpenCV's "
            "fixed point, 7: MVSEC)",
            expected=EXPECTED,
            remedy="Divide by the factor that you used and multiply by 256.",
        )
        return
    yield from _depth(name, [fact.ratio for fact in telling if fact.ratio is not None])


def _depth(name: str, ratios: list[float]) -> Iterator[Finding]:
    """Yield a finding if the horizon has larger numbers than the road."""
    if not ratios:
        return
    typical = float(np.median(ratios))
    for kind, bound, words in _DEPTH_BOUNDS:
        if sum(ratio >= bound for ratio in ratios) >= MOST * len(ratios):
            yield kind(
                "depth",
                name,
                found=f"numbers that {words}: the rows of the horizon have {typical:.2f} times "
                "those of the road in front",
                expected="disparity, which is largest near by",
                remedy="Write focal length times baseline over depth, times 256; look whether the "
                "images are upside down.",
            )
            return


_DEPTH_BOUNDS: tuple[tuple[Callable[..., Finding], float, str], ...] = (
    (error, FAR_IS_LARGER, "grow with distance, as depth does"),
    (warning, SUSPICIOUS_RATIO, "grow with distance"),
)


def _rows(
    image: UInt16[np.ndarray, "H W"], band: tuple[float, float]
) -> UInt16[np.ndarray, "rows W"]:
    """Return the rows between two shares of the height, at least one."""
    first = int(band[0] * image.shape[0])
    return image[first : max(first + 1, int(band[1] * image.shape[0]))]


def _percentiles(
    counts: np.ndarray[tuple[int], np.dtype[np.intp]], shares: Sequence[float]
) -> list[float]:
    """Return percentiles of the numbers that are not 0, in pixels; 0 where there are none."""
    summed = np.cumsum(counts[1:])
    if not summed[-1]:
        return [0.0] * len(shares)
    places = np.searchsorted(summed, [share * summed[-1] for share in shares])
    return [(int(place) + 1) / DISPARITY_SCALE for place in places]
