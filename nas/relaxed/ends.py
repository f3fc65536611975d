"""What stands behind a relaxed path: a module for every level at which it can end, mixed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from nas.cell import at_size, over_time
from nas.relaxed.architecture import PartArchitecture
from nas.relaxed.tied import layers_of, tie


@dataclass(frozen=True)
class Ends:
    """What a relaxed path returns: a tensor per level at which it can end, and their shares."""

    values: Mapping[int, Tensor]
    shares: Mapping[int, Tensor]


class PerLevel(nn.Module):
    """One module for every level at which a path can end; the decoded network has one of them.

    Args:
        architecture: of the part.
        levels: by level.
        shared: whether they share their weights (``nas.relaxed.tied``).
    """

    def __init__(
        self,
        architecture: PartArchitecture,
        levels: Mapping[int, nn.Module],
        *,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self._decided_by = (architecture,)  # in a tuple: it is not one of this module's parts
        self.levels = nn.ModuleDict({str(level): module for level, module in levels.items()})
        alike = (pair for module in levels.values() for pair in layers_of(module))
        self.shared = tie(alike) if shared else nn.ParameterList()

    @property
    def architecture(self) -> PartArchitecture:
        """Which says where the path ends."""
        return self._decided_by[0]


class LevelExit(PerLevel):
    """A convolution and norm for every level at which a path can end, mixed at the membrane."""

    def forward(self, ends: Ends, size: tuple[int, ...]) -> Tensor:
        """Return the current ``[T, B, outputs, *size]``."""
        total: Tensor | None = None
        for level, x in ends.values.items():
            share = ends.shares[level]
            if share.item() == 0.0:
                continue
            current = share * over_time(partial(at_size, self.levels[str(level)], size), x)
            total = current if total is None else total + current
        assert total is not None
        return total
