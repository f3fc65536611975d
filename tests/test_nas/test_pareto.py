"""The front and its area, beside brute force on a grid."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import front, hypervolume

SIDE = 7
GRID = st.lists(st.tuples(st.integers(0, SIDE), st.integers(0, SIDE)), max_size=12)


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other)) and one != other


def test_a_front_by_hand():
    points = [(0.3, 1.0), (0.2, 2.0), (0.25, 2.0), (0.2, 3.0), (0.1, 9.0), (0.2, 2.0)]
    assert front(points) == [0, 1, 4]
    assert front(np.array(points)) == [0, 1, 4]


def test_area_by_hand():
    # One column of 2 x (5 - 3), then one of 2 x (5 - 1).
    assert hypervolume([(3, 1), (1, 3)], (5, 5)) == pytest.approx(2 * 2 + 2 * 4)
    assert hypervolume([(3, 1), (1, 3)], (3, 5)) == pytest.approx(2 * 2)
    assert hypervolume([(5, 1), (1, 5)], (5, 5)) == 0
    assert hypervolume([], (5, 5)) == 0
    assert front([]) == []


@given(GRID)
def test_the_front_is_what_nothing_dominates(points):
    found = front(points)
    kept = {p for p in points if not any(dominates(q, p) for q in points)}
    assert {points[i] for i in found} == kept
    assert len(found) == len(kept), "of equal points one stands for all"
    assert all(i == points.index(points[i]) for i in found), "the first of them"
    assert [points[i][1] for i in found] == sorted({points[i][1] for i in found})
    assert [points[i][0] for i in found] == sorted({points[i][0] for i in found}, reverse=True)


@given(GRID, st.tuples(st.integers(0, SIDE), st.integers(0, SIDE)))
def test_the_area_is_the_number_of_dominated_squares(points, reference):
    squares = sum(
        any(e <= x and c <= y for e, c in points)
        for x in range(reference[0])
        for y in range(reference[1])
    )
    assert hypervolume(points, reference) == squares


@given(GRID, st.tuples(st.integers(0, SIDE), st.integers(0, SIDE)))
def test_a_point_more_never_takes_area_away(points, new):
    corner = (SIDE + 1, SIDE + 1)
    before, after = hypervolume(points, corner), hypervolume([*points, new], corner)
    assert after >= before
    covered = any(q == new or dominates(q, new) for q in points)
    assert (after == before) == covered


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match=r"Point 1 is .*leave out"):
        front([(1.0, 2.0), (bad, 1.0)])
    with pytest.raises(ValueError, match="Point 0"):
        hypervolume([], (1.0, bad))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 2\]; got shape \[1, 3\]"):
        front(np.zeros((1, 3)))
