"""Threads that share the slots of a window, and the memory they keep.

Kernels are serial and hold no lock, so plain threads run them side by side. Numba's own threads
are not used: their pool does not survive a fork, and data loaders fork.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise, zip_longest
from queue import Empty, SimpleQueue

import numba
import numpy as np
import numpy.typing as npt

Task = Callable[[], None]
Stages = Sequence[Sequence[Task]]
"""Tasks of one stage may run at the same time; a stage begins when the one before has ended."""

MOST_THREADS = 8
"""Beyond this, memory and not the number of threads decides."""

_kept = threading.local()


def thread_count() -> int:
    """Return how many threads an encoding may use: 1 in worker processes, which share the cores.

    ``NUMBA_NUM_THREADS`` limits it.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    return min(MOST_THREADS, int(numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


def run(stages: Iterable[Stages]) -> None:
    """Run the tasks of several encodings side by side, stage by stage.

    The calling thread works too. All tasks have ended when this returns, also after an error or an
    interruption, so memory that they write may be used again.
    """
    for parallel in zip_longest(*stages, fillvalue=()):
        tasks = [task for part in parallel for task in part]
        helpers = min(thread_count(), len(tasks)) - 1
        if helpers < 1:
            for task in tasks:
                task()
            continue
        queue: SimpleQueue[Task] = SimpleQueue()
        for task in tasks:
            queue.put(task)
        futures = [_pool(os.getpid()).submit(_work, queue) for _ in range(helpers)]
        try:
            _work(queue)
        finally:
            wait(futures)
        for future in futures:
            future.result()


def kept(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return this thread's buffer of a name, zero when it is made; the last user left the rest.

    Fresh memory costs several times what used memory does. One size is kept for each name.
    """
    buffers: dict[str, npt.NDArray[np.float32]] = _kept.__dict__.setdefault("buffers", {})
    held = buffers.get(name)
    if held is None or held.shape != shape:
        buffers[name] = held = np.zeros(shape, np.float32)
    return held


def split(bounds: npt.NDArray[np.int64], pixels: int) -> list[tuple[int, int]]:
    """Cut the slots into parts of about equal work, ``(first, stop)`` each.

    The number of parts depends on the events alone and not on the machine, so that sums of floats
    are the same everywhere.

    Args:
        bounds: ``[slots + 1]`` first event of each slot.
        pixels: of one image; a slot costs about as much as this many events before any comes.
    """
    slots, events = bounds.size - 1, int(bounds[-1] - bounds[0])
    parts = 1 if events < 20_000 else 2 if events < 2_000_000 else 8
    work = (bounds - bounds[0]) + np.arange(slots + 1) * max(1, pixels // 4)
    shares = work[-1] * np.arange(1, parts) / parts
    after = np.searchsorted(work, shares)
    # The nearest border: the next one would often give one part a slot too many.
    nearest = after - (shares - work[after - 1] < work[after] - shares)
    cuts = sorted({0, slots, *(int(cut) for cut in nearest)})
    return list(pairwise(cuts))


def _work(queue: SimpleQueue[Task]) -> None:
    """Run tasks until none is left."""
    with suppress(Empty):
        while True:
            queue.get_nowait()()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; after a fork there are none, so they are made anew."""
    del process
    return ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="encode")
