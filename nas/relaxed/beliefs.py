"""What a search believes of one part of the network: logits, and the distributions they give.

* Edges of a node: softmax over all subsets of ``k`` edges of the sum of their logits, so the most
  likely subset is that of the ``k`` strongest edges.
* Operation of an edge: softmax over the candidates.
* Path: a Markov chain. From a place of one layer, softmax over the places of the next that it can
  reach; before the first layer stands the stem at level ``ENTRY``.
* Each stage spiking or analog: a sigmoid, the probability of spiking.

All decisions are independent of each other but for the steps of the path. Everything here is
differentiable, and meant to be computed once per forward pass. Logits of any size give exact
distributions: beyond ``LIMIT`` they count as ``LIMIT``, where a softmax is 0 or 1 already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nas.errors import GenotypeError
from nas.genotype import Dynamics
from nas.space import ENTRY, PartSpace

LIMIT = 1e4
"""Largest size of a logit that is told apart from an infinite one."""

UNVISITED = 1e-12
"""Probability below which a place counts as never visited."""

Step = tuple[int, int]
"""``(layer, level)``; of a step, the layer that it leads to and the level that it comes from."""


@dataclass(frozen=True, kw_only=True)
class PartBeliefs:
    """Logits of everything that is searched in one part.

    Attributes:
        edges: of each node, ``[sources]`` logits in the order of ``PartSpace.sources``.
        ops: ``[pairs, candidates]`` logits, rows in the order of ``PartSpace.pairs``.
        steps: by layer and level of the layer before, ``[reachable levels]`` logits, ascending.
        spiking: by stage, a 0-dim logit; empty if stages are not searched.
        dynamics: by layer, level and node; empty if neurons are not searched.
    """

    edges: tuple[Tensor, ...]
    ops: Tensor
    steps: Mapping[Step, Tensor]
    spiking: Mapping[str, Tensor] = field(default_factory=dict)
    dynamics: Mapping[tuple[int, int, int], Dynamics] = field(default_factory=dict)

    def check(self, space: PartSpace) -> None:
        """Compare all shapes and names with a space.

        Raises:
            GenotypeError: something is missing, too much, or has another shape.
        """
        sizes = [len(space.sources(node)) for node in range(space.nodes)]
        _same("logits of edges", [tuple(e.shape) for e in self.edges], [(n,) for n in sizes])
        expected = (len(space.pairs), len(space.candidates))
        _same("logits of operations", tuple(self.ops.shape), expected)
        steps = {step: (len(levels),) for step, levels in reachable(space).items()}
        _same("logits of steps", {k: tuple(v.shape) for k, v in self.steps.items()}, steps)
        spiking: dict[str, tuple[int, ...]] = (
            dict.fromkeys(stages(space), ()) if space.analog else {}
        )
        _same("logits of stages", {k: tuple(v.shape) for k, v in self.spiking.items()}, spiking)
        dynamics = {
            (place.layer, place.level, node)
            for row in space.places
            for place in row
            for node in range(space.nodes)
        }
        if len(space.neurons) == 1 and not self.dynamics:
            dynamics = set()
        _same("dynamics", set(self.dynamics), dynamics)


@dataclass(frozen=True, kw_only=True)
class PartGates:
    """Probabilities, or decisions drawn from them: what the relaxed network multiplies with.

    Attributes:
        edges: of each node, ``[sources]``, in sum as many as the node keeps.
        ops: ``[pairs, candidates]``, rows sum to 1.
        transitions: by layer and level of the layer before, ``[reachable levels]``, sum 1.
        spiking: by stage, 0-dim.
    """

    edges: tuple[Tensor, ...]
    ops: Tensor
    transitions: Mapping[Step, Tensor]
    spiking: Mapping[str, Tensor]


def stages(space: PartSpace) -> tuple[str, ...]:
    """Return the stages of a part in the order in which they run, as ``Part.stages``."""
    return ("stem", *(f"layer{layer}" for layer in range(space.layers)), "end")


def reachable(space: PartSpace) -> dict[Step, tuple[int, ...]]:
    """Return, by layer and level of the layer before, the levels that can follow, ascending."""
    found: dict[Step, list[int]] = {}
    for layer, from_level, to_level in space.steps:
        found.setdefault((layer, from_level), []).append(to_level)
    return {step: tuple(sorted(levels)) for step, levels in sorted(found.items())}


def subsets(n: int, k: int) -> list[tuple[int, ...]]:
    """Return all subsets of ``k`` of ``n`` indices, in lexicographic order."""
    return list(combinations(range(n), k))


def edge_gates(logits: Tensor, k: int) -> Tensor:
    """Return the probability ``[n]`` that each edge is among the ``k`` kept; they sum to ``k``.

    Args:
        logits: ``[n]``.
        k: how many are kept.
    """
    scores, members = _scores(logits, k)
    return (torch.softmax(scores, 0) @ members).clamp(max=1.0)  # rounding


def op_weights(logits: Tensor) -> Tensor:
    """Return probabilities ``[..., K]`` of the candidates, which sum to 1, from their logits."""
    return torch.softmax(_bounded(logits), -1)


def transitions(space: PartSpace, steps: Mapping[Step, Tensor]) -> dict[Step, Tensor]:
    """Return the probabilities of each step's levels, ascending, from their logits."""
    return {step: op_weights(steps[step]) for step in reachable(space)}


def spiking_probability(logit: Tensor) -> Tensor:
    """Return the probability that a stage spikes."""
    return torch.sigmoid(_bounded(logit))


def gates(space: PartSpace, beliefs: PartBeliefs) -> PartGates:
    """Return all probabilities of a part."""
    return PartGates(
        edges=tuple(edge_gates(e, space.kept(node)) for node, e in enumerate(beliefs.edges)),
        ops=op_weights(beliefs.ops),
        transitions=transitions(space, beliefs.steps),
        spiking={stage: spiking_probability(s) for stage, s in beliefs.spiking.items()},
    )


def sample(
    space: PartSpace, beliefs: PartBeliefs, generator: torch.Generator, softness: float = 1.0
) -> PartGates:
    """Draw every decision of a part, with the gradient of a soft one (straight-through Gumbel).

    The largest of logits with Gumbel noise is a draw from their softmax. Edges are drawn as whole
    subsets: taking the ``k`` largest noisy edges instead would draw from another distribution.

    Args:
        space: of the part.
        beliefs: logits.
        generator: draws are made in the order edges, operations, steps, stages.
        softness: of the softmax whose gradient is taken.

    Reference: Jang et al., "Categorical reparameterization with Gumbel-softmax", ICLR 2017.

    Raises:
        ValueError: a softness that is not positive.
    """
    if not softness > 0:
        raise ValueError(f"The softness of a draw is positive, got {softness}.")
    edges = []
    for node, logits in enumerate(beliefs.edges):
        scores, members = _scores(logits, space.kept(node))
        edges.append(_draw(scores, generator, softness) @ members)
    ops = _draw(_bounded(beliefs.ops), generator, softness)
    steps = {
        step: _draw(_bounded(beliefs.steps[step]), generator, softness) for step in reachable(space)
    }
    spiking = {}
    for stage in (s for s in stages(space) if s in beliefs.spiking):
        logit = _bounded(beliefs.spiking[stage])
        spiking[stage] = _draw(torch.stack([logit, 0 * logit]), generator, softness)[0]
    return PartGates(edges=tuple(edges), ops=ops, transitions=steps, spiking=spiking)


def log_probability(space: PartSpace, beliefs: PartBeliefs, drawn: PartGates) -> Tensor:
    """Return the log probability of decisions, as far as they have an effect.

    The operation of an edge that is not kept and a step from a place that is not visited are as
    good as not drawn, and leaving them out takes their noise from the score function.

    Args:
        space: of the part.
        beliefs: logits.
        drawn: decisions, all 0 or 1, as ``sample`` returns; taken as constants.
    """
    total = torch.zeros((), dtype=beliefs.ops.dtype, device=beliefs.ops.device)
    for node, (logits, kept) in enumerate(zip(beliefs.edges, drawn.edges, strict=True)):
        scores, members = _scores(logits, space.kept(node))
        chosen = (members == kept.detach()).all(-1)
        total = total + (torch.log_softmax(scores, -1) * chosen).sum()
    carried = torch.cat(drawn.edges).detach()[:, None] * drawn.ops.detach()
    total = total + (torch.log_softmax(_bounded(beliefs.ops), -1) * carried).sum()
    taken = {step: chances.detach() for step, chances in drawn.transitions.items()}
    visited = reach(space, taken)
    for (layer, level), chosen in taken.items():
        came = 1.0 if layer == 0 else visited[layer - 1, level]
        log = torch.log_softmax(_bounded(beliefs.steps[layer, level]), -1)
        total = total + came * (log * chosen).sum()
    for stage, logit in beliefs.spiking.items():
        x, spikes = _bounded(logit), drawn.spiking[stage].detach()
        total = total + spikes * logsigmoid(x) + (1.0 - spikes) * logsigmoid(-x)
    return total


def reach(space: PartSpace, chances: Mapping[Step, Tensor]) -> dict[Step, Tensor]:
    """Return by layer and level the probability that the path visits this place.

    Args:
        space: of the part.
        chances: as ``transitions`` returns.
    """
    out: dict[Step, Tensor] = {}
    levels_of = reachable(space)
    here = {ENTRY: torch.ones_like(chances[0, ENTRY][0])}
    for layer, row in enumerate(space.places):
        sums: dict[int, Tensor] = {}
        for from_level, arrived in here.items():
            levels = levels_of[layer, from_level]
            for to_level, chance in zip(levels, chances[layer, from_level].unbind(), strict=True):
                went = arrived * chance
                sums[to_level] = sums[to_level] + went if to_level in sums else went
        here = {place.level: sums[place.level].clamp(max=1.0) for place in row}  # rounding
        out |= {(layer, level): value for level, value in here.items()}
    return out


def arrivals(
    space: PartSpace, chances: Mapping[Step, Tensor], visited: Mapping[Step, Tensor]
) -> dict[Step, tuple[dict[int, Tensor], dict[int, Tensor]]]:
    """Return where the path came from, by layer and level, given that it visits this place.

    Args:
        space: of the part.
        chances: as ``transitions`` returns.
        visited: as ``reach`` returns.

    Returns:
        Probabilities of the level of the cell before it, and of the cell before that one. Each
        sums to 1 over the levels in ``Place.previous`` and ``Place.before``. At a place that is
        never visited the former are all equal, as constants.
    """
    out: dict[Step, tuple[dict[int, Tensor], dict[int, Tensor]]] = {}
    levels_of = reachable(space)
    sure = torch.ones_like(chances[0, ENTRY][0])
    for place in (place for row in space.places for place in row):
        layer = place.layer
        joint = torch.stack([
            (sure if layer == 0 else visited[layer - 1, level])
            * chances[layer, level][levels_of[layer, level].index(place.level)]
            for level in place.previous
        ])  # fmt: skip
        total = joint.sum()
        seen = total > UNVISITED
        # Both branches of `where` stay finite, as the gradient passes through both.
        share = torch.where(
            seen, joint / torch.where(seen, total, sure), torch.ones_like(joint) / len(joint)
        )
        previous = dict(zip(place.previous, share.unbind(), strict=True))
        before = {level: torch.zeros_like(sure) for level in place.before}
        for level, chance in previous.items():
            came = out[layer - 1, level][0] if layer > 0 else {ENTRY: sure}
            for first, share_first in came.items():
                before[first] = before[first] + chance * share_first
        out[layer, place.level] = previous, before
    return out


def entropy(space: PartSpace, beliefs: PartBeliefs) -> dict[str, Tensor]:
    """Return the mean entropy of a decision in nats, by kind; 0 where all is decided.

    Kinds are ``edges`` (mean over nodes), ``ops`` (over edges), ``path`` (entropy of the whole path
    over layers) and ``spiking`` (over stages). Decisions with one outcome only do not count, and a
    kind without any other is absent.
    """
    found: dict[str, list[Tensor]] = {"edges": [], "ops": [], "path": [], "spiking": []}
    for node, logits in enumerate(beliefs.edges):
        scores, _ = _scores(logits, space.kept(node))
        if len(scores) > 1:
            found["edges"].append(_entropy(scores))
    if len(space.candidates) > 1:
        found["ops"].append(_entropy(_bounded(beliefs.ops)).mean())
    visited = reach(space, transitions(space, beliefs.steps))
    for layer, row in enumerate(space.places):
        levels = [step for step in reachable(space) if step[0] == layer]
        if len(row) > 1:
            terms = [
                _entropy(_bounded(beliefs.steps[step]))
                * (1.0 if layer == 0 else visited[layer - 1, step[1]])
                for step in levels
            ]
            found["path"].append(torch.stack(terms).sum())
    for logit in beliefs.spiking.values():
        x = _bounded(logit)
        p = torch.sigmoid(x)
        found["spiking"].append(-(p * logsigmoid(x) + (1 - p) * logsigmoid(-x)))
    return {kind: torch.stack(terms).mean() for kind, terms in found.items() if terms}


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise GenotypeError(f"The space has {what} {expected}; got {found}.")


def _bounded(logits: Tensor) -> Tensor:
    return logits.clamp(-LIMIT, LIMIT)


def _scores(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the logit ``[subsets]`` of each subset, and ``[subsets, n]`` who is in it."""
    chosen = subsets(len(logits), k)
    members = torch.zeros(len(chosen), len(logits), dtype=logits.dtype, device=logits.device)
    for row, subset in enumerate(chosen):
        members[row, list(subset)] = 1.0
    return members @ _bounded(logits), members


def _draw(logits: Tensor, generator: torch.Generator, softness: float) -> Tensor:
    """Return one-hot draws along the last dimension, with the gradient of a softmax."""
    noise = torch.empty(logits.shape, device=generator.device).exponential_(generator=generator)
    noisy = logits - noise.clamp_min(torch.finfo(noise.dtype).tiny).log().to(logits)
    soft = torch.softmax(noisy / softness, -1)
    hard = torch.zeros_like(soft).scatter(-1, noisy.argmax(-1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())


def _entropy(logits: Tensor) -> Tensor:
    log_p = torch.log_softmax(logits, -1)
    return -(log_p.exp() * log_p).sum(-1)
