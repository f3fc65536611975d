"""Which of several networks are worth having: none is better in both error and cost."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

Points = Sequence[tuple[float, float]] | np.ndarray
"""Error and cost of each; lower is better in both."""


def front(points: Points) -> list[int]:
    """Return the points that no other dominates, in the order of rising cost and falling error.

    A point dominates another that is no better in either number and worse in one. Of equal points
    the first stands for all, so both numbers change from one point of the front to the next.

    Args:
        points: error and cost of each, finite.

    Returns:
        Their indices.

    Raises:
        ValueError: points of another shape, or a number that is not finite.
    """
    values = _checked(points)
    found: list[int] = []
    lowest = np.inf
    # By cost, then error; the sort is stable, so the first of equal points comes first.
    for index in np.lexsort((values[:, 0], values[:, 1])).tolist():
        if values[index, 0] < lowest:
            found.append(index)
            lowest = values[index, 0]
    return found


def hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """Return the area that the points dominate, up to a reference point; larger is better.

    Args:
        points: error and cost of each, finite.
        reference: error and cost that are just not acceptable. Points that are not below it in
            both add nothing.

    Returns:
        In units of error times units of cost.

    Raises:
        ValueError: points of another shape, or a number that is not finite.
    """
    (error, cost), *_ = _checked([reference]).tolist()
    values = _checked(points)
    inside = values[(values[:, 0] < error) & (values[:, 1] < cost)]
    corners = [tuple(inside[index].tolist()) for index in front(inside)]
    ends = [*(c for _, c in corners), cost]
    widths = [after - before for before, after in pairwise(ends)]
    return float(sum((error - e) * width for (e, _), width in zip(corners, widths, strict=True)))


def _checked(points: Points) -> Float64[np.ndarray, "N 2"]:
    values = np.asarray(points, np.float64)
    if values.size == 0:
        return np.empty((0, 2))
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(
            f"Give an error and a cost for each point, [N, 2]; got shape {list(values.shape)}."
        )
    if not np.isfinite(values).all():
        worst = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ValueError(
            f"Point {worst} is {tuple(values[worst].tolist())}; leave out what has no finite "
            "error and cost."
        )
    return values
