"""Encodings: shapes, numbers, invariants, errors."""

import gc
from dataclasses import FrozenInstanceError, dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import encodings as reference

from data import Events
from data.encode import (
    ENCODINGS,
    Encoding,
    PixelMap,
    Spikes,
    Voxel,
    register,
    threads,
    voxel,
    voxel_grid,
)
from data.encode.lent import lend
from data.encode.slots import rank_edges, uniform_edges

WINDOW = {"t0_us": 1_000, "t1_us": 2_000}
IMAGE = {"height": 3, "width": 5}
SIGNED = {"voxel", "voxel_trilinear", "stack_time", "stack_number", "mdes"}
ORDERED = {"mdes"}
"""Encodings in which the later of two events of one time wins."""


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


def test_every_encoding_has_a_twin_and_says_what_it_emits():
    assert set(ENCODINGS) == set(reference.TWINS)
    assert [name for name, kind in ENCODINGS.items() if kind.emits_spikes] == ["spikes"]
    channels = {name: kind(bins=3).channels for name, kind in ENCODINGS.items()}
    assert {name for name, count in channels.items() if count == 6} == set(ENCODINGS) - SIGNED
    assert {name for name, count in channels.items() if count == 3} == SIGNED


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


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"voxel_trilinear"}))
def test_rectified_events_go_to_the_nearest_pixel(name):
    raw = make([1_100, 1_200], [0, 4], [0, 2], [1, 0])
    near = make([1_100, 1_200], [-0.5, 4.4], [0.4, 1.5], [1, 0], np.float32)
    encode = ENCODINGS[name](bins=2)
    np.testing.assert_array_equal(
        encode(raw, steps=2, **IMAGE, **WINDOW), encode(near, steps=2, **IMAGE, **WINDOW)
    )


# ---- invariants


@settings(max_examples=100)
@given(event_records(), st.integers(1, 6))
def test_voxel_grid_equals_its_twin_and_keeps_the_sum(events, bins):
    grid = voxel_grid(events, bins=bins, **IMAGE, **WINDOW)
    expected = reference.voxel_grid(events, bins=bins, **IMAGE, **WINDOW)
    np.testing.assert_allclose(grid, expected, atol=1e-5)
    assert grid.sum(dtype=np.float64) == pytest.approx(inside_sum(events), abs=1e-4)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=60)
@given(events=event_records(), bins=st.integers(1, 3), steps=st.integers(1, 4))
def test_every_encoding_equals_its_twin(name, events, bins, steps):
    out = ENCODINGS[name](bins=bins)(events, steps=steps, **IMAGE, **WINDOW)
    expected = reference.TWINS[name](events, bins=bins, steps=steps, **IMAGE, **WINDOW)
    np.testing.assert_allclose(out, expected, atol=2e-5)
    if name not in {"voxel", "voxel_trilinear", "time_surface"}:
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", ["voxel", "voxel_trilinear"])
@settings(max_examples=150)
@given(
    events=event_records(),
    bins=st.integers(1, 6),
    band_bits=st.integers(0, 4),
    most=st.integers(1, 12),
    cuts=st.sets(st.integers(1, 4)),
)
def test_voxels_are_the_same_however_they_are_sorted(name, events, bins, band_bits, most, cuts):
    def parts(bounds, pixels):
        slots = bounds.size - 1
        return list(pairwise(sorted({0, slots, *(cut for cut in cuts if cut < slots)})))

    encode = partial(ENCODINGS[name](), events, steps=bins, **IMAGE, **WINDOW)
    expected = reference.TWINS[name](events, bins=1, steps=bins, **IMAGE, **WINDOW)
    with (
        mock.patch.multiple(voxel, BAND_BITS=band_bits, MOST_SORTED=most),
        mock.patch.object(voxel, "split", parts),
    ):
        np.testing.assert_allclose(encode(), expected, atol=2e-5)
        out = np.full((bins, 1, IMAGE["height"], IMAGE["width"]), np.nan, np.float32)
        np.testing.assert_array_equal(encode(out=out), encode())


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=30)
@given(left=event_records(), right=event_records(), bins=st.integers(1, 3))
def test_a_pair_shares_its_slots(name, left, right, bins):
    encoding = ENCODINGS[name](bins=bins)
    both = encoding.pair(left, right, steps=2, **IMAGE, **WINDOW)
    shared = {"others": [left, right]} if encoding.edges_need_events else {}
    for events, out in zip((left, right), both, strict=True):
        if shared:
            shared["others"] = [e for e in (left, right) if e is not events]
        expected = reference.TWINS[name](events, bins=bins, steps=2, **IMAGE, **WINDOW, **shared)
        np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=30)
@given(left=event_records(), right=event_records(), steps=st.integers(1, 3))
def test_tensors_on_a_device_give_the_same(name, left, right, steps):
    encoding = ENCODINGS[name](bins=2)
    both = encoding.pair(left, right, steps=steps, **IMAGE, **WINDOW)
    given = [tuple(torch.from_numpy(getattr(e, c)) for c in "txyp") for e in (left, right)]
    for out, expected in zip(encoding.tensors(*given, steps=steps, **IMAGE, **WINDOW), both):
        torch.testing.assert_close(out, torch.from_numpy(expected), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["voxel", "voxel_trilinear"])
@settings(max_examples=60)
@given(events=event_records())
def test_normalized_voxels_have_mean_zero_and_deviation_one(name, events):
    plain, normal = ENCODINGS[name](bins=2), ENCODINGS[name](bins=2, normalize=True)
    grid = plain(events, steps=2, **IMAGE, **WINDOW).astype(np.float64)
    out = normal(events, steps=2, **IMAGE, **WINDOW)
    expected = reference.normalized(grid)
    values = grid[grid != 0]
    # Rounding decides whether a tiny value is zero, and whether equal values have a deviation.
    if values.size == 0 or np.abs(values).min() < 1e-4 or 0 < values.std() < 1e-4:
        return
    np.testing.assert_allclose(out, expected, atol=1e-3)
    given = [torch.from_numpy(getattr(events, c)) for c in "txyp"]
    (same,) = normal.tensors(tuple(given), steps=2, **IMAGE, **WINDOW)
    np.testing.assert_allclose(same, out, atol=1e-3)


@settings(max_examples=100)
@given(event_records())
def test_trilinear_keeps_the_share_on_the_image(events):
    out = ENCODINGS["voxel_trilinear"](bins=3)(events, steps=1, **IMAGE, **WINDOW)
    seen = events.window(**WINDOW)
    total = 0.0
    for x, y, p in zip(seen.x.astype(float), seen.y.astype(float), seen.p):
        columns = sum(max(0.0, 1 - abs(x - c)) for c in range(IMAGE["width"]))
        rows = sum(max(0.0, 1 - abs(y - r)) for r in range(IMAGE["height"]))
        total += columns * rows * (1 if p else -1)
    assert out.sum(dtype=np.float64) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=30)
@given(events=event_records(), data=st.data())
def test_rectifying_on_the_way_equals_rectifying_first(name, events, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    raw = events.take(np.isfinite(events.x) & (events.x >= 0) & (events.x < 9) & (events.y >= 0))
    raw = raw.take(raw.y < 6)
    raw = make(raw.t, raw.x.astype(np.uint16), raw.y.astype(np.uint16), raw.p)
    forward = rng.uniform(-2, 7, (6, 9, 2)).astype(np.float32)
    forward[rng.random((6, 9)) < 0.2] = 2.5
    moved = forward[raw.y, raw.x]
    rectified = make(raw.t, moved[:, 0], moved[:, 1], raw.p, np.float32)
    encoding = ENCODINGS[name](bins=2)
    fused = encoding(raw, steps=2, **IMAGE, **WINDOW, pixels=PixelMap(forward))
    np.testing.assert_array_equal(fused, encoding(rectified, steps=2, **IMAGE, **WINDOW))


def many(count, seed, height=40, width=60, length=50_000):
    rng = np.random.default_rng(seed)
    return make(
        np.sort(rng.integers(0, length, count)), rng.integers(0, width, count),
        rng.integers(0, height, count), rng.random(count) < 0.5,
    )  # fmt: skip


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("count", [3_000, 60_000])
def test_threads_and_kept_memory_change_no_bit(name, count, monkeypatch):
    """Many events over few pixels and few over many; a warm buffer and a fresh one."""
    encoding = ENCODINGS[name](bins=3)
    size = {"height": 40, "width": 60, "t0_us": 0, "t1_us": 50_000}
    results = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(threads, "thread_count", lambda cores=cores: cores)
        warm = np.full((2, 4, encoding.channels, 40, 60), np.nan, np.float32)
        pair = encoding.pair(
            many(count, 1), many(count // 3, 2), steps=4, **size, out=(warm[0], warm[1])
        )
        assert np.shares_memory(pair[0], warm)
        results.append(warm.copy())
    fresh = encoding.pair(many(count, 1), many(count // 3, 2), steps=4, **size)
    for result in results:
        np.testing.assert_array_equal(result, np.stack(fresh))
    given = [
        tuple(torch.from_numpy(getattr(many(n, k), c)) for c in "txyp")
        for n, k in ((count, 1), (count // 3, 2))
    ]
    for out, expected in zip(encoding.tensors(*given, steps=4, **size), fresh):
        np.testing.assert_allclose(out, expected, atol=1e-4)


def test_an_error_in_a_task_reaches_the_caller_after_the_others_have_ended(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    ended = []

    def fail():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        threads.run([[[fail, *(lambda k=k: ended.append(k) for k in range(20))]]])
    assert sorted(ended) == list(range(20))


@given(st.integers(1, 40), st.integers(-(10**15), 10**15), st.integers(1, 10**9))
def test_uniform_edges_are_where_the_slot_changes(slots, t0, length):
    edges = uniform_edges(slots, t0, t0 + length)
    assert edges[0] == t0
    assert edges[-1] == t0 + length
    for s, edge in enumerate(edges[:-1].tolist()):
        if edge < t0 + length:
            assert (edge - t0) * slots // length >= s
        if edge > t0:
            assert (edge - 1 - t0) * slots // length < s


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=15).map(sorted), min_size=1, max_size=3),
    st.lists(st.integers(0, 50), max_size=6),
)
def test_rank_edges_are_the_ranked_times(cameras, ranks):
    joint = sorted(t for times in cameras for t in times)
    expected = [joint[rank] if rank < len(joint) else 31 for rank in ranks]
    times = [np.array(t, np.int64) for t in cameras]
    assert rank_edges(ranks, times, 0, 31).tolist() == expected


@pytest.mark.parametrize("name", ENCODINGS)
@settings(max_examples=50)
@given(events=event_records())
def test_negating_the_polarity_swaps_on_and_off(name, events):
    encode = ENCODINGS[name](bins=2)
    flipped = Events(t=events.t, x=events.x, y=events.y, p=~events.p)
    out = encode(events, steps=2, **IMAGE, **WINDOW)
    other = encode(flipped, steps=2, **IMAGE, **WINDOW)
    expected = -out if name in SIGNED else out[:, [1, 0, 3, 2]]
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - ORDERED))
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


def test_what_cannot_be_written_or_rectified_twice_is_refused():
    encode = ENCODINGS["voxel"]()
    events = make([1_000], [1], [1], [1])
    for out in (
        np.empty((2, 1, 3, 4), np.float32),
        np.empty((2, 1, 3, 10), np.float32)[..., ::2],
    ):
        with pytest.raises(ValueError, match="contiguous float32 array"):
            encode(events, steps=2, **IMAGE, **WINDOW, out=out)
    moved = make([1_000], [1], [1], [1], np.float32)
    with pytest.raises(ValueError, match="rectified already"):
        encode(moved, steps=2, **IMAGE, **WINDOW, pixels=PixelMap(np.zeros((3, 5, 2), np.float32)))
    with pytest.raises(ValueError, match=r"\[H, W, 2\]"):
        PixelMap(np.zeros((3, 5), np.float32))
    with pytest.raises(ValueError, match="beyond what int64"):
        encode(events, steps=2, **IMAGE, t0_us=0, t1_us=2**61)
    with pytest.raises(ValueError, match="at most 65535"):
        encode(events, steps=2, height=3, width=70_000, **WINDOW)


def test_memory_of_a_result_is_lent_again_only_when_no_view_is_left():
    shape = (3, 1, 512, 512)
    first = lend(shape)
    address = first.ctypes.data
    first[:] = 7
    view, tensor = first[1:][:, :, 2], torch.from_numpy(first)[2]
    del first
    assert lend(shape).ctypes.data != address
    del view
    assert lend(shape).ctypes.data != address
    assert tensor.eq(7).all()
    del tensor
    gc.collect()
    taken = [lend(shape) for _ in range(8)]
    assert address in {array.ctypes.data for array in taken}
    assert len({array.ctypes.data for array in taken}) == 8


def test_windows_after_each_other_do_not_share_memory():
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 700, (2, 4_000))
    events = make(np.sort(rng.integers(1_000, 2_000, 4_000)), *columns, rng.random(4_000) < 0.5)
    size = {"steps": 2, "height": 700, "width": 700, **WINDOW}
    held = [Voxel()(events, **size) for _ in range(4)]
    out = np.full_like(held[0], np.nan)
    Voxel()(events, out=out, **size)
    for grid in held:
        np.testing.assert_array_equal(grid, out)


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=40), st.integers(1, 400_000))
def test_parts_of_the_slots_are_as_equal_as_slots_allow(counts, pixels):
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parts = threads.split(bounds, pixels)
    assert [first for first, _ in parts] == [0, *(stop for _, stop in parts[:-1])]
    assert parts[-1][1] == len(counts)
    assert all(first < stop for first, stop in parts)
    work = bounds + np.arange(bounds.size) * max(1, pixels // 4)
    wanted = 1 if bounds[-1] < 20_000 else 2 if bounds[-1] < 2_000_000 else 8
    for share in work[-1] * np.arange(1, wanted) / wanted:
        cuts = work[[0, *(stop for _, stop in parts)]]
        assert np.abs(cuts - share).min() == np.abs(work - share).min()
