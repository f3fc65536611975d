"""Regularized evolution: of a few drawn from the population the best has a child, the oldest dies.

Since every trial adds one and the oldest leaves, the population is always the last ``population``
trials, and nothing else needs to be remembered.

Reference: Real et al., "Regularized evolution for image classifier architecture search", AAAI 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.genotype import Genotype
from nas.methods.choices import Constants, described
from nas.methods.record import Trial
from nas.methods.sampling import below, mutate, random_genotype
from nas.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Mutates the best of a sample of the population.

    The first ``population`` proposals are random.

    Attributes:
        space: to search.
        population: number of genotypes that live at once.
        sample: how many of them compete to be a parent, drawn with replacement.
        dynamics: constants of neurons by type; published ones unless given.
    """

    space: SearchSpace
    population: int = 100
    sample: int = 25
    dynamics: Constants | None = None

    def __post_init__(self) -> None:
        """Refuse a population without competition."""
        if not 1 <= self.sample <= self.population:
            raise ValueError(
                f"A sample has 1 to {self.population} members, as the population; got "
                f"{self.sample}."
            )

    @property
    def about(self) -> Mapping[str, Any]:
        """Name and settings."""
        return {
            "method": "evolution",
            "space": described(self.space, self.dynamics),
            "population": self.population,
            "sample": self.sample,
        }

    def propose(self, trials: Sequence[Trial], generator: np.random.Generator) -> Genotype:
        """Return a random genotype while the population grows, then a child of the living."""
        if len(trials) < self.population:
            return random_genotype(self.space, generator, self.dynamics)
        living = trials[-self.population :]
        drawn = [living[below(generator, len(living))] for _ in range(self.sample)]
        parent = min(drawn, key=lambda trial: trial.error)
        return mutate(self.space, parent.genotype, generator, self.dynamics)
