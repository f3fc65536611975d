"""Bad input through the command line: exit code 2, one paragraph, no traceback."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from reference.commands import call, check_refusal
from reference.recordings import write_npz

from stereo.cli.errors import BAD_INPUT, guarded

# Recordings


def unsorted(path):
    good = np.load(write_npz(path))["left"]
    return write_npz(path, left=good[::-1])


def with_nan(path):
    bad = np.load(write_npz(path))["left"].astype(np.float64)
    bad[5, 1] = np.nan
    return write_npz(path, left=bad)


def empty(path):
    path.write_bytes(b"")
    return path


def cut_in_half(path):
    write_npz(path)
    path.write_bytes(path.read_bytes()[:3000])
    return path


BAD_NPZ = {
    "missing": (lambda path: path, "no file|does not exist|nothing at|no such"),
    "empty": (empty, "empty"),
    "truncated": (cut_in_half, "cannot be read"),
    "no right camera": (lambda path: write_npz(path, right=None), "no right camera"),
    "unsorted times": (unsorted, "not sorted"),
    "NaN coordinates": (with_nan, "NaN"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(case, tiny_run, tmp_path):
    make, pattern = BAD_NPZ[case]
    path = make(tmp_path / "bad.npz")
    result = call("infer", path, "--run", tiny_run, "--out", tmp_path / "out")
    check_refusal(result, pattern)
    assert str(path) in result.stderr
    assert not (tmp_path / "out").exists()


def damage(folder, relative, action):
    copy = folder.parent / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    action(copy / relative)
    return copy


BAD_DSEC = {
    "no right camera": ("events/right/events.h5", Path.unlink, "right"),
    "truncated": (
        "events/left/events.h5",
        lambda path: path.write_bytes(path.read_bytes()[:4000]),
        "events.h5",
    ),
    "empty": ("events/left/events.h5", lambda path: path.write_bytes(b""), "events.h5"),
    "no map, and nothing to make it from": (
        "events/left/rectify_map.h5",
        lambda path: (path.unlink(), shutil.rmtree(path.parents[2] / "calibration")),
        "rectify_map.h5",
    ),
    "bad calibration": (
        "calibration/cam_to_cam.yaml",
        lambda path: path.write_text("{"),
        "cam_to_cam.yaml",
    ),
}


@pytest.mark.parametrize("case", BAD_DSEC)
def test_bad_dsec(case, dsec, tiny_run, tmp_path):
    relative, action, pattern = BAD_DSEC[case]
    folder = damage(dsec, relative, action)
    check_refusal(call("infer", folder, "--run", tiny_run, "--out", tmp_path / "out"), pattern)


# Options

BAD_OPTIONS = {
    "run": (["--run", "nowhere"], "not a run folder"),
    "step": (["--step-ms", "0"], "step_us of at least 1"),
    "window": (["--window-ms", "-3"], "window_us of at least 1"),
    "disparity": (["--max-disparity", "0"], "max_disparity of at least 1"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(case, tiny_run, tmp_path):
    options, pattern = BAD_OPTIONS[case]
    recording = write_npz(tmp_path / "good.npz")
    result = call("infer", recording, "--run", tiny_run, "--out", tmp_path / "out", *options)
    check_refusal(result, pattern)


def test_bad_out(tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    recording = write_npz(tmp_path / "good.npz")
    result = call("infer", recording, "--run", tiny_run, "--out", tmp_path / "file")
    check_refusal(result, "--out")


def test_error_with_json_leaves_standard_output_empty(tmp_path):
    check_refusal(call("infer", tmp_path / "none.npz", "--json"), "none.npz")


def test_unknown_option_is_bad_input():
    result = call("infer", "--no-such-option")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


# Exit codes


def test_every_registered_error_is_bad_input(capsys):
    assert len(BAD_INPUT) >= 4
    for module, name in BAD_INPUT:
        kind = getattr(importlib.import_module(module), name)

        def fail(kind=kind):
            raise type("Special", (kind,), {})("two\n  lines")

        with pytest.raises(typer.Exit) as stop:
            guarded(fail)()
        assert stop.value.exit_code == 2
        assert capsys.readouterr().err.endswith("Error: two lines\n")


def test_our_own_failures_keep_their_traceback():
    @guarded
    def fail():
        raise KeyError("bug")

    with pytest.raises(KeyError):
        fail()
