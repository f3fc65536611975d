"""Which windows of a recording are looked at: half-open, of one length, ends in rising order.

Ends rather than starts are laid out, because an estimate belongs to the end of its window: that is
the time at which a running system would have it, and the time that ground truth is compared at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counted
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stereo.errors import StereoError

MOST_WINDOWS = 1_000_000
"""More than this is taken for a mistake in the units of time."""

_SLACK = 10
"""One part in this many of a window may lie before the first or after the last event."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One stretch of time ``[t0_us, t1_us)``.

    Attributes:
        t0_us: start, inclusive.
        t1_us: end, exclusive; the time of the estimate.
        truth: index of the ground truth at ``t1_us``, None if there is none.
    """

    t0_us: int
    t1_us: int
    truth: int | None = None


def plan_windows(
    span_us: tuple[int, int],
    truth_t_us: npt.NDArray[np.int64],
    *,
    window_us: int,
    step_us: int,
    limit: int | None = None,
) -> list[Window]:
    """Lay windows over a recording.

    With ground truth, windows end at every stamp that has a whole window of events before it
    (a tenth may be missing), and at equally spaced times between two stamps, at most ``step_us``
    apart. Before the first and after the last of these stamps, and everywhere without ground truth,
    ends are ``step_us`` apart. The first window begins no later than the first event and the last
    ends after the last event, so with ``step_us <= window_us`` every event is seen; these two
    windows may reach beyond the recording.

    Args:
        span_us: first and last event time that both cameras cover.
        truth_t_us: ``[K]`` rising stamps of the ground truth, possibly none.
        window_us: length of every window.
        step_us: largest distance of two ends.
        limit: keep the first so many windows only.

    Raises:
        StereoError: a length or limit below 1, or so many windows that the units must be wrong.
    """
    if min(window_us, step_us) < 1 or (limit is not None and limit < 1):
        raise StereoError(
            "Windows need a length, a step and a number of at least 1, got a length of "
            f"{window_us} us, a step of {step_us} us and {limit} windows."
        )
    first, last = span_us[0], span_us[1] + 1
    count = (last - first) // step_us
    if count > MOST_WINDOWS:
        raise StereoError(
            f"The recording lasts {(last - first) / 1e6:g} s, which makes {count:,} windows at a "
            f"step of {step_us / 1e3:g} ms. Check that its times are microseconds, or give a "
            "longer --step-ms."
        )
    anchors = _anchors(first, last, truth_t_us, window_us)
    ends = list(_ends(first, last, sorted(anchors), window_us, step_us))
    return [
        Window(t0_us=end - window_us, t1_us=end, truth=anchors.get(end)) for end in ends[:limit]
    ]


def endless_windows(start_us: int, *, window_us: int, step_us: int) -> Iterator[Window]:
    """Yield the windows of a live stream: the first begins at ``start_us``.

    Raises:
        StereoError: a length or a step below 1.
    """
    if min(window_us, step_us) < 1:
        raise StereoError(
            f"Windows need a length and a step of at least 1 us, got {window_us} and {step_us}."
        )
    return (Window(t0_us=begin, t1_us=begin + window_us) for begin in counted(start_us, step_us))


def _anchors(
    first: int, last: int, truth_t_us: npt.NDArray[np.int64], window_us: int
) -> dict[int, int]:
    """Return stamp -> index of the ground truth with enough events before it."""
    slack = window_us // _SLACK
    return {
        int(stamp): index
        for index, stamp in enumerate(truth_t_us)
        if first + window_us - slack <= stamp <= last + slack
    }


def _ends(first: int, last: int, anchors: list[int], window_us: int, step_us: int) -> Iterator[int]:
    """Yield the ends of the windows of a recording with events in ``[first, last)``."""
    if not anchors:
        anchors = [first + window_us]
    lead = max(0, anchors[0] - window_us - first)
    steps_before = min(-(-lead // step_us), (anchors[0] - first - 1) // step_us)
    for index in range(steps_before, 0, -1):
        yield anchors[0] - index * step_us
    for here, there in pairwise(anchors):
        parts = -(-(there - here) // step_us)
        yield from (here + round(index * (there - here) / parts) for index in range(parts))
    end = anchors[-1]
    yield end
    while end < last:
        end += step_us
        yield end


def covered_us(windows: list[Window]) -> int:
    """Return the time that a video of the windows stands for: their number times their spacing."""
    if len(windows) == 1:
        return windows[0].t1_us - windows[0].t0_us
    span = windows[-1].t1_us - windows[0].t1_us
    return max(1, round(span * len(windows) / (len(windows) - 1)))
