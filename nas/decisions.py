"""The decisions that make a part of a network: their logarithmic probabilities, order and effect.

The decisions of a part are, for every node, which edges it keeps and which operations these carry,
the path, and for every stage whether it spikes. All are independent of each other. The operation
of an edge that is not kept leaves no trace and counts at its most likely, so a choice has the
probability of the most likely decisions that lead to it, and the most likely choice is that of the
strongest edges, each with its best operation, along the best path.
"""

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype, Node, Part
from nas.ranking import ranked_products
from nas.relaxed.beliefs import LIMIT, PartBeliefs, reachable, stages, subsets
from nas.space import ENTRY, PartSpace, SearchSpace
from nas.trellis import ranked_paths

T = TypeVar("T")

ANALOG = "relu"
"""Neuron of an analog stage."""

NONE = "none"
"""Operation of an edge that is not there."""

Wiring = tuple[tuple[int, ...], tuple[int, ...]]
"""Of one node: the sources of its edges, ascending, and their operations, by number."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One outcome of all decisions of a part.

    Attributes:
        nodes: wiring of each node.
        path: level of each layer.
        spiking: of each stage, True unless it is analog.
    """

    nodes: tuple[Wiring, ...]
    path: tuple[int, ...]
    spiking: tuple[bool, ...]


class PartDecisions:
    """All decisions of one part with what is believed of them.

    Args:
        space: of the part.
        beliefs: logits.

    Raises:
        GenotypeError: beliefs that do not fit the space, or that are not numbers.
    """

    def __init__(self, space: PartSpace, beliefs: PartBeliefs) -> None:
        beliefs.check(space)
        self.space, self.beliefs = space, beliefs
        self._plain, self._analog = Dynamics(neuron=space.neurons[0]), Dynamics(neuron=ANALOG)
        self._made: dict[tuple[int, Wiring], Node] = {}
        self._strength = [_plain("edges", e).tolist() for e in beliefs.edges]
        self._wired: list[dict[tuple[int, ...], float]] = []
        for node, logits in enumerate(self._strength):
            chosen = subsets(len(logits), space.kept(node))
            sums = [sum(logits[n] for n in subset) for subset in chosen]
            scores = _log_softmax(torch.tensor(sums, dtype=torch.float64))
            self._wired.append(dict(zip(chosen, scores, strict=True)))
        rows = iter([_log_softmax(row) for row in _plain("operations", beliefs.ops)])
        self._ops = [[next(rows) for _ in logits] for logits in self._strength]
        self._steps: list[dict[int, dict[int, float]]] = [{} for _ in range(space.layers)]
        for (layer, level), levels in reachable(space).items():
            chances = _log_softmax(_plain("steps", beliefs.steps[layer, level]))
            self._steps[layer][level] = dict(zip(levels, chances, strict=True))
        self._spiking: list[dict[bool, float]] = []
        for stage in stages(space) if space.analog else ():
            logit = _plain("stages", beliefs.spiking[stage])
            pair = {True: logsigmoid(logit).item(), False: logsigmoid(-logit).item()}
            self._spiking.append(pair)

    def streams(self) -> list[Iterator[tuple[float, Any]]]:
        """Return the outcomes of each decision in descending order: nodes, path, stages."""
        nodes = [self._wirings(node) for node in range(self.space.nodes)]
        path = ranked_paths(self._steps)
        ends = [iter(_descending(pair)) for pair in self._spiking]
        return [*nodes, path, *ends]

    def choice(self, outcomes: Sequence[Any]) -> Choice:
        """Return one outcome of each stream together."""
        n = self.space.nodes
        fixed = (True,) * (self.space.layers + 2)
        return Choice(
            nodes=tuple(outcomes[:n]), path=outcomes[n], spiking=tuple(outcomes[n + 1 :]) or fixed
        )

    def draw(self, chance: np.random.Generator) -> Choice:
        """Return an outcome, every decision drawn with its probability."""
        nodes: list[Wiring] = []
        for node, wired in enumerate(self._wired):
            sources = _drawn(wired, chance)
            ops = (_drawn(dict(enumerate(self._ops[node][s])), chance) for s in sources)
            nodes.append((sources, tuple(ops)))
        path: list[int] = []
        for steps in self._steps:
            path.append(_drawn(steps[path[-1] if path else ENTRY], chance))
        spiking = (_drawn(pair, chance) for pair in self._spiking)
        return self.choice([*nodes, tuple(path), *spiking])

    def log_probability(self, choice: Choice) -> float:
        """Return the logarithm of the probability of a choice."""
        total = 0.0
        for node, wiring in enumerate(choice.nodes):
            total += self._wired[node][wiring[0]] + self._free(node)
            total += sum(loss for loss, _ in self._losses(node, wiring))
        for layer, (here, there) in enumerate(
            zip((ENTRY, *choice.path), choice.path, strict=False)
        ):
            total += self._steps[layer][here][there]
        return total + sum(
            pair[spikes] for pair, spikes in zip(self._spiking, choice.spiking, strict=False)
        )

    def moves(self, choice: Choice) -> Iterator[Choice]:
        """Yield the choices that differ in one decision.

        Other edges of a node carry their best operations; other paths differ in the level of one
        layer, or go up or down by one level from some layer to the end.
        """
        for node, (sources, ops) in enumerate(choice.nodes):
            others = [
                (sources, (*ops[:at], op, *ops[at + 1 :]))
                for at in range(len(ops))
                for op in range(len(self.space.candidates))
                if op != ops[at]
            ]
            swaps = [(s, self._best_ops(node, s)) for s in self._wired[node] if s != sources]
            for wiring in (*others, *swaps):
                nodes = (*choice.nodes[:node], wiring, *choice.nodes[node + 1 :])
                yield replace(choice, nodes=nodes)
        for path in self._other_paths(choice.path):
            yield replace(choice, path=path)
        for at in range(len(self._spiking)):
            flipped = tuple(s != (n == at) for n, s in enumerate(choice.spiking))
            yield replace(choice, spiking=flipped)

    def part(self, choice: Choice) -> Part:
        """Return the part of the network that a choice stands for."""
        plain, analog = self._plain, self._analog
        nodes = tuple(self._node(node, wiring) for node, wiring in enumerate(choice.nodes))
        stem, *layers, end = choice.spiking
        fires = tuple(
            tuple(
                self.beliefs.dynamics.get((layer, level, node), plain) if spikes else analog
                for node in range(self.space.nodes)
            )
            for layer, (level, spikes) in enumerate(zip(choice.path, layers, strict=True))
        )
        alike = all(own == plain for layer in fires for own in layer)
        return Part(
            dimension=self.space.dimension, path=choice.path, nodes=nodes,
            dynamics=() if alike else fires,
            stem=None if stem else analog, end=None if end else analog,
        )  # fmt: skip

    def _node(self, node: int, wiring: Wiring) -> Node:
        key = node, wiring
        if key not in self._made:
            edges = self._edges(node, wiring)
            self._made[key] = Node(neuron=self._plain.neuron, edges=edges)
        return self._made[key]

    def _wirings(self, node: int) -> Iterator[tuple[float, Wiring]]:
        """Yield the wirings of a node that differ in effect, in descending order."""
        streams = [
            self._with_ops(node, sources, score) for sources, score in self._wired[node].items()
        ]
        seen = set()
        for score, wiring in heapq.merge(*streams, key=lambda found: -found[0]):
            effect = self._edges(node, wiring)
            if effect not in seen:
                seen.add(effect)
                yield score, wiring

    def _with_ops(
        self, node: int, sources: tuple[int, ...], score: float
    ) -> Iterator[tuple[float, Wiring]]:
        """Yield one choice of edges with all choices of their operations."""
        every = range(len(self.space.candidates))
        choices = [
            iter(_descending({op: self._losses(node, ((s,), (op,)))[0][0] for op in every}))
            for s in sources
        ]
        for loss, ops in ranked_products(choices):
            yield score + self._free(node) + loss, (sources, ops)

    def _losses(self, node: int, wiring: Wiring) -> list[tuple[float, int]]:
        """Return how much less likely than the best each operation of a wiring is."""
        own = self._ops[node]
        return [(own[s][op] - max(own[s]), op) for s, op in zip(*wiring, strict=True)]

    def _free(self, node: int) -> float:
        """Return the log probability that all edges of a node carry their best operations."""
        return sum(max(row) for row in self._ops[node])

    def _best_ops(self, node: int, sources: tuple[int, ...]) -> tuple[int, ...]:
        rows = (self._ops[node][source] for source in sources)
        return tuple(row.index(max(row)) for row in rows)

    def _edges(self, node: int, wiring: Wiring) -> tuple[Edge, ...]:
        """Return the edges that carry something, or the strongest if none does."""
        names = self.space.sources(node)
        edges = {
            source: Edge(source=names[source], op=self.space.candidates[op])
            for source, op in zip(*wiring, strict=True)
        }
        carrying = tuple(edge for edge in edges.values() if edge.op != NONE)
        strongest = max(edges, key=lambda source: self._strength[node][source])
        return carrying or (edges[strongest],)

    def _other_paths(self, path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        layers = range(len(path))
        changed = chain(
            (
                (*path[:n], level, *path[n + 1 :])
                for n in layers
                for level in range(self.space.levels)
            ),
            ((*path[:n], *(lv + by for lv in path[n:])) for n in layers for by in (-1, 1)),
        )
        possible = (
            p
            for p in dict.fromkeys(changed)
            if all(
                there in self._steps[layer].get(here, {})
                for layer, (here, there) in enumerate(zip((ENTRY, *p), p, strict=False))
            )
        )
        return (p for p in possible if p != path)


def decisions_of(
    space: SearchSpace, beliefs: Mapping[str, PartBeliefs]
) -> dict[str, PartDecisions]:
    """Return the decisions of every part.

    Raises:
        GenotypeError: beliefs that do not fit the space.
    """
    if set(space.parts) != set(beliefs):
        raise GenotypeError(
            f"The space has parts {sorted(space.parts)}, the beliefs {sorted(beliefs)}."
        )
    return {name: PartDecisions(own, beliefs[name]) for name, own in space.parts.items()}


def ranked_choices(
    decisions: Mapping[str, PartDecisions],
) -> Iterator[tuple[float, dict[str, Choice]]]:
    """Yield the choices of all parts with their log probability in nats, descending."""
    streams = {name: own.streams() for name, own in decisions.items()}
    for score, outcomes in ranked_products(list(chain(*streams.values()))):
        rest = iter(outcomes)
        yield (
            score,
            {
                name: decisions[name].choice(list(islice(rest, len(own))))
                for name, own in streams.items()
            },
        )


def genotype_of(
    space: SearchSpace, decisions: Mapping[str, PartDecisions], choices: Mapping[str, Choice]
) -> Genotype:
    """Return the genotype that choices of all parts stand for."""
    parts = {name: decisions[name].part(own) for name, own in choices.items()}
    return Genotype(space=space.name, parts=parts)


def _drawn(scores: Mapping[T, float], chance: np.random.Generator) -> T:
    """Draw an outcome by the logarithms of the probabilities of all."""
    outcomes = list(scores)
    shares = np.exp([scores[outcome] for outcome in outcomes])
    return outcomes[int(chance.choice(len(outcomes), p=shares / shares.sum()))]


def _descending(scores: dict[Any, float]) -> list[tuple[float, Any]]:
    return sorted(((score, key) for key, score in scores.items()), key=lambda found: -found[0])


def _plain(what: str, logits: Tensor) -> Tensor:
    """Return logits in double precision on the host, bounded as for the distributions."""
    found = logits.detach().to("cpu", torch.float64)
    if bool(found.isnan().any()):
        raise GenotypeError(f"Logits of {what} are not numbers: {found.tolist()}.")
    return found.clamp(-LIMIT, LIMIT)


def _log_softmax(logits: Tensor) -> list[float]:
    found = torch.log_softmax(logits.double(), 0).tolist()
    assert all(math.isfinite(value) for value in found)
    return [float(value) for value in found]
