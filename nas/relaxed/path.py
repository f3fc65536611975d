"""The relaxed path: a cell at every place of the trellis, mixed at the membrane.

Where the network of a genotype has one edge, this has all its candidates at once, and where it has
one cell per layer, this has one per place; the currents are weighted by what the architecture says
and added at the membrane, so every node fires once and all signals between nodes are spikes. With
every choice at 0 or 1 it computes what ``nas.cell.CellPath`` of the decoded genotype computes.

Shapes as in ``nas.cell``.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nas.cell import Fire, over_time
from nas.dims import ConvNorm, level_size, resize
from nas.genotype import CELL_INPUTS, Dynamics
from nas.relaxed.architecture import Choices, PartArchitecture
from nas.relaxed.ends import Ends, LevelExit
from nas.relaxed.fan import Fan
from nas.relaxed.hybrid import HybridNeuron, Readout
from nas.relaxed.tied import Key, layers_of, tie
from nas.space import ENTRY, PartSpace, Place, SearchSpace
from nas.temporal import SearchedNeuron

Sizes = Callable[[int, int], int]
"""Channels of the output of a cell, by layer and level."""


class RelaxedCell(nn.Module):
    """The cell at one place of the trellis.

    Args:
        space: of the part.
        place: of the cell.
        channels: of each node.
        width: channels of the cells before it.
        outputs: number of last nodes whose spikes are concatenated.
        portion: of the channels that edges look at.
    """

    def __init__(
        self,
        space: PartSpace,
        place: Place,
        channels: int,
        width: Sizes,
        outputs: int,
        portion: int = 1,
    ) -> None:
        super().__init__()
        self.space, self.place, self.channels, self.outputs = space, place, channels, outputs
        nodes = range(space.nodes)
        fan = partial(
            Fan, space.dimension, outputs=channels, candidates=space.candidates, portion=portion
        )
        self.inputs = nn.ModuleDict()
        for source, levels, back in zip(
            CELL_INPUTS, (place.before, place.previous), (2, 1), strict=True
        ):
            layer = place.layer - back
            self.inputs[source] = nn.ModuleDict(
                {str(level): fan(inputs=width(layer, level), nodes=nodes) for level in levels}
            )
        self.fans = nn.ModuleDict(
            {f"node{n}": fan(inputs=channels, nodes=nodes[n + 1 :]) for n in nodes[:-1]}
        )
        self.neurons = nn.ModuleList(make_neuron(space) for _ in nodes)

    def forward(
        self,
        before: Mapping[int, Tensor],
        previous: Mapping[int, Tensor],
        choices: Choices,
    ) -> Tensor:
        """Return ``[T, B, outputs * channels, *S]`` from inputs of this size, by their level."""
        came_previous, came_before = choices.arrivals[self.place.layer, self.place.level]
        currents: list[Tensor | None] = [None] * self.space.nodes
        steps = next(iter(previous.values())).shape[:2]
        for source, values, came in zip(
            CELL_INPUTS, (before, previous), (came_before, came_previous), strict=True
        ):
            for level, x in values.items():
                fan = self.inputs[source][str(level)]  # type: ignore[index]
                self._add(currents, fan, source, x.flatten(0, 1), choices, came[level])
        spiking = choices.spiking.get(f"layer{self.place.layer}")
        out: list[Tensor] = []
        for n, neuron in enumerate(self.neurons):
            current = currents[n]
            if current is None:  # nothing was drawn that carries a current
                x = next(iter(previous.values()))
                current = x.new_zeros(steps.numel(), self.channels, *x.shape[3:])
            y = current.view(*steps, *current.shape[1:])
            out.append(neuron(y) if spiking is None else neuron(y, spiking))
            if f"node{n}" in self.fans:
                fan = self.fans[f"node{n}"]
                self._add(currents, fan, f"node{n}", out[n].flatten(0, 1), choices, None)
        return torch.cat(out[-self.outputs :], dim=2)

    def _add(
        self,
        currents: list[Tensor | None],
        fan: nn.Module,
        source: str,
        x: Tensor,
        choices: Choices,
        share: Tensor | None,
    ) -> None:
        """Add the currents of all edges that start at one tensor."""
        assert isinstance(fan, Fan)
        readers = [int(n) for n in fan.nodes]
        weights = []
        for n in readers:
            kept = choices.edges[n, source] if share is None else choices.edges[n, source] * share
            weights.append(kept * choices.ops[n, source])
        for n, current in zip(readers, fan(x, weights), strict=True):
            if current is not None:
                total = currents[n]
                currents[n] = current if total is None else total + current


class RelaxedPath(nn.Module):
    """All paths of a part at once; the counterpart of ``nas.cell.CellPath``.

    Args:
        architecture: of the part.
        inputs: channels of the input.
        channels: of a node at level 0.
        outputs: nodes concatenated at the end of a cell.
        computed: how much of it at a time.
    """

    def __init__(
        self,
        architecture: PartArchitecture,
        inputs: int,
        channels: int,
        outputs: int = 3,
        computed: "Computed | None" = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.space = space = architecture.space
        self.computed = computed = computed or Computed()
        outputs = min(outputs, space.nodes)
        self.inputs, self.node_channels, self.outputs = inputs, channels, outputs
        self.cells = nn.ModuleDict()
        for place in (place for row in space.places for place in row):
            nodes = channels * 2**place.level
            cell = RelaxedCell(space, place, nodes, self.width, outputs, computed.portion)
            self.cells[_name(place.layer, place.level)] = cell
        entries = [f"layer{n}_{source}" for n in range(space.layers) for source in CELL_INPUTS]
        entries = ["stem", *entries, "end"] if space.analog else []
        self.readouts = nn.ModuleDict({entry: Readout() for entry in entries})
        self.shared = tie(self._edges()) if computed.shared else nn.ParameterList()

    def width(self, layer: int, level: int) -> int:
        """Return the channels of the output of a cell; of the stem before the first layer."""
        return self.inputs if layer < 0 else self.outputs * self.node_channels * 2**level

    def enter(self, stage: str, x: Any) -> Any:
        """Return what a stage sees of ``x`` ``[T, B, ...]``: its mean where time has ended.

        Args:
            stage: its name; of a layer, with the source's.
            x: a tensor, or what a path returned.
        """
        once = self.architecture.now.once.get(stage.split("_")[0])
        if once is None:
            return x
        readout = self.readouts[stage]
        if isinstance(x, Ends):
            return Ends({level: readout(y, once) for level, y in x.values.items()}, x.shares)
        return readout(x, once)

    def forward(self, x: Tensor) -> Ends:
        """Return the spikes of the cells of the last layer, by level.

        Args:
            x: spikes ``[T, B, inputs, *S]`` at level 0.
        """
        choices = self.architecture.now
        size = tuple(x.shape[3:])
        before: dict[int, Tensor] = {ENTRY: x}
        previous: dict[int, Tensor] = {ENTRY: x}
        for layer, row in enumerate(self.space.places):
            seen = [
                {level: self.enter(f"layer{layer}_{source}", y) for level, y in values.items()}
                for source, values in zip(CELL_INPUTS, (before, previous), strict=True)
            ]
            here = {}
            for place in row:
                if _never(choices, place):
                    continue
                at = level_size(size, place.level)
                came = choices.arrivals[layer, place.level]
                inputs = [
                    {
                        level: over_time(partial(resize, size=at), values[level])
                        for level in levels
                        if level in values and share[level].item() > 0
                    }
                    for values, levels, share in zip(
                        seen, (place.before, place.previous), reversed(came), strict=True
                    )
                ]
                here[place.level] = self._run(self.cells[_name(layer, place.level)], inputs)
            before, previous = previous, here
        last = self.space.layers - 1
        return Ends(previous, {level: choices.reach[last, level] for level in previous})

    def exit(self, outputs: int) -> LevelExit:
        """Return an edge that reads what the path returns, wherever it ends."""
        dimension = self.space.dimension
        levels = {n: ConvNorm(dimension, width, outputs) for n, width in self.end_widths.items()}
        return LevelExit(self.architecture, levels, shared=self.computed.shared)

    @property
    def end_widths(self) -> dict[int, int]:
        """Channels of what the path returns, by the level at which it ends."""
        last = self.space.layers - 1
        return {place.level: self.width(last, place.level) for place in self.space.places[-1]}

    def _edges(self) -> Iterator[tuple[Key, nn.Module]]:
        """Yield the layers of all edges, with what those that never run together have in common."""
        for cell in self.cells.values():
            assert isinstance(cell, RelaxedCell)
            fans = [(s, fan) for s, levels in cell.inputs.items() for fan in levels.values()]  # type: ignore[operator]
            for source, fan in (*fans, *cell.fans.items()):
                for node, mixed in fan.nodes.items():
                    for op in mixed.ops.values():
                        for key, layer in layers_of(op):
                            yield (cell.place.layer, source, node, *key), layer

    def _run(self, cell: nn.Module, inputs: list[dict[int, Tensor]]) -> Tensor:
        choices = self.architecture.now
        if not (self.computed.checkpoints and torch.is_grad_enabled()):
            out: Tensor = cell(*inputs, choices)
            return out
        again = partial(_contexts, cell)
        kept: Tensor = checkpoint(cell, *inputs, choices, use_reentrant=False, context_fn=again)
        return kept


class RelaxedFire(Fire):
    """``Fire`` of a stage that may be spiking or analog.

    Args:
        edges: as of ``Fire``.
        architecture: which says how the stage fires.
        stage: name of the stage.
    """

    def __init__(self, edges: list[nn.Module], architecture: PartArchitecture, stage: str) -> None:
        super().__init__(edges, make_neuron(architecture.space))
        self.stage = stage
        self._decided_by = (architecture,)  # in a tuple: it is not one of this module's parts

    @property
    def architecture(self) -> PartArchitecture:
        """Which says how the stage fires."""
        return self._decided_by[0]

    def fire(self, current: Tensor) -> Tensor:
        """Return what the neuron makes of a current ``[T, B, C, *S]``."""
        spiking = self.architecture.now.spiking.get(self.stage)
        out: Tensor = self.neuron(current) if spiking is None else self.neuron(current, spiking)
        return out


@dataclass(frozen=True, kw_only=True)
class RelaxedPart:
    """Makes the layers of a part that is being searched; the counterpart of ``FixedPart``.

    Attributes:
        architecture: of the part.
        computed: how much of it at a time.
    """

    architecture: PartArchitecture
    computed: "Computed"

    def fire(self, stage: str, edges: list[nn.Module]) -> Fire:
        """Return a node outside the cells."""
        return RelaxedFire(edges, self.architecture, stage)

    def path(self, inputs: int, channels: int, outputs: int = 3) -> RelaxedPath:
        """Return the cells."""
        return RelaxedPath(self.architecture, inputs, channels, outputs, self.computed)


@dataclass(frozen=True, kw_only=True)
class Computed:
    """How much of a relaxed network is computed and kept at a time.

    Attributes:
        sampled: draw every choice anew for each pass and compute only what was drawn; otherwise
            everything is mixed (``PartArchitecture``).
        portion: edges look at every ``portion``-th channel only.
        checkpoints: keep the inputs of cells alone and compute the rest again when going back.
        shared: candidates that never run together share their weights (``nas.relaxed.tied``).
    """

    sampled: bool = False
    portion: int = 1
    checkpoints: bool = False
    shared: bool = False

    def parts(self, space: SearchSpace) -> dict[str, RelaxedPart]:
        """Return what makes the parts of a network, by name."""
        return {
            name: RelaxedPart(
                architecture=PartArchitecture(part, sampled=self.sampled), computed=self
            )
            for name, part in space.parts.items()
        }  # fmt: skip


def make_neuron(space: PartSpace) -> nn.Module:
    """Return the neuron of a node: its type and kind as far as they are not open."""
    if len(space.neurons) > 1:
        neuron: nn.Module = SearchedNeuron(candidates=space.neurons)
    else:
        neuron = Dynamics(neuron=space.neurons[0]).build(space.dimension)
    return HybridNeuron(neuron) if space.analog else neuron


def _never(choices: Choices, place: Place) -> bool:
    """Whether the path is sure not to visit a place."""
    return choices.reach[place.layer, place.level].item() == 0.0


def _name(layer: int, level: int) -> str:
    return f"{layer}_{level}"


def _contexts(cell: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return the contexts of the first and of the second computation of a cell."""
    return nullcontext(), _norms_at_rest(cell)


@contextmanager
def _norms_at_rest(cell: nn.Module) -> Iterator[None]:
    """Leave running statistics alone: they were moved by the first computation."""
    norms = [m for m in cell.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
