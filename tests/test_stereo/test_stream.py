"""The stream of estimates: what is read, what the network sees, what leaks."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.networks import exact_network
from reference.recordings import FakeRecording

from data import Events
from data.recording import CAMERAS
from stereo.disparity import soft_argmax
from stereo.errors import StereoError
from stereo.executors import Executor
from stereo.network import STRIDE, HybridStereo
from stereo.presets import PRESETS
from stereo.stopwatch import Stopwatch
from stereo.stream import StereoStream, run_windows
from stereo.windows import Window, endless_windows, plan_windows

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


def test_sliding_equals_reading_anew():
    recording, network = FakeRecording(), Remembering()
    for result in run_windows(recording, network, OVERLAPPING):
        window = result.window
        anew = [
            recording.rectify(c, recording.events(c, window.t0_us, window.t1_us)) for c in CAMERAS
        ]
        assert len(anew[0]) > 0
        expected = network.encode(
            *anew, height=32, width=40, t0_us=window.t0_us, t1_us=window.t1_us
        )
        for seen, alone in zip((result.left, result.right), expected, strict=True):
            assert torch.equal(seen[:, 0], alone)
        inside = anew[0].inside(40, 32)
        for axis in "txyp":
            assert np.array_equal(getattr(result.events, axis), getattr(inside, axis))


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


# Pushing


def stream(windows=OVERLAPPING, **given):
    return StereoStream(Executor(Remembering()), windows, width=40, height=32, **given)


def pieces(recording, cuts):
    """Return what both cameras saw between two times each, and the later time."""
    return [
        (*(recording.events(c, begin, end) for c in CAMERAS), end)
        for begin, end in itertools.pairwise(cuts)
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-30_000, 260_000), min_size=1, max_size=12))
def test_pieces_do_not_matter(cuts):
    recording = FakeRecording()
    whole = list(run_windows(recording, Remembering(), OVERLAPPING))
    cut = stream(rectify=recording.rectify)
    found = []
    for piece in pieces(recording, [-30_000, *sorted(cuts), 300_000]):
        found += cut.push(*piece)
    assert [f.window for f in found] == [w.window for w in whole]
    for one, other in zip(found, whole, strict=True):
        assert torch.equal(one.left, other.left)
        assert torch.equal(one.right, other.right)
    assert found[-1].late == {"left": 0, "right": 0}
    assert cut.window is None


def test_estimates_that_were_not_taken_come_later():
    recording = FakeRecording()
    live = stream(endless_windows(0, window_us=50_000, step_us=50_000))
    first, second = pieces(recording, [0, 100_000, 150_000])
    live.push(*first)
    assert [r.index for r in live.push(*second)] == [0, 1, 2]


def test_late_events_are_counted_and_left_out():
    recording = FakeRecording()
    live = stream(endless_windows(0, window_us=50_000, step_us=50_000))
    first, second = pieces(recording, [0, 100_000, 150_000])
    assert len(list(live.push(*first))) == 2
    (result,) = live.push(recording.events("left", 90_000, 150_000), *second[1:])
    late = len(recording.events("left", 90_000, 100_000))
    assert result.late == {"left": late, "right": 0}
    assert result.read["left"] == len(recording.events("left", 0, 150_000))


def test_events_that_are_ahead_wait_for_those_between():
    recording = FakeRecording()
    live = stream([Window(t0_us=0, t1_us=50_000), Window(t0_us=50_000, t1_us=100_000)])
    ahead = [recording.events(c, 30_000, 80_000) for c in CAMERAS]
    assert list(live.push(*ahead, 0)) == []
    rest = [
        Events(**{a: np.concatenate([getattr(e, a) for e in (
            recording.events(c, 0, 30_000), recording.events(c, 80_000, 100_000)
        )]) for a in "txyp"}) for c in CAMERAS
    ]  # fmt: skip
    found = list(live.push(*rest, 100_000))
    for result in found:
        window = result.window
        expected = recording.events("left", window.t0_us, window.t1_us)
        assert np.array_equal(result.events.t, expected.t)


def test_a_camera_that_sees_nothing_stops_nothing():
    live = stream(endless_windows(0, window_us=50_000, step_us=20_000))
    found = list(live.push(FakeRecording().events("left", 0, 200_000), Events.empty(), 200_000))
    assert len(found) == 8
    assert not any(r.right.any() for r in found)
    assert all(r.left.any() for r in found)


def test_memory_does_not_grow():
    rng, live = (
        np.random.default_rng(0),
        stream(endless_windows(0, window_us=50_000, step_us=50_000)),
    )
    sizes = []
    for begin in range(0, 1_000_000, 10_000):
        t = np.sort(rng.integers(begin, begin + 10_000, 100))
        xy = np.zeros(100, np.uint16)
        events = Events(t=t, x=xy, y=xy, p=np.ones(100, bool))
        list(live.push(events, events, begin + 10_000))
        sizes.append(sum(len(held.events) for held in live._held.values()))
    assert max(sizes) <= 2 * 500


def test_time_does_not_go_back():
    live = stream()
    live.push(Events.empty(), Events.empty(), 100)
    with pytest.raises(StereoError, match="goes on in time"):
        live.push(Events.empty(), Events.empty(), 99)
    with pytest.raises(StereoError, match="at least 1"):
        endless_windows(0, window_us=0, step_us=5)


@torch.no_grad()
def test_neurons_go_on_as_over_one_long_window():
    """Two windows of two steps with a memory are one window of four steps, read out twice."""
    network = exact_network()
    torch.manual_seed(1)
    frames = [(torch.rand(4, 1, 2, 24, 36) < 0.3).float() for _ in range(2)]
    steps = network.scores_by_step(*frames)
    apart = network(*(f[2:] for f in frames))
    assert float((apart - soft_argmax(2 * steps[3] - steps[1], STRIDE)).abs().max()) > 0.1
    for asked in ("dense", "event"):
        executor = Executor(network, asked, remembers=True)
        parts = [executor(*(f[at : at + 2] for f in frames)) for at in (0, 2)]
        wanted = [steps[1], 2 * steps[3] - steps[1]]
        for found, scores in zip(parts, wanted, strict=True):
            off = (found - soft_argmax(scores, STRIDE)).abs()
            assert float((off > 0.01).float().mean()) < 0.02
        again = executor(*(torch.zeros(2, 1, 2, 20, 30) for _ in range(2)))
        executor = Executor(network, asked)
        torch.testing.assert_close(again, executor(*(torch.zeros(2, 1, 2, 20, 30),) * 2))


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
    assert list(watch.seconds) == ["read", "rectify", "encode", "network"]


def test_estimate_that_is_not_finite_is_an_error():
    with pytest.raises(StereoError, match=r"NaN or infinity.*--run"):
        next(run_windows(FakeRecording(), Remembering(np.nan), OVERLAPPING[:1]))
