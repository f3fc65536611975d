"""The command line: start-up, outputs, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
from reference.commands import call, check_refusal
from reference.recordings import write_npz

from stereo import __version__
from stereo.tasks import ALL_PRESETS

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numba", "cv2", "h5py", "av", "numpy")


def python(*arguments, cwd=REPOSITORY, path=REPOSITORY):
    """Run Python in a process of its own that can import the packages."""
    environment = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# Start-up


def test_help_answers_at_once_without_heavy_packages():
    """Look at what help imports; the meta-check below shows that the look would notice."""
    probe = (
        "import sys; from stereo.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"sys.stderr.write(' '.join(m for m in {HEAVY} if m in sys.modules))"
    )
    result = python("-c", probe)
    assert "infer" in result.stdout
    assert result.stderr == ""
    assert python("-c", "import torch; " + probe).stderr.split()[0] == "torch"


def test_help_takes_less_than_half_a_second():
    took = []
    for _ in range(3):  # the machine may be busy with something else
        began = time.perf_counter()
        assert python("-m", "stereo", "--help").returncode == 0
        took.append(time.perf_counter() - began)
    assert min(took) < 0.5


def test_version():
    assert call("--version").stdout == f"stereo {__version__}\n"


def test_folder_called_data_is_named_when_it_hides_ours(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("")
    result = python("-m", "stereo", "--help", cwd=tmp_path)
    assert result.returncode == 2
    assert str(tmp_path / "data") in result.stderr
    assert "'stereo' instead of 'python -m stereo'" in result.stderr
    assert "Traceback" not in result.stderr


def test_harmless_folder_called_data_is_no_hindrance(tmp_path):
    (tmp_path / "data").mkdir()  # without __init__.py ours is found behind it
    assert python("-m", "stereo", "--version", cwd=tmp_path).returncode == 0


# infer


def test_infer_prints_tables_and_paths(dsec, tiny_run, tmp_path):
    result = call("infer", dsec, "--run", tiny_run, "--out", tmp_path, "--max-windows", 2)
    assert result.exit_code == 0, result.output
    for words in ("MAE px", "best constant", "windows/s", "Energy of one inference", "convention"):
        assert words in result.stdout
    assert "generated data" in result.stdout
    assert f"Video    {tmp_path / 'disparity.mp4'}" in result.stdout
    assert max(map(len, result.stdout.replace(str(tmp_path), "").splitlines())) <= 100
    with av.open(str(tmp_path / "disparity.mp4")) as container:
        assert container.streams.video[0].frames == 2


def test_infer_as_a_stream(dsec, tiny_run, tmp_path):
    options = ("--run", tiny_run, "--out", tmp_path, "--stream", "--depth", "--ply", "--no-images")
    result = call("infer", dsec, *options, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert re.search(
        r"Latency  \d+ / \d+ / \d+ ms \(median, 95 %, 99 %\); real time", result.stdout
    )
    assert "on 1 threads" in result.stdout
    assert "neurons go on from window to window" in result.stdout
    assert "Images" not in result.stdout
    assert f"Depth    {tmp_path / 'depth'}" in result.stdout
    assert f"Points   {tmp_path / 'points'}" in result.stdout
    assert not (tmp_path / "disparity").exists()
    assert len(list((tmp_path / "points").iterdir())) == len(list((tmp_path / "depth").iterdir()))


def test_infer_json_is_one_document_and_nothing_else(dsec, tiny_run, tmp_path):
    arguments = ("--run", tiny_run, "--out", tmp_path, "--max-windows", 1, "--json")
    result = call("infer", dsec, *arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["recording"] == str(dsec)
    assert document["windows"] == len(document["t_us"]) == 1
    assert document["note"] == "generated data"
    assert set(document["dropped_events"]) == {"left", "right"}
    assert set(document["energy"]) >= {"total_mj", "ac", "mac", "layers", "uncounted", "convention"}
    assert document["network"]["name"] == str(tiny_run)


def test_infer_writes_to_a_folder_named_after_the_recording(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("infer", write_npz(tmp_path / "mine.npz"), "--run", tiny_run, "--max-windows", 1)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "stereo-out" / "mine" / "report.json").is_file()


def test_ctrl_c_leaves_what_is_done(tiny_run, tmp_path):
    recording = write_npz(tmp_path / "long.npz", left=None, right=None, **long_columns())
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stereo", "infer", recording, "--run", tiny_run]
    process = subprocess.Popen(
        [*map(str, command), "--out", str(tmp_path / "out"), "--step-ms", "1"],
        env=environment, stderr=subprocess.PIPE, text=True,
        # A shell makes its jobs in the background ignore the signal, and their children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "out" / "disparity").glob("000002.png")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    with av.open(str(tmp_path / "out" / "disparity.mp4")) as container:
        assert len(list(container.decode(video=0))) >= 2
    assert json.loads((tmp_path / "out" / "report.json").read_text())["complete"] is False


def long_columns():
    """Return the eight columns of a recording of ten seconds."""
    t = np.arange(0, 10_000_000, 1_000)
    return {
        f"{camera}_{name}": value
        for camera in ("left", "right")
        for name, value in (("t", t), ("x", t % 128), ("y", t % 127), ("p", t % 2))
    }


# Other commands


def test_simulate_json(tmp_path):
    arguments = ("--scene", "room", "--seed", 1, "--duration", 0.1, "--width", 48, "--height", 32)
    result = call("simulate", tmp_path / "new", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["path"] == str(tmp_path / "new")
    assert document["events"]["left"] > 0
    assert document["duration_s"] == 0.1
    assert document["wall_s"] > 0
    mark = json.loads((tmp_path / "new" / "generated.json").read_text())
    assert (mark["scene"], mark["seed"]) == ("room", 1)
    check_refusal(call("simulate", tmp_path / "new", *arguments), "exists already")
    check_refusal(call("simulate", tmp_path / "x", "--scene", "moon"), "Unknown scene.*room")


def test_presets():
    listed = json.loads(call("presets", "--json").stdout)
    assert set(listed) == set(ALL_PRESETS)
    for name in listed:
        assert json.loads(call("presets", name).stdout) == json.loads(
            json.dumps(ALL_PRESETS[name]().to_dict())
        )
    check_refusal(call("presets", "huge"), "no preset 'huge'; known: .*tiny")


def test_train_then_infer(tmp_path):
    run = tmp_path / "run"
    result = call(
        "train",
        "--run",
        run,
        "--preset",
        "tiny",
        "--set",
        "train.steps=2",
        "--workers",
        0,
        "--json",
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["run"], document["steps"]) == (str(run), 2)
    assert document["best"]["loss"] > 0
    recording = write_npz(tmp_path / "good.npz")
    again = call("infer", recording, "--run", run, "--out", tmp_path / "out", "--max-windows", 1)
    assert again.exit_code == 0, again.output


def test_train_refuses_unknown_fields(tmp_path):
    start = ("train", "--run", tmp_path, "--preset", "tiny", "--set")
    check_refusal(call(*start, "train.step=1"), "No configuration field 'train.step'")
    check_refusal(call(*start, "train.steps"), "FIELD=VALUE")
