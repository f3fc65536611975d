"""What the task ``stereo`` asks of its data, be they generated or recorded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from data.errors import RecordingError
from data.loading import collate_shared, interrupts_later, prepare_worker
from data.sample import StereoBatch, StereoSample
from stereo.errors import StereoError

Samples = torch.utils.data.Dataset[StereoSample]

ENDLESS = 2**62
"""Length of data that never end; an item is made from its number."""

HELD_OUT_SEED = 7919
"""Added to a training's seed for the second half of its data."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Training samples without end.

    Attributes:
        samples: what they are items of.
        item: which item the sample of a number is; it depends on the number alone.
        length: of an epoch; None if every sample is another one.
    """

    samples: Samples
    item: Callable[[int], int]
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a sample comes from.

    Attributes:
        sequence: name of the recording.
        fb: focal length times baseline, pixel meters; None without a calibration.
    """

    sequence: str
    fb: float | None


@dataclass(frozen=True, kw_only=True)
class Held:
    """Samples that a network is evaluated on.

    Attributes:
        samples: whole frames without augmentation.
        places: the items to look at, in order.
        protocol: what is compared, in words that belong to the numbers; empty for generated clips.
        origin: of an item; None for generated clips, each of which is another scene.
        limit: larger ground truth is left out, pixels; None to compare all there is.
        generated: whether a simulator made them.
        workers: processes that read.
        if_empty: what to do where no item has ground truth.
    """

    samples: Samples
    places: tuple[int, ...]
    protocol: str = ""
    origin: Callable[[int], Origin | None] = lambda _place: None
    limit: float | None = None
    generated: bool = False
    workers: int = 0
    if_empty: str = ""

    def __iter__(self) -> Iterator[StereoBatch]:
        """Give the samples one by one, as batches of one."""
        return read(self.samples, ([place] for place in self.places), self.workers)


@runtime_checkable
class StereoData(Protocol):
    """Windows of two cameras with the disparity at their end."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that a network can be evaluated on; the last is that of results."""

    def training(self, seed: int) -> Stream:
        """Return the samples to train on."""

    def halves(self, seed: int) -> tuple[Stream, Stream]:
        """Return the two halves of the samples to train on, which share nothing."""

    def held(self, part: str, samples: int | None = None) -> Held:
        """Return so many samples of a part, all unless given."""

    def example(self, samples: int) -> Held:
        """Return so many samples, at most, of the part that results are given for."""

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return what a user should know at the start, with the division into halves if wanted."""


def share(
    stream: Stream, steps: Iterable[int], *, batch: int, rank: int, ranks: int, workers: int
) -> Iterator[StereoBatch]:
    """Yield the share of one process of the batch of each step.

    Raises:
        StereoError: processes that cannot share a batch equally.
    """
    if batch % ranks:
        raise StereoError(
            f"A batch of {batch} cannot be shared equally by {ranks} processes; choose another "
            "train.batch."
        )
    own = batch // ranks
    starts = (step * batch + rank * own for step in steps)
    items = ([stream.item(n) for n in range(start, start + own)] for start in starts)
    return read(stream.samples, items, workers)


def read(samples: Samples, batches: Iterable[list[int]], workers: int) -> Iterator[StereoBatch]:
    """Yield the items of a data set batch by batch, prepared by worker processes.

    Raises:
        RecordingError: a recording turned out to be damaged; in the same words with workers.
    """
    loader = torch.utils.data.DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate_shared,
        worker_init_fn=prepare_worker if workers else None,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=False,
        # Without one, starting would draw from torch's global generator.
        generator=torch.Generator().manual_seed(0),
    )
    with interrupts_later():
        found = iter(loader)
    try:
        yield from found
    except RecordingError as error:
        # A worker's error arrives with the worker's traceback in its message.
        words = str(error).rsplit("RecordingError: ", 1)[-1].strip()
        raise RecordingError(words) from None
