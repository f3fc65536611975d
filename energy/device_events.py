"""Counts of events by operations that run where the tensor is and leave their results there."""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energy.event_values import Declared
from energy.fans import Fan

HAS_TRITON = find_spec("triton") is not None
"""Whether there is what the kernel is written in; torch's builds for CUDA bring it."""

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.bool)
"""Types that the kernel reads."""

BLOCK = 2048
"""Elements that a program of the kernel looks at together."""

BLOCKS = 8
"""Such blocks that a program takes one after the other, before it adds to the sums of its row."""

EXACT = {"enable_fp_fusion": False}
"""How to launch so that products and differences round one by one."""


def count(declared: Declared, fans: tuple[Fan, ...], rows: int) -> tuple[Tensor, Tensor]:
    """Return sums ``[rows, 3]`` and the number of strange elements, not yet synchronized."""
    if HAS_TRITON and declared.x.is_cuda and declared.x.dtype in TYPES:
        return count_with_triton(declared, fans, rows)
    return count_with_torch(declared, fans, rows)


def count_with_torch(
    declared: Declared, fans: tuple[Fan, ...], rows: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Do so by torch's operations, for any type and size."""
    x = declared.x
    active = x != 0
    if declared.unit is None:
        times, strange = active, torch.zeros((), dtype=torch.int64, device=x.device)
    else:
        narrow = x.dtype in TYPES
        ratio = x.to(torch.float32 if narrow else torch.float64) / declared.unit
        size = ratio.abs()
        near = torch.floor(size + 0.5)
        fits = ((size - near).abs() <= declared.slack * near) & (near > 0) & (near <= declared.most)
        if not declared.signed:
            fits &= ratio > 0
        times = torch.where(fits, near, active.to(near.dtype)).long()
        strange = (active & ~fits).sum()
    positions = _positions(fans, x.device)
    sums = [active.reshape(rows, -1).sum(1)]
    for values in (active, times):
        by_position = values.reshape(rows, -1, positions.numel()).sum(1)
        sums.append((by_position * positions).sum(1))
    return torch.stack(sums, 1), strange


def count_with_triton(
    declared: Declared, fans: tuple[Fan, ...], rows: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Do so by the kernel: one pass over the tensor as it lies in memory."""
    from energy import triton_kernels

    x = declared.x
    channels = 1
    if fans and not x.is_contiguous() and x.movedim(1, -1).is_contiguous():
        channels, x = x.shape[1], x.movedim(1, -1)
    memory = x.contiguous().view(-1)
    if memory.dtype == torch.bool:
        memory = memory.view(torch.uint8)
    row_size = memory.numel() // rows
    sums = torch.zeros(rows, 3, dtype=torch.int64, device=x.device)
    strange = torch.zeros((), dtype=torch.int64, device=x.device)
    grid = (-(-row_size // (BLOCK * BLOCKS)), rows)
    positions = _positions(fans, x.device)
    unit = 1.0 if declared.unit is None else declared.unit
    inverse = 1.0 / unit if unit else float("inf")
    with _on(x):
        triton_kernels.count_events[grid](
            memory, positions, sums, strange, row_size, positions.numel(), channels,
            inverse, float(declared.most), declared.slack, DECLARED=declared.unit is not None,
            SIGNED=declared.signed, BLOCK=BLOCK, BLOCKS=BLOCKS, **EXACT,
        )  # fmt: skip
    return sums, strange


def _positions(fans: tuple[Fan, ...], device: torch.device) -> Tensor:
    """Return ``[P]``, the fan-out of every position, on the device."""
    return _positions_on(tuple(fan.tobytes() for fan in fans), device)


@lru_cache(maxsize=256)
def _positions_on(fans: tuple[bytes, ...], device: torch.device) -> Tensor:
    """Send it once: a network asks for the same few again and again."""
    table = np.ones(1, np.int64)
    for fan in fans:
        table = np.multiply.outer(table, np.frombuffer(fan, np.int64)).reshape(-1)
    with torch.inference_mode(False):
        return torch.from_numpy(table).to(device, non_blocking=True)


def _on(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which launches go to the device of ``x``."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
