"""All time steps of a block of neurons at once, forward and backward, on a GPU.

The twin of ``nas.fused.kernels`` in Triton: the same equations, options and gradients. This module
needs triton, so only ``nas.fused.cuda`` imports it, when there is a tensor to work on. The kernels
are compiled for CUDA and interpreted in the tests; they have not been run on a device yet.

**Memory.** Nothing is kept from the forward pass. A membrane cannot be rebuilt backward in time (a
hard reset forgets it, and dividing by the decay amplifies errors), so the backward pass runs the
steps forward again and notes what they did in a scratch buffer. Registers would be the nearer
place, but they would bind a compiled kernel to one T and run out at some twenty steps; segments
with checkpoints would bound the notes, at the price of a third pass over the input. Instead a
limited number of programs take block after block, each reusing its own piece of scratch: it is
small enough to stay in the L2 cache for the usual T, does not grow with the number of neurons, and
for long T merely moves to device memory.

**Exactness.** Multiplications and additions must not be contracted (``enable_fp_fusion=False`` at
the launch), or spikes would differ from the reference where a membrane touches the threshold.

**Determinism.** Gradients of constants are summed per neuron over time, and per block where a
constant is a single number; torch adds up the rest. No atomics, and neither the number of programs
nor their order matters.

Layout: ``x`` ``[T, N]`` contiguous, float32, float16 or bfloat16; computed in float32. A constant
is a number, an array of one value, or one of ``period`` values where neuron ``n`` has value
``n % period``; two bits of ``HOW`` from bit ``2 k`` on say which for the ``k``-th. A state is
``[N]`` or None: rest, or a state that the type does not have. ``g_decay`` and the like are ``[N]``
where the constant has many values, else ``[blocks]``, or None where nobody asks.
"""

import triton
import triton.language as tl
from triton.language import constexpr, tensor

from nas.fused import slope_kernels, step_kernels

NUMBER, ONE, MANY = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
"""Ways in which a constant comes."""

HARD, SOFT = tl.constexpr(step_kernels.HARD), tl.constexpr(step_kernels.SOFT)

DSPIKE = tl.constexpr(slope_kernels.DSPIKE)
TRIANGLE = tl.constexpr(slope_kernels.TRIANGLE)
ARCTAN = tl.constexpr(slope_kernels.ARCTAN)
SIGMOID = tl.constexpr(slope_kernels.SIGMOID)
RECTANGLE = tl.constexpr(slope_kernels.RECTANGLE)

HALF_PI = tl.constexpr(1.5707963267948966)


@triton.jit
def _tanh(y: tensor) -> tensor:
    """Return ``tanh(y)`` for ``y >= 0``; by its series where ``1 - exp(-2 y)`` would cancel."""
    e, q = tl.exp(-2.0 * y), y * y
    series = 1.0 + q * (-1 / 3 + q * (2 / 15 + q * (-17 / 315 + q * (62 / 2835))))
    return tl.where(y < 0.25, y * series, (1.0 - e) / (1.0 + e))


@triton.jit
def _slope(v: tensor, b: tensor, scale: tensor, KIND: constexpr) -> tensor:
    """Return dS/dv of a surrogate at ``v``; ``scale`` is ``b / (2 tanh(b / 2))``."""
    z = tl.abs(b * v)
    if KIND == DSPIKE:
        e = tl.exp(-2.0 * z)
        slope = tl.where(tl.abs(v) < 0.5, scale * 4.0 * e / ((1.0 + e) * (1.0 + e)), 0.0)
    elif KIND == TRIANGLE:
        slope = b * tl.where(z < 1.0, 1.0 - z, 0.0)
    elif KIND == ARCTAN:
        slope = 0.5 * b / (1.0 + HALF_PI * HALF_PI * z * z)
    elif KIND == SIGMOID:
        e = tl.exp(-z)
        slope = b * e / ((1.0 + e) * (1.0 + e))
    elif KIND == RECTANGLE:
        slope = tl.where(z < 0.5, b + tl.zeros_like(z), 0.0)
    else:
        slope = 1.0 / ((1.0 + z) * (1.0 + z))
    return slope


@triton.jit
def _by_temperature(v: tensor, b: tensor, scale: tensor, slope: tensor, KIND: constexpr) -> tensor:
    """Return dS/db of a surrogate, given its dS/dv."""
    if KIND == DSPIKE:
        # v/b slope, minus what the normalization 1 / (2 tanh(b/2)) loses as b grows.
        here, end, e = _tanh(tl.abs(b * v)), 0.5 * b / scale, tl.exp(-b)
        lost = here / (end * end) * e / ((1.0 + e) * (1.0 + e))
        inner = v / b * slope - tl.where(v > 0, lost, -lost)
        change = tl.where(tl.abs(v) < 0.5, inner, 0.0)
    elif KIND <= RECTANGLE:
        change = v / b * slope
    else:
        change = -v * tl.abs(v) * slope
    return change


@triton.jit
def _constant(
    values: tensor, place: tensor, inside: tensor, HOW: constexpr, K: constexpr
) -> tensor:
    """Return the ``K``-th constant: one value, or one per neuron of the block."""
    if (HOW >> 2 * K) & 3 == NUMBER:
        return values
    elif (HOW >> 2 * K) & 3 == ONE:  # noqa: RET505  (the compiler follows branches, not jumps)
        return tl.load(values)
    else:
        return tl.load(values + place, mask=inside, other=1.0)


@triton.jit
def _constants(
    decay: tensor, threshold: tensor, current_decay: tensor, adaptation: tensor,
    adaptation_decay: tensor, place: tensor, inside: tensor, HOW: constexpr,
) -> tensor:  # fmt: skip
    """Load what the steps of the block compute with."""
    d = _constant(decay, place, inside, HOW, 0)
    th = _constant(threshold, place, inside, HOW, 1)
    c = _constant(current_decay, place, inside, HOW, 2)
    beta = _constant(adaptation, place, inside, HOW, 3)
    rho = _constant(adaptation_decay, place, inside, HOW, 4)
    return d, th, c, beta, rho


@triton.jit
def _start(state: tensor, lane: tensor, inside: tensor, first: tensor) -> tensor:
    """Load a state of the block; None is rest."""
    if state is None:
        return tl.zeros(lane.shape, tl.float32)
    else:  # noqa: RET505
        return tl.load(state + first + lane, mask=inside, other=0.0)


@triton.jit
def _finish(state: tensor, lane: tensor, inside: tensor, first: tensor, values: tensor) -> None:
    """Store a state of the block, if somebody takes it."""
    if state is not None:
        tl.store(state + first + lane, values, mask=inside)


@triton.jit
def _add_up(
    sums: tensor, lane: tensor, inside: tensor, first: tensor, block: tensor, values: tensor,
    HOW: constexpr, K: constexpr,
) -> None:  # fmt: skip
    """Store the gradient of the ``K``-th constant for every neuron, or for the block."""
    if sums is not None:
        if (HOW >> 2 * K) & 3 == MANY:
            tl.store(sums + first + lane, values, mask=inside)
        else:
            tl.store(sums + block, tl.sum(tl.where(inside, values, 0.0), 0))


@triton.jit
def _level(th: tensor, beta: tensor, a: tensor, ADAPTIVE: constexpr) -> tensor:
    """Return the threshold of a step that begins with the adaptation ``a``."""
    return th + beta * a if ADAPTIVE else th


@triton.jit
def _settle(u: tensor, level: tensor, FIRES: constexpr, RESET: constexpr) -> tensor:
    """Return the membrane after firing."""
    if FIRES and RESET == HARD:
        v = tl.where(u > level, 0.0, u)
    elif FIRES and RESET == SOFT:
        v = tl.where(u > level, u - level, u)
    else:
        v = u
    return v


@triton.jit
def _advance(
    x: tensor, v: tensor, i: tensor, a: tensor, d: tensor, th: tensor, c: tensor, beta: tensor,
    rho: tensor, ADAPTIVE: constexpr, CURRENT: constexpr, FIRES: constexpr, RESET: constexpr,
    SCALE_INPUT: constexpr,
) -> tensor:  # fmt: skip
    """Advance by one time step; return the next state ``v, i, a``, and ``u`` and the spikes."""
    if CURRENT:
        i = c * i + x
        x = i
    if SCALE_INPUT:
        x = (1.0 - d) * x
    u = d * v + x
    level = _level(th, beta, a, ADAPTIVE)
    spikes = (u > level).to(tl.float32)
    v = _settle(u, level, FIRES, RESET)
    if ADAPTIVE:
        a = rho * a + spikes if FIRES else rho * a
    return v, i, a, u, spikes


@triton.jit(do_not_specialize=["steps", "period"])
def forward(
    x: tensor, v0: tensor, i0: tensor, a0: tensor, decay: tensor, threshold: tensor,
    current_decay: tensor, adaptation: tensor, adaptation_decay: tensor, out: tensor, v1: tensor,
    i1: tensor, a1: tensor, steps: tensor, neurons: tensor, period: tensor, ADAPTIVE: constexpr,
    CURRENT: constexpr, FIRES: constexpr, RESET: constexpr, SCALE_INPUT: constexpr, HOW: constexpr,
    BLOCK: constexpr,
) -> None:  # fmt: skip
    """Take one block of neurons through all time steps; one program per block."""
    lane = tl.arange(0, BLOCK)
    first = tl.program_id(0).to(tl.int64) * BLOCK
    width = tl.minimum(neurons - first, BLOCK).to(tl.int32)
    inside = lane < width
    place = ((first % period).to(tl.int32) + lane) % period
    d, th, c, beta, rho = _constants(decay, threshold, current_decay, adaptation, adaptation_decay,
                                     place, inside, HOW)  # fmt: skip
    v, i = _start(v0, lane, inside, first), _start(i0, lane, inside, first)
    a = _start(a0, lane, inside, first)
    x_row, out_row = x + first, out + first
    # The input of the next step is on its way while this one is computed.
    coming = tl.load(x_row + lane, mask=lane < tl.where(steps > 0, width, 0), other=0.0)
    for t in range(steps):
        now = coming.to(tl.float32)
        x_row += neurons
        coming = tl.load(x_row + lane, mask=lane < tl.where(t + 1 < steps, width, 0), other=0.0)
        v, i, a, u, spikes = _advance(now, v, i, a, d, th, c, beta, rho, ADAPTIVE, CURRENT, FIRES,
                                      RESET, SCALE_INPUT)  # fmt: skip
        tl.store(out_row + lane, spikes if FIRES else u, mask=inside)
        out_row += neurons
    _finish(v1, lane, inside, first, v)
    _finish(i1, lane, inside, first, i)
    _finish(a1, lane, inside, first, a)


@triton.jit
def _rebuild(
    x_row: tensor, note: tensor, lane: tensor, width: tensor, v: tensor, i: tensor, a: tensor,
    d: tensor, th: tensor, c: tensor, beta: tensor, rho: tensor, steps: tensor, neurons: tensor,
    ADAPTIVE: constexpr, CURRENT: constexpr, FIRES: constexpr, RESET: constexpr,
    SCALE_INPUT: constexpr, BLOCK: constexpr,
) -> None:  # fmt: skip
    """Run a block forward and note of every step ``u``, and ``a`` before it and ``i`` in it."""
    coming = tl.load(x_row + lane, mask=lane < tl.where(steps > 0, width, 0), other=0.0)
    for t in range(steps):
        now = coming.to(tl.float32)
        x_row += neurons
        coming = tl.load(x_row + lane, mask=lane < tl.where(t + 1 < steps, width, 0), other=0.0)
        if ADAPTIVE:
            tl.store(note + BLOCK + lane, a)
        v, i, a, u, _ = _advance(now, v, i, a, d, th, c, beta, rho, ADAPTIVE, CURRENT, FIRES, RESET,
                                 SCALE_INPUT)  # fmt: skip
        tl.store(note + lane, u)
        if CURRENT:
            tl.store(note + (1 + ADAPTIVE) * BLOCK + lane, i)
        note += (1 + ADAPTIVE + CURRENT) * BLOCK


@triton.jit
def _recall(
    note: tensor, lane: tensor, there: tensor, ADAPTIVE: constexpr, CURRENT: constexpr,
    BLOCK: constexpr,
) -> tensor:  # fmt: skip
    """Load the notes ``u, a, i`` of a step, zeros where the type has none."""
    mask = lane < tl.where(there, BLOCK, 0)
    u = tl.load(note + lane, mask=mask, other=0.0)
    a, i = tl.zeros(lane.shape, tl.float32), tl.zeros(lane.shape, tl.float32)
    if ADAPTIVE:
        a = tl.load(note + BLOCK + lane, mask=mask, other=0.0)
    if CURRENT:
        i = tl.load(note + (1 + ADAPTIVE) * BLOCK + lane, mask=mask, other=0.0)
    return u, a, i


@triton.jit
def _retreat(
    given: tensor, gv: tensor, gi: tensor, ga: tensor, u: tensor, level: tensor, d: tensor,
    c: tensor, beta: tensor, rho: tensor, b: tensor, scale: tensor, ADAPTIVE: constexpr,
    CURRENT: constexpr, FIRES: constexpr, RESET: constexpr, SCALE_INPUT: constexpr,
    DETACH: constexpr, KIND: constexpr,
) -> tensor:  # fmt: skip
    """Go back one time step; see ``nas.fused.step_kernels.retreat_of`` for the equations.

    Returns:
        dL/dx, dL/du, dL/dV_th and dL/db of the step, and dL/dv, dL/di, dL/da before it.
    """
    gu = given + gv
    g_level, g_b = tl.zeros_like(gu), tl.zeros_like(gu)
    if FIRES:
        spikes = (u > level).to(tl.float32)
        slope = _slope(u - level, b, scale, KIND)
        gs = given
        if ADAPTIVE:
            gs += ga
        if RESET == HARD and not DETACH:
            gs -= u * gv
        if RESET == SOFT and not DETACH:
            gs -= level * gv
        g_level = -gs * slope
        gu = gs * slope + (1.0 - spikes) * gv if RESET == HARD else gs * slope + gv
        if RESET == SOFT:
            g_level -= spikes * gv
        g_b = gs * _by_temperature(u - level, b, scale, slope, KIND)
        if ADAPTIVE:
            ga = rho * ga + beta * g_level
    gv = d * gu
    gx = (1.0 - d) * gu if SCALE_INPUT else gu
    if CURRENT:
        gx += gi
        gi = c * gx
    return gx, gu, g_level, g_b, gv, gi, ga


@triton.jit(do_not_specialize=["steps", "period", "blocks"])
def backward(
    x: tensor, v0: tensor, i0: tensor, a0: tensor, decay: tensor, threshold: tensor,
    current_decay: tensor, adaptation: tensor, adaptation_decay: tensor, temperature: tensor,
    given: tensor, gv1: tensor, gi1: tensor, ga1: tensor, gx: tensor, gv0: tensor, gi0: tensor,
    ga0: tensor, g_decay: tensor, g_threshold: tensor, g_current_decay: tensor,
    g_adaptation: tensor, g_adaptation_decay: tensor, g_temperature: tensor, scratch: tensor,
    steps: tensor, neurons: tensor, period: tensor, blocks: tensor, ADAPTIVE: constexpr,
    CURRENT: constexpr, FIRES: constexpr, RESET: constexpr, SCALE_INPUT: constexpr,
    DETACH: constexpr, KIND: constexpr, HOW: constexpr, BLOCK: constexpr,
) -> None:  # fmt: skip
    """Take block after block forward and back again; ``scratch`` holds the notes of one each."""
    lane, size = tl.arange(0, BLOCK), (1 + ADAPTIVE + CURRENT) * BLOCK
    kept = scratch + tl.program_id(0).to(tl.int64) * steps * size
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        first = tl.cast(block, tl.int64) * BLOCK
        width = tl.minimum(neurons - first, BLOCK).to(tl.int32)
        inside = lane < width
        place = ((first % period).to(tl.int32) + lane) % period
        d, th, c, beta, rho = _constants(decay, threshold, current_decay, adaptation,
                                         adaptation_decay, place, inside, HOW)  # fmt: skip
        b = _constant(temperature, place, inside, HOW, 5)
        scale = 0.5 * b / _tanh(0.5 * b)
        v, i = _start(v0, lane, inside, first), _start(i0, lane, inside, first)
        a = _start(a0, lane, inside, first)
        _rebuild(x + first, kept, lane, width, v, i, a, d, th, c, beta, rho, steps, neurons,
                 ADAPTIVE, CURRENT, FIRES, RESET, SCALE_INPUT, BLOCK)  # fmt: skip
        # Threads may read what others of the program wrote, here and in the next block.
        tl.debug_barrier()
        gv, gi = _start(gv1, lane, inside, first), _start(gi1, lane, inside, first)
        ga = _start(ga1, lane, inside, first)
        s_d, s_th = tl.zeros(lane.shape, tl.float32), tl.zeros(lane.shape, tl.float32)
        s_c, s_beta, s_rho, s_b = s_d, s_d, s_d, s_d
        row = first + tl.cast(steps - 1, tl.int64) * neurons
        note = kept + (steps - 1) * size
        u, a_in, now = _recall(note, lane, steps > 0, ADAPTIVE, CURRENT, BLOCK)
        coming = tl.load(given + row + lane, mask=lane < tl.where(steps > 0, width, 0), other=0.0)
        for k in range(steps):
            more, g, note = k + 1 < steps, coming.to(tl.float32), note - size
            u_before, a_before, i_before = _recall(note, lane, more, ADAPTIVE, CURRENT, BLOCK)
            coming = tl.load(
                given + row - neurons + lane, mask=lane < tl.where(more, width, 0), other=0.0
            )
            if g_adaptation_decay is not None:
                s_rho += ga * a_in
            out, gu, g_level, g_b, gv, gi, ga = _retreat(
                g, gv, gi, ga, u, _level(th, beta, a_in, ADAPTIVE), d, c, beta, rho, b, scale,
                ADAPTIVE, CURRENT, FIRES, RESET, SCALE_INPUT, DETACH, KIND,
            )  # fmt: skip
            tl.store(gx + row + lane, out, mask=inside)
            if g_decay is not None:
                level = _level(th, beta, a_before, ADAPTIVE)
                v_before = tl.where(more, _settle(u_before, level, FIRES, RESET), v)
                if SCALE_INPUT and not CURRENT:
                    now = tl.load(x + row + lane, mask=inside, other=0.0).to(tl.float32)
                s_d += gu * (v_before - now if SCALE_INPUT else v_before)
            if g_current_decay is not None:
                s_c += out * tl.where(more, i_before, i)
            s_th, s_b, s_beta = s_th + g_level, s_b + g_b, s_beta + g_level * a_in
            u, a_in, now, row = u_before, a_before, i_before, row - neurons
        tl.debug_barrier()
        _finish(gv0, lane, inside, first, gv)
        _finish(gi0, lane, inside, first, gi)
        _finish(ga0, lane, inside, first, ga)
        _add_up(g_decay, lane, inside, first, block, s_d, HOW, 0)
        _add_up(g_threshold, lane, inside, first, block, s_th, HOW, 1)
        _add_up(g_current_decay, lane, inside, first, block, s_c, HOW, 2)
        _add_up(g_adaptation, lane, inside, first, block, s_beta, HOW, 3)
        _add_up(g_adaptation_decay, lane, inside, first, block, s_rho, HOW, 4)
        _add_up(g_temperature, lane, inside, first, block, s_b, HOW, 5)
