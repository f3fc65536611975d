"""The cache of samples: exact, keyed by everything, safe under writers that race and die."""

import json
import multiprocessing
import os
import pickle
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference.pairs import small_pair
from reference.recordings import FakeRecording

import data.identity
from data import RecordingError
from data.augment import Crop, EventDrop, SwapCameras, VerticalFlip
from data.datasets import StereoWindows
from data.draws import Draw
from data.dsec import DsecRecording, write_dsec
from data.encode import ENCODINGS
from data.generated import GeneratedWindows
from data.identity import describe, describe_recording, digest, held_paths
from data.loading import build_loader
from data.packing import PackingError, pack, unpack
from data.sample import StereoSample
from data.sample_cache import CachedSamples
from data.sample_cache.file import decode, encode
from data.sample_cache.room import ABANDONED_S

F32 = np.float32


@pytest.fixture
def folder(tmp_path):
    write_dsec(tmp_path / "thun_00_a", **small_pair(2))
    return tmp_path / "thun_00_a"


def windows(folder, **options):
    settings = {"encoding": ENCODINGS["voxel"](bins=2), "steps": 2, "window_us": 50_000}
    return StereoWindows(recordings=folder, **(settings | options))


def equal(first, second):
    return (first.t_us, first.meta) == (second.t_us, second.meta) and all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("left", "right", "disparity", "valid")
    )


def numbers(cache):
    counts = cache.counts()
    return counts.hits, counts.made, counts.damaged, counts.unstored


# Packing

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
SPARSE = st.one_of(st.just(0.0), st.sampled_from([1.0, -1.0, 0.5, 3.25, 254.0, -128.0, 1 / 256]))


@given(
    array=st.one_of(
        hnp.arrays(F32, SHAPES, elements=st.floats(width=32)),
        hnp.arrays(F32, SHAPES, elements=SPARSE, fill=st.just(0.0)),
        hnp.arrays(F32, SHAPES, elements=st.sampled_from([0.0, 1.0]), fill=st.just(0.0)),
        hnp.arrays(np.bool_, SHAPES),
    ),
    spread=st.integers(1, 900),
)
@settings(max_examples=300)
def test_packing_gives_back_every_bit(array, spread):
    flat = np.zeros(array.size * spread, array.dtype)
    flat[::spread] = array.reshape(-1)
    for original in (array, flat):
        about, (where, values) = pack(original)
        about = json.loads(json.dumps(about))
        assert about["sizes"] == [len(where), len(values)]
        back = unpack(about, where, values)
        assert back.dtype == original.dtype
        assert back.shape == original.shape
        assert back.tobytes() == np.ascontiguousarray(original).tobytes()
        assert back.flags.writeable


@pytest.mark.parametrize(
    ("values", "form", "bytes_each"),
    [
        ([1.0, 1.0, 1.0], "one", 0),
        ([-3.0, 5.0, 127.0], "int8", 1),
        ([1.0, 255.0, 3.0], "uint8", 1),
        ([0.5, 2048.0, -0.25], "float16", 2),
        ([12.50390625, 100.99609375, 255.99609375], "uint16/256", 2),
        ([0.1, 0.2, 0.3], "float32", 4),
        ([float("nan"), 1.0, 2.0], "float16", 2),
        ([-0.0, 1.0, 2.0], "float16", 2),
    ],
)
def test_values_take_the_smallest_exact_form(values, form, bytes_each):
    array = np.zeros(1000, F32)
    array[[3, 500, 999]] = values
    about, (where, stored) = pack(array)
    assert about["values"] == form
    assert len(stored) == (4 if form == "one" else 3 * bytes_each)
    assert about["places"] == "gaps"
    assert len(where) == 3 + 496 // 255 + 498 // 255
    assert unpack(about, where, stored).tobytes() == array.tobytes()


def test_places_take_the_smallest_form():
    rng = np.random.default_rng(0)
    for share, form in ((0.01, "gaps"), (0.5, "bits"), (1.0, "all")):
        about, (where, _) = pack((rng.random(4096) < share).astype(F32))
        assert about["places"] == form
        assert len(where) <= 512


def test_damaged_packing_is_refused():
    array = np.zeros(5000, F32)
    array[::40] = np.linspace(1, 2, 125)
    about, (where, values) = pack(array)
    for change in (
        (about | {"shape": [40]}, where, values),
        (about, where[:-1], values),
        (about, where + b"\x00", values),
        (about, where, values[:-4]),
        (about, where, values[:-1]),
        (about, where, b""),
        (about | {"places": "all"}, where, values),
        (about | {"places": "bits"}, where, values),
        (about | {"places": "bits"}, b"\xff" * 632, values),
        (about | {"places": "bits"}, bytes(631) + b"\xff", values),
        (about | {"values": "int3"}, where, values),
        (about | {"values": "bool"}, where, values),
    ):
        with pytest.raises(PackingError):
            unpack(*change)


def test_only_known_arrays_are_packed():
    with pytest.raises(TypeError, match="Only float32 and bool arrays are packed, got float64"):
        pack(np.zeros(3))


# Files


def random_sample(seed=0):
    rng = np.random.default_rng(seed)
    spikes = torch.from_numpy((rng.random((2, 2, 6, 7)) < 0.2).astype(F32))
    disparity = torch.from_numpy(rng.random((6, 7)).astype(F32))
    return StereoSample(
        left=spikes, right=spikes * 0.3, disparity=disparity, valid=disparity > 0.5,
        t_us=53_193_302_164, meta={"recording": "hall", "truth": 3},
    )  # fmt: skip


@pytest.mark.parametrize("compression", [0, 1, 9])
def test_files_give_back_the_sample(compression):
    sample = random_sample()
    assert equal(decode(encode(sample, "name", compression), "name"), sample)


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.floats(0, 1))
@settings(max_examples=300)
def test_any_damage_is_noticed(where, bit, cut):
    content = encode(random_sample(), "name")
    flipped = bytearray(content)
    flipped[int(where * len(content))] ^= 1 << bit
    for damaged in (bytes(flipped), content[: int(cut * (len(content) - 1))], content + b"x"):
        with pytest.raises(PackingError):
            decode(damaged, "name")


def test_a_file_under_another_name_is_refused():
    with pytest.raises(PackingError, match="another sample"):
        decode(encode(random_sample(), "name"), "other")


# The cache


def test_samples_come_from_files_the_second_time(folder, tmp_path):
    plain = windows(folder)
    cache = CachedSamples(plain, tmp_path / "cache")
    assert len(cache) == len(plain) == 2
    first = [cache[i] for i in range(2)]
    assert numbers(cache) == (0, 2, 0, 0)
    second = [cache[i] for i in range(2)]
    assert numbers(cache) == (2, 2, 0, 0)
    assert all(
        equal(a, plain[i]) and equal(b, plain[i]) for i, (a, b) in enumerate(zip(first, second))
    )
    again = CachedSamples(windows(folder), tmp_path / "cache", compression=3)
    assert equal(again[1], plain[1])
    assert numbers(again) == (1, 0, 0, 0)


def test_a_hit_reads_no_recording(folder, tmp_path, monkeypatch):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    kept = cache[0]
    monkeypatch.setattr(DsecRecording, "events", None)
    monkeypatch.setattr(StereoWindows, "__getitem__", None)
    assert equal(cache[0], kept)


def names(folder, **options):
    return [digest(identity) for identity in windows(folder, **options).identities()]


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 3},
        {"window_us": 50_001},
        {"window_us": None, "window_events": 100},
        {"frames": 2},
        {"encoding": ENCODINGS["voxel"](bins=3)},
        {"encoding": ENCODINGS["spikes"](bins=2)},
        {"augmentations": (VerticalFlip(),)},
        {"augmentations": (VerticalFlip(probability=0.25),)},
    ],
    ids=str,
)
def test_every_setting_is_part_of_the_name(folder, options):
    assert names(folder) == names(folder)
    assert len(set(names(folder))) == 2
    assert not set(names(folder)) & set(names(folder, **options))


def test_the_validity_is_part_of_the_name(folder):
    assert names(folder, validity=Half(part=1)) == names(folder, validity=Half(part=1))
    assert names(folder, validity=Half(part=1)) != names(folder, validity=Half(part=2))
    assert names(folder, validity=Half(part=1)) != names(folder)
    with pytest.raises(TypeError, match="Opaque cannot be described"):
        names(folder, validity=Opaque())


@dataclass(frozen=True)
class Half:
    """A protocol with a setting."""

    part: int

    def mask(self, recording, index):
        return np.ones((recording.height, recording.width), bool)


class Opaque:
    """A protocol that cannot be described by value."""

    def mask(self, recording, index):
        return np.ones((recording.height, recording.width), bool)


@pytest.mark.parametrize(
    "file",
    [
        "events/left/events.h5",
        "events/right/events.h5",
        "events/right/rectify_map.h5",
        "disparity/event/000002.png",
        "disparity/timestamps.txt",
        "calibration/cam_to_cam.yaml",
    ],
)
def test_every_file_is_part_of_the_name(folder, file):
    before = names(folder)
    state = (folder / file).stat()
    os.utime(folder / file, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))
    assert not set(before) & set(names(folder))
    os.utime(folder / file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert names(folder) == before


def test_the_code_is_part_of_the_name(folder, tmp_path, monkeypatch):
    before = names(folder)
    source = data.identity.HERE / "encode"
    changed = tmp_path / "code"
    changed.mkdir()
    for file in source.glob("*.py"):
        (changed / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(data.identity, "SHARED_CODE", ("datasets", str(changed)))
    same = names(folder)
    (changed / "kernels.py").write_text("# another kernel\n")
    assert same != before
    assert names(folder) != same


def test_reading_does_not_change_the_name(folder):
    dataset = windows(folder)
    before = list(dataset.identities())
    dataset[0]
    assert list(dataset.identities()) == before


def test_files_outside_of_the_folder_are_found(tmp_path):
    write_dsec(tmp_path / "x" / "thun_00_a", **small_pair(2))
    events = tmp_path / "train_events" / "thun_00_a"
    events.parent.mkdir()
    (tmp_path / "x" / "thun_00_a").rename(events)
    for part in ("disparity", "calibration"):
        place = tmp_path / f"train_{part}" / "thun_00_a"
        place.mkdir(parents=True)
        (events / part).rename(place / part)
    dataset = windows(events)
    seen = {Path(file[0]).name for file in describe_recording(*dataset.at(0)[:1], events)["files"]}
    assert {
        "events.h5",
        "rectify_map.h5",
        "cam_to_cam.yaml",
        "timestamps.txt",
        "000002.png",
    } <= seen


def test_descriptions_are_by_value(tmp_path):
    assert describe(Crop(height=2, width=3)) == describe(Crop(height=2, width=3))
    assert describe(Crop(height=2, width=3)) != describe(Crop(height=3, width=2))
    assert describe({"b": (1, np.float32(2)), "a": None}) == describe({"a": None, "b": [1, 2.0]})
    assert describe(np.zeros(3)) != describe(np.zeros((3, 1))) != describe(np.zeros((3, 1), F32))
    assert describe(tmp_path) == {"path": str(tmp_path)}
    with pytest.raises(TypeError, match="A function cannot be described"):
        describe(describe)
    assert list(held_paths([{"a": [tmp_path, tmp_path / "missing"]}, 3])) == [tmp_path]


def test_recordings_without_files_are_refused(tmp_path):
    with pytest.raises(TypeError, match="belongs to no file"):
        CachedSamples(windows(FakeRecording()), tmp_path)


# Augmentation


def test_augmentations_follow_the_cache(folder, tmp_path):
    changes = (Crop(height=20, width=31), VerticalFlip(), SwapCameras())
    cache = CachedSamples(windows(folder), tmp_path / "cache", changes, seed=5)
    direct = windows(folder, augmentations=changes, seed=5)
    for index in (0, 1):
        for epoch in range(6):
            assert equal(cache[Draw(index, epoch)], direct[Draw(index, epoch)])
    assert numbers(cache) == (10, 2, 0, 0)


@pytest.mark.usefixtures("without_shape_checks")
def test_what_a_cache_would_freeze_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="would freeze one draw of each"):
        CachedSamples(windows(folder, augmentations=(EventDrop(most_share=0.5),)), tmp_path / "c")
    with pytest.raises(ValueError, match="changes events, which are encoded already"):
        CachedSamples(windows(folder), tmp_path / "c", (EventDrop(most_share=0.5),))


@pytest.mark.usefixtures("without_shape_checks")
def test_data_sets_without_identity_are_refused(tmp_path):
    made = GeneratedWindows(
        encoding=ENCODINGS["spikes"](), steps=1, window_us=40_000, width=32, height=32, clips=1,
        length=1, seed=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="GeneratedWindows cannot say what its samples depend on"):
        CachedSamples(made, tmp_path / "c")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, "seed must be at least 0"),
        ({"compression": 10}, "compression 0 to 9, got 0 and 10"),
        ({"limit_bytes": -1}, "limit_bytes must be at least 0, got -1"),
    ],
)
def test_settings_without_meaning_are_refused(folder, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        CachedSamples(windows(folder), tmp_path / "c", **options)


def test_a_folder_that_cannot_be_used_is_reported(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be used"):
        CachedSamples(windows(folder), tmp_path / "file" / "cache")


# Damage, room, races


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other", "folder"])
def test_damaged_files_are_made_again_and_counted(folder, tmp_path, damage):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    kept = [cache[0], cache[1]]
    path, content = cache.path(0), bytearray(cache.path(0).read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[-9] ^= 16
        path.write_bytes(content)
    elif damage == "other":
        path.write_bytes(cache.path(1).read_bytes())
    else:
        path.unlink()
        path.mkdir()
    assert equal(cache[0], kept[0])
    unstored = int(damage == "folder")
    assert numbers(cache) == (0, 2, 1, unstored)
    if not unstored:
        assert equal(cache[0], kept[0])
        assert numbers(cache) == (1, 2, 1, 0)


def test_a_disk_that_takes_nothing_does_not_end_the_training(folder, tmp_path, monkeypatch):
    cache = CachedSamples(windows(folder), tmp_path / "cache")

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert equal(cache[0], windows(folder)[0])
    assert numbers(cache) == (0, 1, 0, 1)
    assert cache.size().files == 0


def test_size_and_clear(folder, tmp_path):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    sizes = [cache[i] and cache.path(i).stat().st_size for i in range(2)]
    assert (cache.size().files, cache.size().bytes) == (2, sum(sizes))
    assert cache.clear().bytes == sum(sizes)
    assert (cache.size().files, cache.size().bytes) == (0, 0)
    cache[0]
    assert numbers(cache) == (0, 3, 0, 0)


def test_the_limit_keeps_what_is_in_use_and_drops_what_is_not(folder, tmp_path):
    old = CachedSamples(windows(folder, steps=3), tmp_path / "cache")
    for index in range(2):
        old[index]
        os.utime(old.path(index), (1_000 + index, 1_000 + index))
    one = old.path(0).stat().st_size
    size = len(encode(windows(folder)[0], ""))
    cache = CachedSamples(windows(folder), tmp_path / "cache", limit_bytes=2 * one + size // 2)
    cache[0]
    assert not old.path(0).exists(), "the oldest gives way"
    assert cache.path(0).exists()
    assert cache.size().bytes <= 2 * one + size // 2
    small = CachedSamples(windows(folder), tmp_path / "cache", limit_bytes=size + size // 2)
    assert equal(small[0], cache[0])
    assert equal(small[1], windows(folder)[1])
    assert small.path(0).exists(), "what is in use stays"
    assert not small.path(1).exists()
    assert numbers(small) == (1, 1, 0, 1)
    assert equal(small[1], windows(folder)[1])
    nothing = CachedSamples(windows(folder), tmp_path / "none", limit_bytes=0)
    nothing[0]
    assert nothing.size().files == 0
    assert numbers(nothing) == (0, 1, 0, 1)


def test_leftovers_of_killed_processes_are_removed(folder, tmp_path):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    cache[0]
    old = cache.path(0).with_name(".aa.partial")
    young = cache.path(0).with_name(".bb.partial")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - ABANDONED_S - 5,) * 2)
    CachedSamples(windows(folder), tmp_path / "cache")
    assert not old.exists()
    assert young.exists()
    assert cache.path(0).exists()


def race(cache, barrier, queue):
    torch.set_num_threads(1)
    barrier.wait(60)
    queue.put(pickle.dumps([cache[i].left.numpy() for _ in range(5) for i in (0, 1)]))


def test_concurrent_writers_agree(folder, tmp_path):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    expected = [windows(folder)[i].left.numpy() for i in (0, 1)]
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(4), context.Queue()
    children = [context.Process(target=race, args=(cache, barrier, queue)) for _ in range(4)]
    for child in children:
        child.start()
    for _ in children:
        found = pickle.loads(queue.get(timeout=60))
        assert all(np.array_equal(a, expected[i % 2]) for i, a in enumerate(found))
    for child in children:
        child.join(60)
    assert cache.counts().damaged == 0
    assert cache.size().files == 2
    assert not list((tmp_path / "cache").rglob("*.partial"))
    assert equal(cache[0], windows(folder)[0])


def test_workers_share_files_and_counts(folder, tmp_path):
    cache = CachedSamples(windows(folder), tmp_path / "cache", (VerticalFlip(),))
    loader = build_loader(cache, 1, workers=2, start_method="fork", seed=3)
    direct = build_loader(windows(folder, augmentations=(VerticalFlip(),)), 1, seed=3)
    for _ in range(2):
        for batch, expected in zip(loader, direct, strict=True):
            assert torch.equal(batch.left, expected.left)
            assert torch.equal(batch.disparity, expected.disparity)
    assert numbers(cache) == (2, 2, 0, 0)


def write_and_clear(cache, ready):
    torch.set_num_threads(1)
    ready.set()
    while True:
        for index in range(2):
            cache[index]
        cache.clear()


def test_killed_writers_leave_nothing_wrong(folder, tmp_path):
    expected = [windows(folder)[i] for i in range(2)]
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    context = multiprocessing.get_context("fork")
    for pause in (0.0, 0.003, 0.011, 0.02, 0.031, 0.05):
        ready = context.Event()
        writer = context.Process(target=write_and_clear, args=(cache, ready))
        writer.start()
        assert ready.wait(30)
        time.sleep(pause)
        writer.kill()
        writer.join(30)
        assert writer.exitcode == -signal.SIGKILL
        assert all(equal(cache[i], expected[i]) for i in range(2))
    assert cache.counts().damaged == 0
    assert cache.counts().made > 2, "the writers wrote"


def test_the_description_is_frozen_and_travels(folder, tmp_path):
    cache = CachedSamples(windows(folder), tmp_path / "cache")
    cache[0]
    copy = pickle.loads(pickle.dumps(cache))
    assert equal(copy[0], cache[0])
    with pytest.raises(AttributeError):
        cache.seed = 3
    for index in (-1, 2):
        with pytest.raises(IndexError, match=f"Sample {index} of 2"):
            cache[index]
    assert replace(cache, compression=1)[0].t_us == cache[0].t_us
