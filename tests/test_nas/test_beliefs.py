"""Distributions of beliefs against enumeration, their gradients, and draws from them."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import path_probabilities, softmax, subset_probabilities

from nas.errors import GenotypeError
from nas.genotype import Dynamics
from nas.relaxed.beliefs import (
    PartBeliefs,
    arrivals,
    edge_gates,
    entropy,
    gates,
    op_weights,
    reach,
    reachable,
    sample,
    spiking_probability,
    stages,
    subsets,
    transitions,
)
from nas.space import PartSpace

OPEN = PartSpace(dimension=2, layers=4, candidates=("skip", "conv3", "none"), analog=True)
GIVEN = PartSpace(dimension=2, layers=3, candidates=("conv3",), path=(0, 1, 1), edges=5)
SPACES = {"open": OPEN, "given": GIVEN}


def random_beliefs(space, seed, scale=1.0, dtype=torch.float64):
    """Return beliefs with normal logits that need gradients."""
    generator = torch.Generator().manual_seed(seed)

    def logits(*shape):
        drawn = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn.to(dtype).requires_grad_()

    return PartBeliefs(
        edges=tuple(logits(len(space.sources(node))) for node in range(space.nodes)),
        ops=logits(len(space.pairs), len(space.candidates)),
        steps={step: logits(len(levels)) for step, levels in reachable(space).items()},
        spiking={stage: logits() for stage in stages(space)} if space.analog else {},
    )


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_shapes_are_checked(space):
    beliefs = random_beliefs(space, 0)
    beliefs.check(space)
    wrong = {
        "edges": beliefs.edges[:-1],
        "ops": beliefs.ops[:, :0],
        "steps": {**beliefs.steps, (9, 0): torch.zeros(1)},
        "spiking": {**beliefs.spiking, "middle": torch.zeros(())},
        "dynamics": {(0, 0, 0): Dynamics()},
    }
    for name, value in wrong.items():
        with pytest.raises(GenotypeError, match=r"The space has .*; got"):
            replace(beliefs, **{name: value}).check(space)


def test_searched_neurons_need_dynamics_everywhere():
    space = PartSpace(dimension=2, layers=1, candidates=("skip",), neurons=("lif", "alif"))
    beliefs = random_beliefs(space, 0)
    with pytest.raises(GenotypeError, match="dynamics"):
        beliefs.check(space)
    places = [(0, level, node) for level in (0, 1) for node in range(3)]
    replace(beliefs, dynamics=dict.fromkeys(places, Dynamics())).check(space)


# ---- edges, operations, stages


@settings(max_examples=25)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.data())
def test_gates_are_the_marginals_of_the_subsets(logits, data):
    k = data.draw(st.integers(1, len(logits)))
    found = edge_gates(torch.tensor(logits, dtype=torch.float64), k)
    expected = [0.0] * len(logits)
    for subset, p in subset_probabilities(logits, k).items():
        for edge in subset:
            expected[edge] += p
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert found.sum().item() == pytest.approx(k)
    assert found.max() <= 1


def test_subsets_are_all_there_in_order():
    assert subsets(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_gates_are_exact_at_infinite_logits():
    inf = math.inf
    logits = torch.tensor([inf, -inf, 0.3, 0.1], requires_grad=True)
    gate = edge_gates(logits, 2)
    assert gate[:2].tolist() == [1.0, 0.0]
    torch.testing.assert_close(gate[2], torch.sigmoid(torch.tensor(0.2)), atol=1e-3, rtol=0)
    assert edge_gates(torch.tensor([1e9, -3e8, 1e30]), 2).tolist() == [1.0, 0.0, 1.0]
    (slope,) = torch.autograd.grad(gate[2], logits)
    assert slope.isfinite().all()
    assert op_weights(torch.tensor([-inf, inf, 0.0])).tolist() == [0.0, 1.0, 0.0]
    assert spiking_probability(torch.tensor(-inf)).item() == 0.0


def test_gates_have_the_right_gradient():
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: edge_gates(x, 2), logits)


# ---- the path


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_visits_and_arrivals_equal_enumeration(space, seed):
    beliefs = random_beliefs(space, seed, scale=2.0)
    paths = path_probabilities(space, beliefs)
    assert sum(paths.values()) == pytest.approx(1)
    chances = transitions(space, beliefs.steps)
    visited = reach(space, chances)
    came = arrivals(space, chances, visited)
    assert set(visited) == set(came) == {(p.layer, p.level) for row in space.places for p in row}
    for row in space.places:
        for place in row:
            layer, level = place.layer, place.level
            through = {path: p for path, p in paths.items() if path[layer] == level}
            total = sum(through.values())
            assert visited[layer, level].item() == pytest.approx(total)
            for back, levels in ((1, place.previous), (2, place.before)):
                found = came[layer, level][back - 1]
                assert tuple(found) == levels
                for origin, share in found.items():
                    at = layer + 2 - back
                    weight = sum(p for path, p in through.items() if (0, 0, *path)[at] == origin)
                    assert share.item() == pytest.approx(weight / total)


def test_places_without_a_path_have_finite_posteriors_and_gradients():
    beliefs = random_beliefs(OPEN, 0, dtype=torch.float32)
    stay = {
        step: torch.tensor([math.inf if to == 0 else -math.inf for to in levels])
        for step, levels in reachable(OPEN).items()
    }
    some = {**stay, (0, 0): torch.tensor([0.0, -80.0], requires_grad=True)}
    for steps in (stay, some):
        leaves = [value.requires_grad_() for value in steps.values()]
        chances = transitions(OPEN, replace(beliefs, steps=steps).steps)
        came = arrivals(OPEN, chances, reach(OPEN, chances))
        values = [share for pair in came.values() for one in pair for share in one.values()]
        for pair in came.values():
            for one in pair:
                assert sum(one.values()).item() == pytest.approx(1)
        weights = torch.arange(len(values), dtype=torch.float32)
        slopes = torch.autograd.grad((torch.stack(values) * weights).sum(), leaves)
        assert all(slope.isfinite().all() for slope in slopes)
    assert reach(OPEN, transitions(OPEN, stay))[3, 0].item() == 1.0


def test_every_logit_has_a_gradient():
    beliefs = random_beliefs(OPEN, 1)
    found = gates(OPEN, beliefs)
    visited = reach(OPEN, found.transitions)
    came = arrivals(OPEN, found.transitions, visited)
    shares = [s for pair in came.values() for one in pair for s in one.values()]
    outputs = [*found.edges, found.ops.flatten(), torch.stack([*visited.values(), *shares]),
               torch.stack(list(found.spiking.values()))]  # fmt: skip
    value = sum((torch.arange(1.0, len(x) + 1) ** 2 * x).sum() for x in outputs)
    leaves = {
        **{f"edges{n}": e for n, e in enumerate(beliefs.edges) if len(e) > OPEN.kept(n)},
        "ops": beliefs.ops, **beliefs.steps, **beliefs.spiking,
    }  # fmt: skip
    slopes = torch.autograd.grad(value, list(leaves.values()))
    for name, slope in zip(leaves, slopes):
        assert slope.abs().max() > 1e-6, name


# ---- entropy


def nats(probabilities):
    return -sum(p * math.log(p) for p in probabilities if p > 0)


def test_entropies_equal_enumeration():
    beliefs = random_beliefs(OPEN, 2)
    found = entropy(OPEN, beliefs)
    assert list(found) == ["edges", "ops", "path", "spiking"]
    edges = [nats(subset_probabilities(e.tolist(), 2).values()) for e in beliefs.edges[1:]]
    ops = [nats(softmax(row)) for row in beliefs.ops.tolist()]
    ones = [softmax([s.item(), 0.0]) for s in beliefs.spiking.values()]
    assert found["edges"].item() == pytest.approx(sum(edges) / 2)  # node0 keeps all it has
    assert found["ops"].item() == pytest.approx(sum(ops) / 9)
    assert found["path"].item() == pytest.approx(
        nats(path_probabilities(OPEN, beliefs).values()) / 4
    )
    assert found["spiking"].item() == pytest.approx(sum(map(nats, ones)) / 6)


def test_what_is_decided_has_no_entropy_and_a_finite_gradient():
    assert entropy(GIVEN, random_beliefs(GIVEN, 0)) == {}
    decided = random_beliefs(OPEN, 0, scale=3e3)
    found = entropy(OPEN, decided)
    assert len(found) == 4
    assert all(value.item() == pytest.approx(0, abs=1e-12) for value in found.values())
    slopes = torch.autograd.grad(sum(found.values()), [decided.ops, *decided.edges[1:]])
    assert all(slope.isfinite().all() for slope in slopes)


# ---- draws


def test_draws_are_decisions_with_a_gradient_and_repeat():
    beliefs = random_beliefs(OPEN, 3, dtype=torch.float32)
    one, two = (sample(OPEN, beliefs, torch.Generator().manual_seed(5), 0.5) for _ in range(2))
    every = [*one.edges, one.ops, *one.transitions.values(), *one.spiking.values()]
    again = [*two.edges, two.ops, *two.transitions.values(), *two.spiking.values()]
    for drawn, same in zip(every, again):
        assert torch.equal(drawn, same)
        assert set(drawn.flatten().tolist()) <= {0.0, 1.0}
    assert [e.sum().item() for e in one.edges] == [2, 2, 2]
    assert torch.equal(one.ops.sum(1), torch.ones(9))
    assert all(t.sum() == 1 for t in one.transitions.values())
    (slope,) = torch.autograd.grad(one.ops[:, 0].sum(), beliefs.ops)
    assert slope.abs().min() > 0
    with pytest.raises(ValueError, match="positive"):
        sample(OPEN, beliefs, torch.Generator(), 0.0)


def test_draws_have_the_distribution_of_the_beliefs():
    """500 draws; a frequency is off by more than 5 standard errors once in a million."""
    space = PartSpace(dimension=2, layers=1, candidates=("skip", "conv3"), nodes=3, analog=True)
    beliefs = random_beliefs(space, 4, dtype=torch.float32)
    expected = gates(space, beliefs)
    generator = torch.Generator().manual_seed(0)
    draws = [sample(space, beliefs, generator) for _ in range(500)]
    for pick in (
        lambda g: g.edges[2],
        lambda g: g.ops,
        lambda g: g.transitions[0, 0],
        lambda g: torch.stack(list(g.spiking.values())),
    ):
        p = pick(expected).detach()
        frequency = torch.stack([pick(draw).detach() for draw in draws]).mean(0)
        assert ((frequency - p).abs() <= 5 * (p * (1 - p) / 500).sqrt() + 1e-6).all()
    # Pairs as well: the distribution is over subsets, not over edges one by one.
    pairs = subset_probabilities(beliefs.edges[2].tolist(), 2)
    for pair, p in pairs.items():
        found = sum(all(draw.edges[2][n] == 1 for n in pair) for draw in draws) / 500
        assert abs(found - p) <= 5 * math.sqrt(p * (1 - p) / 500)
