"""Threads that share the lines of a tensor; plain ones, as Numba's do not survive a fork."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt
import torch

I64 = npt.NDArray[np.int64]
Work = Callable[[int, int, I64], int | None]
"""Adds up the lines from the first number to before the second; see ``event_kernels``."""

WORTH_A_THREAD = 1 << 23
"""Bytes below which waking a thread costs more than it saves."""

MOST_THREADS = 8
"""Beyond this, memory and not the number of threads decides."""

PARTS_PER_THREAD = 4
"""More than one, so that a thread that is held up delays nobody."""


def share(work: Work, lines: int, rows: int, size: int) -> tuple[I64, int]:
    """Work on all lines on as many threads as torch uses; the calling one works too.

    Args:
        work: what to do with a range of lines.
        lines: all of them.
        rows: of the sums.
        size: bytes to read.

    Returns:
        The sums ``[rows, 3]``, and the sum of what ``work`` returned.
    """
    threads = max(1, min(torch.get_num_threads(), MOST_THREADS, lines, size // WORTH_A_THREAD))
    if threads == 1:
        sums = np.zeros((rows, 3), np.int64)
        return sums, work(0, lines, sums) or 0
    parts = min(lines, threads * PARTS_PER_THREAD)
    sums_of_parts = np.zeros((parts, rows, 3), np.int64)
    found = [0] * parts
    queue: SimpleQueue[int] = SimpleQueue()
    for part in range(parts):
        queue.put(part)

    def take() -> None:
        with suppress(Empty):
            while True:
                part = queue.get_nowait()
                first, stop = part * lines // parts, (part + 1) * lines // parts
                found[part] = work(first, stop, sums_of_parts[part]) or 0

    futures = [_pool(os.getpid()).submit(take) for _ in range(1, threads)]
    try:
        take()
    finally:
        # A thread that has not begun has nothing left to do.
        wait([future for future in futures if not future.cancel()])
    for future in futures:
        if not future.cancelled():
            future.result()
    return sums_of_parts.sum(0), sum(found)


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; after a fork there are none, so they are made anew."""
    del process
    return ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="energy")
