"""Latency of a stream: against a list of all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo.latency import LatencyMeter


def slow(windows):
    """Return latencies and waits, window after window."""
    free, found = None, []
    for _, end, seconds in windows:
        begin = end / 1e6 if free is None else max(end / 1e6, free)
        free = begin + seconds
        found.append((free - end / 1e6, begin - end / 1e6))
    return np.array(found).T


def measured(windows):
    meter = LatencyMeter()
    return [meter.add(*window) for window in windows], meter.result()


SECONDS = st.floats(2e-5, 10.0)


@given(st.lists(st.tuples(st.integers(0, 200_000), SECONDS), min_size=1, max_size=60))
def test_like_a_queue(steps):
    ends = np.cumsum([50_000, *(step for step, _ in steps[1:])])
    windows = [(int(e) - 50_000, int(e), s) for e, (_, s) in zip(ends, steps, strict=True)]
    latencies, found = measured(windows)
    wanted, waits = slow(windows)
    np.testing.assert_allclose(latencies, wanted, atol=1e-6)
    assert found.windows == len(windows)
    assert found.worst_s == pytest.approx(wanted.max(), abs=1e-6)
    assert found.behind_s == pytest.approx(waits.max(), abs=1e-6)
    assert abs(found.waited - (waits > 1e-6).sum()) <= (abs(waits) < 1e-5).sum()
    ordered = np.sort(wanted)
    for share, value in ((0.5, found.median_s), (0.95, found.p95_s), (0.99, found.p99_s)):
        exact = ordered[int(np.ceil(share * len(ordered))) - 1]
        assert exact * 0.9999 - 2e-6 <= value <= exact * 1.0101 + 2e-6
    assert found.median_s <= found.p95_s <= found.p99_s <= found.worst_s


def test_real_time_is_kept():
    _, found = measured([(50_000 * k, 50_000 * (k + 1), 0.02) for k in range(100)])
    assert found.waited == 0
    assert found.behind_s == 0.0
    assert found.windows_per_s == pytest.approx(50)
    assert found.busy == pytest.approx(0.4)
    assert found.worst_s == found.p99_s == pytest.approx(0.02)


def test_falling_behind_adds_up():
    latencies, found = measured([(50_000 * k, 50_000 * (k + 1), 0.06) for k in range(10)])
    np.testing.assert_allclose(np.diff(latencies), 0.01)
    assert found.waited == 9
    assert found.behind_s == pytest.approx(0.09)
    assert found.busy > 1


def test_a_long_pause_lets_it_catch_up():
    windows = [(0, 50_000, 1.0), (50_000, 100_000, 0.01), (5_000_000, 5_050_000, 0.01)]
    latencies, found = measured(windows)
    assert latencies == pytest.approx([1.0, 0.96, 0.01])
    assert found.waited == 1


def test_nothing_gives_nothing():
    assert LatencyMeter().result() is None
