"""Tonic's transforms before an encoding: same draws, same chance, nothing else disturbed."""

import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import tonic.transforms as tt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import augmentations as slow

from data import Events
from data.augment import TonicTransform
from data.augment.tonic_step import seeded

SIZE = (17, 11, 2)
SEEDS = st.integers(0, 2**32 - 1)
KEEPING = [
    tt.DropEvent(p=(0.1, 0.9)),
    tt.DropEventByTime(duration_ratio=(0.1, 0.6)),
    tt.DropEventByArea(sensor_size=SIZE, area_ratio=0.4),
    tt.EventDrop(sensor_size=SIZE),
    tt.DropPixel(coordinates=[(3, 4), (5, 6)]),
    tt.RandomDropPixel(p=0.3, sensor_size=SIZE),
    tt.Decimation(n=3),
    tt.MergePolarities(),
    tt.RandomFlipPolarity(p=0.5),
    tt.RandomTimeReversal(p=0.5),
    tt.RefractoryPeriod(delta=2_000),
    tt.Denoise(filter_time=3_000),
    tt.TimeJitter(std=300.0, clip_negative=False, sort_timestamps=False),
    tt.TimeSkew(coefficient=(0.8, 1.3), offset=(0, 50)),
    tt.UniformNoise(sensor_size=SIZE, n=40),
    tt.Compose([tt.RandomFlipPolarity(p=0.5), tt.DropEvent(p=0.3)]),
]
MOVING = [
    tt.RandomFlipLR(sensor_size=SIZE, p=1.0),
    tt.RandomFlipUD(sensor_size=SIZE, p=1.0),
    tt.SpatialJitter(sensor_size=SIZE, var_x=4, var_y=4, clip_outliers=True),
    tt.CenterCrop(sensor_size=SIZE, size=(8, 6)),
    tt.Downsample(spatial_factor=0.5),
]


def name(transform):
    return type(transform).__name__


def columns(events):
    return [events.t, events.x, events.y, events.p]


def same(first, second):
    return all(
        np.array_equal(a, b)
        for camera in ("left", "right")
        for a, b in zip(columns(getattr(first, camera)), columns(getattr(second, camera)))
    )


def rows(events):
    return list(zip(*columns(events)))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("transform", KEEPING, ids=name)
@given(seed=SEEDS)
@settings(max_examples=12)
def test_any_transform_gives_valid_events_and_disturbs_nothing(transform, shared, seed):
    pair = slow.random_pair(seed)
    step = TonicTransform(transform=transform, shared=shared)
    before = [a.copy() for camera in ("left", "right") for a in columns(getattr(pair, camera))]
    states = np.random.get_state(), random.getstate(), torch.random.get_rng_state()  # noqa: NPY002
    out = step(pair, np.random.default_rng(seed))
    after = np.random.get_state(), random.getstate(), torch.random.get_rng_state()  # noqa: NPY002
    assert np.array_equal(states[0][1], after[0][1])
    assert states[0][2:] == after[0][2:]
    assert states[1] == after[1]
    assert torch.equal(states[2], after[2])
    np.random.seed(seed % 1000)  # noqa: NPY002 (whatever the global state, the result is the same)
    assert same(out, step(pair, np.random.default_rng(seed)))
    for events in (out.left, out.right):
        Events(t=events.t, x=events.x, y=events.y, p=events.p)
        assert events.x.dtype == np.float32
        assert len(events.inside(pair.width, pair.height)) == len(events)
        assert len(events.window(pair.t0_us, pair.t1_us)) == len(events)
    now = [a for camera in ("left", "right") for a in columns(getattr(pair, camera))]
    assert all(np.array_equal(a, b) for a, b in zip(now, before))
    assert out.disparity is pair.disparity


@given(seed=SEEDS)
@settings(max_examples=30)
def test_sub_pixel_places_survive(seed):
    pair = slow.random_pair(seed)
    out = TonicTransform(transform=tt.DropEvent(p=0.4))(pair, np.random.default_rng(seed))
    for before, after in ((pair.left, out.left), (pair.right, out.right)):
        assert set(rows(after)) <= set(rows(before))
        n = len(before.inside(pair.width, pair.height))
        assert len(after) == n - int(0.4 * n + 0.5)


def test_noise_events_lie_on_pixels_and_have_both_signs():
    pair = slow.random_pair(4)
    pair = replace(pair, left=pair.right)
    out = TonicTransform(transform=tt.UniformNoise(sensor_size=SIZE, n=60))(
        pair, np.random.default_rng(0)
    )
    inside = pair.left.inside(pair.width, pair.height)
    added = set(rows(out.left)) - set(rows(inside))
    assert len(out.left) == len(inside) + 60
    assert len(added) > 50
    assert all(float(x).is_integer() and float(y).is_integer() for _, x, y, _ in added)
    assert 10 < sum(bool(p) for *_, p in added) < 50


def test_shared_draws_are_the_same_in_both_cameras():
    pair = slow.random_pair(0, count=400)
    pair = replace(pair, right=pair.left)
    area = tt.DropEventByArea(sensor_size=SIZE, area_ratio=0.5)
    for seed in range(10):
        out = TonicTransform(transform=area)(pair, np.random.default_rng(seed))
        assert rows(out.left) == rows(out.right)
    differ = [
        rows(out.left) != rows(out.right)
        for out in (
            TonicTransform(transform=area, shared=False)(pair, np.random.default_rng(seed))
            for seed in range(10)
        )
    ]
    assert sum(differ) > 6


def test_shared_flips_happen_in_both_cameras_or_in_none():
    pair = slow.random_pair(9, count=400)
    flipped = set()
    for seed in range(20):
        out = TonicTransform(transform=tt.RandomFlipPolarity(p=0.5))(
            pair, np.random.default_rng(seed)
        )
        changed = tuple(
            bool((after.p != before.inside(17, 11).p).any())
            for before, after in ((pair.left, out.left), (pair.right, out.right))
        )
        flipped.add(changed)
    assert flipped == {(True, True), (False, False)}


@pytest.mark.parametrize("transform", MOVING, ids=name)
def test_moving_the_events_alone_is_refused(transform):
    pair = slow.random_pair(2, count=400)
    with pytest.raises(ValueError, match="moved events to other pixels"):
        TonicTransform(transform=transform)(pair, np.random.default_rng(0))


def test_spatial_jitter_can_be_allowed():
    pair = slow.random_pair(2, count=400)
    jitter = tt.SpatialJitter(sensor_size=SIZE, var_x=4, var_y=4, clip_outliers=True)
    out = TonicTransform(transform=jitter, moves_pixels=True)(pair, np.random.default_rng(0))
    before = pair.left.inside(17, 11)
    assert 0 < len(out.left) <= len(before)
    assert rows(out.left) != rows(before)
    fractions = {round(float(x) % 1, 4) for x in out.left.x}
    assert fractions <= {round(float(x) % 1, 4) for x in before.x} | {0.0, 1.0}


def test_a_transform_that_encodes_is_refused():
    pair = slow.random_pair(0)
    frames = TonicTransform(transform=tt.ToFrame(sensor_size=SIZE, n_time_bins=3))
    with pytest.raises(ValueError, match="without the fields x, y, t, p"):
        frames(pair, np.random.default_rng(0))


def test_a_camera_without_events_stays_so():
    empty = Events(
        t=np.empty(0, np.int64), x=np.empty(0, np.float32), y=np.empty(0, np.float32),
        p=np.empty(0, bool),
    )  # fmt: skip
    pair = replace(slow.random_pair(3), right=empty)
    noise = TonicTransform(transform=tt.UniformNoise(sensor_size=SIZE, n=5))
    out = noise(pair, np.random.default_rng(0))
    assert len(out.right) == 0
    assert len(out.left) > 5


def test_the_global_state_comes_back_after_an_error():
    def fail(events):
        np.random.random(5)  # noqa: NPY002
        raise RuntimeError("no")

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="no"):
        TonicTransform(transform=fail)(slow.random_pair(0), np.random.default_rng(0))
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_seeding_reaches_all_generators():
    def draw():
        return np.random.random(), random.random(), float(torch.rand(()))  # noqa: NPY002

    with seeded(5):
        first = draw()
    with seeded(5):
        assert draw() == first
    with seeded(6):
        assert len(set(draw()) & set(first)) == 0


def test_the_step_describes_itself_and_travels():
    step = TonicTransform(transform=tt.DropEvent(p=0.4), shared=False)
    assert pickle.loads(pickle.dumps(step)) == step
    assert "DropEvent(p=0.4)" in repr(step)
