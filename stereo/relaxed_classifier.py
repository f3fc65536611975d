"""The classifier while it is being searched."""

from torch import Tensor, nn

from nas.relaxed.architecture import PartArchitecture
from nas.relaxed.path import Ends, RelaxedPart, RelaxedPath
from nas.space import SearchSpace
from stereo.classifier import Head, PartMaker, SpikingClassifier
from stereo.classifier_config import ClassifierConfig
from stereo.errors import StereoError


class LevelHeads(nn.Module):
    """A head for every level at which a path can end; their scores are mixed.

    Args:
        widths: channels in, by level.
        classes: scores.
        make: makes what fires behind the pool; None for plain averages.
    """

    def __init__(self, widths: dict[int, int], classes: int, make: PartMaker | None) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {str(level): Head(width, classes, make) for level, width in widths.items()}
        )

    def forward(self, ends: Ends) -> Tensor:
        """Return the scores ``[B, K]``."""
        shares = {level: share for level, share in ends.shares.items() if share.item() > 0}
        scores = [share * self.levels[str(n)](ends.values[n]) for n, share in shares.items()]
        return sum(scores[1:], scores[0])


class RelaxedClassifier(SpikingClassifier):
    """``SpikingClassifier`` with every candidate of a search space in place of a genotype.

    Call ``nas.relaxed.architecture.decide`` before each forward pass.

    Args:
        config: widths and sizes; its genotype is not read, and there is no auxiliary head.
        space: what is open, with a 2-D part ``feature``.
        sampled: compute what is drawn instead of everything (``PartArchitecture``).
        portion: see ``RelaxedPath``.
        checkpoints: likewise.
    """

    def __init__(
        self,
        config: ClassifierConfig,
        space: SearchSpace,
        *,
        sampled: bool = False,
        portion: int = 1,
        checkpoints: bool = False,
    ) -> None:
        nn.Module.__init__(self)
        part = space.parts.get("feature")
        if part is None or part.dimension != 2:
            raise StereoError(
                "A classifier is searched in a space with a 2-D part 'feature'; "
                f"{space.name} has the parts {sorted(space.parts)}."
            )
        self.space = space
        architecture = PartArchitecture(part, sampled=sampled)
        self._build(
            config,
            RelaxedPart(architecture=architecture, portion=portion, checkpoints=checkpoints),
        )

    def _head(self, pool: PartMaker | None) -> nn.Module:
        """Return what reads the cells of the last layer."""
        assert isinstance(self.cells, RelaxedPath)
        space = self.cells.space
        last = space.layers - 1
        widths = {p.level: self.cells.width(last, p.level) for p in space.places[-1]}
        return LevelHeads(widths, self.config.network.classes, pool)
