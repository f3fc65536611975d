"""The classifier while it is being searched."""

import torch
from torch import Tensor, nn

from nas.relaxed.ends import Ends, PerLevel
from nas.relaxed.path import Computed, RelaxedPath
from nas.space import SearchSpace
from stereo.classifier import Head, PartMaker, SpikingClassifier
from stereo.classifier_config import ClassifierConfig
from stereo.errors import StereoError


class LevelHeads(PerLevel):
    """A head for every level at which a path can end; their scores are mixed."""

    def forward(self, ends: Ends) -> Tensor:
        """Return the scores ``[B, K]``."""
        shares = {level: share for level, share in ends.shares.items() if share.item() > 0}
        scores = [share * self.levels[str(n)](ends.values[n]) for n, share in shares.items()]
        return torch.stack(scores).sum(0)


class RelaxedClassifier(SpikingClassifier):
    """``SpikingClassifier`` with every candidate of a search space in place of a genotype.

    Call ``nas.relaxed.architecture.decide`` before each forward pass.

    Args:
        config: widths and sizes; its genotype is not read, and there is no auxiliary head.
        space: what is open, with a 2-D part ``feature``.
        computed: how much of it at a time.
    """

    def __init__(
        self, config: ClassifierConfig, space: SearchSpace, computed: Computed | None = None
    ) -> None:
        nn.Module.__init__(self)
        part = space.parts.get("feature")
        if part is None or part.dimension != 2:
            raise StereoError(
                "A classifier is searched in a space with a 2-D part 'feature'; "
                f"{space.name} has the parts {sorted(space.parts)}."
            )
        self.space = space
        self._build(config, (computed or Computed()).parts(space)["feature"])

    @property
    def behind(self) -> tuple[str, ...]:
        """Names of the layers that run as often as the last stage, but belong to none."""
        assert isinstance(self.head, LevelHeads)
        return tuple(f"head.levels.{level}.linear" for level in self.head.levels)

    def _head(self, pool: PartMaker | None) -> nn.Module:
        """Return what reads the cells of the last layer."""
        assert isinstance(self.cells, RelaxedPath)
        classes = self.config.network.classes
        widths = self.cells.end_widths
        heads = {level: Head(width, classes, pool) for level, width in widths.items()}
        return LevelHeads(self.cells.architecture, heads, shared=self.cells.computed.shared)
