"""Augmentations of what the sensors report: lost, late, false and missing events."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data.augment.kernels import thin
from data.augment.pair import Augmentation, StereoEvents, check_share
from data.events import Events

FULL = 1 << 32
"""A share of one in the counters of ``thin``."""


@dataclass(frozen=True, kw_only=True)
class EventDrop(Augmentation):
    """Events are lost at random, in each camera another share. A share of 0 is the identity.

    Attributes:
        most_share: the share lost is uniform from 0 to this.
    """

    most_share: float

    def __post_init__(self) -> None:
        """Refuse a share outside 0 to 1."""
        check_share("most_share", self.most_share)

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with fewer events; see ``Augmentation.__call__``."""
        left, right = (self._drop(events, rng) for events in (pair.left, pair.right))
        return replace(pair, left=left, right=right)

    def _drop(self, events: Events, rng: np.random.Generator) -> Events:
        share = rng.uniform(0.0, self.most_share)
        return events.take(rng.random(len(events)) >= share) if share > 0 else events


@dataclass(frozen=True, kw_only=True)
class TimeJitter(Augmentation):
    """Every event comes early or late by a normally distributed time.

    Times stay sorted and inside the window: those that would leave it are reflected at its ends.

    Attributes:
        sigma_us: standard deviation; 0 is the identity.
    """

    sigma_us: float

    def __post_init__(self) -> None:
        """Refuse a negative or infinite jitter."""
        if not (0 <= self.sigma_us < np.inf):
            raise ValueError(f"sigma_us must be 0 or more microseconds, got {self.sigma_us}.")

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with shaken times; see ``Augmentation.__call__``."""
        if self.sigma_us == 0:
            return pair
        left, right = (
            self._shake(events, pair.t0_us, pair.t1_us, rng) for events in (pair.left, pair.right)
        )
        return replace(pair, left=left, right=right)

    def _shake(self, events: Events, t0_us: int, t1_us: int, rng: np.random.Generator) -> Events:
        length = t1_us - t0_us
        shift = np.rint(rng.standard_normal(len(events)) * self.sigma_us).astype(np.int64)
        # A triangle wave of period 2 L takes any time into [0, L) and leaves [0, L) as it is.
        since = (events.t - t0_us + shift) % (2 * length)
        return in_order(
            t=np.minimum(since, 2 * length - 1 - since) + t0_us,
            x=events.x,
            y=events.y,
            p=events.p,
        )


@dataclass(frozen=True, kw_only=True)
class PolarityNoise(Augmentation):
    """Some events report the wrong sign.

    Attributes:
        most_share: the share of flipped events is uniform from 0 to this, in each camera another.
    """

    most_share: float

    def __post_init__(self) -> None:
        """Refuse a share outside 0 to 1."""
        check_share("most_share", self.most_share)

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with wrong signs; see ``Augmentation.__call__``."""
        left, right = (self._flip(events, rng) for events in (pair.left, pair.right))
        return replace(pair, left=left, right=right)

    def _flip(self, e: Events, rng: np.random.Generator) -> Events:
        share = rng.uniform(0.0, self.most_share)
        if share == 0:
            return e
        return Events.trusted(t=e.t, x=e.x, y=e.y, p=e.p ^ (rng.random(len(e)) < share))


@dataclass(frozen=True, kw_only=True)
class ThresholdJitter(Augmentation):
    """Less sensitive sensors: each camera and polarity gets its own higher threshold.

    A pixel with a threshold ``k`` times as high needs ``k`` times the change for an event, so about
    every ``k``-th event of a pixel and polarity remains; ``k`` may be a fraction, which is counted
    up per pixel from a random start. Sub-threshold changes of the other sign are not modeled, and
    lower thresholds are impossible: nobody knows the events that did not happen.

    Attributes:
        most_factor: ``k`` is uniform from 1 to this.
    """

    most_factor: float

    def __post_init__(self) -> None:
        """Refuse a factor that would need more events."""
        if not (1 <= self.most_factor < np.inf):
            raise ValueError(f"most_factor must be 1 or more, got {self.most_factor}.")

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with fewer events; see ``Augmentation.__call__``."""
        left, right = (
            thinned(events, pair.height, pair.width, 1.0 / off, 1.0 / on, rng)
            for events, (off, on) in zip(
                (pair.left, pair.right), rng.uniform(1.0, self.most_factor, (2, 2)), strict=True
            )
        )
        return replace(pair, left=left, right=right)


@dataclass(frozen=True, kw_only=True)
class ContrastJitter(Augmentation):
    """A scene of less contrast: both cameras and polarities keep one common share of their events.

    The number of events of a pixel is proportional to the log contrast that passes it.

    Attributes:
        least_contrast: the contrast is uniform from this to 1.
    """

    least_contrast: float

    def __post_init__(self) -> None:
        """Refuse a contrast outside 0 to 1."""
        check_share("least_contrast", self.least_contrast)

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with fewer events; see ``Augmentation.__call__``."""
        contrast = rng.uniform(self.least_contrast, 1.0)
        left, right = (
            thinned(events, pair.height, pair.width, contrast, contrast, rng)
            for events in (pair.left, pair.right)
        )
        return replace(pair, left=left, right=right)


@dataclass(frozen=True, kw_only=True)
class NoiseEvents(Augmentation):
    """False events, uniform over image, window and polarity, independent in both cameras.

    Attributes:
        most_hz: the rate per pixel is uniform from 0 to this, in each camera another.
    """

    most_hz: float

    def __post_init__(self) -> None:
        """Refuse a negative or infinite rate."""
        if not (0 <= self.most_hz < np.inf):
            raise ValueError(f"most_hz must be 0 or more events per second, got {self.most_hz}.")

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with more events; see ``Augmentation.__call__``."""
        left, right = (self._noisy(events, pair, rng) for events in (pair.left, pair.right))
        return replace(pair, left=left, right=right)

    def _noisy(self, events: Events, pair: StereoEvents, rng: np.random.Generator) -> Events:
        seconds = (pair.t1_us - pair.t0_us) / 1e6
        rate = rng.uniform(0.0, self.most_hz)
        count = int(rng.poisson(rate * seconds * pair.height * pair.width))
        if count == 0:
            return events
        x = rng.uniform(-0.5, pair.width - 0.5, count).astype(np.float32)
        y = rng.uniform(-0.5, pair.height - 0.5, count).astype(np.float32)
        # Rounding to float32 may reach the open border.
        x = np.minimum(x, np.nextafter(np.float32(pair.width - 0.5), np.float32(0)))
        y = np.minimum(y, np.nextafter(np.float32(pair.height - 0.5), np.float32(0)))
        return in_order(
            t=np.concatenate([events.t, rng.integers(pair.t0_us, pair.t1_us, count)]),
            x=np.concatenate([events.x, x]),
            y=np.concatenate([events.y, y]),
            p=np.concatenate([events.p, rng.random(count) < 0.5]),
        )


def thinned(
    events: Events, height: int, width: int, off: float, on: float, rng: np.random.Generator
) -> Events:
    """Return the events that remain if each pixel keeps a share of its OFF and its ON events.

    Of ``n`` events of a pixel and polarity, ``n * share`` remain, give or take less than one: each
    adds the share to a counter that starts anywhere in [0, 1), and one that fills it up remains.
    """
    if off == on == 1.0:
        return events
    counts = rng.integers(0, FULL, (2, height + 2, width + 2), dtype=np.uint32)
    keep = np.empty(len(events), np.bool_)
    thin(
        np.ascontiguousarray(events.x, np.float32),
        np.ascontiguousarray(events.y, np.float32),
        np.ascontiguousarray(events.p),
        round(off * FULL),
        round(on * FULL),
        counts,
        keep,
    )
    return events.take(keep)


def in_order(
    *,
    t: npt.NDArray[np.int64],
    x: npt.NDArray[np.float32] | npt.NDArray[np.uint16],
    y: npt.NDArray[np.float32] | npt.NDArray[np.uint16],
    p: npt.NDArray[np.bool_],
) -> Events:
    """Return events sorted by time; equal times keep their order."""
    order = np.argsort(t, kind="stable")
    return Events.trusted(t=t[order], x=x[order], y=y[order], p=p[order])
