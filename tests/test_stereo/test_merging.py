"""Pixels taken as one: where events fall, and that estimates come back in pixels of the sensor."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.recordings import FakeRecording, random_events

from data import Events
from stereo.errors import StereoError
from stereo.executors import Executor
from stereo.infer import infer
from stereo.merging import (
    LEAST_BLOCKS,
    merge_events,
    merged_size,
    refuse_few_blocks,
    spread_disparity,
)
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.presets import PRESETS
from stereo.stream import StereoStream, run_windows
from stereo.windows import Window

WINDOW = Window(t0_us=0, t1_us=50_000)


def events_at(x, y, dtype=np.uint16):
    x, y = np.broadcast_arrays(np.asarray(x, dtype), np.asarray(y, dtype))
    count = x.size
    return Events(t=np.arange(count), x=x.ravel(), y=y.ravel(), p=np.zeros(count, bool))


@given(st.integers(1, 9), st.integers(1, 50), st.integers(1, 50))
def test_every_pixel_falls_into_its_block(merge, height, width):
    y, x = np.mgrid[:height, :width]
    found = merge_events(events_at(x, y), merge, height, width)
    assert len(found) == height * width
    if merge > 1:
        assert found.x.dtype == found.y.dtype == np.float32
    assert np.array_equal(np.floor(found.x + 0.5), x.ravel() // merge)
    assert np.array_equal(np.floor(found.y + 0.5), y.ravel() // merge)
    assert found.x.max() < merged_size(width, merge)
    assert found.y.max() < merged_size(height, merge)


def test_rectified_events_keep_their_place_within_a_block():
    found = merge_events(events_at([0.0, 0.5, 1.0, 7.25], 0, np.float32), 2, 8, 8)
    assert found.x.tolist() == [-0.25, 0.0, 0.25, 3.375]


def test_events_off_the_image_enter_no_block():
    """The last of 14 blocks of 3 reaches two pixels beyond 40."""
    found = merge_events(events_at([39.4, 39.6, 41.0, -0.6], 3.0, np.float32), 3, 32, 40)
    assert len(found) == 1


@given(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30))
def test_disparities_come_back_at_the_size_of_the_sensor(merge, height, width):
    rows, columns = merged_size(height, merge), merged_size(width, merge)
    small = np.random.default_rng(1).random((rows, columns)).astype(np.float32)
    large = spread_disparity(small, merge, height=height, width=width)
    assert large.shape == (height, width)
    y, x = np.mgrid[:height, :width]
    assert np.array_equal(large, small[y // merge, x // merge] * np.float32(merge))


class Seeing(HybridStereo):
    """A network that answers 3 of its pixels and notes what it saw."""

    def __init__(self):
        super().__init__(PRESETS["tiny"]())
        self.limits = []

    def forward(self, left, right, max_disparity=None):
        self.limits.append(max_disparity)
        return torch.full(left.shape[-2:], 3.0)[None]


@pytest.mark.parametrize("merge", [1, 2, 3])
def test_stream_shows_blocks_to_the_network(merge):
    """Binary frames: a block fires where one of its pixels does, in the same step."""
    recording, network = FakeRecording(), Seeing()
    (plain,) = run_windows(recording, network, [WINDOW])
    (result,) = run_windows(recording, network, [WINDOW], merge=merge, max_disparity=10)
    assert result.disparity.shape == plain.disparity.shape == (32, 40)
    assert (result.disparity == 3.0 * merge).all()
    assert network.limits[-1] == -(-10 // merge)
    size = merged_size(32, merge), merged_size(40, merge)
    assert result.left.shape[-2:] == size
    padded = np.zeros((*plain.left.shape[:-2], size[0] * merge, size[1] * merge))
    padded[..., :32, :40] = plain.left.numpy()
    blocks = padded.reshape(*padded.shape[:-2], size[0], merge, size[1], merge).max((-3, -1))
    assert np.array_equal(result.left.numpy(), blocks)
    assert plain.read == result.read
    assert plain.outside_image == result.outside_image


def test_no_rectification_takes_raw_pixels_too():
    events = random_events(np.random.default_rng(3), 400, 50_000, 40, 32)
    stream = StereoStream(Executor(Seeing()), [WINDOW], width=40, height=32, merge=4)
    (result,) = stream.push(events, Events.empty(), 50_000)
    assert result.left.shape[-2:] == (8, 10)
    assert result.left.any()
    assert not result.right.any()


def test_report_says_what_was_merged_and_searched(tmp_path):
    network = HybridStereo(PRESETS["tiny"]()).eval()
    plain, merged = (
        infer(
            FakeRecording(), network, tmp_path / str(merge),
            InferOptions(
                source="x", network_name="x", merge=merge, max_windows=2, executor="dense"
            ),
        ).document
        for merge in (1, 2)
    )  # fmt: skip
    assert (plain["merged_pixels"], plain["max_disparity_px"]) == (1, 15)
    assert (merged["merged_pixels"], merged["max_disparity_px"]) == (2, 30)
    assert merged["energy"]["total_mj"] < plain["energy"]["total_mj"]
    assert (merged["width"], merged["height"]) == (40, 32)


@given(st.integers(2, 100), st.integers(1, 300), st.integers(1, 300))
def test_too_few_blocks_are_refused_and_the_largest_that_is_named_is_taken(merge, height, width):
    blocks = min(merged_size(height, merge), merged_size(width, merge))
    if blocks >= LEAST_BLOCKS:
        refuse_few_blocks(merge, height, width)
        return
    with pytest.raises(StereoError, match="leaves") as refused:
        refuse_few_blocks(merge, height, width)
    largest = int(str(refused.value).split("at most ")[1].split()[0])
    refuse_few_blocks(largest, height, width)
    assert min(height, width) <= LEAST_BLOCKS or min(
        merged_size(height, largest + 1), merged_size(width, largest + 1)
    ) < LEAST_BLOCKS  # fmt: skip


def test_stream_refuses_too_few_blocks():
    with pytest.raises(StereoError, match="leaves 8 x 7 of 40 x 32; take at most 4 here"):
        StereoStream(Executor(Seeing()), [WINDOW], width=40, height=32, merge=5)
