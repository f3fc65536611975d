"""The genotype: what a search decides, as names in JSON, readable and checked on load.

A network part (``feature`` in 2-D, ``matching`` in 3-D) is one cell repeated along a path through
the trellis. A cell is a small graph: its inputs are the outputs of the two cells before it
(``before`` = the one before the previous, ``previous``) and its nodes ``node0``, ``node1`` ... in
order; each node adds the currents of its edges and fires once.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import GenotypeError
from nas.neurons import NEURONS
from nas.ops import OPS

VERSION = 1
LEVELS = 4
CELL_INPUTS = ("before", "previous")


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One edge of a cell: where it starts and which operation it carries."""

    source: str
    op: str

    def __post_init__(self) -> None:
        """Refuse operations that do not exist."""
        if self.op not in OPS:
            raise GenotypeError(f"Unknown operation {self.op!r}; known: {', '.join(sorted(OPS))}.")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of a cell: its edges and its neuron.

    Attributes:
        edges: at least one.
        neuron: name in ``NEURONS``; an analog name makes the node analog.
        decay: share of the membrane that survives a time step.
        threshold: firing threshold.
        temperature: of the Dspike surrogate.
    """

    edges: tuple[Edge, ...]
    neuron: str = "lif"
    decay: float = 0.2
    threshold: float = 0.5
    temperature: float = 3.0

    def __post_init__(self) -> None:
        """Refuse a node that computes nothing."""
        if not self.edges:
            raise GenotypeError("Every node of a cell needs at least one edge.")
        if self.neuron not in NEURONS:
            raise GenotypeError(
                f"Unknown neuron {self.neuron!r}; known: {', '.join(sorted(NEURONS))}."
            )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the network: a cell and the levels it is repeated at.

    Attributes:
        dimension: 2 for images, 3 for cost volumes.
        path: level of each layer, 0 (finest) to 3; neighbors differ by at most one.
        nodes: the cell.
    """

    dimension: int
    path: tuple[int, ...]
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Check the path and that every edge starts at something computed earlier."""
        if self.dimension not in (2, 3):
            raise GenotypeError(f"A part has dimension 2 or 3, got {self.dimension}.")
        if not self.path or not self.nodes:
            raise GenotypeError("A part needs at least one layer in its path and one node.")
        if any(level not in range(LEVELS) for level in self.path):
            raise GenotypeError(f"Levels lie between 0 and {LEVELS - 1}, got {list(self.path)}.")
        steps = zip(self.path, self.path[1:], strict=False)
        if any(abs(here - there) > 1 for here, there in steps):
            raise GenotypeError(f"Neighboring layers differ by at most one level: {self.path}.")
        for index, node in enumerate(self.nodes):
            known = (*CELL_INPUTS, *(f"node{earlier}" for earlier in range(index)))
            for edge in node.edges:
                if edge.source not in known:
                    raise GenotypeError(
                        f"node{index} has an edge from {edge.source!r}; possible: {list(known)}."
                    )


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """A decoded architecture.

    Attributes:
        space: name of the search space it came from.
        parts: by name, ``feature`` and ``matching`` for stereo.
        provenance: where it came from, in words and numbers.
    """

    space: str
    parts: Mapping[str, Part]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, document: Any) -> "Genotype":
        """Build and check a genotype from its JSON document.

        Raises:
            GenotypeError: unknown version, operation or neuron, missing or surplus keys.
        """
        if not isinstance(document, Mapping) or document.get("version") != VERSION:
            found = document.get("version") if isinstance(document, Mapping) else type(document)
            raise GenotypeError(f"Expected a genotype of version {VERSION}, found {found}.")
        try:
            parts = {name: _part(part) for name, part in document["parts"].items()}
            return cls(
                space=document["space"],
                parts=parts,
                provenance=dict(document.get("provenance", {})),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise GenotypeError(f"The genotype is malformed: {error!r}.") from error

    @classmethod
    def load(cls, path: str | Path) -> "Genotype":
        """Read a genotype from a JSON file.

        Raises:
            GenotypeError: the file is missing, is not JSON, or is not a valid genotype.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise GenotypeError(f"Cannot read a genotype from {path}: {error}.") from error
        return cls.from_dict(document)

    def save(self, path: str | Path) -> None:
        """Write the JSON document atomically."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(target)

    def drawing(self) -> str:
        """Return the architecture as text: a trellis row per level, then the nodes."""
        lines = [f"genotype of space {self.space}"]
        for name, part in self.parts.items():
            lines.append(f"\n{name} ({part.dimension}-D), path {' '.join(map(str, part.path))}")
            for level in range(max(part.path) + 1):
                row = "".join("  o" if here == level else "  ." for here in part.path)
                lines.append(f"  x1/{2**level:<2}{row}")
            for index, node in enumerate(part.nodes):
                edges = " + ".join(f"{edge.op}({edge.source})" for edge in node.edges)
                lines.append(
                    f"  node{index} = {node.neuron}[decay {node.decay:g}, threshold "
                    f"{node.threshold:g}, b {node.temperature:g}]( {edges} )"
                )
        return "\n".join(lines)


def _part(document: Mapping[str, Any]) -> Part:
    nodes = tuple(
        Node(**{**node, "edges": tuple(Edge(**edge) for edge in node["edges"])})
        for node in document["nodes"]
    )
    return Part(dimension=document["dimension"], path=tuple(document["path"]), nodes=nodes)
