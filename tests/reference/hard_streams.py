"""Streams that are hard to keep up with, made from the windows of an ordinary recording.

A case takes the events of one window of one camera, ``[t0_us, t1_us)``, and returns others in the
same time. Window ``number`` counts from 0; hard windows come in turns, so a stream has both.
"""

import numpy as np

from data import Events

BURST = 10
"""Times the usual events in a burst."""

HOT_SHARE = 0.01
FLICKER_HZ = 100


def sorted_events(t, x, y, p):
    order = np.argsort(t, kind="stable")
    return Events(t=t[order], x=x[order], y=y[order], p=p[order])


def merged(*parts):
    columns = (np.concatenate([getattr(part, axis) for part in parts]) for axis in "txyp")
    return sorted_events(*columns)


def steady(events, **_):
    return events


def burst(events, *, number, t0_us, t1_us, width, height, **_):
    """Ten of a hundred windows have ten times the events, moved by up to four pixels."""
    if number % 100 < 90:
        return events
    rng = np.random.default_rng(number)
    copies = [events]
    for _copy in range(BURST - 1):
        t = rng.integers(t0_us, t1_us, len(events))
        x = (events.x.astype(int) + rng.integers(-4, 5)) % width
        y = (events.y.astype(int) + rng.integers(-4, 5)) % height
        kind = events.x.dtype
        copies.append(sorted_events(t, x.astype(kind), y.astype(kind), events.p))
    return merged(*copies)


def flicker(events, *, number, t0_us, t1_us, width, height, **_):
    """A fifth of the pixels sees a lamp at twice the mains in every second second."""
    if number // 20 % 2 == 0:
        return events
    rng = np.random.default_rng(number)
    seen = np.flatnonzero(rng.random(width * height) < 0.2)
    parts = [events]
    for turn, t in enumerate(range(t0_us, t1_us, 500_000 // FLICKER_HZ)):
        y, x = np.divmod(seen, width)
        some = np.full(len(seen), t, np.int64)
        kind = events.x.dtype
        parts.append(
            Events(t=some, x=x.astype(kind), y=y.astype(kind), p=np.full(len(seen), turn % 2 == 0))
        )
    return merged(*parts)


def empty(events, *, number, **_):
    """Nothing moves in every second second."""
    return events if number // 20 % 2 == 0 else Events.empty()


def dead(events, *, camera, **_):
    """The right camera is dead."""
    return events if camera == "left" else Events.empty()


def hot(events, *, t0_us, t1_us, width, height, camera, **_):
    """One percent of the pixels fires a thousand times a second."""
    rng = np.random.default_rng(width + (camera == "left"))
    pixels = rng.choice(width * height, int(HOT_SHARE * width * height), replace=False)
    t = np.arange(t0_us, t1_us, 1000)
    y, x = np.divmod(np.tile(pixels, len(t)), width)
    kind = events.x.dtype
    fired = Events(
        t=np.repeat(t, len(pixels)), x=x.astype(kind), y=y.astype(kind),
        p=rng.random(len(pixels) * len(t)) < 0.5,
    )  # fmt: skip
    return merged(events, fired)


CASES = {case.__name__: case for case in (steady, burst, flicker, empty, dead, hot)}


def endless(windows, case, *, window_us, width, height, count):
    """Yield ``(left, right, until_us)`` of so many windows.

    Args:
        windows: pairs of events of windows that begin at 0, which are repeated.
        case: of ``CASES``.
        window_us: length of a window.
        width: of a sensor.
        height: of it.
        count: of windows.
    """
    for number in range(count):
        t0_us = number * window_us
        pair = windows[number % len(windows)]
        made = []
        for camera, events in zip(("left", "right"), pair, strict=True):
            moved = Events(t=events.t + t0_us, x=events.x, y=events.y, p=events.p)
            made.append(
                case(
                    moved, number=number, camera=camera, t0_us=t0_us, t1_us=t0_us + window_us,
                    width=width, height=height,
                )
            )  # fmt: skip
        yield *made, t0_us + window_us
