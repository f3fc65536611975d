"""Unpacked parts of event files, kept for the next window within one budget per process.

Unpacking is most of the work of reading, and windows that overlap, follow each other or fall near
each other need the same chunks again. One budget for all files keeps memory bounded however many
recordings are open.
"""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BUDGET_BYTES = 1 << 27
"""Memory of one process for unpacked events."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Consecutive events of one file, checked: sorted, and parted by the sensor's borders.

    Attributes:
        start: index of its first event in the file.
        stop: index after its last.
        first: time of its first event, as stored.
        last: time of its last event.
        t: ``[N]`` times as stored, of the events on the sensor.
        x: ``[N]`` uint16.
        y: ``[N]`` uint16.
        p: ``[N]`` bool.
        outside: ``[M]`` times of the events outside the sensor, N + M = stop - start.
    """

    start: int
    stop: int
    first: int
    last: int
    t: npt.NDArray[np.integer]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    p: npt.NDArray[np.bool_]
    outside: npt.NDArray[np.integer]

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return sum(a.nbytes for a in (self.t, self.x, self.y, self.p, self.outside))


class BlockCache:
    """The blocks used last, up to a budget. May be used by several threads; a fork starts empty.

    Args:
        budget_bytes: memory of the kept blocks; one block larger than it is not kept.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._renew()

    def get(self, owner: int, index: int) -> Block | None:
        """Return block ``index`` of the file known as ``owner``, if it is here."""
        self._after_fork()
        with self._lock:
            block = self._blocks.get((owner, index))
            if block is not None:
                self._blocks.move_to_end((owner, index))
            return block

    def put(self, owner: int, index: int, block: Block) -> None:
        """Keep a block; the ones not used for longest make room."""
        self._after_fork()
        with self._lock:
            if (owner, index) in self._blocks or block.nbytes > self.budget_bytes:
                return
            self._blocks[owner, index] = block
            self.held_bytes += block.nbytes
            while self.held_bytes > self.budget_bytes:
                _, old = self._blocks.popitem(last=False)
                self.held_bytes -= old.nbytes

    def forget(self, owner: int) -> None:
        """Release all blocks of a file."""
        self._after_fork()
        with self._lock:
            for key in [key for key in self._blocks if key[0] == owner]:
                self.held_bytes -= self._blocks.pop(key).nbytes

    def _renew(self) -> None:
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self.held_bytes = 0
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _after_fork(self) -> None:
        # Another thread of the parent may have held the lock, or been half through a change.
        if self._process != os.getpid():
            self._renew()


SHARED = BlockCache(BUDGET_BYTES)
"""The blocks of all event files of this process."""
