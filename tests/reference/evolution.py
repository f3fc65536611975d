"""Regularized evolution as its paper writes it: an explicit queue, and no budget but by asking.

Slow and plain. Neighbors and whole spaces are found by listing everything, so that what draws from
them can be checked.
"""

import itertools
from collections import deque

import numpy as np

from nas.methods.choices import ANALOG
from nas.methods.sampling import mutate, random_genotype


def evolve(space, evaluate, cost, limit, *, seed, population, sample, cycles):
    """Return the genotypes that are evaluated, in order, with their errors."""
    chance = np.random.default_rng(seed)
    queue, history = deque(), []
    while len(history) < cycles:
        if len(queue) < population:
            child = random_genotype(space, chance)
        else:
            contest = []
            while len(contest) < sample:
                contest.append(queue[int(chance.integers(len(queue)))])
            parent = contest[0]
            for other in contest[1:]:
                if other[1] < parent[1]:
                    parent = other
            child = mutate(space, parent[0], chance)
        if any(child == seen for seen, _ in history) or cost(child) > limit:
            continue
        history.append((child, evaluate(child)))
        queue.append(history[-1])
        if len(queue) > population:
            queue.popleft()
    return history


def draw_until(space, evaluate, cost, limit, *, seed, cycles):
    """Return the same for random search."""
    chance = np.random.default_rng(seed)
    history = []
    while len(history) < cycles:
        child = random_genotype(space, chance)
        if cost(child) <= limit and all(child != seen for seen, _ in history):
            history.append((child, evaluate(child)))
    return history


def plain(genotype):
    """Return a genotype as sets and tuples of names: what it is, whatever the document."""
    found = []
    for name, part in sorted(genotype.parts.items()):
        cell = tuple(frozenset((e.source, e.op) for e in node.edges) for node in part.nodes)
        fires = neurons(part)
        found.append((name, part.path, cell, fires))
    return tuple(found)


def neurons(part):
    """Return the names of neurons of stem, layers and end.

    ``Part.stages`` says the same, but makes and checks every node, which takes long under test.
    """
    cell = [node.neuron for node in part.nodes]
    layers = [[own.neuron for own in layer] for layer in part.dynamics]
    stem, end = (own.neuron if own else cell[0] for own in (part.stem, part.end))
    return tuple(map(tuple, ([stem], *(layers or [cell] * len(part.path)), [end])))


def everything(space):
    """Return all of a small space, as ``plain`` returns each."""
    parts = []
    for name, part in sorted(space.parts.items()):
        cells = []
        for node in range(part.nodes):
            sources = ["before", "previous", *(f"node{n}" for n in range(node))]
            kept = min(part.edges, len(sources))
            cells.append([
                frozenset(zip(subset, ops))
                for subset in itertools.combinations(sources, kept)
                for ops in itertools.product(part.candidates, repeat=kept)
            ])  # fmt: skip
        usual = "lif" if "lif" in part.neurons else part.neurons[0]
        end = [(usual,), *([(ANALOG,)] if part.analog else [])]
        layer = list(itertools.product(part.neurons, repeat=part.nodes))
        layer += [(ANALOG,) * part.nodes] if part.analog else []
        paths = [part.path] if part.path else [
            path
            for path in itertools.product(range(part.levels), repeat=part.layers)
            if path[0] <= 1 and all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))
        ]  # fmt: skip
        stages = itertools.product(end, *[layer] * part.layers, end)
        parts.append([
            (name, path, cell, fires)
            for path, cell, fires in itertools.product(
                paths, list(itertools.product(*cells)), list(stages)
            )
        ])  # fmt: skip
    return list(itertools.product(*parts))


def distance(one, other):
    """Return in how many decisions two genotypes of a space differ.

    Types of neurons count one by one where the layer spikes in both; an operation that moves to
    another source counts once.
    """
    total = 0
    for (_, path, cell, fires), (_, path_2, cell_2, fires_2) in zip(one, other, strict=True):
        total += sum(a != b for a, b in zip(path, path_2, strict=True))
        for node, node_2 in zip(cell, cell_2, strict=True):
            total += _node(dict(node), dict(node_2))
        for stage, stage_2 in zip(fires, fires_2, strict=True):
            if {ANALOG} in (set(stage), set(stage_2)):
                total += set(stage) != set(stage_2)
            else:
                total += sum(a != b for a, b in zip(stage, stage_2, strict=True))
    return total


def _node(ops, ops_2):
    """Return the changes between two nodes: fewest over all ways to match the moved edges."""
    moved = [ops[s] for s in ops if s not in ops_2]
    moved_2 = [ops_2[s] for s in ops_2 if s not in ops]
    stayed = sum(ops[s] != ops_2[s] for s in ops if s in ops_2)
    matched = min(
        sum(1 + (a != b) for a, b in zip(moved, order)) for order in itertools.permutations(moved_2)
    )
    return stayed + matched
