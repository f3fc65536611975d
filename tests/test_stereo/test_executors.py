"""Who runs a network, and how that is chosen."""

import json
import sys

import numpy as np
import pytest
import torch
from numba.core.dispatcher import Dispatcher
from reference.networks import exact_network
from reference.recordings import FakeRecording
from typer.testing import CliRunner

from stereo import executors
from stereo.cli import app
from stereo.compiling import ListKernels
from stereo.devices import find_device
from stereo.errors import StereoError
from stereo.event_network import EventNetwork
from stereo.executors import Executor
from stereo.infer import infer
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.presets import PRESETS


@pytest.fixture(scope="module")
def network():
    return exact_network()


def frames(network, density=0.2, size=(24, 36), seed=0):
    shape = network.config.encoding.steps, 1, network.encoding.channels, *size
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(shape, generator=generator) < density).float() for _ in range(2)]


@pytest.mark.parametrize("asked", ["auto", "event", "dense"])  # compiled: test_nas/test_compile.py
@torch.no_grad()
def test_all_give_what_the_network_gives(asked, network):
    executor = Executor(network, asked)
    for size in ((24, 36), (24, 36), (20, 31)):
        left, right = frames(network, size=size)
        for limit in (None, 9):
            found, wanted = executor(left, right, limit), network(left, right, limit)
            assert float(((found - wanted).abs() > 0.01).float().mean()) < 0.02
            assert float(wanted.std()) > 0.1
    assert executor.about["asked"] == asked
    assert asked == "auto" or executor.about["used"] == asked
    json.dumps(executor.about)


@pytest.mark.parametrize("faster", ["event", "dense"])
@torch.no_grad()
def test_the_faster_one_is_chosen(faster, network, monkeypatch):
    times = iter([1.5, 2.0] if faster == "event" else [2.0, 1.5])
    monkeypatch.setattr(executors, "_seconds", lambda _run: next(times))
    executor = Executor(network, "auto", threads=1)
    executor(*frames(network))
    assert (executor.about["used"], executor.about["reason"]) == ("dense", "the first frame")
    executor(*frames(network))
    about = executor.about
    assert about["used"] == faster
    assert set(about["seconds"].values()) == {1.5, 2.0}
    assert "fastest" in about["reason"]


@pytest.mark.parametrize(("best", "unit", "found"), [(1, 0.04, 1), (2, 0.04, 2), (1, 1.0, 2)])
@torch.no_grad()
def test_threads_are_chosen_too(best, unit, found, network, monkeypatch):
    """Where a window takes long, one thread is not tried."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: now.__setitem__(0, n))
    now, used = [2], []
    monkeypatch.setattr(executors, "_seconds", lambda _run: (abs(now[0] - best) + 1.0) * unit)
    executor = Executor(network, "auto")
    monkeypatch.setattr(executor, "_loaded", lambda _: True)
    monkeypatch.setattr(executor, "_run", lambda *_: used.append(now[0]) or torch.zeros(1, 24, 36))
    executor(*frames(network))
    assert used == [found]
    assert executor.about["threads"] == found
    assert now == [2], "the caller's number is as it was"


@torch.no_grad()
def test_the_choice_is_made_again_on_much_denser_frames_alone(network, monkeypatch):
    chosen = []
    monkeypatch.setattr(Executor, "_race", lambda self, *_: chosen.append(self._spikes))
    executor = Executor(network, "auto")
    for density in (0.9, 0.0, 0.0, 0.1, 0.15, 0.4, 0.2):
        executor(*frames(network, density))
    assert len(chosen) == 3
    assert chosen == sorted(chosen)
    assert chosen[0] == 0.0


@torch.no_grad()
def test_frames_are_computed_densely_while_kernels_are_compiled(network, monkeypatch):
    busy = iter([True, True, True, True, False, False, False, False])
    monkeypatch.setattr(ListKernels, "is_alive", lambda _: next(busy))
    monkeypatch.setattr(executors, "_seconds", lambda _run: next(times))
    times = iter([1.5, 2.0])
    executor = Executor(network, "auto", threads=1)
    used = []
    for density in (0.1, 0.2, 0.2, 0.2, 0.2):
        left, right = frames(network, density)
        found = executor(left, right)
        assert float(((found - network(left, right)).abs() > 0.01).float().mean()) < 0.02
        used.append((executor.about["used"], "compiled" in executor.about["reason"]))
    waiting, chosen = ("dense", True), ("event", False)
    assert used == [("dense", False), waiting, waiting, chosen, chosen]


def test_the_kernels_that_are_compiled_are_those_that_frames_need(network):
    def compiled():
        modules = [m for n, m in sys.modules.items() if n.startswith(("nas.sparse", "stereo."))]
        kernels = {k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)}
        return {(k.py_func.__module__, k.py_func.__name__): len(k.signatures) for k in kernels}

    ListKernels(network).run()
    before = compiled()
    assert before["nas.sparse.node_kernels", "run_node"] == 1
    events = EventNetwork(network, 30, 45)
    events.calibrate(*frames(network, size=(30, 45)))
    events(*frames(network, size=(30, 45)))
    assert compiled() == before


@torch.no_grad()
def test_networks_that_lists_cannot_run(network):
    config = PRESETS["tiny"]().override({"encoding.name": "voxel"})
    other = HybridStereo(config).eval()
    left, right = frames(other)
    executor = Executor(other, "auto")
    for _ in range(2):
        torch.testing.assert_close(executor(left, right), other(left, right))
    assert executor.about["used"] == "dense"
    assert "voxel" in executor.about["reason"]
    with pytest.raises(StereoError, match="--executor dense"):
        Executor(other, "event")(left, right)
    with pytest.raises(StereoError, match="auto, event, dense, compiled"):
        Executor(network, "sparse")


@torch.no_grad()
def test_off_the_cpu_a_network_is_compiled_in_half_precision(network, monkeypatch):
    asked = []

    class Placed:
        half = True

        def __init__(self, _network, device, **options):
            asked.append((device.type, options))

        def __call__(self, left, _right, _limit):
            return torch.zeros(1, *left.shape[-2:])

    monkeypatch.setattr(executors, "DeviceNetwork", Placed)
    there = torch.device("cuda")
    for executor, used in (("auto", "compiled"), ("compiled", "compiled"), ("dense", "dense")):
        runs = Executor(network, executor, device=there, remembers=True)
        runs(*frames(network))
        assert (runs.about["used"], runs.about["half"], runs.about["device"]) == (
            used,
            True,
            "cuda",
        )
        wanted = {"compiled": used == "compiled", "half": True, "remembers": True}
        assert asked.pop() == ("cuda", wanted)
    with pytest.raises(StereoError, match="need the CPU"):
        Executor(network, "event", device=there)


def test_a_network_that_cannot_be_compiled(network, monkeypatch):
    def broken(*_):
        raise torch._dynamo.exc.TorchDynamoException("No C++ compiler.\nDetails")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    with pytest.raises(
        StereoError, match=r"compiled here: No C\+\+ compiler. Use --executor dense"
    ):
        Executor(network, "compiled")(*frames(network))


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    with pytest.raises(StereoError, match="no CUDA device"):
        find_device("cuda")
    with pytest.raises(StereoError, match="auto, cpu, cuda"):
        find_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == find_device("cuda") == torch.device("cuda")


def test_an_inference_says_who_ran_the_network(network, tmp_path):
    found = {}
    for asked in ("dense", "event"):
        options = InferOptions(source="there", network_name="tiny", executor=asked)
        inference = infer(FakeRecording(), network, tmp_path / asked, options)
        found[asked] = inference.accuracy
        about = json.loads((tmp_path / asked / "report.json").read_text())["executor"]
        assert (about["asked"], about["used"]) == (asked, asked)
        assert (about["nodes"] is None) == (asked == "dense")
    assert found["event"].mae_px == pytest.approx(found["dense"].mae_px, rel=0.02)


def test_the_command_knows_executors(tmp_path):
    width, height = 24, 18
    rng = np.random.default_rng(0)
    events = {
        f"{camera}_{axis}": values
        for camera in ("left", "right")
        for axis, values in (
            ("t", np.sort(rng.integers(0, 100_000, 2_000))), ("x", rng.integers(0, width, 2_000)),
            ("y", rng.integers(0, height, 2_000)), ("p", rng.integers(0, 2, 2_000)),
        )
    }  # fmt: skip
    np.savez(tmp_path / "two.npz", **events)
    command = ["infer", str(tmp_path / "two.npz"), "--out", str(tmp_path / "out"), "--width",
               str(width), "--height", str(height), "--max-disparity", "9"]  # fmt: skip
    result = CliRunner().invoke(app, [*command, "--executor", "event"])
    assert result.exit_code == 0, result.output
    assert "on lists of spikes" in " ".join(result.output.split())
    result = CliRunner().invoke(app, [*command, "--executor", "fast"])
    assert result.exit_code == 2
    assert "auto, event, dense, compiled" in " ".join(result.output.split())
    assert (tmp_path / "out" / "report.json").is_file(), "the earlier results are still there"
