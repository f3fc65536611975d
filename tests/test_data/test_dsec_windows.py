"""Windows of DSEC files: equal to a mask over all events, whatever the recording looks like."""

import multiprocessing
import os
import pickle
import threading

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference.dsec_files import (
    Windows,
    masked,
    on_sensor,
    raw_columns,
    true_table,
    write_events,
    write_sequence,
)  # fmt: skip

from data import RecordingError
from data.dsec import DsecRecording, blocks
from data.dsec import events as dsec_events
from data.recording import Recording

OFFSET_US = 53_193_302_164

FILES = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""Every example writes files: looking for a smaller one would take minutes."""

GAPS = st.one_of(
    st.just(0), st.integers(1, 40), st.integers(900, 1100), st.integers(3_000, 30_000)
)  # fmt: skip

TIMES = st.builds(
    lambda start, gaps: np.cumsum([start, *gaps]),
    st.sampled_from([0, 1, 999, 1000, 1001, 54_321]),
    st.lists(GAPS, max_size=60),
)


@pytest.fixture(params=["blocks", "direct"])
def small_blocks(request, monkeypatch):
    """Read blocks of a few events, so that short recordings have many; or as if they were long."""
    monkeypatch.setattr(dsec_events, "BLOCK", 4)
    if request.param == "direct":
        monkeypatch.setattr(dsec_events, "DIRECT_SHARE", 0)


def check(recording, columns, offset, t0_us, t1_us):
    events = recording.events("left", t0_us, t1_us)
    expected, _ = masked(columns, offset, t0_us, t1_us)
    types = (np.int64, np.uint16, np.uint16, np.bool_)
    for name, values, kind in zip("txyp", expected, types, strict=True):
        found = getattr(events, name)
        assert found.dtype == kind
        np.testing.assert_array_equal(found, values)


def edges(times):
    """Draw limits near events, near whole milliseconds, and far away."""
    near = st.tuples(st.sampled_from(times.tolist()), st.integers(-2, 2)).map(sum)
    whole = st.tuples(st.integers(-2, int(times[-1]) // 1000 + 3), st.integers(-1, 1))
    far = st.sampled_from([-(10**30), -(2**63), -(10**12), 10**12, 2**32, 2**63, 10**30])
    return st.one_of(near, whole.map(lambda pair: 1000 * pair[0] + pair[1]), far)


# ---- properties


@pytest.mark.usefixtures("small_blocks")
@settings(FILES, max_examples=40)
@given(
    st.data(), TIMES, st.integers(0, 10**6), st.sampled_from([None, 3, 7]),
    st.sampled_from([None, 0, OFFSET_US]),
)  # fmt: skip
def test_windows_equal_a_mask_over_all_events(tmp_path_factory, data, t, seed, chunk, offset):
    left, right = raw_columns(seed, t), raw_columns(seed + 1, t)
    folder = tmp_path_factory.mktemp("windows")
    write_sequence(folder, left, right, chunk=chunk, offset=offset)
    shift = offset or 0
    with DsecRecording(folder) as recording:
        assert recording.total["left"] == t.size
        assert recording.span_us == (int(t[0]) + shift, int(t[-1]) + shift)
        for _ in range(8):
            a, b = data.draw(edges(t)), data.draw(edges(t))
            check(recording, left, shift, a + shift, b + shift)
        recording.events("left", -(10**12), 10**12)
    with DsecRecording(folder) as recording:
        for a, b in zip([-(10**12), *np.unique(t)], [*np.unique(t), 10**12], strict=True):
            recording.events("left", int(a) + shift, int(b) + shift)
        assert recording.dropped == {"left": int((~on_sensor(left)).sum()), "right": 0}


@pytest.mark.usefixtures("small_blocks")
@settings(FILES, max_examples=25)
@given(st.data(), TIMES, st.integers(0, 10**6))
def test_windows_by_number_equal_the_general_way(tmp_path_factory, data, t, seed):
    left, right = raw_columns(seed, t), raw_columns(seed + 1, t[t.size // 3 :])
    folder = write_sequence(tmp_path_factory.mktemp("number"), left, right, offset=OFFSET_US)
    with DsecRecording(folder) as recording, DsecRecording(folder) as general:
        for _ in range(6):
            stop = data.draw(edges(t)) + OFFSET_US
            count = data.draw(st.one_of(st.integers(0, 12), st.just(10**9)))
            found = recording.last_events("left", stop, count)
            expected = Recording.last_events(general, "left", stop, count)
            for name in "txyp":
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            start = recording.span_us[0]
            (times, *_), _ = masked(left, OFFSET_US, start, stop)
            np.testing.assert_array_equal(found.t, times[max(0, times.size - count) :])


# ---- traps of the layout, by name


@pytest.fixture
def flat(tmp_path):
    """Give columns of a recording with ties and a gap, and its folder."""
    t = np.array([0, 500, 2100, 5000, 5000, 7100, 7200, 7200, 8100, 9000, 9000])
    left = raw_columns(5, t)
    return left, write_sequence(tmp_path / "seq", left, raw_columns(6, t), offset=OFFSET_US)


@pytest.mark.parametrize(
    ("t0", "t1", "count"),
    [
        (8_500, 60_000, 2), (9_000, 9_001, 2), (9_001, 60_000, 0), (60_000, 110_000, 0),
        (-50_000, 0, 0), (-50_000, 1, 1), (-60_000, -10_000, 0), (5_000, 5_000, 0),
        (7_200, 5_000, 0), (2_101, 4_999, 0), (3_000, 4_000, 0), (5_000, 5_001, 2),
        (0, 10**15, 11), (-(10**15), 10**15, 11),
    ],
)  # fmt: skip
def test_windows_at_every_border(flat, t0, t1, count):
    left, folder = flat
    recording = DsecRecording(folder)
    check(recording, left, OFFSET_US, OFFSET_US + t0, OFFSET_US + t1)
    (times, *_), outside = masked(left, OFFSET_US, OFFSET_US + t0, OFFSET_US + t1)
    assert times.size + outside == count


@pytest.mark.usefixtures("without_shape_checks")
def test_numpy_numbers_as_limits(flat):
    _, folder = flat
    recording = DsecRecording(folder)
    for kind in (np.int64, np.uint64):
        events = recording.events("left", kind(OFFSET_US + 500), kind(OFFSET_US + 7_000))
        assert set((events.t - OFFSET_US).tolist()) <= {500, 2100, 5000}


@pytest.mark.parametrize("kind", ["<u4", ">u4", "<i8", "<u8", "<i4"])
@pytest.mark.parametrize("offset", [OFFSET_US, np.array([OFFSET_US]), np.uint64(OFFSET_US), None])
def test_every_type_of_time_and_offset(tmp_path, kind, offset):
    t = np.array([0, 10, 1_999, 2_000, 65_000])
    left = raw_columns(1, t)
    folder = write_sequence(
        tmp_path, left, raw_columns(2, t), offset=offset, types={"t": kind, "x": ">i4"}
    )
    shift = 0 if offset is None else OFFSET_US
    recording = DsecRecording(folder)
    check(recording, left, shift, shift + 10, shift + 2_000)
    check(recording, left, shift, shift - 10, shift + 70_000)


def test_times_up_to_the_end_of_uint32(tmp_path):
    t = np.array([2**32 - 2_000, 2**32 - 1, 2**32 - 1])
    left = raw_columns(1, t)
    write_sequence(tmp_path, left, left, offset=OFFSET_US, table=np.zeros(1, np.uint64))
    recording = DsecRecording(tmp_path)
    for a, b in [(0, 2**33), (2**32 - 1, 2**32), (2**32, 2**33), (2**32 - 2_000, 2**32 - 1)]:
        check(recording, left, OFFSET_US, OFFSET_US + a, OFFSET_US + b)


def test_the_first_ground_truth_has_no_events(sequence, pair):
    recording = DsecRecording(sequence)
    t_us = int(recording.disparity_t_us[0])
    assert len(recording.events("left", t_us - 50_000, t_us)) == 0
    assert len(recording.last_events("left", t_us, 1_000)) == 0
    for t_us in recording.disparity_t_us[1:]:
        assert len(recording.events("left", int(t_us) - 50_000, int(t_us))) > 0


def test_fewer_events_than_are_asked_for(sequence, pair):
    recording = DsecRecording(sequence)
    all_of_it = recording.last_events("left", recording.span_us[1] + 1, 5_000_000)
    expected = recording.events("left", *recording.span_us)
    assert len(all_of_it) >= len(expected) > 0


def test_an_absurd_t_offset_is_refused(tmp_path):
    t = np.array([0, 1])
    for offset in (np.uint64(2**64 - 1), np.int64(-(2**63)), np.float64(5.0), np.bytes_(b"5")):
        write_sequence(tmp_path, raw_columns(1, t), raw_columns(2, t), offset=offset)
        with pytest.raises(RecordingError, match="t_offset"):
            DsecRecording(tmp_path)


def test_a_header_that_claims_a_million_million_events(tmp_path):
    t = np.array([0, 1])
    write_sequence(tmp_path, raw_columns(1, t), raw_columns(2, t), offset=0)
    path = tmp_path / "events" / "left" / "events.h5"
    with h5py.File(path, "r+") as file:
        for name in "txyp":
            kind = file[f"events/{name}"].dtype
            del file[f"events/{name}"]
            file.create_dataset(f"events/{name}", (10**12,), kind, chunks=(1 << 16,))
    with pytest.raises(RecordingError, match="claims 1000000000000 values, which do not fit"):
        DsecRecording(tmp_path)


def test_a_writer_that_did_not_finish(tmp_path):
    t = np.arange(3_000)
    write_sequence(tmp_path, raw_columns(1, t), raw_columns(2, t), chunk=100)
    path = tmp_path / "events" / "left" / "events.h5"
    with h5py.File(path, "r+") as file:
        values = file["events/x"][:2_900]
        del file["events/x"]
        file.create_dataset("events/x", (3_000,), "<u2", chunks=(100,))[:2_900] = values
    with pytest.raises(RecordingError, match="Parts of /events/x in .* were never written"):
        DsecRecording(tmp_path)


@pytest.mark.usefixtures("small_blocks")
def test_disorder_between_blocks(tmp_path):
    t = np.arange(40) * 100
    t[20:] -= 300
    left = raw_columns(1, t)
    table = true_table(np.sort(t))
    write_sequence(tmp_path, left, left, table=table)
    with pytest.raises(RecordingError, match="not sorted: event 20 has t=1700 us after t=1900"):
        DsecRecording(tmp_path).events("left", 0, 10**6)
    with pytest.raises(RecordingError, match="not sorted: event 20"):
        DsecRecording(tmp_path).last_events("left", 10**6, 40)


# ---- memory


def test_unpacked_events_stay_within_the_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(dsec_events, "BLOCK", 100)
    kept = blocks.BlockCache(20_000)
    monkeypatch.setattr(dsec_events, "SHARED", kept)
    t = np.arange(30_000) * 10
    left = raw_columns(1, t)
    write_sequence(tmp_path, left, left, chunk=100)
    recording, other = DsecRecording(tmp_path), DsecRecording(tmp_path)
    for start in range(0, 300_000, 30_000):
        check(recording, left, 0, start, start + 7_000)
        check(other, left, 0, start, start + 1_000)
        recording.last_events("left", start + 20_000, 300)
        assert 0 < kept.held_bytes <= 20_000
        assert not kept._uses
    recording.close()
    other.close()
    assert kept.held_bytes == 0


def test_large_files_are_read_without_keeping_anything(flat, monkeypatch):
    kept = blocks.BlockCache(10**6)
    monkeypatch.setattr(dsec_events, "SHARED", kept)
    monkeypatch.setattr(dsec_events, "DIRECT_SHARE", 0)
    left, folder = flat
    recording = DsecRecording(folder)
    for a, b in [(5_000, 7_200), (2_000, 2_200), (2_200, 4_000), (1_000, 8_999)]:
        check(recording, left, OFFSET_US, OFFSET_US + a, OFFSET_US + b)
        assert kept.held_bytes == 0
    recording.close()
    table = np.array([0, 5, 5, 5, 5, 5, 8, 8, 8, 8])
    write_sequence(folder, left, left, offset=OFFSET_US, table=table)
    with DsecRecording(folder) as recording:
        check(recording, left, OFFSET_US, OFFSET_US + 5_000, OFFSET_US + 7_200)
        check(recording, left, OFFSET_US, OFFSET_US + 2_000, OFFSET_US + 7_200)
        assert kept.held_bytes > 0  # the table was found wrong


def block(index, size):
    nothing = np.empty(0, np.uint16)
    return blocks.Block(
        key=(1, index), start=0, stop=1, first=0, last=0, t=np.empty(0, np.uint32), x=nothing,
        y=nothing, p=np.zeros(0, bool), outside=np.empty(0, np.uint32),
        buffer=np.zeros(size, np.uint8),
    )  # fmt: skip


def test_the_block_cache_forgets_the_oldest():
    cache = blocks.BlockCache(100)
    made = [block(index, 30) for index in range(4)]
    for one in made:
        cache.put(one)
        cache.release([one, cache.get((1, 0))])
    assert [cache.get((1, n)) is not None for n in range(4)] == [True, False, True, True]
    assert cache.held_bytes == 90
    giant = block(9, 101)
    cache.put(giant)
    assert (cache.get((1, 9)), cache.held_bytes) == (None, 90)
    cache.forget(2)
    assert cache.held_bytes == 90
    cache.forget(1)
    assert cache.held_bytes == 0
    cache.put(block(0, 10))
    cache._process = os.getpid() + 1  # as after a fork
    assert cache.get((1, 0)) is None
    assert cache.held_bytes == 0


def test_memory_in_use_is_not_given_away():
    cache = blocks.BlockCache(50)
    first, second = block(0, 40), block(1, 40)
    cache.put(first)
    cache.put(second)  # the first has to go, but is in use
    assert cache.get((1, 0)) is None
    assert cache.buffer(40) is not first.buffer
    cache.release([first])
    assert cache.buffer(40) is first.buffer
    twin = block(1, 40)
    cache.put(twin)  # read by another thread meanwhile: the first one stays
    cache.release([second])
    assert cache.get((1, 1)) is second
    cache.release([twin])
    assert cache.buffer(40) is twin.buffer


# ---- workers


def window_list(count=24):
    return [(OFFSET_US + 3_000 * n, OFFSET_US + 3_000 * n + 20_000) for n in range(count)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same(sequence, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    windows = Windows(sequence, window_list())
    expected = [windows[n] for n in range(len(windows))]
    loader = torch.utils.data.DataLoader(
        windows,
        batch_size=4,
        num_workers=2 if method == "fork" else 1,
        multiprocessing_context=method,
    )
    found = np.concatenate([batch.numpy() for batch in loader])
    np.testing.assert_array_equal(found, np.stack(expected))
    assert len({tuple(row) for row in found.tolist()}) > 20


def test_threads_read_the_same(sequence):
    windows = Windows(sequence, window_list())
    expected = [windows[n] for n in range(len(windows))]
    windows.recording.close()
    found = {}

    def work(first):
        for n in range(first, len(windows), 3):
            found[n] = windows[n]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.stack([found[n] for n in range(len(windows))]), expected)


def test_a_pickle_is_small(sequence):
    recording = DsecRecording(sequence)
    recording.events("left", 0, 10**12)
    assert len(pickle.dumps(recording)) < 20_000


def test_the_twin_and_the_table_agree_with_the_published_example(tmp_path):
    t = np.array([0, 500, 2100, 5000, 5000, 7100, 7200, 7200, 8100, 9000])
    assert true_table(t).tolist() == [0, 2, 2, 3, 3, 3, 5, 5, 8, 9]
    write_events(tmp_path / "events.h5", raw_columns(0, t))
    with h5py.File(tmp_path / "events.h5") as file:
        assert file["ms_to_idx"][()].tolist() == [0, 2, 2, 3, 3, 3, 5, 5, 8, 9]
