"""Decoding against enumeration: paths, genotypes in order, budgets, and back to beliefs."""

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.decoding import best_paths, genotype_outcomes

import nas
from nas.decode import (
    beliefs_of,
    best_path,
    decode,
    decode_within,
    decodings,
    k_best_paths,
)
from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype
from nas.ranking import ranked_products
from nas.relaxed.beliefs import PartBeliefs, gates, reachable, stages
from nas.space import SPACES, PartSpace, SearchSpace

SMALL = SearchSpace(
    name="small",
    parts={
        "one": PartSpace(dimension=2, layers=1, candidates=("conv3", "none"), nodes=2, levels=2),
        "two": PartSpace(
            dimension=3, layers=1, candidates=("skip",), nodes=1, edges=1, path=(0,), analog=True
        ),
    },
)
"""1024 genotypes: 4 x 8 cells x 2 paths, and 2 cells x 8 kinds of stages.

A node of three sources keeps a pair, an edge alone or, without operations, the stronger of a pair.
"""

NEURONS = SearchSpace(
    name="neurons",
    parts={
        "one": PartSpace(
            dimension=2, layers=3, candidates=("skip", "conv3", "none"), neurons=("lif", "alif"),
            analog=True,
        )
    },
)  # fmt: skip


def shipped(name):
    return Genotype.load(Path(nas.__file__).parent / "genotypes" / f"{name}.json")


def random_part(space, generator, scale=1.0):
    def logits(*shape):
        return scale * torch.randn(shape, generator=generator)

    def dynamics():
        number = int(torch.randint(len(space.neurons), (), generator=generator))
        decay = round(float(torch.rand((), generator=generator)), 3)
        return Dynamics(neuron=space.neurons[number], decay=decay)

    places = [
        (p.layer, p.level, n) for row in space.places for p in row for n in range(space.nodes)
    ]
    return PartBeliefs(
        edges=tuple(logits(len(space.sources(node))) for node in range(space.nodes)),
        ops=logits(len(space.pairs), len(space.candidates)),
        steps={step: logits(len(levels)) for step, levels in reachable(space).items()},
        spiking={stage: logits() for stage in stages(space)} if space.analog else {},
        dynamics={place: dynamics() for place in places} if len(space.neurons) > 1 else {},
    )


def random_beliefs(space, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return {name: random_part(own, generator, scale) for name, own in space.parts.items()}


# ---- paths


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_best_paths_equal_exhaustive_enumeration(seed, layers, levels, rounded):
    rng = np.random.default_rng(seed)
    weights = rng.random((layers, levels, levels)) * (rng.random((layers, levels, levels)) < 0.8)
    if rounded:  # powers of two: equal products are equal in floating point, so ties are ties
        weights = np.where(weights > 0, 2.0 ** -np.round(3 * weights), 0)
    expected = best_paths(weights.tolist())
    if not expected:
        with pytest.raises(GenotypeError, match="No path from level 0"):
            best_path(weights)
        return
    found = k_best_paths(torch.from_numpy(weights), 10)
    assert [path for path, _ in found] == [path for path, _ in expected[:10]]
    assert [math.exp(s) for _, s in found] == pytest.approx([w for _, w in expected[:10]])
    assert best_path(weights.tolist()) == expected[0][0]


def test_the_best_path_is_not_the_greedy_one():
    """Greedy goes to level 0 first (0.6), and has 0.6 x 0.5; over level 1 there is 0.4 x 1."""
    transitions = [[[0.6, 0.4]], [[0.5, 0.5], [0.0, 1.0]]]
    assert best_path(transitions) == (1, 1)
    assert k_best_paths(transitions, 9) == [
        ((1, 1), pytest.approx(math.log(0.4))),
        ((0, 0), pytest.approx(math.log(0.3))),
        ((0, 1), pytest.approx(math.log(0.3))),
    ]
    assert best_path([[[0.9, 0.1], [0.1, 0.9]]], entry=1) == (1,)


@pytest.mark.parametrize(
    ("transitions", "message"),
    [([], "at least one layer"), ([[1.0]], "matrix"), ([[[-1.0]]], "not negative"),
     ([[[math.nan]]], "not negative"), ([[["a"]]], "matrix")],
)  # fmt: skip
def test_malformed_transitions_are_refused(transitions, message):
    with pytest.raises(GenotypeError, match=message):
        best_path(transitions)


def test_a_long_trellis_is_decoded_at_once():
    """4^60 paths; the product of 60 small weights would be 0 in floating point."""
    weights = torch.rand(60, 4, 4, generator=torch.Generator().manual_seed(0)) * 1e-10
    paths = k_best_paths(weights, 20)
    assert len({path for path, _ in paths}) == 20
    assert [s for _, s in paths] == sorted((s for _, s in paths), reverse=True)


# ---- genotypes in order


@pytest.mark.parametrize("seed", range(2))
def test_decodings_equal_exhaustive_enumeration(seed):
    beliefs = random_beliefs(SMALL, seed)
    expected = genotype_outcomes(SMALL, beliefs)
    found = list(decodings(SMALL, beliefs))
    assert len(found) == len(expected) == 1024
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], atol=1e-5)

    def key(genotype):
        return json.dumps(genotype.to_dict())

    scores = {key(genotype): score for score, genotype in expected}
    assert len(scores) == len(expected)
    assert scores == pytest.approx({key(g): s for s, g in found}, abs=1e-5)
    assert decode(SMALL, beliefs) == found[0][1]


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from([*SPACES, "neurons"]))
def test_a_genotype_is_the_strongest_of_everything(seed, name):
    space = SPACES[name]() if name in SPACES else NEURONS
    beliefs = random_beliefs(space, seed)
    genotype = decode(space, beliefs, {"seed": seed})
    assert genotype.provenance == {"seed": seed}
    assert genotype.space == space.name
    for part_name, own in space.parts.items():
        part, believed = genotype.parts[part_name], beliefs[part_name]
        chances = gates(own, believed).transitions
        matrices = np.zeros((own.layers, own.levels, own.levels))
        for (layer, level), levels in reachable(own).items():
            matrices[layer, level, list(levels)] = chances[layer, level]
        assert part.path == best_path(matrices)
        rows = iter(believed.ops)
        for index, node in enumerate(part.nodes):
            strength = believed.edges[index]
            best = {s: own.candidates[int(next(rows).argmax())] for s in own.sources(index)}
            kept = sorted(strength.argsort(descending=True)[: own.kept(index)].tolist())
            edges = [
                Edge(source=own.sources(index)[n], op=best[own.sources(index)[n]]) for n in kept
            ]
            carrying = [edge for edge in edges if edge.op != "none"]
            assert list(node.edges) == carrying or (not carrying and len(node.edges) == 1)
        for stage, nodes in part.stages.items():
            analog = own.analog and believed.spiking[stage] < 0
            assert all((node.neuron == "relu") == analog for node in nodes)
            if own.analog and stage.startswith("layer") and not analog and believed.dynamics:
                layer = int(stage[5:])
                for n, node in enumerate(part.dynamics[layer]):
                    assert node == believed.dynamics[layer, part.path[layer], n]


def test_an_edge_without_operation_goes_unless_it_is_the_last():
    space = SearchSpace(
        name="s", parts={"one": PartSpace(dimension=2, layers=1, candidates=("conv3", "none"))}
    )
    beliefs = random_beliefs(space, 0)
    ops = torch.tensor([[0.0, 1], [0, 1], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0]])
    edges = (torch.tensor([0.0, 1]), torch.tensor([1.0, 2, 0]), torch.tensor([5.0, 0, 6, 0]))
    genotype = decode(space, {"one": replace(beliefs["one"], ops=ops, edges=edges)})
    named = [[(e.source, e.op) for e in node.edges] for node in genotype.parts["one"].nodes]
    assert named == [
        [("previous", "none")],
        [("before", "conv3")],
        [("before", "conv3"), ("node0", "conv3")],
    ]


def test_products_are_lazy():
    read = []

    def endless(name):
        for n in range(10**9):
            read.append(name)
            yield -float(n), n

    found = list(islice(ranked_products([endless("a"), endless("b")]), 6))
    assert [score for score, _ in found] == [0, -1, -1, -2, -2, -2]
    assert len(read) < 12
    with pytest.raises(ValueError, match="at least one outcome"):
        next(ranked_products([iter(())]))


# ---- budgets


def price(genotype):
    """Return a cost that every decision has a share in."""
    cost = {"skip": 1, "conv1": 2, "conv3": 5, "none": 0}
    total = 0.0
    for part in genotype.parts.values():
        cell = sum(cost[edge.op] for node in part.nodes for edge in node.edges)
        total += sum(cell * (1 + level) for level in part.path)
        total += 3.0 * (part.stem is not None) + 2.0 * (part.end is not None) + len(part.dynamics)
    return total


@pytest.mark.parametrize("seed", range(2))
def test_the_most_likely_that_fits_is_found(seed):
    beliefs = random_beliefs(SMALL, seed)
    every = [(score, price(genotype)) for score, genotype in genotype_outcomes(SMALL, beliefs)]
    start = every[0][1]
    for low, high in ((0.3 * start, 0.6 * start), (1.5 * start, 1.8 * start)):
        best = max((score for score, cost in every if low <= cost <= high), default=None)
        exact = decode_within(SMALL, beliefs, price, low, high, tries=len(every))
        walked = decode_within(SMALL, beliefs, price, low, high, tries=1)
        for found in (exact, walked):
            assert found.fits == (best is not None)
            assert found.cost == price(found.genotype)
        if best is not None:
            assert exact.log_probability == pytest.approx(best, abs=1e-5)
            assert best - 2.0 < walked.log_probability <= best + 1e-5


def test_a_walk_crosses_a_large_space():
    """The first fitting genotype in order would be number 10^9 or so."""
    space = SPACES["hybrid_stereo"]()
    beliefs = random_beliefs(space, 0, scale=3.0)

    def edges(genotype):
        return float(
            sum(
                2**level * {"skip": 1, "conv1": 1}.get(edge.op, 9)
                for part in genotype.parts.values() for level in part.path
                for node in part.nodes for edge in node.edges
            )
        )  # fmt: skip

    start = edges(decode(space, beliefs))
    found = decode_within(space, beliefs, edges, 0.27 * start, 0.3 * start, tries=10)
    assert found.fits
    assert 0.27 * start <= found.cost <= 0.3 * start
    assert found.looked < 3000
    assert found.log_probability < next(decodings(space, beliefs))[0]


def test_what_cannot_fit_is_said_with_the_nearest():
    beliefs = random_beliefs(SMALL, 0)
    cheapest = min(price(genotype) for _, genotype in genotype_outcomes(SMALL, beliefs))
    found = decode_within(SMALL, beliefs, price, -2.0, cheapest - 1.0, tries=3)
    assert not found.fits
    assert found.cost == cheapest
    stopped = decode_within(SMALL, beliefs, price, -2.0, cheapest - 1.0, tries=3, walk=4)
    assert stopped.looked <= 8
    with pytest.raises(GenotypeError, match="low <= high"):
        decode_within(SMALL, beliefs, price, 2.0, 1.0)
    with pytest.raises(GenotypeError, match="not a number"):
        decode_within(SMALL, beliefs, lambda _: math.nan, 0.0, 1.0)


# ---- back to beliefs


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from([*SPACES, "neurons", "small"]))
def test_beliefs_of_a_genotype_decode_to_it(seed, name):
    space = {"neurons": NEURONS, "small": SMALL}[name] if name not in SPACES else SPACES[name]()
    genotype = decode(space, random_beliefs(space, seed))
    beliefs = beliefs_of(space, genotype)
    assert decode(space, beliefs) == genotype
    for part_name, own in space.parts.items():
        certain = gates(own, beliefs[part_name])
        kept = [edge.tolist() for edge in certain.edges]
        assert all(set(row) <= {0.0, 1.0} for row in kept)
        assert set(torch.stack([*certain.spiking.values(), torch.ones(())]).tolist()) <= {0.0, 1.0}


def test_the_published_genotypes_are_of_their_spaces():
    for name in ("spikedhs", "spikedhs_cifar"):
        genotype, space = shipped(name), SPACES[name]()
        again = decode(space, beliefs_of(space, genotype), genotype.provenance)
        for part_name, part in genotype.parts.items():
            found = again.parts[part_name]
            assert found.path == part.path
            for node, published in zip(found.nodes, part.nodes):
                assert set(node.edges) == set(published.edges)


def foreign(genotype, **changes):
    part = genotype.parts["one"]
    return replace(genotype, parts={**genotype.parts, "one": replace(part, **changes)})


def test_genotypes_of_another_space_are_refused():
    genotype = decode(SMALL, random_beliefs(SMALL, 0))
    node = genotype.parts["one"].nodes[0]
    relu, alif = Dynamics(neuron="relu"), Dynamics(neuron="alif")
    wrong = {
        "parts": replace(genotype, parts={"one": genotype.parts["one"]}),
        "dimension": foreign(genotype, dimension=3),
        "path": foreign(genotype, path=(2,)),
        "edges": foreign(genotype, nodes=(replace(node, edges=node.edges[:1] * 2),) * 2),
        "conv5": foreign(
            genotype, nodes=(replace(node, edges=(Edge(source="before", op="conv5"),)),) * 2
        ),
        "relu": foreign(genotype, dynamics=((relu,) * 2,)),
        "stem": foreign(genotype, stem=alif),
        "alif": foreign(genotype, dynamics=((alif,) * 2,)),
    }
    for message, found in wrong.items():
        with pytest.raises(GenotypeError, match=message):
            beliefs_of(SMALL, found)
    few = SearchSpace(name="few", parts={"one": replace(SMALL.parts["one"], candidates=("conv3",))})
    lone = replace(node, edges=(Edge(source="before", op="conv3"),))
    with pytest.raises(GenotypeError, match="1 edges of node0"):
        beliefs_of(few, foreign(Genotype(space="few", parts={"one": genotype.parts["one"]}),
                                nodes=(lone, lone)))  # fmt: skip


def test_beliefs_that_do_not_fit_are_refused():
    beliefs = random_beliefs(SMALL, 0)
    with pytest.raises(GenotypeError, match="parts"):
        decode(SMALL, {"one": beliefs["one"]})
    broken = replace(beliefs["one"], ops=torch.full_like(beliefs["one"].ops, math.nan))
    with pytest.raises(GenotypeError, match="not numbers"):
        decode(SMALL, {**beliefs, "one": broken})
