"""Neurons that remember from call to call, as a stream needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nas.neurons.modules import Neuron


def neurons(network: nn.Module) -> list[Neuron]:
    """Return all neurons with a membrane, in the order of the modules."""
    return [module for module in network.modules() if isinstance(module, Neuron)]


def remember(network: nn.Module, remembers: bool = True) -> None:
    """Let every neuron go on where its last call ended, beginning at rest; or no longer.

    The calls that follow must have one shape, and every neuron one call per call of the network.
    """
    for neuron in neurons(network):
        neuron.remembers, neuron.held = remembers, None


@contextmanager
def set_aside(network: nn.Module) -> Iterator[None]:
    """Begin at rest and remember nothing within; go on from the memory of before afterwards."""
    every = neurons(network)
    before = [(neuron.remembers, neuron.held) for neuron in every]
    remember(network, False)
    try:
        yield
    finally:
        for neuron, (remembers, held) in zip(every, before, strict=True):
            neuron.remembers, neuron.held = remembers, held
