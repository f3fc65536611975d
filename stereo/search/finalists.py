"""The last comparison: whole networks, with the weights that they were searched by."""

from itertools import islice

from nas.finalists import drawn_within
from nas.genotype import Genotype
from stereo.search.relaxed import Decoded, Relaxed
from stereo.search.trial import mean_loss
from stereo.tasks.task import Progress

TRIES = 50
"""Draws for each finalist that is wanted, most of which miss the band of the budget."""

COMPARED = 8, 24
"""Batches, and samples, at least, of the second half of the data on which finalists are compared.
Batches of one sample are no measure, and many of 64 would take long."""

LEARNED_FROM = 4, 8
"""Batches, and samples, at least, from which their norms learn before."""


def best_of(
    relaxed: Relaxed,
    decoded: Decoded,
    limit: float | None,
    slack: float,
    *,
    wanted: int,
    seed: int,
    progress: Progress = lambda _done, _all: None,
) -> Decoded:
    """Return the best of the decoded genotype and others drawn from what the search believes.

    All inherit their weights and see the same batches of the second half of the data. Within a
    budget only those are drawn whose expected cost, corrected by what was measured of the decoded
    one, lies in the band below it, and the best that does so by measurement is taken.

    Args:
        relaxed: after its search.
        decoded: what it decoded to.
        limit: of the cost; None for none.
        slack: share of the limit below it in which the cost shall lie.
        wanted: genotypes to draw.
        seed: of the draws.
        progress: told after every genotype.
    """
    low, high = 0.0, float("inf")
    if limit is not None:
        ratio = decoded.measured / max(decoded.expected, 1e-12)
        low, high = (1.0 - slack) * limit / ratio, limit / ratio
    drawn = drawn_within(
        relaxed.space, relaxed.beliefs(with_neurons=True), relaxed.cost_of, low, high,
        wanted=wanted, tries=TRIES * wanted, seed=seed,
    )  # fmt: skip
    size = relaxed.task.config.train.batch
    learned, compared_on = (_batches(least, size) for least in (LEARNED_FROM, COMPARED))
    compared = [batch for _, batch in islice(relaxed.task.halves(), compared_on)]

    def loss(number: int, genotype: Genotype) -> float:
        network = relaxed.inherited(genotype, learned)
        found = mean_loss(relaxed.task, network, compared, relaxed.device)
        progress(number, len(drawn) + 1)
        return found

    own = loss(1, decoded.genotype)
    others = sorted(
        ((loss(n + 2, genotype), n) for n, genotype in enumerate(drawn)), key=lambda f: f[0]
    )
    for found, number in others:
        if found >= own and decoded.fits:
            break
        candidate = relaxed.built(drawn[number], limit, slack)
        if candidate.fits:
            return candidate
    return decoded


def _batches(least: tuple[int, int], size: int) -> int:
    """Return a number of batches with at least so many batches and samples."""
    batches, samples = least
    return max(batches, -(-samples // size))
