"""One time step of a block of neurons on the CPU, forward and backward, one kernel per neuron type.

The slow twins are the steps of ``nas.neurons.steps``. Flags are fixed when a kernel is compiled,
which leaves only what its type needs. Kernels are this small so that a type compiles in a second:
``nas.fused.kernels`` calls them through pointers, once for thousands of neurons.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.core.errors import TypingError
from numba.extending import intrinsic

from nas.fused.slope_kernels import by_temperature_of, slope_of

F32 = npt.NDArray[np.float32]

HARD, SOFT, NONE = 0, 1, 2
RESETS = {"hard": HARD, "soft": SOFT, "none": NONE}

DECAY, THRESHOLD, CURRENT_DECAY, ADAPTATION, ADAPTATION_DECAY, TEMPERATURE, SCALE = range(7)
"""Rows of a block's constants; ``SCALE`` is ``b / (2 tanh(b/2))``. The first six have gradients."""

VOLTAGE, CURRENT, ADAPTED = 0, 1, 2
"""Rows of a block's state: membrane, synaptic current, adaptation."""

U, A_BEFORE, V_BEFORE, I_BEFORE, NOW = range(5)
"""What the backward pass keeps of a block's step: the membrane before firing; adaptation, membrane
and synaptic current before the step; the input current. The last three serve the constants."""

ROW, ROWS = types.float32[::1], types.float32[:, ::1]
ADVANCE = types.void(ROW, types.int64, ROWS, ROWS, ROWS, ROW)
"""Of a step of ``advance_of``: ``x, width, const, state, kept, out``."""
RETREAT = types.void(ROW, types.int64, ROWS, ROWS, ROWS, ROWS, ROW)
"""Of a step of ``retreat_of``: ``given, width, const, state, kept, sums, gx``."""

KEPT: list[Any] = []
"""Kernels whose addresses were given out; code goes when its kernel does."""


def _call(typing_context: Any, address: Any, given: Any) -> Any:
    """Call a step by its address; Numba's own functions as values take 0.1 ms to be passed."""
    del typing_context
    if tuple(given) not in (ADVANCE.args, RETREAT.args):
        raise TypingError(f"no step takes {given}")

    def code(context: Any, builder: Any, _: Any, values: Any) -> Any:
        kind = context.call_conv.get_function_type(types.void, tuple(given)).as_pointer()
        pointer, members = values
        # Steps raise nothing, so the status that comes back is not looked at.
        context.call_conv.call_function(
            builder, builder.inttoptr(pointer, kind), types.void, tuple(given),
            unpack_tuple(builder, members),  # type: ignore[no-untyped-call]
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(address, given), code


call: Any = intrinsic(_call)
"""In a kernel: call the step at an address of ``advance_of`` or ``retreat_of``."""


def _address(kernel: Any) -> int:
    """Return where the code of a kernel with one signature is; it stays while the kernel does."""
    (compiled,) = kernel.overloads.values()
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@cache
def advance_of(
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool,
    keep: bool, learn: bool,
) -> int:  # fmt: skip
    """Return the address of the compiled step of a neuron type, for ``call``.

    It advances a block of neurons; it writes spikes to ``out``, or keeps what led to them.

    Args:
        adaptive: whether the threshold adapts.
        current: whether the synapse filters the input.
        fires: False for an integrator.
        reset: a value of ``RESETS``.
        scale_input: whether the input is scaled by ``1 - decay``.
        uniform: whether every constant is one value for all neurons, which saves reading them.
        keep: whether ``kept`` is written, for the way back, instead of ``out``.
        learn: whether what the gradients of the constants need is kept, too.
    """
    kernel = _advance(adaptive, current, fires, reset, scale_input, uniform, keep, learn)
    KEPT.append(kernel)
    return _address(kernel)


def _advance(  # noqa: C901  (the branches are decided when it is compiled)
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool,
    keep: bool, learn: bool,
) -> Any:  # fmt: skip
    """Compile the step of a type; see ``advance_of``."""

    @numba.njit(ADVANCE, cache=True, nogil=True, error_model="numpy")
    def advance(  # noqa: C901
        x: F32, width: int, const: F32, state: F32, kept: F32, out: F32
    ) -> None:
        zero, one = np.float32(0.0), np.float32(1.0)
        v, cur, a = state[VOLTAGE], state[CURRENT], state[ADAPTED]
        decays, thresholds, current_decays = const[DECAY], const[THRESHOLD], const[CURRENT_DECAY]
        adaptations, adaptation_decays = const[ADAPTATION], const[ADAPTATION_DECAY]
        d, th, c = decays[0], thresholds[0], current_decays[0]
        beta, rho = adaptations[0], adaptation_decays[0]
        for i in range(width):
            if not uniform:
                d, th, c = decays[i], thresholds[i], current_decays[i]
                beta, rho = adaptations[i], adaptation_decays[i]
            now = x[i]
            if current:
                if learn:
                    kept[I_BEFORE, i] = cur[i]
                now = c * cur[i] + now
                cur[i] = now
            if learn:
                kept[V_BEFORE, i] = v[i]
                if scale_input:
                    kept[NOW, i] = now
            if scale_input:
                now = (one - d) * now
            u = d * v[i] + now
            level = th
            if adaptive:
                if keep:
                    kept[A_BEFORE, i] = a[i]
                level = level + beta * a[i]
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
                a[i] = rho * a[i] + s
            if not keep:
                out[i] = s if fires else u

    return advance


@cache
def retreat_of(
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool,
    detach: bool, kind: int, learn: bool,
) -> int:  # fmt: skip
    """Return the address of the compiled step back of a neuron type, for ``call``.

    From dL/dstate after a step and dL/ds to dL/dstate before it and dL/dx.

    With dL/dv and dL/da of the state after a step, and S' the slope of the surrogate:

        dL/ds    = given + dL/da + dL/dv dv/ds    dv/ds = -u (hard), -V_th (soft), 0 (detached)
        dL/du    = dL/ds S' + dL/dv dv/du         dv/du = 1 - s (hard), 1 (soft, none)
        dL/dV_th = -dL/ds S' - dL/dv s (soft)

    Args:
        adaptive: as for ``advance_of``, and so the next five.
        current: see there.
        fires: see there.
        reset: see there.
        scale_input: see there.
        uniform: see there.
        detach: whether the reset lets no gradient through.
        kind: a value of ``slope_kernels.KINDS``.
        learn: whether the gradients of the constants are added to ``sums``.
    """
    kernel = _retreat(adaptive, current, fires, reset, scale_input, uniform, detach, kind, learn)
    KEPT.append(kernel)
    return _address(kernel)


def _retreat(  # noqa: C901  (the branches are decided when it is compiled)
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, uniform: bool,
    detach: bool, kind: int, learn: bool,
) -> Any:  # fmt: skip
    """Compile the step back of a type; see ``retreat_of``."""

    @numba.njit(RETREAT, cache=True, nogil=True, error_model="numpy")
    def retreat(  # noqa: C901
        given: F32, width: int, const: F32, state: F32, kept: F32, sums: F32, gx: F32
    ) -> None:
        zero, one = np.float32(0.0), np.float32(1.0)
        gv, gi, ga = state[VOLTAGE], state[CURRENT], state[ADAPTED]
        decays, thresholds, current_decays = const[DECAY], const[THRESHOLD], const[CURRENT_DECAY]
        adaptations, adaptation_decays = const[ADAPTATION], const[ADAPTATION_DECAY]
        temperatures, scales = const[TEMPERATURE], const[SCALE]
        d, th, c = decays[0], thresholds[0], current_decays[0]
        beta, rho, b, scale = adaptations[0], adaptation_decays[0], temperatures[0], scales[0]
        for i in range(width):
            if not uniform:
                d, th, c = decays[i], thresholds[i], current_decays[i]
                beta, rho, b, scale = (
                    adaptations[i],
                    adaptation_decays[i],
                    temperatures[i],
                    scales[i],
                )
            gu = given[i] + gv[i]
            if fires:
                u, level = kept[U, i], th
                if adaptive:
                    level = level + beta * kept[A_BEFORE, i]
                far = u - level
                s = one if far > zero else zero
                slope = slope_of(kind, far, b, scale)
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
                    sums[TEMPERATURE, i] += gs * by_temperature_of(kind, far, b, scale, slope)
                if adaptive:
                    if learn:
                        sums[ADAPTATION, i] += g_level * kept[A_BEFORE, i]
                        sums[ADAPTATION_DECAY, i] += ga[i] * kept[A_BEFORE, i]
                    ga[i] = rho * ga[i] + beta * g_level
            if learn:
                v = kept[V_BEFORE, i]
                sums[DECAY, i] += gu * (v - kept[NOW, i] if scale_input else v)
            gv[i] = d * gu
            now = (one - d) * gu if scale_input else gu
            if current:
                now = now + gi[i]
                if learn:
                    sums[CURRENT_DECAY, i] += now * kept[I_BEFORE, i]
                gi[i] = c * now
            gx[i] = now

    return retreat
