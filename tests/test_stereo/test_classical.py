"""Matching without learning, errors by distance, and pictures of evaluated frames."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stereo.classical import MATCHERS, ClassicalMatcher, counting, event_images, fill_rows
from stereo.frames import events_of, frame_picture
from stereo.presets import PRESETS
from stereo.tasks.distances import EDGES_M, Distances


def filled_by_hand(values, known):
    """Look for the nearest known value of every pixel in its row, to the left first."""
    found = np.zeros_like(values)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            before = [c for c in range(column + 1) if known[row, c]]
            after = [c for c in range(column, values.shape[1]) if known[row, c]]
            source = before[-1] if before else after[0] if after else None
            found[row, column] = 0 if source is None else values[row, source]
    return found


@given(st.integers(1, 5), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_holes_take_the_nearest_value_of_their_row(height, width, share, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(height, width)).astype(np.float32)
    known = rng.random((height, width)) < share
    np.testing.assert_array_equal(fill_rows(values, known), filled_by_hand(values, known))


@pytest.mark.parametrize("name", sorted(MATCHERS))
@pytest.mark.parametrize("size", [(64, 112), (45, 81)])
def test_a_shifted_scene_is_found(name, size):
    rng = np.random.default_rng(0)
    shift, (height, width) = 7, size
    scene = torch.from_numpy(rng.poisson(0.3, (1, 1, 2, height, width + shift))).float()
    left, right = scene[..., :width], scene[..., shift:]  # left[x] is right[x - shift]
    found = ClassicalMatcher(name, 20)(left, right)
    assert found.shape == (1, height, width)
    inner = found[0, 16:-16, 37:-16]  # whole search and whole blocks inside
    assert float((inner - shift).abs().median()) < 0.5
    assert float(((inner - shift).abs() < 1).float().mean()) > 0.9


@pytest.mark.parametrize("name", sorted(MATCHERS))
@pytest.mark.parametrize("fill", [0.0, 1.0, 1000.0])
def test_any_input_gives_disparities_in_range(name, fill):
    events = torch.full((1, 2, 2, 40, 50), fill)
    found = ClassicalMatcher(name, 20)(events, events)
    assert found.shape == (2, 40, 50)
    assert bool(torch.isfinite(found).all())
    assert float(found.min()) >= 0
    assert float(found.max()) <= 20


def test_images_of_events_are_gray_without_any():
    counts = torch.zeros(2, 2, 2, 12, 14)
    counts[0, 1, 0, 6, 7] = counts[1, 1, 1, 2, 3] = 5.0  # OFF, then ON
    empty, seen = event_images(counts)
    assert (empty == 128).all()
    assert seen[6, 7] < 128 < seen[2, 3]
    assert seen[11, 13] == 128


def test_they_see_counts_over_the_same_window():
    config = PRESETS["small"]()
    seen = counting(config)
    assert (seen.encoding.name, seen.encoding.steps, seen.encoding.bins) == ("counts", 1, 1)
    assert seen.window_us == config.window_us
    assert seen.data == config.data


@given(st.lists(st.floats(0.05, 200), max_size=40), st.floats(0.5, 50), st.integers(0, 99))
def test_errors_by_distance_equal_a_count_by_hand(depths, fb, seed):
    rng = np.random.default_rng(seed)
    true = fb / np.array(depths, np.float64)
    found = np.abs(true + rng.normal(0, 2, true.size))
    table = Distances()
    for part in np.array_split(np.arange(true.size), 3):
        table.add(found[part], true[part], fb)
    rows = {row["from_m"]: row for row in table.rows()}
    for low, high in pairwise(EDGES_M):
        own = [n for n in range(true.size) if low <= fb / true[n] < high]
        assert (low in rows) == bool(own)
        if not own:
            continue
        off = [abs(fb / (found[n] + 1e-7) - fb / (true[n] + 1e-7)) for n in own]
        row = rows[low]
        assert row["to_m"] == (None if high == float("inf") else high)
        assert row["pixels"] == len(own)
        assert row["share_percent"] == pytest.approx(100 * len(own) / true.size)
        assert row["mae_px"] == pytest.approx(np.mean([abs(found[n] - true[n]) for n in own]))
        above = [abs(found[n] - true[n]) > 1 for n in own]
        assert row["one_pe_percent"] == pytest.approx(100 * np.mean(above))
        assert row["mean_depth_error_m"] == pytest.approx(np.mean(off))
        relative = [o * true[n] / fb for o, n in zip(off, own, strict=True)]
        assert row["relative_depth_error_percent"] == pytest.approx(100 * np.mean(relative))


def test_a_limit_belongs_to_the_farther_range():
    table = Distances()
    table.add(np.array([8.0]), np.array([8.0]), fb=16.0)  # at 2 m
    assert [(row["from_m"], row["to_m"]) for row in table.rows()] == [(2.0, 4.0)]
    assert Distances().rows() == []


def test_encoded_events_are_shown_once_per_pixel():
    spikes = torch.zeros(2, 4, 5, 6)
    spikes[0, 0, 1, 2] = spikes[1, 2, 1, 2] = spikes[0, 1, 1, 2] = 1  # twice OFF, once ON
    spikes[1, 3, 4, 5] = 1  # ON
    events = events_of(spikes)
    assert list(zip(events.x, events.y, events.p, strict=True)) == [(2, 1, False), (5, 4, True)]
    voxels = torch.zeros(1, 2, 5, 6)
    voxels[0, 0, 0, 0], voxels[0, 1, 3, 3] = -1.5, 0.5
    events = events_of(voxels)
    assert list(zip(events.x, events.y, events.p, strict=True)) == [(0, 0, False), (3, 3, True)]
    assert len(events_of(torch.zeros(2, 4, 5, 6))) == 0


def test_a_frame_becomes_a_picture():
    truth = np.tile(np.linspace(0, 20, 60, dtype=np.float32), (40, 1))
    pictures = [
        frame_picture(
            torch.ones(2, 4, 40, 60), truth + off, truth, title="a", subtitle="b", top_px=20.0
        )
        for off in (np.float32(0), np.float32(2), np.float32(2))
    ]
    assert pictures[0].dtype == np.uint8
    assert pictures[0].ndim == 3
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[1], pictures[2])
