"""Clips of a light that is switched on: geometry of both views, when events come, who sees what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.encode import ENCODINGS
from data.flash import Thing, draw_thing, flash_clip, look
from data.generated import STAMPS_US, GeneratedWindows
from stereo.errors import StereoError
from stereo.presets import PRESETS

SIZE = (96, 64)


def thing(**changes):
    plain = {
        "disc": False, "center": (60.0, 30.0), "size": (14.0, 10.0), "disparity": 12.0,
        "slant": (0.0, 0.0), "events": 2.0, "shade": (0.0, 0.0),
    }  # fmt: skip
    return Thing(**(plain | changes))


def seen_in(events, width, height):
    picture = np.zeros((height, width), np.int64)
    np.add.at(picture, (events.y, events.x), 1)
    return picture


def windows(**changes):
    plain = {
        "encoding": ENCODINGS["spikes"](bins=1), "steps": 2, "window_us": 50_000, "width": 48,
        "height": 36, "clips": 20, "length": 40, "seed": 1,
    }  # fmt: skip
    return GeneratedWindows(**(plain | changes))


@given(seed=st.integers(0, 10_000))
def test_what_the_right_camera_sees_is_what_the_left_one_sees_moved(seed):
    """Pixel by pixel: a place of a slanted thing, moved by its disparity, is the same place."""
    own = draw_thing(np.random.default_rng(seed), *SIZE)
    row, column = np.mgrid[: SIZE[1], : SIZE[0]].astype(float)
    _, disparity, _ = own.seen(column, row)
    np.testing.assert_allclose(own.source(column - disparity, row), column, atol=1e-9)


def test_whole_disparities_move_whole_pixels_and_the_nearer_hides():
    far, near = thing(), thing(center=(70.0, 30.0), disparity=20.0, events=5.0, disc=True)
    for things in ([far, near], [near, far]):
        truth, light = look(things, *SIZE)
        assert set(np.unique(truth)) == {0.0, 12.0, 20.0}
        for own in (far, near):
            rows, columns = np.nonzero(truth == own.disparity)
            moved = columns - int(own.disparity)
            right = light["right"][rows, moved]
            assert (right >= own.events).all(), "itself, or what is nearer"
        np.testing.assert_array_equal(light["left"] == 5.0, truth == 20.0)
    assert truth[30, 70] == 20.0
    assert look([], *SIZE)[0].max() == 0


def test_shade_takes_from_one_side_and_never_all():
    truth, light = look([thing(shade=(0.9, 0.9), events=4.0)], *SIZE)
    values = light["left"][truth > 0]
    assert values.min() == pytest.approx(0.2)
    assert values.max() > 4.0


@given(seed=st.integers(0, 10_000))
def test_a_clip_is_of_its_seed_and_every_window_has_a_flash(seed):
    clip, again = (flash_clip(seed, *SIZE, STAMPS_US) for _ in range(2))
    for camera in ("left", "right"):
        one, other = getattr(clip, camera), getattr(again, camera)
        assert all(np.array_equal(getattr(one, n), getattr(other, n)) for n in "txyp")
        assert len(one.t) == 0 or one.t.max() < STAMPS_US[-1]
        assert len(one.x) == 0 or (one.x.max() < SIZE[0] and one.y.max() < SIZE[1])
    assert clip.disparity.shape == (len(STAMPS_US), SIZE[1], SIZE[0])
    assert clip.disparity.min() >= 0
    if clip.disparity[0].any():
        assert all(len(clip.left.window(stamp - 30_000, stamp).t) for stamp in STAMPS_US)


def test_events_come_where_things_are():
    """Apart from noise, which is even: many more inside than outside."""
    ratios = []
    for seed in range(20):
        clip = flash_clip(seed, *SIZE, STAMPS_US)
        inside, picture = clip.disparity[0] > 0, seen_in(clip.left, *SIZE)
        if 0.02 < inside.mean() < 0.9:
            ratios.append(picture[inside].mean() / max(picture[~inside].mean(), 1e-3))
    assert len(ratios) > 10
    assert np.median(ratios) > 5
    assert min(ratios) > 1


def test_the_share_of_flashes_is_kept_and_none_is_what_it_was(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        "data.generated.make_clip",
        lambda seed, *size: made.append(seed) or flash_clip(0, *size, STAMPS_US),
    )
    plain = windows(cache=tmp_path)
    for index in range(40):
        plain[index]
    drawn = set(made)
    made.clear()
    some = windows(flashes=0.5, clips=200, length=200)
    for index in range(200):
        some[index]
    assert 60 < len(made) < 140, "half of 200, but for chance"
    made.clear()
    every = windows(flashes=1.0)
    found = [every[index] for index in range(40)]
    assert not made
    assert {sample.meta["clip"] for sample in found} == drawn, "which clips are drawn is the same"
    assert any(bool(sample.valid.any()) for sample in found)


def test_a_share_is_one():
    assert PRESETS["tiny"]().override({"train.flashes": "0.5"}).train.flashes == 0.5
    with pytest.raises(StereoError, match="flashes"):
        PRESETS["tiny"]().override({"train.flashes": "1.5"})
