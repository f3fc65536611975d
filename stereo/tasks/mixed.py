"""Training on recordings and generated clips in turn: few recordings, more scenes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from data.draws import Draw
from data.sample import StereoSample
from stereo.tasks.stereo_data import Samples, Stream


@dataclass(frozen=True, eq=False)
class MixedSamples(torch.utils.data.Dataset[StereoSample]):
    """Items of two data sets: item ``n`` of the first, item ``-n - 1`` is ``n`` of the second."""

    first: Samples
    second: Samples

    def __getitem__(self, item: int) -> StereoSample:
        """Return an item of either."""
        if item >= 0:
            return self.first[item]
        return self.second[Draw(-int(item) - 1, getattr(item, "epoch", 0))]


@dataclass(frozen=True, eq=False)
class Either:
    """Which item the sample of a number is: by chance one of the first stream or of the second.

    Attributes:
        first: items of the first stream by number.
        second: likewise.
        share: of the second.
        seed: of chance, which depends on it and the number alone.
    """

    first: Callable[[int], int]
    second: Callable[[int], int]
    share: float
    seed: int

    def __call__(self, number: int) -> Draw:
        """Return the item of a sample."""
        if np.random.default_rng((self.seed, number)).random() >= self.share:
            item = self.first(number)
            return Draw(int(item), getattr(item, "epoch", 0))
        item = self.second(number)
        return Draw(-int(item) - 1, getattr(item, "epoch", 0))


def mixed(first: Stream, second: Stream, share: float, seed: int) -> Stream:
    """Return samples of both streams; an epoch is as long as one of the first.

    Args:
        first: the recordings.
        second: samples of the same shape.
        share: of the second, 0 to 1.
        seed: of the choice, 0 or more.
    """
    if not share:
        return first
    return Stream(
        samples=MixedSamples(first.samples, second.samples),
        item=Either(first.item, second.item, share, seed),
        length=first.length,
    )
