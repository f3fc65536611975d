"""The DSEC reader: exact reading, the traps of the layout, errors."""

import pickle
import shutil

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.pairs import OFFSET_US, small_pair

from data import RecordingError
from data.dsec import DsecRecording
from data.dsec import events as dsec_events
from data.dsec.writer import write_dsec
from data.recording import CAMERAS

FAR_US = OFFSET_US + 10**9


def same(events, expected, offset_us=OFFSET_US):
    np.testing.assert_array_equal(events.t, expected.t + offset_us)
    for name in "xyp":
        np.testing.assert_array_equal(getattr(events, name), getattr(expected, name))


def edit(path, **datasets):
    """Replace datasets of an HDF5 file; None removes one. ``__`` stands for ``/``."""
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            key = name.replace("__", "/")
            if key in file:
                del file[key]
            if values is not None:
                file[key] = values


def rechunk(path, size):
    """Store the events of an HDF5 file in chunks of ``size``."""
    with h5py.File(path, "r+") as file:
        for name in "txyp":
            values = file[f"events/{name}"][()]
            del file[f"events/{name}"]
            file.create_dataset(f"events/{name}", data=values, chunks=(size,))


def left_h5(sequence):
    return sequence / "events" / "left" / "events.h5"


# ---- numbers


def test_everything_comes_back_exactly(sequence, pair):
    with DsecRecording(sequence) as recording:
        assert (recording.name, recording.layout) == ("hall_00_a", "dsec")
        assert (recording.width, recording.height) == (64, 48)
        for camera in CAMERAS:
            same(recording.events(camera, OFFSET_US, FAR_US), pair[camera])
        ends = [(int(pair[c].t[0]), int(pair[c].t[-1])) for c in CAMERAS]
        first, last = max(e[0] for e in ends), min(e[1] for e in ends)
        assert recording.span_us == (first + OFFSET_US, last + OFFSET_US)
        assert recording.calibration == pair["calibration"]
        assert recording.disparity_t_us.dtype == np.int64
        np.testing.assert_array_equal(
            recording.disparity_t_us, np.array([0, 100_000, 200_000]) + OFFSET_US
        )
        for k in range(3):
            truth = recording.disparity(k)
            assert truth.dtype == np.float32
            np.testing.assert_allclose(truth, pair["disparity"][k], atol=0.5 / 256)
            np.testing.assert_array_equal(truth == 0, np.rint(pair["disparity"][k] * 256) == 0)
        assert recording.dropped == {"left": 0, "right": 0}


def test_rectify_looks_up_the_forward_map(sequence, pair):
    recording = DsecRecording(sequence)
    for camera in CAMERAS:
        raw = recording.events(camera, OFFSET_US, FAR_US)
        rectify_map = pair["lenses"][camera].rectify_map(pair["calibration"], 64, 48)
        rectified = recording.rectify(camera, raw)
        assert rectified.x.dtype == np.float32
        np.testing.assert_array_equal(rectified.t, raw.t)
        for i in range(0, len(raw), 97):
            expected = rectify_map[raw.y[i], raw.x[i]]
            assert (rectified.x[i], rectified.y[i]) == tuple(expected)
    assert np.abs(rectify_map[..., 0] - np.arange(64)).max() > 1  # the lens does bend


def test_rectifying_twice_is_refused(sequence):
    recording = DsecRecording(sequence)
    once = recording.rectify("left", recording.events("left", OFFSET_US, FAR_US))
    with pytest.raises(ValueError, match="rectified already"):
        recording.rectify("left", once)


# ---- invariants


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("dsec") / "hall_00_b"
    write_dsec(path, **small_pair(1))
    with DsecRecording(path) as recording:
        yield recording


@settings(max_examples=200)
@given(
    st.one_of(st.integers(-5_000, 60_000), st.integers(0, 60).map(lambda ms: 1000 * ms)),
    st.one_of(st.integers(-5_000, 60_000), st.integers(0, 60).map(lambda ms: 1000 * ms)),
)
def test_any_window_equals_a_slice_of_all(opened, a, b):
    expected = small_pair(1)["left"]
    events = opened.events("left", OFFSET_US + a, OFFSET_US + b)
    same(events, expected.window(a, b))


def test_windows_beyond_the_recording_are_empty(opened):
    for window in [(0, 1), (-(10**12), OFFSET_US), (FAR_US, FAR_US + 50_000), (FAR_US, 0)]:
        assert len(opened.events("left", *window)) == 0


def test_a_recording_is_picklable_and_reopens_when_closed(sequence, pair):
    recording = DsecRecording(sequence)
    before = recording.events("left", OFFSET_US, OFFSET_US + 5_000)
    copy = pickle.loads(pickle.dumps(recording))
    same(copy.events("left", OFFSET_US, OFFSET_US + 5_000), before, offset_us=0)
    recording.close()
    same(recording.events("right", OFFSET_US, FAR_US), pair["right"])


# ---- traps of the layout


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(None, 0), (np.array([7], np.int64), 7), (np.uint64(9), 9), (np.int64(-5), -5)],
)
def test_every_form_of_the_time_offset(sequence, pair, offset, expected):
    for camera in CAMERAS:
        edit(sequence / "events" / camera / "events.h5", t_offset=offset)
    shutil.rmtree(sequence / "disparity")
    recording = DsecRecording(sequence)
    same(recording.events("left", -100, 10**9), pair["left"], expected)
    same(recording.events("left", 0, 10**9), pair["left"].window(-expected, 10**9), expected)


def test_times_before_the_offset(sequence, pair):
    t = pair["left"].t - 1_500
    table = np.searchsorted(t, 1000 * np.arange(t[-1] // 1000 + 1))
    table[0] = 0  # the law of the layout, though events before 0 exist
    edit(left_h5(sequence), events__t=t, ms_to_idx=table.astype(np.uint64))
    recording = DsecRecording(sequence)
    same(recording.events("left", 0, FAR_US), pair["left"], OFFSET_US - 1_500)
    for a, b in [(-1_500, -700), (-700, 300), (-3_000, 0), (0, 1_000)]:
        events = recording.events("left", OFFSET_US + a, OFFSET_US + b)
        same(events, pair["left"].window(a + 1_500, b + 1_500), OFFSET_US - 1_500)


def test_a_table_that_stops_early_still_finds_the_rest(sequence, pair):
    with h5py.File(left_h5(sequence)) as file:
        table = file["ms_to_idx"][()]
    edit(left_h5(sequence), ms_to_idx=table[:5])
    recording = DsecRecording(sequence)
    same(recording.events("left", OFFSET_US + 3_000, FAR_US), pair["left"].window(3_000, 10**9))
    same(
        recording.events("left", OFFSET_US + 20_000, OFFSET_US + 25_000),
        pair["left"].window(20_000, 25_000),
    )


def test_other_compression_and_types(sequence, pair):
    left = pair["left"]
    edit(
        left_h5(sequence),
        events__t=left.t,
        events__x=left.x.astype(np.int32),
        events__p=2 * left.p.astype(np.int8) - 1,
    )
    same(DsecRecording(sequence).events("left", OFFSET_US, FAR_US), left)


def test_events_outside_the_sensor_are_dropped_and_counted_once(sequence, pair):
    left = pair["left"]
    x = left.x.astype(np.int32)
    x[100:110] = 64
    x[2_000:2_005] = -1
    y = left.y.copy()
    y[100] = 60_000
    edit(left_h5(sequence), events__x=x, events__y=y)
    recording = DsecRecording(sequence)
    assert recording.dropped == {"left": 0, "right": 0}
    middle = OFFSET_US + int(left.t[1_000])
    first = recording.events("left", OFFSET_US, middle)
    assert recording.dropped["left"] == 10
    assert len(first) == len(left.window(0, middle - OFFSET_US)) - 10
    recording.events("left", OFFSET_US, middle)
    recording.events("left", OFFSET_US, FAR_US)
    recording.events("left", OFFSET_US, OFFSET_US + 1)
    recording.events("left", OFFSET_US + 1, FAR_US)
    assert recording.dropped == {"left": 15, "right": 0}


def test_a_test_sequence_has_no_ground_truth(sequence):
    shutil.rmtree(sequence / "disparity")
    recording = DsecRecording(sequence)
    assert recording.disparity_t_us.shape == (0,)
    assert recording.disparity_t_us.dtype == np.int64
    with pytest.raises(IndexError, match="hall_00_a has 0 ground truths, no 0"):
        recording.disparity(0)


def test_no_calibration_is_no_error(sequence):
    (sequence / "calibration" / "cam_to_cam.yaml").unlink()
    assert DsecRecording(sequence).calibration is None


def test_hidden_twins_of_the_images_are_not_images(sequence):
    (sequence / "disparity" / "event" / "._000000.png").write_bytes(b"x")
    assert DsecRecording(sequence).disparity(0).shape == (48, 64)


# ---- errors


def refuse(sequence, message, use=DsecRecording.close):
    with (
        pytest.raises(RecordingError, match=message) as caught,
        DsecRecording(sequence) as recording,
    ):
        use(recording)
    assert "\n" not in str(caught.value)


def read_left(recording):
    recording.events("left", OFFSET_US, FAR_US)


def test_no_folder(tmp_path):
    refuse(tmp_path / "gone", "There is no folder .*gone. Give the folder of one DSEC sequence")


def test_missing_right_camera(sequence):
    shutil.rmtree(sequence / "events" / "right")
    refuse(sequence, r"There is no .*right/events.h5\. .*stereo needs both cameras")


@pytest.mark.parametrize("name", ["events.h5", "rectify_map.h5"])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_empty_and_truncated_hdf5(sequence, name, share):
    path = sequence / "events" / "left" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refuse(sequence, rf"left/{name} cannot be read as HDF5 .*empty, truncated or damaged.*again")


def test_a_damaged_chunk(sequence):
    with h5py.File(left_h5(sequence)) as file:
        chunk = file["events/x"].id.get_chunk_info(0)
    with left_h5(sequence).open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(bytes(chunk.size))
    refuse(sequence, "left/events.h5 cannot be read as HDF5", read_left)


@pytest.mark.parametrize("name", ["events__t", "events__p", "ms_to_idx"])
def test_missing_datasets(sequence, name):
    edit(left_h5(sequence), **{name: None})
    refuse(sequence, f"lacks {name.replace('__', '/')}. Expected DSEC's datasets events/t")


def test_columns_of_unequal_length(sequence, pair):
    edit(left_h5(sequence), events__p=pair["left"].p[:-1])
    refuse(sequence, r"have shapes .*'events/p': \(2999,\)}.*not written to its end")


def test_a_camera_without_events(sequence):
    empty = {f"events__{name}": np.empty(0, np.uint16) for name in "txyp"}
    edit(left_h5(sequence), **empty)
    refuse(sequence, "left/events.h5 has no events")


def test_times_that_are_no_whole_numbers(sequence, pair):
    edit(left_h5(sequence), events__t=pair["left"].t * 1e-6)
    refuse(sequence, r"holds {'events/t': 'float64'}. Expected integers, times in us")


def test_unsorted_times(sequence, pair):
    t = pair["left"].t.copy()
    t[[1_000, 1_900]] = t[[1_900, 1_000]]
    edit(left_h5(sequence), events__t=t)
    refuse(sequence, "times in .* are not sorted: event 1001 has .*Sort the events", read_left)


@pytest.mark.parametrize("share", [2, 0])
def test_a_table_that_does_not_fit_is_only_a_hint(tmp_path, monkeypatch, share):
    monkeypatch.setattr(dsec_events, "DIRECT_SHARE", share)
    monkeypatch.setattr(dsec_events, "BLOCK", 128)
    pair = small_pair(2)
    path = tmp_path / "hall_00_c"
    write_dsec(path, **pair)
    t = pair["left"].t
    rechunk(left_h5(path), 128)
    right = np.searchsorted(t, 1000 * np.arange(t[-1] // 1000 + 1))
    tables = [np.clip(right + shift, 0, t.size) for shift in (-900, -300, -40, 40, 300, 900)]
    tables += [np.zeros(1, int), np.full(9, t.size), np.zeros(0, int), right[:7], right[::3]]
    for table in tables:
        edit(left_h5(path), ms_to_idx=table)
        with DsecRecording(path) as recording:
            for a, b in [(20_000, 21_000), (0, 50_000), (99_999, 100_001), (250_000, 400_000)]:
                same(
                    recording.events("left", OFFSET_US + a, OFFSET_US + b),
                    pair["left"].window(a, b),
                )


@pytest.mark.parametrize("table", [[5, 4], [0, 3001], [-1, 0], [[0, 1]]])
def test_a_table_that_is_none(sequence, table):
    edit(left_h5(sequence), ms_to_idx=np.array(table))
    refuse(sequence, "ms_to_idx in .* one row of indices from 0 to 3000", read_left)


def test_an_offset_of_two_numbers(sequence):
    edit(left_h5(sequence), t_offset=np.array([1, 2]))
    refuse(sequence, r"t_offset in .* has shape \(2,\) and type int64. Expected one number")


def test_cameras_on_two_clocks(sequence):
    edit(left_h5(sequence), t_offset=np.int64(0))
    refuse(sequence, "share no time: left 0 to .*time offset")


def test_missing_and_wrong_rectify_maps(sequence):
    path = sequence / "events" / "right" / "rectify_map.h5"
    edit(path, rectify_map=np.zeros((40, 64, 2), np.float32))
    refuse(sequence, r"different sizes: .*'right': \(40, 64\)")
    edit(path, rectify_map=np.full((48, 64, 2), np.nan, np.float32))
    refuse(
        sequence,
        "rectify map of the right camera .* NaN",
        lambda recording: recording.rectify("right", recording.events("right", 0, FAR_US)),
    )
    edit(path, rectify_map=np.zeros((48, 64), np.float32))
    refuse(sequence, "holds .*shape .*48, 64.* Expected a dataset 'rectify_map'")
    edit(path, rectify_map=None)
    refuse(sequence, r"holds \[\]. Expected a dataset 'rectify_map'")
    path.unlink()
    (sequence / "calibration" / "cam_to_cam.yaml").unlink()
    refuse(sequence, "There is no .*right/rectify_map.h5, and no .* raw pixels cannot be brought")


def test_broken_calibration(sequence):
    (sequence / "calibration" / "cam_to_cam.yaml").write_text("")
    refuse(sequence, "cam_to_cam.yaml has no usable disparity_to_depth/cams_03")


def test_ground_truth_that_does_not_add_up(sequence):
    folder = sequence / "disparity"
    (folder / "event" / "000002.png").unlink()
    refuse(sequence, "are 2 images in .*event but 3 lines in .*timestamps.txt")
    (folder / "timestamps.txt").write_text("5\n4\n")
    refuse(sequence, "stamps in .* do not increase")
    (folder / "timestamps.txt").write_text("0.5\n")
    refuse(sequence, "timestamps.txt cannot be read .*whole number of microseconds per line")
    (folder / "timestamps.txt").unlink()
    refuse(sequence, r"There is no .*timestamps.txt, so nobody knows")


def test_broken_disparity_images(sequence):
    path = sequence / "disparity" / "event" / "000002.png"
    cv2.imwrite(str(path), np.zeros((48, 64), np.uint8))
    message = "000002.png holds 8-bit grey .* Expected a 16-bit PNG of 48 rows and 64 columns"
    refuse(sequence, message, lambda recording: recording.disparity(1))
    path.write_bytes(b"")
    refuse(sequence, "000002.png holds nothing", lambda recording: recording.disparity(1))
    with pytest.raises(IndexError, match="has 3 ground truths, no 3"):
        DsecRecording(sequence).disparity(3)
    with pytest.raises(IndexError, match="has 3 ground truths, no -1"):
        DsecRecording(sequence).disparity(-1)
