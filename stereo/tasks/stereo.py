"""The task ``stereo``: disparity from two event cameras, learned on generated scenes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import torch
from torch import Tensor, nn

from data.encode import ENCODINGS
from data.generated import GeneratedWindows
from data.sample import StereoBatch, collate
from nas.genotype import Genotype
from nas.relaxed.path import Computed
from nas.space import SearchSpace
from stereo.config import StereoConfig
from stereo.disparity import soft_argmax
from stereo.errors import StereoError
from stereo.losses import masked_mean, plane_cross_entropy, smooth_l1
from stereo.metrics import AccuracyMeter
from stereo.network import STRIDE, HybridStereo
from stereo.supernet import RelaxedStereo
from stereo.tasks.task import Evaluation, Metrics, Progress, Source

ENDLESS = 2**62
"""Length of data that never end; an item is made from its number."""

HELD_OUT_SEED = 7919
VALIDATION_SEED = 15_485_863
"""Added to a training's seed: generated clips of their own for what is not trained on."""


@dataclass(frozen=True)
class StereoTask:
    """See ``stereo.tasks.task.Task``."""

    config: StereoConfig
    source: Source = field(default_factory=Source)

    judged = ("mae_px", False)
    parts = ("validation",)

    def __post_init__(self) -> None:
        """Refuse data on disk, which this task does not read yet."""
        if self.source.data is not None:
            raise StereoError(
                "The task stereo makes its own data; leave --data out. `stereo infer` compares "
                "with the ground truth of a recording."
            )

    @property
    def steps(self) -> int:
        """Time steps of one inference."""
        return self.config.encoding.steps

    def network(self, genotype: Genotype | None = None) -> nn.Module:
        """Return a fresh network to train."""
        return HybridStereo(self.config, genotype)

    def relaxed(self, space: SearchSpace, computed: Computed) -> nn.Module:
        """Return a fresh network with all that a space leaves open."""
        return RelaxedStereo(self.config, space, computed)

    def batches(self, first: int = 0, *, rank: int = 0, ranks: int = 1) -> Iterator[StereoBatch]:
        """Yield the training batches of the steps from ``first`` to the last."""
        setting = self.config.train
        windows = self._windows(setting.seed, setting.steps * setting.batch)
        return self._loader(windows, range(first, setting.steps), rank, ranks)

    def halves(
        self, first: int = 0, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[StereoBatch, StereoBatch]]:
        """Yield a batch for the weights and one of other clips, without end."""
        seed = self.config.train.seed
        return zip(
            *(
                self._loader(self._windows(s, ENDLESS), count(first), rank, ranks)
                for s in (seed, seed + HELD_OUT_SEED)
            ),
            strict=True,
        )

    def pieces(self, batch: StereoBatch, count: int) -> list[StereoBatch]:
        """Return a batch in equal pieces."""
        if count == 1:
            return [batch]
        events = zip(batch.left.chunk(count, 1), batch.right.chunk(count, 1), strict=True)
        truths = zip(batch.disparity.chunk(count), batch.valid.chunk(count), strict=True)
        return [
            StereoBatch(left=left, right=right, disparity=disparity, valid=valid)
            for (left, right), (disparity, valid) in zip(events, truths, strict=True)
        ]

    def loss(self, network: nn.Module, batch: StereoBatch) -> tuple[Tensor, Metrics]:
        """Return the loss of a batch and what it is made of."""
        valid = batch.valid & (batch.disparity <= self.config.max_disparity)
        scores = network.scores(batch.left, batch.right)  # type: ignore[operator]
        disparity = soft_argmax(scores, STRIDE)
        l1 = smooth_l1(disparity, batch.disparity, valid)
        planes = plane_cross_entropy(scores, batch.disparity, valid, STRIDE)
        with torch.no_grad():
            error = (disparity - batch.disparity).abs()
            metrics = {
                "planes": float(planes.detach()),
                "mae_px": float(masked_mean(error, valid)),
                "one_pe_percent": 100.0 * float(masked_mean((error > 1).float(), valid)),
            }
        return l1 + self.config.train.plane_weight * planes, metrics

    def evaluate(
        self,
        network: nn.Module,
        part: str,
        *,
        samples: int | None = None,
        progress: Progress = lambda _done, _all: None,
    ) -> Evaluation:
        """Return the accuracy on generated windows of clips that were never trained on."""
        if part not in self.parts:
            raise StereoError(f"The task stereo has the part {self.parts[0]!r}, got {part!r}.")
        wanted = min(samples or self.config.train.validation, self.config.train.validation)
        windows = self._validation(wanted)
        device = next(network.parameters()).device
        meter = AccuracyMeter()
        with torch.no_grad():
            for n in range(wanted):
                batch = collate([windows[n]]).to(device)
                found = network(batch.left, batch.right).float().cpu().numpy()
                within = batch.valid & (batch.disparity <= self.config.max_disparity)
                truth = torch.where(within, batch.disparity, 0.0).cpu().numpy()
                meter.add(found[0], truth[0])
                progress(n + 1, wanted)
        result = meter.result()
        if result is None:
            raise StereoError(
                f"None of the {wanted} generated windows has ground truth within "
                f"{self.config.max_disparity} px; give a larger train.validation."
            )
        known = {name: float(v) for name, v in result.to_json().items() if v is not None}
        return Evaluation(part=part, samples=wanted, metrics=known)

    def example(self, samples: int = 1) -> tuple[Tensor, ...]:
        """Return the events of windows that were never trained on."""
        windows = self._validation(samples)
        batch = collate([windows[n] for n in range(samples)])
        return batch.left, batch.right

    def _windows(self, seed: int, length: int) -> GeneratedWindows:
        config, setting = self.config, self.config.train
        return GeneratedWindows(
            encoding=ENCODINGS[config.encoding.name](bins=config.encoding.bins),
            steps=config.encoding.steps,
            window_us=config.window_us,
            width=setting.crop_width,
            height=setting.crop_height,
            clips=setting.clips,
            length=length,
            seed=seed,
            cache=self.source.cache,
        )

    def _validation(self, length: int) -> GeneratedWindows:
        seed = self.config.train.seed + VALIDATION_SEED
        return replace(self._windows(seed, length), augment=False)

    def _loader(
        self, windows: GeneratedWindows, steps: Iterable[int], rank: int, ranks: int
    ) -> Iterator[StereoBatch]:
        """Yield this process's share of the batch of each step."""
        whole = self.config.train.batch
        if whole % ranks:
            raise StereoError(
                f"A batch of {whole} cannot be shared equally by {ranks} processes; choose another "
                "train.batch."
            )
        own = whole // ranks
        starts = (step * whole + rank * own for step in steps)
        workers = self.source.workers
        loader = torch.utils.data.DataLoader(
            windows,
            batch_sampler=(list(range(start, start + own)) for start in starts),
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=False,
        )
        return iter(loader)
