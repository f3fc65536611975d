"""Writing MVSEC's layout: what published readers look for, refusals, generated recordings."""

import hashlib
import json
import re

import h5py
import numpy as np
import pytest
import yaml
from reference.mvsec import NAME, OFFSET_US, small_scene

from data import Calibration, RecordingError
from data.camera import Lens
from data.formats import open_recording
from data.mvsec import GreyFrames, MvsecRecording, Split, write_mvsec
from data.mvsec.calibration import camchain, read_camchain
from data.recording import CAMERAS
from data.simulator.mvsec import short_split, simulate_mvsec


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write a scene with pictures and return its folder and content."""
    setting = small_scene(3)
    rng = np.random.default_rng(0)
    t_us = np.array([-500, 40_000, 250_000, 400_000])
    grey = GreyFrames(images=rng.integers(0, 256, (4, 48, 64), np.uint8), t_us=t_us)
    path = tmp_path_factory.mktemp("mvsec") / "hall"
    write_mvsec(path, **setting, frames={"left": grey}, generated={"seed": 3})
    return path, setting, grey


# ---- what published readers look for


def test_the_files_have_the_names_of_the_data_set(written):
    folder, _, _ = written
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert found == {
        "generated_hall1_data.hdf5",
        "generated_hall1_gt.hdf5",
        "generated.json",
        *(
            f"generated_hall_calib/{name}"
            for name in (
                "camchain-imucam-generated_hall.yaml",
                "generated_hall_left_x_map.txt",
                "generated_hall_left_y_map.txt",
                "generated_hall_right_x_map.txt",
                "generated_hall_right_y_map.txt",
            )
        ),
    }


def test_events_are_rows_of_x_y_seconds_polarity(written):
    folder, setting, _ = written
    with h5py.File(folder / f"{NAME}_data.hdf5") as file:
        for camera in CAMERAS:
            table = file[f"davis/{camera}/events"]
            assert (table.dtype, table.shape) == (np.float64, (3_000, 4))
            events = setting[camera]
            np.testing.assert_array_equal(table[:, 0], events.x)
            np.testing.assert_array_equal(table[:, 1], events.y)
            np.testing.assert_array_equal(table[:, 2], (events.t + OFFSET_US) / 1e6)
            np.testing.assert_array_equal(table[:, 3], np.where(events.p, 1, -1))


def test_depth_is_float32_meters_with_nan(written):
    folder, setting, _ = written
    with h5py.File(folder / f"{NAME}_gt.hdf5") as file:
        depth, stamps = file["davis/left/depth_image_rect"], file["davis/left/depth_image_rect_ts"]
        assert (depth.dtype, depth.shape) == (np.float32, (4, 48, 64))
        assert stamps.dtype == np.float64
        np.testing.assert_allclose(np.diff(stamps), 0.05, atol=1e-6)  # 20 Hz
        truth = setting["disparity"]
        expected = np.where(truth > 0, setting["calibration"].fb / np.maximum(truth, 1e-9), np.nan)
        np.testing.assert_allclose(depth[()], expected, rtol=2.0**-23)


def test_pictures_know_their_nearest_event(written):
    folder, setting, grey = written
    with h5py.File(folder / f"{NAME}_data.hdf5") as file:
        group = file["davis/left"]
        np.testing.assert_array_equal(group["image_raw"][()], grey.images)
        np.testing.assert_array_equal(
            np.rint(group["image_raw_ts"][()] * 1e6), grey.t_us + OFFSET_US
        )
        t = setting["left"].t
        for stamp, place in zip(grey.t_us, group["image_raw_event_inds"][()], strict=True):
            assert abs(t[place] - stamp) == np.abs(t - stamp).min()
        assert "image_raw" not in file["davis/right"]


def test_the_chain_has_the_keys_and_the_geometry_of_the_data_set(written, real_data):
    folder, _, _ = written
    made = yaml.safe_load(next(folder.rglob("*.yaml")).read_text())
    place = real_data / "calibration" / "mvsec_indoor_flying"
    path = place / "camchain-imucam-indoor_flying.yaml"
    real = yaml.safe_load(path.read_text())
    for name in ("cam0", "cam1"):
        assert set(real[name]) - set(made[name]) == {"T_cam_imu"}
        for key, value in made[name].items():
            assert np.shape(value) == np.shape(real[name][key])
    # Written again from what was read, the real geometry comes out.
    chain = read_camchain(path)
    again = camchain(chain.lenses, chain.calibration, 346, 260)
    for name in ("cam0", "cam1"):
        for key in set(again[name]) - {"camera_model", "distortion_model", "rostopic"}:
            np.testing.assert_allclose(again[name][key], real[name][key], atol=1e-12)


def test_map_files_have_a_line_per_row_and_four_decimals(written):
    folder, setting, _ = written
    for camera in CAMERAS:
        lens = setting["lenses"][camera]
        expected = lens.rectify_map(setting["calibration"], 64, 48)
        for axis, name in enumerate("xy"):
            text = next(folder.rglob(f"*_{camera}_{name}_map.txt")).read_text()
            assert re.fullmatch(r"(-?\d+\.\d{4}[ \n])+", text)
            table = np.loadtxt(text.splitlines())
            np.testing.assert_allclose(table, expected[..., axis], atol=5.1e-5)


# ---- errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": "indoor_flying1"}, "is a sequence of MVSEC itself"),
        ({"sequence": "outdoor_day7"}, "is a sequence of MVSEC itself"),
        ({"sequence": "hall"}, "no name of a sequence"),
        ({"sequence": "../hall1"}, "no name of a sequence"),
        ({"sequence": "1"}, "no name of a sequence"),
        ({"width": 40}, "outside the 40 x 48 sensor"),
        ({"t_offset_us": -1}, "unix seconds"),
        ({"t_offset_us": 2**62}, "unix seconds"),
        ({"disparity": np.zeros((3, 48, 64), np.float32)}, "one image of the sensor's size"),
        ({"disparity": np.full((4, 48, 64), np.nan, np.float32)}, "0 .none. or positive"),
        ({"disparity": np.full((4, 48, 64), -1, np.float32)}, "0 .none. or positive"),
        ({"disparity_t_us": np.array([0, 5, 5, 9])}, "must increase"),
    ],
)
def test_what_the_layout_cannot_hold(tmp_path, changes, message):
    with pytest.raises(RecordingError, match=message):
        write_mvsec(tmp_path / "x", **(small_scene() | changes))
    assert list(tmp_path.iterdir()) == []


def test_rectified_or_missing_events(tmp_path, written):
    folder, setting, _ = written
    with MvsecRecording(folder) as recording:
        moved = recording.rectify("left", setting["left"])
    with pytest.raises(RecordingError, match="left events are rectified"):
        write_mvsec(tmp_path / "x", **(setting | {"left": moved}))
    with pytest.raises(RecordingError, match="no right events"):
        write_mvsec(tmp_path / "x", **(setting | {"right": setting["right"].window(0, 0)}))


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    broken = small_scene()
    broken["lenses"] = {"left": broken["lenses"]["left"]}
    with pytest.raises(KeyError):
        write_mvsec(tmp_path / "x", **broken)
    assert list(tmp_path.iterdir()) == []
    write_mvsec(tmp_path / "x", **small_scene())
    with pytest.raises(RecordingError, match="exists already"):
        write_mvsec(tmp_path / "x", **small_scene())


def test_without_ground_truth(tmp_path):
    none = {"disparity": np.empty((0, 48, 64), np.float32), "disparity_t_us": np.empty(0, np.int64)}
    write_mvsec(tmp_path / "x", **(small_scene() | none))
    with MvsecRecording(tmp_path / "x") as recording:
        assert recording.disparity_t_us.size == 0
        assert recording.calibration is not None


# ---- generated recordings


def make(path, **changes):
    setting = {"scene": "studio", "seed": 4, "duration_s": 0.4, "width": 96, "height": 72}
    return simulate_mvsec(path, **(setting | changes))


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    path = tmp_path_factory.mktemp("generated") / "scene"
    return path, make(path)


def test_a_generated_recording_reads_back(generated):
    path, counts = generated
    with open_recording(path) as recording:
        assert (recording.name, recording.layout) == ("generated_studio1", "mvsec")
        assert (recording.width, recording.height) == (96, 72)
        t0 = int(recording.disparity_t_us[0])
        np.testing.assert_array_equal(np.diff(recording.disparity_t_us), 50_000)
        assert recording.disparity_t_us.size == 9
        for camera in CAMERAS:
            events = recording.events(camera, t0, t0 + 1_000_000)
            assert len(events) == counts[camera] > 1000
            moved = recording.rectify(camera, events)
            assert np.abs(moved.x - events.x).max() > 0.5, "the lenses are bent"
        scale = 96 / 346
        assert recording.calibration.fb == pytest.approx(19.94 * scale, rel=1e-3)
        known = recording.disparity(3) > 0
        assert 0.2 < known.mean() < 0.7, "missing as a LiDAR's"
    assert json.loads((path / "generated.json").read_text())["scene"] == "studio"
    split = Split.load(path / "generated_studio1_split.json")
    used = {role: split.frames(role) for role in ("train", "validation", "test")}
    assert [len(frames) for frames in used.values()] == [6, 0, 2]
    assert len(set().union(*used.values())) == 8
    assert {name for frames in used.values() for name, _ in frames} == {"generated_studio1"}


def test_truth_matches_the_events_better_than_a_wrong_disparity(generated):
    """Warp the right edges by the truth: they agree with the left ones; shifted truth does not."""
    path, _ = generated
    with open_recording(path) as recording:
        t1 = int(recording.disparity_t_us[4])
        truth = recording.disparity(4)
        images = {}
        for camera in CAMERAS:
            events = recording.rectify(camera, recording.events(camera, t1 - 60_000, t1))
            events = events.inside(96, 72)
            image = np.zeros((72, 96))
            places = np.rint(events.y).astype(int), np.rint(events.x).astype(int)
            np.add.at(image, places, np.where(events.p, 1.0, -1.0))
            images[camera] = image
    y, x = np.nonzero(truth)

    def agreement(offset):
        column = np.rint(x - truth[y, x] + offset).astype(int)
        inside = (column >= 0) & (column < 96)
        left = images["left"][y[inside], x[inside]]
        right = images["right"][y[inside], column[inside]]
        return float(np.corrcoef(left, right)[0, 1])

    assert agreement(0) > 0.2
    assert agreement(0) > 2 * max(abs(agreement(offset)) for offset in (-6, -4, 4, 6))


def test_equal_arguments_give_equal_files(generated, tmp_path):
    path, _ = generated
    make(tmp_path / "again")

    def digest(root):
        files = sorted(f for f in root.rglob("*") if f.is_file())
        return [
            (str(f.relative_to(root)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files
        ]

    assert digest(path) == digest(tmp_path / "again")


def test_short_samples_have_their_own_split_or_none():
    assert short_split("a1", 2) is None
    for count in (3, 4, 21, 1_000):
        split = short_split("a1", count)
        frames = [f for role in ("train", "validation", "test") for f in split.frames(role)]
        assert sorted(frames) == [("a1", k) for k in range(1, count)]
    assert len(split.frames("validation")) == 62


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene": "moon"}, "Unknown scene 'moon'; known: .*room"),
        ({"duration_s": 0.0}, "0.1 to 600 seconds"),
        ({"width": 8}, "32 to 4096 pixels"),
    ],
)
def test_senseless_wishes_are_refused(tmp_path, changes, message):
    with pytest.raises(RecordingError, match=message):
        make(tmp_path / "x", **changes)
    (tmp_path / "full").mkdir()
    with pytest.raises(RecordingError, match="exists already"):
        make(tmp_path / "full")


def test_the_full_size_has_the_constant_of_indoor_flying():
    from data.simulator.mvsec import mvsec_rig

    rig = mvsec_rig(346, 260)
    assert rig.calibration.fb == pytest.approx(19.941772, abs=0.01)
    assert isinstance(rig.lenses["left"], Lens)
    assert isinstance(rig.calibration, Calibration)
