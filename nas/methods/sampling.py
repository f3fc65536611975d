"""Genotypes drawn from a space, and neighbors of a genotype in it.

Both are uniform over decisions, not over genotypes: an analog stage is as likely as all the spiking
ones with their types of neurons together. Neighbors differ in one decision; by steps to a neighbor
every genotype of a space is reached from every other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import comb
from typing import TypeVar

import numpy as np

from nas.errors import GenotypeError
from nas.genotype import Constant, Dynamics, Edge, Genotype
from nas.methods.choices import (
    ANALOG,
    Choices,
    Constants,
    dynamics_of,
    is_analog,
    ordered,
    read_all,
    usual_dynamics,
    write,
)
from nas.relaxed.beliefs import stages
from nas.space import ENTRY, PartSpace, SearchSpace

T = TypeVar("T")
Draw = Callable[[np.random.Generator], Choices]
"""Draws another value for one decision, uniformly."""


def random_genotype(
    space: SearchSpace, generator: np.random.Generator, dynamics: Constants | None = None
) -> Genotype:
    """Draw a genotype.

    A path is drawn uniformly from all paths, the edges of a node from all subsets of the size that
    it keeps, an operation from the candidates; where stages may be analog a fair coin decides, and
    each node of a spiking layer draws its type. Stem and end have the usual neuron where they
    spike.

    Args:
        space: to draw from.
        generator: of chance.
        dynamics: constants of neurons by type; published ones unless given.
    """
    choices = {name: _random(part, generator, dynamics) for name, part in space.parts.items()}
    return write(space, choices, dynamics)


def mutate(
    space: SearchSpace,
    genotype: Genotype,
    generator: np.random.Generator,
    dynamics: Constants | None = None,
) -> Genotype:
    """Draw a neighbor: the same genotype with exactly one decision changed, in canonical form.

    The decision is drawn from all that have another value, then its value from the others:
    the operation of an edge; its source, the operation staying; the level of one layer, where the
    path remains one; a stage spiking or analog; the type of a node's neuron in a spiking layer. A
    layer that becomes spiking draws the types of its nodes. Neurons that are not concerned keep
    their constants; where a layer changes its level, and with it its width, those given per channel
    become their mean.

    Args:
        space: that the genotype lies in.
        genotype: left as it is.
        generator: of chance.
        dynamics: constants of neurons by type; published ones unless given.

    Raises:
        GenotypeError: it is outside of the space, or the space holds nothing else.
    """
    choices = read_all(space, genotype)
    draws = [
        (name, draw)
        for name, part in space.parts.items()
        for draw in _draws(part, choices[name], dynamics)
    ]
    if not draws:
        raise GenotypeError(f"Space {space.name!r} holds one genotype only; nothing can change.")
    name, draw = pick(generator, draws)
    return write(space, {**choices, name: draw(generator)}, dynamics)


def size(space: SearchSpace) -> int:
    """Return how many genotypes a space holds, constants of neurons aside."""
    total = 1
    for part in space.parts.values():
        edges = [(len(part.sources(node)), part.kept(node)) for node in range(part.nodes)]
        for sources, kept in edges:
            total *= comb(sources, kept) * len(part.candidates) ** kept
        layer = len(part.neurons) ** part.nodes + part.analog
        total *= paths(part) * layer**part.layers * (1 + part.analog) ** 2
    return total


def paths(space: PartSpace) -> int:
    """Return how many paths lead through the trellis."""
    return sum(_ways(space)[0][level] for level in _next(space, 0, ENTRY))


def below(generator: np.random.Generator, bound: int) -> int:
    """Draw a whole number from 0 to ``bound - 1``; numbers of paths may be beyond 64 bits."""
    if bound <= 2**63:
        return int(generator.integers(bound))
    while True:
        surplus = -bound.bit_length() % 8
        number = int.from_bytes(generator.bytes((bound.bit_length() + surplus) // 8), "big")
        if number >> surplus < bound:
            return number >> surplus


def pick(generator: np.random.Generator, values: Sequence[T]) -> T:
    """Draw one of some values."""
    return values[below(generator, len(values))]


def random_path(space: PartSpace, generator: np.random.Generator) -> tuple[int, ...]:
    """Draw a path, uniformly from all of the trellis, by the number of ways on from each place."""
    path: list[int] = []
    for layer, ways in enumerate(_ways(space)):
        options = _next(space, layer, path[-1] if path else ENTRY)
        left = below(generator, sum(ways[level] for level in options))
        for level in options:
            left -= ways[level]
            if left < 0:
                path.append(level)
                break
    return tuple(path)


def _next(space: PartSpace, layer: int, level: int) -> list[int]:
    """Return the levels that a layer can have after ``level``."""
    return [place.level for place in space.places[layer] if level in place.previous]


def _ways(space: PartSpace) -> list[Counter[int]]:
    """Return for each layer, by level, how many ways lead on from there to the last layer."""
    ways = [Counter({place.level: 1 for place in space.places[-1]})]
    for row in reversed(space.places[1:]):
        counts: Counter[int] = Counter()
        for place in row:
            for level in place.previous:
                counts[level] += ways[0][place.level]
        ways.insert(0, counts)
    return ways


def _random(
    space: PartSpace, generator: np.random.Generator, constants: Constants | None
) -> Choices:
    path = random_path(space, generator)
    edges = []
    for node in range(space.nodes):
        kept = pick(generator, list(combinations(space.sources(node), space.kept(node))))
        edges.append(
            tuple(Edge(source=source, op=pick(generator, space.candidates)) for source in kept)
        )
    fires = {}
    for stage in stages(space):
        analog = space.analog and pick(generator, (False, True))
        fires[stage] = _stage(space, stage, analog, generator, constants)
    return Choices(dimension=space.dimension, path=path, edges=tuple(edges), stages=fires)


def _stage(
    space: PartSpace,
    stage: str,
    analog: bool,
    generator: np.random.Generator,
    constants: Constants | None,
) -> tuple[Dynamics, ...]:
    """Return how a stage fires; a spiking layer draws the types of its nodes."""
    cell = stage.startswith("layer")
    if analog:
        return (dynamics_of(ANALOG),) * (space.nodes if cell else 1)
    if not cell:
        return (usual_dynamics(space, constants),)
    return tuple(dynamics_of(pick(generator, space.neurons), constants) for _ in range(space.nodes))


def _draws(space: PartSpace, choices: Choices, constants: Constants | None) -> Iterator[Draw]:
    """Yield a draw for every decision of a part that has another value."""
    yield from _edge_draws(space, choices)
    for layer, levels in enumerate(_other_levels(space, choices.path)):
        if levels:
            yield partial(_with_level, choices, layer, levels)
    for stage in choices.stages:
        if space.analog:
            yield partial(_switched, space, choices, stage, constants)
        if stage.startswith("layer"):
            yield from _type_draws(space, choices, stage, constants)


def _edge_draws(space: PartSpace, choices: Choices) -> Iterator[Draw]:
    for node, edges in enumerate(choices.edges):
        used = {edge.source for edge in edges}
        free = [source for source in space.sources(node) if source not in used]
        for slot, edge in enumerate(edges):
            ops = [replace(edge, op=op) for op in space.candidates if op != edge.op]
            sources = [replace(edge, source=source) for source in free]
            for options in (ops, sources):
                if options:
                    yield partial(_with_edge, space, choices, node, slot, options)


def _type_draws(
    space: PartSpace, choices: Choices, stage: str, constants: Constants | None
) -> Iterator[Draw]:
    fires = choices.stages[stage]
    if space.analog and is_analog(fires):
        return
    for node, own in enumerate(fires):
        types = [name for name in space.neurons if name != own.neuron]
        if types:
            yield partial(_with_type, choices, stage, node, types, constants)


def _other_levels(space: PartSpace, path: Sequence[int]) -> Iterator[list[int]]:
    """Yield for each layer the other levels that it can have between its neighbors."""
    for layer, level in enumerate(path):
        here = _next(space, layer, path[layer - 1] if layer else ENTRY)
        if layer + 1 < len(path):
            here = [other for other in here if path[layer + 1] in _next(space, layer + 1, other)]
        yield [other for other in here if other != level]


def _with_edge(
    space: PartSpace,
    choices: Choices,
    node: int,
    slot: int,
    options: Sequence[Edge],
    generator: np.random.Generator,
) -> Choices:
    edges = list(choices.edges)
    edge = pick(generator, options)
    edges[node] = ordered(space, node, [*edges[node][:slot], edge, *edges[node][slot + 1 :]])
    return replace(choices, edges=tuple(edges))


def _with_level(
    choices: Choices, layer: int, levels: Sequence[int], generator: np.random.Generator
) -> Choices:
    path = list(choices.path)
    path[layer] = pick(generator, levels)
    stage = f"layer{layer}"
    fires = {stage: tuple(_of_any_width(own) for own in choices.stages[stage])}
    return replace(choices, path=tuple(path), stages={**choices.stages, **fires})


def _of_any_width(own: Dynamics) -> Dynamics:
    """Return a neuron with the mean of constants that are given per channel."""
    if not own.channels:
        return own
    return Dynamics(
        neuron=own.neuron,
        decay=_mean(own.decay),
        threshold=_mean(own.threshold),
        temperature=_mean(own.temperature),
        constants={name: _mean(value) for name, value in own.constants.items()},
    )


def _mean(value: Constant) -> float:
    return sum(value) / len(value) if isinstance(value, tuple) else value


def _switched(
    space: PartSpace,
    choices: Choices,
    stage: str,
    constants: Constants | None,
    generator: np.random.Generator,
) -> Choices:
    analog = not is_analog(choices.stages[stage])
    fires = {stage: _stage(space, stage, analog, generator, constants)}
    return replace(choices, stages={**choices.stages, **fires})


def _with_type(
    choices: Choices,
    stage: str,
    node: int,
    types: Sequence[str],
    constants: Constants | None,
    generator: np.random.Generator,
) -> Choices:
    fires = list(choices.stages[stage])
    fires[node] = dynamics_of(pick(generator, types), constants)
    return replace(choices, stages={**choices.stages, stage: tuple(fires)})
