"""``stereo inspect`` as it is typed, and the options of two cameras."""

import json
import shutil

import cv2
import numpy as np
import pytest
from reference.cameras import some_events, write_evt2, write_evt3
from reference.commands import call, check_refusal
from reference.recordings import write_npz

CAMERA_KEYS = {
    "width", "height", "events", "rate_per_s", "out_of_sensor", "unsorted", "on_share",
    "hot_pixels", "duplicates",
}  # fmt: skip


@pytest.fixture
def two(tmp_path):
    """Write the files of two cameras."""
    left, right = tmp_path / "hall_left.raw", tmp_path / "hall_right.raw"
    write_evt3(left, some_events(1))
    write_evt2(right, some_events(2))
    return left, right


def document(*arguments):
    result = call("inspect", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_what_scripts_rely_on(dsec):
    found = document(dsec)
    assert found["layout"] == "dsec"
    assert found["note"] == "generated data"
    for camera in ("left", "right"):
        assert set(found["cameras"][camera]) >= CAMERA_KEYS
        assert found["cameras"][camera]["unsorted"] == 0
    assert found["overlap_s"] > 0.1
    assert set(found["calibration"]) >= {"focal_px", "baseline_m"}
    assert found["ground_truth"]["count"] >= 2
    assert found["row_offset_px"] is None or abs(found["row_offset_px"]) < 1
    assert found["picture"] is None


def test_the_table_fits_100_columns(dsec, tmp_path):
    result = call("inspect", dsec, "--out", tmp_path / "deep" / "x.png")
    assert result.exit_code == 0, result.output
    for words in ("generated data", "hot pixels", "Shared time", "baseline", "median", "Picture"):
        assert words in result.stdout
    lines = result.stdout.replace(str(tmp_path), "").splitlines()
    assert max(map(len, lines)) <= 100
    assert cv2.imread(str(tmp_path / "deep" / "x.png")) is not None


def test_two_files_and_the_picture(two, tmp_path):
    found = document(two[0], "--right", two[1], "--out", tmp_path / "x.png")
    assert (found["name"], found["layout"], found["right"]) == ("hall", "pair", str(two[1]))
    assert found["calibration"] is None
    assert found["picture"] == str(tmp_path / "x.png")


def test_one_camera_alone(two):
    found = document(two[0])
    assert (found["layout"], found["problem"]) == ("evt3", None)
    assert found["cameras"]["right"] is None
    assert found["cameras"]["left"]["events"] == 300
    assert found["overlap_s"] is None
    result = call("inspect", two[0])
    assert "hall_left (evt3)" in result.stdout


def test_an_unsorted_recording_is_described(tmp_path):
    path = write_npz(tmp_path / "pair.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in ("left", "right")}
    arrays["left"] = arrays["left"][::-1]
    np.savez(path, **arrays)
    found = document(path)
    assert "not sorted" in found["problem"]
    assert found["cameras"]["left"]["unsorted"] > 300
    assert found["cameras"]["right"]["unsorted"] == 0
    assert "Not usable: " in call("inspect", path).stdout
    repaired = document(path, "--sort")
    assert repaired["problem"] is None
    assert repaired["cameras"]["left"]["unsorted"] == found["cameras"]["left"]["unsorted"]


def test_a_damaged_sequence_is_described_by_the_camera_that_is_left(dsec, tmp_path):
    shutil.copytree(dsec, tmp_path / "broken")
    (tmp_path / "broken" / "events" / "right" / "events.h5").unlink()
    found = document(tmp_path / "broken")
    assert "right/events.h5" in found["problem"]
    assert found["cameras"]["right"] is None
    assert found["cameras"]["left"]["events"] > 1_000


def test_two_cameras_without_common_time(two):
    found = document(two[0], "--right", two[1], "--offset-us", 10**9)
    assert "share no time" in found["problem"]
    assert found["cameras"]["right"]["events"] == 300


def test_a_folder_of_recordings(dsec, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(dsec, tmp_path / "train" / name)
    (tmp_path / "train" / "b" / "events" / "left" / "events.h5").write_bytes(b"no HDF5")
    found = document(tmp_path)["sequences"]
    assert [entry["name"] for entry in found] == ["train/a", "train/b"]
    assert found[0]["events"]["left"] > 1_000
    assert found[0]["problem"] is None
    assert "cannot be read" in found[1]["problem"]
    result = call("inspect", tmp_path)
    assert "2 recordings" in result.stdout
    assert "not usable" in result.stdout


def test_refusals(two, tmp_path):
    check_refusal(call("inspect", tmp_path / "gone"), "nothing at .*gone")
    check_refusal(call("inspect", tmp_path / "gone.raw", "--right", two[1]), "no file .*gone.raw")
    check_refusal(call("inspect", two[0], "--out", tmp_path / "x.txt"), "must end in .png")
    (tmp_path / "text.raw").write_text("hello")
    check_refusal(call("inspect", tmp_path / "text.raw"), "unknown kind")
    (tmp_path / "none").mkdir()
    check_refusal(call("inspect", tmp_path / "none"), "is no recording")
    (tmp_path / "file").touch()
    check_refusal(
        call("inspect", two[0], "--out", tmp_path / "file" / "x.png"), "cannot be written"
    )


def test_ctrl_c(two, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stereo.inspection.measure.estimate_row_offset", stop)
    result = call("inspect", two[0], "--right", two[1])
    assert result.exit_code == 130
    assert "Stopped by Ctrl-C" in result.stderr


# ---- infer with two cameras


def test_infer_from_two_files(two, tiny_run, tmp_path):
    arguments = ("--right", two[1], "--run", tiny_run, "--out", tmp_path / "out")
    result = call("infer", two[0], *arguments, "--max-windows", 1, "--json")
    assert result.exit_code == 0, result.output
    assert "not calibrated" in result.stderr
    found = json.loads(result.stdout)
    assert (found["name"], found["layout"], found["row_offset"]) == ("hall", "pair", None)
    result = call("infer", two[0], *arguments, "--max-windows", 1, "--uncalibrated")
    assert result.exit_code == 0, result.output
    assert "not calibrated" not in result.stderr
    assert "Row offset, right minus left: not measurable" in result.stdout
    check_refusal(
        call("infer", two[0], *arguments, "--uncalibrated", "--calibration", "x.yaml"),
        "either --calibration FILE or --uncalibrated",
    )
    check_refusal(
        call("infer", two[0], *arguments, "--calibration", "x.yaml"), "no calibration file"
    )


def test_infer_corrects_rows(real_data, tiny_run, tmp_path):
    path = real_data / "events_pendulum_dvs128" / "pendulum.npz"
    arguments = ("--run", tiny_run, "--out", tmp_path, "--max-windows", 1)
    result = call("infer", path, *arguments, "--uncalibrated", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["row_offset"]
    assert rows["reliable"] is True
    assert -1 <= rows["offset_px"] <= 0


@pytest.mark.parametrize("name", ["pendulum", "spheres"])
def test_inspect_real_recordings(real_data, name):
    folder = {"pendulum": "events_pendulum_dvs128", "spheres": "events_spheres_gen31"}[name]
    found = document(real_data / folder / f"{name}.npz")
    assert -2 <= found["row_offset_px"] <= 0
    assert any("rows off" in sentence for sentence in found["findings"])
    if name == "pendulum":
        assert found["cameras"]["right"]["out_of_sensor"] == 1_233
        assert found["cameras"]["left"]["events"] == 141_252
