"""Which images a step sees: decided by its number alone.

Nothing is carried from step to step, so a run that stopped goes on exactly where it was, and
processes that share a batch need not talk to each other.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int64

Purpose = Literal["order", "halves", "augment"]


def generator_for(purpose: Purpose, seed: int, number: int = 0) -> np.random.Generator:
    """Return a generator that depends on its three arguments alone.

    Args:
        purpose: of the draws; two purposes never share their chance, nor do they with
            ``data.draws.generator_of``.
        seed: 0 or more.
        number: of the epoch or of the step.
    """
    # Shorter seeds are filled up with zeros, hence a last number that is not zero.
    return np.random.default_rng((seed, number, 0, 1 + get_args(Purpose).index(purpose)))


@dataclass(frozen=True, kw_only=True)
class BatchOrder:
    """The indices of each step, of all processes that share a batch.

    Shuffled, an epoch is a permutation of its own, and what does not fill a batch is left out.
    Otherwise the order is that of the data set, and the last batch of an epoch has what is left.

    Attributes:
        length: number of items.
        batch: items per step of all processes together.
        seed: of the permutations, 0 or more.
        rank: number of this process.
        ranks: number of processes; they take neighboring parts of each batch.
        shuffle: another permutation in each epoch.

    Raises:
        ValueError: numbers that leave no batch.
    """

    length: int
    batch: int
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    shuffle: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers without meaning."""
        if min(self.length, self.batch, self.ranks) < 1 or self.seed < 0:
            raise ValueError(
                "An order needs length, batch and ranks of at least 1 and a seed of at least 0, "
                f"got {self.length}, {self.batch}, {self.ranks} and {self.seed}."
            )
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"Rank {self.rank} is none of 0 to {self.ranks - 1}.")
        if self.batch % self.ranks:
            raise ValueError(
                f"A batch of {self.batch} cannot be shared equally by {self.ranks} processes; "
                "choose a multiple of their number."
            )
        if self.shuffle and self.batch > self.length:
            raise ValueError(
                f"A batch of {self.batch} does not fit into {self.length} items; choose a smaller "
                "one."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every item was seen once (but for what does not fill a batch)."""
        return self.length // self.batch if self.shuffle else -(-self.length // self.batch)

    @property
    def first(self) -> int:
        """Place of this process's first item within a batch."""
        return self.rank * (self.batch // self.ranks)

    def epoch(self, step: int) -> int:
        """Return the epoch of a step."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> Int64[np.ndarray, " B"]:
        """Return what this process sees in a step.

        ``batch / ranks`` indices; fewer, perhaps none, at the end of an epoch that is not shuffled.

        Raises:
            ValueError: a step below 0.
        """
        if step < 0:
            raise ValueError(f"Steps are counted from 0, got {step}.")
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch + self.first
        stop = start + self.batch // self.ranks
        if self.shuffle:
            return _permutation(self.length, self.seed, epoch)[start:stop]
        return np.arange(start, min(stop, self.length), dtype=np.int64)


def halves(
    labels: Int64[np.ndarray, " N"] | int, seed: int
) -> tuple[Int64[np.ndarray, " M"], Int64[np.ndarray, " M"]]:
    """Return two disjoint halves for bi-level search, sorted.

    Of each class, one half has as many items as the other, or one more. Of an odd number of items
    one is left out.

    Args:
        labels: of the items; or their number, if they have no classes.
        seed: of the choice, 0 or more.

    Raises:
        ValueError: fewer than two items.
    """
    given = np.zeros(labels, np.int64) if isinstance(labels, int) else labels
    if len(given) < 2:
        raise ValueError(f"Two halves need at least two items, got {len(given)}.")
    rng = generator_for("halves", seed)
    mixed = rng.permutation(len(given))
    # By class, and within a class in random order: taking turns then gives equal shares.
    mixed = mixed[np.argsort(given[mixed], kind="stable")]
    size = len(given) // 2
    return np.sort(mixed[0 : 2 * size : 2]), np.sort(mixed[1 : 2 * size : 2])


@lru_cache(maxsize=4)
def _permutation(length: int, seed: int, epoch: int) -> Int64[np.ndarray, " N"]:
    order = generator_for("order", seed, epoch).permutation(length).astype(np.int64)
    order.flags.writeable = False
    return order
