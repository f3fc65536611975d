"""Threads that share the groups of a kernel; plain ones, as Numba's do not survive a fork.

A thread stays in its kernel until no group is left: going back to Python after each would mean
waiting for the interpreter's lock, which now and then takes milliseconds.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import numpy as np
import torch

from nas.fused.group_kernels import DONE, FAILED, GROUPS, I64, wait_for_all

WORTH_A_THREAD = 1 << 17
"""Values (time steps times neurons) below which waking a thread costs more than it saves."""


def share(work: Callable[[I64], None], values: int) -> None:
    """Call ``work`` with the same tickets on as many threads as torch uses.

    It takes tickets (``group_kernels.take``) until there are none, so a thread that is held up
    delays nobody. Returns when all groups have been worked on, also after an error.
    """
    tickets = np.zeros(24, np.int64)
    threads = max(1, min(torch.get_num_threads(), GROUPS, values // WORTH_A_THREAD))
    if threads == 1:
        work(tickets)
        return

    def help_out() -> None:
        try:
            work(tickets)
        except BaseException:
            tickets[FAILED] = 1
            tickets[DONE] = GROUPS
            raise

    futures = [_pool(os.getpid()).submit(help_out) for _ in range(1, threads)]
    try:
        work(tickets)
    except BaseException:
        wait(futures)
        raise
    wait_for_all(tickets)
    if tickets[FAILED]:
        for future in futures:
            future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; after a fork there are none, so they are made anew."""
    del process
    return ThreadPoolExecutor(GROUPS - 1, thread_name_prefix="neurons")
