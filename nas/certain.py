"""Beliefs that are certain of a genotype: the vertex of the relaxed network, and a warm start."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nas.decisions import ANALOG, NONE
from nas.errors import GenotypeError
from nas.genotype import Dynamics, Genotype, Node, Part
from nas.relaxed.beliefs import PartBeliefs, reachable, stages
from nas.space import ENTRY, PartSpace, SearchSpace

CERTAIN = 1e3
"""A logit whose softmax or sigmoid is exactly 0 or 1."""


def beliefs_of(space: SearchSpace, genotype: Genotype) -> dict[str, PartBeliefs]:
    """Return beliefs that are certain of a genotype: ``decode`` gives it back.

    Edges come back in the order of their sources, and a path, edges or neurons that the genotype
    leaves open (places beside its path) are equally likely or as the space's type.

    Raises:
        GenotypeError: a genotype that is not of this space.
    """
    if set(space.parts) != set(genotype.parts):
        raise GenotypeError(
            f"The space has parts {sorted(space.parts)}, the genotype {sorted(genotype.parts)}."
        )
    return {name: _certain(name, own, genotype.parts[name]) for name, own in space.parts.items()}


def _certain(name: str, space: PartSpace, part: Part) -> PartBeliefs:
    """Return the beliefs that decode to a part."""
    shape = (part.dimension, len(part.path), len(part.nodes))
    follows = reachable(space)
    walks = all(
        there in follows.get((layer, here), ())
        for layer, (here, there) in enumerate(zip((ENTRY, *part.path), part.path, strict=False))
    )
    if shape != (space.dimension, space.layers, space.nodes) or not walks:
        raise _foreign(
            name, f"dimension {part.dimension}, path {part.path}, {len(part.nodes)} nodes"
        )
    wirings = [_wiring(name, space, index, node) for index, node in enumerate(part.nodes)]
    steps = {}
    for (layer, level), levels in reachable(space).items():
        on_path = (ENTRY, *part.path)[layer] == level
        sure = [CERTAIN if on_path and to == part.path[layer] else 0.0 for to in levels]
        steps[layer, level] = torch.tensor(sure)
    fires = _fires(name, space, part)
    return PartBeliefs(
        edges=tuple(edges for edges, _ in wirings),
        ops=torch.cat([ops for _, ops in wirings]),
        steps=steps,
        spiking={
            stage: torch.tensor(CERTAIN if spikes else -CERTAIN) for stage, spikes in fires.items()
        }
        if space.analog
        else {},
        dynamics=_dynamics(name, space, part, fires),
    )


def _wiring(name: str, space: PartSpace, index: int, node: Node) -> tuple[Tensor, Tensor]:
    """Return the logits of a node's edges and of their operations."""
    sources = space.sources(index)
    found = {edge.source: edge.op for edge in node.edges}
    missing = space.kept(index) - len(found)
    known = all(op in space.candidates for op in found.values())
    if len(found) != len(node.edges) or missing < 0 or not known:
        raise _foreign(name, f"edges {[(e.source, e.op) for e in node.edges]} of node{index}")
    if missing and NONE not in space.candidates:
        raise _foreign(name, f"{len(found)} edges of node{index}")
    edges = torch.full((len(sources),), -CERTAIN)
    ops = torch.zeros(len(sources), len(space.candidates))
    for row, source in enumerate(sources):
        if source in found:
            edges[row] = CERTAIN
            ops[row, space.candidates.index(found[source])] = CERTAIN
        elif missing:  # kept, but without a current
            missing -= 1
            edges[row] = 0.0
            ops[row, space.candidates.index(NONE)] = CERTAIN
    return edges, ops


def _fires(name: str, space: PartSpace, part: Part) -> dict[str, bool]:
    """Return which stages spike."""
    fires = {}
    for stage, nodes in part.stages.items():
        analog = {node.neuron == ANALOG for node in nodes}
        if len(analog) > 1 or (True in analog and not space.analog):
            raise _foreign(name, f"neurons {[node.neuron for node in nodes]} in {stage}")
        fires[stage] = analog == {False}
    plain = Dynamics(neuron=space.neurons[0])
    for stage in ("stem", "end"):
        own = part.stages[stage][0]
        if fires[stage] and _own(own) != plain:
            raise _foreign(name, f"a spiking {stage} that fires as {own}")
    return fires


def _dynamics(
    name: str, space: PartSpace, part: Part, fires: Mapping[str, bool]
) -> dict[tuple[int, int, int], Dynamics]:
    """Return the dynamics of all places, those of the path from the part; none if all are plain."""
    plain = Dynamics(neuron=space.neurons[0])
    found = {
        (layer, level, node): _own(own)
        for layer, level in enumerate(part.path)
        if fires[stages(space)[layer + 1]]
        for node, own in enumerate(part.cell(layer))
    }
    strange = {own.neuron for own in found.values()} - set(space.neurons)
    if strange:
        raise _foreign(name, f"neurons {sorted(strange)}")
    if len(space.neurons) == 1 and all(own == plain for own in found.values()):
        return {}
    return {
        (place.layer, place.level, node): found.get((place.layer, place.level, node), plain)
        for row in space.places
        for place in row
        for node in range(space.nodes)
    }


def _own(node: Dynamics) -> Dynamics:
    """Return the dynamics of a node without its edges."""
    return Dynamics(
        neuron=node.neuron, decay=node.decay, threshold=node.threshold,
        temperature=node.temperature, constants=node.constants,
    )  # fmt: skip


def _foreign(name: str, what: str) -> GenotypeError:
    return GenotypeError(
        f"The genotype is not of this space: its part {name!r} has {what}. Decode with the space "
        "that it came from."
    )
