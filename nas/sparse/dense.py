"""The other way to a node's currents: a dense convolution, where so much fires that it is faster.

oneDNN is called by its name: for a batch of one, torch 2.13 computes most 3-D convolutions by a
slow path of its own.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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
        parts: the maps.
        twice: size that they are seen at, each spike two along every axis; None for their own.
    """

    parts: tuple[SpikeMap, ...]
    twice: Size | None = None

    @property
    def size(self) -> Size:
        """Planes, rows and columns that are seen."""
        return self.twice or self.parts[0].size

    @property
    def channels(self) -> int:
        """Of all parts."""
        return sum(part.channels for part in self.parts)


class DenseConvolution:
    """One convolution of a signal, computed densely.

    Args:
        op: with weights.
        signal: what it reads.
    """

    def __init__(self, op: Linear, signal: Signal) -> None:
        assert op.weight is not None
        self.op, self.signal = op, signal
        volume = op.weight.ndim == 5
        layout = torch.channels_last_3d if volume else torch.channels_last
        self.weight = op.weight.detach().float().contiguous(memory_format=layout)
        size = signal.parts[0].size
        self.dense = np.zeros((*size, signal.channels), np.float32)
        self.tables: list[I64] = []
        first = 0
        for part in signal.parts:
            self.tables.append(
                np.array([part.places, part.counts, part.lines, size[2], part.channels,
                          signal.channels, first])
            )  # fmt: skip
            first += part.channels

    def currents(self, arrays: Arrays) -> Tensor:
        """Return ``[planes, rows, columns, C_out]``, without the bias."""
        self.dense[:] = 0
        for table in self.tables:
            lists.unpack(table, arrays.places, arrays.counts, self.dense.reshape(-1))
        x = torch.from_numpy(self.dense)
        if self.weight.ndim == 5:
            return self._convolved(x[None].permute(0, 4, 1, 2, 3))[0].permute(1, 2, 3, 0)
        return self._convolved(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def _convolved(self, x: Tensor) -> Tensor:
        """Return the convolution of ``[N, C, *S]``."""
        axes = self.weight.ndim - 2
        if self.signal.twice is not None:
            x = F.interpolate(x, size=self.signal.twice[-axes:], mode="nearest")
        op, taps = self.op, self.weight.shape[2]
        padding = 0 if op.stride > 1 else op.dilation * (taps // 2)
        found: Tensor = torch.ops.aten.mkldnn_convolution(
            x, self.weight, None, [padding] * axes, [op.stride] * axes, [op.dilation] * axes, 1
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
        first = self.to.numbers
        shape = *self.to.size, self.to.channels
        target = torch.from_numpy(arrays.numbers[first : first + int(np.prod(shape))]).view(shape)
        with torch.no_grad():
            target.copy_(self.convolutions[0].currents(arrays))
            for convolution in self.convolutions[1:]:
                target += convolution.currents(arrays)
