"""Everything that beliefs can decide, listed one by one."""

import math
from itertools import combinations, product

from nas.genotype import Dynamics, Edge, Genotype, Node, Part


def softmax(scores):
    largest = max(scores)
    powers = [math.exp(score - largest) for score in scores]
    return [power / sum(powers) for power in powers]


def subset_probabilities(logits, k):
    """Return ``{subset: probability}``: softmax over subsets of the sums of their logits."""
    chosen = list(combinations(range(len(logits)), k))
    return dict(zip(chosen, softmax([sum(logits[n] for n in s) for s in chosen])))


def step_probability(space, beliefs, layer, here, there):
    levels = sorted(to for number, start, to in space.steps if (number, start) == (layer, here))
    return softmax(beliefs.steps[layer, here].tolist())[levels.index(there)]


def path_probabilities(space, beliefs):
    """Return ``{path: probability}`` over all paths."""
    found = {}
    for path in space.paths():
        steps = zip(range(space.layers), (0, *path), path)
        found[path] = math.prod(step_probability(space, beliefs, *step) for step in steps)
    return found


def best_paths(matrices):
    """Return ``[(path, product)]`` with positive products, best first, then by levels."""
    sizes = [range(len(matrix[0])) for matrix in matrices]
    weighted = []
    for path in product(*sizes):
        here, weight = 0, 1.0
        for matrix, level in zip(matrices, path):
            weight *= matrix[here][level] if here < len(matrix) else 0.0
            here = level
        weighted.append((path, weight))
    return sorted((w for w in weighted if w[1] > 0), key=lambda w: (-w[1], w[0]))


def node_outcomes(space, beliefs, node):
    """Return ``{edges: probability}`` of a node: of the likeliest decisions that lead to them."""
    sources = space.sources(node)
    first = [n for n, _ in space.pairs].index(node)
    ops = [softmax(row) for row in beliefs.ops.tolist()[first : first + len(sources)]]
    strength = beliefs.edges[node].tolist()
    found = {}
    for subset, wired in subset_probabilities(strength, space.kept(node)).items():
        for carried in product(range(len(space.candidates)), repeat=len(sources)):
            p = wired * math.prod(row[op] for row, op in zip(ops, carried))
            kept = [n for n in subset if space.candidates[carried[n]] != "none"]
            kept = kept or [max(subset, key=lambda n: strength[n])]
            edges = tuple(Edge(source=sources[n], op=space.candidates[carried[n]]) for n in kept)
            found[edges] = max(found.get(edges, 0.0), p)
    return found


def part_outcomes(space, beliefs):
    """Return ``[(part, probability)]`` of all parts, for spaces without searched neurons."""
    nodes = [node_outcomes(space, beliefs, node) for node in range(space.nodes)]
    paths = path_probabilities(space, beliefs)
    stages = ["stem", *(f"layer{n}" for n in range(space.layers)), "end"]
    found = []
    for cell, path in product(product(*(node.items() for node in nodes)), paths.items()):
        p = path[1] * math.prod(weight for _, weight in cell)
        made = tuple(Node(edges=edges) for edges, _ in cell)
        for spiking in product((True, False), repeat=len(stages)) if space.analog else [None]:
            fires = [None if s else Dynamics(neuron="relu") for s in spiking or [True] * 99]
            chance = 1.0
            for stage, spikes in zip(stages, spiking or ()):
                one = 1 / (1 + math.exp(-beliefs.spiking[stage].item()))
                chance *= one if spikes else 1 - one
            layers = fires[1 : space.layers + 1]
            own = tuple((layer or Dynamics(),) * space.nodes for layer in layers)
            part = Part(
                dimension=space.dimension, path=path[0], nodes=made, stem=fires[0],
                end=fires[space.layers + 1],
                dynamics=own if any(layers) else (),
            )  # fmt: skip
            found.append((part, p * chance))
    return found


def genotype_outcomes(space, beliefs):
    """Return ``[(log probability, genotype)]`` of a whole space, best first."""
    parts = [[(name, *found) for found in part_outcomes(own, beliefs[name])]
             for name, own in space.parts.items()]  # fmt: skip
    found = []
    for combination in product(*parts):
        p = math.prod(weight for _, _, weight in combination)
        made = {name: part for name, part, _ in combination}
        found.append((math.log(p), Genotype(space=space.name, parts=made)))
    return sorted(found, key=lambda outcome: -outcome[0])
