"""Unpacked parts of event files, kept for the next window within one budget per process.

Unpacking is most of the work of reading, and windows that overlap, follow each other or fall near
each other need the same chunks again. One budget for all files keeps memory bounded however many
recordings are open. Memory of blocks that make room is used again: fresh memory costs more than
copying into it.
"""

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BUDGET_BYTES = 160 << 20
"""Memory of one process for unpacked events."""

SPARE_BYTES = 1 << 23
"""Memory beyond it that waits to be used again."""

Buffer = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Consecutive events of one file, checked: sorted, and parted by the sensor's borders.

    Attributes:
        key: number of the file and of the block in it.
        start: index of its first event in the file.
        stop: index after its last.
        first: time of its first event, as stored.
        last: time of its last event.
        t: ``[N]`` times as stored, of the events on the sensor.
        x: ``[N]`` uint16.
        y: ``[N]`` uint16.
        p: ``[N]`` bool.
        outside: ``[M]`` times of the events outside the sensor, N + M = stop - start.
        buffer: memory in which the columns lie.
    """

    key: tuple[int, int]
    start: int
    stop: int
    first: int
    last: int
    t: npt.NDArray[np.integer]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    p: npt.NDArray[np.bool_]
    outside: npt.NDArray[np.integer]
    buffer: Buffer


class BlockCache:
    """The blocks used last, up to a budget. May be used by several threads; a fork starts empty.

    A block that was got or put is in use until it is released; only then its memory may go to
    another one.

    Args:
        budget_bytes: memory of the kept blocks; one block larger than it is not kept.

    Attributes:
        held_bytes: memory of the kept blocks now.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._renew()

    def buffer(self, size: int) -> Buffer:
        """Return memory for a new block."""
        self._after_fork()
        with self._lock:
            for place, spare in enumerate(self._spare):
                if spare.size == size:
                    return self._spare.pop(place)
        return np.empty(size, np.uint8)

    def get(self, key: tuple[int, int]) -> Block | None:
        """Return the block of this key, if it is here; it is in use then."""
        self._after_fork()
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
                self._uses[id(block)] += 1
            return block

    def put(self, block: Block) -> None:
        """Keep a block, which is in use; the ones not used for longest make room."""
        self._after_fork()
        with self._lock:
            self._uses[id(block)] += 1
            if block.key in self._blocks or block.buffer.size > self.budget_bytes:
                return
            self._blocks[block.key] = block
            self.held_bytes += block.buffer.size
            while self.held_bytes > self.budget_bytes:
                self._drop(next(iter(self._blocks)))

    def release(self, blocks: Iterable[Block]) -> None:
        """Say that blocks are no longer in use."""
        self._after_fork()
        with self._lock:
            for block in blocks:
                self._uses[id(block)] -= 1
                if self._uses[id(block)] <= 0:
                    del self._uses[id(block)]
                    if self._blocks.get(block.key) is not block:
                        self._recycle(block)

    def forget(self, owner: int) -> None:
        """Release all blocks of a file."""
        self._after_fork()
        with self._lock:
            for key in [key for key in self._blocks if key[0] == owner]:
                self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        block = self._blocks.pop(key)
        self.held_bytes -= block.buffer.size
        if id(block) not in self._uses:
            self._recycle(block)

    def _recycle(self, block: Block) -> None:
        self._spare.append(block.buffer)
        while sum(spare.size for spare in self._spare) > SPARE_BYTES:
            self._spare.pop(0)

    def _renew(self) -> None:
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._uses: Counter[int] = Counter()
        self._spare: list[Buffer] = []
        self.held_bytes = 0
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _after_fork(self) -> None:
        # Another thread of the parent may have held the lock, or been half through a change.
        if self._process != os.getpid():
            self._renew()


SHARED = BlockCache(BUDGET_BYTES)
"""The blocks of all event files of this process."""
