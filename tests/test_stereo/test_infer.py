"""The job: what lies in the folder, what the report says, Ctrl-C."""

import json

import av
import cv2
import numpy as np
import pytest
import torch
from reference.networks import exact_network
from reference.recordings import FakeRecording

from data.formats import open_recording
from nas.neurons.memory import neurons
from stereo.errors import StereoError
from stereo.executors import Executor
from stereo.infer import ENERGY_WINDOWS, infer, plan, spread
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.output import stored_disparity
from stereo.presets import PRESETS
from stereo.stream import run_windows

CALIBRATED_FB = 10.0


class Constant(HybridStereo):
    """A tiny network whose answer is 5 px, though it does all its work."""

    def forward(self, left, right, max_disparity=None):
        return super().forward(left, right, max_disparity) * 0 + 5.0


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Constant(PRESETS["tiny"]()).eval()


def options(**changes):
    return InferOptions(**({"source": "there", "network_name": "constant"} | changes))


def decode(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def finished(network, tmp_path_factory):
    """Run once with ground truth; return the folder and the outcome."""
    out = tmp_path_factory.mktemp("out")
    return out, infer(FakeRecording(), network, out, options())


# What lies in the folder


def test_report_holds_the_names_that_scripts_rely_on(finished):
    out, inference = finished
    document = json.loads((out / "report.json").read_text())
    told = json.loads(json.dumps(inference.document))
    assert document == {"command": "stereo infer", "complete": True, **told}
    assert document["recording"] == "there"
    assert document["windows"] == 4
    assert document["t_us"] == [50_000, 100_000, 150_000, 200_000]
    assert document["windows_per_s"] > 0
    assert document["video"] == str(out / "disparity.mp4")
    assert document["dropped_events"] == {"left": 0, "right": 7}
    assert document["events"] == {"left": 4000, "right": 4000}
    assert document["outside_image"]["left"] > 0
    assert document["note"] is None
    assert document["energy"]["total_mj"] > 0
    assert document["outside_windows"] == {"left": 3, "right": 0}
    assert document["energy"]["samples"] == min(4, ENERGY_WINDOWS)
    assert set(document["seconds"]) >= {"read", "encode", "network", "video", "images", "total"}


def test_accuracy_is_that_of_the_estimate(finished):
    _, inference = finished
    accuracy = inference.document["accuracy"]
    assert accuracy["mae_px"] == accuracy["rmse_px"] == pytest.approx(1.0)
    assert accuracy["one_pe_percent"] == 0  # 5 px for 4 px: an error of exactly 1
    assert accuracy["two_pe_percent"] == 0
    assert accuracy["mean_depth_error_m"] == pytest.approx(CALIBRATED_FB / 4 - CALIBRATED_FB / 5)
    assert accuracy["constant_mae_px"] == 0
    assert accuracy["valid_pixels"] == 2 * 32 * 20
    assert accuracy["images"] == 2


def test_images_lie_in_the_order_of_the_times(finished):
    out, _ = finished
    paths = sorted((out / "disparity").iterdir())
    assert [path.name for path in paths] == [f"{index:06d}.png" for index in range(4)]
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint16
        assert image.shape == (32, 40)
        assert (image == 5 * 256).all()


def test_video_has_a_frame_for_each_window_and_they_differ(finished):
    out, _ = finished
    frames = decode(out / "disparity.mp4")
    assert len(frames) == 4
    # 32 rows are enlarged 12 times; two rows of panels.
    assert frames[0].shape[0] >= 2 * 384
    events = [frame[80 : 80 + 370, 14 : 14 + 470].astype(int) for frame in frames]
    assert np.abs(events[0] - events[1]).mean() > 5
    # Ground truth is there at 100 and 200 ms and its panel is dim at 50 and 150 ms.
    truth = [frame[-380:-20, 14 : 14 + 230].astype(int).mean() for frame in frames]
    assert min(truth[1], truth[3]) > max(truth[0], truth[2]) + 30


# Without ground truth, with options


def test_no_truth_no_accuracy(network, tmp_path):
    inference = infer(
        FakeRecording(stamps=()), network, tmp_path, options(generated=True, max_windows=2)
    )
    assert inference.accuracy is None
    assert inference.document["accuracy"] is None
    assert inference.document["note"] == "generated data"
    assert decode(tmp_path / "disparity.mp4")[0].shape[0] < 2 * 384


def test_options_reach_the_windows(network, tmp_path):
    chosen = options(window_us=30_000, step_us=10_000, max_disparity=9, max_windows=2)
    document = infer(FakeRecording(stamps=()), network, tmp_path, chosen).document
    assert document["t_us"] == [30_000, 40_000]
    assert document["max_disparity_px"] == 9
    assert document["energy"]["samples"] == 2


def test_next_run_replaces_the_last(network, tmp_path):
    infer(FakeRecording(), network, tmp_path, options(max_windows=2))
    infer(FakeRecording(), network, tmp_path, options(max_windows=1))
    assert [p.name for p in (tmp_path / "disparity").iterdir()] == ["000000.png"]
    assert len(decode(tmp_path / "disparity.mp4")) == 1


# Ctrl-C and errors


def test_ctrl_c_leaves_a_video_and_a_report_that_says_so(network, tmp_path):
    def stop(done, total, _note):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(FakeRecording(), network, tmp_path, options(), stop)
    assert len(decode(tmp_path / "disparity.mp4")) == 2
    assert json.loads((tmp_path / "report.json").read_text())["complete"] is False
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("name", ["window_us", "step_us", "max_disparity", "max_windows"])
def test_options_below_one_are_refused(name):
    with pytest.raises(StereoError, match=f"{name} of at least 1, got 0"):
        options(**{name: 0})


def test_energy_is_measured_on_windows_spread_over_the_run():
    assert spread(100, 4) == {12, 37, 62, 87}
    assert spread(3, 4) == {0, 1, 2}
    assert spread(1, 4) == {0}


# Real recordings


@pytest.mark.real
def test_pendulum(real_data, network, tmp_path):
    with open_recording(real_data / "events_pendulum_dvs128" / "pendulum.npz") as recording:
        inference = infer(recording, network, tmp_path, options(max_windows=2))
    assert inference.document["dropped_events"] == {"left": 0, "right": 1233}
    assert inference.document["windows"] == len(decode(tmp_path / "disparity.mp4")) == 2


# As a stream


def test_a_stream_goes_on_from_window_to_window(tmp_path):
    real = exact_network()
    found, told, notes = {}, {}, []
    for stream in (False, True):
        out = tmp_path / str(stream)
        inference = infer(
            FakeRecording(), real, out, options(stream=stream, executor="event"),
            progress=lambda _done, _all, note: notes.append(note),
        )  # fmt: skip
        told[stream] = inference.document
        found[stream] = [
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            for path in sorted((out / "disparity").iterdir())
        ]
    assert told[True]["state"] == "carried"
    assert told[False]["state"] == "at rest before each window"
    assert np.array_equal(found[True][0], found[False][0])
    assert not np.array_equal(found[True][1], found[False][1])
    assert notes[:4] == [""] * 4
    assert all("real time" in note or "behind" in note for note in notes[4:])


def test_windows_that_overlap_begin_at_rest(network, tmp_path):
    asked = options(stream=True, step_us=20_000)
    document = infer(FakeRecording(), network, tmp_path, asked).document
    assert document["stream"] is True
    assert document["state"] == "at rest before each window"


@pytest.mark.parametrize("executor", ["dense", "event"])
def test_counting_energy_leaves_the_stream_as_it_is(tmp_path, executor):
    real, recording = exact_network(), FakeRecording()
    asked = options(stream=True, executor=executor)
    infer(recording, real, tmp_path, asked)
    assert not any(neuron.remembers for neuron in neurons(real))
    windows = plan(recording, real, asked)
    alone = run_windows(recording, real, windows, executor=Executor(real, executor, remembers=True))
    for result in alone:
        path = tmp_path / "disparity" / f"{result.index:06d}.png"
        written = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, stored_disparity(result.disparity))


@pytest.mark.parametrize(
    ("stream", "window_us", "step_us"),
    [(False, 80_000, 50_000), (False, 30_000, 30_000), (True, 80_000, 80_000)],
)
def test_no_events_lie_between_windows(network, tmp_path, stream, window_us, step_us):
    asked = options(stream=stream, window_us=window_us)
    document = infer(FakeRecording(stamps=()), network, tmp_path, asked).document
    assert document["step_us"] == step_us
    assert set(np.diff(document["t_us"])) == {step_us}


def test_latencies_are_reported(finished):
    _, inference = finished
    latency = inference.document["latency"]
    assert latency["windows"] == 3, "the first one warms up"
    assert 0 < latency["median_s"] <= latency["p95_s"] <= latency["p99_s"] <= latency["worst_s"]
    assert inference.document["first_window_s"] > 0
    assert inference.document["late_events"] == {"left": 0, "right": 0}


def test_one_window_alone_is_timed(network, tmp_path):
    document = infer(FakeRecording(), network, tmp_path, options(max_windows=1)).document
    assert document["latency"]["windows"] == 1


def test_every_window_is_watched(network, tmp_path):
    seen = []
    infer(FakeRecording(), network, tmp_path, options(), watcher=seen.append)
    assert [result.index for result in seen] == [0, 1, 2, 3]


def test_depth_and_points_are_written(network, tmp_path):
    keeps = ("depth", "points")
    document = infer(FakeRecording(), network, tmp_path, options(keeps=keeps)).document
    assert document["disparity"] is None
    for name, suffix in (("depth", ".png"), ("points", ".ply")):
        assert document[name] == str(tmp_path / name)
        assert len(list((tmp_path / name).glob(f"*{suffix}"))) == 4
    depth = cv2.imread(str(tmp_path / "depth" / "000003.png"), cv2.IMREAD_UNCHANGED)
    assert (depth == 2000).all(), "50 px times 0.2 m over 5 px"
    with pytest.raises(StereoError, match="--calibration"):
        infer(FakeRecording(stamps=()), network, tmp_path / "no", options(keeps=keeps))
