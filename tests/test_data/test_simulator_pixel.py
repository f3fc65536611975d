"""The pixel of the adaptive engine: against its plain twin, and against what physics predicts."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.sensor import Pixel
from reference.sensor import draw as slow_draw

from data import RecordingError
from data.simulator.pixels import kernels as k
from data.simulator.sensor import Sensor, sensor_row
from data.simulator.sensors import SENSORS, make_sensors

IDEAL = Sensor(mismatch=0.0, refractory_us=0.0, leak_hz=0.0, noise_hz=0.0, hot_share=0.0)
KEY = 123_456_789_012_345


def altered(**changes):
    return Sensor(**{**vars(IDEAL), **changes})


def start(sensor, level=0.0, t=0.0, where=7):
    pixel = np.zeros(k.STATE)
    k.start_pixel(pixel, sensor_row(sensor, 0.0), KEY, where, t, level)
    return pixel


def play(sensor, times, levels, where=7, pixel=None, room=100_000):
    """Run the kernel over straight pieces; return event times and polarities."""
    row = sensor_row(sensor, 0.0)
    pixel = start(sensor, levels[0], times[0], where) if pixel is None else pixel
    out_t, out_id = np.empty(room, np.int64), np.empty(room, np.int32)
    count = 0
    for t0, t1, l0, l1 in zip(times, times[1:], levels, levels[1:]):
        count = k.advance(t0, l0, t1, l1, pixel, row, KEY, where, count, out_t, out_id)
    assert count <= room
    assert (out_id[:count] >> 1 == where).all()
    return out_t[:count], (out_id[:count] & 1).astype(bool)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    refractory=st.sampled_from([0.0, 1.0, 500.0, 5000.0]),
    cutoff=st.sampled_from([0.0, 5.0, 200.0]),
    shot=st.sampled_from([0.0, 20.0, 500.0]),
    leak=st.sampled_from([0.0, 0.1, 50.0]),
    spread=st.sampled_from([0.0, 0.2]),
    mismatch=st.sampled_from([0.0, 0.03, 0.3]),
    bias=st.sampled_from([0.0, 0.5, 1.0]),
    scale=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_it_equals_its_plain_twin(
    seed, refractory, cutoff, shot, leak, spread, mismatch, bias, scale
):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 4000, 40)).astype(np.float64)
    levels = scale * np.cumsum(rng.standard_normal(40))
    levels[10:13] = levels[10]
    sensor = Sensor(
        on_threshold=0.2, off_threshold=0.25, mismatch=mismatch, refractory_us=refractory,
        cutoff_hz=cutoff, shot_hz=shot, leak_hz=leak, leak_spread=spread, leak_jitter=spread,
        bias_off=bias,
    )  # fmt: skip
    where = int(rng.integers(0, 300_000))
    got_t, got_p = play(sensor, times, levels, where)
    twin = Pixel(sensor, KEY, where, times[0], levels[0])
    for t0, t1, l0, l1 in zip(times, times[1:], levels, levels[1:]):
        twin.play(t0, l0, t1, l1)
    assert len(got_t) == len(twin.events)
    assert np.abs(got_t - np.array([t for t, _ in twin.events], np.int64)).max(initial=0) <= 1
    assert got_p.tolist() == [p for _, p in twin.events]


@settings(max_examples=100)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**24), st.integers(0, 2**40))
def test_draws_are_those_of_splitmix(key, pixel, index):
    assert k.draw(key, pixel, index) == slow_draw(key, pixel, index)


@settings(max_examples=200)
@given(st.floats(-20, 20))
def test_the_exponential_is_that_of_the_library(x):
    near = 3e-14 if abs(x) < 3 else 1e-7
    assert k.exponential(x) == pytest.approx(math.exp(x), rel=near)


def test_the_exponential_is_held_far_out():
    assert k.exponential(1e9) == pytest.approx(math.exp(20.0), rel=1e-6)
    assert 0 < k.exponential(-1e9) < 1e-8


def test_draws_are_even_and_unrelated_between_neighbors():
    grid = np.array([[k.draw(KEY, p, n) for n in range(40)] for p in range(400)])
    assert grid.min() > 0
    assert grid.max() < 1
    assert grid.mean() == pytest.approx(0.5, abs=0.01)
    assert grid.var() == pytest.approx(1 / 12, rel=0.03)
    for other in (np.roll(grid, 1, 0), np.roll(grid, 1, 1)):
        assert abs(np.corrcoef(grid.ravel(), other.ravel())[0, 1]) < 0.03
    other_key = np.array([[k.draw(KEY + 1, p, n) for n in range(40)] for p in range(400)])
    assert abs(np.corrcoef(grid.ravel(), other_key.ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("contrast", [0.1, 0.2, 0.39, 0.4, 1.0, 1.6, 2.5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_of_known_contrast_gives_floor_of_contrast_over_threshold(contrast, sign):
    """Exact multiples count in full, on both sides; the reference starts at the level itself."""
    pixel = start(IDEAL)
    pixel[k.REFERENCE] = 0.0
    times, polarity = play(IDEAL, [0.0, 1000.0], [0.0, sign * contrast], pixel=pixel)
    expected = math.floor(contrast / 0.2 + 1e-6)
    assert len(times) == expected
    assert (polarity == (sign > 0)).all()
    crossings = [math.floor(1000.0 * 0.2 * (n + 1) / contrast) for n in range(expected)]
    assert np.abs(times - np.array(crossings, np.int64)).max(initial=0) <= 1


def test_the_phase_is_random():
    """The reference lies anywhere between the thresholds: on average one threshold to go."""
    counts = [len(play(IDEAL, [0.0, 1000.0], [0.0, 0.5], where=n)[0]) for n in range(2000)]
    assert set(counts) == {1, 2, 3}
    assert np.mean(counts) == pytest.approx(0.5 / 0.2 - 0.5, abs=0.05)
    assert all(len(play(IDEAL, [0.0, 1000.0], [0.0, 0.0], where=n)[0]) == 0 for n in range(200))


def test_time_zero_is_a_time_like_any_other():
    slow = altered(refractory_us=300.0)
    for sensor in (IDEAL, slow):
        pixel = start(sensor)
        pixel[k.REFERENCE] = 0.0
        times, _ = play(sensor, [0.0, 1.0, 1000.0], [0.0, 0.3, 0.3], pixel=pixel)
        assert times.tolist() == [0]
    pixel = start(IDEAL, t=-5000.0)
    pixel[k.REFERENCE] = 0.0
    times, _ = play(IDEAL, [-5000.0, 5000.0], [0.0, 1.0], pixel=pixel)
    assert np.abs(times - np.array([-3000, -1000, 1000, 3000, 5000])).max() <= 1


@pytest.mark.parametrize("refractory", [1.0, 137.0, 2000.0])
def test_the_dead_time_holds(refractory):
    rng = np.random.default_rng(0)
    times = np.arange(0.0, 200_000.0, 250.0)
    levels = 1.5 * np.sin(times / 3000.0) + 0.3 * rng.standard_normal(times.size)
    sensor = altered(refractory_us=refractory, shot_hz=400.0, leak_hz=20.0, cutoff_hz=500.0)
    for where in range(20):
        found, _ = play(sensor, times, levels, where)
        assert len(found) > 20
        assert np.diff(found).min() >= math.floor(refractory)


def test_after_the_dead_time_the_pixel_refers_to_what_it_then_sees():
    sensor = altered(refractory_us=400.0)
    pixel = start(sensor)
    pixel[k.REFERENCE] = 0.0
    # 2 log units in 1 ms: events at 100 us, then from 500 us again 100 us, not a burst.
    times, _ = play(sensor, [0.0, 1000.0], [0.0, 2.0], pixel=pixel)
    assert times.tolist() == [100, 600]


@pytest.mark.parametrize("rate", [2.0, 20.0])
def test_leak_gives_on_events_at_its_rate(rate):
    total, seconds = 0, 4.0
    for where in range(100):
        times, polarity = play(
            altered(leak_hz=rate, leak_spread=0.1, leak_jitter=0.1, mismatch=0.03),
            [0.0, seconds * 1e6], [0.3, 0.3], where,
        )  # fmt: skip
        assert polarity.all()
        total += len(times)
    # The first event is, on average, half a threshold later than those that follow.
    assert total / 100 == pytest.approx(rate * seconds - 0.5, rel=0.04)


@pytest.mark.parametrize("level", [-4.0, 0.0, 3.0])
def test_shot_noise_comes_at_its_rate_and_less_in_the_light(level):
    rate, seconds = 40.0, 5.0
    on = off = 0
    for where in range(120):
        _, polarity = play(altered(shot_hz=rate), [0.0, seconds * 1e6], [level, level], where)
        on, off = on + int(polarity.sum()), off + int((~polarity).sum())
    light = (min(255.0, 64.0 * math.exp(level)) + 20.0) / 275.0
    expected = rate * (1 - 0.75 * light) * seconds * 120
    assert on + off == pytest.approx(expected, rel=5 / math.sqrt(expected) + 0.01)
    assert on == pytest.approx(off, rel=0.12)


def test_a_lower_threshold_is_noisier():
    """The rate of each sign goes with nominal over own threshold, as in v2e."""
    sensor = altered(shot_hz=40.0, mismatch=0.04)
    own, counts = [], []
    for where in range(300):
        own.append(start(sensor, where=where)[[k.ON, k.OFF]])
        _, polarity = play(sensor, [0.0, 5e6], [0.0, 0.0], where)
        counts.append([polarity.sum(), (~polarity).sum()])
    own, counts = np.array(own), np.array(counts)
    low = own < 0.17
    high = own > 0.23
    ratio = counts[low].mean() / counts[high].mean()
    predicted = (1 / own[low]).mean() / (1 / own[high]).mean()
    assert ratio == pytest.approx(predicted, rel=0.1)


@pytest.mark.parametrize("hz", [3.0, 30.0, 200.0])
@pytest.mark.parametrize("level", [-1.0, 4.0])
def test_bandwidth_is_that_of_a_first_order_low_pass(hz, level):
    """A small sine comes through with gain 1/sqrt(1 + (f/fc)^2), fc = cutoff times brightness."""
    sensor = altered(cutoff_hz=30.0, on_threshold=5.0, off_threshold=5.0)
    cutoff = 30.0 * (min(255.0, 64.0 * math.exp(level)) + 20.0) / 275.0
    times = np.arange(0.0, 1e6 * (4 / cutoff + 3 / hz), 1e6 / hz / 200)
    levels = level + 0.02 * np.sin(2 * np.pi * hz * times * 1e-6)
    row, pixel = sensor_row(sensor, 0.0), start(sensor, levels[0])
    none = np.empty(0, np.int64), np.empty(0, np.int32)
    seen = [pixel[k.FILTERED]]
    for t0, t1, l0, l1 in zip(times, times[1:], levels, levels[1:]):
        assert k.advance(t0, l0, t1, l1, pixel, row, KEY, 7, 0, *none) == 0
        seen.append(pixel[k.FILTERED])
    last = np.array(seen)[-400:]
    gain = (last.max() - last.min()) / 0.04
    assert gain == pytest.approx(1 / math.sqrt(1 + (hz / cutoff) ** 2), rel=0.02)


def test_cutting_a_piece_in_two_changes_nothing():
    """Straight stays straight: the low-pass is exact, whatever the steps (at one brightness)."""
    sensor = altered(cutoff_hz=30.0, on_threshold=5.0, off_threshold=5.0, mid_dn=1e9)
    row = sensor_row(sensor, 0.0)
    none = np.empty(0, np.int64), np.empty(0, np.int32)
    ends = []
    for cuts in ([0.0, 8000.0], [0.0, 1000.0, 1500.0, 8000.0]):
        pixel = start(sensor)
        for t0, t1 in pairwise(cuts):
            k.advance(t0, t0 * 1e-4, t1, t1 * 1e-4, pixel, row, KEY, 7, 0, *none)
        ends.append(pixel[k.FILTERED])
    assert ends[0] == pytest.approx(ends[1], abs=1e-12)
    assert 0.05 < ends[0] < 0.8


def test_events_that_do_not_fit_are_counted():
    pixel, row = start(IDEAL), sensor_row(IDEAL, 0.0)
    pixel[k.REFERENCE] = 0.0
    out = np.full(2, -1, np.int64), np.full(2, -1, np.int32)
    assert k.advance(0.0, 0.0, 100.0, 1.01, pixel, row, KEY, 0, 0, *out) == 5
    assert (out[0] >= 0).all()


def test_named_sensors():
    assert sorted(SENSORS) == ["clean", "default", "noisy"]
    clean = make_sensors("clean", np.random.default_rng(0))["left"]
    assert (clean.on_threshold, clean.mismatch, clean.shot_hz, clean.leak_hz) == (0.2, 0.02, 0, 0)
    noisy = make_sensors("noisy", np.random.default_rng(0))["right"]
    assert (noisy.mismatch, noisy.cutoff_hz, noisy.leak_hz, noisy.shot_hz) == (0.05, 30, 0.1, 5)
    assert noisy.refractory_us == 500
    with pytest.raises(RecordingError, match="Unknown sensor 'x'; known: clean, default, noisy"):
        make_sensors("x", np.random.default_rng(0))
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(RecordingError, match="at least 0"):
            altered(shot_hz=value)
