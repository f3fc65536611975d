"""Encodings: shapes, numbers, invariants, errors."""

from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import encodings as reference

from data import Events
from data.encode import ENCODINGS, Encoding, Spikes, Voxel, register, voxel_grid

WINDOW = {"t0_us": 1_000, "t1_us": 2_000}
IMAGE = {"height": 3, "width": 5}


def make(t, x, y, p, dtype=np.uint16):
    return Events(
        t=np.array(t, np.int64),
        x=np.array(x, dtype),
        y=np.array(y, dtype),
        p=np.array(p, np.bool_),
    )


def inside_sum(events):
    seen = events.window(**WINDOW).inside(IMAGE["width"], IMAGE["height"])
    return int(seen.p.sum()) - int((~seen.p).sum())


@st.composite
def event_records(draw):
    """Raw or rectified events in and around the window and the image, ties included."""
    n = draw(st.integers(0, 40))
    t = sorted(draw(st.lists(st.integers(900, 2_100), min_size=n, max_size=n)))
    p = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    if draw(st.booleans()):
        coordinate, dtype = st.integers(0, 7), np.uint16
    else:
        edges = st.sampled_from([-0.5, -0.50001, 0.49999997, 0.5, 2.5, 4.5, 4.4999995, 1e30, -1e30])
        coordinate, dtype = st.floats(-2, 7, width=32) | edges, np.float32
    x = draw(st.lists(coordinate, min_size=n, max_size=n))
    y = draw(st.lists(coordinate, min_size=n, max_size=n))
    return make(t, x, y, p, dtype)


# ---- shapes


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("bins", [1, 3])
def test_every_encoding_gives_its_declared_shape_and_signal(name, bins):
    encoding = ENCODINGS[name](bins=bins)
    events = make([1_000, 1_500, 1_500], [0, 4, 4], [0, 2, 2], [1, 0, 0])
    out = encoding(events, steps=4, **IMAGE, **WINDOW)
    assert out.shape == (4, encoding.channels, 3, 5)
    assert out.dtype == np.float32
    assert encoding.name == name
    if encoding.emits_spikes:
        assert set(np.unique(out)) == {0.0, 1.0}


def test_the_registry_holds_both_encodings():
    assert list(ENCODINGS.items()) == [("spikes", Spikes), ("voxel", Voxel)]
    assert (Spikes(bins=2).channels, Voxel(bins=2).channels) == (4, 2)
    assert (Spikes.emits_spikes, Voxel.emits_spikes) == (True, False)


# ---- numbers


def test_voxel_grid_by_hand():
    # Place in time of 4 bins over 1000 us: 0, 3 * 0.25 = 0.75 and 3 * 0.999 = 2.997.
    events = make([1_000, 1_250, 1_999], [0, 1, 4], [0, 1, 2], [1, 0, 1])
    grid = voxel_grid(events, bins=4, **IMAGE, **WINDOW)
    expected = np.zeros((4, 3, 5), np.float32)
    expected[0, 0, 0] = 1
    expected[0, 1, 1], expected[1, 1, 1] = -0.25, -0.75
    expected[2, 2, 4], expected[3, 2, 4] = 0.003, 0.997
    np.testing.assert_allclose(grid, expected, atol=1e-6)


def test_voxel_grid_of_one_bin_holds_everything():
    events = make([1_000, 1_500, 1_999], [2, 2, 2], [1, 1, 1], [1, 1, 0])
    assert voxel_grid(events, bins=1, **IMAGE, **WINDOW)[0, 1, 2] == 1


def test_spikes_by_hand():
    # Two steps of two sub-bins: slots of 250 us begin at 1000, 1250, 1500 and 1750.
    events = make(
        [999, 1_000, 1_249, 1_250, 1_500, 1_999, 2_000], range(7), [0] * 7, [1, 1, 0, 1, 1, 0, 1]
    )
    out = Spikes(bins=2)(events, steps=2, height=1, width=7, **WINDOW)
    step, channel, _, column = np.nonzero(out)
    assert list(zip(step, channel, column, strict=True)) == [
        (0, 0, 2),
        (0, 1, 1),
        (0, 3, 3),
        (1, 1, 4),
        (1, 2, 5),
    ]


@pytest.mark.parametrize("name", ENCODINGS)
def test_rectified_events_go_to_the_nearest_pixel(name):
    raw = make([1_100, 1_200], [0, 4], [0, 2], [1, 0])
    near = make([1_100, 1_200], [-0.5, 4.4], [0.4, 1.5], [1, 0], np.float32)
    encode = ENCODINGS[name](bins=2)
    np.testing.assert_array_equal(
        encode(raw, steps=2, **IMAGE, **WINDOW), encode(near, steps=2, **IMAGE, **WINDOW)
    )


# ---- invariants


@settings(max_examples=150, deadline=None)
@given(event_records(), st.integers(1, 6))
def test_voxel_grid_equals_its_twin_and_keeps_the_sum(events, bins):
    grid = voxel_grid(events, bins=bins, **IMAGE, **WINDOW)
    expected = reference.voxel_grid(events, bins=bins, **IMAGE, **WINDOW)
    np.testing.assert_allclose(grid, expected, atol=1e-5)
    assert grid.sum(dtype=np.float64) == pytest.approx(inside_sum(events), abs=1e-4)


@settings(max_examples=150, deadline=None)
@given(event_records(), st.integers(1, 3), st.integers(1, 4))
def test_spikes_equal_their_twin(events, bins, steps):
    out = Spikes(bins=bins)(events, steps=steps, **IMAGE, **WINDOW)
    expected = reference.spikes(events, bins=bins, steps=steps, **IMAGE, **WINDOW)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=50, deadline=None)
@given(events=event_records())
def test_negating_the_polarity_swaps_on_and_off(name, events):
    encode = ENCODINGS[name](bins=2)
    flipped = Events(t=events.t, x=events.x, y=events.y, p=~events.p)
    out = encode(events, steps=2, **IMAGE, **WINDOW)
    other = encode(flipped, steps=2, **IMAGE, **WINDOW)
    expected = out[:, [1, 0, 3, 2]] if encode.emits_spikes else -out
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("name", ENCODINGS)
def test_equal_times_have_no_order(name):
    one = make([1_500] * 3, [0, 1, 1], [0, 0, 0], [1, 0, 1])
    two = one.take(np.array([2, 0, 1]))
    encode = ENCODINGS[name](bins=3)
    np.testing.assert_array_equal(
        encode(one, steps=2, **IMAGE, **WINDOW), encode(two, steps=2, **IMAGE, **WINDOW)
    )


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_events_give_zeros(name):
    out = ENCODINGS[name](bins=2)(Events.empty(), steps=2, **IMAGE, **WINDOW)
    assert not out.any()


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_input_is_not_changed_and_may_be_strided(name):
    table = np.array([[1_000, 0, 0], [1_400, 1, 2], [1_900, 4, 2]])
    events = Events(
        t=table[:, 0],
        x=table.astype(np.uint16)[:, 1],
        y=table.astype(np.uint16)[:, 2],
        p=np.array([True, False, True]),
    )
    before = table.copy()
    out = ENCODINGS[name](bins=2)(events, steps=1, **IMAGE, **WINDOW)
    assert np.count_nonzero(out.any(axis=(0, 1))) == 3
    np.testing.assert_array_equal(table, before)
    assert events.p.tolist() == [True, False, True]


def test_absolute_clocks_lose_no_microsecond():
    # DSEC's clock: float32 seconds or an int32 sum would be off by far more than a slot.
    t0 = 53_193_302_164
    events = make([t0, t0 + 1, t0 + 2, t0 + 3], [0, 1, 2, 3], [0] * 4, [1] * 4)
    out = Spikes()(events, steps=4, height=1, width=4, t0_us=t0, t1_us=t0 + 4)
    np.testing.assert_array_equal(out[:, 1, 0], np.eye(4))


# ---- errors


def test_a_name_is_registered_once():
    @dataclass(frozen=True, kw_only=True)
    class Again(Spikes):
        name: ClassVar[str] = "spikes"

    with pytest.raises(ValueError, match="already is an encoding named 'spikes'"):
        register(Again)
    assert ENCODINGS["spikes"] is Spikes


def test_encodings_are_frozen_and_need_a_bin():
    with pytest.raises(FrozenInstanceError):
        Spikes().bins = 2
    with pytest.raises(ValueError, match="at least 1 bin per time step, got 0"):
        Voxel(bins=0)
    with pytest.raises(TypeError, match="abstract"):
        Encoding()


@pytest.mark.parametrize("name", ENCODINGS)
def test_empty_windows_and_images_are_refused(name):
    encode = ENCODINGS[name]()
    with pytest.raises(ValueError, match=r"must end after it begins, got \[5, 5\)"):
        encode(Events.empty(), steps=1, **IMAGE, t0_us=5, t1_us=5)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        encode(Events.empty(), steps=1, height=3, width=0, **WINDOW)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        encode(Events.empty(), steps=0, **IMAGE, **WINDOW)
