"""Cost volumes on lists of spikes, as ``stereo.cost_volume`` has them on tensors."""

from dataclasses import dataclass

import torch

from nas.cell import Fire
from nas.fused.group_kernels import I64
from nas.fused.threads import share
from nas.sparse import list_kernels as lists
from nas.sparse.dense import DenseView, Signal
from nas.sparse.layout import Layout, linear, resize_table
from nas.sparse.tables import Arrays, CurrentMap, Size, SpikeMap
from stereo.cost_volume import coincidence_volume
from stereo.split_volume import SplitConvolution


class CoincidenceWork:
    """The cost volume of one time step: ``stereo.cost_volume.coincidence_volume`` of lists.

    Args:
        features: of both views; the cameras are planes.
        volume: gets the coincidences.
    """

    def __init__(self, features: Signal, volume: SpikeMap) -> None:
        self.volume = volume
        self.tables: list[I64] = []
        first = 0
        for part in features.parts:
            assert isinstance(part, SpikeMap)
            self.tables.append(_coincidence_table(part, volume, first))
            first += part.channels

    def run(self, arrays: Arrays) -> None:
        """Write the lists of the present step, the channels of one part after another's."""
        volume = self.volume
        arrays.counts[volume.counts : volume.counts + volume.lines] = 0
        for table in self.tables:

            def some(tickets: I64, table: I64 = table) -> None:
                lists.coincide(table, arrays.places, arrays.counts, tickets)

            share(some, volume.lines * volume.slot)


class DenseVolume:
    """The cost volume of features that are not all spikes.

    Args:
        features: of both views; the cameras are planes.
        volume: gets their products.
    """

    def __init__(self, features: Signal, volume: CurrentMap) -> None:
        self.view, self.volume = DenseView(features), volume

    def run(self, arrays: Arrays) -> None:
        """Write the products of the present step."""
        views = self.view.read(arrays).permute(0, 3, 1, 2)  # [2, C, h, w]
        left, right = (view[None, None] for view in views)
        found = coincidence_volume(left, right, self.volume.size[0])[0, 0]
        torch.from_numpy(self.volume.view(arrays)).copy_(found.permute(1, 2, 3, 0))


@dataclass(frozen=True, eq=False)
class ConcatenatedCurrents:
    """The first convolution on a concatenation volume, at one time step.

    Attributes:
        view: features of both views; the cameras are planes.
        split: the convolution.
        to: gets its currents.
    """

    view: DenseView
    split: SplitConvolution
    to: CurrentMap

    def run(self, arrays: Arrays) -> None:
        """Write the currents of the present step."""
        left, right = self.view.read(arrays).permute(0, 3, 1, 2)
        self.split.write(left, right, torch.from_numpy(self.to.view(arrays)))


def concatenated(layout: Layout, stem: Fire, features: Signal, planes: int) -> Signal:
    """Lay out the first layer behind a concatenation volume; return what it emits."""
    op = linear(stem.edges[0])
    assert op is not None
    assert op.weight is not None
    size: Size = (planes, *features.size[1:])
    values = layout.store.currents(size, op.weight.shape[0])
    split = SplitConvolution.of(op.weight, planes)
    layout.add(ConcatenatedCurrents(DenseView(features), split, values), once=features.once)
    return layout.fire_currents(stem.neuron, values, op.bias, once=features.once)


def coincidences(layout: Layout, features: Signal, planes: int) -> Signal:
    """Lay out the cost volume; return it."""
    size: Size = (planes, *features.size[1:])
    if features.spikes:
        listed = layout.store.spikes(size, features.channels)
        layout.add(CoincidenceWork(features, listed), once=features.once)
        return Signal((listed,), once=features.once)
    dense = layout.store.currents(size, features.channels)
    layout.add(DenseVolume(features, dense), once=features.once)
    return Signal((dense,), once=features.once)


def _coincidence_table(part: SpikeMap, volume: SpikeMap, first: int) -> I64:
    table = resize_table(part, volume)
    table[lists.FACTOR], table[lists.FACTOR_Z] = first, volume.channels
    return table
