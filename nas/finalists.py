"""Genotypes drawn from what a search believes, within a budget: candidates for a last comparison.

The likeliest genotype is made of the best decisions one by one. Which of them go together only
whole networks show, so some are drawn to be run and compared.
"""

from collections.abc import Mapping

import numpy as np

from nas.decisions import Choice, decisions_of, genotype_of
from nas.fitting import Cost
from nas.genotype import Genotype
from nas.relaxed.beliefs import PartBeliefs
from nas.space import SearchSpace


def drawn_within(
    space: SearchSpace,
    beliefs: Mapping[str, PartBeliefs],
    cost: Cost,
    low: float,
    high: float,
    *,
    wanted: int,
    tries: int,
    seed: int,
) -> list[Genotype]:
    """Return different genotypes drawn from the beliefs whose cost lies within ``[low, high]``.

    Args:
        space: of the search.
        beliefs: of each part; every decision is drawn with its probability.
        cost: of a genotype, in any unit; asked for once each.
        low: least cost.
        high: largest cost.
        wanted: genotypes to return at most.
        tries: draws at most.
        seed: of the draws.

    Raises:
        GenotypeError: beliefs that do not fit the space.
    """
    decisions = decisions_of(space, beliefs)
    chance = np.random.default_rng(seed)
    seen: set[tuple[Choice, ...]] = set()
    found: list[Genotype] = []
    for _ in range(tries):
        if len(found) == wanted:
            break
        choices = {name: own.draw(chance) for name, own in decisions.items()}
        key = tuple(choices.values())
        if key in seen:
            continue
        seen.add(key)
        genotype = genotype_of(space, decisions, choices)
        if low <= cost(genotype) <= high:
            found.append(genotype)
    return found
