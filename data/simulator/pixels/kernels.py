"""One pixel of an event camera: thresholds, dead time, low-pass, leak, shot noise, and its chance.

Chance comes from counters (``draw``) and nothing is compiled with fast math, so what a pixel does
depends neither on other pixels nor on the order of the work. The model is in ``sensor.py``.

Numba's cache notices changes of a file, not of what it imports: who changes this file must touch
``adaptive/kernels.py``, which inlines it.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from data.simulator.jit import INLINED, KERNEL

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

(REFERENCE, FILTERED, READY, NEXT_SHOT, LEAK, MEAN_LEAK, DRAWS, LEVEL, ON, OFF, BODY,
 STATE) = range(12)  # fmt: skip
"""A pixel: reference level, low-passed level, end of the dead time, time of the next candidate for
shot noise, leak per us now and on average, draws used, log radiance at the last sample, thresholds,
body seen at the last sample; their number."""

(REFRACTORY, CUTOFF, SHOT, LEAK_MEAN, LEAK_SPREAD, LEAK_JITTER, ON_MEAN, OFF_MEAN, MISMATCH,
 LEAST, MID_DN, BIAS_OFF, FLICKER, FLICKER_RATE, SENSOR) = range(15)  # fmt: skip
"""A sensor: dead time us, low-pass 1/us at full light, shot noise 1/us, leak in thresholds per us,
its spread and jitter, mean thresholds, their deviation and least value, digital number of log
radiance 0, share of OFF events lost, amplitude and rate (radians per us) of a flickering light."""

NEVER = -1e18
"""The end of a dead time that is not running: no event has this time, so t = 0 is no exception."""

TOLERANCE = 1e-6
"""Crossings count from this log difference on, as in ESIM: n thresholds give n events."""


@numba.njit(**INLINED)
def draw(key: int, pixel: int, index: int) -> float:
    """Return a number in (0, 1) that depends on its arguments alone.

    The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), once over key and pixel and
    once more over the index.
    """
    z = np.uint64(key) + np.uint64(pixel) * np.uint64(0x9E3779B97F4A7C15)
    for salt in (np.uint64(index + 1), np.uint64(0)):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(31))) + salt * np.uint64(0x9E3779B97F4A7C15)
    return (float(z >> np.uint64(11)) + 0.5) * 2.0**-53


@numba.njit(**KERNEL)
def _normal(key: int, pixel: int, index: int) -> float:
    """Return a standard normal number from draws ``index`` and ``index + 1`` (Box and Muller)."""
    radius = math.sqrt(-2.0 * math.log(draw(key, pixel, index)))
    return radius * math.cos(2.0 * math.pi * draw(key, pixel, index + 1))


@numba.njit(**INLINED)
def exponential(x: float) -> float:
    """Return ``exp(x)`` for x from -20 to 20 (held there), without branches, calls and tables.

    ``exp(x / 64)^64`` with Taylor's series to the eighth power: exact to rounding for ``|x| < 3``,
    to 1e-8 at 20, and vectorized where the library's is not.
    """
    r = min(20.0, max(-20.0, x)) * (1.0 / 64.0)
    series = r * (1.0 / 40320.0) + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = (series * r + 1.0) * r + 1.0
    series = series * series
    series = series * series
    series = series * series
    series = series * series
    series = series * series
    return series * series


@numba.njit(**INLINED)
def light_at(sensor: F64, t_us: float) -> float:
    """Return the log of the flickering light's brightness."""
    return sensor[FLICKER] * math.sin(sensor[FLICKER_RATE] * t_us) if sensor[FLICKER] else 0.0


@numba.njit(**INLINED)
def brightness(mid_dn: float, level: float) -> float:
    """Return the share of full light of v2e, ``(I + 20) / 275`` with I from 0 to 255."""
    share: float = (min(255.0, mid_dn * exponential(level)) + 20.0) * (1.0 / 275.0)
    return share


@numba.njit(**KERNEL)
def _wait(pixel: F64, sensor: F64, key: int, where: int) -> float:
    """Return the exponentially distributed time until the next candidate for shot noise."""
    rate = 0.5 * sensor[SHOT] * (
        sensor[ON_MEAN] / pixel[ON] + sensor[OFF_MEAN] / pixel[OFF]
    )  # fmt: skip
    pixel[DRAWS] += 1.0
    wait: float = -math.log(draw(key, where, int(pixel[DRAWS]))) / rate
    return wait


@numba.njit(**KERNEL)
def start_pixel(pixel: F64, sensor: F64, key: int, where: int, t_us: float, level: float) -> None:
    """Draw what a pixel keeps for life, and a reference anywhere between its thresholds."""
    on = sensor[ON_MEAN] + sensor[MISMATCH] * _normal(key, where, 0)
    off = sensor[OFF_MEAN] + sensor[MISMATCH] * _normal(key, where, 2)
    pixel[ON], pixel[OFF] = max(sensor[LEAST], on), max(sensor[LEAST], off)
    pixel[MEAN_LEAK] = sensor[LEAK_MEAN] * pixel[ON]
    if sensor[LEAK_SPREAD] > 0.0:
        pixel[MEAN_LEAK] *= math.exp(sensor[LEAK_SPREAD] * _normal(key, where, 4))
    pixel[LEAK] = pixel[MEAN_LEAK]
    pixel[DRAWS] = 8.0
    pixel[FILTERED] = pixel[LEVEL] = level
    share = draw(key, where, 6)
    pixel[REFERENCE] = level + pixel[LEAK] * t_us + pixel[OFF] - share * (pixel[ON] + pixel[OFF])
    pixel[READY] = NEVER
    pixel[NEXT_SHOT] = t_us + _wait(pixel, sensor, key, where) if sensor[SHOT] > 0.0 else -NEVER


@numba.njit(**INLINED)
def _emit(
    pixel: F64, sensor: F64, key: int, where: int, now: float, brighter: bool, count: int,
    out_t: I64, out_id: I32,
) -> int:  # fmt: skip
    """Write one event unless the sensor loses it; count it even where there is no room."""
    if sensor[BIAS_OFF] > 0.0 and not brighter:
        pixel[DRAWS] += 1.0
        if draw(key, where, int(pixel[DRAWS])) < sensor[BIAS_OFF]:
            return count
    if count < out_t.size:
        out_t[count] = math.floor(now)
        out_id[count] = 2 * where + (1 if brighter else 0)
    return count + 1


@numba.njit(**INLINED)
def _cross(
    t0: float, m0: float, t1: float, m1: float, pixel: F64, sensor: F64, key: int, where: int,
    count: int, out_t: I64, out_id: I32,
) -> int:  # fmt: skip
    """Emit the events of a level that moves from ``m0`` to ``m1`` in a straight line."""
    m0, m1 = m0 + pixel[LEAK] * t0, m1 + pixel[LEAK] * t1
    start = t0
    slope = (m1 - m0) / (t1 - t0)
    while True:
        if pixel[READY] >= t1:
            break
        if pixel[READY] >= start:
            # The pixel wakes up, referenced to what it sees then.
            start = pixel[READY]
            pixel[REFERENCE] = m0 + slope * (start - t0)
        pixel[READY] = NEVER
        up = m1 > pixel[REFERENCE]
        target = pixel[REFERENCE] + (pixel[ON] if up else -pixel[OFF])
        if (up and m1 < target - TOLERANCE) or (not up and m1 > target + TOLERANCE):
            break
        now = start
        if slope != 0.0:
            now = min(t1, max(start, t0 + (target - m0) / slope))
        count = _emit(pixel, sensor, key, where, now, up, count, out_t, out_id)
        pixel[REFERENCE] = target
        start = now
        if sensor[LEAK_JITTER] > 0.0:
            # Another leak from now on; the reference moves along so that the level does not jump.
            pixel[DRAWS] += 2.0
            jitter = 1.0 - sensor[LEAK_JITTER] * _normal(key, where, int(pixel[DRAWS]) - 1)
            fresh = pixel[MEAN_LEAK] * max(0.0, jitter)
            m0, m1 = m0 + (fresh - pixel[LEAK]) * t0, m1 + (fresh - pixel[LEAK]) * t1
            pixel[REFERENCE] += (fresh - pixel[LEAK]) * now
            pixel[LEAK] = fresh
            slope = (m1 - m0) / (t1 - t0)
        if sensor[REFRACTORY] > 0.0:
            pixel[READY] = now + sensor[REFRACTORY]
    return count


@numba.njit(**INLINED)
def _smooth(
    t0: float, l0: float, t1: float, l1: float, pixel: F64, sensor: F64, key: int, where: int,
    count: int, out_t: I64, out_id: I32,
) -> int:  # fmt: skip
    """Low-pass a straight piece of log radiance exactly and emit the events of the outcome.

    ``F' = k (L - F)`` with ``L = l0 + s (t - t0)`` has ``F = L - s/k + g exp(-k (t - t0))``; k is
    taken at the middle of the piece. F is cut into straight pieces below half a threshold each.
    """
    rate: float = sensor[CUTOFF] * brightness(sensor[MID_DN], 0.5 * (l0 + l1))
    slope = (l1 - l0) / (t1 - t0)
    gap = pixel[FILTERED] - l0 + slope / rate
    steepest = abs(slope) + rate * abs(gap)
    pieces = 1 + int(steepest * (t1 - t0) / (0.5 * min(pixel[ON], pixel[OFF])))
    width = (t1 - t0) / pieces
    decay = exponential(-rate * width)
    now, before = t0, pixel[FILTERED]
    for k in range(1, pieces + 1):
        then = t0 + k * width if k < pieces else t1
        gap *= decay
        after = l0 + slope * (then - t0) - slope / rate + gap
        count = _cross(
            now, before, then, after, pixel, sensor, key, where, count, out_t, out_id
        )  # fmt: skip
        now, before = then, after
    pixel[FILTERED] = before
    return count


@numba.njit(**INLINED)
def _straight(
    t0: float, l0: float, t1: float, l1: float, pixel: F64, sensor: F64, key: int, where: int,
    count: int, out_t: I64, out_id: I32,
) -> int:  # fmt: skip
    """Emit the events of a straight piece of log radiance, low-passed if the sensor is slow."""
    if sensor[CUTOFF] > 0.0:
        count = _smooth(t0, l0, t1, l1, pixel, sensor, key, where, count, out_t, out_id)
    else:
        count = _cross(t0, l0, t1, l1, pixel, sensor, key, where, count, out_t, out_id)
    return count


@numba.njit(**KERNEL)
def advance(
    t0: float, l0: float, t1: float, l1: float, pixel: F64, sensor: F64, key: int, where: int,
    count: int, out_t: I64, out_id: I32,
) -> int:  # fmt: skip
    """Take one pixel through a straight piece of log radiance; return the number of events so far.

    Shot noise is a thinned Poisson process: candidates at the rate of darkness, each accepted with
    the share that the light leaves, ``1 - 0.75 brightness``.
    """
    while pixel[NEXT_SHOT] < t1:
        now = max(t0, pixel[NEXT_SHOT])
        level = l0 + (l1 - l0) * (now - t0) / (t1 - t0)
        if now > t0:
            count = _straight(
                t0, l0, now, level, pixel, sensor, key, where, count, out_t, out_id
            )  # fmt: skip
        pixel[DRAWS] += 2.0
        accept = draw(key, where, int(pixel[DRAWS]) - 1)
        if accept < 1.0 - 0.75 * brightness(sensor[MID_DN], level) and pixel[READY] <= now:
            up = sensor[ON_MEAN] / pixel[ON]
            share = up / (up + sensor[OFF_MEAN] / pixel[OFF])
            brighter = draw(key, where, int(pixel[DRAWS])) < share
            count = _emit(pixel, sensor, key, where, now, brighter, count, out_t, out_id)
            seen = pixel[FILTERED] if sensor[CUTOFF] > 0.0 else level
            pixel[REFERENCE] = seen + pixel[LEAK] * now
            pixel[READY] = now + sensor[REFRACTORY] if sensor[REFRACTORY] > 0.0 else NEVER
        pixel[NEXT_SHOT] = now + _wait(pixel, sensor, key, where)
        t0, l0 = now, level
    if t1 > t0:
        count = _straight(t0, l0, t1, l1, pixel, sensor, key, where, count, out_t, out_id)
    return count
