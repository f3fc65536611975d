"""Calibration files: three kinds, against points in space and published maps."""

import copy

import cv2
import h5py
import numpy as np
import pytest
import yaml
from reference.cameras import some_events, write_evt3, write_m3ed

from data import RecordingError
from data.camera import FisheyeLens, Lens
from data.cameras import PairRecording
from data.cameras.calibration import read_geometry
from data.dsec.calibration import cam_to_cam
from data.opening import open_cameras

SIZE = (320, 240)
TURN = cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0]
MOVE = np.array([-0.12, 0.004, -0.006])

OURS = {
    "left": {
        "resolution": list(SIZE),
        "camera_matrix": [250.0, 251.0, 160.5, 118.0],
        "distortion_model": "radtan",
        "distortion_coeffs": [-0.09, 0.1, 0.0003, -0.0002],
    },
    "right": {
        "resolution": list(SIZE),
        "camera_matrix": [247.0, 248.0, 157.0, 122.5],
        "distortion_model": "radtan",
        "distortion_coeffs": [-0.1, 0.12, -0.0001, 0.0004],
    },
    "right_from_left": {"rotation": TURN.tolist(), "translation_m": MOVE.tolist()},
}

EQUIDISTANT = copy.deepcopy(OURS)
for camera in ("left", "right"):
    EQUIDISTANT[camera] |= {
        "distortion_model": "equidistant",
        "distortion_coeffs": [-0.03, 0.01, -0.004, 0.001],
    }

KALIBR = {
    name: {
        "camera_model": "pinhole",
        "intrinsics": OURS[camera]["camera_matrix"],
        "distortion_model": "radtan",
        "distortion_coeffs": OURS[camera]["distortion_coeffs"],
        "resolution": list(SIZE),
    }
    for name, camera in (("cam0", "left"), ("cam1", "right"))
}
KALIBR["cam1"]["T_cn_cnm1"] = np.block([[TURN, MOVE[:, None]], [np.zeros(3), 1.0]]).tolist()


def write(folder, content):
    path = folder / "calibration.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def project(block, points):
    """Return the raw pixels of points in a camera's axes, with OpenCV's forward model."""
    fx, fy, cx, cy = block["camera_matrix"]
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    zero, k = np.zeros(3), np.array(block["distortion_coeffs"])
    if block["distortion_model"] == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, matrix, k)[0][:, 0]
    return cv2.projectPoints(points[:, None], zero, zero, matrix, k)[0][:, 0]


def look_up(forward, pixels):
    """Return a map between its pixels, bilinear."""
    x, y = (pixels[:, i].astype(np.float32)[:, None] for i in (0, 1))
    return np.stack([cv2.remap(forward[..., i], x, y, cv2.INTER_LINEAR)[:, 0] for i in (0, 1)], 1)


@pytest.mark.parametrize("content", [OURS, EQUIDISTANT, KALIBR], ids=["ours", "fisheye", "kalibr"])
def test_points_in_space_meet_one_row_at_their_depth(tmp_path, content):
    """Project points with the raw cameras; the maps must make them a rectified pair."""
    geometry = read_geometry(write(tmp_path, content), SIZE)
    blocks = EQUIDISTANT if content is EQUIDISTANT else OURS
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.9, -0.7, 1.5], [0.9, 0.7, 4.0], (400, 3))
    raw = {
        "left": project(blocks["left"], points),
        "right": project(blocks["right"], points @ TURN.T + MOVE),
    }
    inside = np.all(
        [(p >= 1).all(1) & (p[:, 0] < SIZE[0] - 2) & (p[:, 1] < SIZE[1] - 2) for p in raw.values()],
        axis=0,
    )
    assert inside.sum() > 150
    left, right = (look_up(geometry.maps[c], raw[c][inside]) for c in ("left", "right"))
    assert np.abs(left[:, 1] - right[:, 1]).max() < 0.02
    depth = (points[inside] @ geometry.lenses["left"].rotation.T)[:, 2]
    np.testing.assert_allclose(left[:, 0] - right[:, 0], geometry.calibration.fb / depth, atol=0.02)
    assert geometry.calibration.baseline_m == pytest.approx(np.linalg.norm(MOVE), abs=1e-9)


def test_rotation_vector(tmp_path):
    content = copy.deepcopy(OURS)
    content["right_from_left"]["rotation"] = [0.01, -0.03, 0.02]
    a, b = (read_geometry(write(tmp_path, c), SIZE) for c in (OURS, content))
    np.testing.assert_allclose(a.maps["right"], b.maps["right"], atol=1e-4)


def test_dsec_is_read_as_it_was_written(tmp_path, pair):
    content = cam_to_cam(pair["lenses"], pair["calibration"], 64, 48)
    geometry = read_geometry(write(tmp_path, content), (64, 48))
    assert geometry.calibration.fb == pytest.approx(pair["calibration"].fb)
    for camera, lens in pair["lenses"].items():
        expected = lens.rectify_map(pair["calibration"], 64, 48)
        np.testing.assert_allclose(geometry.maps[camera], expected, atol=1e-4)


def test_real_calibrations(real_data):
    folder = real_data / "calibration"
    dsec = read_geometry(folder / "dsec" / "cam_to_cam.yaml")
    assert dsec.calibration.baseline_m == pytest.approx(0.59903, abs=1e-5)
    assert type(dsec.lenses["left"]) is Lens
    scene = folder / "mvsec_indoor_flying"
    mvsec = read_geometry(scene / "camchain-imucam-indoor_flying.yaml", (346, 260))
    assert mvsec.calibration.fb == pytest.approx(19.941772, abs=1e-6)
    assert type(mvsec.lenses["left"]) is FisheyeLens
    for camera in ("left", "right"):
        for axis, name in enumerate("xy"):
            published = np.loadtxt(scene / f"indoor_flying_{camera}_{name}_map.txt")
            assert np.abs(published - mvsec.maps[camera][..., axis]).max() < 1e-4


# ---- with recordings


def test_a_calibrated_pair(tmp_path):
    left, right = tmp_path / "l.raw", tmp_path / "r.raw"
    for path in (left, right):
        write_evt3(path, some_events())
    content = copy.deepcopy(OURS)
    for camera in ("left", "right"):
        content[camera]["resolution"] = [64, 48]
    path = write(tmp_path, content)
    with PairRecording(left, right, calibration=path) as recording:
        assert recording.calibration.baseline_m == pytest.approx(np.linalg.norm(MOVE))
        raw = recording.events("right", *recording.span_us)
        rectified = recording.rectify("right", raw)
        expected = recording.rectify_map("right")[raw.y, raw.x]
        np.testing.assert_array_equal(np.stack([rectified.x, rectified.y], 1), expected)
        with pytest.raises(ValueError, match="rectified already"):
            recording.rectify("right", rectified)
    with pytest.raises(RecordingError, match=r"calibration of a left sensor of \(320, 240\)"):
        PairRecording(left, right, calibration=write(tmp_path, OURS))


def test_the_calibration_states_a_size_that_no_file_states(tmp_path):
    path = tmp_path / "both.npz"
    table = np.stack(list(some_events().values()), axis=1)
    np.savez(path, left=table, right=table)
    with open_cameras(path, width=320, height=240, calibration=write(tmp_path, OURS)) as recording:
        assert recording.calibration is not None
        assert recording.rectify_map("left").shape == (240, 320, 2)


def test_a_recording_without_calibration_of_its_own(tmp_path):
    mvsec = tmp_path / "hall1_data.hdf5"
    with h5py.File(mvsec, "w") as file:
        for camera in ("left", "right"):
            t, x, y, p = some_events().values()
            file[f"davis/{camera}/events"] = np.stack([x, y, 1e9 + t / 1e6, 2.0 * p - 1], axis=1)
    content = copy.deepcopy(OURS)
    for camera in ("left", "right"):
        content[camera]["resolution"] = [346, 260]
    path = write(tmp_path, content)
    with open_cameras(mvsec) as plain, open_cameras(mvsec, calibration=path) as recording:
        assert plain.calibration is None
        assert recording.layout == plain.layout == "mvsec"
        assert recording.calibration.baseline_m == pytest.approx(np.linalg.norm(MOVE))
        raw = recording.events("left", *recording.span_us)
        rectified = recording.rectify("left", raw)
        assert rectified.x.dtype == np.float32
        assert np.abs(rectified.x - raw.x).max() > 1


def test_options_of_one_file_with_both_cameras(tmp_path):
    path = tmp_path / "falcon.h5"
    write_m3ed(path, some_events())
    content = copy.deepcopy(OURS)
    for camera in ("left", "right"):
        content[camera]["resolution"] = [32, 24]
    recording = open_cameras(path, width=32, height=24, calibration=write(tmp_path, content))
    assert (recording.width, recording.height) == (32, 24)
    assert recording.dropped["left"] > 0
    assert recording.calibration is not None


# ---- refusals


def damaged(*path, value=None):
    content = copy.deepcopy(OURS)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a"], "holds no keys"),
        ({}, "belong to no known kind"),
        ({"left": 3, "right": 4, "right_from_left": 5}, "no usable calibration"),
        (damaged("left"), "no usable calibration .KeyError"),
        (damaged("left", "camera_matrix"), "camera_matrix"),
        (damaged("left", "camera_matrix", value=[1.0, 2.0]), "finite numbers of shape"),
        (damaged("left", "camera_matrix", value=[0.0, 2.0, 3.0, 4.0]), "are not positive"),
        (damaged("left", "distortion_model", value="magic"), "'magic' is none of radtan"),
        (damaged("left", "distortion_coeffs", value=[float("nan")] * 4), "finite numbers"),
        (damaged("left", "resolution", value=[0, 240]), "resolution of 0 x 240"),
        (damaged("left", "resolution", value=[10**9, 240]), "is not possible"),
        (damaged("right", "resolution", value=[346, 260]), "have the resolutions"),
        (damaged("right_from_left", "rotation", value=[[1, 2, 3]] * 3), "is no rotation"),
        (damaged("right_from_left", "rotation", value=np.diag([1, 1, -1]).tolist()), "mirrors"),
        (damaged("right_from_left", "translation_m", value=[0.1, 0.0, 0.0]), "to the right"),
        (damaged("right_from_left", "translation_m", value=[0.0, 0.1, 0.0]), "to the right"),
        (damaged("right_from_left", "translation_m", value=[0.0, 0.0, 0.0]), "calibration"),
        ({"disparity_to_depth": {"cams_03": [1]}}, "finite numbers"),
        ({"cam0": {}, "cam1": {}}, "no usable calibration"),
    ],
)
def test_what_is_no_calibration_says_why(tmp_path, content, message):
    with pytest.raises(RecordingError, match=message) as caught:
        read_geometry(write(tmp_path, content), SIZE)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_yaml(tmp_path):
    path = tmp_path / "x.yaml"
    with pytest.raises(RecordingError, match="no calibration file"):
        read_geometry(path)
    for content in (b"a: [", b"\xff\xfe\x00", b"&a [*a, *a]", b"a: [" * 3000):
        path.write_bytes(content)
        with pytest.raises(RecordingError):
            read_geometry(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(RecordingError, match="too large"):
        read_geometry(path)
