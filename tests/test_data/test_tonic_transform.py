"""Encodings behind Tonic's augmentations, in Tonic's own pipelines."""

import numpy as np
import pytest
import tonic.transforms
from hypothesis import given, settings
from hypothesis import strategies as st

from data import Events
from data.encode import ENCODINGS, Counts, TonicEncoding, Voxel

SIZE = (12, 9, 2)


def structured(count=300, seed=0):
    rng = np.random.default_rng(seed)
    return Events(
        t=np.sort(rng.integers(5_000, 9_000, count)),
        x=rng.integers(0, SIZE[0], count).astype(np.uint16),
        y=rng.integers(0, SIZE[1], count).astype(np.uint16),
        p=rng.random(count) < 0.5,
    ).to_tonic()


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_ends_a_tonic_pipeline(name):
    encoding = ENCODINGS[name](bins=2)
    pipeline = tonic.transforms.Compose(
        [
            tonic.transforms.DropEvent(p=0.2),
            tonic.transforms.RandomFlipUD(sensor_size=SIZE, p=1.0),
            tonic.transforms.TimeJitter(std=30.0, clip_negative=True, sort_timestamps=False),
            TonicEncoding(encoding=encoding, steps=3, sensor_size=SIZE),
        ]
    )
    out = pipeline(structured())
    assert out.shape == (3, encoding.channels, 9, 12)
    assert out.any()


@settings(max_examples=30)
@given(st.integers(0, 60), st.integers(0, 1_000))
def test_it_equals_the_encoding_itself(count, seed):
    array = structured(count, seed)
    window = {"t0_us": 5_000, "t1_us": 9_000}
    expected = Voxel()(Events.from_tonic(array), steps=4, height=9, width=12, **window)
    transform = TonicEncoding(encoding=Voxel(), steps=4, sensor_size=SIZE, window_us=(5_000, 9_000))
    np.testing.assert_array_equal(transform(array), expected)
    shuffled = array[np.random.default_rng(seed).permutation(count)]
    np.testing.assert_allclose(transform(shuffled), expected, atol=1e-5)


def test_the_window_is_that_of_the_events_unless_given():
    array = structured(50)
    out = TonicEncoding(encoding=Counts(), steps=2, sensor_size=SIZE)(array)
    assert out.sum() == 50, "the last event counts too"
    assert not TonicEncoding(encoding=Counts(), steps=2, sensor_size=SIZE)(array[:0]).any()


def test_events_moved_off_the_sensor_are_ignored():
    array = structured(40)
    array["x"][:7] = -1
    array["y"][7:9] = 9
    out = TonicEncoding(encoding=Counts(), steps=1, sensor_size=SIZE)(array)
    assert out.sum() == 31


def test_other_arrays_are_refused():
    transform = TonicEncoding(encoding=Counts(), steps=1, sensor_size=SIZE)
    with pytest.raises(ValueError, match=r"missing: \['p', 't', 'x', 'y'\]"):
        transform(np.zeros((4, 4)))
