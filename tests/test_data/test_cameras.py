"""Files of one camera, in every format, and two of them as a recording."""

import h5py
import numpy as np
import pytest
from reference.cameras import COLUMNS, STATED, WRITERS, some_events, write_e2calib, write_m3ed

from data import RecordingError
from data.cameras import PairRecording
from data.cameras.formats import CAMERA_FORMATS, camera_format, read_camera
from data.cameras.pair import pair_name
from data.formats import open_recording
from data.opening import open_cameras

EVENTS = some_events()


@pytest.fixture
def one(tmp_path):
    """Return a function that writes a camera's file and returns its path."""

    def write(kind, events=EVENTS, name="one.bin"):
        path = tmp_path / name
        WRITERS[kind](path, events)
        return path

    return write


def refuse(call, message):
    with pytest.raises(RecordingError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---- one camera


@pytest.mark.parametrize("camera", ["left", "right"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_is_read_exactly(tmp_path, kind, camera):
    path = tmp_path / "any.name"  # what a file begins with decides, not its name
    offset = WRITERS[kind](path, EVENTS) or 0
    found = read_camera(path, camera)
    np.testing.assert_array_equal(found.t, EVENTS["t"] + offset)
    for name in "xy":
        np.testing.assert_array_equal(getattr(found, name), EVENTS[name])
        assert getattr(found, name).dtype == np.uint16
    np.testing.assert_array_equal(found.p, EVENTS["p"] > 0)
    assert found.size == ((64, 48) if kind in STATED else None)
    assert found.skipped == {}


def test_no_format_is_untested():
    named = {entry.name for entry in CAMERA_FORMATS}
    assert named == {"npz", "hdf5", "evt", "aedat4", "aedat"}


def test_signed_polarity_and_whole_floats(one):
    signed = EVENTS | {"p": 2 * EVENTS["p"] - 1, "t": EVENTS["t"].astype(np.float64)}
    found = read_camera(one("npz columns", signed), "left")
    np.testing.assert_array_equal(found.p, EVENTS["p"] > 0)
    np.testing.assert_array_equal(found.t, EVENTS["t"])


def test_columns_longer_than_one_block(one, monkeypatch):
    monkeypatch.setattr("data.cameras.columns.BLOCK", 7)
    found = read_camera(one("e2calib"), "left")
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), EVENTS[name])


def test_far_columns_stay_outside_every_sensor(one):
    far = EVENTS | {"x": EVENTS["x"] + 65_536}
    found = read_camera(one("npz columns", far), "left")
    assert set(found.x.tolist()) == {65_535}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": EVENTS["t"] / 1e6}, "'t' of the left camera in .* not whole"),
        ({"x": EVENTS["x"] - 64}, "'x' of the left camera .* is negative"),
        ({"p": EVENTS["p"] + 3}, r"polarity of the left camera .* takes the values \[3, 4\]"),
        ({"t": EVENTS["t"] + 2**62}, "beyond 2\\*\\*62"),
        ({"t": np.full(300, np.nan)}, "NaN or infinite in 300 of 300"),
        ({"y": EVENTS["y"][:9]}, "shapes .*'y': \\(9,\\)"),
    ],
)
def test_columns_that_are_no_events(one, change, message):
    refuse(lambda: read_camera(one("npz columns", EVENTS | change), "left"), message)


def test_files_of_no_known_kind(tmp_path):
    refuse(lambda: read_camera(tmp_path / "gone.raw", "left"), "no file .*gone.raw for the left")
    refuse(lambda: read_camera(tmp_path, "left"), "is a folder. Two cameras are given as two files")
    (tmp_path / "empty.raw").touch()
    refuse(lambda: read_camera(tmp_path / "empty.raw", "left"), "is empty")
    (tmp_path / "text").write_text("hello")
    refuse(lambda: read_camera(tmp_path / "text", "left"), "unknown kind .*b'hello'.*EVT2 or EVT3")
    (tmp_path / "old.aedat").write_bytes(b"#!AER-DAT2.0\r\n# more")
    refuse(lambda: read_camera(tmp_path / "old.aedat", "left"), "older than version 4")
    assert camera_format(tmp_path / "old.aedat") == "aedat"
    assert camera_format(tmp_path / "gone") is None


def test_hdf5_without_events_says_what_it_holds(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    refuse(lambda: read_camera(path, "left"), "holds images. Expected datasets t, x, y, p")
    with h5py.File(path, "w") as file:
        file["davis/left/events"] = np.zeros((3, 4))
    refuse(lambda: read_camera(path, "left"), "laid out as MVSEC")
    write_e2calib(path, EVENTS)
    with h5py.File(path, "a") as file:
        file["t_offset"] = np.array([1.5])
    refuse(lambda: read_camera(path, "left"), "t_offset in .* is float64")


def test_size_in_attributes(tmp_path):
    path = tmp_path / "x.h5"
    write_e2calib(path, EVENTS)
    with h5py.File(path, "a") as file:
        file.attrs["width"], file.attrs["height"] = 320, 240
    assert read_camera(path, "left").size == (320, 240)
    with h5py.File(path, "a") as file:
        file.attrs["width"] = -1
    refuse(lambda: read_camera(path, "left"), "states a sensor of -1 x 240")


# ---- AEDAT4


def test_aedat4(real_data):
    pytest.importorskip("aedat")
    found = read_camera(real_data / "reader_samples" / "sample.aedat4", "left")
    assert (len(found), found.size, found.format) == (111_954, (320, 240), "aedat4")
    assert found.t[0] == 1_605_537_493_718_345
    assert found.t[-1] - found.t[0] == 589_917
    assert (found.t[1:] >= found.t[:-1]).all()
    assert found.x.max() < 320
    assert found.y.max() < 240


def test_aedat4_without_the_package(real_data, monkeypatch, tmp_path):
    (tmp_path / "aedat.py").write_text("raise ModuleNotFoundError('No module named aedat')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = real_data / "reader_samples" / "sample.aedat4"
    refuse(lambda: read_camera(path, "left"), r"pip install '\.\[aedat\]'")


# ---- two cameras


LEFT, RIGHT = some_events(1), some_events(2)


def both(one, kind="evt3", left=LEFT, right=RIGHT):
    return one(kind, left, "a_left.raw"), one(kind, right, "a_right.raw")


def test_two_files_are_one_recording(one):
    with PairRecording(*both(one)) as recording:
        for camera, events in (("left", LEFT), ("right", RIGHT)):
            found = recording.events(camera, 0, 10**9)
            for name in "txy":
                np.testing.assert_array_equal(getattr(found, name), events[name])
            np.testing.assert_array_equal(found.p, events["p"] > 0)
            assert recording.rectify_map(camera) is None
        assert (recording.width, recording.height) == (64, 48)
        assert (recording.name, recording.layout) == ("a", "pair")
        assert recording.total == {"left": 300, "right": 300}
        assert recording.dropped == recording.unsorted == {"left": 0, "right": 0}
        assert recording.calibration is None
        assert recording.disparity_t_us.size == 0
        with pytest.raises(IndexError):
            recording.disparity(0)


def test_two_formats_and_an_offset(one):
    left = one("dsec", LEFT, "left.h5")
    right = one("npz table", RIGHT | {"t": RIGHT["t"] + 7}, "right.npz")
    offset = 53_193_302_164 - 7
    recording = PairRecording(left, right, width=64, height=48, offset_us=offset)
    found = recording.events("right", 0, 2**60)
    np.testing.assert_array_equal(found.t, RIGHT["t"] + offset + 7)
    refuse(lambda: PairRecording(left, right, width=64, height=48), "share no time")
    refuse(lambda: PairRecording(left, right, offset_us=2**62), "offset of .* is not possible")


def test_the_size_is_given_or_stated_or_guessed(one):
    plain, stated = one("e2calib", LEFT, "1.h5"), one("evt2", RIGHT, "2.raw")
    size = lambda recording: (recording.width, recording.height)  # noqa: E731
    assert size(PairRecording(plain, stated)) == (64, 48)
    assert size(PairRecording(plain, one("v2e", RIGHT, "3.h5"))) == (128, 128)
    cut = PairRecording(plain, stated, width=32, height=48)
    assert size(cut) == (32, 48)
    assert cut.dropped == {
        "left": int((LEFT["x"] > 31).sum()),
        "right": int((RIGHT["x"] > 31).sum()),
    }
    refuse(lambda: PairRecording(plain, stated, width=32), "together")
    refuse(lambda: PairRecording(plain, stated, width=0, height=9), "0 x 9 pixels is not possible")
    refuse(lambda: PairRecording(plain, stated, width=9999, height=9999), "is not possible")
    other = one("npz columns", RIGHT, "4.npz")
    np.savez(other, **RIGHT, width=99, height=48)
    refuse(lambda: PairRecording(stated, other), "different sensors: .*'right': \\(99, 48\\)")


def test_unsorted_events_are_refused_or_sorted(one):
    order = np.random.default_rng(0).permutation(300)
    mixed = {name: column[order] for name, column in RIGHT.items()}
    files = both(one, "npz columns", right=mixed)
    refuse(lambda: PairRecording(*files), r"right camera .* not sorted: event .*\(--sort\)")
    recording = PairRecording(*files, sort=True)
    assert recording.unsorted == {"left": 0, "right": int((np.diff(mixed["t"]) < 0).sum())}
    found = recording.events("right", 0, 10**9)
    np.testing.assert_array_equal(found.t, RIGHT["t"])
    key = lambda e: sorted(zip(*(np.asarray(c).tolist() for c in e), strict=True))  # noqa: E731
    assert key((found.t, found.x, found.y)) == key((RIGHT["t"], RIGHT["x"], RIGHT["y"]))


def test_one_file_for_both_cameras(one, tmp_path):
    refuse(lambda: PairRecording(one("evt3"), one("evt3")), "given for both cameras, but holds one")
    path = tmp_path / "falcon.h5"
    write_m3ed(path, EVENTS)
    with open_recording(path) as recording:
        assert (recording.layout, recording.name) == ("pair", "falcon")
        assert recording.total == {"left": 300, "right": 300}


def test_no_events(one):
    empty = {name: column[:0] for name, column in LEFT.items()}
    files = both(one, "e2calib", left=empty)
    refuse(lambda: PairRecording(*files), "left camera .* has no events")
    refuse(lambda: PairRecording(*files, width=64, height=48), "no event on its 64 x 48 sensor")


@pytest.mark.parametrize(
    ("left", "right", "name"),
    [
        ("run3_left.raw", "run3_right.raw", "run3"),
        ("left.raw", "right.raw", "hall"),
        ("a.raw", "b.raw", "a"),
        ("left_events.h5", "right_events.h5", "events"),
    ],
)
def test_names(tmp_path, left, right, name):
    folder = tmp_path / "hall"
    folder.mkdir()
    assert pair_name(folder / left, folder / right) == name


def test_real_raw_files_are_their_npz(real_data):
    folder = real_data / "events_spheres_gen31"
    pair = PairRecording(folder / "left.raw", folder / "right.raw")
    npz = open_recording(folder / "spheres.npz")
    assert pair.span_us == npz.span_us
    assert (pair.width, pair.height) == (npz.width, npz.height)
    assert pair.skipped["left"]["external triggers"] == 2
    for camera in ("left", "right"):
        a, b = (r.events(camera, *pair.span_us) for r in (pair, npz))
        for name in "txyp":
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# ---- what a user names


def test_open_cameras(one, tmp_path, sequence):
    left, right = both(one)
    assert open_cameras(left, right=right).layout == "pair"
    refuse(lambda: open_cameras(left), r"may hold one camera \(evt\): give the other's file too")
    refuse(lambda: open_cameras(tmp_path, right=right), "is a folder, and .* for the right camera")
    refuse(lambda: open_cameras(left, offset_us=3), "needs that camera's file")
    npz = one("npz of both", EVENTS, "both.npz")
    assert open_cameras(npz, width=70, height=60).width == 70
    refuse(lambda: open_cameras(sequence, sort=True), "layout dsec, which states the size")
    refuse(lambda: open_cameras(sequence, calibration="x.yaml"), "rectified by its own files")
