"""The MVSEC reader: exact reading, windows, calibration, what is missing, errors."""

import pickle
import shutil

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mvsec import NAME, OFFSET_US, all_rows, fisheye_pixel, small_scene

from data import Calibration, RecordingError
from data.camera import FisheyeLens
from data.formats import open_recording
from data.mvsec import MvsecRecording, write_mvsec
from data.mvsec import events as events_module
from data.mvsec.calibration import read_camchain, read_maps
from data.mvsec.constants import FOCAL_TIMES_BASELINE, INDOOR_FLYING
from data.mvsec.depth import depth_to_disparity
from data.mvsec.events import Intervals
from data.recording import CAMERAS, Recording

FAR_US = OFFSET_US + 10**9


@pytest.fixture(scope="module")
def scene():
    return small_scene()


@pytest.fixture
def folder(tmp_path, scene):
    """Write the small scene and return its folder, free to be damaged."""
    path = tmp_path / "hall"
    write_mvsec(path, **scene)
    return path


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("mvsec") / "hall"
    write_mvsec(path, **small_scene(1))
    with MvsecRecording(path) as recording:
        yield recording


@pytest.fixture
def small_blocks(monkeypatch):
    """Make the index and the pieces so small that a small scene has many."""
    monkeypatch.setattr(events_module, "BLOCK", 64)
    monkeypatch.setattr(events_module, "PIECE", 100)


def data_of(folder):
    return folder / f"{NAME}_data.hdf5"


def edit(path, **datasets):
    """Replace datasets of an HDF5 file; None removes one. ``__`` stands for ``/``."""
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            key = name.replace("__", "/")
            if key in file:
                del file[key]
            if values is not None:
                file[key] = values


def table_of(folder, camera="left"):
    with h5py.File(data_of(folder)) as file:
        return file[f"davis/{camera}/events"][()]


def same(events, expected, offset_us=OFFSET_US):
    np.testing.assert_array_equal(events.t, expected.t + offset_us)
    for name in "xyp":
        np.testing.assert_array_equal(getattr(events, name), getattr(expected, name))


def refuse(path, message):
    with pytest.raises(RecordingError, match=message) as caught:
        MvsecRecording(path)
    assert "\n" not in str(caught.value)


# ---- numbers


def test_everything_comes_back_exactly(folder, scene):
    with MvsecRecording(folder) as recording:
        assert isinstance(recording, Recording)
        assert (recording.name, recording.layout) == (NAME, "mvsec")
        assert (recording.width, recording.height) == (64, 48)
        for camera in CAMERAS:
            events = recording.events(camera, OFFSET_US, FAR_US)
            same(events, scene[camera])
            assert (events.t.dtype, events.x.dtype) == (np.int64, np.uint16)
            assert recording.total[camera] == len(events)
        ends = [(int(scene[c].t[0]), int(scene[c].t[-1])) for c in CAMERAS]
        first, last = max(e[0] for e in ends), min(e[1] for e in ends)
        assert recording.span_us == (first + OFFSET_US, last + OFFSET_US)
        assert recording.dropped == {"left": 0, "right": 0}
        for name in ("focal_px", "cx_px", "cy_px", "baseline_m"):
            expected = getattr(scene["calibration"], name)
            assert getattr(recording.calibration, name) == pytest.approx(expected, rel=1e-12)
        assert recording.disparity_t_us.dtype == np.int64
        np.testing.assert_array_equal(recording.disparity_t_us, scene["disparity_t_us"] + OFFSET_US)
        for k in range(4):
            truth = recording.disparity(k)
            assert truth.dtype == np.float32
            # One rounding to a float32 depth, one back.
            np.testing.assert_allclose(truth, scene["disparity"][k], rtol=2.0**-23)
            assert np.isnan(recording.depth_m(k)[scene["disparity"][k] == 0]).all()
        for index in (-1, 4):
            with pytest.raises(IndexError, match="has 4 ground truths"):
                recording.disparity(index)


@settings(max_examples=300)
@given(st.lists(st.integers(0, 2**32 * 10**6), min_size=1, max_size=50))
def test_whole_microseconds_survive_seconds_in_float64(times):
    stored = np.array(times, np.int64) / 1e6
    np.testing.assert_array_equal(np.rint(stored * 1e6).astype(np.int64), times)


def test_depth_becomes_disparity_by_the_law_and_nothing_else():
    depth = np.array([1.0, 2.0, np.nan, 0.0, -1.0, np.inf, -np.inf, 1e-300, 19.941772])
    expected = [19.941772, 9.970886, 0, 0, 0, 0, 0, 0, 1.0]
    np.testing.assert_array_equal(
        depth_to_disparity(depth, 19.941772), np.array(expected, np.float32)
    )


# ---- windows


@settings(max_examples=150)
@given(
    st.one_of(st.integers(-5_000, 320_000), st.integers(0, 45).map(lambda k: 7_000 * k)),
    st.one_of(st.integers(-5_000, 320_000), st.just(100_000), st.just(100_001)),
)
def test_any_window_equals_a_slice_of_all(opened, a, b):
    same(opened.events("left", OFFSET_US + a, OFFSET_US + b), small_scene(1)["left"].window(a, b))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 400),
    last_us=st.sampled_from([1, 30, 5_000, 10**6]),
    chunks=st.sampled_from([None, 7, 64, 1_000]),
    windows=st.lists(st.tuples(st.floats(-0.1, 1.1), st.floats(-0.1, 1.1)), min_size=1, max_size=4),
)
def test_windows_equal_a_time_mask_on_random_recordings(
    tmp_path_factory, monkeypatch_blocks, seed, count, last_us, chunks, windows
):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last_us + 1, count)) + OFFSET_US
    table = np.stack(
        [rng.integers(0, 346, count), rng.integers(0, 260, count), t / 1e6,
         rng.choice([-1, 1], count)], axis=1,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("random") / "walk1_data.hdf5"
    with h5py.File(path, "w") as file:
        rows = None if chunks is None else (min(chunks, count), 4)
        for camera in CAMERAS:
            file.create_dataset(f"davis/{camera}/events", data=table, chunks=rows)
    rows = all_rows(path, "left")
    with MvsecRecording(path) as recording:
        for a, b in windows:
            t0, t1 = (OFFSET_US + round(share * last_us) for share in (a, b))
            found = recording.events("left", t0, t1)
            inside = [row for row in rows if t0 <= row[0] < t1]
            assert list(zip(found.t, found.x, found.y, found.p, strict=True)) == inside
            for number in (0, 1, 5, 100):
                last = recording.last_events("left", t1, number)
                before = [row for row in rows if row[0] < t1]
                expected = before[len(before) - number :] if number < len(before) else before
                assert list(zip(last.t, last.x, last.y, last.p, strict=True)) == expected


@pytest.fixture(scope="module")
def monkeypatch_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events_module, "BLOCK", 16)
        patch.setattr(events_module, "PIECE", 50)
        yield


def test_the_last_events_equal_the_slow_way(opened):
    for t_us in (opened.span_us[0] - 5, opened.span_us[0] + 40_000, opened.span_us[1], FAR_US):
        for count in (0, 1, 17, 10**6):
            fast = opened.last_events("right", t_us, count)
            same(fast, Recording.last_events(opened, "right", t_us, count), offset_us=0)


def test_memory_does_not_grow_with_the_window(tmp_path, monkeypatch):
    """No read asks for more rows than a piece, however long the window."""
    write_mvsec(tmp_path / "hall", **small_scene(count=40_000))
    sizes = []
    original = events_module.EventTable._rows

    def spy(self, start, stop):
        sizes.append(stop - start)
        return original(self, start, stop)

    monkeypatch.setattr(events_module, "PIECE", 5_000)
    monkeypatch.setattr(events_module.EventTable, "_rows", spy)
    with MvsecRecording(tmp_path / "hall") as recording:
        assert len(recording.events("left", OFFSET_US, FAR_US)) == 40_000
    assert max(sizes) <= 16_384  # an HDF5 chunk, which is read whole anyway
    # A window in the middle reads its own rows and the block at either end, not the file.
    with MvsecRecording(tmp_path / "hall") as recording:
        sizes.clear()
        recording.events("left", OFFSET_US + 150_000, OFFSET_US + 151_000)
        assert sum(sizes) < 40_000


def test_a_recording_is_picklable_and_survives_a_fork(folder, scene):
    recording = MvsecRecording(folder)
    before = recording.events("left", OFFSET_US, OFFSET_US + 5_000)
    copy = pickle.loads(pickle.dumps(recording))
    same(copy.events("left", OFFSET_US, OFFSET_US + 5_000), before, offset_us=0)
    np.testing.assert_array_equal(copy.disparity(1), recording.disparity(1))
    file = recording._data
    file._process += 1  # as a child sees the file that its parent opened
    parents = file._file
    same(recording.events("left", OFFSET_US, OFFSET_US + 5_000), before, offset_us=0)
    assert file._file is not parents
    recording.close()
    same(recording.events("right", OFFSET_US, FAR_US), scene["right"])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same(opened, method):
    import multiprocessing

    window = ("left", OFFSET_US + 10_000, OFFSET_US + 60_000)
    expected = opened.events(*window)
    with multiprocessing.get_context(method).Pool(1) as pool:
        same(pool.apply(MvsecRecording.events, (opened, *window)), expected, offset_us=0)
    same(opened.events(*window), expected, offset_us=0)


# ---- rows that cannot be used


def test_rows_outside_the_sensor_are_dropped_and_counted_once(folder, scene, small_blocks):
    table = table_of(folder)
    bad = np.arange(5, 3_000, 100)
    table[bad[0::5], 0] = 64
    table[bad[1::5], 1] = -3
    table[bad[2::5], 2] = np.nan
    table[bad[3::5], 3] = np.nan
    table[bad[4::5], 0] = np.inf
    edit(data_of(folder), davis__left__events=table)
    keep = np.ones(3_000, bool)
    keep[bad] = False
    expected = scene["left"].take(keep)
    with MvsecRecording(folder) as recording:
        assert recording.dropped["left"] == 0
        early = recording.last_events("left", OFFSET_US + 200_000, 300)
        same(early, expected.window(0, 200_000).take(slice(-300, None)))
        assert 0 < recording.dropped["left"] < bad.size
        for _ in range(2):
            same(recording.events("left", OFFSET_US, FAR_US), expected)
            assert recording.dropped == {"left": bad.size, "right": 0}
        assert recording.total["left"] == 3_000


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12))
def test_intervals_count_every_number_once(ranges):
    intervals, known = Intervals(), set()
    for start, stop in ranges:
        fresh = {k for a, b in intervals.add(start, stop) for k in range(a, b)}
        assert fresh == set(range(start, stop)) - known
        known |= fresh
    assert len(intervals._starts) == len(intervals._stops) <= len(ranges)


def test_the_first_and_the_last_rows_may_lack_a_time(folder, scene):
    table = table_of(folder)
    table[[0, 1, -1], 2] = np.nan
    edit(data_of(folder), davis__left__events=table)
    with MvsecRecording(folder) as recording:
        same(recording.events("left", OFFSET_US, FAR_US), scene["left"].take(slice(2, -1)))


def test_unsorted_times_are_refused_where_they_are_read(folder):
    table = table_of(folder)
    table[2_000, 2] -= 0.05
    edit(data_of(folder), davis__left__events=table)
    recording = MvsecRecording(folder)
    with pytest.raises(RecordingError, match="are not sorted near row 2000"):
        recording.events("left", OFFSET_US, FAR_US)


def test_disorder_below_a_microsecond_is_none(folder, scene):
    """Times are compared after rounding: what no clock resolved is a tie, kept in file order."""
    table = table_of(folder)
    ties = np.flatnonzero(np.diff(scene["left"].t) == 0)
    assert ties.size > 100
    table[ties, 2] = np.nextafter(table[ties, 2], np.inf)
    assert (np.diff(table[:, 2]) < 0).any()
    edit(data_of(folder), davis__left__events=table)
    with MvsecRecording(folder) as recording:
        same(recording.events("left", OFFSET_US, FAR_US), scene["left"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.astype(np.float32), "type float32. Expected N x 4 float64"),
        (lambda t: t.T, r"shape \(4, 3000\)"),
        (lambda t: t[:, :3], "Expected N x 4"),
        (lambda t: t[:0], "has no events. Stereo needs both cameras"),
        (lambda t: t.astype(np.int64), "type int64"),
        (lambda t: t * [1, 1, 1e6, 1], "are they micro- or nanoseconds"),
        (lambda t: t * [1, 1, np.nan, 1], "The times of .* are NaN"),
    ],
)
def test_tables_that_are_none(folder, change, message):
    edit(data_of(folder), davis__left__events=change(table_of(folder)))
    refuse(folder, message)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t + np.array([0.5, 0, 0, 0]),
        lambda t: t * [1, 1, 1, 7],
        lambda t: t[:, [0, 3, 2, 1]],
    ],
)
def test_numbers_that_are_no_events(folder, change):
    edit(data_of(folder), davis__left__events=change(table_of(folder)))
    recording = MvsecRecording(folder)
    with pytest.raises(RecordingError, match="are no events. Expected whole pixels"):
        recording.events("left", 0, FAR_US)


def test_a_table_that_was_never_written(folder):
    with h5py.File(data_of(folder), "r+") as file:
        del file["davis/left/events"]
        file.create_dataset("davis/left/events", (10**12, 4), "f8", chunks=(1 << 14, 4))
    refuse(folder, "claims .1000000000000, 4. numbers, but parts of it were never written")
    with h5py.File(data_of(folder), "r+") as file:
        del file["davis/left/events"]
        file.create_dataset("davis/left/events", (10**9, 4), "f8", chunks=(1 << 24, 4))
    refuse(folder, "chunks of 536,870,912 bytes.*h5repack")


# ---- finding the files


def test_every_way_to_name_a_sequence(folder, scene, tmp_path):
    for path in (folder, data_of(folder), folder / NAME):
        with open_recording(path) as recording:
            assert isinstance(recording, MvsecRecording)
            assert recording.name == NAME
            assert recording.calibration is not None
            assert recording.disparity_t_us.size == 4
    calibration = folder / f"{NAME[:-1]}_calib"
    for place in (folder, folder / "calibration", tmp_path, tmp_path / f"{NAME[:-1]}_calib"):
        place.mkdir(exist_ok=True)
        for file in calibration.iterdir():
            shutil.copy(file, place)
        shutil.rmtree(calibration) if calibration.exists() else None
        calibration = place / "kept"
        calibration.mkdir()
        for file in place.glob("*_map.txt"):
            shutil.copy(file, calibration)
        shutil.copy(next(place.glob("*.yaml")), calibration)
        with MvsecRecording(folder) as recording:
            assert recording.calibration is not None
            assert recording.rectify_map("left") is not None
        for file in place.glob("*.*"):
            if file.suffix in (".txt", ".yaml"):
                file.unlink()


def test_several_sequences_in_a_folder(folder):
    shutil.copy(data_of(folder), folder / "generated_hall2_data.hdf5")
    refuse(folder, "holds 2 sequences. Choose one of them, for example .*hall/generated_hall1:")
    with MvsecRecording(folder / "generated_hall2") as recording:
        assert recording.disparity_t_us.size == 0


@pytest.mark.parametrize("place", ["hall", "indoor/hall"])
def test_the_only_sequence_of_a_data_set(folder, tmp_path, place):
    root = tmp_path / "root"
    (root / place).parent.mkdir(parents=True)
    folder.rename(root / place)
    assert open_recording(root).name == NAME
    shutil.copytree(root / place, (root / place).with_name("other"))
    with pytest.raises(RecordingError, match="holds 2 sequences. Choose one of them"):
        open_recording(root)


def test_paths_that_are_no_sequence(folder, tmp_path):
    refuse(folder / f"{NAME}_gt.hdf5", "is the ground truth of a sequence, without events. Give")
    refuse(tmp_path / "gone", "There is neither .*gone nor .*gone_data.hdf5")
    (tmp_path / "bare").mkdir()
    refuse(tmp_path / "bare", "There is no .*_data.hdf5 in .*bare")


# ---- what is missing, and what contradicts


def test_what_can_be_done_without(folder, scene):
    calibration = folder / f"{NAME[:-1]}_calib"
    with MvsecRecording(folder) as recording:
        published = recording.rectify_map("left")
    for file in calibration.glob("*.txt"):
        file.unlink()
    with MvsecRecording(folder) as recording:  # the maps follow from the yaml
        np.testing.assert_allclose(recording.rectify_map("left"), published, atol=5.1e-5)
    (folder / f"{NAME}_gt.hdf5").unlink()
    shutil.rmtree(calibration)
    edit(data_of(folder), davis__right__image_raw=None)
    with MvsecRecording(folder) as recording:
        assert recording.calibration is None
        assert recording.disparity_t_us.size == 0
        assert (recording.width, recording.height) == (346, 260)
        raw = recording.events("left", OFFSET_US, FAR_US)
        assert recording.rectify_map("left") is None
        rectified = recording.rectify("left", raw)
        np.testing.assert_array_equal(rectified.x, raw.x.astype(np.float32))
        with pytest.raises(IndexError, match="has 0 ground truths"):
            recording.disparity(0)


def test_depth_without_the_constant_that_makes_it_disparity(folder):
    shutil.rmtree(folder / f"{NAME[:-1]}_calib")
    refuse(folder, "nobody knows f B of the scene 'generated_hall'.*camchain-imucam-generated_hall")


def renamed(folder, scene_name, number=1):
    """Give the files the names of another scene."""
    for path in sorted(folder.rglob("*"), reverse=True):
        new = path.name.replace("generated_hall1", f"{scene_name}{number}")
        path.rename(path.with_name(new.replace("generated_hall", scene_name)))
    return folder


@pytest.mark.parametrize("scene_name", sorted(FOCAL_TIMES_BASELINE))
def test_published_constants_need_no_yaml(tmp_path, scene_name):
    write_mvsec(tmp_path / "a", **small_scene(images=1))
    folder = renamed(tmp_path / "a", scene_name)
    refuse(folder, f"says f B = 3.600000 px m, but {scene_name} has")
    shutil.rmtree(folder / f"{scene_name}_calib")
    with MvsecRecording(folder) as recording:
        depth = recording.depth_m(0)
        known = np.isfinite(depth)
        expected = FOCAL_TIMES_BASELINE[scene_name] / depth[known].astype(np.float64)
        np.testing.assert_allclose(recording.disparity(0)[known], expected, rtol=2.0**-23)


def test_rounding_does_not_count_as_a_contradiction(tmp_path):
    setting = small_scene(images=1)
    exact = 19.941771812941038  # P_right[0][3] of the real indoor_flying
    setting["calibration"] = Calibration(
        focal_px=36.0, cx_px=32.25, cy_px=23.5, baseline_m=exact / 36.0
    )
    write_mvsec(tmp_path / "a", **setting)
    with MvsecRecording(renamed(tmp_path / "a", "indoor_flying")) as recording:
        assert recording.calibration.fb == pytest.approx(19.941772, rel=1e-15)


def test_some_maps_only(folder):
    next(folder.rglob("*_right_y_map.txt")).unlink()
    refuse(folder, "lacks generated_hall_right_y_map.txt. Expected all four")


def test_files_of_different_sensors(folder, scene):
    edit(folder / f"{NAME}_gt.hdf5", davis__left__depth_image_rect=np.zeros((4, 60, 80), "f4"))
    refuse(folder, "disagree on the rows and columns of the sensor")


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"davis__left__depth_image_rect": None}, "holds nothing as davis/left/depth_image_rect"),
        ({"davis__left__depth_image_rect_ts": None}, "holds nothing as .*_ts"),
        ({"davis__left__depth_image_rect_ts": np.arange(3.0)}, "one float64 time"),
        ({"davis__left__depth_image_rect_ts": np.arange(4.0)[::-1]}, "decreases"),
        ({"davis__left__depth_image_rect_ts": np.full(4, np.nan)}, "holds NaN"),
        ({"davis__left__depth_image_rect": np.zeros((4, 48, 64), "i4")}, "int32"),
    ],
)
def test_ground_truth_that_is_none(folder, datasets, message):
    edit(folder / f"{NAME}_gt.hdf5", **datasets)
    refuse(folder, message)


@pytest.mark.parametrize(
    ("camera", "message"),
    [("left", "no events of the left camera"), ("right", "no events of the right camera")],
)
def test_one_camera_is_not_enough(folder, camera, message):
    edit(data_of(folder), **{f"davis__{camera}__events": None})
    refuse(folder, f"{message}: it holds davis. .*stereo needs both cameras")


# ---- calibration


def test_the_rectified_pixels_come_from_the_maps(folder, scene):
    with MvsecRecording(folder) as recording:
        for camera in CAMERAS:
            raw = recording.events(camera, OFFSET_US, FAR_US)
            moved = recording.rectify(camera, raw)
            assert moved.x.dtype == np.float32
            lens = scene["lenses"][camera]
            for i in range(0, len(raw), 97):
                expected = fisheye_pixel(lens, scene["calibration"], int(raw.x[i]), int(raw.y[i]))
                np.testing.assert_allclose((moved.x[i], moved.y[i]), expected, atol=2e-4)
            assert np.abs(moved.x - raw.x).max() > 1
            with pytest.raises(ValueError, match="rectified already"):
                recording.rectify(camera, moved)


def test_a_fisheye_without_distortion_is_equidistant():
    """On the axis nothing moves; the tangent of the angle is what a pinhole shows."""
    calibration = Calibration(focal_px=100.0, cx_px=50.0, cy_px=40.0, baseline_m=0.1)
    lens = FisheyeLens(
        camera_matrix=(100.0, 100.0, 50.0, 40.0), distortion=(0.0,) * 4, rotation=np.eye(3)
    )
    pixels = lens.rectify_map(calibration, 101, 81)
    assert pixels.shape == (81, 101, 2)
    np.testing.assert_array_equal(pixels[40, 50], (50.0, 40.0))
    np.testing.assert_allclose(pixels[40, 100], (50 + 100 * np.tan(0.5), 40.0), rtol=1e-6)


def test_lens_kinds_say_their_model():
    assert FisheyeLens.model == "equidistant"
    assert FisheyeLens.__mro__[1].model == "radtan"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["cam0"].update(distortion_model="radtan"), "distortion model 'radtan'"),
        (lambda c: c.pop("cam1"), "KeyError: 'cam1'"),
        (lambda c: c["cam1"].update(resolution=[64, 50]), "resolutions"),
        (lambda c: [c[k].update(resolution=[10**6, 10**6]) for k in c], "resolutions"),
        (lambda c: c["cam0"].update(intrinsics=[1, 2, 3]), r"shape \(4,\)"),
        (lambda c: c["cam0"].update(intrinsics=[1, 2, 3, float("nan")]), "finite"),
        (lambda c: c["cam1"]["projection_matrix"][0].__setitem__(0, 3.0), "one rectified pair"),
        (lambda c: c["cam1"]["projection_matrix"][0].__setitem__(3, 5.0), "positive focal length"),
    ],
)
def test_calibration_that_is_none(folder, change, reason):
    path = next(folder.rglob("*.yaml"))
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))
    refuse(folder, f"is no usable calibration .*{reason}.*remove it to work without")


@pytest.mark.parametrize("text", ["", "1 2\n3\n", "a b", "nan " * 64, "1 2\n3 4\n"])
def test_maps_that_are_none(folder, text):
    next(folder.rglob("*_left_x_map.txt")).write_text(text)
    with pytest.raises(RecordingError, match=r"map"):
        MvsecRecording(folder).rectify_map("left")


# ---- real data


def test_the_published_maps_follow_from_the_published_yaml(real_data):
    folder = real_data / "calibration" / "mvsec_indoor_flying"
    chain = read_camchain(folder / "camchain-imucam-indoor_flying.yaml")
    assert (chain.width, chain.height) == (346, 260)
    paths = {
        f"{c}_{axis}": folder / f"indoor_flying_{c}_{axis}_map.txt"
        for c in CAMERAS
        for axis in "xy"
    }
    for camera in CAMERAS:
        made = chain.lenses[camera].rectify_map(chain.calibration, 346, 260)
        assert np.abs(made.astype(np.float64) - read_maps(paths, camera)).max() < 1e-4
    assert chain.calibration.fb == pytest.approx(FOCAL_TIMES_BASELINE["indoor_flying"], abs=5e-7)
    for name in ("focal_px", "cx_px", "cy_px"):
        assert getattr(chain.calibration, name) == getattr(INDOOR_FLYING, name)


def test_the_real_single_camera_files_are_refused_with_one_sentence(real_data):
    files = sorted((real_data / "mvsec_layout_tiny").glob("*.hdf5"))
    assert len(files) == 10
    for path in files:
        for open_it in (MvsecRecording, open_recording):
            with pytest.raises(RecordingError) as caught:
                open_it(path)
            assert str(caught.value) == (
                f"{path} has no events of the right camera: it holds events, image1, image2, start,"
                " stop. Expected MVSEC's datasets davis/left/events and davis/right/events; stereo "
                "needs both cameras."
            )
