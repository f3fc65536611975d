"""From what a search believes to a genotype: the most likely one, or all in order."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nas.certain import beliefs_of
from nas.decisions import decisions_of, genotype_of, ranked_choices
from nas.fitting import Fit, decode_within
from nas.genotype import Genotype
from nas.relaxed.beliefs import PartBeliefs
from nas.space import SearchSpace
from nas.trellis import best_path, k_best_paths

__all__ = [
    "Fit", "beliefs_of", "best_path", "decode", "decode_within", "decodings", "k_best_paths",
]  # fmt: skip


def decode(
    space: SearchSpace,
    beliefs: Mapping[str, PartBeliefs],
    provenance: Mapping[str, Any] | None = None,
) -> Genotype:
    """Return the most likely genotype.

    Every node keeps its strongest edges, each with its best operation, in the order of their
    sources; an edge with the operation ``none`` is left out unless it is the last. The path is the
    best one. Analog stages are ``relu``, the neurons of spiking layers what the beliefs hold for
    their places, or the space's type with the published constants.

    Args:
        space: of the search.
        beliefs: of each part.
        provenance: for the genotype.

    Raises:
        GenotypeError: beliefs that do not fit the space.
    """
    _, genotype = next(decodings(space, beliefs))
    return replace(genotype, provenance=dict(provenance or {}))


def decodings(
    space: SearchSpace, beliefs: Mapping[str, PartBeliefs]
) -> Iterator[tuple[float, Genotype]]:
    """Yield every genotype of a space once, with its log probability in nats, descending.

    The probability is that of the most likely decisions that lead to the genotype. Nothing is
    computed before it is asked for; the number of genotypes grows beyond all bounds with the space.

    Raises:
        GenotypeError: beliefs that do not fit the space.
    """
    decisions = decisions_of(space, beliefs)
    for score, choices in ranked_choices(decisions):
        yield score, genotype_of(space, decisions, choices)
