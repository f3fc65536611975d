"""The most likely genotype that fits a budget."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from nas.decisions import Choice, PartDecisions, decisions_of, genotype_of, ranked_choices
from nas.errors import GenotypeError
from nas.genotype import Genotype
from nas.relaxed.beliefs import PartBeliefs
from nas.space import SearchSpace

Choices = dict[str, Choice]
Cost = Callable[[Genotype], float]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a decoding under a budget found.

    Attributes:
        genotype: the one that fits, else the one whose cost came nearest.
        cost: of it.
        log_probability: of it, in nats.
        looked: number of genotypes whose cost was asked for.
        fits: whether the cost is within the bounds.
    """

    genotype: Genotype
    cost: float
    log_probability: float
    looked: int
    fits: bool


def decode_within(
    space: SearchSpace,
    beliefs: Mapping[str, PartBeliefs],
    cost: Cost,
    low: float,
    high: float,
    *,
    tries: int = 200,
    walk: int = 20_000,
) -> Fit:
    """Return the most likely genotype whose cost lies within ``[low, high]``.

    The ``tries`` most likely genotypes are looked at in order; one of them that fits is the most
    likely of all that do. Otherwise a walk from the most likely one changes, again and again, the
    decision that loses the least log probability per cost that it comes nearer, and once within the
    bounds those that gain probability there; what it finds is good, not certainly the best.

    Args:
        space: of the search.
        beliefs: of each part.
        cost: of a genotype, in any unit.
        low: least cost.
        high: largest cost.
        tries: genotypes to look at in order.
        walk: further genotypes to look at before giving up.

    Raises:
        GenotypeError: beliefs that do not fit the space, bounds without anything between them, or
            a cost that is not a number.
    """
    if not low <= high or tries < 1:
        raise GenotypeError(
            f"Give bounds low <= high and at least one try; got [{low}, {high}], {tries} tries."
        )
    decisions = decisions_of(space, beliefs)
    search = _Walk(space, decisions, cost, low, high)
    for _, choices in islice(ranked_choices(decisions), tries):
        search.look(choices)
        if search.excess(choices) == 0:
            return search.fit(choices)
    search.limit = search.looked + walk
    _, start = next(ranked_choices(decisions))
    return search.fit(search.settle(search.approach(start)))


@dataclass
class _Walk:
    """Genotypes looked at so far, and the way to one that fits."""

    space: SearchSpace
    decisions: dict[str, PartDecisions]
    cost: Cost
    low: float
    high: float
    limit: float = math.inf
    costs: dict[tuple[Choice, ...], float] = field(default_factory=dict)

    @property
    def looked(self) -> int:
        return len(self.costs)

    def look(self, choices: Choices) -> float:
        """Return the cost of choices, asked for once."""
        key = tuple(choices.values())
        if key not in self.costs:
            found = float(self.cost(genotype_of(self.space, self.decisions, choices)))
            if math.isnan(found):
                raise GenotypeError("The cost of a genotype is not a number.")
            self.costs[key] = found
        return self.costs[key]

    def excess(self, choices: Choices) -> float:
        """Return how far the cost lies outside the bounds."""
        found = self.look(choices)
        return max(found - self.high, self.low - found, 0.0)

    def score(self, choices: Choices) -> float:
        """Return the log probability of choices."""
        return sum(self.decisions[name].log_probability(own) for name, own in choices.items())

    def neighbors(self, choices: Choices) -> Iterator[tuple[float, Choices]]:
        """Yield choices that differ in one decision, with the change of the log probability."""
        for name, own in choices.items():
            part = self.decisions[name]
            before = part.log_probability(own)
            for move in part.moves(own):
                if self.looked >= self.limit:
                    return
                yield part.log_probability(move) - before, {**choices, name: move}

    def approach(self, choices: Choices) -> Choices:
        """Walk towards the bounds until within them, or until no move comes nearer."""
        while (excess := self.excess(choices)) > 0:
            moves = [
                (gain, there, move)
                for gain, move in self.neighbors(choices)
                if (there := self.excess(move)) < excess
            ]
            inside = [found for found in moves if found[1] == 0]
            if inside:
                return max(inside, key=lambda found: found[0])[2]
            if not moves:
                break
            # An infinite excess cannot be compared; there the most likely move is taken.
            choices = max(
                moves,
                key=lambda found: found[0] / (excess - found[1]) if excess < math.inf else found[0],
            )[2]
        return choices

    def settle(self, choices: Choices) -> Choices:
        """Walk to more likely choices as long as they are within the bounds."""
        if self.excess(choices) > 0:
            return choices
        while True:
            better = [
                (gain, move)
                for gain, move in self.neighbors(choices)
                if gain > 1e-9 and self.excess(move) == 0
            ]
            if not better:
                return choices
            choices = max(better, key=lambda found: found[0])[1]

    def fit(self, choices: Choices) -> Fit:
        """Return choices as a result, or the nearest ever looked at if they do not fit."""
        if self.excess(choices) > 0:
            every = [dict(zip(choices, key, strict=True)) for key in self.costs]
            choices = min(every, key=lambda found: (self.excess(found), -self.score(found)))
        return Fit(
            genotype=genotype_of(self.space, self.decisions, choices),
            cost=self.look(choices),
            log_probability=self.score(choices),
            looked=self.looked,
            fits=self.excess(choices) == 0,
        )
