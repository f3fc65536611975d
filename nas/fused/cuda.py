"""The multi-step operations of ``nas.fused.op`` on CUDA devices: checks, block sizes, launches.

The kernels are in ``nas.fused.triton_kernels``, which is imported with the first tensor to work on:
``import nas`` must do without triton. They run under Triton's interpreter in the tests and compile
for several generations of devices, but have not been run or timed on one yet; the numbers below
are estimates.
"""

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_TRITON = find_spec("triton") is not None
"""Whether there is what the kernels are written in; torch's builds for CUDA bring it."""

WIDTHS = {0: 256, 1 << 18: 1024}
"""Neurons of a block, from some number of neurons on: many small blocks fill a device, large ones
have more loads under way per thread. They depend on nothing else, so that sums do not either."""

WARPS = 4
"""Groups of 32 threads per program, so 2 or 8 neurons per thread; twice as many where gradients of
constants are summed, which needs more registers."""

EXACT = {"enable_fp_fusion": False}
"""How to launch so that products and sums round one by one, as in the reference."""

PROGRAMS_PER_CORE = 4, 8
"""Programs of the backward pass per multiprocessor, at least and at most. Between them as many as
leave their notes in half of the L2 cache."""

INTERPRETED_PROGRAMS = 3
"""Programs without a device: few, so that each takes several blocks."""


def scan_cuda(
    x: Tensor, v0: Tensor, i0: Tensor, a0: Tensor, decay: Tensor, threshold: Tensor,
    current_decay: Tensor, adaptation: Tensor, adaptation_decay: Tensor, temperature: Tensor,
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    surrogate: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return outputs ``[T, N]`` and the state ``[N]``; the arguments of ``stereo_nas::scan``."""
    del temperature, detach, surrogate
    from nas.fused import triton_kernels

    x, neurons = x.contiguous(), x.shape[1]
    constants = [decay, threshold, current_decay, adaptation, adaptation_decay]
    values, how, period = _alike(constants, x)
    sizes = neurons, neurons if current else 0, neurons if adaptive else 0
    v1, i1, a1 = (x.new_empty(size, dtype=torch.float32) for size in sizes)
    out = torch.empty_like(x)
    if neurons:
        block = _width(neurons)
        grid = (-(-neurons // block),)
        with _on(x):
            triton_kernels.forward[grid](
                x, *map(_given, (v0, i0, a0)), *values, out, *map(_given, (v1, i1, a1)),
                x.shape[0], neurons, period, ADAPTIVE=adaptive, CURRENT=current, FIRES=fires,
                RESET=reset, SCALE_INPUT=scale_input, HOW=how, BLOCK=block, num_warps=WARPS,
                **EXACT,
            )  # fmt: skip
    return out, v1, i1, a1


def scan_backward_cuda(
    x: Tensor, v0: Tensor, i0: Tensor, a0: Tensor, decay: Tensor, threshold: Tensor,
    current_decay: Tensor, adaptation: Tensor, adaptation_decay: Tensor, temperature: Tensor,
    adaptive: bool, current: bool, fires: bool, reset: int, scale_input: bool, detach: bool,
    surrogate: int, learn: bool, given: Tensor, gv1: Tensor, gi1: Tensor, ga1: Tensor,
) -> tuple[
    Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor
]:  # fmt: skip
    """Return the gradients that ``stereo_nas::scan_backward`` returns, with its arguments."""
    from nas.fused import triton_kernels

    x, given, neurons = x.contiguous(), given.contiguous(), x.shape[1]
    constants = [decay, threshold, current_decay, adaptation, adaptation_decay, temperature]
    values, how, period = _alike(constants, x)
    block = _width(neurons)
    blocks = -(-neurons // block)
    # Which of the constants the type computes with, in their order.
    used = True, fires, current, adaptive and fires, adaptive and fires, fires
    sums = [
        x.new_empty(neurons if c.numel() > 1 else blocks, dtype=torch.float32)
        if learn and uses and neurons and not _is_number(c) else None
        for c, uses in zip(constants, used, strict=True)
    ]  # fmt: skip
    gx = torch.empty_like(x)
    before = [torch.zeros_like(s, dtype=torch.float32) for s in (v0, i0, a0)]
    if neurons:
        notes = x.shape[0] * (1 + adaptive + current) * block
        programs = min(blocks, _programs(x.device, 4 * notes))
        scratch = x.new_empty(programs * notes, dtype=torch.float32)
        with _on(x):
            triton_kernels.backward[(programs,)](
                x, *map(_given, (v0, i0, a0)), *values, given, *map(_given, (gv1, gi1, ga1)), gx,
                *map(_given, before), *sums, scratch, x.shape[0], neurons, period, blocks,
                ADAPTIVE=adaptive, CURRENT=current, FIRES=fires, RESET=reset,
                SCALE_INPUT=scale_input, DETACH=detach, KIND=surrogate, HOW=how, BLOCK=block,
                num_warps=2 * WARPS if learn else WARPS, **EXACT,
            )  # fmt: skip
    to_constants = [_total(s, c) for s, c in zip(sums, constants, strict=True)]
    return gx, *before, *to_constants  # type: ignore[return-value]


def _alike(constants: list[Tensor], x: Tensor) -> tuple[list[Tensor | float], int, int]:
    """Return constants as the kernels take them, how they come, and the period of the wide ones.

    A number stays one: nothing is copied to the device. Wide constants of different periods, which
    no module makes, are repeated to one per neuron.
    """
    numbers = [_is_number(c) for c in constants]
    arrays = [
        c if number else c.to(x.device, torch.float32).contiguous()
        for c, number in zip(constants, numbers, strict=True)
    ]
    periods = {c.numel() for c in arrays if c.numel() > 1}
    if len(periods) > 1:
        place = torch.arange(x.shape[1], device=x.device)
        arrays = [c[place % c.numel()] if c.numel() > 1 else c for c in arrays]
        periods = {x.shape[1]}
    how = 0
    for k, (number, array) in enumerate(zip(numbers, arrays, strict=True)):
        how |= (0 if number else 1 if array.numel() == 1 else 2) << 2 * k
    values = [float(c) if number else c for c, number in zip(arrays, numbers, strict=True)]
    return values, how, periods.pop() if periods else 1


def _is_number(constant: Tensor) -> bool:
    """Whether a constant is known without asking the device, and nobody asks for its gradient."""
    return constant.numel() == 1 and constant.device.type == "cpu" and not constant.requires_grad


def _total(sums: Tensor | None, constant: Tensor) -> Tensor:
    """Return the gradient of a constant from its sums per neuron ``[N]`` or per block."""
    count = constant.numel()
    if sums is None:
        return torch.zeros_like(constant, dtype=torch.float32)
    rows = F.pad(sums, (0, -sums.numel() % count)).view(-1, count)
    return rows.sum(0, dtype=torch.float64).to(constant.device, torch.float32)


def _given(tensor: Tensor) -> Tensor | None:
    """Return a tensor as the kernels take it; an empty one is none."""
    return tensor.float().contiguous() if tensor.numel() else None


def _width(neurons: int) -> int:
    """Return the neurons of a block."""
    return max(width for fewest, width in WIDTHS.items() if neurons >= fewest)


def _programs(device: torch.device, bytes_of_notes: int) -> int:
    """Return how many programs of a backward pass share the blocks."""
    if device.type != "cuda":
        return INTERPRETED_PROGRAMS
    about = torch.cuda.get_device_properties(device)
    least, most = (about.multi_processor_count * n for n in PROGRAMS_PER_CORE)
    return max(least, min(most, about.L2_cache_size // 2 // max(1, bytes_of_notes)))


def _on(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which launches go to the device of ``x``."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
