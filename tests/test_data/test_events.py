"""The event record: numbers, invariants, errors."""

from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import Events, RecordingError


def make(t, x=None, y=None, p=None, dtype=np.uint16):
    n = len(t)
    return Events(
        t=np.array(t, np.int64),
        x=np.array(range(n) if x is None else x, dtype),
        y=np.array([0] * n if y is None else y, dtype),
        p=np.array([True] * n if p is None else p, np.bool_),
    )


def columns(events):
    return {name: getattr(events, name).tolist() for name in "txyp"}


# ---- numbers


def test_a_window_is_half_open():
    events = make([10, 20, 20, 30])
    assert events.window(10, 30).t.tolist() == [10, 20, 20]
    assert events.window(20, 21).x.tolist() == [1, 2]
    assert len(events.window(31, 40)) == 0
    assert len(events.window(30, 10)) == 0


@pytest.mark.parametrize("index", [slice(None, None, -1), np.array([2, 0])])
def test_take_refuses_to_change_the_order(index):
    with pytest.raises(RecordingError, match="must not decrease"):
        make([1, 2, 3]).take(index)


def test_take_and_empty():
    assert make([1, 2, 3]).take(np.array([True, False, True])).x.tolist() == [0, 2]
    assert len(Events.empty()) == 0
    assert len(Events.empty().window(0, 100)) == 0


def test_inside_a_raw_sensor():
    events = make([0, 1, 2, 3], x=[0, 4, 5, 4], y=[0, 2, 2, 3])
    assert events.inside(5, 3).t.tolist() == [0, 1]
    assert events.inside(6, 4) is events


def test_inside_a_rectified_image_goes_by_the_nearest_pixel():
    x = [-0.51, -0.5, 0.0, 4.49, 4.5]
    events = make(range(5), x=x, dtype=np.float32)
    assert events.inside(5, 1).t.tolist() == [1, 2, 3]


def test_tonic_coordinates_agree_with_inside():
    # 0.49999997 is the float32 just below one half; adding one half in float32 would give 1.
    events = make(range(4), x=[-0.5, 0.49999997, 0.5, 1.5], dtype=np.float32)
    assert events.to_tonic()["x"].tolist() == [0, 0, 1, 2]


# ---- invariants


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.booleans()), max_size=20),
    st.integers(-5, 55),
    st.integers(-5, 55),
)
def test_windows_partition_the_record(rows, a, b):
    rows.sort(key=lambda row: row[0])
    events = make([r[0] for r in rows], x=[r[1] for r in rows], p=[r[2] for r in rows])
    cut = sorted((a, b))
    parts = [events.window(start, end) for start, end in pairwise([-10, *cut, 60])]
    for name in "txyp":
        whole = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(whole, getattr(events, name))


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 1279), st.booleans()), max_size=9))
def test_tonic_round_trip(rows):
    rows.sort(key=lambda row: row[0])
    events = make([r[0] for r in rows], x=[r[1] for r in rows], p=[r[2] for r in rows])
    assert columns(Events.from_tonic(events.to_tonic())) == columns(events)


def test_a_tonic_transform_accepts_the_array():
    tonic = pytest.importorskip("tonic.transforms")
    shifted = tonic.TimeAlignment()(make([5, 7]).to_tonic())
    assert Events.from_tonic(shifted).t.tolist() == [0, 2]


# ---- errors


def test_the_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        make([1]).t = np.zeros(1, np.int64)


def test_unequal_lengths():
    with pytest.raises(RecordingError, match="four 1-D arrays of one length"):
        make([1, 2], x=[0])
    with pytest.raises(RecordingError, match="four 1-D arrays of one length"):
        make([[1, 2]], x=[[1, 2]], y=[[1, 2]], p=[[True, True]])


def test_wrong_types(without_shape_checks):
    good = make([1])
    with pytest.raises(RecordingError, match="t as int64 microseconds and p as bool, got float64"):
        Events(t=good.t.astype(np.float64), x=good.x, y=good.y, p=good.p)
    with pytest.raises(RecordingError, match="p as bool, got int64 and uint8"):
        Events(t=good.t, x=good.x, y=good.y, p=good.p.astype(np.uint8))
    with pytest.raises(RecordingError, match=r"both as uint16.*got int64 and uint16"):
        Events(t=good.t, x=good.x.astype(np.int64), y=good.y, p=good.p)


def test_unsorted_times_name_the_first_offender():
    with pytest.raises(RecordingError, match=r"event 2 \(t=5 us\) comes after t=9 us. Sort"):
        make([1, 9, 5, 3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers(bad):
    with pytest.raises(RecordingError, match="NaN or infinity"):
        make([1, 2], x=[0, bad], dtype=np.float32)
