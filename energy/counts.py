"""Counts: what a layer did. Pure integers, no prices.

Per axis, the fan-out of an input position is the number of output positions that read it. A
convolution's fan-out is the product over its axes, so one table per axis counts every spike
exactly, at borders too: taps that fall on padding touch no input and are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from energy.kernels import spike_sums, spike_sums_channels_last

Fan = npt.NDArray[np.int64]


def conv_fan(length: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> Fan:
    """Return ``[length]``: how many outputs of a convolution read each input along one axis.

    Args:
        length: inputs along the axis.
        kernel: taps.
        stride: step between outputs.
        padding: zeros before and after.
        dilation: step between taps.
    """
    outputs = (length + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1
    fan = np.zeros(length, np.int64)
    for tap in range(kernel):
        where = np.arange(max(outputs, 0)) * stride - padding[0] + tap * dilation
        np.add.at(fan, where[(where >= 0) & (where < length)], 1)
    return fan


def transposed_fan(
    length: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int
) -> Fan:
    """Return ``[length]``: how many outputs of a transposed convolution each input is added to."""
    outputs = (length - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    start = np.arange(length) * stride - padding
    fan = np.zeros(length, np.int64)
    for tap in range(kernel):
        where = start + tap * dilation
        fan += (where >= 0) & (where < outputs)
    return fan


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call of a synaptic layer.

    Attributes:
        x: input, ``[N, C, *S]`` for convolutions, ``[..., C]`` for linear layers.
        outputs: output channels that each input element feeds (``C_out / groups``).
        fans: one table per spatial axis; empty for a linear layer.
        shape: of the output, for the report.
    """

    x: Tensor
    outputs: int
    fans: tuple[Fan, ...]
    shape: tuple[int, ...]

    def fan(self) -> Fan:
        """Return ``[P]``, the fan-out of every spatial position, row-major."""
        table = np.ones(1, np.int64)
        for axis in self.fans:
            table = np.multiply.outer(table, axis).reshape(-1)
        return table

    def dense(self) -> int:
        """Return the multiply-accumulates of a dense run without the taps on padding."""
        rows = self.x.numel() // max(1, int(np.prod([f.size for f in self.fans])))
        return self.outputs * rows * int(np.prod([int(f.sum()) for f in self.fans], dtype=object))

    def spikes(self) -> "SpikeCount":
        """Return the non-zero inputs, the accumulates they cause, and how many were not 1."""
        count = count_spikes(self.x, self.fan())
        return SpikeCount(count.spikes, self.outputs * count.events, count.not_binary)


class SpikeCount(NamedTuple):
    """Exact sums over one tensor.

    Attributes:
        spikes: non-zero elements.
        events: their fan-out, summed.
        not_binary: elements other than 0 and 1.
    """

    spikes: int
    events: int
    not_binary: int


def count_spikes(x: Tensor, fan: Fan) -> SpikeCount:
    """Count ``x`` (``[..., *S]`` with ``P`` positions) exactly, in one pass on the CPU."""
    if x.numel() == 0:
        return SpikeCount(0, 0, 0)
    x = x.detach()
    if x.device.type != "cpu":
        return count_spikes_torch(x, fan)
    x = x.float()
    last = x.movedim(1, -1) if x.ndim > 2 else x
    if x.ndim > 2 and not x.is_contiguous() and last.is_contiguous():
        rows = last.reshape(x.shape[0], fan.size, x.shape[1]).numpy()
        return SpikeCount(*map(int, spike_sums_channels_last(rows, fan)))
    return SpikeCount(*map(int, spike_sums(x.reshape(-1, fan.size).contiguous().numpy(), fan)))


def count_spikes_torch(x: Tensor, fan: Fan) -> SpikeCount:
    """Do the same with torch alone, for other devices."""
    rows = x.reshape(-1, fan.size)
    per_position = (rows != 0).sum(dim=0)
    weights = torch.from_numpy(fan).to(rows.device)
    false = ((rows != 0) & (rows != 1)).sum()
    return SpikeCount(int(per_position.sum()), int((per_position * weights).sum()), int(false))


def pair(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return one integer per axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value) * (axes // len(value))
