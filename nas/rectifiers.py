"""Rectifiers in the place of spiking neurons, for as long as weights learn better without spikes.

Surrogate gradients tell little about weights that hardly anything depends on yet; rectifiers pass
exact ones. The weights that they learn are a beginning for neurons (Rathi et al., ICLR 2020).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nas.neurons.modules import Analog
from nas.relaxed.hybrid import HybridNeuron


@contextmanager
def rectifiers(network: nn.Module) -> Iterator[None]:
    """Let a rectifier stand in for every spiking neuron of a network, at every time step.

    Each is charged as the neuron that it stands for (``nas.rates``). The neurons are in their
    places again afterwards, whatever happens.
    """
    found = list(_spiking(network))
    for parent, name, _ in found:
        rectifier = Analog()
        rectifier.stands_for_spikes = True
        setattr(parent, name, rectifier)
    try:
        yield
    finally:
        for parent, name, neuron in found:
            setattr(parent, name, neuron)


def _spiking(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yield neurons with where they are; of one that chooses between types the whole."""
    for name, child in parent.named_children():
        fires = getattr(child, "emits_spikes", False)
        if fires and not isinstance(child, nn.Identity | HybridNeuron):
            yield parent, name, child
        else:
            yield from _spiking(child)
