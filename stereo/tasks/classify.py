"""What all classification tasks share: loss, accuracy, the table of confusions."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.images.order import BatchOrder, halves
from nas.genotype import Genotype
from nas.relaxed.path import Computed
from nas.space import SearchSpace
from stereo.classifier import SpikingClassifier
from stereo.classifier_config import ClassifierConfig
from stereo.draw import Picture
from stereo.errors import StereoError
from stereo.relaxed_classifier import RelaxedClassifier
from stereo.tasks.task import Evaluation, Metrics, Progress, Source, Task

Scored = tuple[Tensor, Tensor]
"""Inputs, and a target ``[B, K]`` for each, which sums to one."""

EVALUATION_BATCH = 100

CHOICE = 32_452_843
"""Sets the chance that splits and draws samples apart from that of everything else."""


class ClassifierTask:
    """A classifier bound to labeled samples; see ``stereo.tasks.task.Task``.

    A task says how its samples are read (``samples_of``) and batched (``training_batches``,
    ``evaluation_batches``).

    Args:
        config: network and training.
        source: where the data are.
    """

    judged = ("top1_percent", True)
    draws = False

    def __init__(self, config: ClassifierConfig, source: Source) -> None:
        self.config = config
        self.source = source
        self._read: dict[str, Any] = {}

    @property
    def steps(self) -> int:
        """Time steps of one inference."""
        return self.config.network.steps

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that a network can be evaluated on; the first is that of the training."""
        return ("validation", "test") if self.config.train.held_out else ("test",)

    def network(self, genotype: Genotype | None = None) -> nn.Module:
        """Return a fresh network to train, with its auxiliary head if it has one."""
        return SpikingClassifier(self.config, genotype, auxiliary=True)

    def relaxed(self, space: SearchSpace, computed: Computed) -> nn.Module:
        """Return a fresh network with all that a space leaves open."""
        return RelaxedClassifier(self.config, space, computed)

    def batches(self, first: int = 0, *, rank: int = 0, ranks: int = 1) -> Iterator[Scored]:
        """Yield the training batches of the steps from ``first`` to the last."""
        setting = self.config.train
        samples = self.samples("train")
        endless = self.training_batches(samples, self._order(samples, rank, ranks), first)
        return islice(endless, max(0, setting.steps - first))

    def halves(
        self, first: int = 0, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[Scored, Scored]]:
        """Yield a batch of each half of the training data, without end."""
        seed = self.config.train.seed
        whole = self.samples("train")
        sides = [whole.take(side) for side in halves(whole.labels, seed)]
        return zip(
            *(
                self.training_batches(side, self._order(side, rank, ranks, seed + n), first)
                for n, side in enumerate(sides)
            ),
            strict=True,
        )

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return nothing: images with classes need no explanation."""
        del halves
        return []

    @property
    def half(self) -> int:
        """Samples of the first half of the training data."""
        return len(halves(self.samples("train").labels, self.config.train.seed)[0])

    def pieces(self, batch: Scored, count: int) -> list[Scored]:
        """Return a batch in equal pieces."""
        if count == 1:
            return [batch]
        x, targets = batch
        axis = 1 if self.config.network.frames else 0
        return list(zip(x.chunk(count, axis), targets.chunk(count), strict=True))

    def loss(self, network: nn.Module, batch: Scored) -> tuple[Tensor, Metrics]:
        """Return the cross-entropy to the targets, that of the auxiliary head added."""
        x, targets = batch
        second = None
        if isinstance(network, SpikingClassifier):
            scores, second = network.both(x)
        else:
            scores = network(x)
        loss = F.cross_entropy(scores.to(targets.dtype), targets)
        right = scores.detach().argmax(1) == targets.argmax(1)
        metrics = {
            "cross_entropy": float(loss.detach()),
            "top1_percent": 100.0 * float(right.float().mean()),
        }
        if second is not None:
            loss = loss + self.config.train.auxiliary_weight * F.cross_entropy(
                second.to(targets.dtype), targets
            )
        return loss, metrics

    def evaluate(
        self,
        network: nn.Module,
        part: str,
        *,
        samples: int | None = None,
        progress: Progress = lambda _done, _all: None,
    ) -> Evaluation:
        """Return accuracy, cross-entropy and confusions on a part of the data."""
        chosen = self.samples(part)
        wanted = len(chosen) if samples is None else min(samples, len(chosen))
        if wanted < len(chosen):  # not the first ones: files are sorted by class
            mixed = _chance(self.config.train.seed, 1).permutation(len(chosen))
            chosen = chosen.take(np.sort(mixed[:wanted]))
        device = next(network.parameters()).device
        confusion = np.zeros((self.config.network.classes,) * 2, np.int64)
        entropy, in_five, done = 0.0, 0, 0
        with torch.no_grad():
            for x, truth in self.evaluation_batches(chosen):
                scores = network(x.to(device)).float().cpu()
                entropy += float(F.cross_entropy(scores, truth, reduction="sum"))
                best = scores.topk(min(5, scores.shape[1]), 1).indices
                in_five += int((best == truth[:, None]).sum())
                np.add.at(confusion, (truth.numpy(), best[:, 0].numpy()), 1)
                done += len(truth)
                progress(done, wanted)
        metrics = {
            "top1_percent": 100.0 * float(np.trace(confusion)) / done,
            "top5_percent": 100.0 * in_five / done,
            "cross_entropy": entropy / done,
        }
        tables = {"classes": list(chosen.classes), "confusion": confusion.tolist()}
        return Evaluation(part=part, samples=done, metrics=metrics, tables=tables)

    def baselines(self) -> dict[str, Callable[[], tuple[Task, nn.Module]]]:
        """Return nothing: only chance needs no training, and everybody knows it."""
        return {}

    def draw(
        self, network: nn.Module, part: str, places: Sequence[int]
    ) -> Iterator[tuple[str, Picture]]:
        """Yield nothing: the table of confusions tells what goes wrong."""
        del network, part, places
        return iter(())

    def example(self, samples: int = 1) -> tuple[Tensor, ...]:
        """Return inputs of the test part, spread evenly over it."""
        chosen = self.samples("test")
        places = np.linspace(0, len(chosen) - 1, min(samples, len(chosen))).astype(np.int64)
        found = [x for x, _ in self.evaluation_batches(chosen.take(places))]
        return (torch.cat(found, 1 if self.config.network.frames else 0),)

    def samples(self, part: str) -> Any:
        """Return the samples of ``train``, ``validation`` or ``test``, read once.

        Raises:
            StereoError: no such part, too few samples, or classes that the network has no score
                for.
        """
        if part != "train" and part not in self.parts:
            raise StereoError(
                f"The task {self.config.task} has the parts {', '.join(self.parts)} here, got "
                f"{part!r}; validation needs train.held_out."
            )
        stored = "test" if part == "test" else "train"
        if stored not in self._read:
            self._read[stored] = self._checked(self.samples_of(stored))
        found = self._read[stored]
        held_out = self.config.train.held_out
        if part == "test" or not held_out:
            return found
        if held_out >= len(found):
            raise StereoError(
                f"train.held_out is {held_out}, but there are only {len(found)} training samples."
            )
        mixed = _chance(self.config.train.seed, 0).permutation(len(found))
        chosen = mixed[:held_out] if part == "validation" else mixed[held_out:]
        return found.take(np.sort(chosen))

    def samples_of(self, part: str) -> Any:
        """Read the samples of ``train`` or ``test``."""
        raise NotImplementedError

    def training_batches(self, samples: Any, order: BatchOrder, first: int) -> Iterator[Scored]:
        """Yield the batches of the steps from ``first`` on, without end."""
        raise NotImplementedError

    def evaluation_batches(self, samples: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all samples in their order, unchanged, with their labels ``[B]``."""
        raise NotImplementedError

    def _order(self, samples: Any, rank: int, ranks: int, seed: int | None = None) -> BatchOrder:
        setting = self.config.train
        try:
            return BatchOrder(
                length=len(samples), batch=setting.batch, rank=rank, ranks=ranks,
                seed=setting.seed if seed is None else seed,
            )  # fmt: skip
        except ValueError as error:
            raise StereoError(
                f"train.batch={setting.batch} cannot be used here: {error}"
            ) from error

    def _checked(self, samples: Any) -> Any:
        classes: Sequence[str] = samples.classes
        if len(classes) != self.config.network.classes:
            raise StereoError(
                f"The data have {len(classes)} classes, the network tells "
                f"{self.config.network.classes} apart; give --set network.classes={len(classes)}."
            )
        return samples


def _chance(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, purpose, CHOICE))
