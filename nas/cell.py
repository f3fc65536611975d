"""The cell: nodes that add currents and fire once. The path: one cell repeated over levels.

Shapes: spikes ``[T, B, C, *S]`` with ``S`` = ``H, W`` or ``D, H, W``; convolutions, which have no
memory, see ``[T*B, C, *S]``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.dims import ConvNorm, level_size, resize
from nas.genotype import Node, Part
from nas.joint import Edge, currents
from nas.ops import OPS


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer without memory to ``x`` ``[T, B, C, *S]``, all time steps in one batch."""
    y = layer(x.flatten(0, 1))
    return y.view(*x.shape[:2], *y.shape[1:])


class Fire(nn.Module):
    """Sum currents at the membrane, then one neuron: the end of every node and stem layer.

    Args:
        edges: operations, one per input.
        neuron: of the node.
    """

    def __init__(self, edges: list[nn.Module], neuron: nn.Module) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.neuron = neuron

    def forward(self, *inputs: Any) -> Tensor:
        """Return ``[T, B, C, *S]`` spikes from one input ``[T, B, C_i, *S]`` per edge.

        Currents of coarser inputs are repeated up to the size of the first: the convolution runs
        where it is cheap. An input that is no tensor is what a relaxed path returned; its edge
        knows what to do with it.
        """
        current = over_time(self.edges[0], inputs[0])
        size = tuple(current.shape[3:])
        for edge, x in zip(self.edges[1:], inputs[1:], strict=True):
            if isinstance(x, Tensor):
                current = current + over_time(partial(at_size, edge, size), x)
            else:
                current = current + edge(x, size)
        return self.fire(current)

    def fire(self, current: Tensor) -> Tensor:
        """Return what the neuron makes of a current ``[T, B, C, *S]``."""
        return self.neuron(current)  # type: ignore[no-any-return]


def at_size(edge: nn.Module, size: tuple[int, ...], x: Tensor) -> Tensor:
    """Return the current of an edge, repeated up to ``size``."""
    return resize(edge(x), size)


class Cell(nn.Module):
    """A graph of nodes over the outputs of the two cells before it.

    Args:
        nodes: the graph.
        dimension: 2 or 3.
        channels: of each node.
        inputs: channels of ``before`` and of ``previous``.
        outputs: number of last nodes whose spikes are concatenated.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        dimension: int,
        channels: int,
        inputs: tuple[int, int],
        outputs: int,
    ) -> None:
        super().__init__()
        self.sources = [[edge.source for edge in node.edges] for node in nodes]
        self.outputs = [f"node{n}" for n in range(len(nodes))][-outputs:]
        width = {"before": inputs[0], "previous": inputs[1]}
        self.nodes = nn.ModuleList()
        for index, node in enumerate(nodes):
            edges = [OPS[e.op](dimension, width[e.source], channels) for e in node.edges]
            self.nodes.append(Fire(edges, node.build(dimension)))
            width[f"node{index}"] = channels

    def forward(self, before: Tensor, previous: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return ``[T, B, outputs * channels, *size]`` from two inputs at any resolution."""
        values = {
            name: over_time(lambda x: resize(x, size), value)
            for name, value in (("before", before), ("previous", previous))
        }
        if self.training:
            self._fire_together(values)
        else:
            for index, (node, sources) in enumerate(zip(self.nodes, self.sources, strict=True)):
                values[f"node{index}"] = node(*(values[source] for source in sources))
        return torch.cat([values[name] for name in self.outputs], dim=2)

    def _fire_together(self, values: dict[str, Tensor]) -> None:
        """Add what the nodes emit, with the edges that read one tensor run as one.

        In training alone: in inference, which is what is counted, every edge is seen by itself.
        """
        steps = values["before"].shape[:2]
        sums: dict[int, Tensor] = {}
        for source in ("before", "previous", *(f"node{n}" for n in range(len(self.nodes)))):
            if source not in values:
                index = int(source.removeprefix("node"))
                current = sums[index].view(*steps, *sums[index].shape[1:])
                values[source] = self.nodes[index].fire(current)  # type: ignore[operator]
            edges: list[Edge] = [
                (n, edge, None)
                for n, (node, sources) in enumerate(zip(self.nodes, self.sources, strict=True))
                for edge, start in zip(node.edges, sources, strict=True)  # type: ignore[arg-type]
                if start == source
            ]
            if edges:
                for n, current in currents(values[source].flatten(0, 1), edges).items():
                    sums[n] = sums[n] + current if n in sums else current


class CellPath(nn.Module):
    """One cell of a genotype repeated along its path through the trellis.

    Level ``l`` has ``channels * 2**l`` channels per node and the size of the input halved ``l``
    times. Both inputs of the first cell are the input of the path.

    Args:
        part: cell and path.
        inputs: channels of the input.
        channels: of a node at level 0 (the published "filter multiplier").
        outputs: last nodes concatenated at the end of a cell, all if there are fewer (the
            published "block multiplier").
        once: stages that run once, on the mean over time (``stages_run_once``).
    """

    def __init__(
        self,
        part: Part,
        inputs: int,
        channels: int,
        outputs: int = 3,
        once: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.path, self.dimension, self.once = part.path, part.dimension, once
        self.ops = [[edge.op for edge in node.edges] for node in part.nodes]
        before = previous = inputs
        outputs = min(outputs, len(part.nodes))
        self.cells = nn.ModuleList()
        for layer, level in enumerate(part.path):
            width = channels * 2**level
            cell = Cell(part.cell(layer), part.dimension, width, (before, previous), outputs)
            self.cells.append(cell)
            before, previous = previous, outputs * width
        self.out_channels = previous

    def forward(self, x: Tensor) -> Tensor:
        """Return the last cell's spikes ``[T, B, out_channels, *S]`` at the last level's size."""
        size = tuple(x.shape[3:])
        before = previous = x
        for layer, (cell, level) in enumerate(zip(self.cells, self.path, strict=True)):
            before, previous = (self.enter(f"layer{layer}", y) for y in (before, previous))
            before, previous = previous, cell(before, previous, level_size(size, level))
        return previous

    def enter(self, stage: str, x: Tensor) -> Tensor:
        """Return what a stage sees of ``x`` ``[T, B, ...]``: its mean where time has ended."""
        return x.mean(0, keepdim=True) if stage in self.once and x.shape[0] > 1 else x

    def exit(self, outputs: int) -> nn.Module:
        """Return an edge that reads what the path returns."""
        return ConvNorm(self.dimension, self.out_channels, outputs)


@dataclass(frozen=True, kw_only=True)
class FixedPart:
    """Makes the layers of a part as its genotype says.

    Attributes:
        part: of the genotype.
        once: stages that run once, on the mean over time.
    """

    part: Part
    once: frozenset[str] = frozenset()

    def fire(self, stage: str, edges: list[nn.Module]) -> Fire:
        """Return a node outside the cells."""
        (dynamics,) = self.part.stages[stage]
        return Fire(edges, dynamics.build(self.part.dimension))

    def path(self, inputs: int, channels: int, outputs: int = 3) -> CellPath:
        """Return the cells."""
        return CellPath(self.part, inputs, channels, outputs, self.once)


def stages_run_once(parts: Mapping[str, Part]) -> dict[str, frozenset[str]]:
    """Return, by part, the stages that are analog and so are all behind them.

    Nothing there depends on time but through its input, so the mean over time goes in and they run
    once instead of at every step.

    Args:
        parts: in the order in which they run.
    """
    once: dict[str, set[str]] = {name: set() for name in parts}
    stages = [(name, *stage) for name, part in parts.items() for stage in part.stages.items()]
    for name, stage, nodes in reversed(stages):
        if any(node.spikes for node in nodes):
            break
        once[name].add(stage)
    return {name: frozenset(found) for name, found in once.items()}
