"""The genotype: what a search decides, as names in JSON, readable and checked on load.

A network part (``feature`` in 2-D, ``matching`` in 3-D) is one cell repeated along a path through
the trellis. A cell is a small graph: its inputs are the outputs of the two cells before it
(``before`` = the one before the previous, ``previous``) and its nodes ``node0``, ``node1`` ... in
order; each node adds the currents of its edges and fires once.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import GenotypeError
from nas.neurons import NEURONS, LIFParams
from nas.neurons.learned import RANGES
from nas.ops import OPS
from nas.surrogate import Dspike

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


Constant = float | tuple[float, ...]
"""One value for a node, or one per channel."""


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How one node fires: its neuron and the constants of it.

    Attributes:
        neuron: name in ``NEURONS``; an analog name makes the node analog.
        decay: share of the membrane that survives a time step.
        threshold: firing threshold.
        temperature: of the Dspike surrogate.
        constants: further ones by name, such as ``current_decay``; those of the type unless given.
    """

    neuron: str = "lif"
    decay: Constant = 0.2
    threshold: Constant = 0.5
    temperature: Constant = 3.0
    constants: Mapping[str, Constant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no neuron has."""
        if self.neuron not in NEURONS:
            raise GenotypeError(
                f"Unknown neuron {self.neuron!r}; known: {', '.join(sorted(NEURONS))}."
            )
        for name in ("decay", "threshold", "temperature"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        checked = {name: _checked(name, value) for name, value in dict(self.constants).items()}
        object.__setattr__(self, "constants", checked)
        self.build()

    @property
    def channels(self) -> set[int]:
        """Numbers of channels of the constants that are given per channel."""
        values = (self.decay, self.threshold, self.temperature, *self.constants.values())
        return {len(value) for value in values if isinstance(value, tuple)}

    @property
    def spikes(self) -> bool:
        """Whether the node fires; otherwise it is analog."""
        return bool(getattr(self.build(), "emits_spikes", False))

    def build(self, dimension: int = 2) -> nn.Module:
        """Return the neuron.

        Args:
            dimension: of the space, 2 or 3; 0 for signals ``[T, B, C]``.

        Raises:
            GenotypeError: a constant that the neuron does not have, or outside its range.
        """
        try:
            params = LIFParams(
                decay=_over(self.decay, dimension),
                threshold=_over(self.threshold, dimension),
                surrogate=Dspike(_over(self.temperature, dimension)),
            )
            more = {name: _over(value, dimension) for name, value in self.constants.items()}
            return NEURONS[self.neuron](params, **more)
        except (TypeError, ValueError) as error:
            raise GenotypeError(
                f"No neuron {self.neuron!r} with these constants: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Node(Dynamics):
    """One node of a cell: its edges and its neuron.

    Attributes:
        edges: at least one.
    """

    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        """Refuse a node that computes nothing."""
        if not self.edges:
            raise GenotypeError("Every node of a cell needs at least one edge.")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the network: a cell and the levels it is repeated at.

    Attributes:
        dimension: 2 for images, 3 for cost volumes.
        path: level of each layer, 0 (finest) to 3; neighbors differ by at most one.
        nodes: the cell.
        dynamics: of each layer, of each of its nodes, in place of the cell's own; empty where all
            layers fire alike. Constants per channel stand here, as layers differ in width.
        stem: how the layers before the cells fire; None: as the cell's first node.
        end: how the layer behind them fires; None: likewise.
    """

    dimension: int
    path: tuple[int, ...]
    nodes: tuple[Node, ...]
    dynamics: tuple[tuple[Dynamics, ...], ...] = ()
    stem: Dynamics | None = None
    end: Dynamics | None = None

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
        shape = [len(self.nodes)] * len(self.path)
        if self.dynamics and [len(layer) for layer in self.dynamics] != shape:
            raise GenotypeError(
                f"Dynamics are given for {[len(layer) for layer in self.dynamics]} nodes of each "
                f"layer; expected {shape}."
            )
        if any(node.channels for node in self.nodes):
            raise GenotypeError(
                "Constants per channel belong to one layer: give them in the part's dynamics."
            )
        for index, node in enumerate(self.nodes):
            known = (*CELL_INPUTS, *(f"node{earlier}" for earlier in range(index)))
            for edge in node.edges:
                if edge.source not in known:
                    raise GenotypeError(
                        f"node{index} has an edge from {edge.source!r}; possible: {list(known)}."
                    )

    def cell(self, layer: int) -> tuple[Node, ...]:
        """Return the nodes of one layer, with its own dynamics."""
        if not self.dynamics:
            return self.nodes
        own = [{f.name: getattr(d, f.name) for f in fields(Dynamics)} for d in self.dynamics[layer]]
        return tuple(replace(node, **d) for node, d in zip(self.nodes, own, strict=True))

    @property
    def stages(self) -> dict[str, tuple[Dynamics, ...]]:
        """How each stage fires, in the order in which they run: stem, layer0, .. and end."""
        layers = {f"layer{n}": self.cell(n) for n in range(len(self.path))}
        return {
            "stem": (self.stem or self.nodes[0],),
            **layers,
            "end": (self.end or self.nodes[0],),
        }


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
                lines.append(f"  node{index} = {_drawn(node)}( {edges} )")
            for end in ("stem", "end"):
                own_end = getattr(part, end)
                if own_end is not None:
                    lines.append(f"  {end}: {_drawn(own_end)}")
            for layer, own in enumerate(part.dynamics):
                named = [_drawn(node) for node in own]
                named = named if len(set(named)) > 1 else named[:1]
                lines.append(f"  layer {layer}: " + ", ".join(named))
        return "\n".join(lines)


def _over(value: Constant, dimension: int) -> float | Tensor:
    """Return a constant as neurons take it: a number, or channels before so many axes."""
    if isinstance(value, float):
        return value
    return torch.tensor(value).reshape(-1, *(1 for _ in range(dimension)))


def _checked(name: str, value: Any) -> Constant:
    """Return a constant as a number or a tuple of numbers."""
    values = value if isinstance(value, tuple) else (value,)
    if not values or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise GenotypeError(f"{name} is a number, or one per channel; got {value!r}.")
    numbers = tuple(float(v) for v in values)
    low, high = RANGES.get(name, (-math.inf, math.inf))
    least = 1e-6 if name == "temperature" else low  # without slope nothing is learned
    if any(not (math.isfinite(v) and least <= v <= high) for v in numbers):
        raise GenotypeError(f"{name} lies between {least:g} and {high:g}, got {value!r}.")
    return numbers if isinstance(value, tuple) else numbers[0]


def _drawn(node: Dynamics) -> str:
    """Return a neuron and its constants in short; of many values the smallest and the largest."""
    if not node.spikes:
        return node.neuron

    def short(value: Constant) -> str:
        ends = sorted({min(value), max(value)}) if isinstance(value, tuple) else [value]
        return "..".join(f"{end:.4g}" for end in ends)

    named = {"decay": node.decay, "threshold": node.threshold, "b": node.temperature}
    named |= node.constants
    return f"{node.neuron}[" + ", ".join(f"{k} {short(v)}" for k, v in named.items()) + "]"


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's own values with tuples for JSON's lists."""
    constants = document.get("constants", {})
    found, named = (
        {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for values in (document, constants)
    )
    return {**found, "constants": named}


def _part(document: Mapping[str, Any]) -> Part:
    nodes = tuple(
        Node(**{**_own(node), "edges": tuple(Edge(**edge) for edge in node["edges"])})
        for node in document["nodes"]
    )
    dynamics = tuple(
        tuple(Dynamics(**_own(own)) for own in layer) for layer in document.get("dynamics", ())
    )
    ends = {
        name: Dynamics(**_own(document[name])) for name in ("stem", "end") if document.get(name)
    }
    return Part(
        dimension=document["dimension"], path=tuple(document["path"]), nodes=nodes,
        dynamics=dynamics, **ends,
    )  # fmt: skip
