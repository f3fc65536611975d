"""Orders: every index once, parts disjoint, nothing but the number of the step counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.draws import Draw, generator_of
from data.images import BatchOrder, halves
from data.images.order import generator_for

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))


def epoch_of(order, epoch):
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    assert {order.epoch(step) for step in steps} == {epoch}
    return [order.indices(step) for step in steps]


@given(SIZES, st.integers(0, 3))
def test_an_epoch_has_every_index_at_most_once(sizes, epoch):
    length, ranks, share, seed = sizes
    batch = min(ranks * share, length)
    batches = epoch_of(BatchOrder(length=length, batch=batch, seed=seed), epoch)
    seen = np.concatenate(batches)
    assert all(len(indices) == batch for indices in batches)
    assert len(set(seen.tolist())) == len(seen) == length - length % batch
    assert set(seen.tolist()) <= set(range(length))
    assert seen.dtype == np.int64


@given(SIZES)
def test_an_order_that_is_not_shuffled_is_that_of_the_data(sizes):
    length, ranks, share, _ = sizes
    order = BatchOrder(length=length, batch=ranks * share, shuffle=False)
    for epoch in range(2):
        assert np.concatenate(epoch_of(order, epoch)).tolist() == list(range(length))


@given(SIZES, st.booleans())
def test_processes_share_the_batch_of_one(sizes, shuffle):
    length, ranks, share, seed = sizes
    batch = ranks * share
    if shuffle and batch > length:
        length = batch
    options = {"length": length, "batch": batch, "seed": seed, "shuffle": shuffle}
    one = BatchOrder(**options)
    parts = [BatchOrder(**options, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in range(2 * one.steps_per_epoch):
        found = [part.indices(step) for part in parts]
        assert np.concatenate(found).tolist() == one.indices(step).tolist()
        if shuffle:
            assert {len(indices) for indices in found} == {share}
    assert [part.first for part in parts] == [rank * share for rank in range(ranks)]


def test_orders_differ_by_epoch_and_seed_but_not_by_chance():
    one, other = (BatchOrder(length=50, batch=50, seed=seed) for seed in (1, 2))
    orders = [one.indices(0), one.indices(1), other.indices(0)]
    assert len({tuple(order.tolist()) for order in orders}) == 3
    again = BatchOrder(length=50, batch=50, seed=1)
    assert again.indices(1).tolist() == orders[1].tolist()
    with pytest.raises(ValueError, match="read-only"):
        again.indices(1)[0] = 3
    assert one.indices(0).tolist() != list(range(50))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"length": 0}, "at least 1"),
        ({"batch": 0}, "at least 1"),
        ({"ranks": 0}, "at least 1"),
        ({"seed": -1}, "seed of at least 0"),
        ({"rank": 2, "ranks": 2}, "Rank 2 is none of 0 to 1"),
        ({"rank": -1}, "Rank -1"),
        ({"ranks": 3}, "cannot be shared equally by 3"),
        ({"batch": 12}, "does not fit into 10"),
    ],
)
def test_orders_without_meaning_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        BatchOrder(**({"length": 10, "batch": 4} | changes))
    with pytest.raises(ValueError, match="counted from 0"):
        BatchOrder(length=10, batch=4).indices(-1)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.integers(0, 9))
def test_halves_are_disjoint_equal_and_stratified(labels, seed):
    labels = np.array(labels)
    first, second = halves(labels, seed)
    assert len(first) == len(second) == len(labels) // 2
    assert len({*first.tolist(), *second.tolist()}) == 2 * (len(labels) // 2)
    for label in range(5):
        counts = [int((labels[half] == label).sum()) for half in (first, second)]
        assert abs(counts[0] - counts[1]) <= 1
    assert all(np.array_equal(half, np.sort(half)) for half in (first, second))
    assert all(map(np.array_equal, halves(labels, seed), (first, second)))


def test_halves_of_a_number_and_of_seeds():
    first, second = halves(100, 0)
    assert sorted([*first, *second]) == list(range(100))
    assert not np.array_equal(first, halves(100, 1)[0])
    with pytest.raises(ValueError, match="at least two items, got 1"):
        halves(1, 0)


def test_purposes_share_no_chance():
    draws = [generator_for(purpose, 3, 5).random() for purpose in ("order", "halves", "augment")]
    draws += [generator_of(3, Draw(index, 5)).random() for index in range(4)]
    assert len(set(draws)) == 7
