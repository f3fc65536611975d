"""Candidate operations of an edge: from the spikes of one node to the current of another.

An operation never fires itself. The currents of a node's edges are added at its membrane, and the
node emits one spike map, so that every signal between nodes is binary.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.dims import CONV, NORM, ConvNorm

OpBuilder = Callable[[int, int, int], nn.Module]
OPS: dict[str, OpBuilder] = {}


def op(name: str) -> Callable[[OpBuilder], OpBuilder]:
    """Register a builder ``(dimension, inputs, outputs) -> module``; refuses a taken name."""

    def register(builder: OpBuilder) -> OpBuilder:
        if name in OPS:
            raise ValueError(f"Operation {name!r} is registered already.")
        OPS[name] = builder
        return builder

    return register


@op("skip")
def skip(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """Pass spikes on as current; from a cell input, whose channels differ, a 3x3 convolution.

    Reference: SpikeDHS, where a skip from a cell input is itself a convolution.
    """
    return nn.Identity() if inputs == outputs else ConvNorm(dimension, inputs, outputs)


@op("snn_b3")
def snn_b3(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """3x3 (or 3x3x3) convolution and norm; searched with surrogate temperature 3."""
    return ConvNorm(dimension, inputs, outputs)


@op("snn_b5")
def snn_b5(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """The same convolution, searched with surrogate temperature 5.

    Mixed at the membrane, the two differ in nothing but the search that found them: the node's own
    temperature shapes the gradient.
    """
    return ConvNorm(dimension, inputs, outputs)


@op("conv1")
def conv1(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """1x1 convolution and norm: channels mixed, places not."""
    return ConvNorm(dimension, inputs, outputs, kernel=1)


@op("conv3")
def conv3(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """3x3 (or 3x3x3) convolution and norm."""
    return ConvNorm(dimension, inputs, outputs)


@op("conv5")
def conv5(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """5x5 (or 5x5x5) convolution and norm."""
    return ConvNorm(dimension, inputs, outputs, kernel=5)


@op("dilated3")
def dilated3(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """3x3 convolution with every second neighbor, and norm: sees as far as 5x5 for a 3x3's cost."""
    return ConvNorm(dimension, inputs, outputs, dilation=2)


@op("separable3")
def separable3(dimension: int, inputs: int, outputs: int) -> nn.Module:
    """1x1 convolution, 3x3 convolution of each channel by itself, and norm.

    The channels are mixed first: the costly half then reads spikes and only accumulates. What is
    between the halves is a current and no spikes, so the second half multiplies.
    """
    return Separable(dimension, inputs, outputs)


@op("none")
def none(_dimension: int, _inputs: int, outputs: int) -> nn.Module:
    """No current: an edge that is not there."""
    return NoCurrent(outputs)


class Separable(nn.Sequential):
    """Pointwise convolution, depthwise 3x3 convolution, norm."""

    def __init__(self, dimension: int, inputs: int, outputs: int) -> None:
        super().__init__(
            CONV[dimension](inputs, outputs, 1, bias=False),
            CONV[dimension](outputs, outputs, 3, padding=1, groups=outputs, bias=False),
            NORM[dimension](outputs),
        )


class NoCurrent(nn.Module):
    """Zeros of the right shape."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros ``[N, outputs, *S]``."""
        return torch.zeros(x.shape[0], self.outputs, *x.shape[2:], dtype=x.dtype, device=x.device)
