"""Augmentations: stereo stays true, nothing leaks, chance comes from one generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import augmentations as slow

import data.augment
from data import Events, RecordingError
from data.augment import (
    Augmentation,
    ContrastJitter,
    Crop,
    EventDrop,
    GeometricAugmentation,
    NoiseEvents,
    PolarityNoise,
    RowJitter,
    StereoEvents,
    SwapCameras,
    ThresholdJitter,
    TimeJitter,
    TonicTransform,
    VerticalFlip,
    augment,
)
from data.augment.geometry import mirrored_truth
from data.augment.sensor import thinned
from data.encode import ENCODINGS
from data.sample import StereoSample

SEEDS = st.integers(0, 2**32 - 1)
FLIP, SWAP = VerticalFlip(probability=1.0), SwapCameras(probability=1.0)
CROP = Crop(height=6, width=9)
SHIFTED = Crop(height=6, width=7, shift=5, farthest_px=9.0)
GEOMETRIC = [
    CROP,
    Crop(height=4, width=5, centered=True),
    SHIFTED,
    FLIP,
    SWAP,
    VerticalFlip(),
    SwapCameras(),
]
BY_NUMBER = {"stack_number", "mdes"}  # of the events of a crop, not of the image it came from
OTHERS = [
    RowJitter(most_rows=1.5),
    EventDrop(most_share=0.7),
    TimeJitter(sigma_us=900.0),
    PolarityNoise(most_share=0.4),
    ThresholdJitter(most_factor=3.0),
    ContrastJitter(least_contrast=0.3),
    NoiseEvents(most_hz=80.0),
]
IDENTITIES = [
    VerticalFlip(probability=0.0),
    SwapCameras(probability=0.0),
    RowJitter(most_rows=0.0),
    EventDrop(most_share=0.0),
    TimeJitter(sigma_us=0.0),
    PolarityNoise(most_share=0.0),
    ThresholdJitter(most_factor=1.0),
    ContrastJitter(least_contrast=1.0),
    NoiseEvents(most_hz=0.0),
]


def columns(events):
    return [events.t, events.x, events.y, events.p]


def arrays(pair):
    return [*columns(pair.left), *columns(pair.right), pair.disparity, pair.valid]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(second), strict=True))


def encoded(pair, name="voxel"):
    left, right = ENCODINGS[name]().pair(
        pair.left, pair.right, steps=3, height=pair.height, width=pair.width,
        t0_us=pair.t0_us, t1_us=pair.t1_us,
    )  # fmt: skip
    return StereoSample(
        left=torch.from_numpy(left),
        right=torch.from_numpy(right),
        disparity=torch.from_numpy(pair.disparity),
        valid=torch.from_numpy(pair.valid),
        t_us=pair.t1_us,
    )


def test_every_augmentation_is_tested_here():
    offered = {
        value
        for value in vars(data.augment).values()
        if isinstance(value, type) and issubclass(value, Augmentation)
    } - {Augmentation, GeometricAugmentation, TonicTransform}  # the last has tests of its own
    assert {type(a) for a in GEOMETRIC + OTHERS} == offered
    assert {type(a) for a in IDENTITIES} == offered - {Crop}


# What holds for all


@pytest.mark.parametrize("augmentation", GEOMETRIC + OTHERS, ids=str)
@given(seed=SEEDS)
@settings(max_examples=25)
def test_output_is_valid_reproducible_and_input_untouched(augmentation, seed):
    pair = slow.random_pair(seed)
    before = [a.copy() for a in arrays(pair)]
    out = augmentation(pair, np.random.default_rng(seed))
    again = augmentation(pair, np.random.default_rng(seed))
    assert same(out, again)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(pair), before, strict=True))
    for events in (out.left, out.right):
        Events(t=events.t, x=events.x, y=events.y, p=events.p)  # sorted, finite, right dtypes
        assert events.x.dtype == np.float32
        assert not len(events) or (events.t[0] >= pair.t0_us and events.t[-1] < pair.t1_us)
    assert (out.t0_us, out.t1_us) == (pair.t0_us, pair.t1_us)
    assert not (out.valid & (out.disparity <= 0)).any()


@pytest.mark.parametrize("augmentation", GEOMETRIC + OTHERS, ids=str)
def test_empty_windows_and_single_events(augmentation):
    for count in (0, 1):
        e = Events(
            t=np.full(count, 5_000), x=np.full(count, 3.25, np.float32),
            y=np.full(count, 2.0, np.float32), p=np.ones(count, bool),
        )  # fmt: skip
        pair = replace(slow.random_pair(3), left=e, right=e)
        out = augmentation(pair, np.random.default_rng(0))
        if not isinstance(augmentation, NoiseEvents):
            assert max(len(out.left), len(out.right)) <= count


@pytest.mark.parametrize("augmentation", IDENTITIES, ids=str)
@given(seed=SEEDS)
@settings(max_examples=10)
def test_nothing_to_do_is_the_identity(augmentation, seed):
    pair = slow.random_pair(seed)
    assert same(augmentation(pair, np.random.default_rng(seed)), pair)


# Geometry


@pytest.mark.parametrize(
    ("augmentation", "name"),
    [
        (augmentation, name)
        for augmentation in (CROP, SHIFTED, FLIP, SWAP)
        for name in sorted(ENCODINGS)
        if not (isinstance(augmentation, Crop) and name in BY_NUMBER)
    ],
    ids=str,
)
@given(seed=SEEDS)
@settings(max_examples=12)
def test_geometry_commutes_with_encoding(augmentation, name, seed):
    pair = slow.random_pair(seed)
    before = encoded(augmentation(pair, np.random.default_rng(seed)), name)
    after = augmentation.on_sample(encoded(pair, name), np.random.default_rng(seed))
    for field in ("left", "right", "disparity", "valid"):
        # A place between pixels may move by the last bit of float32, and with it a weight.
        exact = name != "voxel_trilinear" or field in ("disparity", "valid")
        torch.testing.assert_close(
            getattr(before, field), getattr(after, field), rtol=0, atol=0 if exact else 2e-5
        )
        assert getattr(after, field).is_contiguous()


@pytest.mark.parametrize("augmentation", [*GEOMETRIC, RowJitter(most_rows=0.0)], ids=str)
@given(seed=SEEDS)
@settings(max_examples=40)
def test_disparity_law(augmentation, seed):
    pair = slow.corresponding_pair(seed)
    out = augmentation(pair, np.random.default_rng(seed))
    d = {t: pair.disparity[slow.pixel(y), slow.pixel(x)]
         for t, x, y in zip(pair.left.t, pair.left.x, pair.left.y)}  # fmt: skip
    right = dict(zip(out.right.t, zip(out.right.x, out.right.y)))
    met, shift = 0, None
    for t, x, y in zip(out.left.t, out.left.x, out.left.y):
        if t in right:
            found = x - right[t][0]
            # A crop may shift one part: then all disparities get larger, and all alike.
            shift = round(float(found - d[t])) if shift is None else shift
            assert 0 <= shift <= getattr(augmentation, "shift", 0)
            assert found == pytest.approx(d[t] + shift, abs=1e-5)
            assert y == right[t][1]
            met += 1
        row, col = slow.pixel(y), slow.pixel(x)
        if 0 <= row < out.height and 0 <= col < out.width and out.valid[row, col]:
            # At most one other surface point can share the pixel, and the nearer one counts.
            assert out.disparity[row, col] >= d[t] + (shift or 0) - 1e-5
    assert met or isinstance(augmentation, Crop)


@given(seed=SEEDS)
@settings(max_examples=50)
def test_flipping_twice_is_the_identity_on_pixels(seed):
    rng = np.random.default_rng(0)
    pair = slow.random_pair(seed)
    once, twice = FLIP(pair, rng), FLIP(FLIP(pair, rng), rng)
    assert np.array_equal(twice.disparity, pair.disparity)
    assert np.array_equal(once.disparity, pair.disparity[::-1])
    for before, after in ((pair.left, twice.left), (pair.right, twice.right)):
        np.testing.assert_allclose(after.y, before.y, atol=4e-6)
        assert [slow.pixel(y) for y in after.y] == [slow.pixel(y) for y in before.y]
        assert np.array_equal(after.x, before.x)
    whole = slow.random_pair(seed, whole=True)
    assert same(FLIP(FLIP(whole, rng), rng), whole)


@given(seed=SEEDS)
@settings(max_examples=50)
def test_swapping_twice_restores_what_is_still_known(seed):
    rng = np.random.default_rng(0)
    pair = slow.random_pair(seed)
    twice = SWAP(SWAP(pair, rng), rng)
    assert not (twice.valid & ~pair.valid).any()
    assert np.array_equal(twice.disparity[twice.valid], pair.disparity[twice.valid])
    np.testing.assert_allclose(twice.left.x, pair.left.x, atol=4e-6)
    assert np.array_equal(twice.left.y, pair.left.y)


def test_swap_of_a_plane_loses_only_what_the_right_camera_cannot_see():
    disparity = np.full((4, 20), 3.0, np.float32)
    seen, known = mirrored_truth(disparity, disparity > 0)
    # Columns 0 to 2 of the left view lie left of the right image; mirrored, that is its right end.
    assert known[:, 3:].all()
    assert not known[:, :3].any()
    assert (seen[known] == 3).all()
    assert (seen[~known] == 0).all()


def test_swap_hides_what_lies_behind():
    disparity = np.full((1, 12), 1.0, np.float32)
    disparity[0, 7:9] = 4.0
    seen, known = mirrored_truth(disparity, disparity > 0)
    right = seen[0, ::-1]
    # The near bar lies at columns 3 and 4 of the right view, where the wall from 4 and 5 was.
    assert right.tolist() == [1, 1, 1, 4, 4, 1, 0, 0, 1, 1, 1, 0]
    assert np.array_equal(known[0, ::-1], right > 0)


def test_far_surface_does_not_shine_through_a_slanted_near_one():
    # From column 3 to 4 the near surface falls from 9.6 to 8.8 px less: a gap in the right view.
    disparity = np.zeros((1, 16), np.float32)
    disparity[0, 10:13] = (8.0, 7.4, 6.8)  # places 2.0, 3.6, 5.2: no event rounds to 3
    disparity[0, 4] = 1.0  # place 3.0: behind
    seen, _ = mirrored_truth(disparity, disparity > 0)
    assert 1.0 not in seen[0].tolist()
    assert sorted(seen[0][seen[0] > 0].tolist()) == pytest.approx([6.8, 7.4, 8.0])


@given(seed=SEEDS, scale=st.sampled_from([0.2, 1.0, 4.0]))
@settings(max_examples=80)
def test_mirrored_truth_equals_the_slow_twin(seed, scale):
    pair = slow.random_pair(seed)
    disparity = pair.disparity * np.float32(scale)
    if seed % 3 == 0:
        disparity = np.round(2 * disparity) / np.float32(2)
    fast, twin = mirrored_truth(disparity, pair.valid), slow.mirrored_truth(disparity, pair.valid)
    assert np.array_equal(fast[0], twin[0])
    assert np.array_equal(fast[1], twin[1])


def test_huge_disparities_lie_outside():
    disparity = np.full((2, 6), 3e38, np.float32)
    seen, known = mirrored_truth(disparity, disparity > 0)
    assert not known.any()
    assert not seen.any()


@given(seed=SEEDS)
@settings(max_examples=30)
def test_crop_takes_one_part_of_everything(seed):
    pair = slow.random_pair(seed)
    out = CROP(pair, np.random.default_rng(seed))
    assert out.disparity.shape == out.valid.shape == (6, 9)
    parts = [
        (row, col)
        for row in range(pair.height - 5)
        for col in range(pair.width - 8)
        if np.array_equal(out.disparity, pair.disparity[row : row + 6, col : col + 9])
    ]
    assert parts
    for events in (out.left, out.right):
        assert (events.x >= -1.5).all()
        assert (events.x < 10.5).all()


@given(seed=SEEDS)
@settings(max_examples=30)
def test_crop_keeps_the_truth_of_pixels_whose_match_it_keeps(seed):
    pair = slow.random_pair(seed)
    crop = Crop(height=6, width=pair.width // 2, centered=True)
    first = (pair.width - crop.width) // 2
    out = crop(pair, np.random.default_rng(seed))
    rows = slice((pair.height - 6) // 2, (pair.height - 6) // 2 + 6)
    for row, (truths, known) in enumerate(zip(pair.disparity[rows], pair.valid[rows], strict=True)):
        for col in range(first, first + crop.width):
            match = col - truths[col]
            lost = -0.5 <= match < first - 0.5
            assert out.valid[row, col - first] == (known[col] and not lost)


def begins(events):
    """Return the column that a part begins at, of events whose times are their columns."""
    return round(float(events.t[0] - events.x[0]))


def columns_at_times(pair):
    """Return a window with one event in every column, at a time that tells which."""
    t = np.arange(pair.width)
    events = Events(t=t, x=t.astype(np.float32), y=np.zeros(t.size, np.float32), p=t > 0)
    return replace(pair, left=events, right=events)


@given(seed=SEEDS, centered=st.booleans())
@settings(max_examples=60)
def test_a_shifted_crop_adds_its_shift_to_all_disparities(seed, centered):
    pair = columns_at_times(slow.random_pair(seed))
    crop = Crop(
        height=pair.height, width=pair.width - 4, shift=9, farthest_px=8.0, centered=centered
    )
    out = crop(pair, np.random.default_rng(seed))
    first, other = begins(out.left), begins(out.right)
    shift = other - first
    assert 0 <= shift <= 4, "the right part lies in the image"
    for row in range(pair.height):
        for x in range(crop.width):
            truth, known = pair.disparity[row, first + x], pair.valid[row, first + x]
            expected = truth + shift if truth > 0 else 0
            assert out.disparity[row, x] == pytest.approx(expected)
            lost = -0.5 <= first + x - truth < other - 0.5
            beyond = shift > 0 and out.disparity[row, x] > 8
            assert out.valid[row, x] == (known and not lost and not beyond)


def test_half_of_the_crops_are_shifted_by_any_number_of_columns():
    pair = columns_at_times(slow.random_pair(1, height=8, width=11))
    crop, rng = Crop(height=8, width=5, shift=3), np.random.default_rng(0)
    outs = [crop(pair, rng) for _ in range(600)]
    shifts = [begins(out.right) - begins(out.left) for out in outs]
    counts = {shift: shifts.count(shift) for shift in set(shifts)}
    assert set(counts) == {0, 1, 2, 3}
    assert 320 < counts[0] < 430, "half, and a quarter of the other half"
    assert {begins(out.right) for out in outs} == set(range(7))


def test_crop_reaches_every_corner():
    pair = slow.random_pair(1, height=8, width=11)
    ids = np.arange(88, dtype=np.float32).reshape(8, 11) + 1
    pair = replace(pair, disparity=ids, valid=ids > 0)
    rng = np.random.default_rng(0)
    seen = {float(CROP(pair, rng).disparity[0, 0]) for _ in range(400)}
    assert seen == {float(ids[r, c]) for r in range(3) for c in range(3)}


def test_crop_larger_than_the_image_is_refused():
    with pytest.raises(RecordingError, match="does not fit into an image of 11 x 17"):
        Crop(height=12, width=4)(slow.random_pair(0), np.random.default_rng(0))


@given(seed=SEEDS)
@settings(max_examples=20)
def test_row_jitter_moves_the_right_view_by_one_number(seed):
    pair = slow.random_pair(seed)
    out = RowJitter(most_rows=1.5)(pair, np.random.default_rng(seed))
    assert np.array_equal(out.left.y, pair.left.y)
    if len(pair.right):
        moved = out.right.y - pair.right.y
        assert np.ptp(moved) < 1e-5
        assert abs(moved[0]) <= 1.5 + 1e-6


# Sensors


def many(seed=0, count=20_000, height=8, width=8):
    rng = np.random.default_rng(seed)
    e = Events(
        t=np.sort(rng.integers(0, 100_000, count)),
        x=rng.integers(0, width, count).astype(np.float32),
        y=rng.integers(0, height, count).astype(np.float32),
        p=rng.random(count) < 0.5,
    )
    truth = np.ones((height, width), np.float32)
    return StereoEvents(left=e, right=e, disparity=truth, valid=truth > 0, t0_us=0, t1_us=100_000)


def test_drop_thins_each_camera_by_its_own_share():
    out = EventDrop(most_share=0.5)(many(), np.random.default_rng(4))
    shares = [1 - len(e) / 20_000 for e in (out.left, out.right)]
    assert 0 < min(shares) < max(shares) < 0.5
    assert abs(shares[0] - shares[1]) > 0.02
    assert len(EventDrop(most_share=1.0)(many(), np.random.default_rng(1)).left) < 20_000


@given(seed=SEEDS, sigma=st.sampled_from([0.3, 50.0, 1e4, 1e7]))
@settings(max_examples=30)
def test_time_jitter_keeps_events_order_and_window(seed, sigma):
    pair = slow.random_pair(seed)
    out = TimeJitter(sigma_us=sigma)(pair, np.random.default_rng(seed))
    for before, after in ((pair.left, out.left), (pair.right, out.right)):
        rows = [sorted(zip(e.x, e.y, e.p)) for e in (before, after)]
        assert rows[0] == rows[1]


def test_time_jitter_has_its_deviation_and_does_not_pile_up_at_the_ends():
    e = many().left
    e = replace(e, x=np.arange(len(e), dtype=np.float32), t=np.full(len(e), 50_000))
    out = TimeJitter(sigma_us=500.0)(replace(many(), left=e), np.random.default_rng(0)).left
    assert out.t.std() == pytest.approx(500, rel=0.05)
    assert out.t.mean() == pytest.approx(50_000, abs=20)
    ends = replace(e, t=np.zeros(len(e), np.int64))
    out = TimeJitter(sigma_us=500.0)(replace(many(), left=ends), np.random.default_rng(0)).left
    assert out.t.mean() == pytest.approx(500 * np.sqrt(2 / np.pi), rel=0.05)


def test_polarity_noise_flips_a_share_and_nothing_else():
    pair = many()
    out = PolarityNoise(most_share=0.4)(pair, np.random.default_rng(2))
    shares = [float(np.mean(e.p != pair.left.p)) for e in (out.left, out.right)]
    assert all(0 < share < 0.4 for share in shares)
    assert shares[0] != shares[1]
    assert np.array_equal(out.left.t, pair.left.t)
    assert np.array_equal(out.left.x, pair.left.x)


@given(seed=SEEDS, off=st.floats(0, 1), on=st.floats(0, 1))
@settings(max_examples=60)
def test_thinning_equals_the_slow_twin(seed, off, on):
    pair = slow.random_pair(seed, height=5, width=4)
    fast = thinned(pair.left, 5, 4, off, on, np.random.default_rng(seed))
    counts = np.random.default_rng(seed).integers(0, 2**32, (2, 7, 6), dtype=np.uint32)
    keep = slow.thinned(pair.left, 5, 4, (off, on), counts)
    if off == on == 1.0:
        keep[:] = True
    assert all(np.array_equal(a[keep], b) for a, b in zip(columns(pair.left), columns(fast)))


@given(share=st.floats(0, 1), seed=SEEDS)
@settings(max_examples=40)
def test_thinning_keeps_the_share_of_every_pixel_to_within_one_event(share, seed):
    pair = many(seed, 600, 3, 3)
    out = thinned(pair.left, 3, 3, share, share, np.random.default_rng(seed))
    for p in (False, True):
        for y in range(3):
            for x in range(3):
                n, kept = (
                    int(((e.x == x) & (e.y == y) & (e.p == p)).sum()) for e in (pair.left, out)
                )
                assert abs(kept - n * share) < 1 + 1e-6


def test_threshold_differs_per_camera_and_polarity_but_contrast_does_not():
    pair = many()

    def shares(augmentation):
        out = augmentation(pair, np.random.default_rng(3))
        return [np.sum(e.p == p) / np.sum(pair.left.p == p)
                for e in (out.left, out.right) for p in (False, True)]  # fmt: skip

    different = shares(ThresholdJitter(most_factor=4.0))
    assert min(np.diff(sorted(different))) > 0.005
    assert min(different) >= 0.25
    alike = shares(ContrastJitter(least_contrast=0.2))
    assert max(alike) - min(alike) < 0.01
    assert alike[0] >= 0.2
    assert alike[0] < 1


def test_noise_comes_at_the_rate_over_all_pixels_times_and_signs():
    pair = many(count=0, height=30, width=40)
    out = [NoiseEvents(most_hz=200.0)(pair, np.random.default_rng(seed)) for seed in range(60)]
    numbers = np.array([(len(o.left), len(o.right)) for o in out])
    # Uniform from 0 to 200 Hz over 1200 pixels and 0.1 s: 12,000 on average.
    assert numbers.mean() == pytest.approx(12_000, rel=0.15)
    assert abs(np.corrcoef(numbers.T)[0, 1]) < 0.4
    e = max((o.left for o in out), key=len)
    hit = np.zeros((30, 40), int)
    np.add.at(hit, (np.floor(e.y + 0.5).astype(int), np.floor(e.x + 0.5).astype(int)), 1)
    assert hit.min() > 0
    assert e.p.mean() == pytest.approx(0.5, abs=0.05)
    assert e.t.mean() == pytest.approx(50_000, rel=0.05)


def test_noise_keeps_the_real_events():
    pair = slow.random_pair(5)
    out = NoiseEvents(most_hz=500.0)(pair, np.random.default_rng(0))
    rows = [set(zip(*columns(e))) for e in (pair.left, out.left)]
    assert rows[0] < rows[1]


# The list, and errors


def test_a_list_draws_from_one_generator():
    pair, rng = slow.random_pair(1), np.random.default_rng(7)
    expected = TimeJitter(sigma_us=9.0)(FLIP(pair, rng), rng)
    assert same(augment(pair, [FLIP, TimeJitter(sigma_us=9.0)], np.random.default_rng(7)), expected)
    assert augment(pair, [], rng) is pair


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Crop(height=0, width=4), "at least one pixel, got 0x4"),
        (lambda: Crop(height=1, width=4, shift=-1), "0 or more columns"),
        (lambda: VerticalFlip(probability=1.5), "probability must lie between 0 and 1, got 1.5"),
        (lambda: SwapCameras(probability=float("nan")), "between 0 and 1, got nan"),
        (lambda: RowJitter(most_rows=-1), "most_rows must be 0 or more rows, got -1"),
        (lambda: EventDrop(most_share=2), "most_share must lie between 0 and 1, got 2"),
        (lambda: TimeJitter(sigma_us=float("inf")), "sigma_us must be 0 or more"),
        (lambda: PolarityNoise(most_share=-0.1), "most_share must lie between"),
        (lambda: ThresholdJitter(most_factor=0.5), "most_factor must be 1 or more, got 0.5"),
        (lambda: ContrastJitter(least_contrast=1.2), "least_contrast must lie between"),
        (lambda: NoiseEvents(most_hz=float("nan")), "most_hz must be 0 or more"),
    ],
)
def test_settings_without_meaning_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_raw_events_are_refused():
    pair = slow.random_pair(0)
    with pytest.raises(RecordingError, match="The right events have uint16 coordinates"):
        replace(pair, right=Events.empty())


def test_unequal_truth_is_refused():
    with pytest.raises(RecordingError, match="Expected one value of each per pixel"):
        replace(slow.random_pair(0), valid=np.zeros((2, 2), bool))
