"""Clips of a light that is switched on before things without texture, in the dark.

Every pixel of a thing becomes brighter at once, as often as its share of the light and chance have
it. So the two cameras agree in where things end and in nothing else: what else teaches networks to
match, texture that moves, is missing. The simulator renders light that changes a little; this is
drawn from its outcome instead: Poisson counts, a gain of each pixel, one camera dimmer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.events import Events
from data.recording import CAMERAS, Camera
from data.simulator.clip import Clip

MOST = 5
"""Things in a clip."""

FADES_US = 4_000
"""From the end of the brightening to the beginning of the darkening."""

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A disc or rectangle; its disparity is a plane.

    Attributes:
        disc: whether it is one; an ellipse if its sizes differ.
        center: column and row in the left view.
        size: half its width and height, pixels.
        disparity: at its center, pixels.
        slant: disparity per pixel along rows and columns.
        events: mean number that a pixel of the brighter camera sends in a flash.
        shade: share of these that is lost from the center to either side, along both axes.
    """

    disc: bool
    center: tuple[float, float]
    size: tuple[float, float]
    disparity: float
    slant: tuple[float, float]
    events: float
    shade: tuple[float, float]

    def seen(self, column: F64, row: F64) -> tuple[npt.NDArray[np.bool_], F64, F64]:
        """Return whether places of the left view belong to it, their disparity and events."""
        across, down = column - self.center[0], row - self.center[1]
        x, y = across / self.size[0], down / self.size[1]
        inside = x * x + y * y <= 1 if self.disc else np.maximum(np.abs(x), np.abs(y)) <= 1
        disparity = self.disparity + self.slant[0] * across + self.slant[1] * down
        events = self.events * np.clip(1 + self.shade[0] * x + self.shade[1] * y, 0.05, None)
        return inside & (disparity > 0), disparity, events

    def source(self, column: F64, row: F64) -> F64:
        """Return the column of the left view that is seen at a place of the right one.

        Solves ``left - disparity(left) = right``, which is linear.
        """
        before = self.disparity - self.slant[0] * self.center[0]
        below = self.slant[1] * (row - self.center[1])
        return (column + before + below) / (1 - self.slant[0])


def draw_thing(rng: np.random.Generator, width: int, height: int) -> Thing:
    """Return a random thing for views of a size; disparities up to a third of the width."""
    wide, high = rng.uniform(0.06, 0.35, 2) * width
    return Thing(
        disc=bool(rng.random() < 0.5),
        center=(float(rng.uniform(0.1, 1.0) * width), float(rng.uniform(0.0, height))),
        size=(float(wide), float(wide if rng.random() < 0.5 else high)),
        disparity=float(rng.uniform(0.02, 0.35) * width),
        slant=(float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05))),
        events=float(10 ** rng.uniform(-1.2, 0.5)),
        shade=(float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.6, 0.6))),
    )


def look(things: Sequence[Thing], width: int, height: int) -> tuple[F64, dict[Camera, F64]]:
    """Return the disparity of the left view, 0 where nothing is, and what both cameras see.

    Args:
        things: the nearer one hides the farther one.
        width: columns.
        height: rows.

    Returns:
        ``[H, W]`` pixels, and ``[H, W]`` mean events in a flash by camera.
    """
    row, column = np.mgrid[:height, :width].astype(np.float64)
    truth = np.zeros((height, width))
    light: dict[Camera, F64] = {camera: np.zeros((height, width)) for camera in CAMERAS}
    for thing in sorted(things, key=lambda thing: thing.disparity):
        inside, disparity, events = thing.seen(column, row)
        truth[inside], light["left"][inside] = disparity[inside], events[inside]
        inside, _, events = thing.seen(thing.source(column, row), row)
        light["right"][inside] = events[inside]
    return truth, light


def flash_clip(seed: int, width: int, height: int, stamps_us: Sequence[int]) -> Clip:
    """Return the clip of a seed: nothing moves, and before every stamp there is a flash.

    Args:
        seed: of everything.
        width: columns.
        height: rows.
        stamps_us: of the ground truth; the last one ends the clip.
    """
    rng = np.random.default_rng(seed)
    things = [draw_thing(rng, width, height) for _ in range(int(rng.integers(1, MOST + 1)))]
    truth, light = look(things, width, height)
    light[CAMERAS[int(rng.integers(2))]] *= rng.uniform(0.2, 1.0)
    darkening = float(rng.choice([0.0, 0.5, 1.0]))
    lasts = int(rng.integers(1_000, 8_000))
    starts = [stamp - int(rng.integers(4_000, 28_000)) for stamp in stamps_us]
    flashes = [(start, 1.0, True) for start in starts]
    flashes += [(start + lasts + FADES_US, darkening, False) for start in starts]
    noise_hz, end = float(10 ** rng.uniform(-1.5, 0.7)), stamps_us[-1]
    seen = {}
    for camera in CAMERAS:
        mean = light[camera] * np.exp(rng.normal(0.0, 0.4, truth.shape))
        parts = [_noise(rng, noise_hz, width, height, end)]
        for start, share, brighter in flashes:
            row, column = np.nonzero(count := rng.poisson(mean * share))
            times = count[row, column]
            t = start + rng.integers(0, lasts, times.sum())
            parts.append((t, np.repeat(column, times), np.repeat(row, times), t * 0 + brighter))
        seen[camera] = _in_order(parts, end)
    return Clip(
        left=seen["left"], right=seen["right"],
        disparity=np.repeat(truth[None].astype(np.float32), len(stamps_us), 0),
        disparity_t_us=np.array(stamps_us, np.int64),
    )  # fmt: skip


Columns = tuple[npt.NDArray[np.int64], ...]
"""Time, column, row, polarity."""


def _noise(rng: np.random.Generator, hz: float, width: int, height: int, end: int) -> Columns:
    count = int(rng.poisson(hz * width * height * end * 1e-6))
    return tuple(rng.integers(0, most, count) for most in (end, width, height, 2))


def _in_order(parts: Sequence[Columns], end: int) -> Events:
    t, x, y, p = (np.concatenate(column) for column in zip(*parts, strict=True))
    kept = np.flatnonzero((t >= 0) & (t < end))
    order = kept[np.argsort(t[kept], kind="stable")]
    return Events(
        t=t[order], x=x[order].astype(np.uint16), y=y[order].astype(np.uint16), p=p[order] > 0
    )
