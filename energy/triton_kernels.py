"""The one pass over a tensor that exact counting needs, on a GPU.

The twin of ``energy.event_kernels`` in Triton. This module needs triton, so only
``energy.device_events`` imports it, when there is a tensor to work on. Sums are of integers and
added atomically, so their order does not matter. The kernel is interpreted in the tests and
compiles for several generations of devices; it has not been run or timed on one yet.
"""

import triton
import triton.language as tl
from triton.language import constexpr, tensor


@triton.jit(do_not_specialize=["row_size", "positions", "channels"])  # type: ignore[untyped-decorator]
def count_events(
    x: tensor, fans: tensor, sums: tensor, strange: tensor, row_size: tensor, positions: tensor,
    channels: tensor, inverse: tensor, most: tensor, slack: tensor, DECLARED: constexpr,
    SIGNED: constexpr, BLOCK: constexpr, BLOCKS: constexpr,
) -> None:  # fmt: skip
    """Count some blocks of a row; the programs are ``[blocks / BLOCKS, rows]``.

    Args:
        x: ``[rows * row_size]`` elements, in the order of memory.
        fans: ``[positions]`` fan-out.
        sums: ``[rows, 3]`` elements that are not zero, their fan-out, fan-out times multiples.
        strange: one number, of what is no multiple.
        row_size: elements of a row.
        positions: of the spatial axes together.
        channels: innermost elements that share a position.
        inverse: of the value of one spike; a quotient would not be exact.
        most: largest multiple.
        slack: rounding error that is allowed, relative to the value.
        DECLARED: whether values are multiples of the unit; else any value is one event.
        SIGNED: whether multiples may be negative.
        BLOCK: elements looked at together.
        BLOCKS: of a program.
    """
    row = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    first = tl.program_id(0).to(tl.int64) * (BLOCK * BLOCKS)
    nonzero = tl.zeros((BLOCK,), tl.int32)
    wrong = tl.zeros((BLOCK,), tl.int32)
    events = tl.zeros((BLOCK,), tl.int64)
    costs = tl.zeros((BLOCK,), tl.int64)
    for block in range(BLOCKS):
        place = first + block * BLOCK + lane
        inside = place < row_size
        value = tl.load(x + row * row_size + place, mask=inside, other=0).to(tl.float32)
        fan = tl.load(fans + place // channels % positions, mask=inside, other=0)
        active = value != 0.0
        nonzero += active.to(tl.int32)
        events += tl.where(active, fan, 0)
        if DECLARED:
            ratio = value * inverse
            size = tl.abs(ratio)
            near = tl.floor(size + 0.5)
            fits = (tl.abs(size - near) <= slack * near) & (near > 0.0) & (near <= most)
            if not SIGNED:
                fits = fits & (ratio > 0.0)
            times = tl.where(fits, near, active.to(tl.float32)).to(tl.int64)
            costs += times * fan
            wrong += (active & (fits == 0)).to(tl.int32)
    all_events = tl.sum(events, 0)
    tl.atomic_add(sums + row * 3, tl.sum(nonzero, 0).to(tl.int64), sem="relaxed")
    tl.atomic_add(sums + row * 3 + 1, all_events, sem="relaxed")
    tl.atomic_add(sums + row * 3 + 2, tl.sum(costs, 0) if DECLARED else all_events, sem="relaxed")
    if DECLARED:
        tl.atomic_add(strange, tl.sum(wrong, 0).to(tl.int64), sem="relaxed")
