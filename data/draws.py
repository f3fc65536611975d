"""Which draw of an item is wanted: its index, and the epoch that chance depends on.

A data set asked for item 7 in epoch 3 must give another augmentation than in epoch 2, the same in
every process. Telling it the epoch beforehand fails with workers that live on, which keep a copy of
the data set. So the epoch travels with the index.
"""

import numpy as np


class Draw(int):
    """An index that knows its epoch; any data set may take it for a plain index.

    Attributes:
        epoch: number of the pass over the data, from 0.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int = 0) -> "Draw":
        """Make the draw of item ``index`` in pass ``epoch``."""
        made = super().__new__(cls, index)
        made.epoch = epoch
        return made

    def __reduce__(self) -> tuple[type["Draw"], tuple[int, int]]:
        return Draw, (int(self), self.epoch)

    def __repr__(self) -> str:
        return f"Draw({int(self)}, epoch={self.epoch})"


def generator_of(seed: int, index: int) -> np.random.Generator:
    """Return the generator of one draw; it depends on seed, epoch and index alone.

    Args:
        seed: of the data set, 0 or more.
        index: a ``Draw``, or a plain index of epoch 0.
    """
    return np.random.default_rng((seed, getattr(index, "epoch", 0), int(index)))
