"""Memory of large results, lent out anew when nobody holds the result any more.

The system hands out fresh memory page by page and zeroes each, which costs about as much as
filling it. A stream of windows needs the same few results over and over.
"""

import math
import weakref
from collections import deque

import numpy as np
import numpy.typing as npt

LEAST_BYTES = 2**20
"""Smaller results come from memory that the allocator keeps warm by itself."""

MOST_FREE = 4
"""Results of one size whose memory is kept while nobody uses it: a pair, and the pair before."""

_free: dict[int, deque[npt.NDArray[np.float32]]] = {}


def lend(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return an array of undefined values; its memory comes back when no view of it is left.

    Memory of one size is kept, that of the last result.
    """
    size = math.prod(shape)
    if 4 * size < LEAST_BYTES:
        return np.empty(shape, np.float32)
    free = _free.get(size)
    if free is None:
        _free.clear()
        free = _free[size] = deque(maxlen=MOST_FREE)
    try:
        memory = free.pop()
    except IndexError:
        memory = np.empty(size, np.float32)
    # Views of an array refer to the array that owns the memory and skip those between, unless the
    # owner is no array: hence the buffer (a memoryview), which makes every view hold this one.
    array = np.frombuffer(memory.data, np.float32)
    weakref.finalize(array, free.append, memory).atexit = False
    return array.reshape(shape)
