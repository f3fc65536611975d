"""All time steps of a block of neurons at once, forward and backward, on the CPU.

One way through the steps serves every neuron type: it calls the step of a type through a pointer. A
block is small enough for the cache, and nothing but the input is kept for the backward pass, which
rebuilds the membrane.

Layout: ``x`` ``[T, N]``; a constant is an array of one value, or of ``M`` values where neuron ``n``
has value ``n % M``; a state is ``[N]``, or empty for rest. Blocks are cut from a period of neurons
and taken from all periods one after the other: ``M`` neurons, so that a block's constants are read
and their gradients written once; or all ``N``, where ``M`` is too small to be shared out. A group's
blocks lie side by side, as memory that is read in order comes faster. Each of
``GROUPS`` parts of the work sums gradients on its own, so they do not depend on the threads.
"""

from collections.abc import Callable
from functools import cache, partial

import numba
import numpy as np
import numpy.typing as npt
from numba import types

from nas.fused.group_kernels import GROUPS, I64, done, take
from nas.fused.slope_kernels import exp_minus
from nas.fused.step_kernels import (
    ADAPTATION,
    ADAPTATION_DECAY,
    ADAPTED,
    CURRENT,
    CURRENT_DECAY,
    DECAY,
    F32,
    ROW,
    ROWS,
    SCALE,
    TEMPERATURE,
    THRESHOLD,
    VOLTAGE,
    advance_of,
    call,
    retreat_of,
)

F64 = npt.NDArray[np.float64]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _load(values: F32, again: bool, same: bool, first: int, width: int, to: F32) -> bool:
    """Copy the constants of the neurons ``first`` to ``first + width - 1``, if they are not there.

    Args:
        values: one for all neurons, or those of a period.
        again: the block before had the same value, if it is one for all.
        same: the block before had the same values, whatever they are.
        first: number of the first neuron.
        width: how many there are.
        to: where the values go; one for all fills it.

    Returns:
        Whether anything was copied.
    """
    if same or (again and values.size == 1):
        return False
    place = first % values.size
    # Loops, because to assign a slice compiles the text of an error for three seconds.
    if values.size == 1:
        for i in range(to.size):
            to[i] = values[0]
    elif place + width <= values.size:
        given = values[place : place + width]
        for i in range(width):
            to[i] = given[i]
    else:
        for i in range(width):
            to[i] = values[(place + i) % values.size]
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _scale(width: int, const: F32) -> None:
    """Write ``b / (2 tanh(b/2))`` of the temperatures ``b``."""
    one = np.float32(1.0)
    for i in range(width):
        b = const[TEMPERATURE, i]
        e = exp_minus(b)
        const[SCALE, i] = np.float32(0.5) * b * (one + e) / (one - e)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _start(values: F32, first: int, width: int, to: F32) -> None:
    """Copy the state of some neurons; an empty array is a state of rest."""
    for i in range(width):
        to[i] = values[first + i] if values.size else np.float32(0.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _finish(values: F32, first: int, width: int, to: F32) -> None:
    """Write the state of some neurons; an empty array is a state that the type does not have."""
    if to.size:
        for i in range(width):
            to[first + i] = values[i]


# Fast mathematics here lets several partial sums run side by side, in the same order every time.
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def _add_up(sums: F32, first: int, width: int, group: int, grads: F64) -> None:
    """Add the gradients of some neurons to those of their constants.

    ``grads`` has one row, or one per group if groups share constants.
    """
    to = grads[group % grads.shape[0]]
    if to.size == 1:
        total = 0.0
        for i in range(width):
            total += sums[i]
        to[0] += total
        return
    place = first % to.size
    if place + width <= to.size:
        for i in range(width):
            to[place + i] += sums[i]
    else:
        for i in range(width):
            to[(place + i) % to.size] += sums[i]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _prepare(
    adaptive: bool, current: bool, again: bool, same: bool, first: int, width: int, v0: F32,
    i0: F32, a0: F32, decay: F32, threshold: F32, current_decay: F32, adaptation: F32,
    adaptation_decay: F32, const: F32, state: F32,
) -> None:  # fmt: skip
    """Copy the constants of a block and the state that it starts from, as far as its type has them.

    ``again`` and ``same`` as for ``_load``.
    """
    _load(decay, again, same, first, width, const[DECAY])
    _load(threshold, again, same, first, width, const[THRESHOLD])
    _start(v0, first, width, state[VOLTAGE])
    if current:
        _load(current_decay, again, same, first, width, const[CURRENT_DECAY])
        _start(i0, first, width, state[CURRENT])
    if adaptive:
        _load(adaptation, again, same, first, width, const[ADAPTATION])
        _load(adaptation_decay, again, same, first, width, const[ADAPTATION_DECAY])
        _start(a0, first, width, state[ADAPTED])


TICKETS = types.int64[::1]
SUMS = types.UniTuple(types.float64[:, ::1], 6)  # type: ignore[no-untyped-call]

INT, FLAG = types.int64, types.boolean
FORWARD = types.void(INT, FLAG, FLAG, ROWS, *[ROW] * 8, INT, INT, ROWS, *[ROW] * 3, TICKETS)
BACKWARD = types.void(
    INT, INT, FLAG, FLAG, FLAG, FLAG, ROWS, *[ROW] * 9, INT, INT, ROWS, *[ROW] * 3, ROWS,
    *[ROW] * 3, SUMS, TICKETS,
)  # fmt: skip


def forward_kernel(
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool
) -> Callable[..., None]:
    """Return the compiled forward pass of a neuron type; arguments as for ``advance_of``."""
    advance = advance_of(adaptive, current, fires, reset, scale_input, uniform, False, False)
    return partial(_forward(), advance, adaptive, current)


def backward_kernel(
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool,
    detach: bool, kind: int, learn: bool,
) -> Callable[..., None]:  # fmt: skip
    """Return the compiled backward pass of a neuron type; arguments as for ``retreat_of``."""
    advance = advance_of(adaptive, current, fires, reset, scale_input, uniform, True, learn)
    retreat = retreat_of(adaptive, current, fires, reset, scale_input, uniform, detach, kind, learn)
    return partial(_backward(), advance, retreat, adaptive, current, fires, learn)


@cache
def _forward() -> Callable[..., None]:
    """Compile the way through all steps, when it is first needed."""

    @numba.njit(FORWARD, cache=True, nogil=True, error_model="numpy")
    def forward(
        advance: int, adaptive: bool, current: bool, x: F32, v0: F32, i0: F32, a0: F32,
        decay: F32, threshold: F32, current_decay: F32, adaptation: F32, adaptation_decay: F32,
        block: int, period: int, out: F32, v1: F32, i1: F32, a1: F32, tickets: I64,
    ) -> None:  # fmt: skip
        steps, neurons = x.shape
        span = -(-period // (GROUPS * block)) * block
        const, state = np.empty((7, block), np.float32), np.empty((3, block), np.float32)
        nothing = np.empty((1, 0), np.float32)
        group = take(tickets)
        while group < GROUPS:
            for part in range(group * span, min((group + 1) * span, period), block):
                width = min(block, period - part)
                for first in range(part, neurons, period):
                    again, same, stop = first > group * span, first > part, first + width
                    _prepare(adaptive, current, again, same, first, width, v0, i0, a0, decay,
                             threshold, current_decay, adaptation, adaptation_decay, const,
                             state)  # fmt: skip
                    for t in range(steps):
                        call(advance, (x[t, first:stop], width, const, state, nothing,
                                       out[t, first:stop]))  # fmt: skip
                    _finish(state[VOLTAGE], first, width, v1)
                    _finish(state[CURRENT], first, width, i1)
                    _finish(state[ADAPTED], first, width, a1)
            done(tickets)
            group = take(tickets)

    return forward


@cache
def _backward() -> Callable[..., None]:  # noqa: C901  (one level per axis of the work)
    """Compile the way through all steps and back, when it is first needed."""

    @numba.njit(BACKWARD, cache=True, nogil=True, error_model="numpy")
    def backward(
        advance: int, retreat: int, adaptive: bool, current: bool, fires: bool, learn: bool,
        x: F32, v0: F32, i0: F32, a0: F32, decay: F32, threshold: F32, current_decay: F32,
        adaptation: F32, adaptation_decay: F32, temperature: F32, block: int, period: int,
        given: F32, gv1: F32, gi1: F32, ga1: F32, gx: F32, gv0: F32, gi0: F32, ga0: F32,
        grads: tuple[F64, ...], tickets: I64,
    ) -> None:  # fmt: skip
        steps, neurons = x.shape
        span = -(-period // (GROUPS * block)) * block
        const, state = np.empty((7, block), np.float32), np.empty((3, block), np.float32)
        kept = np.empty((steps, 5 if learn else 2 if adaptive else 1, block), np.float32)
        sums, nothing = np.empty((6, block), np.float32), np.empty(0, np.float32)
        group = take(tickets)
        while group < GROUPS:
            for part in range(group * span, min((group + 1) * span, period), block):
                width = min(block, period - part)
                if learn:
                    sums[:] = np.float32(0.0)
                for first in range(part, neurons, period):
                    again, same, stop = first > group * span, first > part, first + width
                    _prepare(adaptive, current, again, same, first, width, v0, i0, a0, decay,
                             threshold, current_decay, adaptation, adaptation_decay, const,
                             state)  # fmt: skip
                    if fires and _load(temperature, again, same, first, width, const[TEMPERATURE]):
                        _scale(width, const)
                    for t in range(steps):
                        call(advance, (x[t, first:stop], width, const, state, kept[t], nothing))
                    _start(gv1, first, width, state[VOLTAGE])
                    _start(gi1, first, width, state[CURRENT])
                    _start(ga1, first, width, state[ADAPTED])
                    for t in range(steps - 1, -1, -1):
                        call(retreat, (given[t, first:stop], width, const, state, kept[t], sums,
                                       gx[t, first:stop]))  # fmt: skip
                    _finish(state[VOLTAGE], first, width, gv0)
                    _finish(state[CURRENT], first, width, gi0)
                    _finish(state[ADAPTED], first, width, ga0)
                if learn:
                    for row in range(len(grads)):
                        _add_up(sums[row], part, width, group, grads[row])
            done(tickets)
            group = take(tickets)

    return backward
