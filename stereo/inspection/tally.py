"""What is measured of one camera while its events pass once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stereo.inspection.kernels import tally

RATE_BINS = 256
"""Parts of the recording for which the rate is known."""

HOT_TIMES = 8
"""A hot pixel has more than so many times the events of its second busiest neighbor, plus one."""

HOT_PER_S = 2.0
"""A hot pixel has at least so many events per second..."""

HOT_EVENTS = 16
"""...and so many in all: a few stray events on a dark background are noise, not a fault."""

LISTED_HOT = 5


@dataclass(frozen=True, kw_only=True)
class CameraFacts:
    """One camera of a recording. Shares are from 0 to 1, None where there is nothing to share.

    Attributes:
        width: columns of the sensor.
        height: rows of the sensor.
        events: stored.
        duration_s: time that was looked at.
        rate_per_s: events on the sensor per second of it.
        peak_rate_per_s: the same in the busiest of 256 equal parts.
        on_share: ON events among them.
        out_of_sensor: events at pixels that the sensor does not have.
        outside_overlap: events before or after the time that both cameras cover; not looked at.
        unsorted: events earlier than the one stored before them.
        duplicates: events equal to an earlier one in time, pixel and polarity.
        active_share: pixels with at least one event.
        hot_pixels: pixels with more than 8 times the events of the second busiest of their eight
            neighbors plus one, at least 16 events and 2 per second.
        hot_share: events of these pixels.
        hottest: up to five of them, ``(x, y, events)``, most events first.
        skipped: parts of the file that are no events, counted by what they are.
    """

    width: int
    height: int
    events: int
    duration_s: float
    rate_per_s: float | None
    peak_rate_per_s: float | None
    on_share: float | None
    out_of_sensor: int
    outside_overlap: int
    unsorted: int
    duplicates: int
    active_share: float | None
    hot_pixels: int
    hot_share: float | None
    hottest: tuple[tuple[int, int, int], ...]
    skipped: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self) | {"hottest": [list(pixel) for pixel in self.hottest]}


class CameraTally:
    """Takes the events of one camera in, block by block; memory is that of a few images.

    Args:
        width: columns of the sensor.
        height: rows of the sensor.
        span_us: first and last time that will come.
    """

    def __init__(self, width: int, height: int, span_us: tuple[int, int]) -> None:
        self.span_us = span_us
        self.image = np.zeros((height, width), np.uint32)
        self.rate = np.zeros(RATE_BINS, np.int64)
        self.bin_us = max(1, -(-(span_us[1] - span_us[0] + 1) // RATE_BINS))
        lowest = np.iinfo(np.int64).min
        self._last_us = np.full((2, height, width), lowest, np.int64)
        self._previous_us = int(lowest)
        self._counts = np.zeros(5, np.int64)

    def add(
        self,
        t: npt.NDArray[np.int64],
        x: npt.NDArray[np.uint16],
        y: npt.NDArray[np.uint16],
        p: npt.NDArray[np.bool_],
    ) -> None:
        """Take the next events in, ``[N]`` each."""
        self._previous_us = tally(
            t,
            x,
            y,
            p,
            self._previous_us,
            self.span_us[0],
            self.bin_us,
            self.image,
            self._last_us,
            self.rate,
            self._counts,
        )

    @property
    def seen(self) -> int:
        """Events on the sensor so far."""
        return int(self._counts[0])

    def facts(
        self,
        *,
        events: int,
        dropped: int = 0,
        sorted_away: int = 0,
        skipped: Mapping[str, int] | None = None,
    ) -> CameraFacts:
        """Return what was found.

        Args:
            events: stored, as the recording says.
            dropped: events outside the sensor that the reader has dropped before.
            sorted_away: unsorted events that the reader has put in order before.
            skipped: parts of the file that are no events.
        """
        seen, outside, on, unsorted, duplicates = (int(n) for n in self._counts)
        height, width = self.image.shape
        duration_s = (self.span_us[1] - self.span_us[0] + 1) / 1e6
        hot = hot_pixels(self.image, duration_s)
        return CameraFacts(
            width=width,
            height=height,
            events=events,
            duration_s=duration_s,
            rate_per_s=seen / duration_s if seen else None,
            peak_rate_per_s=int(self.rate.max()) / (self.bin_us / 1e6) if seen else None,
            on_share=on / seen if seen else None,
            out_of_sensor=outside + dropped,
            outside_overlap=events - seen - outside - dropped,
            unsorted=unsorted + sorted_away,
            duplicates=duplicates,
            active_share=float((self.image > 0).mean()) if seen else None,
            hot_pixels=int(hot.sum()),
            hot_share=int(self.image[hot].sum()) / seen if seen else None,
            hottest=_hottest(self.image, hot),
            skipped=dict(skipped or {}),
        )


def hot_pixels(image: npt.NDArray[np.uint32], duration_s: float) -> npt.NDArray[np.bool_]:
    """Return ``[H, W]``: pixels that fire without need.

    A pixel is compared with the second busiest of the eight around it: everything that is seen, a
    thin wire too, makes at least two neighbors fire, a fault makes none. Of faults side by side two
    are found.

    Args:
        image: ``[H, W]`` events per pixel.
        duration_s: time in which they came.
    """
    least = max(float(HOT_EVENTS), HOT_PER_S * duration_s)
    hot: npt.NDArray[np.bool_] = np.zeros(image.shape, np.bool_)
    rows, columns = np.nonzero(image >= least)
    padded = np.pad(image, 1)
    around = np.stack(
        [
            padded[rows + row, columns + column]
            for row in range(3)
            for column in range(3)
            if (row, column) != (1, 1)
        ]
    ).astype(np.int64)
    second = np.partition(around, -2, axis=0)[-2]
    hot[rows, columns] = image[rows, columns] > HOT_TIMES * (second + 1)
    return hot


def _hottest(
    image: npt.NDArray[np.uint32], hot: npt.NDArray[np.bool_]
) -> tuple[tuple[int, int, int], ...]:
    """Return the hot pixels with most events."""
    rows, columns = np.nonzero(hot)
    order = np.argsort(-image[rows, columns].astype(np.int64), kind="stable")[:LISTED_HOT]
    return tuple((int(columns[i]), int(rows[i]), int(image[rows[i], columns[i]])) for i in order)
