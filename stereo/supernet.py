"""The stereo network while it is being searched."""

from torch import nn

from nas.relaxed.architecture import PartArchitecture
from nas.relaxed.path import RelaxedPart
from nas.space import SearchSpace
from stereo.config import StereoConfig
from stereo.network import HybridStereo


class RelaxedStereo(HybridStereo):
    """``HybridStereo`` with every candidate of a search space in place of a genotype.

    Call ``nas.relaxed.architecture.decide`` before each forward pass.

    Args:
        config: encoding, widths and volume; its genotype is not read.
        space: what is open, with the parts of a stereo genotype.
        sampled: compute what is drawn instead of everything (``PartArchitecture``).
        portion: see ``RelaxedPath``.
        checkpoints: likewise.
    """

    def __init__(
        self,
        config: StereoConfig,
        space: SearchSpace,
        *,
        sampled: bool = False,
        portion: int = 1,
        checkpoints: bool = False,
    ) -> None:
        nn.Module.__init__(self)
        self.space = space
        makers = {
            name: RelaxedPart(
                architecture=PartArchitecture(part, sampled=sampled), portion=portion,
                checkpoints=checkpoints,
            )
            for name, part in space.parts.items()
        }  # fmt: skip
        self._build(config, makers)
