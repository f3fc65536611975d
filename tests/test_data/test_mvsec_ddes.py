"""The layout of DDES: windows over files, overlaps and gaps, quantized truth, errors."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mvsec import NAME, OFFSET_US, all_rows, nearest_pixel, small_scene, write_ddes

from data import RecordingError
from data.formats import open_recording
from data.mvsec import DdesRecording, MvsecRecording, write_mvsec
from data.mvsec import ddes_events as ddes_events_module
from data.mvsec.constants import INDOOR_FLYING
from data.mvsec.ddes import LARGEST_PX
from data.recording import CAMERAS, Recording

STAMPS_US = np.array([0, 50_000, 99_000, 149_001, 210_000, 251_500])
"""An overlap of 1 ms, a gap of 1 us (a rounding), one of 10.999 ms, an overlap of 8.5 ms."""


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Return a small native scene and its conversion, made event by event."""
    root = tmp_path_factory.mktemp("ddes")
    setting = small_scene(5, images=STAMPS_US.size) | {"disparity_t_us": STAMPS_US}
    write_mvsec(root / "native", **setting)
    native = MvsecRecording(root / "native")
    maps = {c: native.rectify_map(c) for c in CAMERAS}
    fb = native.calibration.fb
    place = root / "generated_hall_1"
    write_ddes(place, native.path, native.files.truth, fb, maps)
    return native, place


@pytest.fixture
def folder(converted, tmp_path):
    """Return a copy of the conversion, free to be damaged."""
    import shutil

    return shutil.copytree(converted[1], tmp_path / "generated_hall_1")


def stored_events(native, camera):
    """Return what some file holds: t_us, x, y, p of every source event, once."""
    pixels = native.rectify_map(camera)
    found = []
    for t, x, y, p in all_rows(native.path, camera):
        column, row = (nearest_pixel(float(v)) for v in pixels[y, x])
        on_image = 0 <= column < native.width and 0 <= row < native.height
        if on_image and any(s - 50_000 < t - OFFSET_US < s for s in STAMPS_US):
            found.append((t, column, row, p))
    return found


def as_tuples(events):
    return list(zip(*(getattr(events, k).tolist() for k in "txyp"), strict=True))


def refuse(path, message):
    with pytest.raises(RecordingError, match=message) as caught:
        DdesRecording(path)
    assert "\n" not in str(caught.value)


# ---- numbers


def test_what_the_recording_says(converted):
    native, place = converted
    with open_recording(place) as recording:
        assert isinstance(recording, DdesRecording)
        assert isinstance(recording, Recording)
        assert (recording.name, recording.layout) == ("generated_hall_1", "ddes")
        assert (recording.width, recording.height) == (64, 48)
        np.testing.assert_array_equal(recording.disparity_t_us, STAMPS_US + OFFSET_US)
        assert recording.disparity_t_us.dtype == np.int64
        np.testing.assert_array_equal(
            recording.gaps_us, [[149_001 + OFFSET_US, 160_000 + OFFSET_US]]
        )
        for camera in CAMERAS:
            assert recording.total[camera] > len(stored_events(native, camera)), "overlaps"
            assert recording.rectify_map(camera) is None
        events = recording.events("left", OFFSET_US, OFFSET_US + 10**6)
        assert (events.t.dtype, events.x.dtype) == (np.int64, np.uint16)
        same = recording.rectify("left", events)
        assert same.x.dtype == np.float32
        np.testing.assert_array_equal(same.x, events.x)


@settings(max_examples=100)
@given(st.integers(-60_000, 320_000), st.integers(-60_000, 320_000))
def test_windows_span_files_and_hold_every_event_once(converted, all_stored, a, b):
    _, place = converted
    recording = opened_once(place)
    for camera in CAMERAS:
        found = recording.events(camera, OFFSET_US + a, OFFSET_US + b)
        expected = [e for e in all_stored[camera] if a <= e[0] - OFFSET_US < b]
        assert as_tuples(found) == expected


@pytest.fixture(scope="module")
def all_stored(converted):
    return {camera: stored_events(converted[0], camera) for camera in CAMERAS}


def opened_once(place, known={}):  # noqa: B006  (opened once for all examples)
    return known.setdefault(place, DdesRecording(place))


def test_few_files_are_kept(converted, monkeypatch, all_stored):
    monkeypatch.setattr(ddes_events_module, "KEPT_FILES", 2)
    recording = DdesRecording(converted[1])
    for _ in range(2):
        found = recording.events("left", OFFSET_US, OFFSET_US + 10**6)
        assert as_tuples(found) == all_stored["left"]
        assert len(recording._folders["left"]._kept) == 2


def test_last_events_and_pickling(converted, all_stored):
    recording = pickle.loads(pickle.dumps(DdesRecording(converted[1])))
    t_us = OFFSET_US + 180_000
    before = [e for e in all_stored["right"] if e[0] < t_us]
    before = [e for e in before if e[0] >= recording.span_us[0]]
    for count in (0, 1, 500, 10**6):
        expected = before[max(0, len(before) - count) :]
        assert as_tuples(recording.last_events("right", t_us, count)) == expected


def test_truth_is_quantized_to_a_seventh_of_a_pixel(converted):
    native, place = converted
    with DdesRecording(place) as recording:
        for k in range(STAMPS_US.size):
            exact, stored = native.disparity(k), recording.disparity(k)
            assert stored.dtype == np.float32
            known = exact > 0
            assert (stored[~known] == 0).all()
            np.testing.assert_allclose(stored[known], exact[known], atol=0.5 / 7 + 1e-5)
        for index in (-1, STAMPS_US.size):
            with pytest.raises(IndexError, match="has 6 ground truths"):
                recording.disparity(index)


def test_what_is_too_large_for_the_image_is_unknown(folder):
    image = np.full((48, 64), 254, np.uint8)
    image[0, 0], image[1, 1] = 255, 0
    cv2.imwrite(str(folder / "disparity_image" / "000002.png"), image)
    truth = DdesRecording(folder).disparity(2)
    assert (truth[0, 0], truth[1, 1]) == (0, 0)
    assert truth[2, 2] == np.float32(254 / 7) <= LARGEST_PX < 255 / 7


# ---- variants


def test_the_documented_folder_names(folder):
    (folder / "event0").rename(folder / "left_event")
    (folder / "event1").rename(folder / "right_event")
    assert len(open_recording(folder).events("left", 0, OFFSET_US * 2)) > 1_000


def test_without_images_there_is_no_ground_truth(folder):
    import shutil

    shutil.rmtree(folder / "disparity_image")
    recording = DdesRecording(folder)
    assert recording.disparity_t_us.size == 0
    assert (recording.width, recording.height) == (346, 260)
    assert len(recording.events("left", 0, OFFSET_US * 2)) > 1_000


def test_calibration(converted, folder, tmp_path):
    import shutil

    native, _ = converted
    assert DdesRecording(folder).calibration is None
    shutil.copy(native.files.chain, tmp_path)
    assert DdesRecording(folder).calibration == native.calibration
    folder = folder.rename(tmp_path / "indoor_flying_2")
    assert DdesRecording(folder).calibration == INDOOR_FLYING


def test_rows_outside_the_image_are_dropped_and_counted_once(folder):
    path = folder / "event0" / "000001.npy"
    rows = np.load(path)
    rows[3, 1], rows[5, 2], rows[7, 0], rows[9, 3] = 64, -1, np.nan, np.inf
    np.save(path, rows)
    recording = DdesRecording(folder)
    for _ in range(2):
        found = recording.events("left", OFFSET_US, OFFSET_US + 50_000)
        assert len(found) == len(rows) - 4
        assert recording.dropped == {"left": 4, "right": 0}


def test_older_arrays_with_columns_first(folder):
    path = folder / "event0" / "000002.npy"
    before = DdesRecording(folder).events("left", OFFSET_US, OFFSET_US * 2)
    np.save(path, np.asfortranarray(np.load(path)))
    after = DdesRecording(folder).events("left", OFFSET_US, OFFSET_US * 2)
    assert as_tuples(after) == as_tuples(before)


# ---- errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no times"),
        ("# timestamp\n", "holds no times"),
        ("a\n", "cannot be read"),
        ("nan\n", "NaN or no times"),
        ("1e300\n", "NaN or no times"),
        ("2\n1\n", "do not increase"),
        ("1504645177.1\n1504645177.2\n", "files are of different sequences or were renamed"),
        ("\n".join(map(str, range(9))), "lacks 3 of 9 images, the first of which is 000006.png"),
    ],
)
def test_stamps_that_are_none(folder, text, message):
    (folder / "timestamps.txt").write_text(text)
    with pytest.raises(RecordingError, match=message):
        DdesRecording(folder).events("left", 0, OFFSET_US * 2)


def test_missing_files(folder, tmp_path):
    refuse(tmp_path, "There is no .*timestamps.txt. Give the folder of one sequence")
    (folder / "event1" / "000003.npy").unlink()
    refuse(folder, "event1 lacks 1 of 6 files, the first of which is 000003.npy")
    (folder / "event1").rename(folder / "other")
    refuse(folder, "no events of the right camera: there is neither event1 nor right_event")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[:, :3], r"Expected N x 4 float64"),
        (lambda r: r.astype(np.float32), "holds float32"),
        (lambda r: r.ravel(), "Expected N x 4"),
        (lambda r: r + np.array([0, 0.5, 0, 0]), "no events. Expected the time in seconds"),
        (lambda r: r * [1, 1, 1, 3], "no events. Expected the time in seconds"),
        (lambda r: r + np.array([1, 0, 0, 0]), "Expected events of the 50 ms before"),
        (lambda r: r * [1e6, 1, 1, 1], "Expected events of the 50 ms before"),
        (lambda r: r[::-1], "are not sorted"),
        (lambda r: np.array([{"a": 1}], dtype=object), "Expected N x 4|cannot be read"),
    ],
)
def test_tables_that_are_none(folder, change, message):
    path = folder / "event0" / "000003.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(RecordingError, match=message):
        DdesRecording(folder).events("left", 0, OFFSET_US * 2)


def test_a_table_that_claims_more_than_it_holds(folder):
    path = folder / "event0" / "000003.npy"
    rows = np.load(path)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 4)}
        )
        file.write(rows.tobytes())
    refuse(folder, "claims 1000000000000000 events.*not written to its end")


def test_no_events_at_all(folder):
    for path in (folder / "event0").glob("*.npy"):
        np.save(path, np.array([]))
    refuse(folder, "event0 has no events. Stereo needs both cameras")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((48, 64), np.uint16), "holds uint16 numbers"),
        (np.zeros((48, 64, 3), np.uint8), "holds an 8-bit color PNG"),
        (np.zeros((50, 64), np.uint8), "50 rows and 64 columns. Expected"),
    ],
)
def test_images_that_are_none(folder, image, message):
    cv2.imwrite(str(folder / "disparity_image" / "000002.png"), image)
    recording = DdesRecording(folder)
    with pytest.raises(RecordingError, match=message):
        recording.disparity(2)
    (folder / "disparity_image" / "000002.png").write_bytes(b"no png")
    with pytest.raises(
        RecordingError, match="holds no PNG image. Expected an 8-bit grey PNG, disparity times 7"
    ):
        recording.disparity(2)


def test_the_source_scene_has_its_name(converted):
    assert converted[0].name == NAME
