"""What training, evaluation and search ask of a task, and nothing that one task alone needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from nas.genotype import Genotype
from nas.relaxed.path import Computed
from nas.space import SearchSpace
from stereo.draw import Picture

Metrics = dict[str, float]
Batch = Any
"""Of a task's own type; a tuple, or something with ``to(device)``."""

Progress = Callable[[int, int], None]
"""Called with what is done and what there is."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data of a task come from, and how they are read.

    Attributes:
        data: folder of the data set; None where they are generated.
        cache: folder that keeps what is costly to make; None for none.
        workers: processes that prepare batches.
    """

    data: Path | None = None
    cache: Path | None = None
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a network is on one part of the data.

    Attributes:
        part: of the data.
        samples: that were looked at.
        metrics: by name, with the unit in the name.
        tables: further results, as JSON holds them.
        places: of the samples in the part, for ``Task.draw``; empty where a task draws nothing.
        worst: those that can be told to be good or bad, the one with the largest error first.
    """

    part: str
    samples: int
    metrics: Metrics
    tables: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    worst: tuple[int, ...] = ()

    def spread(self, count: int) -> tuple[int, ...]:
        """Return so many places, at most, spread evenly."""
        wanted = min(count, len(self.places))
        return tuple(self.places[n * len(self.places) // wanted] for n in range(wanted))


@runtime_checkable
class Task(Protocol):
    """A configuration bound to its data.

    What a step sees depends on its number, the seed, and the process alone, so a training goes on
    where it stopped, and several processes share the samples of a step.
    """

    @property
    def config(self) -> Any:
        """The configuration; its section ``train`` is an ``Optimization``."""

    @property
    def judged(self) -> tuple[str, bool]:
        """The metric of an evaluation that counts, and whether more of it is better."""

    @property
    def draws(self) -> bool:
        """Whether ``draw`` gives pictures."""

    @property
    def steps(self) -> int:
        """Time steps of one inference."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the data that a network can be evaluated on."""

    @property
    def half(self) -> int | None:
        """Samples of the first half of the training data; None if they never end."""

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return what a user should know of the data at the start.

        Args:
            halves: tell how the training data are divided for a search, too.
        """

    def network(self, genotype: Genotype | None = None) -> nn.Module:
        """Return a fresh network to train."""

    def relaxed(self, space: SearchSpace, computed: Computed) -> nn.Module:
        """Return a fresh network with all that a space leaves open (``nas.relaxed``)."""

    def batches(self, first: int = 0, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Yield the training batches of the steps from ``first`` to the last."""

    def halves(
        self, first: int = 0, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[Batch, Batch]]:
        """Yield a batch of each half of the training data, without end, from step ``first`` on.

        No sample is in both halves.
        """

    def pieces(self, batch: Batch, count: int) -> list[Batch]:
        """Return a batch in equal pieces."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Return the loss of a batch, to be made small, and what it is made of."""

    def evaluate(
        self,
        network: nn.Module,
        part: str,
        *,
        samples: int | None = None,
        progress: Progress = lambda _done, _all: None,
    ) -> Evaluation:
        """Return how good a network in eval mode is on a part of the data.

        Args:
            network: on any device.
            part: one of ``parts``.
            samples: the first so many only; None for all.
            progress: told how far it is.
        """

    def baselines(self) -> Mapping[str, Callable[[], tuple["Task", nn.Module]]]:
        """Return methods without training to compare with, by name.

        Each gives the task as the method sees it, and the method in place of a network.
        """

    def draw(
        self, network: nn.Module, part: str, places: Sequence[int]
    ) -> Iterator[tuple[str, Picture]]:
        """Yield a name and a picture of what a network makes of some samples of a part."""

    def example(self, samples: int = 1) -> tuple[Tensor, ...]:
        """Return inputs of a network for an account of energy, of data it was not trained on."""
