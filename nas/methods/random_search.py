"""Random search: every proposal is a fresh draw from the space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.genotype import Genotype
from nas.methods.choices import Constants, described
from nas.methods.record import Trial
from nas.methods.sampling import random_genotype
from nas.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """Draws from a space, whatever was found before.

    Attributes:
        space: to draw from.
        dynamics: constants of neurons by type; published ones unless given.
    """

    space: SearchSpace
    dynamics: Constants | None = None

    @property
    def about(self) -> Mapping[str, Any]:
        """Name and settings."""
        return {"method": "random", "space": described(self.space, self.dynamics)}

    def propose(self, trials: Sequence[Trial], generator: np.random.Generator) -> Genotype:  # noqa: ARG002
        """Return a random genotype."""
        return random_genotype(self.space, generator, self.dynamics)
