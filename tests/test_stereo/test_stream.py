"""The stream of estimates: what is read, what the network sees, what leaks."""

import numpy as np
import pytest
import torch
from reference.recordings import FakeRecording

from data.recording import CAMERAS
from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.stopwatch import Stopwatch
from stereo.stream import Slider, run_windows
from stereo.windows import Window, plan_windows

OVERLAPPING = [Window(t0_us=t, t1_us=t + 50_000) for t in range(-20_000, 200_000, 20_000)]


class Remembering(HybridStereo):
    """A network that answers a constant and notes what it was given."""

    def __init__(self, value=3.0):
        super().__init__(PRESETS["tiny"]())
        self.value = value
        self.limits = []

    def forward(self, left, right, max_disparity=None):
        self.limits.append(max_disparity)
        return torch.full(left.shape[-2:], self.value)[None]


# Reading


@pytest.mark.parametrize("camera", CAMERAS)
def test_sliding_equals_reading_anew(camera):
    recording = FakeRecording()
    slider = Slider(recording, camera)
    for window in OVERLAPPING:
        slid = slider.window(window)
        raw = recording.events(camera, window.t0_us, window.t1_us)
        anew = recording.rectify(camera, raw)
        assert len(anew) > 0
        for axis in "txyp":
            assert np.array_equal(getattr(slid, axis), getattr(anew, axis))


def test_every_event_is_read_once():
    recording = FakeRecording()
    *_, last = run_windows(recording, Remembering(), OVERLAPPING)
    assert recording.reads == sum(last.read.values()) == 8_000


def test_gaps_between_windows_are_not_read():
    recording = FakeRecording(count=2_000)
    windows = [Window(t0_us=0, t1_us=10_000), Window(t0_us=100_000, t1_us=110_000)]
    *_, last = run_windows(recording, Remembering(), windows)
    assert 100 < last.read["left"] < 400


def test_events_off_the_image_are_counted():
    recording = FakeRecording()
    *_, last = run_windows(recording, Remembering(), OVERLAPPING)
    for camera in CAMERAS:
        x = recording.events(camera, 0, 200_000).x.astype(float) - 2.5
        assert last.outside_image[camera] == int((x < -0.5).sum()) > 0


# Estimating


def test_results_follow_the_windows():
    windows = plan_windows((0, 99_999), np.empty(0, np.int64), window_us=50_000, step_us=50_000)
    results = list(run_windows(FakeRecording(), Remembering(), windows))
    assert [(r.index, r.window) for r in results] == list(enumerate(windows))
    for result in results:
        assert result.disparity.shape == (32, 40)
        assert result.disparity.dtype == np.float32
        assert (result.disparity == 3.0).all()
        assert result.left.shape == result.right.shape == (2, 1, 2, 32, 40)
        assert result.seconds > 0


def test_both_cameras_share_one_clock():
    recording = FakeRecording()
    network = Remembering()
    result = next(run_windows(recording, network, [Window(t0_us=0, t1_us=50_000)]))
    views = [recording.rectify(c, recording.events(c, 0, 50_000)) for c in CAMERAS]
    expected = network.encode(*views, height=32, width=40, t0_us=0, t1_us=50_000)
    for seen, alone in zip((result.left, result.right), expected, strict=True):
        assert torch.equal(seen[:, 0], alone)
    assert len(result.events) == len(views[0].inside(40, 32)) < len(views[0])


def test_window_without_events_has_an_estimate():
    result = next(
        run_windows(FakeRecording(), Remembering(), [Window(t0_us=900_000, t1_us=950_000)])
    )
    assert len(result.events) == 0
    assert (result.disparity == 3.0).all()


def test_largest_disparity_reaches_the_network():
    network = Remembering()
    list(run_windows(FakeRecording(), network, OVERLAPPING[:2], max_disparity=9))
    assert network.limits == [9, 9]


def test_real_network_is_repeatable():
    torch.manual_seed(1)
    network = HybridStereo(PRESETS["tiny"]()).eval()
    first, second = (
        [r.disparity for r in run_windows(FakeRecording(), network, OVERLAPPING[:3])]
        for _ in range(2)
    )
    assert np.array_equal(first, second)


# Manners


def test_inference_mode_does_not_leak_to_the_caller():
    for _ in run_windows(FakeRecording(), Remembering(), OVERLAPPING[:1]):
        assert not torch.is_inference_mode_enabled()


def test_stages_are_timed():
    watch = Stopwatch()
    list(run_windows(FakeRecording(), Remembering(), OVERLAPPING[:2], watch=watch))
    assert list(watch.seconds) == ["read", "encode", "network"]


def test_estimate_that_is_not_finite_is_an_error():
    with pytest.raises(StereoError, match=r"NaN or infinity.*--run"):
        next(run_windows(FakeRecording(), Remembering(np.nan), OVERLAPPING[:1]))
