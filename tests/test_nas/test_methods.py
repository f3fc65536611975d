"""Random search and evolution: what they draw, what they evaluate, how they go on."""

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import evolution as reference

from nas.cell import CellPath
from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype
from nas.methods import (
    Evolution,
    ExhaustedError,
    RandomSearch,
    Trial,
    Trials,
    canonical,
    key,
    mutate,
    random_genotype,
    size,
)
from nas.methods.choices import read_all
from nas.methods.sampling import below, paths, random_path
from nas.space import SPACES, PartSpace, SearchSpace


def part(**changes):
    given = {"dimension": 2, "layers": 2, "candidates": ("skip", "conv1"), "nodes": 1, "edges": 1}
    return PartSpace(**{**given, **changes})


def one_part(**changes):
    return SearchSpace(name="tiny", parts={"feature": part(**changes)})


TINY = {
    "plain": one_part(),
    "analog": one_part(analog=True),
    "neurons": one_part(neurons=("lif", "alif"), candidates=("skip",), nodes=2, levels=1),
    "hybrid": one_part(neurons=("if", "alif"), analog=True, layers=1, candidates=("skip",)),
    "given path": one_part(path=(1, 0), nodes=2, edges=2),
    "parts": SearchSpace(
        name="parts",
        parts={"feature": part(layers=1), "matching": part(dimension=3, levels=2, layers=3)},
    ),
    "edges": one_part(nodes=3, edges=2, candidates=("skip", "conv1"), levels=1, layers=1),
}
SMALL = ("plain", "analog", "neurons", "hybrid", "given path", "parts")
HARD = SearchSpace(
    name="hard",
    parts={
        "feature": part(
            layers=5, nodes=3, edges=2, analog=True, neurons=("lif", "alif", "current"),
            candidates=("skip", "conv1", "conv3", "separable3"),
        ),
        "matching": part(dimension=3, layers=3, nodes=2, edges=3, levels=2),
    },
)  # fmt: skip
ALL = {**TINY, "hard": HARD, **{name: make() for name, make in SPACES.items()}}


def generator(seed):
    return np.random.default_rng(seed)


def chi_square(counts, expected):
    """Return how far counts lie from the expected ones, in deviations of the statistic."""
    statistic = sum((counts[k] - e) ** 2 / e for k, e in expected.items())
    freedom = len(expected) - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)


# What is drawn


@settings(max_examples=30)
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32))
def test_draws_are_valid_and_inside(name, seed):
    space = ALL[name]
    genotype = random_genotype(space, generator(seed))
    assert Genotype.from_dict(json.loads(json.dumps(genotype.to_dict()))) == genotype
    assert canonical(space, genotype) == genotype
    for part_name, choices in read_all(space, genotype).items():
        assert choices.path in set(space.parts[part_name].paths())


@settings(max_examples=30)
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32))
def test_a_mutation_changes_one_decision(name, seed):
    space, chance = ALL[name], generator(seed)
    before = random_genotype(space, chance)
    after = mutate(space, before, chance)
    assert canonical(space, after) == after
    assert reference.distance(reference.plain(before), reference.plain(after)) == 1


def test_a_draw_builds():
    space = one_part(nodes=3, edges=2, analog=True, neurons=("lif", "current"))
    genotype = random_genotype(space, generator(3))
    assert CellPath(genotype.parts["feature"], 6, 2).out_channels > 0


@pytest.mark.parametrize("name", TINY)
def test_the_size_is_that_of_the_list(name):
    listed = reference.everything(TINY[name])
    assert len(set(listed)) == len(listed) == size(TINY[name])


def test_names_of_neurons_are_those_of_the_stages():
    genotype = random_genotype(TINY["hybrid"], generator(11))
    own = genotype.parts["feature"]
    expected = tuple(tuple(n.neuron for n in stage) for stage in own.stages.values())
    assert reference.neurons(own) == expected


def test_the_size_of_the_published_space():
    # Paths: 5 of two layers, 31 of four; cells of 2, 3 and 4 sources of which two are kept.
    cell = (1 * 9) * (3 * 9) * (6 * 9)
    assert size(ALL["spikedhs_cifar"]) == cell
    assert size(ALL["spikedhs"]) == 5 * cell * paths(ALL["spikedhs"].parts["matching"]) * cell


@pytest.mark.parametrize("changes", [{"layers": 5}, {"layers": 4, "levels": 2}, {"layers": 1}])
def test_paths_are_drawn_uniformly(changes):
    space = part(**changes)
    listed = list(space.paths())
    assert paths(space) == len(listed)
    chance, draws = generator(1), 60 * len(listed)
    counts = Counter(random_path(space, chance) for _ in range(draws))
    assert set(counts) == set(listed)
    assert abs(chi_square(counts, dict.fromkeys(listed, draws / len(listed)))) < 4


def test_long_trellises_are_not_listed():
    space = part(layers=90, levels=4)
    assert paths(space) > 2**64
    path = random_path(space, generator(0))
    assert space._walks(path)
    assert len(path) == 90
    # Far from the ends the levels of a uniform path are distributed as the square of the leading
    # eigenvector of the chain of four levels, 1 : 2.618 : 2.618 : 1.
    chance = generator(5)
    middle = Counter(level for _ in range(60) for level in random_path(space, chance)[20:70])
    assert middle[1] + middle[2] == pytest.approx(3000 * 0.7236, abs=120)


def test_numbers_beyond_64_bits_are_uniform():
    bound = 3 * 2**70
    chance = generator(2)
    drawn = [below(chance, bound) for _ in range(600)]
    assert max(drawn) < bound
    thirds = Counter(number // 2**70 for number in drawn)
    assert abs(chi_square(thirds, dict.fromkeys(range(3), 200))) < 4


def test_genotypes_are_drawn_uniformly_where_all_decisions_are_independent():
    space = TINY["plain"]
    listed = reference.everything(space)
    chance, draws = generator(4), 40 * len(listed)
    counts = Counter(reference.plain(random_genotype(space, chance)) for _ in range(draws))
    assert set(counts) == set(listed)
    assert abs(chi_square(counts, dict.fromkeys(listed, draws / len(listed)))) < 4


def test_stages_are_a_fair_coin_and_types_uniform():
    space = TINY["hybrid"]
    chance, draws = generator(4), 800
    drawn = [
        reference.neurons(random_genotype(space, chance).parts["feature"]) for _ in range(draws)
    ]
    # Of one layer with one node: half analog, a quarter of each type; ends have the first type.
    layer = Counter(layer[0] for _, layer, _ in drawn)
    assert abs(chi_square(layer, {"relu": 400, "if": 200, "alif": 200})) < 4
    for end in (0, -1):
        both = Counter(names[end][0] for names in drawn)
        assert abs(chi_square(both, {"relu": 400, "if": 400})) < 4


# Neighbors


def neighbors(space, genotype, chance, draws):
    return {reference.plain(mutate(space, genotype, chance)) for _ in range(draws)}


@pytest.mark.parametrize("name", SMALL)
def test_mutation_reaches_exactly_the_neighbors(name):
    # Each of them: what is reached is what differs in one decision, so it goes both ways.
    space, chance = TINY[name], generator(6)
    listed = reference.everything(space)
    for _ in range(2):
        genotype = random_genotype(space, chance)
        here = reference.plain(genotype)
        near = {other for other in listed if reference.distance(here, other) == 1}
        assert neighbors(space, genotype, chance, 20 * len(near)) == near


@pytest.mark.parametrize("name", SMALL)
def test_mutation_connects_the_space(name):
    # By the test above its neighbors are those of distance 1; all must hang together.
    listed = reference.everything(TINY[name])
    left, edge = set(listed[1:]), [listed[0]]
    while edge:
        here = edge.pop()
        near = {other for other in left if reference.distance(here, other) == 1}
        left -= near
        edge.extend(near)
    assert not left


def test_mutation_is_uniform_over_decisions_then_values():
    # One node with one edge: its operation (2 other values), its source (1), the level (1).
    space = one_part(candidates=("skip", "conv1", "conv3"), layers=1)
    genotype = random_genotype(space, generator(0))
    here, chance, draws = reference.plain(genotype), generator(7), 1200
    counts = Counter(reference.plain(mutate(space, genotype, chance)) for _ in range(draws))

    def kind(there):
        (_, path, cell, _), (_, path_2, cell_2, _) = here[0], there[0]
        if path != path_2:
            return "level"
        return "op" if {s for s, _ in cell[0]} == {s for s, _ in cell_2[0]} else "source"

    kinds = Counter(kind(there) for there in counts)
    assert kinds == {"op": 2, "source": 1, "level": 1}
    expected = {there: draws / 3 / kinds[kind(there)] for there in counts}
    assert abs(chi_square(counts, expected)) < 4


def test_mutation_leaves_its_argument_and_other_constants_alone():
    space = one_part(neurons=("lif", "alif"), layers=2, nodes=2)
    found = Dynamics(neuron="alif", decay=0.7, constants={"adaptation_decay": 0.9})
    fine = Dynamics(neuron="lif", decay=(0.5, 0.9))
    plain = random_genotype(space, generator(1)).parts["feature"]
    own = replace(plain, path=(0, 1), dynamics=((found, found), (fine, found)))
    before = Genotype(space="tiny", parts={"feature": own}, provenance={"by": "hand"})
    document, chance = before.to_dict(), generator(2)
    moved = 0
    for _ in range(60):
        after = mutate(space, before, chance).parts["feature"]
        if after.path[1] != 1:
            moved += 1
            assert after.dynamics == ((found, found), (replace(fine, decay=0.7), found))
        elif after.path[0] == 0:
            changed = [a != b for old, new in zip(own.dynamics, after.dynamics)
                       for a, b in zip(old, new)]  # fmt: skip
            assert sum(changed) <= 1
    assert moved > 0
    assert before.to_dict() == document


def test_constants_can_be_given_by_type():
    slow = {"lif": Dynamics(decay=0.9), "alif": Dynamics(neuron="alif", decay=0.8)}
    space, chance = one_part(neurons=("lif", "alif"), nodes=2), generator(0)
    genotype = random_genotype(space, chance, slow)
    for _ in range(20):
        for stage in genotype.parts["feature"].stages.values():
            assert all(own.decay == slow[own.neuron].decay for own in stage)
        genotype = mutate(space, genotype, chance, slow)
    with pytest.raises(GenotypeError, match="constants of 'lif' are those of a 'alif'"):
        random_genotype(space, chance, {"lif": slow["alif"]})


def test_a_space_of_one_has_no_neighbors():
    space = one_part(candidates=("skip",), levels=1, edges=2)
    assert size(space) == 1
    with pytest.raises(GenotypeError, match="one genotype only"):
        mutate(space, random_genotype(space, generator(0)), generator(0))


# What a genotype is in a space


def test_published_genotypes_lie_in_their_spaces():
    from importlib.resources import files

    for name in ("spikedhs", "spikedhs_cifar"):
        genotype = Genotype.load(str(files("nas") / "genotypes" / f"{name}.json"))
        same = canonical(ALL[name], genotype)
        assert reference.plain(same) == reference.plain(genotype)
        assert canonical(ALL[name], same) == same
        assert same.provenance == genotype.provenance
        mutate(ALL[name], genotype, generator(0))


def test_equal_networks_have_equal_keys():
    space = one_part(nodes=2, edges=2, analog=True)
    genotype = random_genotype(space, generator(0))
    own = genotype.parts["feature"]
    reordered = [replace(node, edges=node.edges[::-1]) for node in own.nodes]
    spelled = replace(
        own,
        nodes=tuple(reordered),
        dynamics=tuple(own.stages[f"layer{n}"] for n in range(2)),
        stem=own.stages["stem"][0],
        end=own.stages["end"][0],
    )
    other = Genotype(space="tiny", parts={"feature": spelled}, provenance={"from": "elsewhere"})
    assert key(other) != key(genotype)
    assert key(canonical(space, other)) == key(genotype)


def outside():
    inside = random_genotype(TINY["given path"], generator(0)).parts["feature"]
    node = inside.nodes[1]
    twice = replace(node, edges=(node.edges[0], node.edges[0]))
    foreign = replace(node, edges=(replace(node.edges[0], op="conv5"), node.edges[1]))
    yield "layers and nodes", replace(inside, dimension=3)
    yield "layers and nodes", replace(inside, path=(1,))
    yield "layer 1 cannot be at level 1 after level 1", replace(inside, path=(1, 1))
    yield "different sources", replace(inside, nodes=(inside.nodes[0], twice))
    yield "keeps 2", replace(inside, nodes=(inside.nodes[0], replace(node, edges=node.edges[:1])))
    yield (
        "carries conv5; candidates: skip, conv1",
        replace(inside, nodes=(inside.nodes[0], foreign)),
    )
    yield "Stage stem has neurons", replace(inside, stem=Dynamics(neuron="relu"))
    yield "Stage layer1", replace(inside, dynamics=(
        (Dynamics(), Dynamics()), (Dynamics(), Dynamics(neuron="alif"))
    ))  # fmt: skip


@pytest.mark.parametrize(("message", "wrong"), list(outside()))
def test_what_lies_outside_is_refused_with_the_place(message, wrong):
    with pytest.raises(GenotypeError, match=message):
        mutate(TINY["given path"], Genotype(space="x", parts={"feature": wrong}), generator(0))


def test_a_layer_that_is_half_analog_is_outside():
    space = one_part(analog=True, nodes=2)
    own = random_genotype(space, generator(0)).parts["feature"]
    half = (Dynamics(), Dynamics(neuron="relu"))
    wrong = Genotype(space="x", parts={"feature": replace(own, dynamics=(half, half))})
    with pytest.raises(GenotypeError, match="Stage layer0 .*or all relu"):
        canonical(space, wrong)


def test_parts_must_be_those_of_the_space():
    genotype = random_genotype(TINY["parts"], generator(0))
    with pytest.raises(GenotypeError, match="has the parts"):
        canonical(TINY["plain"], genotype)


def test_analog_is_searched_as_a_stage_or_as_a_type():
    space = one_part(analog=True, neurons=("lif", "relu"))
    with pytest.raises(GenotypeError, match="not both"):
        canonical(space, random_genotype(TINY["plain"], generator(0)))


# The search


def ticking(step=1.0):
    times = count()
    return lambda: step * next(times)


def error(genotype):
    """A number for each genotype that mutation changes little: operations, levels, analog."""
    total = 0.0
    for own in genotype.parts.values():
        for index, node in enumerate(own.nodes):
            total += sum(len(e.op) * (1 + 0.1 * index) + len(e.source) for e in node.edges)
        total += sum((level - 1.3) ** 2 * (n + 1) for n, level in enumerate(own.path))
        total += sum(names[0] == "relu" for names in reference.neurons(own))
    return total


def cost(genotype):
    return sum(sum(own.path) for own in genotype.parts.values()) + 0.5 * sum(
        edge.op != "skip"
        for own in genotype.parts.values()
        for node in own.nodes
        for edge in node.edges
    )


def evolution(space=HARD, population=8, sample=3):
    return Evolution(space=space, population=population, sample=sample)


@pytest.mark.parametrize("seed", range(3))
def test_evolution_equals_its_slow_twin(seed):
    search = Trials(evolution(), error, seed=seed, cost=cost, limit=9.0)
    found = [(t.genotype, t.error) for t in search.run(evaluations=60)]
    expected = reference.evolve(
        HARD, error, cost, 9.0, seed=seed, population=8, sample=3, cycles=60
    )
    assert found == expected


def test_random_search_equals_its_slow_twin():
    search = Trials(RandomSearch(space=TINY["plain"]), error, seed=1, cost=cost, limit=2.0)
    found = [(t.genotype, t.error) for t in search.run(evaluations=12)]
    assert found == reference.draw_until(
        TINY["plain"], error, cost, 2.0, seed=1, cycles=12
    )  # fmt: skip


@pytest.mark.parametrize("method", [RandomSearch(space=HARD), evolution()])
def test_nothing_is_evaluated_twice_or_above_the_limit(method):
    asked, priced = [], Counter()

    def evaluate(genotype):
        asked.append(genotype)
        return error(genotype)

    def priced_cost(genotype):
        priced[key(genotype)] += 1
        return cost(genotype)

    search = Trials(method, evaluate, seed=0, cost=priced_cost, limit=7.0)
    rows = list(search.run(evaluations=50))
    assert [t.genotype for t in rows] == asked
    assert len({key(genotype) for genotype in asked}) == 50
    assert max(t.cost for t in rows) <= 7.0
    assert all(t.cost == cost(t.genotype) for t in rows)
    assert max(priced.values()) == 1
    assert sum(t.too_costly for t in rows) >= len(priced) - 50 > 0
    assert [t.number for t in rows] == list(range(1, 51))
    assert [t.best for t in rows] == np.minimum.accumulate([t.error for t in rows]).tolist()
    assert search.best.error == min(t.error for t in rows)


def test_rejected_proposals_are_counted():
    space = TINY["plain"]
    proposals = []

    class Watched(RandomSearch):
        def propose(self, trials, generator):
            proposals.append(super().propose(trials, generator))
            return proposals[-1]

    search = Trials(Watched(space=space), error, seed=3, cost=cost, limit=1.0)
    rows = list(search.run(evaluations=8))
    assert sum(1 + t.too_costly + t.repeated for t in rows) == len(proposals)
    assert sum(t.too_costly for t in rows) == sum(cost(g) > 1.0 for g in proposals) > 0
    assert sum(t.repeated for t in rows) > 0


@pytest.mark.parametrize("cut", [0, 5, 14])
@pytest.mark.parametrize("method", [RandomSearch(space=HARD), evolution()])
def test_a_search_goes_on_as_if_never_stopped(method, cut):
    def fresh():
        return Trials(method, error, seed=5, cost=cost, limit=9.0, clock=ticking())

    whole = fresh()
    rows = [t.row() for t in whole.run(evaluations=18)]
    first, second = fresh(), fresh()
    begun = list(first.run(evaluations=cut))
    state = json.loads(json.dumps(first.state_dict(), allow_nan=False))
    second.load_state_dict(state)
    ended = list(second.run(evaluations=18))
    same = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    found = [{k: v for k, v in t.row().items() if k != "seconds"} for t in [*begun, *ended]]
    assert found == same
    assert second.trials[cut:] == ended
    assert [t.genotype for t in second.trials] == [t.genotype for t in whole.trials]
    assert second.state_dict()["generator"] == whole.state_dict()["generator"]


def test_an_evaluation_that_fails_can_be_repeated():
    calls = Counter()

    def evaluate(genotype):
        calls[key(genotype)] += 1
        if len(calls) == 4 and calls[key(genotype)] == 1:
            raise KeyboardInterrupt
        return error(genotype)

    whole = Trials(evolution(), error, seed=2)
    search = Trials(evolution(), evaluate, seed=2)
    with pytest.raises(KeyboardInterrupt):
        list(search.run(evaluations=12))
    assert len(search.trials) == 3
    list(search.run(evaluations=12))
    assert [t.genotype for t in search.trials] == [t.genotype for t in whole.run(evaluations=12)]


def test_the_time_is_that_of_the_steps():
    clock = ticking()
    search = Trials(RandomSearch(space=HARD), error, seed=0, clock=clock)
    rows = []
    for trial in search.run(seconds=10.0):
        rows.append(trial)
        clock(), clock(), clock()  # the caller's own time is not counted
    # Each step reads the clock when it begins, before its proposal and at its end: 2 s.
    assert [t.seconds for t in rows] == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert list(search.run(seconds=10.0)) == []
    again = Trials(RandomSearch(space=HARD), error, seed=0, clock=ticking())
    again.load_state_dict(search.state_dict())
    assert [t.seconds for t in again.run(seconds=14.0)] == [12.0, 14.0]


def test_time_runs_out_while_nothing_affordable_is_found():
    search = Trials(
        RandomSearch(space=HARD), error, seed=0, cost=cost, limit=-1.0, clock=ticking()
    )  # fmt: skip
    assert list(search.run(seconds=20.0)) == []
    assert search.seconds >= 20.0


def test_a_search_ends_with_reasons_where_nothing_new_is_left():
    space = TINY["plain"]
    search = Trials(RandomSearch(space=space), error, seed=0, patience=500)
    with pytest.raises(
        ExhaustedError, match="500 had been evaluated already, 0 cost more than None"
    ):
        list(search.run(evaluations=size(space) + 1))
    assert len(search.trials) == size(space)
    tight = Trials(RandomSearch(space=space), error, seed=0, cost=cost, limit=-1.0, patience=40)
    with pytest.raises(ExhaustedError, match=r"40 cost more than -1.0 \(the cheapest of them 0\)"):
        list(tight.run(evaluations=1))


def test_failed_networks_are_the_worst():
    results = iter([math.nan, 3.0, -math.inf, math.inf, 2.0])
    search = Trials(RandomSearch(space=HARD), lambda _: next(results), seed=0)
    rows = list(search.run(evaluations=5))
    assert [t.error for t in rows] == [math.inf, 3.0, math.inf, math.inf, 2.0]
    assert [t.row()["error"] for t in rows] == [None, 3.0, None, None, 2.0]
    assert [t.row()["best"] for t in rows] == [None, 3.0, 3.0, 3.0, 2.0]
    assert [Trial.from_dict(t.to_dict()) for t in rows] == rows
    assert rows[0].row()["cost"] is None
    assert search.best == rows[4]


def test_evolution_leaves_the_dead_behind():
    # The best of all is the first to die; later children must not be its neighbors by right.
    living = evolution(population=4, sample=4)
    start = [random_genotype(HARD, generator(seed)) for seed in range(6)]
    trials = [
        Trial(number=n + 1, genotype=g, error=float(n), cost=None, best=0.0, seconds=0.0)
        for n, g in enumerate(start)
    ]
    for seed in range(10):
        child = living.propose(trials, generator(seed))
        away = [reference.distance(reference.plain(g), reference.plain(child)) for g in start]
        parents = [n for n, steps in enumerate(away) if steps == 1]
        assert len(parents) == 1
        assert parents[0] in (2, 3, 4, 5)


def test_evolution_beats_random_search_on_a_smooth_objective():
    pairs = []
    for seed in range(3):
        ends = []
        for method in (evolution(population=15, sample=6), RandomSearch(space=HARD)):
            search = Trials(method, error, seed=seed)
            list(search.run(evaluations=80))
            ends.append(search.best.error)
        pairs.append(ends)
    assert all(evolved < drawn for evolved, drawn in pairs), pairs


def test_a_state_of_another_search_is_refused():
    search = Trials(evolution(), error, seed=0, cost=cost, limit=9.0)
    list(search.run(evaluations=2))
    state = search.state_dict()
    others = [
        Trials(evolution(), error, seed=1, cost=cost, limit=9.0),
        Trials(evolution(), error, seed=0, cost=cost, limit=8.0),
        Trials(evolution(population=9), error, seed=0, cost=cost, limit=9.0),
        Trials(RandomSearch(space=HARD), error, seed=0, cost=cost, limit=9.0),
        Trials(evolution(TINY["edges"]), error, seed=0, cost=cost, limit=9.0),
    ]
    for other, name in zip(others, ("seed", "limit", "population", "method", "space"), strict=True):
        with pytest.raises(GenotypeError, match=rf"another search .*{name}: "):
            other.load_state_dict(state)
        assert other.trials == []
    with pytest.raises(GenotypeError, match="version 1, found 2"):
        search.load_state_dict({**state, "version": 2})
    for broken in ({"version": 1}, {**state, "generator": {}}, {**state, "trials": [{}]}):
        with pytest.raises(GenotypeError, match="malformed"):
            search.load_state_dict(broken)
    assert len(search.trials) == 2


def test_settings_without_sense_are_refused():
    method = RandomSearch(space=HARD)
    with pytest.raises(ValueError, match="needs a cost"):
        Trials(method, error, seed=0, limit=1.0)
    with pytest.raises(ValueError, match="patience of 0"):
        Trials(method, error, seed=0, patience=0)
    with pytest.raises(ValueError, match="Give a number of evaluations"):
        Trials(method, error, seed=0).run()
    with pytest.raises(ValueError, match="Nothing has been evaluated"):
        _ = Trials(method, error, seed=0).best
    with pytest.raises(ValueError, match="got 9"):
        Evolution(space=HARD, population=8, sample=9)
    endless = Trials(method, error, seed=0, cost=lambda _: math.inf)
    with pytest.raises(ValueError, match="costs inf"):
        list(endless.run(evaluations=1))


def test_an_edge_keeps_its_operation_when_its_source_changes():
    space = one_part(nodes=1, edges=1, candidates=("skip", "conv1"), levels=1, layers=1)
    genotype = random_genotype(space, generator(0))
    (edge,) = genotype.parts["feature"].nodes[0].edges
    other = "before" if edge.source == "previous" else "previous"
    chance = generator(1)
    found = {mutate(space, genotype, chance).parts["feature"].nodes[0].edges for _ in range(20)}
    changed = Edge(source=edge.source, op="conv1" if edge.op == "skip" else "skip")
    assert found == {(Edge(source=other, op=edge.op),), (changed,)}
