"""The network: encode, features, cost volume, matching, disparity.

Shapes: ``T`` steps, ``B`` batch, ``C`` channels, ``D`` disparity planes, ``H, W`` full size,
``h, w`` a third of it. Spiking signals are ``[T, B, C, ...]``.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from data.encode import ENCODINGS
from data.events import Events
from nas.cell import FixedPart, over_time, stages_run_once
from nas.dims import ConvNorm
from nas.genotype import Genotype
from nas.rates import Paid
from nas.relaxed.path import RelaxedPart
from stereo.config import NetworkConfig, StereoConfig, load_genotype
from stereo.cost_volume import VOLUMES
from stereo.disparity import running_mean, soft_argmax, upsample_scores
from stereo.errors import StereoError

PARTS = ("feature", "matching")
"""Parts of a genotype, in the order in which they run."""

STRIDE = 3
"""Full resolution over feature resolution; also the spacing of the disparity planes in pixels."""


class SpikeInput(nn.Identity):
    """Declares that what enters the network is spikes: the encoding is binary."""

    emits_spikes = True


PartMaker = FixedPart | RelaxedPart
"""Makes the layers of a part, as a genotype says or as they are searched."""


class FeatureNet(nn.Module):
    """Shared 2-D part: stem down to a third of the size, searched cells, projection."""

    def __init__(self, config: NetworkConfig, make: PartMaker, inputs: int) -> None:
        super().__init__()
        width, out = 3 * config.feature_channels, config.volume_channels
        self.stem = nn.Sequential(
            make.fire("stem", [ConvNorm(2, inputs, config.stem_channels)]),
            make.fire("stem", [ConvNorm(2, config.stem_channels, width, STRIDE, STRIDE)]),
            make.fire("stem", [ConvNorm(2, width, width)]),
        )
        self.cells = make.path(width, config.feature_channels)
        self.project = make.fire("end", [ConvNorm(2, width, out), self.cells.exit(out)])
        self.out_channels = out + inputs

    def forward(self, x: Float[Tensor, "T B C H W"]) -> Float[Tensor, "t B F h w"]:
        """Return learned spike maps and the pooled events themselves, at a third of the size.

        There is one step in place of ``T`` where time has ended.

        Events that coincide in both views are evidence of their own: with them in the volume
        matching starts from block matching instead of from nothing.
        """
        enter = self.cells.enter
        fine = self.stem(enter("stem", x))
        learned = self.project(enter("end", fine), enter("end", self.cells(fine)))
        events = enter("end", over_time(lambda y: F.max_pool2d(y, STRIDE), x))
        return torch.cat([learned, events], dim=2)


class MatchingNet(nn.Module):
    """3-D part: stem on the cost volume, searched cells at coarser levels, fusion, score."""

    def __init__(self, config: NetworkConfig, make: PartMaker, inputs: int) -> None:
        super().__init__()
        width = 2 * config.matching_channels
        self.stem = make.fire("stem", [ConvNorm(3, inputs, width)])
        self.cells = make.path(width, config.matching_channels)
        self.fuse = make.fire("end", [ConvNorm(3, width, width), self.cells.exit(width)])
        self.score = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, volume: Float[Tensor, "T B C D h w"]) -> Float[Tensor, "t B D h w"]:
        """Return the score of every plane at every step; scores are membrane-like, not spikes.

        There is one step where time has ended.
        """
        enter = self.cells.enter
        fine = self.stem(enter("stem", volume))
        fused = self.fuse(enter("end", fine), enter("end", self.cells(fine)))
        return over_time(self.score, fused).squeeze(2)


class HybridStereo(nn.Module):
    """Two event windows in, one disparity map out.

    Args:
        config: everything that defines the network.
        genotype: the searched part; read from the configuration unless given.
    """

    batch_dim = 1
    behind = ("matching.score",)
    """Modules that run as often as the last stage before them, but belong to no stage."""

    def __init__(self, config: StereoConfig, genotype: Genotype | None = None) -> None:
        super().__init__()
        self.genotype = genotype or load_genotype(config.network.genotype)
        parts = {name: self.genotype.parts[name] for name in PARTS if name in self.genotype.parts}
        once = stages_run_once(parts)
        self._build(config, {n: FixedPart(part=p, once=once[n]) for n, p in parts.items()})

    def _build(self, config: StereoConfig, make: Mapping[str, PartMaker]) -> None:
        """Assemble the network from what makes its parts."""
        missing = set(PARTS) - set(make)
        if missing:
            raise StereoError(f"A stereo network needs the genotype parts {sorted(missing)} too.")
        self.config = config
        self.encoding = ENCODINGS[config.encoding.name](bins=config.encoding.bins)
        self.entry = SpikeInput() if self.encoding.emits_spikes else nn.Identity()
        self.features = FeatureNet(config.network, make["feature"], self.encoding.channels)
        _, ratio = VOLUMES[config.network.volume]
        inputs = ratio * self.features.out_channels
        self.volume = Paid()
        self.matching = MatchingNet(config.network, make["matching"], inputs)

    def forward(
        self,
        left: Float[Tensor, "T B C H W"],
        right: Float[Tensor, "T B C H W"],
        max_disparity: int | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Return the disparity of the left view in pixels, for any H, W and T.

        Args:
            left: encoded events of the left camera.
            right: encoded events of the right camera, on the same clock.
            max_disparity: largest disparity searched; the configuration's unless given.
        """
        return soft_argmax(self.scores(left, right, max_disparity), STRIDE)

    def scores(
        self,
        left: Float[Tensor, "T B C H W"],
        right: Float[Tensor, "T B C H W"],
        max_disparity: int | None = None,
    ) -> Float[Tensor, "B D H W"]:
        """Return the score of every disparity plane ``k * STRIDE`` pixels, higher is better."""
        return self.scores_by_step(left, right, max_disparity, last=True)[-1]

    def scores_by_step(
        self,
        left: Float[Tensor, "T B C H W"],
        right: Float[Tensor, "T B C H W"],
        max_disparity: int | None = None,
        *,
        last: bool = False,
    ) -> Float[Tensor, "t B D H W"]:
        """Return the scores after each time step: means over the steps until then.

        Args:
            left: encoded events of the left camera.
            right: likewise of the right one.
            max_disparity: largest disparity searched; the configuration's unless given.
            last: return what comes after the last step only; so does a network whose time ends
                before its scores.
        """
        height, width = left.shape[-2:]
        planes = -(-(max_disparity or self.config.max_disparity) // STRIDE) + 1
        both = self.entry(torch.cat([left, right], dim=1))
        both = F.pad(both, (0, -width % STRIDE, 0, -height % STRIDE))
        steps = self.matching(self.volume(self.compare(both, planes)))
        readout = steps.mean(dim=0, keepdim=True) if last else running_mean(steps)
        h, w = readout.shape[-2:]
        large = upsample_scores(readout.flatten(0, 1), (h * STRIDE, w * STRIDE))
        return large.view(*readout.shape[:3], *large.shape[2:])[..., :height, :width]

    def compare(
        self, both: Float[Tensor, "T views C H W"], planes: int
    ) -> Float[Tensor, "t B F D h w"]:
        """Return the cost volume of both views, the left ones first; H and W are padded."""
        build_volume, _ = VOLUMES[self.config.network.volume]
        left, right = self.features(both).chunk(2, dim=1)
        return build_volume(left, right, planes)

    def encode(
        self, left: Events, right: Events, *, height: int, width: int, t0_us: int, t1_us: int
    ) -> tuple[Float[Tensor, "T C H W"], Float[Tensor, "T C H W"]]:
        """Return the window ``[t0_us, t1_us)`` of both cameras as the network wants it."""
        first, second = self.encoding.pair(
            left, right, steps=self.config.encoding.steps, height=height, width=width,
            t0_us=t0_us, t1_us=t1_us,
        )  # fmt: skip
        return torch.from_numpy(first), torch.from_numpy(second)
