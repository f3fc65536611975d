"""What a genotype decides within its space, decision by decision, and the way back.

Many documents describe one network: edges of a node add up in any order, and a neuron may stand at
the node or in the part's dynamics. Written by this file they are one document, the canonical one:
edges in the order of their sources, the usual neuron at the nodes, everything that differs from it
in ``dynamics``, ``stem`` and ``end``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype, Node, Part
from nas.space import ENTRY, PartSpace, SearchSpace

ANALOG = "relu"
"""Neuron of an analog stage."""

USUAL = "lif"
"""Spiking neuron of stem and end, and of cells unless their type is searched, where it is open."""

Constants = Mapping[str, Dynamics]
"""Constants of neurons by type; a type that is not named has its own."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """All decisions of one part.

    Attributes:
        dimension: of the part, which is given.
        path: level of each layer.
        edges: of each node, in the order of their sources.
        stages: by name, how each fires: one for stem and end, one per node for a layer.
    """

    dimension: int
    path: tuple[int, ...]
    edges: tuple[tuple[Edge, ...], ...]
    stages: Mapping[str, tuple[Dynamics, ...]]

    def part(self, usual: Dynamics) -> Part:
        """Return the canonical part of a genotype.

        Args:
            usual: neuron of the nodes, which ``dynamics``, ``stem`` and ``end`` deviate from.
        """
        layers = tuple(self.stages[f"layer{n}"] for n in range(len(self.path)))
        same = all(own == usual for layer in layers for own in layer)
        ends = {n: self.stages[n][0] for n in ("stem", "end") if self.stages[n][0] != usual}
        return Part(
            dimension=self.dimension,
            path=self.path,
            nodes=tuple(_node(edges, usual) for edges in self.edges),
            dynamics=() if same else layers,
            **ends,
        )


def dynamics_of(neuron: str, constants: Constants | None = None) -> Dynamics:
    """Return a neuron with its constants: the published ones unless they are given.

    Args:
        neuron: name in ``NEURONS``.
        constants: by type.
    """
    own = (constants or {}).get(neuron, _default(neuron))
    if own.neuron != neuron:
        raise GenotypeError(f"The constants of {neuron!r} are those of a {own.neuron!r}.")
    return own


def usual_dynamics(space: PartSpace, constants: Constants | None = None) -> Dynamics:
    """Return the neuron of stem and end where they spike: LIF, or the first type if not open."""
    name = USUAL if USUAL in space.neurons else space.neurons[0]
    return dynamics_of(name, constants)


def read(space: PartSpace, part: Part) -> Choices:
    """Return what a part decides.

    Args:
        space: that it must lie in.
        part: of any genotype; constants of its neurons may be any.

    Raises:
        GenotypeError: it is outside of the space; the message says where.
    """
    _check_shape(space, part)
    edges = []
    for index, node in enumerate(part.nodes):
        sources = [edge.source for edge in node.edges]
        if len(set(sources)) != len(sources) or len(sources) != space.kept(index):
            raise GenotypeError(
                f"node{index} has edges from {sources}; the space keeps {space.kept(index)} from "
                "different sources."
            )
        surplus = sorted({edge.op for edge in node.edges} - set(space.candidates))
        if surplus:
            raise GenotypeError(
                f"node{index} carries {', '.join(surplus)}; candidates: "
                f"{', '.join(space.candidates)}."
            )
        edges.append(ordered(space, index, node.edges))
    plain = _stages(part)
    for name, stage in plain.items():
        types = {own.neuron for own in stage}
        analog = space.analog and types == {ANALOG}
        if not analog and not types <= set(space.neurons):
            raise GenotypeError(
                f"Stage {name} has neurons {sorted(types)}; open: {list(space.neurons)}"
                + (f", or all {ANALOG}." if space.analog else ".")
            )
    return Choices(dimension=part.dimension, path=part.path, edges=tuple(edges), stages=plain)


def canonical(
    space: SearchSpace, genotype: Genotype, constants: Constants | None = None
) -> Genotype:
    """Return the canonical form of a genotype of a space.

    Args:
        space: that it must lie in.
        genotype: with its provenance, which is kept.
        constants: of the usual neuron.

    Raises:
        GenotypeError: it is outside of the space.
    """
    found = write(space, read_all(space, genotype), constants)
    return replace(found, provenance=genotype.provenance)


def key(genotype: Genotype) -> str:
    """Return the document without provenance: equal for equal networks in canonical form."""
    document = replace(genotype, provenance={}).to_dict()
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def read_all(space: SearchSpace, genotype: Genotype) -> dict[str, Choices]:
    """Return what every part of a genotype decides, by name.

    Raises:
        GenotypeError: it is outside of the space.
    """
    if set(genotype.parts) != set(space.parts):
        raise GenotypeError(
            f"Space {space.name!r} has the parts {sorted(space.parts)}, the genotype "
            f"{sorted(genotype.parts)}."
        )
    found = {}
    for name, part_space in space.parts.items():
        try:
            found[name] = read(part_space, genotype.parts[name])
        except GenotypeError as error:
            raise GenotypeError(f"Outside of space {space.name!r}, part {name}: {error}") from error
    return found


def write(
    space: SearchSpace,
    choices: Mapping[str, Choices],
    constants: Constants | None = None,
) -> Genotype:
    """Return the canonical genotype of decisions, by part."""
    parts = {
        name: choices[name].part(usual_dynamics(part_space, constants))
        for name, part_space in space.parts.items()
    }
    return Genotype(space=space.name, parts=parts)


def ordered(space: PartSpace, node: int, edges: Sequence[Edge]) -> tuple[Edge, ...]:
    """Return the edges of a node in the order of their sources."""
    return tuple(sorted(edges, key=lambda edge: space.sources(node).index(edge.source)))


def described(space: SearchSpace, constants: Constants | None = None) -> dict[str, Any]:
    """Return a space and the constants of its neurons as JSON has them, to compare with others."""
    document = {
        "name": space.name,
        "parts": {name: asdict(part) for name, part in space.parts.items()},
        "constants": {name: asdict(own) for name, own in (constants or {}).items()},
    }
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found


def is_analog(stage: Sequence[Dynamics]) -> bool:
    """Return whether a stage is analog."""
    return all(own.neuron == ANALOG for own in stage)


def _stages(part: Part) -> dict[str, tuple[Dynamics, ...]]:
    """Return how each stage fires, as ``Part.stages``, without making and checking its nodes."""
    nodes = tuple(_plain(node) for node in part.nodes)
    layers = [tuple(map(_plain, layer)) for layer in part.dynamics] or [nodes] * len(part.path)
    return {
        "stem": (_plain(part.stem or part.nodes[0]),),
        **{f"layer{n}": layer for n, layer in enumerate(layers)},
        "end": (_plain(part.end or part.nodes[0]),),
    }


def _check_shape(space: PartSpace, part: Part) -> None:
    if space.analog and ANALOG in space.neurons:
        raise GenotypeError(
            f"{ANALOG!r} is analog: a space has it among its neurons or analog stages, not both."
        )
    found = (part.dimension, len(part.path), len(part.nodes))
    expected = (space.dimension, space.layers, space.nodes)
    if found != expected:
        raise GenotypeError(
            f"It has dimension, layers and nodes {found}; those of the space are {expected}."
        )
    here = ENTRY
    for row, level in zip(space.places, part.path, strict=True):
        if not any(place.level == level and here in place.previous for place in row):
            raise GenotypeError(
                f"Its path {list(part.path)} is no way through the trellis: layer "
                f"{row[0].layer} cannot be at level {level} after level {here}."
            )
        here = level


# Making dynamics or a node builds the neuron to check it, which takes longer than all else here.
@lru_cache
def _default(neuron: str) -> Dynamics:
    return Dynamics(neuron=neuron)


@lru_cache(maxsize=4096)
def _default_node(edges: tuple[Edge, ...], neuron: str) -> Node:
    return Node(edges=edges, neuron=neuron)


def _node(edges: tuple[Edge, ...], usual: Dynamics) -> Node:
    if usual == _default(usual.neuron):
        return _default_node(edges, usual.neuron)
    return Node(edges=edges, **_values(usual))


def _values(own: Dynamics) -> dict[str, Any]:
    return {f.name: getattr(own, f.name) for f in fields(Dynamics)}


def _plain(own: Dynamics) -> Dynamics:
    """Return a node's dynamics alone; constants of an analog one mean nothing and are dropped."""
    if own.neuron == ANALOG:
        return _default(ANALOG)
    known = _default(own.neuron)
    values = _values(own)
    return known if values == _values(known) else Dynamics(**values)
