"""Convolutions as shapes: their dense multiply-accumulates, without running or building them.

Sizes are ``(height, width)``, of volumes ``(planes, height, width)``.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

Size = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """One convolution, or several alike.

    Attributes:
        size: of its input.
        inputs: channels in.
        outputs: channels out.
        kernel: taps per axis.
        stride: per axis.
        padding: per axis, on either side.
        dilation: along every axis.
        groups: as in torch.
        transposed: whether it is a transposed one.
        times: how often it runs: cameras, time steps, disparity planes.
    """

    size: Size
    inputs: int
    outputs: int
    kernel: Size
    stride: Size
    padding: Size
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    times: int = 1

    @property
    def out(self) -> Size:
        """Size of the output."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, strict=True)
        if self.transposed:
            return tuple((n - 1) * s - 2 * p + self.dilation * (k - 1) + 1 for n, k, s, p in axes)
        return tuple((n + 2 * p - self.dilation * (k - 1) - 1) // s + 1 for n, k, s, p in axes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, dense, taps on padding left out: the convention of ``energy``."""
        axes = zip(self.size, self.out, self.kernel, self.stride, self.padding, strict=True)
        return self._channels() * prod(self._taps(*axis) for axis in axes)

    @property
    def padded_macs(self) -> int:
        """Multiply-accumulates with the taps on padding, as papers and most tools count."""
        places = self.size if self.transposed else self.out
        return self._channels() * prod(places) * prod(self.kernel)

    def _channels(self) -> int:
        return self.times * self.outputs * self.inputs // self.groups

    def _taps(self, length: int, out: int, kernel: int, stride: int, padding: int) -> int:
        """Count the pairs of an output and a tap that touch the input, along one axis."""
        here, there = (length, out) if self.transposed else (out, length)
        offsets = self.dilation * np.arange(kernel) - padding
        reached = np.add.outer(stride * np.arange(here), offsets)
        return int(((reached >= 0) & (reached < there)).sum())


def conv(
    size: Size,
    channels: tuple[int, int],
    kernel: int,
    stride: int = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    times: int = 1,
    padding: int | None = None,
) -> Convolution:
    """Return a convolution that is equal along all axes and keeps the size at stride 1.

    Args:
        size: of its input.
        channels: in and out.
        kernel: taps along every axis.
        stride: along every axis.
        dilation: along every axis.
        groups: as in torch.
        times: how often it runs.
        padding: half the kernel unless given.
    """
    axes = len(size)
    pad = dilation * (kernel // 2) if padding is None else padding
    return Convolution(
        size=size, inputs=channels[0], outputs=channels[1], kernel=(kernel,) * axes,
        stride=(stride,) * axes, padding=(pad,) * axes, dilation=dilation, groups=groups,
        times=times,
    )  # fmt: skip


def up(size: Size, channels: tuple[int, int], kernel: Size, stride: Size) -> Convolution:
    """Return a transposed convolution of padding 1."""
    return Convolution(
        size=size, inputs=channels[0], outputs=channels[1], kernel=kernel, stride=stride,
        padding=(1,) * len(size), transposed=True,
    )  # fmt: skip
