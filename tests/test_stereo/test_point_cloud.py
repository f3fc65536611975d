"""Depth and points, and their files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import Calibration
from stereo.point_cloud import VERTEX, points_m, stored_depth, write_ply

CALIBRATION = Calibration(focal_px=80.0, cx_px=3.5, cy_px=2.0, baseline_m=0.1)


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9))
def test_points_are_what_q_makes_of_pixels(seed, height, width):
    disparity = np.random.default_rng(seed).uniform(-2, 40, (height, width)).astype(np.float32)
    disparity[disparity > 35] = np.nan
    points, pixels = points_m(disparity, CALIBRATION)
    wanted = []
    for row in range(height):
        for column in range(width):
            d = disparity[row, column]
            if np.isfinite(d) and d >= 1:
                x, y, z, w = CALIBRATION.q @ [column, row, d, 1]
                wanted.append((column, row, x / w, y / w, z / w))
    wanted = np.array(wanted).reshape(-1, 5)
    np.testing.assert_array_equal(pixels, wanted[:, :2])
    np.testing.assert_allclose(points, wanted[:, 2:], rtol=1e-5, atol=1e-6)


def test_depth_is_in_millimeters():
    disparity = np.array([[8.0, 4.0, 0.1, 0.0, -1.0, np.nan, np.inf]], np.float32)
    assert stored_depth(disparity, CALIBRATION).tolist() == [[1000, 2000, 0, 0, 0, 0, 0]]
    assert stored_depth(disparity, CALIBRATION).dtype == np.uint16


@pytest.mark.parametrize("count", [0, 1, 50])
def test_files_are_read_back(tmp_path, count):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    colors = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    write_ply(tmp_path / "a.ply", points, colors)
    head, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    assert lines[3:] == [
        "property float x", "property float y", "property float z", "property uchar red",
        "property uchar green", "property uchar blue",
    ]  # fmt: skip
    vertices = np.frombuffer(body, VERTEX)
    assert VERTEX.itemsize == 15
    np.testing.assert_array_equal(np.stack([vertices[a] for a in "xyz"], 1), points)
    np.testing.assert_array_equal(
        np.stack([vertices[c] for c in ("red", "green", "blue")], 1), colors
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]
