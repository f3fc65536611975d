"""The cell: nodes that add currents and fire once. The path: one cell repeated over levels.

Shapes: spikes ``[T, B, C, *S]`` with ``S`` = ``H, W`` or ``D, H, W``; convolutions, which have no
memory, see ``[T*B, C, *S]``.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from nas.dims import level_size, resize
from nas.genotype import Node, Part
from nas.ops import OPS


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer without memory to ``x`` ``[T, B, C, *S]``, all time steps in one batch."""
    y = layer(x.flatten(0, 1))
    return y.view(*x.shape[:2], *y.shape[1:])


class Fire(nn.Module):
    """Sum currents at the membrane, then one neuron: the end of every node and stem layer.

    Args:
        edges: operations, one per input.
        node: neuron and constants; its edges are not read.
        dimension: of the space, 2 or 3.
    """

    def __init__(self, edges: list[nn.Module], node: Node, dimension: int = 2) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.neuron = node.build(dimension)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return ``[T, B, C, *S]`` spikes from one input ``[T, B, C_i, *S]`` per edge.

        Currents of coarser inputs are repeated up to the size of the first: the convolution runs
        where it is cheap.
        """
        current = over_time(self.edges[0], inputs[0])
        size = tuple(current.shape[3:])
        for edge, x in zip(self.edges[1:], inputs[1:], strict=True):
            current = current + over_time(partial(_at_size, edge, size), x)
        return self.neuron(current)  # type: ignore[no-any-return]


def _at_size(edge: nn.Module, size: tuple[int, ...], x: Tensor) -> Tensor:
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
            self.nodes.append(Fire(edges, node, dimension))
            width[f"node{index}"] = channels

    def forward(self, before: Tensor, previous: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return ``[T, B, outputs * channels, *size]`` from two inputs at any resolution."""
        values = {
            name: over_time(lambda x: resize(x, size), value)
            for name, value in (("before", before), ("previous", previous))
        }
        for index, (node, sources) in enumerate(zip(self.nodes, self.sources, strict=True)):
            values[f"node{index}"] = node(*(values[source] for source in sources))
        return torch.cat([values[name] for name in self.outputs], dim=2)


class CellPath(nn.Module):
    """One cell of a genotype repeated along its path through the trellis.

    Level ``l`` has ``channels * 2**l`` channels per node and the size of the input halved ``l``
    times. Both inputs of the first cell are the input of the path.

    Args:
        part: cell and path.
        inputs: channels of the input.
        channels: of a node at level 0 (the published "filter multiplier").
        outputs: nodes concatenated at the end of a cell (the published "block multiplier").
    """

    def __init__(self, part: Part, inputs: int, channels: int, outputs: int = 3) -> None:
        super().__init__()
        self.path = part.path
        before = previous = inputs
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
        for cell, level in zip(self.cells, self.path, strict=True):
            before, previous = previous, cell(before, previous, level_size(size, level))
        return previous
