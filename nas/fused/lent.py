"""Memory of large results, lent out again when nobody holds the result any more.

The C library returns memory beyond 32 MiB to the system as soon as it is freed, and the system
hands it out again page by page, each zeroed. For a layer's output that takes longer than all the
arithmetic on it. A network needs results of the same few sizes over and over.
"""

import math
import threading
import weakref
from collections import deque

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

LEAST_BYTES = 1 << 24
"""Smaller results come from memory that the C library keeps warm by itself."""

MOST_FREE_BYTES = 1 << 28
"""Memory that is kept while nobody uses it."""


class Lender:
    """Arrays whose memory comes back when no view of them is left.

    Args:
        most_free_bytes: memory to keep at most; what came back first is given up first.
    """

    def __init__(self, most_free_bytes: int = MOST_FREE_BYTES) -> None:
        self.most_free_bytes = most_free_bytes
        self._shelf: list[F32] = []
        self._returned: deque[F32] = deque()
        self._lock = threading.Lock()

    def lend(self, shape: tuple[int, ...]) -> F32:
        """Return an array of undefined values."""
        size = math.prod(shape)
        if 4 * size < LEAST_BYTES:
            return np.empty(shape, np.float32)
        memory = self._take(size)
        if memory is None:
            memory = np.empty(size, np.float32)
        # Views of an array refer to the array that owns the memory and skip those between, unless
        # the owner is no array: hence the buffer, which makes every view hold this one.
        array = np.frombuffer(memory.data, np.float32)
        weakref.finalize(array, self._return, memory).atexit = False
        return array.reshape(shape)

    def _return(self, memory: F32) -> None:
        """Keep memory. A collection of garbage may call this at any point, also in ``_take``."""
        self._returned.append(memory)
        self._take(0)

    def _take(self, size: int) -> F32 | None:
        """Put in order what came back; return memory of a size, None if there is none.

        Nobody waits for the lock: who finds it taken does without, be it the process itself that
        holds it further up the stack, or a thread that is gone after a fork.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            while self._returned:
                self._shelf.append(self._returned.popleft())
            while sum(memory.nbytes for memory in self._shelf) > self.most_free_bytes:
                del self._shelf[0]
            for place, memory in enumerate(self._shelf):
                if memory.size == size:
                    return self._shelf.pop(place)
            return None
        finally:
            self._lock.release()


LENDER = Lender()
