"""The search space: one table of where cells may stand and what their edges may carry.

A part of the network is a trellis of layers and levels. Level ``l`` has the size of the part's
input halved ``l`` times and ``2**l`` times as many channels. A place of the trellis is one cell; a
path visits one place per layer, and its level changes by at most one from layer to layer, beginning
at level 0, where the stem leaves it. The relaxed network, the decoder, the builder and the
drawings read this table and nothing else.

Reference: the trellis of Auto-DeepLab (Liu et al., CVPR 2019), as in LEAStereo and SpikeDHS.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

from nas.errors import GenotypeError
from nas.genotype import CELL_INPUTS, LEVELS
from nas.neurons import NEURONS
from nas.ops import OPS

ENTRY = 0
"""Level at which a path begins: that of the stem."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One cell of the trellis.

    Attributes:
        layer: number of the layer.
        level: number of the level.
        previous: levels that the cell before it can have.
        before: levels that the cell before that one can have.
    """

    layer: int
    level: int
    previous: tuple[int, ...]
    before: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PartSpace:
    """What is open in one part of the network.

    Attributes:
        dimension: 2 for images, 3 for volumes.
        layers: cells along a path.
        candidates: operations that an edge may carry, names in ``OPS``.
        nodes: of a cell.
        edges: that each node keeps.
        levels: of the trellis.
        path: levels of the layers where they are given instead of searched.
        neurons: types that a node may be, names in ``NEURONS``; with more than one, types and time
            constants are searched.
        analog: whether each stage (stem, every layer, end) may be analog instead of spiking.
    """

    dimension: int
    layers: int
    candidates: tuple[str, ...]
    nodes: int = 3
    edges: int = 2
    levels: int = LEVELS
    path: tuple[int, ...] = ()
    neurons: tuple[str, ...] = ("lif",)
    analog: bool = False

    def __post_init__(self) -> None:
        """Refuse spaces without a network in them."""
        if self.dimension not in (2, 3):
            raise GenotypeError(f"A part has dimension 2 or 3, got {self.dimension}.")
        if min(self.layers, self.nodes, self.edges) < 1 or not 1 <= self.levels <= LEVELS:
            raise GenotypeError(
                f"A part needs layers, nodes and edges, and 1 to {LEVELS} levels; got {self}."
            )
        for names, known in ((self.candidates, OPS), (self.neurons, NEURONS)):
            unknown = [name for name in names if name not in known]
            if unknown or not names or len(set(names)) != len(names):
                raise GenotypeError(
                    f"Choose different names out of {', '.join(sorted(known))}; got {list(names)}."
                )
        if self.path and (len(self.path) != self.layers or not self._walks(self.path)):
            raise GenotypeError(
                f"A path of {self.layers} layers begins at level 0 or 1, changes by one level at "
                f"most and stays below {self.levels}; got {list(self.path)}."
            )

    @cached_property
    def places(self) -> tuple[tuple[Place, ...], ...]:
        """Cells of each layer, those that can be reached, by level."""
        levels: list[tuple[int, ...]] = [
            (ENTRY,),
            (ENTRY,),
        ]  # of the two inputs of the first layer, both the stem's
        table = []
        for layer in range(self.layers):
            before, previous = levels[-2:]
            row = []
            for level in (self.path[layer],) if self.path else range(self.levels):
                last = tuple(here for here in previous if abs(here - level) <= 1)
                if layer < 2:
                    first: tuple[int, ...] = (ENTRY,)
                else:
                    near = {there for here in last for there in _around(here)}
                    first = tuple(there for there in before if there in near)
                if last:
                    row.append(Place(layer=layer, level=level, previous=last, before=first))
            levels.append(tuple(place.level for place in row))
            table.append(tuple(row))
        return tuple(table)

    @property
    def steps(self) -> Iterator[tuple[int, int, int]]:
        """All ``(layer, from level, to level)`` that a path can go, in the order of the table."""
        for row in self.places:
            for place in row:
                for level in place.previous:
                    yield place.layer, level, place.level

    def sources(self, node: int) -> tuple[str, ...]:
        """Return where edges into a node can start, in order."""
        return (*CELL_INPUTS, *(f"node{n}" for n in range(node)))

    @property
    def pairs(self) -> tuple[tuple[int, str], ...]:
        """All edges of a cell as ``(node, source)``, in order."""
        return tuple((n, source) for n in range(self.nodes) for source in self.sources(n))

    def kept(self, node: int) -> int:
        """Return how many edges a node keeps: all it can have, if these are fewer."""
        return min(self.edges, len(self.sources(node)))

    def paths(self) -> Iterator[tuple[int, ...]]:
        """Yield every path through the trellis."""
        rows = [[place.level for place in row] for row in self.places]
        yield from (path for path in product(*rows) if self._walks(path))

    def _walks(self, path: tuple[int, ...]) -> bool:
        inside = all(0 <= level < self.levels for level in path)
        return inside and all(abs(a - b) <= 1 for a, b in pairwise((ENTRY, *path)))


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """All that is open in a network.

    Attributes:
        name: of the space; genotypes carry it.
        parts: by name, as in a genotype.
    """

    name: str
    parts: Mapping[str, PartSpace]


Space = Callable[[], SearchSpace]
SPACES: dict[str, Space] = {}


def space(function: Space) -> Space:
    """Register a space under its function's name."""
    SPACES[function.__name__] = function
    return function


PUBLISHED = ("skip", "snn_b3", "snn_b5")
"""Candidates of SpikeDHS; at the membrane the last two are the same convolution."""

WIDE = ("skip", "conv1", "conv3", "conv5", "dilated3", "separable3")
"""Candidates that all differ in what they compute."""


@space
def spikedhs() -> SearchSpace:
    """The published space for stereo: two layers of features, four of matching."""
    return SearchSpace(
        name="spikedhs",
        parts={
            "feature": PartSpace(dimension=2, layers=2, candidates=PUBLISHED),
            "matching": PartSpace(dimension=3, layers=4, candidates=PUBLISHED),
        },
    )


@space
def spikedhs_cifar() -> SearchSpace:
    """The published space for CIFAR: eight layers whose path is given."""
    path = (0, 0, 1, 1, 1, 2, 2, 2)
    part = PartSpace(dimension=2, layers=8, candidates=PUBLISHED, path=path)
    return SearchSpace(name="spikedhs_cifar", parts={"feature": part})


@space
def hybrid_stereo() -> SearchSpace:
    """Stereo with operations that differ, each stage spiking or analog."""
    return SearchSpace(
        name="hybrid_stereo",
        parts={
            "feature": PartSpace(dimension=2, layers=2, candidates=WIDE, analog=True),
            "matching": PartSpace(dimension=3, layers=4, candidates=WIDE, analog=True),
        },
    )


@space
def hybrid_images() -> SearchSpace:
    """Images: operations that differ, a searched path of six layers, spiking or analog stages."""
    part = PartSpace(dimension=2, layers=6, candidates=WIDE, levels=3, analog=True)
    return SearchSpace(name="hybrid_images", parts={"feature": part})


@space
def tiny_stereo() -> SearchSpace:
    """A space of seconds, for tests and for trying a change."""
    few = {"nodes": 2, "levels": 2, "candidates": ("skip", "conv3"), "analog": True}
    parts = {
        "feature": PartSpace(dimension=2, layers=1, **few),  # type: ignore[arg-type]
        "matching": PartSpace(dimension=3, layers=2, **few),  # type: ignore[arg-type]
    }
    return SearchSpace(name="tiny_stereo", parts=parts)


@space
def tiny_images() -> SearchSpace:
    """A space of seconds, for tests and for trying a change."""
    part = PartSpace(
        dimension=2, layers=2, nodes=2, levels=2, candidates=("skip", "conv3", "conv1"), analog=True
    )
    return SearchSpace(name="tiny_images", parts={"feature": part})


def _around(level: int) -> tuple[int, int, int]:
    return level - 1, level, level + 1
