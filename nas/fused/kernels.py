"""All time steps of a block of neurons at once, forward and backward, on the CPU.

One template serves every neuron type; its slow twins are the steps of ``nas.neurons.steps``. Flags
that are fixed when a kernel is compiled leave only what the type needs. A block is small enough for
the cache, and nothing but the input is kept for the backward pass, which rebuilds the membrane.

Layout: ``x`` ``[T, N]``; a constant is an array of one value, or of ``M`` values where neuron ``n``
has value ``n % M``; a state is ``[N]``, or empty for rest. Blocks are cut from a period of neurons
and taken from all periods one after the other: ``M`` neurons, so that a block's constants are read
and their gradients written once; or all ``N``, where ``M`` is too small to be shared out. Each of
``GROUPS`` parts of the work sums gradients on its own, so they do not depend on the threads.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from nas.fused.slope_kernels import by_temperature_of, exp_minus, slope_of

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

GROUPS = 16
"""Parts of the work, whatever the number of threads."""

HARD, SOFT, NONE = 0, 1, 2
RESETS = {"hard": HARD, "soft": SOFT, "none": NONE}

DECAY, THRESHOLD, CURRENT_DECAY, ADAPTATION, ADAPTATION_DECAY, TEMPERATURE, SCALE = range(7)
"""Rows of a block's constants; ``SCALE`` is ``b / (2 tanh(b/2))``. The first six have gradients."""

VOLTAGE, CURRENT, ADAPTED = 0, 1, 2
"""Rows of a block's state: membrane, synaptic current, adaptation."""

U, A_BEFORE, V_BEFORE, I_BEFORE, NOW = range(5)
"""What the backward pass keeps of a block's step: the membrane before firing; adaptation, membrane
and synaptic current before the step; the input current. The last three serve the constants."""


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
    if values.size == 1:
        to[:] = values[0]
    elif place + width <= values.size:
        to[:width] = values[place : place + width]
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


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
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


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def _advance(  # noqa: C901  (the branches are decided when it is compiled)
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, keep: bool,
    learn: bool, x: F32, width: int, const: F32, state: F32, kept: F32, out: F32,
) -> None:  # fmt: skip
    """Advance a block by one time step; write spikes to ``out``, or keep what led to them."""
    zero, one = np.float32(0.0), np.float32(1.0)
    v, cur, a = state[VOLTAGE], state[CURRENT], state[ADAPTED]
    d, th, c = const[DECAY], const[THRESHOLD], const[CURRENT_DECAY]
    beta, rho = const[ADAPTATION], const[ADAPTATION_DECAY]
    for i in range(width):
        now = x[i]
        if current:
            if learn:
                kept[I_BEFORE, i] = cur[i]
            now = c[i] * cur[i] + now
            cur[i] = now
        if learn:
            kept[V_BEFORE, i] = v[i]
            if scale_input:
                kept[NOW, i] = now
        if scale_input:
            now = (one - d[i]) * now
        u = d[i] * v[i] + now
        level = th[i]
        if adaptive:
            if keep:
                kept[A_BEFORE, i] = a[i]
            level = level + beta[i] * a[i]
        if keep:
            kept[U, i] = u
        s = zero
        if fires:
            s = one if u > level else zero
        if reset == HARD and fires:
            v[i] = zero if u > level else u
        elif reset == SOFT and fires:
            v[i] = u - level * s
        else:
            v[i] = u
        if adaptive:
            a[i] = rho[i] * a[i] + s
        if not keep:
            out[i] = s if fires else u


@numba.njit(nogil=True, forceinline=True, error_model="numpy")
def _retreat(  # noqa: C901  (the branches are decided when it is compiled)
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    kind: int, learn: bool, given: F32, width: int, const: F32, state: F32, kept: F32,
    sums: F32, gx: F32,
) -> None:  # fmt: skip
    """Go back one time step: from dL/dstate after it and dL/ds to dL/dstate before it and dL/dx."""
    zero, one = np.float32(0.0), np.float32(1.0)
    gv, gi, ga = state[VOLTAGE], state[CURRENT], state[ADAPTED]
    d, th, c = const[DECAY], const[THRESHOLD], const[CURRENT_DECAY]
    beta, rho = const[ADAPTATION], const[ADAPTATION_DECAY]
    b, scale = const[TEMPERATURE], const[SCALE]
    for i in range(width):
        gu = given[i] + gv[i]
        if fires:
            u, level = kept[U, i], th[i]
            if adaptive:
                level = level + beta[i] * kept[A_BEFORE, i]
            far = u - level
            s = one if far > zero else zero
            slope = slope_of(kind, far, b[i], scale[i])
            gs = given[i]
            if adaptive:
                gs = gs + ga[i]
            if reset == HARD and not detach:
                gs = gs - u * gv[i]
            if reset == SOFT and not detach:
                gs = gs - level * gv[i]
            gu = gs * slope
            g_level = -gu
            if reset == SOFT:
                g_level = g_level - s * gv[i]
            gu = gu + ((one - s) * gv[i] if reset == HARD else gv[i])
            if learn:
                sums[THRESHOLD, i] += g_level
                sums[TEMPERATURE, i] += gs * by_temperature_of(kind, far, b[i], scale[i], slope)
            if adaptive:
                if learn:
                    sums[ADAPTATION, i] += g_level * kept[A_BEFORE, i]
                    sums[ADAPTATION_DECAY, i] += ga[i] * kept[A_BEFORE, i]
                ga[i] = rho[i] * ga[i] + beta[i] * g_level
        if learn:
            v = kept[V_BEFORE, i]
            sums[DECAY, i] += gu * (v - kept[NOW, i] if scale_input else v)
        gv[i] = d[i] * gu
        now = (one - d[i]) * gu if scale_input else gu
        if current:
            now = now + gi[i]
            if learn:
                sums[CURRENT_DECAY, i] += now * kept[I_BEFORE, i]
            gi[i] = c[i] * now
        gx[i] = now


@cache
def forward_kernel(
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool
) -> Callable[..., None]:
    """Return the compiled forward pass of a neuron type."""

    @numba.njit(cache=True, nogil=True, error_model="numpy")
    def forward(
        x: F32, v0: F32, i0: F32, a0: F32, decay: F32, threshold: F32, current_decay: F32,
        adaptation: F32, adaptation_decay: F32, block: int, period: int, out: F32, v1: F32, i1: F32,
        a1: F32, begin: int, end: int,
    ) -> None:  # fmt: skip
        steps, neurons = x.shape
        for group in range(begin, end):
            const, state = np.empty((7, block), np.float32), np.empty((3, block), np.float32)
            nothing = np.empty((1, 0), np.float32)
            for part in range(group * block, period, GROUPS * block):
                width = min(block, period - part)
                for first in range(part, neurons, period):
                    again, same, stop = first > group * block, first > part, first + width
                    _prepare(adaptive, current, again, same, first, width, v0, i0, a0, decay,
                             threshold, current_decay, adaptation, adaptation_decay, const,
                             state)  # fmt: skip
                    for t in range(steps):
                        _advance(adaptive, current, fires, reset, scale_input, False, False,
                                 x[t, first:stop], width, const, state, nothing,
                                 out[t, first:stop])  # fmt: skip
                    _finish(state[VOLTAGE], first, width, v1)
                    _finish(state[CURRENT], first, width, i1)
                    _finish(state[ADAPTED], first, width, a1)

    return forward


@cache
def backward_kernel(  # noqa: C901  (the branches are decided when it is compiled)
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    kind: int, learn: bool,
) -> Callable[..., None]:  # fmt: skip
    """Return the compiled backward pass of a neuron type; ``learn`` adds the constants' gradients.

    With dL/dv and dL/da of the state after a step, and S' the slope of the surrogate:

        dL/ds    = given + dL/da + dL/dv dv/ds    dv/ds = -u (hard), -V_th (soft), 0 (detached)
        dL/du    = dL/ds S' + dL/dv dv/du         dv/du = 1 - s (hard), 1 (soft, none)
        dL/dV_th = -dL/ds S' - dL/dv s (soft)
    """
    rows = 5 if learn else 2 if adaptive else 1

    @numba.njit(cache=True, nogil=True, error_model="numpy")
    def backward(  # noqa: C901
        x: F32, v0: F32, i0: F32, a0: F32, decay: F32, threshold: F32, current_decay: F32,
        adaptation: F32, adaptation_decay: F32, temperature: F32, block: int, period: int,
        given: F32, gv1: F32, gi1: F32, ga1: F32, gx: F32, gv0: F32, gi0: F32, ga0: F32,
        g_decay: F64, g_threshold: F64, g_current_decay: F64, g_adaptation: F64,
        g_adaptation_decay: F64, g_temperature: F64, begin: int, end: int,
    ) -> None:  # fmt: skip
        steps, neurons = x.shape
        for group in range(begin, end):
            const, state = np.empty((7, block), np.float32), np.empty((3, block), np.float32)
            kept = np.empty((steps, rows, block), np.float32)
            sums, nothing = np.empty((6, block), np.float32), np.empty(0, np.float32)
            for part in range(group * block, period, GROUPS * block):
                width = min(block, period - part)
                if learn:
                    sums[:] = np.float32(0.0)
                for first in range(part, neurons, period):
                    again, same, stop = first > group * block, first > part, first + width
                    _prepare(adaptive, current, again, same, first, width, v0, i0, a0, decay,
                             threshold, current_decay, adaptation, adaptation_decay, const,
                             state)  # fmt: skip
                    if fires and _load(temperature, again, same, first, width, const[TEMPERATURE]):
                        _scale(width, const)
                    for t in range(steps):
                        _advance(adaptive, current, fires, reset, scale_input, True, learn,
                                 x[t, first:stop], width, const, state, kept[t],
                                 nothing)  # fmt: skip
                    _start(gv1, first, width, state[VOLTAGE])
                    _start(gi1, first, width, state[CURRENT])
                    _start(ga1, first, width, state[ADAPTED])
                    for t in range(steps - 1, -1, -1):
                        _retreat(adaptive, current, fires, reset, scale_input, detach, kind, learn,
                                 given[t, first:stop], width, const, state, kept[t], sums,
                                 gx[t, first:stop])  # fmt: skip
                    _finish(state[VOLTAGE], first, width, gv0)
                    _finish(state[CURRENT], first, width, gi0)
                    _finish(state[ADAPTED], first, width, ga0)
                if learn:
                    _add_up(sums[DECAY], part, width, group, g_decay)
                    if fires:
                        _add_up(sums[THRESHOLD], part, width, group, g_threshold)
                        _add_up(sums[TEMPERATURE], part, width, group, g_temperature)
                    if current:
                        _add_up(sums[CURRENT_DECAY], part, width, group, g_current_decay)
                    if adaptive:
                        _add_up(sums[ADAPTATION], part, width, group, g_adaptation)
                        _add_up(sums[ADAPTATION_DECAY], part, width, group, g_adaptation_decay)

    return backward
