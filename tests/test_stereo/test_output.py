"""The result folder: numbers in the images, what is replaced, what is refused."""

import json

import cv2
import numpy as np
import pytest

from data import Calibration
from stereo.errors import StereoError
from stereo.output import ResultFolder


def read(folder, index):
    path = folder.folder("disparity") / f"{index:06d}.png"
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_images_hold_disparity_times_256(tmp_path):
    folder = ResultFolder(tmp_path / "out")
    folder.write(3, np.array([[1.0, 12.5, 300.0], [0.0, -4.0, np.nan]], np.float32))
    assert read(folder, 3).tolist() == [[256, 3200, 65535], [1, 1, 0]]
    assert read(folder, 3).dtype == np.uint16


def test_rounding_is_at_most_half_a_level(tmp_path):
    disparity = np.random.default_rng(0).uniform(0.01, 255, (20, 30)).astype(np.float32)
    folder = ResultFolder(tmp_path)
    folder.write(0, disparity)
    assert np.abs(read(folder, 0) / 256 - disparity).max() <= 1 / 512 + 1e-6


def test_unfinished_run_says_so(tmp_path):
    folder = ResultFolder(tmp_path)
    assert json.loads(folder.report.read_text())["complete"] is False
    folder.write_report({"windows": 1})
    assert json.loads(folder.report.read_text()) == {
        "command": "stereo infer",
        "complete": True,
        "windows": 1,
    }


def test_next_run_replaces_all_of_the_last(tmp_path):
    first = ResultFolder(tmp_path)
    for index in range(3):
        first.write(index, np.ones((2, 2), np.float32))
    first.video.write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    ResultFolder(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["disparity", "notes.txt", "report.json"]


def test_images_of_another_origin_are_not_touched(tmp_path):
    (tmp_path / "disparity").mkdir()
    foreign = tmp_path / "disparity" / "000000.png"
    foreign.write_bytes(b"ground truth")
    with pytest.raises(StereoError, match=r"not written by an inference.*--out"):
        ResultFolder(tmp_path)
    assert foreign.read_bytes() == b"ground truth"
    assert not (tmp_path / "report.json").exists()


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(StereoError, match="cannot be written"):
        ResultFolder(tmp_path / "out")


CALIBRATION = Calibration(focal_px=50.0, cx_px=1.0, cy_px=0.0, baseline_m=0.2)


def test_depth_and_points_are_kept_if_asked_for(tmp_path):
    folder = ResultFolder(tmp_path, ("depth", "points"), CALIBRATION)
    folder.write(0, np.array([[2.0, 0.5, np.nan]], np.float32))
    depth = cv2.imread(str(tmp_path / "depth" / "000000.png"), cv2.IMREAD_UNCHANGED)
    assert depth.tolist() == [[5000, 20000, 0]]
    assert (tmp_path / "points" / "000000.ply").is_file()
    assert not (tmp_path / "disparity").exists()
    ResultFolder(tmp_path)
    assert list((tmp_path / "depth").iterdir()) == list((tmp_path / "points").iterdir()) == []


def test_meters_need_a_calibration(tmp_path):
    with pytest.raises(StereoError, match=r"depth and points need.*--calibration"):
        ResultFolder(tmp_path / "out", ("disparity", "depth", "points"))
    assert not (tmp_path / "out").exists()


def test_points_of_another_origin_are_not_touched(tmp_path):
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "scan.ply").write_bytes(b"ply")
    with pytest.raises(StereoError, match=r"1 PLY files that were not written"):
        ResultFolder(tmp_path)
    assert (tmp_path / "points" / "scan.ply").read_bytes() == b"ply"
