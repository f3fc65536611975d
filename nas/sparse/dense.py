"""The other way to a node's currents: a dense convolution, where so much fires that it is faster.

oneDNN is called by its name: for a batch of one, torch 2.13 computes most 3-D convolutions by a
slow path of its own.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.dims import resize
from nas.fused.group_kernels import I64
from nas.sparse import list_kernels as lists
from nas.sparse.tables import Arrays, CurrentMap, Size, SpikeMap


@dataclass(frozen=True, eq=False)
class Linear:
    """What an operation does to spikes: a convolution with these weights, or nothing but pass.

    Attributes:
        weight: ``[C_out, C_in, ...]``; None passes spikes on.
        bias: ``[C_out]``.
        dilation: from one tap to the next.
        stride: 1, or the size of the kernel.
    """

    weight: Tensor | None = None
    bias: Tensor | None = None
    dilation: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Signal:
    """Maps of one size whose channels stand side by side.

    Attributes:
        parts: the maps, of spikes or of analog values.
        twice: size that spikes are seen at, each two along every axis; None for their own.
        once: whether they are there once, after the last time step.
    """

    parts: tuple[SpikeMap | CurrentMap, ...]
    twice: Size | None = None
    once: bool = False

    @property
    def size(self) -> Size:
        """Planes, rows and columns that are seen."""
        return self.twice or self.parts[0].size

    @property
    def channels(self) -> int:
        """Of all parts."""
        return sum(part.channels for part in self.parts)

    @property
    def spikes(self) -> bool:
        """Whether all of it is spikes."""
        return all(isinstance(part, SpikeMap) for part in self.parts)


def part_table(part: SpikeMap, channels: int, first: int) -> I64:
    """Return where the spikes of a part of a signal are and where they go, as kernels read it.

    Args:
        part: of a signal.
        channels: of all parts.
        first: of them that is the part's.
    """
    own = part.places, part.counts, part.lines, part.size[2], part.channels
    return np.array([*own, channels, first])


class DenseView:
    """A signal as a dense tensor, made anew at every step.

    Args:
        signal: spikes, analog values, or both.
    """

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self._size = signal.parts[0].size
        self._values = np.zeros((*self._size, signal.channels), np.float32)

    def read(self, arrays: Arrays) -> Tensor:
        """Return ``[planes, rows, columns, C]`` at the signal's own size."""
        values, first = self._values, 0
        for part in self.signal.parts:
            own = values[..., first : first + part.channels]
            if isinstance(part, SpikeMap):
                own[:] = 0
                self._unpack(part, first, arrays)
            else:
                own[:] = part.view(arrays)
            first += part.channels
        return torch.from_numpy(values)

    def _unpack(self, part: SpikeMap, first: int, arrays: Arrays) -> None:
        table = part_table(part, self.signal.channels, first)
        lists.unpack(table, arrays.places, arrays.counts, self._values.reshape(-1))


class DenseConvolution:
    """One operation on a signal, computed densely.

    Args:
        op: without weights, values pass as they are.
        signal: what it reads.
    """

    def __init__(self, op: Linear, signal: Signal) -> None:
        self.op, self.twice, self.view = op, signal.twice, DenseView(signal)
        self._weight = None
        if op.weight is not None:
            layout = torch.channels_last_3d if op.weight.ndim == 5 else torch.channels_last
            self._weight = op.weight.detach().float().contiguous(memory_format=layout)

    def currents(self, arrays: Arrays) -> Tensor:
        """Return ``[planes, rows, columns, C_out]``, without the bias."""
        x = self.view.read(arrays)
        if self._weight is None:
            return x
        found = self._convolved(channels_first(x, self._weight.ndim - 2), self._weight)
        return from_channels_first(found)

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution of ``[N, C, *S]``."""
        axes = weight.ndim - 2
        if self.twice is not None:
            x = F.interpolate(x, size=self.twice[-axes:], mode="nearest")
        op, taps = self.op, weight.shape[2]
        padding = 0 if op.stride > 1 else op.dilation * (taps // 2)
        found: Tensor = torch.ops.aten.mkldnn_convolution(
            x, weight, None, [padding] * axes, [op.stride] * axes, [op.dilation] * axes, 1
        )
        return found


@dataclass(frozen=True, eq=False)
class DenseSum:
    """The sum of some convolutions, written where a node reads currents.

    Attributes:
        convolutions: at least one.
        to: currents of the size of the node.
    """

    convolutions: tuple[DenseConvolution, ...]
    to: CurrentMap

    def run(self, arrays: Arrays) -> None:
        """Write the currents of the present step."""
        target = torch.from_numpy(self.to.view(arrays))
        with torch.no_grad():
            target.copy_(self.convolutions[0].currents(arrays))
            for convolution in self.convolutions[1:]:
                target += convolution.currents(arrays)


@dataclass(frozen=True, eq=False)
class DenseResize:
    """Analog values at another size, as ``nas.dims.resize`` has them.

    Attributes:
        view: what is resized.
        to: where it goes.
        dimension: of space, 2 or 3.
    """

    view: DenseView
    to: CurrentMap
    dimension: int

    def run(self, arrays: Arrays) -> None:
        """Write the values of the present step."""
        x = channels_first(self.view.read(arrays), self.dimension)
        size = self.to.size[3 - self.dimension :]
        torch.from_numpy(self.to.view(arrays)).copy_(from_channels_first(resize(x, size)))


@dataclass(frozen=True, eq=False)
class OverTime:
    """The sum of a signal over time steps, for a stage that runs once, on the mean.

    Attributes:
        view: the signal.
        to: zeros before the first step.
    """

    view: DenseView
    to: CurrentMap

    def run(self, arrays: Arrays) -> None:
        """Add the values of the present step."""
        self.to.view(arrays)[...] += self.view.read(arrays).numpy()


def channels_first(x: Tensor, dimension: int) -> Tensor:
    """Return ``[planes, rows, columns, C]`` as ``[planes, C, H, W]``, or ``[1, C, D, H, W]``."""
    return x.permute(0, 3, 1, 2) if dimension == 2 else x[None].permute(0, 4, 1, 2, 3)


def from_channels_first(x: Tensor) -> Tensor:
    """Return what ``channels_first`` returned as it was."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x[0].permute(1, 2, 3, 0)
