"""Calibration and lenses: numbers, invariants, the real DSEC calibration, errors."""

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data import Calibration, RecordingError
from data.camera import Lens
from data.dsec.calibration import read_calibration

PAIR = Calibration(focal_px=200.0, cx_px=64.0, cy_px=60.0, baseline_m=0.1)


# ---- numbers


def test_depth_is_focal_length_times_baseline_over_disparity():
    assert PAIR.fb == pytest.approx(20.0)
    depth = PAIR.depth_m(np.array([[10.0, 0.5], [0.0, -1.0]], np.float32))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[2.0, 40.0], [np.inf, np.inf]])


def test_q_takes_a_pixel_and_its_disparity_to_meters():
    # The point (0.3, -0.2, 2) m of the left camera.
    x, y, disparity = 64 + 200 * 0.15, 60 - 200 * 0.1, 200 * 0.1 / 2
    point = PAIR.q @ [x, y, disparity, 1]
    np.testing.assert_allclose(point[:3] / point[3], [0.3, -0.2, 2.0])


def test_q_agrees_with_opencv():
    disparity = np.full((1, 1), 7.0, np.float32)
    point = cv2.reprojectImageTo3D(disparity, PAIR.q)[0, 0]
    assert point[2] == pytest.approx(PAIR.depth_m(disparity)[0, 0])


# ---- invariants


@given(st.floats(1, 2e3), st.floats(-50, 2e3), st.floats(-50, 2e3), st.floats(1e-3, 5))
def test_from_q_inverts_q(focal, cx, cy, baseline):
    pair = Calibration(focal_px=focal, cx_px=cx, cy_px=cy, baseline_m=baseline)
    back = Calibration.from_q(pair.q)
    assert (back.focal_px, back.cx_px, back.cy_px) == (focal, cx, cy)
    assert back.baseline_m == pytest.approx(baseline, rel=1e-15)


def test_a_lens_equal_to_the_rectified_view_maps_every_pixel_to_itself():
    lens = Lens(camera_matrix=(200.0, 200.0, 64.0, 60.0), distortion=(0.0,) * 4, rotation=np.eye(3))
    y, x = np.mgrid[0:5, 0:7]
    rectify_map = lens.rectify_map(PAIR, 7, 5)
    assert rectify_map.dtype == np.float32
    np.testing.assert_allclose(rectify_map, np.stack([x, y], axis=-1), atol=1e-4)


def test_the_rectify_map_undoes_the_lens():
    # Forward through the textbook model: rectified ray, rotated back, bent, on the raw sensor.
    rotation = cv2.Rodrigues(np.array([0.02, -0.01, 0.03]))[0]
    k1, k2, p1, p2 = distortion = (-0.1, 0.2, -0.0004, 0.002)
    lens = Lens(camera_matrix=(190.0, 191.0, 63.0, 59.0), distortion=distortion, rotation=rotation)
    rectify_map = lens.rectify_map(PAIR, 128, 120)
    for row, col in [(0, 0), (60, 64), (119, 3), (20, 127)]:
        x_rect, y_rect = rectify_map[row, col]
        ray = rotation.T @ [(x_rect - 64) / 200, (y_rect - 60) / 200, 1]
        x, y = ray[:2] / ray[2]
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2 * r2
        x_bent = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        y_bent = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        assert (190 * x_bent + 63, 191 * y_bent + 59) == pytest.approx((col, row), abs=0.02)


# ---- the real calibration


@pytest.mark.real
def test_the_real_calibration(real_data):
    path = real_data / "calibration" / "dsec" / "cam_to_cam.yaml"
    content = yaml.safe_load(path.read_text())
    pair = read_calibration(path)
    assert round(pair.baseline_m, 5) == 0.59903
    np.testing.assert_allclose(pair.q, content["disparity_to_depth"]["cams_03"], rtol=1e-15)
    view = content["intrinsics"]["camRect0"]["camera_matrix"]
    assert [pair.focal_px, pair.focal_px, pair.cx_px, pair.cy_px] == view


@pytest.mark.real
def test_the_real_lenses_see_a_far_point_in_one_place(real_data):
    """A point at infinity has no disparity: both maps must bring its raw pixels together."""
    path = real_data / "calibration" / "dsec" / "cam_to_cam.yaml"
    content = yaml.safe_load(path.read_text())
    pair, inner, outer = read_calibration(path), content["intrinsics"], content["extrinsics"]
    lenses = [
        Lens(
            camera_matrix=tuple(inner[f"cam{n}"]["camera_matrix"]),
            distortion=tuple(inner[f"cam{n}"]["distortion_coeffs"]),
            rotation=np.array(outer[f"R_rect{n}"]),
        )
        for n in (0, 3)
    ]
    chain = np.eye(4)
    for name in ("T_10", "T_21", "T_32"):
        chain = np.array(outer[name]) @ chain
    left, right = (lens.rectify_map(pair, 640, 480) for lens in lenses)
    for row, col in [(100, 150), (240, 320), (400, 560)]:
        x, y = (left[row, col] - [pair.cx_px, pair.cy_px]) / pair.focal_px
        ray = chain[:3, :3] @ lenses[0].rotation.T @ [x, y, 1]
        raw = cv2.projectPoints(
            ray[None], np.zeros(3), np.zeros(3), matrix(lenses[1]), np.array(lenses[1].distortion)
        )[0].ravel()
        raw_col, raw_row = (int(v) for v in np.rint(raw))
        np.testing.assert_allclose(right[raw_row, raw_col], left[row, col], atol=1.0)


def matrix(lens):
    fx, fy, cx, cy = lens.camera_matrix
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


# ---- errors


@pytest.mark.parametrize(("focal", "baseline"), [(0.0, 1.0), (1.0, 0.0), (1.0, -0.1)])
def test_a_geometry_without_depth(focal, baseline):
    with pytest.raises(RecordingError, match="positive focal length and baseline"):
        Calibration(focal_px=focal, cx_px=0.0, cy_px=0.0, baseline_m=baseline)


@pytest.mark.parametrize(("row", "col", "value"), [(3, 2, 0.0), (3, 3, 4.0), (0, 3, np.nan)])
def test_an_impossible_q(row, col, value):
    q = PAIR.q
    q[row, col] = value
    with pytest.raises(RecordingError, match=r"needs the rows \(1,0,0,-cx\).*principal point"):
        Calibration.from_q(q)
    with pytest.raises(RecordingError, match="needs the rows"):
        Calibration.from_q(q[:3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "ParserError"),
        ("just words", "disparity_to_depth is missing"),
        ("disparity_to_depth: {}", "cams_03 is missing"),
        ("disparity_to_depth: {cams_03: [[1, x], [2, 3]]}", "Expected 4 x 4 finite numbers"),
        ("disparity_to_depth: {cams_03: [[1, 2], [2, 3]]}", "Expected 4 x 4 finite numbers"),
    ],
)
def test_a_broken_calibration_file(tmp_path, text, message):
    path = tmp_path / "cam_to_cam.yaml"
    path.write_text(text)
    with pytest.raises(RecordingError, match=message) as caught:
        read_calibration(path)
    assert "cam_to_cam.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
