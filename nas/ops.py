"""Candidate operations of an edge: from the spikes of one node to the current of another.

An operation never fires itself. The currents of a node's edges are added at its membrane, and the
node emits one spike map, so that every signal between nodes is binary.
"""

from collections.abc import Callable

from torch import nn

from nas.dims import ConvNorm

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
