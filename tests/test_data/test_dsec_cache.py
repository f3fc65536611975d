"""The event cache of DSEC: the same events as without it, and never a half or a wrong one."""

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference.dsec_files import Windows, on_sensor, raw_columns, write_sequence
from reference.pairs import OFFSET_US

from data import RecordingError
from data.dsec import DsecRecording
from data.dsec import cache as event_cache
from data.dsec import events as dsec_events
from data.dsec.cache import (
    CacheUnusableError,
    cache_entries,
    cached_events,
    clear_cache,
    verify,
)  # fmt: skip
from data.dsec.columns import ColumnWriter, DamagedError, open_column
from data.recording import CAMERAS

FAR_US = OFFSET_US + 10**9
COLUMNS = ("t", "x", "y", "p", "outside", "ms")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def entries(folder):
    return sorted(folder.iterdir()) if folder.is_dir() else []


def same(ours, theirs):
    for name in "txyp":
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def left_h5(sequence):
    return sequence / "events" / "left" / "events.h5"


# ---- the same events


@settings(max_examples=40, phases=(Phase.explicit, Phase.generate))
@given(
    st.data(),
    st.sampled_from([0, 7, 999, 4_321_000]),
    st.lists(
        st.one_of(st.just(0), st.integers(1, 40), st.integers(900, 1100), st.just(25_000)),
        max_size=50,
    ),
    st.integers(0, 10**6),
)
def test_the_cache_changes_nothing(tmp_path_factory, data, start, gaps, seed):
    t = np.cumsum([start, *gaps])
    path = tmp_path_factory.mktemp("seq")
    left, right = raw_columns(seed, t), raw_columns(seed + 1, t[t.size // 3 :])
    block = dsec_events.BLOCK
    dsec_events.BLOCK = 4
    try:
        write_sequence(path, left, right, offset=OFFSET_US)
        plain, ours = DsecRecording(path), DsecRecording(path, cache=path / "cache")
        assert ours.cache_problems == {}
        assert (ours.span_us, ours.total) == (plain.span_us, plain.total)
        near = st.tuples(st.sampled_from(t.tolist()), st.integers(-2, 2)).map(sum)
        far = st.sampled_from([-(10**30), -(10**12), 10**12, 2**32, 10**30])
        for _ in range(8):
            camera = data.draw(st.sampled_from(CAMERAS))
            a, b = (OFFSET_US + data.draw(st.one_of(near, far)) for _ in range(2))
            same(ours.events(camera, a, b), plain.events(camera, a, b))
            count = data.draw(st.sampled_from([0, 1, 2, 5, 10**9]))
            same(ours.last_events(camera, b, count), plain.last_events(camera, b, count))
            assert ours.dropped == plain.dropped
        everything = ours.events("left", -(10**12), 10**12)
        assert len(everything) == int(on_sensor(left).sum())
    finally:
        dsec_events.BLOCK = block


def test_columns_are_views_that_cannot_be_changed(sequence, folder):
    recording = DsecRecording(sequence, cache=folder)
    events = recording.events("left", OFFSET_US, FAR_US)
    mapped = recording._files["left"]._columns
    for name in "xyp":
        assert np.shares_memory(getattr(events, name), mapped[name])
        with pytest.raises(ValueError, match="read-only"):
            getattr(events, name)[0] = 1
    assert events.t.flags.writeable


def test_nothing_is_unpacked_twice(sequence, folder, monkeypatch):
    DsecRecording(sequence, cache=folder)
    names = [place.name for place in entries(folder)]
    assert len(names) == 2
    monkeypatch.setattr(event_cache, "EventFile", None)
    DsecRecording(sequence, cache=str(folder)).events("left", OFFSET_US, FAR_US)
    assert [place.name for place in entries(folder)] == names


def test_the_users_folder_and_never_beside_the_data(sequence, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    before = sorted(sequence.rglob("*"))
    recording = DsecRecording(sequence, cache=True)
    assert recording.cache_problems == {}
    assert sorted(sequence.rglob("*")) == before
    assert len(entries(tmp_path / "home" / "stereo" / "dsec-events")) == 2
    assert sum(entry.bytes for entry in cache_entries()) > 9 * sum(recording.total.values())
    shutil.rmtree(tmp_path / "home")
    for off in (None, False):
        DsecRecording(sequence, cache=off)
    assert not (tmp_path / "home").exists()


def test_it_survives_pickling_closing_and_workers(sequence, folder):
    windows = Windows(sequence, [(OFFSET_US + 4_000 * n, OFFSET_US + 90_000) for n in range(9)],
                      cache=folder)  # fmt: skip
    expected = np.stack([windows[n] for n in range(9)])
    copy = pickle.loads(pickle.dumps(windows))
    assert len(pickle.dumps(windows)) < 20_000
    windows.recording.close()
    for one in (windows, copy):
        np.testing.assert_array_equal(np.stack([one[n] for n in range(9)]), expected)
    for method in {"fork", "spawn"} & set(multiprocessing.get_all_start_methods()):
        loader = torch.utils.data.DataLoader(
            windows, batch_size=3, num_workers=1, multiprocessing_context=method
        )
        np.testing.assert_array_equal(np.concatenate(list(loader)), expected)


def test_a_camera_whose_every_event_is_outside(tmp_path, folder):
    t = np.arange(20) * 700
    left = raw_columns(0, t) | {"x": np.full(20, 500)}
    write_sequence(tmp_path / "s", left, raw_columns(1, t), offset=OFFSET_US)
    recording = DsecRecording(tmp_path / "s", cache=folder)
    assert recording.cache_problems == {}
    assert len(recording.events("left", OFFSET_US, OFFSET_US + 7_000)) == 0
    assert recording.dropped["left"] == 10
    assert len(recording.last_events("left", FAR_US, 5)) == 0
    assert recording.dropped["left"] == 20


# ---- out of date, damaged, killed


def test_a_file_that_changes_is_read_anew(tmp_path, folder):
    t = np.arange(50) * 100
    for seed in range(3):
        left = raw_columns(seed, t)
        write_sequence(tmp_path / "s", left, left, offset=OFFSET_US)
        os.utime(left_h5(tmp_path / "s"), ns=(10**18, 10**18 + seed))
        ours = DsecRecording(tmp_path / "s", cache=folder).events("left", OFFSET_US, FAR_US)
        np.testing.assert_array_equal(ours.x, left["x"][on_sensor(left)])
        sources = [entry.source for entry in cache_entries(folder)]
        assert len(sources) == len(set(sources)) == 2  # the older state is gone


def damage_byte(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x41
    path.write_bytes(data)


@pytest.mark.parametrize("name", [f"{name}.npy" for name in COLUMNS] + ["about.json"])
@pytest.mark.parametrize("how", ["gone", "empty", "half", "longer", "first", "last", "header"])
def test_damage_is_found_and_mended(sequence, folder, name, how):
    expected = DsecRecording(sequence).events("left", OFFSET_US, FAR_US)
    DsecRecording(sequence, cache=folder)
    for entry in entries(folder):
        path = entry / name
        data = path.read_bytes()
        if how == "gone":
            path.unlink()
        elif how in ("first", "last", "header"):
            damage_byte(path, {"first": 0, "last": -1, "header": min(70, len(data) - 1)}[how])
        else:
            path.write_bytes({"empty": b"", "half": data[: len(data) // 2]}.get(how, data + b"0"))
    recording = DsecRecording(sequence, cache=folder)
    assert recording.cache_problems == {}
    same(recording.events("left", OFFSET_US, FAR_US), expected)
    assert len(entries(folder)) == 2
    for entry in entries(folder):
        verify(entry)


def test_a_description_of_another_file_or_with_nonsense(sequence, folder):
    DsecRecording(sequence, cache=folder)
    for entry in entries(folder):
        about = json.loads((entry / "about.json").read_text())
        for change in ({"base_us": None}, {"columns": {}}, {"ends_us": []}, {"source": "/x"}):
            wrong = {k: v for k, v in (about | change).items() if k != "proof"}
            text = json.dumps(wrong | {"proof": event_cache._proof(wrong)})
            (entry / "about.json").write_text(text)
            assert DsecRecording(sequence, cache=folder).cache_problems == {}
            verify(entry)
        for text in ("[]", "3", "{" * 3000, json.dumps(about | {"count": 1})):
            (entry / "about.json").write_text(text)
            assert DsecRecording(sequence, cache=folder).cache_problems == {}


def test_a_change_in_the_middle_is_found_by_verify(tmp_path):
    folder = tmp_path / "entry"
    folder.mkdir()
    writer = ColumnWriter(folder / "x.npy", np.uint16)
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 640, 70_000).astype(np.uint16) for _ in range(3)]
    for piece in pieces:
        writer.add(piece)
    proof = writer.finish()
    np.testing.assert_array_equal(open_column(folder / "x.npy", proof), np.concatenate(pieces))
    np.testing.assert_array_equal(np.load(folder / "x.npy"), np.concatenate(pieces))
    assert proof["sum"] == zlib.crc32(np.concatenate(pieces).tobytes())
    damage_byte(folder / "x.npy", 200_000)
    open_column(folder / "x.npy", proof)
    with pytest.raises(DamagedError, match="x.npy was changed"):
        open_column(folder / "x.npy", proof, whole=True)


def test_verify_names_the_entry(sequence, folder):
    DsecRecording(sequence, cache=folder)
    entry = entries(folder)[0]
    damage_byte(entry / "y.npy", 2_000)
    with pytest.raises(RecordingError, match="is damaged .*y.npy was changed.*; delete it"):
        verify(entry)


def fill_slowly(sequence, folder, started):
    """Fill the cache, stopping for long after the first block."""

    def wait(_):
        started.set()
        time.sleep(60)

    cached_events(left_h5(sequence), 64, 48, folder, progress=wait)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no way to kill here")
def test_a_killed_process_leaves_nothing_that_is_used(sequence, folder):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=fill_slowly, args=(sequence, folder, started))
    process.start()
    assert started.wait(30)
    process.kill()
    process.join()
    (left,) = entries(folder)
    assert left.name.endswith(".partial")
    recording = DsecRecording(sequence, cache=folder)
    assert recording.cache_problems == {}
    assert len(entries(folder)) == 3  # it may still belong to somebody
    os.utime(left, (0, 0))
    for file in left.iterdir():
        os.utime(file, (0, 0))
    clear_cache(folder, source=left_h5(sequence))
    DsecRecording(sequence, cache=folder)
    assert left not in entries(folder)


def open_once(sequence, folder, barrier, results):
    """Open through the cache at the same time as others."""
    barrier.wait()
    recording = DsecRecording(sequence, cache=folder)
    events = recording.events("left", OFFSET_US, FAR_US)
    results.put((recording.cache_problems, len(events), int(events.x.sum())))


def test_many_may_fill_it_at_once(sequence, folder):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    work = [
        context.Process(target=open_once, args=(sequence, folder, barrier, results))
        for _ in range(4)
    ]
    for process in work:
        process.start()
    found = [results.get(timeout=60) for _ in work]
    for process in work:
        process.join()
    events = DsecRecording(sequence).events("left", OFFSET_US, FAR_US)
    assert found == [({}, len(events), int(events.x.sum()))] * 4
    assert [place.suffix for place in entries(folder)] == ["", ""]


def test_it_may_be_removed_while_open(sequence, folder):
    recording = DsecRecording(sequence, cache=folder)
    expected = recording.events("left", OFFSET_US, FAR_US)
    assert clear_cache(folder) > 0
    same(recording.events("left", OFFSET_US, FAR_US), expected)
    recording.close()
    with pytest.raises(RecordingError, match="removed or damaged meanwhile .*Open the recording"):
        recording.events("left", OFFSET_US, FAR_US)


# ---- where it cannot be


def unusable(sequence, folder, reason):
    with pytest.warns(RuntimeWarning, match="are read without the cache"):
        recording = DsecRecording(sequence, cache=folder)
    assert set(recording.cache_problems) == {"left", "right"}
    for text in recording.cache_problems.values():
        assert reason in text
    plain = DsecRecording(sequence)
    same(recording.events("left", OFFSET_US, FAR_US), plain.events("left", OFFSET_US, FAR_US))
    assert not [place for place in entries(folder) if place.name.endswith(".partial")]


def test_no_room(sequence, folder, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    unusable(sequence, folder, "there are 1000 bytes left at")


def test_the_disk_fills_up_meanwhile(sequence, folder, monkeypatch):
    def full(self, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ColumnWriter, "add", full)
    unusable(sequence, folder, "No space left on device")


def test_a_place_that_is_a_file(sequence, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="are read without the cache"):
        recording = DsecRecording(sequence, cache=tmp_path / "file")
    assert len(recording.events("left", OFFSET_US, FAR_US)) == 3_000


def test_a_recording_longer_than_the_columns_hold(tmp_path, folder):
    t = np.array([0, 5, 2**32 + 5])
    left = raw_columns(0, t)
    table = np.zeros(1, np.uint64)
    write_sequence(tmp_path / "s", left, left, offset=OFFSET_US, types={"t": "<i8"}, table=table)
    unusable(tmp_path / "s", folder, "longer than the 71 minutes")


def test_a_recording_that_is_damaged_somewhere(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(dsec_events, "BLOCK", 10)
    t = np.arange(50) * 100
    t[45] = 0
    left = raw_columns(0, t)
    write_sequence(tmp_path / "s", left, left, table=np.zeros(1, np.uint64))
    with pytest.raises(CacheUnusableError, match="not sorted: event 45"):
        cached_events(left_h5(tmp_path / "s"), 12, 9, folder)
    assert entries(folder) == []
    with pytest.warns(RuntimeWarning, match="not sorted"):
        recording = DsecRecording(tmp_path / "s", cache=folder)
    recording.events("left", 0, 3_000)


# ---- housekeeping


def test_what_it_takes_and_how_to_get_it_back(sequence, folder, tmp_path):
    other = shutil.copytree(sequence, tmp_path / "hall_00_b")
    for path in (sequence, other):
        DsecRecording(path, cache=folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    found = cache_entries(folder)
    assert {entry.source for entry in found} == {
        path / "events" / camera / "events.h5" for path in (sequence, other) for camera in CAMERAS
    }
    sizes = [sum(p.stat().st_size for p in entry.folder.iterdir()) for entry in found]
    assert [entry.bytes for entry in found] == sizes
    assert clear_cache(folder, source=left_h5(other)) in sizes
    assert len(cache_entries(folder)) == 3
    clear_cache(folder, source=sequence)
    assert [entry.source.parents[2] for entry in cache_entries(folder)] == [Path(other)]
    clear_cache(folder)
    assert [place.name for place in entries(folder)] == ["notes"]
    assert (folder / "notes" / "mine.txt").read_text() == "mine"
    assert cache_entries(tmp_path / "nowhere") == []
    assert clear_cache(tmp_path / "nowhere") == 0


def test_progress_is_told(sequence, folder, monkeypatch):
    monkeypatch.setattr(dsec_events, "BLOCK", 1_000)
    with_chunks = raw_columns(0, np.arange(5_000))
    write_sequence(sequence.parent / "s", with_chunks, with_chunks, chunk=1_000)
    told = []
    cached_events(left_h5(sequence.parent / "s"), 12, 9, folder, told.append)
    assert told == [0.2, 0.4, 0.6, 0.8, 1.0]
