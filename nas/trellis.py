"""Paths through a trellis: the best one, the k best, and all of them in order.

A path takes one step per layer; its weight is the product of the weights of its steps, such as
transition probabilities, or the sum of their logarithms. The best rest of a path from every place
is found once, from the last layer to the first (Viterbi 1967); with it as the estimate a best-first
search yields paths in order without a detour. Of paths of equal weight the one with lower levels
comes first; products are of fractions, so that rounding neither breaks a tie nor makes one.
"""

import heapq
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

from nas.errors import GenotypeError
from nas.space import ENTRY

Trellis = Sequence[Mapping[int, Mapping[int, Any]]]
"""By layer, level before and level: the score of a step, a number; absent if impossible."""

Combine = Callable[[Any, Any], Any]


def best_path(transitions: Iterable[Any], *, entry: int = ENTRY) -> tuple[int, ...]:
    """Return the levels, one per layer, of the path with the largest product of weights.

    Args:
        transitions: one matrix ``[from level, to level]`` per layer, as nested lists, an array or
            a tensor ``[layers, from, to]``; weights are not negative, 0 where no step is possible.
            They need not be square nor sum to 1.
        entry: level before the first layer; other rows of the first matrix are not read.

    Raises:
        GenotypeError: malformed weights, or no path of positive weight.
    """
    return k_best_paths(transitions, 1, entry=entry)[0][0]


def k_best_paths(
    transitions: Iterable[Any], k: int, *, entry: int = ENTRY
) -> list[tuple[tuple[int, ...], float]]:
    """Return the ``k`` best paths with the logarithms of their weights, descending.

    Args:
        transitions: as for ``best_path``.
        k: how many; fewer are returned if there are no more.
        entry: as for ``best_path``.

    Raises:
        GenotypeError: as for ``best_path``.
    """
    if k < 1:
        raise GenotypeError(f"Ask for one path or more, got k = {k}.")
    ranked = ranked_paths(_fractions(transitions), entry, combine=operator.mul, unit=Fraction(1))
    # The logarithm of a fraction would be that of a float, which a long product falls below.
    paths = [
        (path, math.log(weight.numerator) - math.log(weight.denominator))
        for weight, path in islice(ranked, k)
    ]
    if not paths:
        raise GenotypeError(f"No path from level {entry} has a positive weight in every layer.")
    return paths


def ranked_paths(
    trellis: Trellis, entry: int = ENTRY, *, combine: Combine = operator.add, unit: Any = 0.0
) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield all possible paths with their scores, descending.

    Args:
        trellis: scores of steps.
        entry: level before the first layer.
        combine: of two scores, such as the sum of logarithms or the product of weights; a larger
            score never makes a smaller one.
        unit: score of no step.
    """
    rest = _best_rest(trellis, combine, unit)
    if entry not in rest[0]:
        return
    heap: list[tuple[Any, tuple[int, ...], Any]] = [(-rest[0][entry], (), unit)]
    while heap:
        negative, path, walked = heapq.heappop(heap)
        layer = len(path)
        if layer == len(trellis):
            yield -negative, path
            continue
        for level, score in trellis[layer][path[-1] if path else entry].items():
            if level in rest[layer + 1]:
                estimate = combine(walked, combine(score, rest[layer + 1][level]))
                heapq.heappush(heap, (-estimate, (*path, level), combine(walked, score)))


def _best_rest(trellis: Trellis, combine: Combine, unit: Any) -> list[dict[int, Any]]:
    """Return, before each layer and by level, the best score from there to the end."""
    ends = {level for steps in trellis[-1].values() for level in steps} if trellis else {ENTRY}
    rest = [dict.fromkeys(ends, unit)]
    for layer in reversed(trellis):
        after, here = rest[0], {}
        for from_level, steps in layer.items():
            ways = [combine(s, after[level]) for level, s in steps.items() if level in after]
            if ways:
                here[from_level] = max(ways)
        rest.insert(0, here)
    return rest


def _fractions(transitions: Iterable[Any]) -> list[dict[int, dict[int, Fraction]]]:
    """Return matrices of weights as a trellis, checked."""
    plain = [m.tolist() if hasattr(m, "tolist") else m for m in transitions]
    if not plain:
        raise GenotypeError("A path needs at least one layer; got no transitions.")
    trellis = []
    for number, matrix in enumerate(plain):
        try:
            rows = [[float(weight) for weight in row] for row in matrix]
        except (TypeError, ValueError) as error:
            raise GenotypeError(
                f"Transitions of layer {number} are a matrix [from level, to level]: {error}."
            ) from error
        if any(not (math.isfinite(w) and w >= 0) for row in rows for w in row):
            raise GenotypeError(
                f"Weights of steps are finite and not negative; got {rows} in layer {number}."
            )
        trellis.append({
            start: {end: Fraction(w) for end, w in enumerate(row) if w > 0}
            for start, row in enumerate(rows)
        })  # fmt: skip
    return trellis
