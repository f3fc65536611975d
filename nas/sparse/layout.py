"""A decoded network part laid out as work on lists of spikes.

``Layout`` follows ``nas.cell``: the same nodes, cells and paths, with a ``Signal`` in place of a
tensor. What it lays out is done step by step, in order, by ``run``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.cell import Cell, CellPath, Fire
from nas.dims import ConvNorm, level_size
from nas.fused.group_kernels import I64
from nas.fused.threads import share
from nas.neurons.modules import Analog, Neuron
from nas.ops import NoCurrent, Separable
from nas.sparse import list_kernels as lists
from nas.sparse.dense import (
    DenseConvolution,
    DenseResize,
    DenseSum,
    DenseView,
    Linear,
    OverTime,
    Signal,
)
from nas.sparse.edges import currents, repeated, same, table, taps, tiles
from nas.sparse.nodes import NodeWork, Work, fire, sum_currents
from nas.sparse.tables import Arrays, CurrentMap, Size, SpikeMap, Store


class NotSpikingError(ValueError):
    """A node or an operation that does not work on spikes alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ListWork:
    """A resize of a map.

    Attributes:
        kernel: called with table, arrays and tickets.
        table: as in ``list_kernels``.
        values: entries that there is room for.
    """

    kernel: Callable[[I64, Arrays, I64], None]
    table: I64
    values: int

    def run(self, arrays: Arrays) -> None:
        """Write the lists of the present step."""
        share(lambda tickets: self.kernel(self.table, arrays, tickets), self.values)


class Layout:
    """The work of a network in the order in which it is done.

    Attributes:
        store: where everything lies.
        work: of one time step.
        last: after the last of them.
        sums: over time steps; zeros at first, divided by their number before ``last``.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.work: list[Work] = []
        self.last: list[Work] = []
        self.sums: list[CurrentMap] = []

    def add(self, work: Work, *, once: bool) -> None:
        """Add work: of every time step, or after the last."""
        (self.last if once else self.work).append(work)

    def fire(self, module: Fire, *inputs: Signal) -> Signal:
        """Lay out ``Fire.forward``; an analog node is its rectified currents.

        Raises:
            NotSpikingError: a node that neither fires nor rectifies, or an operation without a
                counterpart here.
        """
        neuron, once = module.neuron, inputs[0].once
        ops = [linear(edge) for edge in module.edges]
        carried = [(op, x) for op, x in zip(ops, inputs, strict=True) if op is not None]
        size = _size_after(inputs[0].size, ops[0] or Linear())
        here = [(op, x) for op, x in carried if _size_after(x.size, op) == size]
        coarse = [(op, x) for op, x in carried if _size_after(x.size, op) != size]
        channels = _channels(module, carried)
        rows = [currents(self.store, self.currents(op, x, channels), size) for op, x in coarse]
        flow = sum((op.bias for op, _ in here if op.bias is not None), torch.zeros(channels))
        before = self._analog(here, rows, size, channels)
        edges = rows + self._listed(here)
        work, found = self._node(neuron, size, channels, edges, flow, once=once)
        work.before = before
        self._densely(work, here, rows, size, channels)
        return found

    def fire_currents(
        self, neuron: nn.Module, values: CurrentMap, bias: Tensor | None, *, once: bool
    ) -> Signal:
        """Lay out a neuron, or a rectifier, of currents that other work has written.

        Raises:
            NotSpikingError: it neither fires nor rectifies.
        """
        flow = torch.zeros(values.channels) if bias is None else bias
        edges = [currents(self.store, values, values.size)]
        _, found = self._node(neuron, values.size, values.channels, edges, flow, once=once)
        return found

    def _node(
        self, neuron: nn.Module, size: Size, channels: int, edges: list[I64], flow: Tensor, *,
        once: bool,
    ) -> tuple[NodeWork, Signal]:  # fmt: skip
        """Add a node that fires or rectifies."""
        part: SpikeMap | CurrentMap
        if isinstance(neuron, Neuron) and neuron.emits_spikes:
            work, part = fire(self.store, size, channels, edges, flow, neuron)
        elif isinstance(neuron, Analog):
            work, part = sum_currents(self.store, size, channels, edges, flow, rectifies=True)
        else:
            raise NotSpikingError(f"{type(neuron).__name__} neither fires nor rectifies.")
        self.add(work, once=once)
        return work, Signal((part,), once=once)

    def currents(self, op: Linear, x: Signal, channels: int, *, adds: bool = False) -> CurrentMap:
        """Lay out the currents of an operation by themselves.

        Args:
            op: convolution.
            x: what it reads.
            channels: of the currents.
            adds: whether they are added to what is there, step after step.
        """
        rows: list[I64] = []
        before = self._analog([(op, x)], rows, x.size, channels)
        edges = rows + self._listed([(op, x)])
        work, found = sum_currents(self.store, x.size, channels, edges, op.bias, adds=adds)
        work.before = before
        self.add(work, once=x.once)
        self._densely(work, [(op, x)], rows, x.size, channels)
        return found

    def enter(self, path: CellPath, stage: str, x: Signal) -> Signal:
        """Lay out ``CellPath.enter``: the mean over time steps where a stage runs once."""
        if stage not in path.once or x.once:
            return x
        found = self.store.currents(x.size, x.channels)
        self.add(OverTime(DenseView(x), found), once=False)
        self.sums.append(found)
        return Signal((found,), once=True)

    def cell(self, module: Cell, before: Signal, previous: Signal, size: Size) -> Signal:
        """Lay out ``Cell.forward``."""
        values = {"before": self.resize(before, size), "previous": self.resize(previous, size)}
        for index, (node, sources) in enumerate(zip(module.nodes, module.sources, strict=True)):
            assert isinstance(node, Fire)
            values[f"node{index}"] = self.fire(node, *(values[source] for source in sources))
        parts = tuple(part for name in module.outputs for part in values[name].parts)
        return Signal(parts, once=before.once)

    def path(self, module: CellPath, x: Signal) -> Signal:
        """Lay out ``CellPath.forward``; of images the planes are no axis of space."""
        before = previous = x
        spatial = 3 - module.dimension
        cells = zip(module.cells, module.path, strict=True)
        for layer, (cell, level) in enumerate(cells):
            assert isinstance(cell, Cell)
            before, previous = (self.enter(module, f"layer{layer}", y) for y in (before, previous))
            planes, rows, columns = x.size
            size = (*x.size[:spatial], *level_size((planes, rows, columns)[spatial:], level))
            before, previous = previous, self.cell(cell, before, previous, size)  # type: ignore[arg-type]
        return previous

    def resize(self, x: Signal, size: Size) -> Signal:
        """Lay out ``nas.dims.resize``; planes of images keep their number."""
        if x.size == size:
            return x
        if not x.spikes:
            found = self.store.currents(size, x.channels)
            dimension = 2 if x.size[0] == size[0] and x.size[0] > 1 else 3
            self.add(DenseResize(DenseView(x), found, dimension), once=x.once)
            return Signal((found,), once=x.once)
        while x.size != size and all(a >= b for a, b in zip(x.size, size, strict=True)):
            x = self.pool(x, 2 if x.size[0] != size[0] else 1, 2)
        if x.size == size:
            return x
        return Signal(x.parts, size) if _doubles(x.size, size) else self.repeated(x.parts, size)

    def repeated(self, parts: Sequence[SpikeMap | CurrentMap], size: Size) -> Signal:
        """Lay out the repetition of every spike at all places that it is nearest to."""
        return Signal(tuple(self._repeat(part, size) for part in _maps(parts)))

    def pool(self, x: Signal, factor_z: int, factor: int) -> Signal:
        """Lay out the maximum over places that fall together; the last ones may be fewer."""
        planes, rows, columns = x.size
        size = -(-planes // factor_z), -(-rows // factor), -(-columns // factor)
        return Signal(tuple(self._pool(part, size, factor_z, factor) for part in _maps(x.parts)))

    def _analog(
        self, ops: list[tuple[Linear, Signal]], rows: list[I64], size: Size, channels: int
    ) -> tuple[Work, ...]:
        """Return what computes the currents of analog inputs; add the edge that reads them."""
        dense = tuple(DenseConvolution(op, x) for op, x in ops if not x.spikes)
        if not dense:
            return ()
        found = self.store.currents(size, channels)
        rows.append(currents(self.store, found, size))
        return (DenseSum(dense, found),)

    def _densely(
        self, work: NodeWork, ops: list[tuple[Linear, Signal]], others: list[I64], size: Size,
        channels: int,
    ) -> None:  # fmt: skip
        """Lay out the dense way of listed inputs; spikes that pass as they are stay listed."""
        listed = [(op, x) for op, x in ops if x.spikes]
        dense = tuple(DenseConvolution(op, x) for op, x in listed if op.weight is not None)
        if not dense:
            return
        found = self.store.currents(size, channels)
        rows = self._listed([(op, x) for op, x in listed if op.weight is None])
        work.other = (
            DenseSum(dense, found),
            table([*others, *rows, currents(self.store, found, size)]),
        )

    def _listed(self, ops: list[tuple[Linear, Signal]]) -> list[I64]:
        """Return the edges from lists of spikes."""
        return [row for op, x in ops if x.spikes for row in self._edges(op, x)]

    def _edges(self, op: Linear, signal: Signal) -> list[I64]:
        """Return the edges from each part of a signal."""
        if signal.twice is not None and op.weight is None:
            signal = self.repeated(signal.parts, signal.twice)
        edges, first = [], 0
        for part in _maps(signal.parts):
            last = first + part.channels
            if op.weight is None:
                edges.append(same(part, first))
            elif signal.twice is not None:
                weight = op.weight[:, first:last]
                edges.append(repeated(self.store, part, weight, op.dilation))
            elif op.stride > 1:
                edges.append(tiles(self.store, part, op.weight[:, first:last]))
            else:
                edges.append(taps(self.store, part, op.weight[:, first:last], op.dilation))
            first = last
        return edges

    def _pool(self, source: SpikeMap, size: Size, factor_z: int, factor: int) -> SpikeMap:
        found = self.store.spikes(size, source.channels)
        table = resize_table(source, found)
        table[lists.FACTOR_Z], table[lists.FACTOR] = factor_z, factor
        self.work.append(ListWork(kernel=_run_pool, table=table, values=found.lines * found.slot))
        return found

    def _repeat(self, source: SpikeMap, size: Size) -> SpikeMap:
        found = self.store.spikes(size, source.channels)
        table = resize_table(source, found)
        table[lists.MAPS] = self.store.keep_maps(source.size, size)
        self.work.append(ListWork(kernel=_run_repeat, table=table, values=found.lines * found.slot))
        return found


def linear(module: nn.Module) -> Linear | None:
    """Return what an operation does to spikes; None for nothing.

    Raises:
        NotSpikingError: an operation without a counterpart on lists.
    """
    if isinstance(module, NoCurrent):
        return None
    if isinstance(module, nn.Identity):
        return Linear()
    if isinstance(module, Separable):
        return _separable(module)
    if isinstance(module, ConvNorm):
        conv, norm = module
        assert isinstance(conv, nn.Conv2d | nn.Conv3d)
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
            conv = fuse_conv_bn_eval(conv.eval(), norm.eval())
        return Linear(conv.weight, conv.bias, conv.dilation[0], conv.stride[0])
    raise NotSpikingError(f"{type(module).__name__} has no counterpart on lists of spikes.")


def _separable(module: Separable) -> Linear:
    """Return both halves and the norm as one convolution: between them nothing bends."""
    point, depth, norm = module
    assert isinstance(point, nn.Conv2d | nn.Conv3d)
    assert isinstance(depth, nn.Conv2d | nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = depth.weight * point.weight  # [C, 1, K ...] by [C, C_in, 1 ...]
    return Linear(
        weight * scale.view(-1, *[1] * (weight.ndim - 1)), norm.bias - norm.running_mean * scale
    )


def _size_after(size: Size, op: Linear) -> Size:
    """Return the size of a map after an operation."""
    if op.stride == 1:
        return size
    assert op.weight is not None
    planes = size[0] // op.stride if op.weight.ndim == 5 else size[0]
    return planes, size[1] // op.stride, size[2] // op.stride


def _doubles(there: Size, here: Size) -> bool:
    """Whether every axis of space becomes twice as long, or one less; planes of images stay."""
    doubled = [want in (2 * have, 2 * have - 1) for have, want in zip(there, here, strict=True)]
    return all(doubled[1:]) and (doubled[0] or there[0] == here[0])


def _maps(parts: Sequence[SpikeMap | CurrentMap]) -> list[SpikeMap]:
    """Return the parts of a signal that is spikes."""
    found = [part for part in parts if isinstance(part, SpikeMap)]
    assert len(found) == len(parts)
    return found


def _channels(module: Fire, carried: list[tuple[Linear, Signal]]) -> int:
    """Return the channels of a node."""
    for op, x in carried:
        return x.channels if op.weight is None else op.weight.shape[0]
    return next(edge.outputs for edge in module.edges if isinstance(edge, NoCurrent))


def resize_table(source: SpikeMap, found: SpikeMap) -> I64:
    """Return the table of ``list_kernels`` from one map to another, factors and maps left open."""
    table = np.zeros(lists.RESIZE_FIELDS, np.int64)
    table[lists.FROM_PLACES], table[lists.FROM_COUNTS] = source.places, source.counts
    table[lists.FROM_PLANES], table[lists.FROM_ROWS], table[lists.FROM_COLUMNS] = source.size
    table[lists.CHANNELS] = source.channels
    table[lists.TO_PLACES], table[lists.TO_COUNTS] = found.places, found.counts
    table[lists.TO_PLANES], table[lists.TO_ROWS], table[lists.TO_COLUMNS] = found.size
    return table


def _run_pool(table: I64, arrays: Arrays, tickets: I64) -> None:
    lists.pool(table, arrays.places, arrays.counts, tickets)


def _run_repeat(table: I64, arrays: Arrays, tickets: I64) -> None:
    lists.repeat(table, arrays.places, arrays.counts, arrays.maps, tickets)
