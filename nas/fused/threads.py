"""Threads that share the groups of a kernel; plain ones, as Numba's do not survive a fork."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import torch

from nas.fused.kernels import GROUPS

WORTH_A_THREAD = 1 << 17
"""Values (time steps times neurons) below which waking a thread costs more than it saves."""


def share(work: Callable[[int, int], None], values: int) -> None:
    """Call ``work(first, stop)`` for parts of ``range(GROUPS)``, on as many threads as torch uses.

    A thread that is done with a group takes the next, so one that is held up delays nobody.
    Returns when all parts have ended, also after an error.
    """
    threads = max(1, min(torch.get_num_threads(), GROUPS, values // WORTH_A_THREAD))
    if threads == 1:
        work(0, GROUPS)
        return
    groups = iter(range(GROUPS))

    def take() -> None:
        for group in groups:
            work(group, group + 1)

    futures = [_pool(os.getpid()).submit(take) for _ in range(1, threads)]
    try:
        take()
    finally:
        wait(futures)
    for future in futures:
        future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; after a fork there are none, so they are made anew."""
    del process
    return ThreadPoolExecutor(GROUPS - 1, thread_name_prefix="neurons")
