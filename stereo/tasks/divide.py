"""Two halves of recorded windows that never see the same events."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.images.order import generator_for
from stereo.errors import StereoError

Indices = npt.NDArray[np.int64]

FEWEST_SEQUENCES = 4
LEAST_SHARE = 0.4
"""By sequence, if there are so many and the smaller half has this share of the windows."""

BLOCKS = 8
"""Blocks of time that a sequence is cut into otherwise, at most."""

SHORTEST_BLOCK = 4
"""Windows of a block, unless there would be only one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Two halves of some items.

    Attributes:
        halves: the items of either, rising.
        by: "sequence" or "time".
        left_out: items that overlap with the other half.
    """

    halves: tuple[Indices, Indices]
    by: str
    left_out: int


def divide(sequence: Indices, end_us: Indices, length_us: int, seed: int) -> Division:
    """Divide windows into two halves.

    Whole sequences, where there are at least four and the smaller half then has 40 % of the
    windows. Otherwise each sequence is cut into at most eight blocks of time, which belong to the
    halves in turn; the first windows of a block that begin before the last of the other half has
    ended are left out. So no two windows of different halves share any time of one sequence.

    Args:
        sequence: ``[N]`` number of the recording of each window.
        end_us: ``[N]`` end of each window, excluded.
        length_us: of all windows.
        seed: of the choice, 0 or more.

    Raises:
        StereoError: too few windows for two halves.
    """
    rng = generator_for("halves", seed)
    side = _by_sequence(sequence, rng)
    by = "time" if side is None else "sequence"
    if side is None:
        side = _by_time(sequence, end_us, length_us, rng)
    first, second = (np.flatnonzero(side == half).astype(np.int64) for half in (0, 1))
    if not (first.size and second.size):
        raise StereoError(
            f"{sequence.size} training windows of {np.unique(sequence).size} recordings cannot be "
            "divided into two halves that share no events, as a search needs; give more recordings "
            "or a shorter encoding.window_us."
        )
    return Division(halves=(first, second), by=by, left_out=int((side < 0).sum()))


def _by_sequence(sequence: Indices, rng: np.random.Generator) -> Indices | None:
    """Return the half of each window; None where whole sequences do not make two halves."""
    numbers, counts = np.unique(sequence, return_counts=True)
    if numbers.size < FEWEST_SEQUENCES:
        return None
    # The longest first, each to the smaller half: that leaves the least difference.
    mixed = rng.permutation(numbers.size)
    sizes, halves = [0, 0], np.zeros(numbers.size, np.int64)
    for place in mixed[np.argsort(-counts[mixed], kind="stable")]:
        half = int(sizes[1] < sizes[0])
        halves[place] = half
        sizes[half] += int(counts[place])
    if min(sizes) < LEAST_SHARE * sum(sizes):
        return None
    found: Indices = halves[np.searchsorted(numbers, sequence)]
    return found


def _by_time(
    sequence: Indices, end_us: Indices, length_us: int, rng: np.random.Generator
) -> Indices:
    """Return the half of each window, -1 for those that are left out."""
    side = np.full(sequence.size, -1, np.int64)
    begin = int(rng.integers(2))
    for turn, number in enumerate(np.unique(sequence)):
        items = np.flatnonzero(sequence == number)
        items = items[np.argsort(end_us[items], kind="stable")]
        blocks = min(items.size, BLOCKS, max(2, items.size // SHORTEST_BLOCK))
        last_end = [np.iinfo(np.int64).min] * 2
        for block, part in enumerate(np.array_split(items, blocks)):
            half = (begin + turn + block) % 2
            for item in part:
                if end_us[item] - length_us >= last_end[1 - half]:
                    side[item] = half
                    last_end[half] = int(end_us[item])
    return side
