"""Metrics: numbers, invariants, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import metrics as reference

from stereo.errors import StereoError
from stereo.metrics import AccuracyMeter

FB = 350.0


def measure(estimates, truths, fb=FB):
    meter = AccuracyMeter(fb)
    for estimate, truth in zip(estimates, truths, strict=True):
        meter.add(np.asarray(estimate, np.float32), np.asarray(truth, np.float32))
    return meter.result()


@st.composite
def images(draw):
    """Pairs of estimate and ground truth on the 1/256 px grid, with holes and empty images."""
    count, height, width = draw(st.integers(1, 4)), 2, 3
    size = count * height * width
    level = st.integers(1, 40 * 256)
    truth = draw(st.lists(st.one_of(st.just(0), level), min_size=size, max_size=size))
    estimate = draw(st.lists(level, min_size=size, max_size=size))
    shape = (count, height, width)
    return tuple(np.reshape(v, shape).astype(np.float32) / 256 for v in (estimate, truth))


# Numbers


@given(images())
def test_equals_the_slow_twin(pair):
    found, expected = measure(*pair), reference.accuracy(*pair, FB)
    if expected is None:
        assert found is None
        return
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_by_hand():
    result = measure([[[10, 10, 10, 10]]], [[[10, 11, 12.5, 0]]])
    assert result.mae_px == pytest.approx((0 + 1 + 2.5) / 3)
    assert result.one_pe_percent == pytest.approx(100 / 3)  # an error of exactly 1 is no error
    assert result.two_pe_percent == pytest.approx(100 / 3)
    assert result.rmse_px == pytest.approx(np.sqrt((1 + 6.25) / 3))
    depths = 0, FB / 10 - FB / 11, FB / 10 - FB / 12.5
    assert result.mean_depth_error_m == pytest.approx(np.mean(depths), rel=1e-6)
    assert (result.constant_px, result.constant_mae_px) == (11, pytest.approx(2.5 / 3))
    assert (result.valid_pixels, result.images) == (3, 1)


def test_images_count_alike_whatever_their_number_of_pixels():
    sparse, dense = [[8, 0, 0, 0]], [[4, 4, 4, 4]]
    result = measure([[[9, 9, 9, 9]], [[4, 4, 4, 4]]], [sparse, dense])
    assert result.mae_px == 0.5
    # Pooled, 4 px would be the only best constant; per image any between 4 and 8 is as good.
    assert result.constant_mae_px == 2.0


# Invariants


@given(images(), st.randoms(use_true_random=False))
def test_order_changes_nothing(pair, chance):
    order = list(range(len(pair[0])))
    chance.shuffle(order)
    before, after = measure(*pair), measure(*(part[order] for part in pair))
    if before is None:
        assert after is None
        return
    assert before.to_json() | {"constant_mae_px": 0, "constant_px": 0} == after.to_json() | {
        "constant_mae_px": 0,
        "constant_px": 0,
    }
    assert before.constant_mae_px == pytest.approx(after.constant_mae_px)


@given(images())
def test_perfect_estimate_has_no_error(pair):
    result = measure(pair[1], pair[1])
    if result is not None:
        assert (result.mae_px, result.rmse_px, result.one_pe_percent) == (0, 0, 0)


def test_inputs_are_not_changed():
    estimate, truth = np.ones((2, 2), np.float32), np.eye(2, dtype=np.float32)
    copies = estimate.copy(), truth.copy()
    AccuracyMeter(FB).add(estimate, truth)
    assert np.array_equal(estimate, copies[0])
    assert np.array_equal(truth, copies[1])


# Absent values


def test_nothing_measured_is_none():
    assert AccuracyMeter().result() is None
    assert measure([[[1, 2]]], [[[0, np.nan]]]) is None


def test_infinite_or_negative_truth_is_no_truth():
    assert measure([[[1, 2, 3]]], [[[np.inf, -1, 3]]]).valid_pixels == 1


def test_no_calibration_no_depth():
    assert measure([[[1.0]]], [[[2.0]]], fb=None).mean_depth_error_m is None


# Errors


def test_estimate_that_is_not_finite_is_refused():
    with pytest.raises(StereoError, match="NaN or infinity"):
        measure([[[np.nan, 1]]], [[[3, 1]]])
    assert measure([[[np.nan, 1]]], [[[0, 1]]]).mae_px == 0  # no ground truth there
