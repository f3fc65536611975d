"""The stereo network while it is being searched."""

from torch import nn

from nas.relaxed.path import Computed
from nas.space import SearchSpace
from stereo.config import StereoConfig
from stereo.network import HybridStereo


class RelaxedStereo(HybridStereo):
    """``HybridStereo`` with every candidate of a search space in place of a genotype.

    Call ``nas.relaxed.architecture.decide`` before each forward pass.

    Args:
        config: encoding, widths and volume; its genotype is not read.
        space: what is open, with the parts of a stereo genotype.
        computed: how much of it at a time.
    """

    def __init__(
        self, config: StereoConfig, space: SearchSpace, computed: Computed | None = None
    ) -> None:
        nn.Module.__init__(self)
        self.space = space
        self._build(config, (computed or Computed()).parts(space))
