"""Video: what a player finds in the file, and what Ctrl-C or an error leaves."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stereo.video import frame_rate, video_sink

RATE = Fraction(10)


def picture(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


def decode(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def stop_after_two(path, reason):
    with video_sink(path, RATE) as video:
        video.write(picture(0))
        video.write(picture(99))
        raise reason


# Contents


def test_is_h264_that_browsers_play(tmp_path):
    path = tmp_path / "x.mp4"
    with video_sink(path, RATE) as video:
        for level in range(0, 200, 10):
            video.write(picture(level))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (64, 48, 20)
        assert container.duration == 2_000_000
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # a browser can start at once


def test_frames_come_back_in_order_and_color(tmp_path):
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128)]
    with video_sink(tmp_path / "x.mp4", RATE) as video:
        for color in colors:
            video.write(np.full((48, 64, 3), color, np.uint8))
    for frame, color in zip(decode(tmp_path / "x.mp4"), colors, strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.astype(int) - color).max() <= 6


@pytest.mark.parametrize("count", [1, 2])
def test_short_video_lasts_two_seconds(tmp_path, count):
    with video_sink(tmp_path / "x.mp4", frame_rate(count, 50_000 * count)) as video:
        for _ in range(count):
            video.write(picture(9))
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.duration == 2_000_000


# Speed


@pytest.mark.parametrize(
    ("frames", "duration_us", "expected"),
    [
        (200, 10_000_000, 20),  # real time
        (20, 400_000, 10),  # at least two seconds
        (1, 50_000, Fraction(1, 2)),
        (10_000, 10_000_000, 60),  # no faster than screens
    ],
)
def test_frame_rate(frames, duration_us, expected):
    assert frame_rate(frames, duration_us) == expected


# Errors and interrupts


def test_ctrl_c_leaves_a_whole_file(tmp_path):
    path = tmp_path / "x.mp4"
    with pytest.raises(KeyboardInterrupt):
        stop_after_two(path, KeyboardInterrupt)
    assert len(decode(path)) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), video_sink(tmp_path / "x.mp4", RATE):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="broken"):
        stop_after_two(path, RuntimeError("broken"))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.mp4"]


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"), video_sink(tmp_path / "x", RATE):
        pass
    assert list(tmp_path.iterdir()) == []


def test_sizes_must_be_even_and_equal(tmp_path):
    with video_sink(tmp_path / "x.mp4", RATE) as video:
        with pytest.raises(ValueError, match="even sizes, got 63x48"):
            video.write(picture(0, width=63))
        video.write(picture(0))
        with pytest.raises(ValueError, match="size of the first"):
            video.write(picture(0, width=66))
