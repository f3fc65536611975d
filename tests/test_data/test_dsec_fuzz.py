"""Damaged DSEC sequences: read and valid, or refused with a RecordingError; nothing else."""

import shutil
import time
import zlib

import cv2
import h5py
import numpy as np
import pytest
import yaml
from reference.dsec_files import raw_columns, write_events
from reference.pairs import OFFSET_US, small_pair

from data import Events, RecordingError
from data.dsec import DsecRecording, write_dsec
from data.recording import CAMERAS

HANG_S = 20
"""Of processor time, for something that takes milliseconds."""

LARGEST_BYTES = 300 << 20
EVENTS = "events/left/events.h5"
MAP = "events/left/rectify_map.h5"
YAML = "calibration/cam_to_cam.yaml"
LIDAR = "calibration/cam_to_lidar.yaml"
PNG = "disparity/event/000002.png"
STAMPS = "disparity/timestamps.txt"
FRAMES = "images/timestamps.txt"
CSV = "seq.csv"
DATASETS = ["events/t", "events/x", "events/y", "events/p", "ms_to_idx", "t_offset"]


@pytest.fixture
def good(made):
    """Give the good sequence and the bytes of its files; make it good again afterward."""
    folder, content = made
    yield folder, content
    for name, data in content.items():
        (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write a sequence with one of everything."""
    folder = tmp_path_factory.mktemp("fuzz") / "seq"
    pair = small_pair(3)
    pair["left"], pair["right"] = (pair[camera].take(slice(0, 700)) for camera in CAMERAS)
    write_dsec(folder, **pair, image_t_us=50_000 * np.arange(5))
    (folder / LIDAR).write_text(yaml.safe_dump({"T_lidar_camRect1": np.eye(4).tolist()}))
    (folder / CSV).write_text("# timestamp_us, file_index\n53193302164, 20\n53194302164, 40\n")
    content = {name: (folder / name).read_bytes() for name in
               (EVENTS, MAP, YAML, LIDAR, PNG, STAMPS, FRAMES, CSV)}  # fmt: skip
    return folder, content


def peak_bytes():
    """Return the largest memory of this process so far."""
    resource = pytest.importorskip("resource")
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def use(folder):
    """Read all that there is, and check it; return whether it was not refused."""
    try:
        with DsecRecording(folder) as recording:
            first, last = recording.span_us
            for camera in CAMERAS:
                for window in [(first, last + 1), (first + 7_000, first + 30_000), (0, 5)]:
                    check(recording, recording.events(camera, *window))
                check(recording, recording.last_events(camera, last, 100))
                forward = recording.rectify_map(camera)
                assert forward.shape == (recording.height, recording.width, 2)
                assert np.isfinite(forward).all()
            for k in range(recording.disparity_t_us.size):
                truth = recording.disparity(k)
                assert truth.shape == (recording.height, recording.width)
                assert (truth >= 0).all()
                assert (truth < 256).all()
            assert recording.calibration is None or recording.calibration.fb > 0
            for stamps in (recording.disparity_t_us, recording.image_t_us):
                assert (np.diff(stamps) > 0).all()
            assert recording.submission is None or len(recording.submission) > 0
            assert recording.cam_to_lidar is None or np.isfinite(recording.cam_to_lidar).all()
    except RecordingError as error:
        refusal = str(error)
    else:
        return True
    assert refusal
    assert "\n" not in refusal
    return False


def check(recording, events):
    """Look at events as a stranger would: make the record again, which checks it."""
    Events(t=events.t, x=events.x, y=events.y, p=events.p)
    assert len(events.inside(recording.width, recording.height)) == len(events)
    recording.rectify("left", events)


def flip(data, rng):
    """Change 1 to 8 bits."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut(data, rng):
    """Keep the beginning."""
    return data[: rng.integers(len(data))]


def blank(data, rng):
    """Overwrite a part with zeros, ones or noise."""
    start = int(rng.integers(len(data)))
    size = int(min(rng.integers(1, 200), len(data) - start))
    fill = [bytes(size), b"\xff" * size, rng.bytes(size)][rng.integers(3)]
    return data[:start] + fill + data[start + size :]


def move(data, rng):
    """Leave out, repeat or insert a part."""
    a, b = sorted(rng.integers(0, len(data) + 1, 2))
    parts = [data[:a] + data[b:], data[:b] + data[a:], data[:a] + rng.bytes(9) + data[a:]]
    return parts[rng.integers(3)]


WAYS = (flip, flip, cut, blank, move)


@pytest.mark.parametrize(
    ("name", "cases"),
    [(EVENTS, 450), (MAP, 150), (YAML, 150), (LIDAR, 60), (PNG, 150), (STAMPS, 120),
     (FRAMES, 80), (CSV, 120)],
)  # fmt: skip
def test_damaged_bytes(good, name, cases):
    folder, content = good
    rng = np.random.default_rng(cases)
    accepted, slowest, before = 0, 0.0, peak_bytes()
    if name != YAML:  # a short one, which is read in no time
        small = {"disparity_to_depth": yaml.safe_load(content[YAML])["disparity_to_depth"]}
        (folder / YAML).write_text(yaml.safe_dump(small))
    for case in range(cases):
        (folder / name).write_bytes(WAYS[case % len(WAYS)](content[name], rng))
        began = time.process_time()
        accepted += use(folder)
        slowest = max(slowest, time.process_time() - began)
    for changed in (name, YAML):
        (folder / changed).write_bytes(content[changed])
    assert slowest < HANG_S
    assert peak_bytes() - before < LARGEST_BYTES
    assert accepted < cases  # the damage does reach the reader
    assert use(folder)


# ---- files that are well-formed and wrong


def other(values, rng):
    """Return other values for a column."""
    n = values.size
    size = int(rng.integers(0, 2 * n))
    return [
        lambda: values[:size],
        lambda: np.concatenate([values, values]),
        lambda: values[::-1],
        lambda: rng.permutation(values),
        lambda: values.astype(np.float64) + 0.5,
        lambda: np.full(n, np.nan),
        lambda: values.astype(np.int64) - int(rng.integers(1, 10**6)),
        lambda: values.astype(np.uint64) + np.uint64(2**64 - 10**6),
        lambda: values.astype(np.int64) * int(rng.integers(2, 10**12)),
        lambda: values.reshape(1, -1),
        lambda: values[0],
        lambda: np.array([b"text"] * n),
        lambda: np.zeros(n, np.complex64),
        lambda: values > 3,
        lambda: np.zeros(n, values.dtype),
        lambda: np.full(n, 2**31 - 1),
        lambda: np.iinfo(np.int64).min + values.astype(np.int64),
        lambda: np.empty(0, values.dtype),
        lambda: np.zeros(n, [("a", "<i4"), ("b", "<f4")]),
        lambda: values.astype(np.int8),
    ][rng.integers(20)]()


def test_other_values_in_the_events(good):
    folder, content = good
    rng = np.random.default_rng(7)
    accepted, cases = 0, 350
    for _ in range(cases):
        (folder / EVENTS).write_bytes(content[EVENTS])
        with h5py.File(folder / EVENTS, "r+") as file:
            for name in rng.choice(DATASETS, size=int(rng.integers(1, 3)), replace=False):
                values = np.atleast_1d(file[name][()])
                del file[name]
                if rng.random() < 0.9:
                    file[name] = other(values, rng)
                elif rng.random() < 0.5:
                    file.create_group(name)
        accepted += use(folder)
    (folder / EVENTS).write_bytes(content[EVENTS])
    assert 0 < accepted < cases


def test_claims_that_the_file_cannot_hold(good):
    folder, content = good
    rng = np.random.default_rng(8)
    for case in range(60):
        (folder / EVENTS).write_bytes(content[EVENTS])
        with h5py.File(folder / EVENTS, "r+") as file:
            count = int(10 ** rng.uniform(7, 17))
            for name in "txyp" if case % 3 else ["t"]:
                kind = file[f"events/{name}"].dtype
                del file[f"events/{name}"]
                chunks = (int(10 ** rng.uniform(2, 7)),) if case % 2 else None
                file.create_dataset(f"events/{name}", (count,), kind, chunks=chunks)
        assert not use(folder)
        (folder / EVENTS).write_bytes(content[EVENTS])
        with h5py.File(folder / EVENTS, "r+") as file:
            del file["ms_to_idx"]
            file.create_dataset("ms_to_idx", (count,), "<u8", chunks=(1000,))
        assert not use(folder)
    (folder / EVENTS).write_bytes(content[EVENTS])


def test_other_maps(good):
    folder, content = good
    shapes = [(48, 64, 2), (48, 64), (48, 64, 3), (64, 48, 2), (0, 64, 2), (48, 0, 2), (0,), ()]
    for shape in shapes:
        for kind in ("<f4", "<f8", "<f2", ">f4", "<i4", "S4", "<c8"):
            for value in (0, 1e300, np.nan):
                with h5py.File(folder / MAP, "w") as file:
                    with np.errstate(all="ignore"):
                        data = np.full(shape, value if kind[1] in "fc" else 0).astype(kind)
                    file["rectify_map"] = data
                assert use(folder) == (shape == shapes[0] and kind[1] == "f" and value == 0) or (
                    kind == "<f8" and value == 0 and shape == shapes[0]
                )
    (folder / MAP).write_bytes(content[MAP])


def test_other_images(good, tmp_path):
    folder, content = good
    images = [np.zeros(shape, kind) for shape in [(48, 64), (64, 48), (1, 1), (48, 64, 3),
              (48, 64, 4)] for kind in (np.uint8, np.uint16)]  # fmt: skip
    for image in images:
        cv2.imwrite(str(folder / PNG), image)
        assert use(folder) == (image.shape == (48, 64) and image.dtype == np.uint16)
    for suffix in (".jpg", ".tiff", ".bmp"):
        cv2.imwrite(str(tmp_path / f"x{suffix}"), images[0])
        shutil.copy(tmp_path / f"x{suffix}", folder / PNG)
        assert not use(folder)
    # A header that claims an image of 16 gigapixels, its checksum made right.
    head = bytearray(content[PNG])
    head[16:24] = (2**17).to_bytes(4, "big") * 2
    head[29:33] = zlib_crc(bytes(head[12:29]))
    (folder / PNG).write_bytes(head)
    assert not use(folder)
    (folder / PNG).write_bytes(content[PNG])


def zlib_crc(data):
    return zlib.crc32(data).to_bytes(4, "big")


def test_other_numbers_in_texts(good):
    folder, content = good
    rng = np.random.default_rng(9)
    words = ["nan", "-1", "1e9", "", "0x10", str(2**63), str(-(2**200)), "9" * 5000, "1_0", "٣",
             "53193302164", "\x00", "# x", ",", "1,2,3", "true", " "]  # fmt: skip
    for name in (STAMPS, FRAMES, CSV):
        lines = content[name].decode().splitlines()
        for _ in range(60):
            changed = list(lines)
            for _ in range(rng.integers(1, 3)):
                changed[rng.integers(len(changed))] = str(rng.choice(words))
            (folder / name).write_text("\n".join(changed), encoding="utf-8")
            use(folder)
        (folder / name).write_bytes(content[name])
    assert use(folder)


def test_other_entries_in_the_calibration(good):
    folder, content = good
    rng = np.random.default_rng(10)
    values = [None, "x", [], {}, float("nan"), float("inf"), -1, 0, 1e308, 10**400, [[1]], True]
    (folder / MAP).unlink()  # so that the whole file is needed
    for _ in range(100):
        tree = yaml.safe_load(content[YAML])
        for _ in range(rng.integers(1, 3)):
            place = tree
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = keys[rng.integers(len(keys))]
                deeper = isinstance(place[key], dict | list) and len(place[key])
                if not deeper or rng.random() < 0.2:
                    break
                place = place[key]
            place[key] = values[rng.integers(len(values))]
        (folder / YAML).write_text(yaml.safe_dump(tree))
        use(folder)
    (folder / YAML).write_bytes(content[YAML])
    (folder / MAP).write_bytes(content[MAP])
    assert use(folder)


def test_the_fuzzing_finds_a_reader_that_believes_everything(tmp_path):
    """The checks above do fail for events that are wrong."""
    columns = raw_columns(0, np.array([0, 5, 3]))
    write_events(tmp_path / "events.h5", columns, table=np.zeros(1, np.uint64))
    wrong = Events.trusted(
        t=columns["t"] + OFFSET_US, x=columns["x"].astype(np.uint16),
        y=columns["y"].astype(np.uint16), p=columns["p"] > 0,
    )  # fmt: skip
    with pytest.raises(RecordingError, match="must not decrease"):
        check(None, wrong)
