"""The loader: the same batches however they are made, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from reference.pairs import small_pair
from reference.recordings import FakeRecording

import data.loading
from data import RecordingError
from data.augment import EventDrop, NoiseEvents, VerticalFlip
from data.datasets import StereoWindows
from data.draws import Draw
from data.dsec import write_dsec
from data.encode import ENCODINGS
from data.loading import SeededSampler, build_loader
from data.sample import collate
from data.sample_cache import CachedSamples

ROOT = Path(__file__).parents[2]
STAMPS = tuple(range(60_000, 200_000, 20_000))


def dataset(recording=None, **options):
    return StereoWindows(
        recordings=recording or FakeRecording(stamps=STAMPS, count=2_000),
        encoding=ENCODINGS["voxel"](bins=2),
        steps=2,
        window_us=50_000,
        augmentations=(VerticalFlip(), EventDrop(most_share=0.5), NoiseEvents(most_hz=5.0)),
        **options,
    )


def tensors(batch):
    return [batch.left, batch.right, batch.disparity, batch.valid]


def equal(first, second):
    return len(first) == len(second) and all(
        a.t_us == b.t_us and a.meta == b.meta and all(map(torch.equal, tensors(a), tensors(b)))
        for a, b in zip(first, second)
    )


@pytest.fixture(scope="module")
def expected():
    """Return three epochs of batches made in this process."""
    loader = build_loader(dataset(), 3, seed=4)
    return [list(loader) for _ in range(3)]


# What batches hold


def test_a_batch_is_samples_side_by_side(expected):
    batch = expected[0][0]
    assert batch.left.shape == (2, 3, 2, 32, 40)
    assert batch.disparity.shape == (3, 32, 40)
    data_set = dataset()
    for place, meta in enumerate(batch.meta):
        sample = data_set[Draw(STAMPS.index(batch.t_us[place]), 0)]
        assert meta == sample.meta
        assert torch.equal(batch.left[:, place], sample.left)
        assert torch.equal(batch.right[:, place], sample.right)
        assert torch.equal(batch.disparity[place], sample.disparity)
        assert torch.equal(batch.valid[place], sample.valid)


def test_every_epoch_holds_every_item_once_in_another_order(expected):
    orders = [[t for batch in epoch for t in batch.t_us] for epoch in expected]
    assert all(sorted(order) == list(STAMPS) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [len(batch.t_us) for batch in expected[0]] == [3, 3, 1]


def test_the_same_item_is_augmented_anew_in_each_epoch(expected):
    lefts = {
        epoch: batch.left[:, batch.t_us.index(STAMPS[2])]
        for epoch, batches in enumerate(expected)
        for batch in batches
        if STAMPS[2] in batch.t_us
    }
    assert not torch.equal(lefts[0], lefts[1])
    assert not torch.equal(lefts[1], lefts[2])


@pytest.mark.parametrize(("workers", "method"), [(1, "fork"), (2, "fork")])
def test_batches_do_not_depend_on_workers(expected, workers, method):
    loader = build_loader(dataset(), 3, seed=4, workers=workers, start_method=method)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert all(equal(list(loader), epoch) for epoch in expected)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.slow
def test_spawned_workers_share_a_cache_and_its_counts(tmp_path):
    write_dsec(tmp_path / "thun_00_a", **small_pair(2))
    windows = StereoWindows(
        recordings=tmp_path / "thun_00_a", encoding=ENCODINGS["spikes"](), steps=2, window_us=50_000
    )
    flip = (VerticalFlip(),)
    expected = list(build_loader(CachedSamples(windows, tmp_path / "one", flip), 1, seed=4))
    cache = CachedSamples(windows, tmp_path / "two", flip)
    loader = build_loader(cache, 1, seed=4, workers=2, start_method="spawn")
    assert equal(list(loader), expected)
    assert vars(cache.counts()) == {"hits": 0, "made": 2, "damaged": 0, "unstored": 0}
    list(loader)
    assert vars(cache.counts()) == {"hits": 2, "made": 2, "damaged": 0, "unstored": 0}


def test_seeds_and_orders():
    def order(**options):
        return [t for batch in build_loader(dataset(), 2, **options) for t in batch.t_us]

    assert order(seed=1) == order(seed=1) != order(seed=2)
    assert order(shuffle=False) == list(STAMPS)
    assert len(order(drop_last=True)) == 6


def test_a_stopped_pass_is_resumed(expected):
    loader = build_loader(dataset(), 3, seed=4)
    loader.order.epoch, loader.order.done = 1, 3
    assert len(loader) == 2
    assert equal(list(loader), expected[1][1:])
    assert equal(list(loader), expected[2])


def test_a_pass_that_was_left_early_does_not_disturb_the_next(expected):
    loader = build_loader(dataset(), 3, seed=4, workers=2, start_method="fork")
    for batch in loader:
        assert equal([batch], expected[0][:1])
        break
    assert equal(list(loader), expected[1])


def test_the_sampler_gives_draws():
    sampler = SeededSampler(5, seed=0, shuffle=True)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert {draw.epoch for draw in first} == {0}
    assert {draw.epoch for draw in second} == {1}
    assert len(sampler) == 5


def test_shared_batches_are_equal_and_shared():
    samples = [dataset()[i] for i in range(3)]
    plain, shared = collate(samples), collate(samples, shared=True)
    assert equal([plain], [shared])
    assert all(tensor.is_shared() and tensor.is_contiguous() for tensor in tensors(shared))
    assert not any(tensor.is_shared() for tensor in tensors(plain))


def test_batches_move_whole():
    batch = collate([dataset()[0]])
    there = batch.to("meta", non_blocking=True)
    assert all(tensor.device.type == "meta" for tensor in tensors(there))
    assert (there.t_us, there.meta) == (batch.t_us, batch.meta)
    assert equal([batch.to("cpu")], [batch])


def test_memory_is_pinned_if_there_is_a_gpu(monkeypatch):
    assert build_loader(dataset(), 1).pin_memory == torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert build_loader(dataset(), 1).pin_memory
    assert not build_loader(dataset(), 1, pin_memory=False).pin_memory


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_arrive_pinned(expected, workers):
    batches = list(build_loader(dataset(), 3, seed=4, workers=workers, start_method="spawn"))
    assert all(tensor.is_pinned() for batch in batches for tensor in tensors(batch))
    assert equal([batch.to("cuda", non_blocking=True).to("cpu") for batch in batches], expected[0])


# Errors


class Damaged(FakeRecording):
    """A recording of which one window cannot be read."""

    def disparity(self, index):
        if index == 2:
            raise RecordingError("third.png is damaged. Copy the file again.")
        return super().disparity(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_is_reported_in_the_same_words(workers):
    loader = build_loader(
        dataset(Damaged(stamps=STAMPS)), 2, workers=workers, shuffle=False, start_method="fork"
    )
    batches = iter(loader)
    assert next(batches).t_us == STAMPS[:2]
    with pytest.raises(RecordingError) as caught:
        next(batches)
    assert str(caught.value) == "third.png is damaged. Copy the file again."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size and prefetch of at least 1"),
        ({"workers": -1}, "got 2, 2, -1 and 0"),
        ({"prefetch": 0}, "got 2, 0, 0 and 0"),
        ({"seed": -1}, "got 2, 2, 0 and -1"),
    ],
)
def test_sizes_without_meaning_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        build_loader(dataset(), **({"batch_size": 2} | options))


def test_data_without_length_are_refused():
    with pytest.raises(ValueError, match="has no length"):
        build_loader(torch.utils.data.Dataset(), 1)


# Processes

SCRIPT = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from reference.recordings import FakeRecording
from data.datasets import StereoWindows
from data.encode import ENCODINGS
from data.loading import build_loader

if __name__ == "__main__":
    windows = StereoWindows(
        recordings=FakeRecording(stamps=tuple(range(60_000, 200_000, 1_000)), count=2_000),
        encoding=ENCODINGS["spikes"](), steps=2, window_us=50_000,
    )
    loader = build_loader(windows, 2, workers=2, start_method={method!r})
    try:
        while True:
            for batch in loader:
                print("batch", flush=True)
                time.sleep({pause})
    except KeyboardInterrupt:
        print("stopped", flush=True)
        sys.exit(130)
"""


def hear_ctrl_c():
    """Undo what a shell does to a job in the background, whose children ignore the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(tmp_path, method, pause=0.01):
    path = tmp_path / "train.py"
    path.write_text(
        SCRIPT.format(root=str(ROOT), tests=str(ROOT / "tests"), method=method, pause=pause)
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment, preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    assert process.stdout.readline() == "batch\n"
    return process


def session(leader):
    """Return the living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def wait_until_alone(leader, seconds=30):
    end = time.monotonic() + seconds
    while session(leader) and time.monotonic() < end:
        time.sleep(0.05)
    return session(leader)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
@pytest.mark.parametrize(("method", "pause"), [("fork", 60), ("spawn", 0.01)])
def test_a_killed_parent_leaves_no_orphans(tmp_path, method, pause):
    process = start(tmp_path, method, pause)
    with process.stdout, process.stderr:
        assert len(session(process.pid)) >= 3, "the parent and its workers are seen at all"
        process.kill()
        process.wait()
        left = wait_until_alone(process.pid)
    for orphan in left:
        os.kill(orphan, signal.SIGKILL)
    assert not left


@needs_proc
def test_ctrl_c_ends_quietly(tmp_path):
    process = start(tmp_path, "spawn")
    # The second batch comes from the second worker: both have started then, however busy the
    # machine is. One that has not finds its parent gone, and Python itself complains.
    assert process.stdout.readline() == "batch\n"
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith("stopped\n")
    assert errors == ""
    assert not wait_until_alone(process.pid)


def report(worker):
    """Return what a worker was set up to."""
    import cv2
    import numba

    data.loading.prepare_worker(worker)
    return torch.get_num_threads(), numba.get_num_threads(), cv2.getNumThreads()


def test_workers_use_one_thread_and_ignore_ctrl_c():
    import multiprocessing

    def child(queue):
        queue.put((report(0), signal.getsignal(signal.SIGINT) == signal.SIG_IGN))

    before = signal.getsignal(signal.SIGINT)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    threads, deaf = queue.get(timeout=30)
    process.join(30)
    assert threads == (1, 1, 1)
    assert deaf
    assert signal.getsignal(signal.SIGINT) == before
