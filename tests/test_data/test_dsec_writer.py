"""The DSEC writer: the layout byte for byte, its laws, errors, and being killed."""

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from reference.pairs import OFFSET_US

from data import RecordingError
from data.atomic import new_folder
from data.dsec import DsecRecording
from data.dsec.stamps import Submission
from data.dsec.writer import ms_to_idx, write_dsec

# ---- the layout


def test_the_tree(sequence):
    files = sorted(str(p.relative_to(sequence)) for p in sequence.rglob("*") if p.is_file())
    assert files == [
        "calibration/cam_to_cam.yaml",
        "disparity/event/000000.png",
        "disparity/event/000002.png",
        "disparity/event/000004.png",
        "disparity/timestamps.txt",
        "events/left/events.h5",
        "events/left/rectify_map.h5",
        "events/right/events.h5",
        "events/right/rectify_map.h5",
    ]
    stamps = (sequence / "disparity" / "timestamps.txt").read_text()
    assert stamps == f"{OFFSET_US}\n{OFFSET_US + 100_000}\n{OFFSET_US + 200_000}\n"


def test_the_types_of_the_data_set(sequence):
    with h5py.File(sequence / "events" / "left" / "events.h5") as file:
        types = {name: file[name].dtype.str for name in ("events/t", "events/x", "events/y")}
        assert types == {"events/t": "<u4", "events/x": "<u2", "events/y": "<u2"}
        assert file["events/p"].dtype == np.uint8
        assert file["ms_to_idx"].dtype == np.uint64
        assert file["t_offset"].dtype == np.int64
        assert file["t_offset"].shape == ()
        assert int(file["t_offset"][()]) == OFFSET_US
        for name in ("events/t", "events/x", "events/y", "events/p", "ms_to_idx"):
            filters = file[name].id.get_create_plist()
            number, _, options, _ = filters.get_filter(0)
            assert number == 32_001  # Blosc
            assert options[6] == 5  # Zstandard inside
    with h5py.File(sequence / "events" / "right" / "rectify_map.h5") as file:
        assert file["rectify_map"].dtype == np.float32
        assert file["rectify_map"].shape == (48, 64, 2)


def test_the_calibration_has_every_key_and_agrees_with_itself(sequence, pair):
    content = yaml.safe_load((sequence / "calibration" / "cam_to_cam.yaml").read_text())
    inner, outer = content["intrinsics"], content["extrinsics"]
    assert set(content) == {"intrinsics", "extrinsics", "disparity_to_depth"}
    assert set(inner) == {f"{kind}{n}" for kind in ("cam", "camRect") for n in range(4)}
    assert set(outer) == {"T_10", "T_21", "T_32", "R_rect0", "R_rect1", "R_rect2", "R_rect3"}
    assert [inner[f"cam{n}"]["camera_type"] for n in range(4)] == [
        "event", "frame", "frame", "event"
    ]  # fmt: skip
    assert inner["cam3"]["camera_matrix"] == list(pair["lenses"]["right"].camera_matrix)
    assert inner["cam1"]["resolution"] == [144, 108]
    # The chain of transforms leads from the left to the right event camera, in rectified axes one
    # baseline to the left.
    chain = np.array(outer["T_32"]) @ np.array(outer["T_21"]) @ np.array(outer["T_10"])
    into_rectified, from_rectified = np.eye(4), np.eye(4)
    into_rectified[:3, :3] = outer["R_rect3"]
    from_rectified[:3, :3] = np.array(outer["R_rect0"]).T
    expected = np.eye(4)
    expected[0, 3] = -pair["calibration"].baseline_m
    np.testing.assert_allclose(into_rectified @ chain @ from_rectified, expected, atol=1e-12)
    for name, views in {"cams_03": (0, 3), "cams_12": (1, 2)}.items():
        q = np.array(content["disparity_to_depth"][name])
        for view in views:
            focal, _, cx, cy = inner[f"camRect{view}"]["camera_matrix"]
            assert (q[2, 3], -q[0, 3], -q[1, 3]) == pytest.approx((focal, cx, cy))
    frames = np.array(content["disparity_to_depth"]["cams_12"])
    assert 1 / frames[3, 2] == pytest.approx(-outer["T_21"][0][3])


@pytest.mark.real
def test_the_calibration_has_the_keys_of_the_real_file(sequence, real_data):
    def keys(tree):
        return {k: keys(v) if isinstance(v, dict) else None for k, v in tree.items()}

    real = real_data / "calibration" / "dsec" / "cam_to_cam.yaml"
    ours = sequence / "calibration" / "cam_to_cam.yaml"
    real_keys = keys(yaml.safe_load(real.read_text()))
    assert keys(yaml.safe_load(ours.read_text())) == real_keys


# ---- numbers and laws


def test_ms_to_idx_of_the_published_example():
    t = np.array([0, 500, 2100, 5000, 5000, 7100, 7200, 7200, 8100, 9000])
    assert ms_to_idx(t).tolist() == [0, 2, 2, 3, 3, 3, 5, 5, 8, 9]


@given(st.lists(st.integers(0, 9_000), max_size=30))
def test_ms_to_idx_law(times):
    t = np.array(sorted(times), np.int64)
    table = ms_to_idx(t).astype(np.int64)
    assert table[0] == 0
    assert table.size == (t[-1] // 1000 + 1 if t.size else 1)
    for ms, index in enumerate(table):
        assert t.size == 0 or t[index] >= ms * 1000
        assert index == 0 or t[index - 1] < ms * 1000


def test_two_writes_are_the_same_bytes(tmp_path, pair, sequence):
    again = tmp_path / "again"
    write_dsec(again, **pair)
    for path in sequence.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(sequence)).read_bytes()


def test_no_ground_truth_writes_no_folder(tmp_path, pair):
    nothing = {"disparity": np.empty((0, 48, 64), np.float32), "disparity_t_us": np.empty(0, int)}
    write_dsec(tmp_path / "test_00_a", **(pair | nothing))
    assert not (tmp_path / "test_00_a" / "disparity").exists()


def test_a_test_sequence_with_csv_and_frame_stamps(tmp_path, pair):
    frames = 50_000 * np.arange(41)
    rows = Submission(t_us=frames[[20, 40]], file_index=np.array([20, 40]))
    nothing = {"disparity": np.empty((0, 48, 64), np.float32), "disparity_t_us": np.empty(0, int)}
    path = tmp_path / "thun_01_a"
    write_dsec(path, **(pair | nothing), image_t_us=frames, submission=rows)
    assert not (path / "disparity").exists()
    first, second = OFFSET_US + 1_000_000, OFFSET_US + 2_000_000
    expected = f"# timestamp_us, file_index\n{first}, 20\n{second}, 40\n"
    assert (path / "thun_01_a.csv").read_text() == expected
    # As the published check reads it.
    table = np.loadtxt(path / "thun_01_a.csv", dtype=np.int64, delimiter=",", comments="#")
    assert table.tolist() == [[first, 20], [second, 40]]
    with DsecRecording(path) as recording:
        assert recording.submission.t_us.tolist() == [first, second]
        assert recording.submission.file_index.tolist() == [20, 40]
        np.testing.assert_array_equal(recording.image_t_us, frames + OFFSET_US)
        assert recording.disparity_t_us.size == 0


def test_frame_stamps_of_a_train_sequence(tmp_path, pair):
    frames = 50_000 * np.arange(5)
    write_dsec(tmp_path / "x", **pair, image_t_us=frames)
    recording = DsecRecording(tmp_path / "x")
    named = [int(path.stem) for path in recording.disparity_files]
    assert named == [0, 2, 4]
    np.testing.assert_array_equal(recording.image_t_us[named], recording.disparity_t_us)


# ---- errors


def test_an_existing_folder_is_not_touched(tmp_path, pair):
    target = tmp_path / "mine"
    target.mkdir()
    with pytest.raises(RecordingError, match=r"mine exists already\. Remove it, or choose"):
        write_dsec(target, **pair)
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_t_us": np.array([0, 50_000, 50_000])}, "stamps of the frames must increase"),
        ({"image_t_us": 50_000 * np.arange(4)}, "are 4 stamps of frames, but image 4 is named"),
        ({"image_t_us": 50_001 * np.arange(5)}, "ground truth k is frame 2 k"),
        (
            {"submission": Submission(t_us=np.array([5]), file_index=np.array([20]))},
            "test sequence .* has no ground truth",
        ),
    ],
)
def test_stamps_that_contradict_each_other(tmp_path, pair, change, message):
    with pytest.raises(RecordingError, match=message):
        write_dsec(tmp_path / "x", **(pair | change))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path):
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        new_folder(tmp_path / "made") as folder,
    ):
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_another_process_may_finish_first(tmp_path):
    def race():
        with new_folder(tmp_path / "made") as folder:
            (folder / "file").write_text("ours")
            (tmp_path / "made").mkdir()
            (tmp_path / "made" / "file").write_text("theirs")

    with pytest.raises(RecordingError, match="exists already"):
        race()
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "file").read_text() == "theirs"


def test_the_folder_appears_only_when_complete(tmp_path):
    with new_folder(tmp_path / "a" / "made") as folder:
        (folder / "file").write_text("whole")
        assert not (tmp_path / "a" / "made").exists()
    assert (tmp_path / "a" / "made" / "file").read_text() == "whole"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.__class__(t=e.t - 1, x=e.x, y=e.y, p=e.p), "run from -1 to .* from 0 to 2"),
        (lambda e: e.__class__(t=e.t + 2**32, x=e.x, y=e.y, p=e.p), "give it as t_offset_us"),
        (lambda e: e.__class__(t=e.t, x=e.x + np.uint16(9), y=e.y, p=e.p), "outside the 64 x 48"),
        (
            lambda e: e.__class__(t=e.t, x=e.x.astype(np.float32), y=e.y.astype(np.float32), p=e.p),
            "right events are rectified",
        ),
    ],
)
def test_events_that_do_not_fit(tmp_path, pair, change, message):
    with pytest.raises(RecordingError, match=message):
        write_dsec(tmp_path / "x", **(pair | {"right": change(pair["right"])}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disparity": np.zeros((2, 48, 64), np.float32)}, r"shape \(2, 48, 64\). Expected \(3,"),
        ({"disparity_t_us": np.array([0, 5, 5])}, "must increase"),
        (
            {"disparity": np.full((3, 48, 64), -1, np.float32)},
            r"0 .none. or positive.* got -1\.0 to",
        ),
        ({"disparity": np.full((3, 48, 64), 256, np.float32)}, r"got 256\.0 to 256"),
        ({"disparity": np.full((3, 48, 64), np.nan, np.float32)}, "got nan"),
    ],
)
def test_ground_truth_that_does_not_fit(tmp_path, pair, change, message):
    with pytest.raises(RecordingError, match=message):
        write_dsec(tmp_path / "x", **(pair | change))
