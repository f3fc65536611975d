"""The kernels as one differentiable operation of torch, known to ``torch.compile`` as a whole.

``stereo_nas::scan`` runs all time steps of one neuron type on ``[T, N]``; ``fused_scan`` brings any
tensor into that form. Only the input is kept for the backward pass.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.fused.cuda import scan_backward_cuda, scan_cuda
from nas.fused.group_kernels import GROUPS
from nas.fused.kernels import backward_kernel, forward_kernel
from nas.fused.lent import LENDER
from nas.fused.slope_kernels import KINDS
from nas.fused.step_kernels import RESETS
from nas.fused.threads import share

CONSTANTS = (
    "decay", "threshold", "current_decay", "adaptation", "adaptation_decay", "temperature",
)  # fmt: skip
"""The constants in the order of the operation's arguments."""

CACHE_FLOATS = 131_072
"""Floats that a block may work with: 512 KiB, which stay in the second-level cache."""

LEAST_NEURONS = 512
"""Neurons of a block at least, for blocks to be cut from the neurons of one sample."""

MOST_NEURONS = 8192
"""Neurons of a block at most. Shorter runs of memory are slower: each step reads elsewhere."""


def scan_cpu(
    x: Tensor, v0: Tensor, i0: Tensor, a0: Tensor, decay: Tensor, threshold: Tensor,
    current_decay: Tensor, adaptation: Tensor, adaptation_decay: Tensor, temperature: Tensor,
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    surrogate: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return outputs ``[T, N]`` and the state ``[N]`` after them, empty where there is none."""
    del detach, surrogate, temperature
    values = _numpy(x)
    v1, i1, a1 = _ended(x, adaptive, current)
    spikes = LENDER.lend(values.shape)
    arrays = [_numpy(c) for c in (v0, i0, a0, decay, threshold, current_decay, adaptation,
                                  adaptation_decay)]  # fmt: skip
    uniform = all(c.size == 1 for c in arrays[3:])
    kernel = forward_kernel(adaptive, current, fires, reset, scale_input, uniform)
    period = _period(x, arrays[3:])
    block = _block(x.shape[0], period, 0)
    results = spikes, v1.numpy(), i1.numpy(), a1.numpy()
    share(
        lambda tickets: kernel(values, *arrays, block, period, *results, tickets),
        values.size,
    )
    return torch.from_numpy(spikes).to(x.dtype), v1, i1, a1


def scan_fake(x: Tensor, *rest: Any) -> Any:
    """Return tensors like those that the operation returns."""
    adaptive, current = rest[9:11]
    return torch.empty_like(x), *_ended(x, adaptive, current)


def scan_backward_cpu(
    x: Tensor, v0: Tensor, i0: Tensor, a0: Tensor, decay: Tensor, threshold: Tensor,
    current_decay: Tensor, adaptation: Tensor, adaptation_decay: Tensor, temperature: Tensor,
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    surrogate: int, learn: bool, given: Tensor, gv1: Tensor, gi1: Tensor, ga1: Tensor,
) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    """Return the gradients of the input, the three states and the six constants."""
    values, incoming = _numpy(x), _numpy(given)
    states = [_numpy(s) for s in (v0, i0, a0)]
    constants = [decay, threshold, current_decay, adaptation, adaptation_decay, temperature]
    arrays = [_numpy(c) for c in constants]
    uniform = all(c.size == 1 for c in arrays)
    kernel = backward_kernel(
        adaptive, current, fires, reset, scale_input, uniform, detach, surrogate, learn
    )
    after = [_numpy(g) for g in (gv1, gi1, ga1)]
    gx = LENDER.lend(values.shape)
    before = [np.empty_like(s) for s in states]
    period = _period(x, arrays)
    # Where blocks are cut from the period of a constant, no two groups share a value of it.
    sums = [np.zeros((1 if c.size == period else GROUPS, c.size if learn else 0)) for c in arrays]
    kept = 1 + adaptive + learn * (1 + current + scale_input)
    block = _block(x.shape[0], period, kept)
    given_arrays = values, *states, *arrays, block, period, incoming, *after
    share(
        lambda tickets: kernel(*given_arrays, gx, *before, tuple(sums), tickets),
        values.size,
    )
    to_states = [torch.from_numpy(g) for g in before]
    to_constants = [
        torch.from_numpy(s.sum(0).astype(np.float32) if learn else np.zeros(c.size, np.float32))
        for s, c in zip(sums, arrays, strict=True)
    ]
    g = torch.from_numpy(gx).to(x.dtype)
    return g, *to_states, *to_constants  # type: ignore[return-value]


def scan_backward_fake(x: Tensor, *rest: Any) -> Any:
    """Return tensors like those that the operation returns."""
    return (torch.empty_like(x), *(torch.empty_like(t) for t in rest[:9]))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep the input, and what is tiny beside it."""
    del output
    ctx.save_for_backward(*inputs[:10])
    ctx.flags = inputs[10:]
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, given: Tensor | None, *after: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    learn = any(ctx.needs_input_grad[4:10])
    x = tensors[0]
    given = torch.zeros_like(x) if given is None else given.contiguous()
    nothing = x.new_empty(0, dtype=torch.float32)
    grads = scan_backward_op(
        *tensors, *ctx.flags, learn, given,
        *(nothing if g is None else g.contiguous() for g in after),
    )  # fmt: skip
    return (*grads, *(None for _ in ctx.flags))


def _register(name: str, cpu: Any, cuda: Any, fake: Any) -> Any:
    """Tell torch about an operation; return it.

    Not by ``torch.library.custom_op``: its operations load torch's compiler at the first call,
    which takes two seconds of a start.
    """
    full = f"stereo_nas::{name}"
    torch.library.define(full, torch.library.infer_schema(cpu, mutates_args=()))
    torch.library.impl(full, "cpu", cpu)
    torch.library.impl(full, "cuda", cuda)
    torch.library.register_fake(full, fake)
    return getattr(torch.ops.stereo_nas, name)


scan_op = _register("scan", scan_cpu, scan_cuda, scan_fake)
scan_backward_op = _register(
    "scan_backward", scan_backward_cpu, scan_backward_cuda, scan_backward_fake
)
torch.library.register_autograd("stereo_nas::scan", _backward, setup_context=_remember)


def fused_scan(
    x: Tensor, states: tuple[Tensor | None, Tensor | None, Tensor | None],
    constants: dict[str, Tensor], *, adaptive: bool, current: bool, fires: bool, reset: str,
    scale_input: bool, detach: bool, surrogate: str,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
    """Return what ``nas.neurons.steps.scan`` returns, by the kernels.

    Args:
        x: ``[T, B, ...]`` float32, float16 or bfloat16 on the CPU or a CUDA device, any strides.
        states: membrane, synaptic current and adaptation ``[B, ...]``; None for rest.
        constants: the six of ``CONSTANTS``, each one value or broadcastable to ``x.shape[2:]``.
        adaptive: whether the threshold adapts.
        current: whether the synapse filters the input.
        fires: False for an integrator.
        reset: "hard", "soft" or "none".
        scale_input: whether the input is scaled by ``1 - decay``.
        detach: whether the reset lets no gradient through.
        surrogate: name in ``SURROGATES``.

    Returns:
        Outputs, in the memory order of ``x``, and the three states in float32; those that the type
        does not have are empty.
    """
    order = memory_order(x)
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    ordered = x.permute(order)
    shape = ordered.shape
    rest = [axis - 1 for axis in order[1:]]
    nothing = x.new_empty(0, dtype=torch.float32)
    flat = [
        nothing if s is None else s.float().expand(x.shape[1:]).permute(rest).reshape(-1)
        for s in states
    ]
    period = [axis - 2 for axis in order[2:]]
    values = [_row(constants[name], x.shape[2:], period) for name in CONSTANTS]
    out, *after = scan_op(
        ordered.reshape(shape[0], -1).contiguous(), *flat, *values, adaptive, current, fires,
        RESETS[reset], scale_input, detach, KINDS[surrogate],
    )  # fmt: skip
    back = [axis - 1 for axis in inverse[1:]]
    v, i, a = (s.view(shape[1:]).permute(back) if s.numel() else s for s in after)
    return out.view(shape).permute(inverse), (v, i, a)


def memory_order(x: Tensor) -> list[int]:
    """Return the axes of ``[T, B, ...]`` from slowest to fastest in memory, T and B first.

    Neurons are independent, so any order will do; constants repeat with every sample, so B must
    come before the others.
    """
    inner: list[int] = []
    for axis in range(2, x.ndim):
        # Not `sorted`: while compiling, strides may be symbols, which can only be compared.
        place = len(inner)
        while place > 0 and x.stride(inner[place - 1]) < x.stride(axis):
            place -= 1
        inner.insert(place, axis)
    return [*range(min(2, x.ndim)), *inner]


def _row(value: Tensor, shape: torch.Size, period: list[int]) -> Tensor:
    """Return a constant as one value, or as the values of one sample in memory order."""
    if value.numel() == 1:
        return value.reshape(1).float()
    return value.float().expand(shape).permute(period).reshape(-1)


def _ended(x: Tensor, adaptive: bool, current: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return tensors for the state after ``x`` ``[T, N]``."""
    count = x.shape[1]
    sizes = count, count if current else 0, count if adaptive else 0
    v, i, a = (x.new_empty(size, dtype=torch.float32) for size in sizes)
    return v, i, a


def _numpy(x: Tensor) -> Any:
    """Return a float32 array, of the same memory where the type allows."""
    return x.detach().float().contiguous().numpy()


def _period(x: Tensor, constants: list[Any]) -> int:
    """Return after how many neurons of ``x`` ``[T, N]`` blocks repeat; see ``nas.fused.kernels``.

    Args:
        x: input.
        constants: arrays of one value, or of those of one sample.
    """
    sample = max(c.size for c in constants)
    return sample if sample >= GROUPS * LEAST_NEURONS else x.shape[1]


def _block(steps: int, period: int, kept: int) -> int:
    """Return how many neurons a thread takes through all steps at a time.

    Args:
        steps: time steps.
        period: neurons that blocks are cut from.
        kept: values that the pass keeps of a neuron and step.
    """
    most = max(64, min(MOST_NEURONS, CACHE_FLOATS // (kept * steps + 16)))
    turns = math.ceil(period / (GROUPS * most))
    return max(64, math.ceil(period / (GROUPS * max(1, turns)) / 16) * 16)
