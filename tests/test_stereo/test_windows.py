"""Windows: by hand, coverage, spacing, ground truth, errors."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stereo.errors import StereoError
from stereo.windows import Window, covered_us, plan_windows

NONE = np.empty(0, np.int64)


def ends(span, stamps=NONE, window=50, step=50, limit=None):
    stamps = np.asarray(stamps, np.int64)
    windows = plan_windows(span, stamps, window_us=window, step_us=step, limit=limit)
    assert all(w.t1_us - w.t0_us == window for w in windows)
    return [w.t1_us for w in windows]


# By hand


def test_without_truth_windows_follow_each_other_until_all_is_seen():
    assert ends((100, 249)) == [150, 200, 250]
    assert ends((100, 250)) == [150, 200, 250, 300]  # the last event lies at 250
    assert ends((100, 120)) == [150]  # shorter than a window


def test_with_truth_windows_end_at_its_stamps():
    assert ends((0, 300), [100, 200, 300]) == [50, 100, 150, 200, 250, 300, 350]
    assert ends((0, 299), [110, 230], step=50) == [10, 60, 110, 150, 190, 230, 280, 330]


def test_stamp_without_a_whole_window_before_it_has_no_truth():
    windows = plan_windows((0, 199), np.array([0, 40, 100]), window_us=50, step_us=50)
    assert [(w.t1_us, w.truth) for w in windows] == [(50, None), (100, 2), (150, None), (200, None)]


def test_first_event_may_come_a_moment_after_the_start():
    windows = plan_windows((4, 120), np.array([50, 100]), window_us=50, step_us=50)
    assert [(w.t1_us, w.truth) for w in windows] == [(50, 0), (100, 1), (150, None)]


def test_step_wider_than_the_window_leaves_gaps_but_no_empty_windows():
    assert ends((0, 400), [220], window=50, step=100) == [20, 120, 220, 320, 420]


def test_limit_keeps_the_first():
    assert ends((100, 1000), limit=2) == [150, 200]


def test_covered_time():
    assert covered_us([Window(t0_us=0, t1_us=50)]) == 50
    assert covered_us([Window(t0_us=t, t1_us=t + 50) for t in (0, 20, 40)]) == 60


# Invariants


@given(
    start=st.integers(-1000, 10**12),
    length=st.integers(0, 3_000),
    window=st.integers(1, 300),
    step=st.integers(1, 300),
    stamps=st.lists(st.integers(0, 3_500), max_size=6, unique=True),
)
def test_every_event_is_seen_and_every_stamp_is_met(start, length, window, step, stamps):
    step = min(step, window)
    truth = np.array(sorted(stamps), np.int64) + start
    windows = plan_windows((start, start + length), truth, window_us=window, step_us=step)
    found = [w.t1_us for w in windows]
    assert windows[0].t0_us <= start
    assert found[0] > start
    assert found[-1] > start + length
    assert all(0 < b - a <= step for a, b in pairwise(found))
    for stamp in truth:
        if start + window <= stamp <= start + length + 1:
            assert stamp in found
    for w in windows:
        assert w.truth is None or truth[w.truth] == w.t1_us


# Errors


@pytest.mark.parametrize("bad", [{"window_us": 0}, {"step_us": 0}, {"limit": 0}])
def test_lengths_below_one_are_refused(bad):
    given_values = {"window_us": 50, "step_us": 50} | bad
    with pytest.raises(StereoError, match="at least 1"):
        plan_windows((0, 100), NONE, **given_values)


def test_times_in_nanoseconds_are_suspected():
    with pytest.raises(StereoError, match=r"lasts 6e\+07 s.*microseconds"):
        plan_windows((0, 60 * 10**12), NONE, window_us=50_000, step_us=50_000)
