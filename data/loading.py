"""Batches of samples, prepared by worker processes.

What a batch holds depends on the data set, the seed and the epoch, not on the number of workers or
how they are started. Workers use one thread each, ignore Ctrl-C, which is the parent's to answer,
and end with the parent however it ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, Literal

import cv2
import numba
import numpy as np
import torch

from data.draws import Draw
from data.errors import RecordingError
from data.sample import StereoBatch, StereoSample, collate

StartMethod = Literal["fork", "spawn", "forkserver"]

LOOK_EVERY_S = 1.0
"""How often a worker looks whether its parent is alive, where nothing tells it."""


class SeededSampler(torch.utils.data.Sampler[int]):
    """The order of the items, another one in each epoch, as ``Draw``s that carry the epoch.

    Each pass is the next epoch. To resume, set ``epoch`` (and ``done``) before the pass.

    Args:
        size: number of items.
        seed: of the order.
        shuffle: False for the order of the data set.

    Attributes:
        epoch: number of the next pass, from 0.
        done: items to leave out at the start of the next pass, which were seen before a stop.
    """

    def __init__(self, size: int, *, seed: int, shuffle: bool) -> None:
        self._size = size
        self._seed = seed
        self._shuffle = shuffle
        self.epoch = 0
        self.done = 0

    def __iter__(self) -> Iterator[int]:
        epoch, done = self.epoch, self.done
        self.epoch, self.done = epoch + 1, 0
        order = np.arange(self._size)
        if self._shuffle:
            order = np.random.default_rng((self._seed, epoch)).permutation(self._size)
        return iter([Draw(int(index), epoch) for index in order[done:]])

    def __len__(self) -> int:
        return self._size - self.done


class StereoLoader(torch.utils.data.DataLoader[StereoSample]):
    """A ``DataLoader`` of ``StereoBatch``es; made by ``build_loader``.

    Attributes:
        order: the sampler, whose epoch can be set to resume.
    """

    order: SeededSampler

    def __iter__(self) -> Iterator[StereoBatch]:  # type: ignore[override]
        """Start an epoch.

        Raises:
            RecordingError: a recording turned out to be damaged, with the same words as without
                workers.
        """
        with interrupts_later():
            batches = super().__iter__()
        try:
            yield from batches
        except RecordingError as error:
            # A worker's error arrives with the worker's traceback in its message.
            words = str(error).rsplit("RecordingError: ", 1)[-1].strip()
            raise RecordingError(words) from None


def build_loader(
    dataset: torch.utils.data.Dataset[StereoSample],
    batch_size: int,
    *,
    workers: int = 0,
    seed: int = 0,
    shuffle: bool = True,
    drop_last: bool = False,
    pin_memory: bool | None = None,
    prefetch: int = 2,
    start_method: StartMethod = "spawn",
) -> StereoLoader:
    """Return a loader that gives the batches of one epoch per pass.

    In memory are at most ``workers * prefetch`` batches besides the one in use.

    Args:
        dataset: samples of one size, with a length.
        batch_size: samples side by side; the last batch of an epoch may have fewer.
        workers: processes that prepare batches; 0 to prepare them in this one. They live on from
            epoch to epoch.
        seed: of the order of the items, 0 or more.
        shuffle: another random order in each epoch; False for the order of the data set.
        drop_last: leave out a last batch that is not full.
        pin_memory: put batches into page-locked memory, from which a GPU copies faster; by default
            if there is a GPU.
        prefetch: batches that each worker prepares ahead.
        start_method: ``spawn`` works everywhere, but scripts need their
            ``if __name__ == "__main__"``; ``fork`` starts faster, but is unsafe once this process
            has used several threads.

    Raises:
        ValueError: a size without meaning.
    """
    if batch_size < 1 or workers < 0 or prefetch < 1 or seed < 0:
        raise ValueError(
            "A loader needs batch_size and prefetch of at least 1, workers and seed of at least 0, "
            f"got {batch_size}, {prefetch}, {workers} and {seed}."
        )
    if not isinstance(dataset, Sized):
        raise ValueError(f"{type(dataset).__name__} has no length, so it has no order either.")
    order = SeededSampler(len(dataset), seed=seed, shuffle=shuffle)
    loader = StereoLoader(
        dataset,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        collate_fn=collate_shared,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        worker_init_fn=prepare_worker if workers else None,
        multiprocessing_context=start_method if workers else None,
        # Without one, starting an epoch would draw from torch's global generator.
        generator=torch.Generator().manual_seed(seed),
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
    )
    loader.order = order
    return loader


def collate_shared(samples: Sequence[StereoSample]) -> StereoBatch:
    """Return samples as one batch; in a worker it is built in memory shared with the parent.

    Otherwise the finished batch would be copied once more on its way.
    """
    return collate(samples, shared=torch.utils.data.get_worker_info() is not None)


def prepare_worker(worker: int) -> None:
    """Set up a worker process: one thread, deaf to Ctrl-C, ends with its parent."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Numba first: starting its threads would set the number of OpenMP's, which torch uses too.
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End this process when its parent has ended, even if it is busy or waits for something.

    The sentinel tells at once, but another child may hold the parent's end of it open (fork); the
    parent's number tells then, at the next look. Nothing here can be lost: no worker writes files
    but under a temporary name.
    """
    process = multiprocessing.parent_process()
    if process is None:
        return
    while os.getppid() == parent:
        if connection.wait([process.sentinel], LOOK_EVERY_S):
            break
    os._exit(1)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back while workers start.

    A worker inherits this until it ignores the signal by itself; one that was hit before would
    print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before: Any = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
