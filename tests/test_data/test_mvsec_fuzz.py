"""Damaged MVSEC files: a valid recording or a RecordingError of one paragraph, nothing else."""

import shutil

import cv2
import h5py
import numpy as np
import pytest
from reference.mvsec import NAME, OFFSET_US, small_scene, write_ddes

from data import Events, RecordingError
from data.mvsec import DdesRecording, MvsecRecording, Protocol, Split, write_mvsec
from data.recording import CAMERAS
from data.simulator.mvsec import short_split

WIDTH, HEIGHT = 20, 16


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Write a tiny scene in both layouts; return their folders."""
    root = tmp_path_factory.mktemp("fuzz")
    setting = small_scene(2, width=WIDTH, height=HEIGHT, images=3, count=80)
    write_mvsec(root / "native", **setting, split=short_split(NAME, 3))
    with MvsecRecording(root / "native") as native:
        maps = {c: native.rectify_map(c) for c in CAMERAS}
        place = root / "generated_hall_1"
        write_ddes(place, native.path, native.files.truth, native.calibration.fb, maps)
    shutil.copy(native.files.chain, root)
    return root


def exercise(recording):
    """Use everything a recording offers, and check that what it gives is valid."""
    first, last = recording.span_us
    stamps = recording.disparity_t_us
    assert stamps.dtype == np.int64
    for camera in CAMERAS:
        recording.rectify_map(camera)
        for t0, t1 in ((first, last + 1), (first + 1_000, last - 1_000), (last, first), (0, 5)):
            events = recording.events(camera, t0, t1)
            Events(t=events.t, x=events.x, y=events.y, p=events.p)
            assert ((events.t >= t0) & (events.t < t1)).all()
            assert (events.x < recording.width).all()
            assert (events.y < recording.height).all()
            moved = recording.rectify(camera, events)
            Events(t=moved.t, x=moved.x, y=moved.y, p=moved.p)
        found = recording.last_events(camera, last, 7)
        assert len(found) <= 7
        assert 0 <= recording.dropped[camera] <= recording.total[camera]
    for index in range(min(stamps.size, 3)):
        truth = recording.disparity(index)
        assert truth.shape == (recording.height, recording.width)
        assert truth.dtype == np.float32
        assert np.isfinite(truth).all()
        assert (truth >= 0).all()
    if stamps.size:
        Protocol(split=short_split(recording.name, 3)).mask(recording, 0)


def survives(reader, path):
    """Return whether a damaged recording was read; check how it was refused otherwise."""
    refusal = None
    try:
        with reader(path) as recording:
            exercise(recording)
    except RecordingError as error:
        refusal = str(error)
    assert refusal is None or ("\n" not in refusal and 30 < len(refusal) < 2_000)
    return refusal is None


def damaged(content, rng):
    """Return bytes with one kind of damage."""
    content = bytearray(content)
    size = len(content)
    kind = rng.integers(6)
    at = int(rng.integers(size))
    if kind == 0:
        return bytes(content[:at])
    if kind == 1:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        for place in rng.integers(0, size, 8):
            content[place] = int(rng.integers(256))
    elif kind == 3:
        length = int(rng.integers(1, 64))
        content[at : at + length] = bytes(min(length, size - at))
    elif kind == 4:
        length = int(rng.integers(1, 64))
        content[at : at + length] = b"\xff" * min(length, size - at)
    else:
        return bytes(content[:at] + content[at : at + 40] + content[at:])
    return bytes(content)


def damage_all(reader, folder, names, seed, cases, near=None):
    """Damage each file in turn, many times; return how many recordings were still read."""
    rng = np.random.default_rng(seed)
    read = 0
    for name in names:
        path = folder / name
        original = path.read_bytes()
        for _ in range(cases):
            head = original if near is None else original[:near]
            path.write_bytes(damaged(head, rng) + original[len(head) :])
            read += survives(reader, folder)
        path.write_bytes(original)
    assert survives(reader, folder), "the undamaged recording is read"
    return read


def test_damaged_native_files(good, tmp_path):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    read = damage_all(
        MvsecRecording, folder, [f"{NAME}_data.hdf5", f"{NAME}_gt.hdf5"], seed=1, cases=110
    )
    # Most of a file are numbers, of which some stay possible when a bit changes.
    assert 5 < read < 190


def test_damaged_native_headers(good, tmp_path):
    """Most of HDF5's structure lies in the first kilobytes."""
    folder = shutil.copytree(good / "native", tmp_path / "native")
    names = [f"{NAME}_data.hdf5", f"{NAME}_gt.hdf5"]
    assert damage_all(MvsecRecording, folder, names, seed=2, cases=60, near=2_500) < 110


def test_damaged_calibration(good, tmp_path):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    calibration = next(folder.glob("*_calib"))
    names = [p.relative_to(folder) for p in sorted(calibration.iterdir())]
    assert len(names) == 5
    assert damage_all(MvsecRecording, folder, names, seed=3, cases=40) < 200


def test_damaged_files_of_ddes(good, tmp_path):
    folder = shutil.copytree(good / "generated_hall_1", tmp_path / "generated_hall_1")
    names = [
        "timestamps.txt", "event0/000001.npy", "event1/000002.npy", "disparity_image/000000.png",
        "disparity_image/000001.png",
    ]  # fmt: skip
    read = damage_all(DdesRecording, folder, names, seed=4, cases=50)
    assert 5 < read < 250


def test_damaged_splits(good, tmp_path):
    path = tmp_path / "split.json"
    original = next((good / "native").glob("*_split.json")).read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        path.write_bytes(damaged(original, rng))
        try:
            found = Split.load(path).frames("test")
        except RecordingError:
            refused += 1
        else:
            assert found
    assert refused > 50


WRONG = [
    np.float64(3.0),
    np.zeros((0, 4)),
    np.zeros(5),
    np.zeros((5, 4), np.float16),
    np.zeros((5, 4), np.complex128),
    np.zeros((5, 4), "S3"),
    np.zeros((5, 4), bool),
    np.zeros((5, 5)),
    np.zeros((2, 5, 4)),
    np.full((5, 4), np.nan),
    np.full((5, 4), np.inf),
    np.full((5, 4), -np.inf),
    np.full((5, 4), -1.0),
    np.full((5, 4), 1e300),
    np.full((5, 4), -1e300),
    np.full((5, 4), 5e-324),
    np.tile([1.0, 2.0, OFFSET_US / 1e6, 1.0], (5, 1)),
    np.tile([1.0, 2.0, -OFFSET_US / 1e6, 1.0], (5, 1)),
    np.tile([70_000.0, 2.0, OFFSET_US / 1e6, 1.0], (5, 1)),
    np.array([[1.0, 2.0, 3.0 - k, 1.0] for k in range(5)]),
    np.zeros(5, [("x", "f8"), ("t", "f8")]),
]
"""In place of good tables: wrong ranks, shapes, types; NaN, infinite, negative, huge, unsorted."""


@pytest.mark.parametrize("key", ["left/events", "right/events"])
@pytest.mark.parametrize("values", WRONG, ids=range(len(WRONG)))
def test_other_tables_of_events(good, tmp_path, key, values):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    with h5py.File(folder / f"{NAME}_data.hdf5", "r+") as file:
        del file[f"davis/{key}"]
        file[f"davis/{key}"] = values
    survives(MvsecRecording, folder)
    place = shutil.copytree(good / "generated_hall_1", tmp_path / "generated_hall_1")
    np.save(place / "event0" / "000001.npy", values)
    survives(DdesRecording, place)


@pytest.mark.parametrize("key", ["depth_image_rect", "depth_image_rect_ts"])
@pytest.mark.parametrize("values", WRONG, ids=range(len(WRONG)))
def test_other_tables_of_depth(good, tmp_path, key, values):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    with h5py.File(folder / f"{NAME}_gt.hdf5", "r+") as file:
        del file[f"davis/left/{key}"]
        file[f"davis/left/{key}"] = values
    assert not survives(MvsecRecording, folder)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-45, 3e38, 1e-30])
def test_impossible_depth_is_no_ground_truth(good, tmp_path, number):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    with h5py.File(folder / f"{NAME}_gt.hdf5", "r+") as file:
        file["davis/left/depth_image_rect"][1] = np.float32(number)
    with MvsecRecording(folder) as recording:
        truth = recording.disparity(1)
        assert np.isfinite(truth).all()
        assert (truth > 0).all() == (number in (3e38, 1e-30))


def test_groups_in_place_of_datasets_and_the_reverse(good, tmp_path):
    for name, key in (("data", "davis/left/events"), ("gt", "davis/left/depth_image_rect"),
                      ("data", "davis"), ("gt", "davis/left/depth_image_rect_ts")):  # fmt: skip
        folder = shutil.copytree(good / "native", tmp_path / f"{name}-{key.count('/')}{len(key)}")
        with h5py.File(folder / f"{NAME}_{name}.hdf5", "r+") as file:
            del file[key]
            if key == "davis":
                file[key] = 5
            else:
                file.create_group(key)
        assert not survives(MvsecRecording, folder)


def test_what_is_no_file_at_all(good, tmp_path):
    folder = shutil.copytree(good / "native", tmp_path / "native")
    for name in (f"{NAME}_data.hdf5", f"{NAME}_gt.hdf5"):
        original = (folder / name).read_bytes()
        for content in (b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", bytes(100)):
            (folder / name).write_bytes(content)
            assert not survives(MvsecRecording, folder)
        (folder / name).write_bytes(original)
    assert cv2.imread(str(folder / "none")) is None
