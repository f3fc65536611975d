"""Protocols on MVSEC: the mask against its slow twin, both layouts, the line that states it."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mvsec import NAME, all_rows, small_scene, sparse_pixels, write_ddes
from reference.recordings import FakeRecording

from data import RecordingError
from data.mvsec import (
    DdesRecording,
    MvsecRecording,
    Part,
    Protocol,
    Split,
    named_protocol,
    published_split,
    write_mvsec,
)
from data.mvsec.ddes import LARGEST_PX
from data.mvsec.protocol import recent_pixels
from data.recording import CAMERAS

OWN = Split(
    name="sample",
    source="generated data",
    train=(Part(sequence=NAME, first=1, end=3),),
    held_out=Part(sequence=NAME, first=3, end=6),
    validation=1,
)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "hall"
    setting = small_scene(8, images=6)
    setting["disparity"] *= 2.5  # beyond what DDES can store
    # No event exactly at a stamp: events are multiples of 7 us, and DDES stores such ones nowhere.
    setting["disparity_t_us"] = setting["disparity_t_us"] + 503
    write_mvsec(path, **setting)
    with MvsecRecording(path) as recording:
        yield recording


@pytest.fixture(scope="module")
def ddes(native, tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "generated_hall_1"
    maps = {c: native.rectify_map(c) for c in CAMERAS}
    write_ddes(path, native.path, native.files.truth, native.calibration.fb, maps)
    return DdesRecording(path)


@pytest.fixture(scope="module")
def rows(native):
    return all_rows(native.path, "left")


def expected_mask(native, rows, protocol, index):
    """Build the mask pixel by pixel."""
    height, width = native.height, native.width
    stamp = int(native.disparity_t_us[index])
    recent = sparse_pixels(
        rows, native.rectify_map("left"), stamp, count=protocol.sparse_events,
        horizon_us=protocol.horizon_us, width=width, height=height,
    )  # fmt: skip
    truth = native.disparity(index)
    out = np.zeros((height, width), bool)
    crop_rows, crop_columns = protocol.crop or (height, width)
    top, left = (height - crop_rows) // 2, (width - crop_columns) // 2
    for y in range(height):
        for x in range(width):
            out[y, x] = (
                truth[y, x] > 0
                and (protocol.max_disparity is None or truth[y, x] <= protocol.max_disparity)
                and (not protocol.sparse or recent[y, x])
                and top <= y < top + crop_rows
                and left <= x < left + crop_columns
            )
    return out


# ---- numbers


@settings(max_examples=60)
@given(
    index=st.integers(0, 5),
    sparse=st.booleans(),
    sparse_events=st.sampled_from([1, 2, 7, 300, 10_000]),
    horizon_us=st.sampled_from([1, 1_000, 50_000, 500_000]),
    crop=st.sampled_from([None, (48, 64), (31, 20), (1, 1)]),
    max_disparity=st.sampled_from([None, 10.0, LARGEST_PX]),
)
def test_the_mask_equals_the_slow_one(native, rows, index, **setting):
    protocol = Protocol(split=OWN, **setting)
    mask = protocol.mask(native, index)
    assert (mask.dtype, mask.shape) == (np.bool_, (48, 64))
    np.testing.assert_array_equal(mask, expected_mask(native, rows, protocol, index))


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("index", range(6))
def test_both_layouts_give_the_same_mask(native, ddes, index, sparse):
    """The published layout was made of the native one: the protocol must not see a difference."""
    protocol = Protocol(split=OWN, sparse=sparse, sparse_events=400)
    mask = protocol.mask(native, index)
    assert not sparse or index == 0 or 100 < mask.sum() < 400
    np.testing.assert_array_equal(protocol.mask(ddes, index), mask)
    known = native.disparity(index) > LARGEST_PX
    assert known.any(), "the limit does something"
    assert not mask[known].any()


def test_halves_are_rounded_away_from_zero():
    """Rectification of this recording moves columns by 2.5 px: every column is a half."""
    recording = FakeRecording()
    mask = recent_pixels(recording, 100_000, 50, 100_000)
    left = recording.events("left", 0, 100_000)
    on_image = [
        (int(y), int(x) - 2 if x > 2 else -1)
        for x, y in zip(left.x.astype(int), left.y, strict=True)
    ]
    # -0.5 is rounded to -1, out of the image; 0.5 to 1.
    expected = np.zeros((32, 40), bool)
    for y, x in [pixel for pixel in on_image if pixel[1] >= 0][-50:]:
        expected[y, x] = True
    np.testing.assert_array_equal(mask, expected)


def test_before_any_event_nothing_is_recent(native):
    assert Protocol(split=OWN).mask(native, 0).sum() < 10  # the stamp is 0.5 ms after the first
    assert Protocol(split=OWN, sparse=False).mask(native, 0).sum() > 500


# ---- frames


def test_frames_of_a_recording(native, ddes):
    held_out = [k for _, k in OWN.frames("test")]
    for recording in (native, ddes):
        assert Protocol(split=OWN).frames_of(recording) == held_out
        assert Protocol(split=OWN, role="train").frames_of(recording) == [1, 2]
    assert Protocol(split=published_split(1)).frames_of(native) == []
    long = replace(OWN, held_out=Part(sequence=NAME, first=3, end=9))
    with pytest.raises(RecordingError, match="has 6 ground truths, but split sample .* number 8"):
        Protocol(split=long).frames_of(native)


# ---- the line


def test_the_line_says_everything():
    assert str(named_protocol("mvsec-1-sparse")) == (
        "split 1 of DDES; test: 861 frames, indoor_flying1[140:1201] shuffled with seed 0, all but "
        "200; sparse ground truth (pixels of the last 15,000 left events of 500 ms); whole image; "
        "disparity up to 36.3571 px"
    )
    cropped = Protocol(
        split=published_split(3, "EMatch"), sparse=False, crop=(256, 320), max_disparity=None
    )
    assert str(cropped) == (
        "split 3 of EMatch; test: 1544 frames, indoor_flying3[73:1617]; dense ground truth; center "
        "crop 256x320; any disparity; all held-out frames; its training ranges are taken to be "
        "those of DDES"
    )


def test_no_two_protocols_have_one_line():
    base = named_protocol("mvsec-2-sparse")
    others = [
        replace(base, **change)
        for change in (
            {"split": published_split(1)}, {"split": published_split(2, "StereoSpike")},
            {"role": "train"}, {"role": "validation"}, {"sparse": False}, {"sparse_events": 150},
            {"horizon_us": 50_000}, {"crop": (256, 320)}, {"max_disparity": 36.0},
            {"max_disparity": None},
        )
    ]  # fmt: skip
    lines = {str(protocol) for protocol in (base, *others)}
    assert len(lines) == len(others) + 1
    assert not any("\n" in line for line in lines)


def test_a_protocol_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        named_protocol("mvsec-3-dense").sparse = True
    assert not named_protocol("mvsec-3-dense").sparse


# ---- errors


@pytest.mark.parametrize(
    "change",
    [{"sparse_events": 0}, {"horizon_us": 0}, {"crop": (0, 9)}, {"max_disparity": 0.0},
     {"max_disparity": float("nan")}],
)  # fmt: skip
def test_protocols_without_meaning(change):
    with pytest.raises(RecordingError, match="A protocol needs a positive"):
        Protocol(split=OWN, **change)


def test_unknown_names(native, without_shape_checks):
    with pytest.raises(RecordingError, match="known: mvsec-1-sparse, mvsec-1-dense, mvsec-2"):
        named_protocol("mvsec-4-sparse")
    with pytest.raises(RecordingError, match="known: train, validation, test"):
        Protocol(split=OWN, role="exam")
    with pytest.raises(RecordingError, match="fewer than the crop 99x9"):
        Protocol(split=OWN, crop=(99, 9)).mask(native, 1)
    with pytest.raises(IndexError, match="has 6 ground truths"):
        Protocol(split=OWN).mask(native, 6)
