"""Which ground truths of a recording have a window of events before them."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS, Camera, Recording

SLACK = 10
"""One part in this many of a window may lie before the first or after the last event."""

USUAL_WINDOW_US = 50_000
"""Of this windows by number get their slack after the last event."""

Pair = tuple[Events, Events]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How windows are cut; give either a length or a number.

    Attributes:
        window_us: length of a window, microseconds.
        window_events: number of events of each camera in a window. Both cameras are cut to the time
            that the last so many events of each cover, so one of them has fewer.
        frames: windows in a row, one after another, the last ends at the ground truth.
    """

    window_us: int | None = None
    window_events: int | None = None
    frames: int = 1

    def __post_init__(self) -> None:
        """Refuse both or neither, and sizes below 1."""
        sizes = [size for size in (self.window_us, self.window_events) if size is not None]
        if len(sizes) != 1 or min(*sizes, self.frames) < 1:
            raise ValueError(
                "A window needs either window_us or window_events, and frames, each at least 1; "
                f"got {self.window_us} us, {self.window_events} events and {self.frames} frames."
            )

    def bounds(self, t_us: int) -> list[tuple[int, int]]:
        """Return ``[t0, t1)`` of the windows by time that end at ``t_us``, oldest first."""
        length = self.window_us or 0
        ends = [t_us - k * length for k in range(self.frames)]
        return [(end - length, end) for end in reversed(ends)]

    def by_number(self, recording: Recording, t_us: int) -> list[tuple[tuple[int, int], Pair]]:
        """Return bounds and raw events of the windows by number that end at ``t_us``.

        Each window begins with the first event that is among the last so many of **both** cameras,
        and ends where the next begins.
        """
        count = self.window_events or 0
        found: list[tuple[tuple[int, int], Pair]] = []
        for _ in range(self.frames):
            left, right = (recording.last_events(camera, t_us, count) for camera in CAMERAS)
            first = max((int(e.t[0]) for e in (left, right) if len(e)), default=t_us - 1)
            found.append(((first, t_us), (left.window(first, t_us), right.window(first, t_us))))
            t_us = first
        return found[::-1]


def usable_truths(
    recording: Recording, cut: Cut, truths: tuple[int, ...] | None
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the ground truths that have all their windows, and how many have not.

    A tenth of a window may be missing at either end of the recording, as in ``stereo infer``; so of
    DSEC the first ground truth, before which there are no events, has no window.

    Args:
        recording: open.
        cut: how windows are cut.
        truths: the wanted ones, None for all.

    Raises:
        RecordingError: a wanted ground truth that does not exist.
    """
    stamps = recording.disparity_t_us
    wanted = np.arange(stamps.size) if truths is None else np.asarray(truths, np.int64)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= stamps.size):
        raise RecordingError(
            f"{recording.name} has {stamps.size} ground truths, but {wanted.min()} to "
            f"{wanted.max()} were asked for. Is it cut short, or another recording?"
        )
    first, last = recording.span_us
    ends = stamps[wanted]
    if cut.window_us is not None:
        slack = cut.window_us // SLACK
        earliest = first + cut.frames * cut.window_us - slack
    else:
        slack = USUAL_WINDOW_US // SLACK
        earliest = _first_full(recording, np.unique(ends), cut)
    keep = (ends >= earliest) & (ends <= last + slack)
    return wanted[keep], int(wanted.size - keep.sum())


def _first_full(recording: Recording, ends: npt.NDArray[np.int64], cut: Cut) -> int:
    """Return the first of the rising ``ends`` with enough events of both cameras before it."""
    need = cut.frames * (cut.window_events or 0)

    def full(index: int) -> bool:
        end = int(ends[index])
        return all(len(recording.last_events(camera, end, need)) >= need for camera in CAMERAS)

    never = int(np.iinfo(np.int64).max)
    if not ends.size or _total(recording) < need:
        return never
    # Looked for from the front, for a recording has enough events soon or not at all.
    high = 1
    while high < ends.size and not full(high - 1):
        high *= 2
    high = min(high, int(ends.size))
    place = bisect_left(range(high), True, lo=high // 2, key=full)
    return int(ends[place]) if place < ends.size else never


def _total(recording: Recording) -> int:
    cameras: tuple[Camera, Camera] = CAMERAS
    return min(recording.total[camera] for camera in cameras)
