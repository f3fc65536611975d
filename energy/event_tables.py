"""How a tensor is cut into lines for the kernels, and the fan-out of every element of a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from energy.fans import Fan

WIDTH = 4096
"""Elements of a line, about: enough that what is done once per line does not show, and a table of
them (16 KiB) stays in the fastest memory."""

LARGEST = 2**31 - 1
"""Sums of one line are integers of 32 bits."""


@dataclass(frozen=True)
class Tables:
    """What ``energy.event_kernels`` needs beside the tensor.

    Attributes:
        tables: ``[K, width]`` fan-outs.
        plan: ``[P, 2]`` table and weight of every line, repeating.
        largest: sum of the fan-outs of a line, at most.
        total: sum of the fan-outs of all positions.
        positions: of the spatial axes together.
    """

    tables: npt.NDArray[np.int32]
    plan: Fan
    largest: int
    total: int
    positions: int


def tables_of(fans: Sequence[Fan], *, channels: int = 1) -> Tables | None:
    """Return the tables for ``[N, C, *S]`` in the order of memory.

    Args:
        fans: one table per spatial axis; none for ``[..., C]``.
        channels: innermost elements that share a position: ``C`` if channels come last in memory.

    Returns:
        None if the fan-outs of a line are too large for 32 bits.
    """
    return _tables(tuple(fan.tobytes() for fan in fans), channels)


@lru_cache(maxsize=512)
def _tables(fans: tuple[bytes, ...], channels: int) -> Tables | None:
    """Lay out and remember: a network asks for the same few again and again."""
    axes = [np.frombuffer(fan, np.int64) for fan in fans] or [np.ones(1, np.int64)]
    total, positions = _total(axes)
    axes[-1] = np.repeat(axes[-1], channels)
    lines, plan = _lines(axes)
    largest = _largest(lines)
    if largest > LARGEST:
        return None
    return Tables(lines.astype(np.int32), plan, largest, total, positions)


def tables_of_bits(fans: Sequence[Fan]) -> Tables | None:
    """Return the tables for ``[N, C, ..., W / 8]`` bytes; the last one tells filling from elements.

    None if the fan-outs of a line are too large for 32 bits.
    """
    return _tables_of_bits(tuple(fan.tobytes() for fan in fans))


@lru_cache(maxsize=512)
def _tables_of_bits(fans: tuple[bytes, ...]) -> Tables | None:
    axes = [np.frombuffer(fan, np.int64) for fan in fans]
    total, positions = _total(axes)
    filling = -axes[-1].size % 8
    inside = np.pad(np.ones(axes[-1].size, np.int64), (0, filling))
    axes[-1] = np.pad(axes[-1], (0, filling))
    lines, plan = _lines(axes)
    whole = np.resize(inside, lines.shape[1])
    largest = _largest(lines)
    if largest > LARGEST:
        return None
    by_bit = np.concatenate([lines, whole[None]]).reshape(len(lines) + 1, -1, 8).swapaxes(1, 2)
    tables = np.ascontiguousarray(by_bit.reshape(len(lines) + 1, -1), np.int32)
    return Tables(tables, plan, largest, total, positions)


def _largest(lines: Fan) -> int:
    """Return the largest sum of a line; of floats, as integers of 64 bits might overflow."""
    return int(lines.sum(1, dtype=np.float64).max())


def _total(axes: Sequence[Fan]) -> tuple[int, int]:
    """Return the sum of all fan-outs, and the number of positions."""
    total = positions = 1
    for axis in axes:
        total, positions = total * int(axis.sum()), positions * axis.size
    return total, positions


def _lines(axes: Sequence[Fan]) -> tuple[Fan, Fan]:
    """Return ``[K, width]`` tables and the plan ``[P, 2]``.

    Trailing axes are merged into a line as long as it is not too wide; of the next axis as many
    places as divide it. Their fan-outs mostly repeat (all but those at the borders are alike), so
    few tables remain.
    """
    line, rest = axes[-1], list(axes[:-1])
    while rest and rest[-1].size * line.size <= WIDTH:
        line = np.multiply.outer(rest.pop(), line).reshape(-1)
    if not rest:  # a whole map is a line: take several channels at once
        return np.tile(line, max(1, WIDTH // line.size))[None], np.array([[0, 1]], np.int64)
    axis = rest.pop()
    together = max(
        n for n in range(1, axis.size + 1)
        if axis.size % n == 0 and (n == 1 or n * line.size <= WIDTH)
    )  # fmt: skip
    blocks, which = np.unique(axis.reshape(-1, together), axis=0, return_inverse=True)
    tables = np.multiply.outer(blocks, line).reshape(len(blocks), -1)
    weights = np.ones(1, np.int64)
    for outer in rest:
        weights = np.multiply.outer(weights, outer).reshape(-1)
    which = which.reshape(-1)
    plan = np.stack([np.tile(which, weights.size), np.repeat(weights, which.size)], axis=1)
    return tables, np.ascontiguousarray(plan, np.int64)
