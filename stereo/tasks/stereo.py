"""The task ``stereo``: disparity from two event cameras, on generated scenes or recordings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from data.sample import StereoBatch, collate
from nas.genotype import Genotype
from nas.relaxed.path import Computed
from nas.space import SearchSpace
from stereo.classical import MATCHERS, ClassicalMatcher, counting
from stereo.config import StereoConfig
from stereo.disparity import soft_argmax
from stereo.draw import Picture
from stereo.errors import StereoError
from stereo.frames import frame_picture
from stereo.losses import masked_mean, plane_cross_entropy, smooth_l1
from stereo.network import STRIDE, HybridStereo
from stereo.supernet import RelaxedStereo
from stereo.tasks.generated import GeneratedData
from stereo.tasks.recordings import Recordings
from stereo.tasks.scores import Scores
from stereo.tasks.stereo_data import Held, StereoData, share
from stereo.tasks.task import Evaluation, Metrics, Progress, Source, Task

Frame = Float32[np.ndarray, "H W"]


@dataclass(frozen=True)
class StereoTask:
    """See ``stereo.tasks.task.Task``.

    Attributes:
        config: network and training.
        source: where the recordings are; without a folder, scenes are generated.
        data: what they give.
    """

    config: StereoConfig
    source: Source = field(default_factory=Source)
    data: StereoData = field(init=False, repr=False, compare=False)

    judged = ("mae_px", False)
    draws = True

    def __post_init__(self) -> None:
        """Find out what the data are."""
        made = GeneratedData if self.source.data is None else Recordings
        object.__setattr__(self, "data", made(self.config, self.source))

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the data that a network can be evaluated on."""
        return self.data.parts

    @property
    def steps(self) -> int:
        """Time steps of one inference."""
        return self.config.encoding.steps

    @property
    def half(self) -> int | None:
        """Windows of the first half of the training data; None where they are generated."""
        first, _ = self.data.halves(self.config.train.seed)
        return first.length

    def network(self, genotype: Genotype | None = None) -> nn.Module:
        """Return a fresh network to train."""
        return HybridStereo(self.config, genotype)

    def relaxed(self, space: SearchSpace, computed: Computed) -> nn.Module:
        """Return a fresh network with all that a space leaves open."""
        return RelaxedStereo(self.config, space, computed)

    def notes(self, *, halves: bool = False) -> list[str]:
        """Return what a user should know of the data at the start, of a search the halves too."""
        return self.data.notes(halves=halves)

    def batches(self, first: int = 0, *, rank: int = 0, ranks: int = 1) -> Iterator[StereoBatch]:
        """Yield the training batches of the steps from ``first`` to the last."""
        setting = self.config.train
        return share(
            self.data.training(setting.seed), range(first, setting.steps),
            batch=setting.batch, rank=rank, ranks=ranks, workers=self.source.workers,
        )  # fmt: skip

    def halves(
        self, first: int = 0, *, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[StereoBatch, StereoBatch]]:
        """Yield a batch for the weights and one of windows that share nothing, without end.

        Generated windows are of other clips. Of recordings, a half has whole sequences, or blocks
        of time where there are few (``stereo.tasks.divide``).
        """
        setting = self.config.train
        return zip(
            *(
                share(
                    half, count(first), batch=setting.batch, rank=rank, ranks=ranks,
                    workers=self.source.workers,
                )
                for half in self.data.halves(setting.seed)
            ),
            strict=True,
        )  # fmt: skip

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
        setting = self.config.train
        valid = batch.valid & (batch.disparity <= self.config.max_disparity)
        found: Tensor = network.scores_by_step(  # type: ignore[operator]
            batch.left, batch.right, last=not setting.step_weight
        )
        loss, planes, disparity = self._distance(found[-1], batch, valid)
        earlier = [self._distance(scores, batch, valid)[0] for scores in found[:-1]]
        if earlier:
            loss = loss + setting.step_weight * torch.stack(earlier).mean()
        with torch.no_grad():
            error = (disparity - batch.disparity).abs()
            metrics = {
                "planes": float(planes.detach()),
                "mae_px": float(masked_mean(error, valid)),
                "one_pe_percent": 100.0 * float(masked_mean((error > 1).float(), valid)),
            }
        return loss, metrics

    def _distance(
        self, scores: Tensor, batch: StereoBatch, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of some scores, its cross-entropy by itself, and the disparity."""
        setting = self.config.train
        disparity = soft_argmax(scores, STRIDE)
        l1 = smooth_l1(disparity, batch.disparity, valid)
        planes = plane_cross_entropy(scores, batch.disparity, valid, STRIDE)
        return setting.l1_weight * l1 + setting.plane_weight * planes, planes, disparity

    def evaluate(
        self,
        network: nn.Module,
        part: str,
        *,
        samples: int | None = None,
        progress: Progress = lambda _done, _all: None,
    ) -> Evaluation:
        """Return the accuracy on whole frames that were never trained on.

        Recordings are compared wherever their protocol lets ground truth count, also beyond the
        disparities that the network can estimate; generated windows up to there.

        Raises:
            StereoError: no such part, or no ground truth in it.
        """
        if part not in self.parts:
            raise StereoError(
                f"The task stereo has the parts {', '.join(self.parts)} here, got {part!r}."
            )
        held = self.data.held(part, samples)
        limit = _limit(held)
        scores = Scores(self.config.max_disparity)
        errors: dict[int, float] = {}
        for done, (place, one) in enumerate(zip(held.places, held, strict=True), start=1):
            found, truth = _estimate(network, one, limit)
            seen = (one.left != 0).any(dim=0).any(dim=1)[0].numpy()
            error = scores.add(found, truth, held.origin(place), seen=seen)
            if error is not None:
                errors[place] = error
            progress(done, len(held.places))
        metrics = scores.metrics()
        if metrics is None:
            raise StereoError(held.if_empty)
        tables = scores.tables()
        if held.protocol:
            tables |= {"protocol": held.protocol, "generated": held.generated}
        worst = sorted(errors, key=errors.__getitem__, reverse=True)
        return Evaluation(
            part=part, samples=len(held.places), metrics=metrics, tables=tables,
            worst=tuple(worst), places=held.places,
        )  # fmt: skip

    def baselines(self) -> dict[str, Callable[[], tuple[Task, nn.Module]]]:
        """Return what OpenCV makes of images of events."""

        def seen(name: str) -> tuple[Task, nn.Module]:
            task = StereoTask(counting(self.config), self.source)
            return task, ClassicalMatcher(name, self.config.max_disparity)

        return {name: partial(seen, name) for name in MATCHERS}

    def draw(
        self, network: nn.Module, part: str, places: Sequence[int]
    ) -> Iterator[tuple[str, Picture]]:
        """Yield events, estimate, ground truth and error of some samples of a part."""
        held = replace(self.data.held(part), places=tuple(places), workers=0)
        for place, one in zip(held.places, held, strict=True):
            found, truth = _estimate(network, one, _limit(held))
            origin = held.origin(place)
            sequence = "generated clip" if origin is None else origin.sequence
            picture = frame_picture(
                one.left[:, 0], found, truth, top_px=float(self.config.max_disparity),
                title=f"{sequence}, {part} frame {place}",
                subtitle=f"t = {one.t_us[0] / 1e6:.3f} s" if one.t_us else "",
            )  # fmt: skip
            yield f"{sequence.replace(' ', '_')}_{place:06d}", picture

    def example(self, samples: int = 1) -> tuple[Tensor, ...]:
        """Return the events of whole frames that were never trained on."""
        held = self.data.example(samples)
        batch = collate([held.samples[place] for place in held.places])
        return batch.left, batch.right


def _limit(held: Held) -> float:
    return float("inf") if held.limit is None else held.limit


def _estimate(network: nn.Module, one: StereoBatch, limit: float) -> tuple[Frame, Frame]:
    """Return the estimate for a batch of one and its ground truth, 0 where none counts."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        found = network(one.left.to(device), one.right.to(device)).float().cpu().numpy()
    truth = torch.where(one.valid & (one.disparity <= limit), one.disparity, 0.0).numpy()
    return found[0], truth[0]
