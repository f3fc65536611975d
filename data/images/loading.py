"""Endless batches for training, and one pass for evaluation.

What a batch holds depends on the seed and the number of its step, so iteration can start at any
step and goes on as if it had never stopped, with any number of workers.

Shapes: ``B`` batch, ``T`` time steps, ``H`` rows, ``W`` columns, ``K`` classes.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from data.draws import Draw, generator_of
from data.errors import RecordingError
from data.images.arrays import Images
from data.images.augment import ImageAugment, augment_batch, normalize, smoothed
from data.images.order import BatchOrder, generator_for
from data.loading import StartMethod, interrupts_later, prepare_worker


@runtime_checkable
class Views(Protocol):
    """A data set that prepares one item after another: ``ImageFolder``, ``EventClasses``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    def __len__(self) -> int: ...

    def view(self, index: int, rng: np.random.Generator | None) -> tuple[npt.NDArray[Any], int]:
        """Give an item and its label; ``rng`` is None for evaluation."""


def image_batches(
    source: Images | Views,
    order: BatchOrder,
    first: int = 0,
    *,
    augment: ImageAugment,
    seed: int,
    workers: int = 0,
    start_method: StartMethod = "spawn",
    prefetch: int = 2,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Float32[Tensor, "B 3 H W"], Float32[Tensor, "B K"]]]:
    """Give augmented images and their targets, for ever.

    Close the iterator (or drop it) to end its workers.

    Args:
        source: images in memory, for which no worker is needed or started, or in folders.
        order: which images a step sees.
        first: step to start at, from 0.
        augment: what happens to each batch.
        seed: of all chance but the order's, 0 or more.
        workers: processes that decode; 0 to do it in this one.
        start_method: of the workers; see ``data.loading.build_loader``.
        prefetch: batches that each worker prepares ahead.
        device: where batches are augmented and given.

    Raises:
        ValueError: an order of another length, or numbers without meaning.
        RecordingError: an image that cannot be decoded.
    """
    check_order(source, order, first, seed)
    steps = itertools.count(first)
    raw = _raw(source, order, steps, seed, workers, start_method, prefetch)
    for step, (x, labels) in zip(itertools.count(first), raw, strict=False):
        yield augment_batch(
            augment,
            x.to(device),
            labels.to(device),
            len(source.classes),
            generator_for("augment", seed, step),
            first=order.first,
            whole=order.batch,
        )


def evaluation_batches(
    source: Images | Views,
    batch: int,
    *,
    augment: ImageAugment,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    start_method: StartMethod = "spawn",
    prefetch: int = 2,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Float32[Tensor, "B 3 H W"], Int64[Tensor, " B"]]]:
    """Give each image once, in order, normalized, with its label; the last batch may have fewer.

    Args:
        source: images in memory or in folders.
        batch: images of all processes together, at most.
        augment: mean and standard deviation; nothing else of it is used.
        rank: number of this process.
        ranks: processes that share the images; one may get fewer than another.
        workers: as for ``image_batches``.
        start_method: as there.
        prefetch: as there.
        device: as there.

    Raises:
        RecordingError: an image that cannot be decoded.
    """
    for x, labels in _one_pass(source, batch, rank, ranks, workers, start_method, prefetch):
        yield normalize(augment, x.to(device)), labels.to(device)


def event_batches(
    source: Views,
    order: BatchOrder,
    first: int = 0,
    *,
    seed: int,
    label_smoothing: float = 0.0,
    workers: int = 0,
    start_method: StartMethod = "spawn",
    prefetch: int = 2,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Float32[Tensor, "T B 2 H W"], Float32[Tensor, "B K"]]]:
    """Give augmented frames of events and their targets, for ever; see ``image_batches``."""
    check_order(source, order, first, seed)
    steps = itertools.count(first)
    for x, labels in _raw(source, order, steps, seed, workers, start_method, prefetch):
        targets = smoothed(labels.to(device), len(source.classes), label_smoothing)
        yield x.to(device).transpose(0, 1), targets


def event_evaluation_batches(
    source: Views,
    batch: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
    start_method: StartMethod = "spawn",
    prefetch: int = 2,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Float32[Tensor, "T B 2 H W"], Int64[Tensor, " B"]]]:
    """Give the frames of each recording once, in order; see ``evaluation_batches``."""
    for x, labels in _one_pass(source, batch, rank, ranks, workers, start_method, prefetch):
        yield x.to(device).transpose(0, 1), labels.to(device)


def check_order(source: Images | Views, order: BatchOrder, first: int, seed: int) -> None:
    """Refuse an order that does not belong to a data set, or a start or a seed below 0.

    Raises:
        ValueError: such an order, start or seed.
    """
    if order.length != len(source):
        raise ValueError(
            f"The order is of {order.length} items, but the data set has {len(source)}. Make the "
            "order from the data set that it is used with."
        )
    if first < 0 or seed < 0:
        raise ValueError(f"First step and seed must be 0 or more, got {first} and {seed}.")


class _Items(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """A data set as the workers see it: each draw of an item is prepared by its own chance."""

    def __init__(self, source: Views, seed: int | None) -> None:
        self._source = source
        self._seed = seed

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        rng = None if self._seed is None else generator_of(self._seed, index)
        item, label = self._source.view(int(index), rng)
        return torch.from_numpy(item), label


class _Steps(torch.utils.data.Sampler[list[int]]):
    """The draws of each step."""

    def __init__(self, order: BatchOrder, steps: Iterable[int]) -> None:
        self._order = order
        self._steps = steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            epoch = self._order.epoch(step)
            yield [Draw(int(index), epoch) for index in self._order.indices(step)]


def _one_pass(
    source: Images | Views,
    batch: int,
    rank: int,
    ranks: int,
    workers: int,
    start_method: StartMethod,
    prefetch: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    order = BatchOrder(length=len(source), batch=batch, rank=rank, ranks=ranks, shuffle=False)
    # Only the last step can have nothing left for a process.
    steps = [step for step in range(order.steps_per_epoch) if len(order.indices(step))]
    return _raw(source, order, steps, None, workers, start_method, prefetch)


def _raw(
    source: Images | Views,
    order: BatchOrder,
    steps: Iterable[int],
    seed: int | None,
    workers: int,
    start_method: StartMethod,
    prefetch: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give items and labels ``[B]`` of each step; ``seed`` is None for evaluation."""
    if workers < 0 or prefetch < 1:
        raise ValueError(
            f"workers must be 0 or more and prefetch at least 1, got {workers} and {prefetch}."
        )
    if isinstance(source, Images):
        for step in steps:
            indices = order.indices(step)
            yield torch.from_numpy(source.pixels[indices]), torch.from_numpy(source.labels[indices])
        return
    loader: Any = torch.utils.data.DataLoader(
        _Items(source, seed),
        batch_sampler=_Steps(order, steps),
        num_workers=workers,
        worker_init_fn=prepare_worker if workers else None,
        multiprocessing_context=start_method if workers else None,
        # Without one, starting would draw from torch's global generator.
        generator=torch.Generator().manual_seed(0),
        prefetch_factor=prefetch if workers else None,
    )
    with interrupts_later():
        batches = iter(loader)
    try:
        yield from batches
    except RecordingError as error:
        # A worker's error arrives with the worker's traceback in its message.
        raise RecordingError(str(error).rsplit("RecordingError: ", 1)[-1].strip()) from None
