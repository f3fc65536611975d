"""Groups of a kernel's work, taken one by one by whichever thread is free."""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I64 = npt.NDArray[np.int64]

GROUPS = 16
"""Parts of the work, whatever the number of threads."""

NEXT, DONE, FAILED = 0, 8, 16
"""Places among the tickets, a cache line apart: the next group, groups done, whether one failed."""


def _add(typing_context: Any, tickets: Any, place: Any, amount: Any) -> Any:
    """Add to a ticket, at once for all threads, and return what was there before."""
    del typing_context, place, amount

    def code(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        pointer = cgutils.gep(builder, array.data, values[1])  # type: ignore[no-untyped-call]
        return builder.atomic_rmw("add", pointer, values[2], "seq_cst")

    return types.int64(tickets, types.int64, types.int64), code


_add_at_once: Any = intrinsic(_add)


@numba.njit(cache=True, nogil=True)
def take(tickets: I64) -> int:
    """Return the next group; ``GROUPS`` or more if there is none left."""
    return _add_at_once(tickets, NEXT, 1)  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def done(tickets: I64) -> None:
    """Say that a group that was taken is finished."""
    _add_at_once(tickets, DONE, 1)


@numba.njit(cache=True, nogil=True)
def wait_for_all(tickets: I64) -> None:
    """Wait until every group is finished; whoever waits asleep may be woken late."""
    while _add_at_once(tickets, DONE, 0) < GROUPS:
        pass
