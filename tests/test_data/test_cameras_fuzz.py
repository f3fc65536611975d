"""Damaged files of cameras: a valid recording or a RecordingError, and nothing else."""

import io
import time

import h5py
import numpy as np
import pytest
import yaml
from reference.cameras import WRITERS, some_events
from reference.evt import raw_bytes

from data import RecordingError
from data.cameras import PairRecording
from data.cameras.aedat import read_aedat4
from data.cameras.calibration import read_geometry
from data.cameras.formats import read_camera
from data.npz import NpzRecording
from data.stored import stored_cameras

GOOD = some_events(1, 120)
LONGEST_S = 20.0
"""No damaged file of a few kB may take longer; it is far above what any takes."""


def damage(content, rng):
    """Return bytes with one kind of damage."""
    kind = rng.integers(0, 7)
    broken = bytearray(content)
    place = int(rng.integers(0, len(broken)))
    if kind == 0:
        del broken[place:]
    elif kind == 1:
        for spot in rng.integers(0, len(broken), rng.integers(1, 12)):
            broken[spot] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        length = int(rng.integers(1, 200))
        broken[place : place + length] = rng.bytes(length)
    elif kind == 3:
        del broken[place : place + int(rng.integers(1, 64))]
    elif kind == 4:
        broken[place:place] = rng.bytes(int(rng.integers(1, 64)))
    elif kind == 5:
        broken[place : place + 64] = b"\xff" * 64
    else:  # the beginning, where headers are
        spots = rng.integers(0, min(len(broken), 600), 3)
        for spot in spots:
            broken[spot] = int(rng.integers(0, 256))
    return bytes(broken)


def assert_valid(recording):
    """Check what every later stage takes for granted."""
    first, last = recording.span_us
    assert first <= last
    for camera in ("left", "right"):
        events = recording.events(camera, first, last + 1)
        assert (events.t[1:] >= events.t[:-1]).all()
        assert events.x.dtype == events.y.dtype == np.uint16
        assert not len(events) or events.x.max() < recording.width
        assert not len(events) or events.y.max() < recording.height
        assert recording.dropped[camera] <= recording.total[camera]
        recording.rectify(camera, events)


def outcome(call):
    """Return what the call gave, None where it refused in one paragraph."""
    began = time.monotonic()
    made, message = None, "none"
    try:
        made = call()
    except RecordingError as error:
        message = str(error)
    assert message
    assert "\n" not in message
    assert time.monotonic() - began < LONGEST_S
    return made


@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_files(tmp_path, kind):
    good, broken = tmp_path / "good", tmp_path / "broken"
    WRITERS[kind](good, GOOD)
    content = good.read_bytes()
    rng = np.random.default_rng(list(WRITERS).index(kind))
    refused = 0
    for _ in range(70):
        broken.write_bytes(damage(content, rng))
        pair = (broken, good) if rng.integers(0, 2) else (good, broken)
        recording = outcome(lambda pair=pair: PairRecording(*pair, sort=bool(rng.integers(0, 2))))
        if recording is None:
            refused += 1
            outcome(lambda: stored_cameras(broken))
        else:
            assert_valid(recording)
    assert refused > 10, "the damage is real"


@pytest.mark.parametrize("evt", [2, 3])
def test_random_words(tmp_path, evt):
    path = tmp_path / "random.raw"
    rng = np.random.default_rng(evt)
    for size in (1, 2, 3, 1_000, 100_000):
        for _ in range(8):
            words = np.frombuffer(rng.bytes(4 * size), "<u4" if evt == 2 else "<u2")
            path.write_bytes(raw_bytes(words, evt=evt, end=bool(rng.integers(0, 2))))
            found = outcome(lambda: read_camera(path, "left"))
            if found is not None:
                assert len(found) <= 12 * words.size
                assert len({len(c) for c in (found.t, found.x, found.y, found.p)}) == 1
            recording = outcome(lambda: PairRecording(path, path.with_suffix(".none")))
            assert recording is None


HUGE = [2**62, 2**63 - 1, -(2**63), -1, 2**31, 65_536, 0]


def odd_column(rng, column):
    """Return a column of another type, shape or range."""
    kind = rng.integers(0, 9)
    if kind == 0:
        column = column.astype(rng.choice(["f4", "f8", "u1", "i1", "i2", "u8", "c8", "?", "S3"]))
    elif kind == 1:
        column = column.astype(np.float64)
        column[rng.integers(0, column.size)] = rng.choice([np.nan, np.inf, -np.inf, 0.5, 1e300])
    elif kind == 2:
        column = column.astype(np.int64)
        column[rng.integers(0, column.size)] = int(rng.choice(HUGE))
    elif kind == 3:
        column = column[: rng.integers(0, column.size)]
    elif kind == 4:
        column = column.reshape(1, -1)
    elif kind == 5:
        column = -column.astype(np.int64)
    elif kind == 6:
        column = rng.permutation(column)
    elif kind == 7:
        column = np.array(column[0])
    else:
        column = np.repeat(column[:1], column.size)
    return column


def write_odd(path, rng, hdf5):
    names = rng.choice(list("txyp"), rng.integers(1, 4), replace=False)
    columns = {n: odd_column(rng, c) if n in names else c for n, c in GOOD.items()}
    size = {"width": rng.choice([64, 0, -3, 10**9]), "height": 48} if rng.integers(0, 2) else {}
    if hdf5:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[name] = column
            file.attrs.update(size)
            if rng.integers(0, 4) == 0:
                file["t_offset"] = 2**61
    else:
        buffer = io.BytesIO()
        np.savez(buffer, **columns, **size)
        path.write_bytes(buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize("hdf5", [False, True], ids=["npz", "hdf5"])
def test_odd_columns(tmp_path, hdf5):
    good, odd = tmp_path / "good.npz", tmp_path / "odd"
    WRITERS["npz columns"](good, GOOD)
    rng = np.random.default_rng(5)
    made = 0
    for _ in range(100):
        write_odd(odd, rng, hdf5)
        recording = outcome(lambda: PairRecording(good, odd))
        if recording is not None:
            made += 1
            assert_valid(recording)
    assert 0 < made < 75


def test_a_claimed_length_is_not_filled_with_zeros(tmp_path):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(name, shape=(10**11,), dtype="u1", chunks=(1024,))
    with pytest.raises(RecordingError, match="claims 100000000000 events, but has only"):
        read_camera(path, "left")


def test_damaged_pairs_in_one_npz(tmp_path):
    path = tmp_path / "pair.npz"
    WRITERS["npz of both"](path, GOOD)
    content = path.read_bytes()
    rng = np.random.default_rng(6)
    for _ in range(80):
        path.write_bytes(damage(content, rng))
        recording = outcome(lambda: NpzRecording(path, width=64, height=48))
        if recording is not None:
            assert_valid(recording)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_aedat4(real_data, tmp_path, seed):
    """Few, because each is decoded in a process of its own: the decoder may end that process."""
    pytest.importorskip("aedat")
    content = (real_data / "reader_samples" / "sample.aedat4").read_bytes()[:60_000]
    path = tmp_path / "broken.aedat4"
    rng = np.random.default_rng(seed)
    for _ in range(6):
        path.write_bytes(b"#!AER-DAT4.0\r\n" + damage(content[14:], rng))
        found = outcome(lambda: read_aedat4(path))
        assert found is None or len(found)


def test_a_decoder_that_dies_or_hangs_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "x.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n")
    for body, message in (
        ("import os; os.abort()", "ended with code -6"),
        ("import time; time.sleep(60)", "no end after"),
        ("print('noise')", "cannot be decoded as AEDAT4"),
    ):
        child = tmp_path / "child.py"
        child.write_text(body)
        monkeypatch.setattr("data.cameras.aedat.PATIENCE_S", 1.0)
        monkeypatch.setattr("data.cameras.aedat.aedat_child.__file__", str(child))
        with pytest.raises(RecordingError, match=message):
            read_aedat4(path)


def test_damaged_calibrations(tmp_path):
    content = yaml.safe_dump(
        {
            "left": {"resolution": [64, 48], "camera_matrix": [60.0, 60.0, 32.0, 24.0],
                     "distortion_model": "radtan", "distortion_coeffs": [-0.1, 0.1, 0.0, 0.0]},
            "right": {"resolution": [64, 48], "camera_matrix": [60.0, 60.0, 32.0, 24.0],
                      "distortion_model": "equidistant", "distortion_coeffs": [0.01, 0, 0, 0]},
            "right_from_left": {"rotation": [0.0, 0.01, 0.0], "translation_m": [-0.1, 0.0, 0.0]},
        }
    ).encode()  # fmt: skip
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert read_geometry(path, (64, 48)).maps["left"].shape == (48, 64, 2)
    rng = np.random.default_rng(7)
    for _ in range(120):
        path.write_bytes(damage(content, rng))
        found = outcome(lambda: read_geometry(path, (64, 48)))
        if found is not None:
            assert np.isfinite(found.maps["right"]).all()
            assert found.calibration.fb > 0
