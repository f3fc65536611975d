"""Rectify maps of DSEC: read, or made from the calibration where the file is missing."""

import cv2
import h5py
import numpy as np
import pytest
import yaml
from reference.pairs import OFFSET_US

from data import RecordingError
from data.dsec import DsecRecording
from data.dsec.calibration import read_calibration, read_views
from data.recording import CAMERAS


def map_h5(sequence, camera):
    return sequence / "events" / camera / "rectify_map.h5"


def yaml_of(sequence):
    return sequence / "calibration" / "cam_to_cam.yaml"


def change(path, *keys, to):
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    path.write_text(yaml.safe_dump(content))


@pytest.mark.real
def test_the_real_calibration_gives_the_map_of_opencv(real_data):
    path = real_data / "calibration" / "dsec" / "cam_to_cam.yaml"
    content = yaml.safe_load(path.read_text())
    views = read_views(path)
    for camera, n in (("left", 0), ("right", 3)):
        raw, new = (content["intrinsics"][f"{kind}{n}"] for kind in ("cam", "camRect"))
        k, k_rect = np.eye(3), np.eye(3)
        for matrix, entry in ((k, raw), (k_rect, new)):
            matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = entry["camera_matrix"]
        y, x = np.mgrid[0:480, 0:640]
        pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2).astype(np.float64)
        expected = cv2.undistortPoints(
            pixels, k, np.array(raw["distortion_coeffs"]),
            R=np.array(content["extrinsics"][f"R_rect{n}"]), P=k_rect,
        ).reshape(480, 640, 2)  # fmt: skip
        found = views[camera].rectify_map()
        assert found.shape == (480, 640, 2)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(found - np.stack([x, y], axis=-1)).max() > 5  # it does rectify


@pytest.mark.real
def test_the_real_lenses_are_undone_exactly(real_data):
    for view in read_views(real_data / "calibration" / "dsec" / "cam_to_cam.yaml").values():
        assert view._error_px(view.rectify_map()) < 1e-3


@pytest.mark.real
def test_the_real_baseline_is_that_of_q(real_data):
    path = real_data / "calibration" / "dsec" / "cam_to_cam.yaml"
    content = yaml.safe_load(path.read_text())
    q = np.array(content["disparity_to_depth"]["cams_03"])
    calibration = read_calibration(path)
    assert abs(calibration.baseline_m - 1 / q[3, 2]) < 1e-12
    np.testing.assert_allclose(calibration.q, q, atol=1e-12)
    # The chain of transforms leads to the same baseline.
    step = [np.array(content["extrinsics"][name]) for name in ("T_32", "T_21", "T_10")]
    between = step[0] @ step[1] @ step[2]
    assert abs(np.linalg.norm(between[:3, 3]) - calibration.baseline_m) < 1e-9


def test_a_missing_map_is_made_from_the_calibration(sequence):
    expected = DsecRecording(sequence)
    raw = expected.events("left", OFFSET_US, OFFSET_US + 10**9)
    maps = {camera: expected.rectify_map(camera) for camera in CAMERAS}
    for camera in CAMERAS:
        map_h5(sequence, camera).unlink()
        recording = DsecRecording(sequence)
        assert recording.map_sources[camera] == yaml_of(sequence)
        assert (recording.width, recording.height) == (64, 48)
        np.testing.assert_allclose(recording.rectify_map(camera), maps[camera], atol=1e-4)
    ours, theirs = recording.rectify("left", raw), expected.rectify("left", raw)
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-4)
    assert expected.map_sources["left"] == map_h5(sequence, "left")


def test_neither_map_nor_calibration(sequence):
    map_h5(sequence, "left").unlink()
    yaml_of(sequence).unlink()
    with pytest.raises(RecordingError, match=r"no .*left/rectify_map.h5, and no cam_to_cam.yaml"):
        DsecRecording(sequence)


CAM0 = ("intrinsics", "cam0")


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        ((*CAM0, "distortion_model"), "equidistant", "distortion model 'equidistant'.*'radtan'"),
        ((*CAM0, "distortion_coeffs"), [1, 2, 3], "cam0/distortion_coeffs .* 4 finite numbers"),
        ((*CAM0, "resolution"), [64.5, 48], "whole columns and rows"),
        ((*CAM0, "resolution"), [0, 48], "whole columns and rows"),
        ((*CAM0, "resolution"), [64, 49], "have different sizes"),
        ((*CAM0, "camera_matrix"), [-58, 57, 31, 24], "Expected positive focal lengths"),
        ((*CAM0, "camera_matrix"), None, "camera_matrix is missing"),
        (("intrinsics", "camRect0", "camera_matrix"), [60, 70, 1, 1], "both of camRect0 equal"),
        (("extrinsics", "R_rect0"), np.ones((3, 3)).tolist(), "R_rect0.* is no rotation"),
        (("extrinsics", "R_rect0"), np.full((3, 3), 1e300).tolist(), "R_rect0.* is no rotation"),
        (("intrinsics",), [1], "cam0 is missing"),
    ],
)
def test_a_calibration_that_gives_no_map(sequence, keys, to, message):
    map_h5(sequence, "left").unlink()
    change(yaml_of(sequence), *keys, to=to)
    with pytest.raises(RecordingError, match=message) as caught:
        DsecRecording(sequence)
    assert "\n" not in str(caught.value)


def test_a_lens_beyond_all_measure(sequence):
    map_h5(sequence, "left").unlink()
    change(yaml_of(sequence), *CAM0, "distortion_coeffs", to=[1e200, -1e200, 1e100, 0])
    with pytest.raises(RecordingError, match="cannot be undone: pixels come back"):
        DsecRecording(sequence).rectify_map("left")


def test_giant_sensors_are_refused(sequence):
    for camera in CAMERAS:
        with h5py.File(map_h5(sequence, camera), "w") as file:
            file.create_dataset("rectify_map", (10**6, 10**6, 2), "<f4", chunks=(64, 64, 2))
    with pytest.raises(RecordingError, match="sensors of 1000000 x 1000000 pixels"):
        DsecRecording(sequence)
    with h5py.File(map_h5(sequence, "left"), "w") as file:
        file.create_dataset("rectify_map", (4000, 4000, 2), "<f4", chunks=(1000, 1000, 2))
    map_h5(sequence, "right").write_bytes(map_h5(sequence, "left").read_bytes())
    with pytest.raises(RecordingError, match="rectify_map in .* claims .* do not fit"):
        DsecRecording(sequence).rectify_map("left")


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (np.zeros((4, 4)), "needs the rows"),
        ([[1, 0, 0, -3], [0, 1, 0, -3], [0, 0, 0, 9], [0, 0, 1e-9, 0]], "beyond any camera"),
        ([[1, 0, 0, -3], [0, 1, 0, -3], [0, 0, 0, 1e9], [0, 0, 1, 0]], "beyond any camera"),
        ([[1, 0, 0, -3], [0, 1, 0, -3], [0, 0, 0, 9], [0, 0, -1, 0]], "positive focal length"),
        ([[10**400] * 4] * 4, "too large"),
    ],
)
def test_depth_that_no_camera_sees(sequence, q, message):
    change(yaml_of(sequence), "disparity_to_depth", "cams_03", to=np.array(q, object).tolist())
    with pytest.raises(RecordingError, match=message):
        DsecRecording(sequence)


def test_a_yaml_that_would_take_for_ever(sequence):
    path = yaml_of(sequence)
    path.write_text("a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n"
        for before, name in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz")
    ) + "disparity_to_depth: {cams_03: *z}\n")  # fmt: skip
    with pytest.raises(RecordingError, match="4 x 4 finite numbers"):
        DsecRecording(sequence)
    for text in ("[" * 20_000, "- " * 20_000, "{a: " * 20_000, "? " * 20_000):
        path.write_text(text)
        with pytest.raises(RecordingError, match="of them in one line. Expected a calibration"):
            DsecRecording(sequence)
        path.write_text(text[:2_000])
        with pytest.raises(RecordingError, match="is no YAML|is missing"):
            DsecRecording(sequence)
    path.write_text("a: 1\n" * 100_000)
    with pytest.raises(RecordingError, match="has 500000 characters"):
        DsecRecording(sequence)
