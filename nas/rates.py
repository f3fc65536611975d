"""Firing rates of every spiking layer during a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nas.relaxed.hybrid import HybridNeuron

DEAD, SATURATED = 1e-4, 0.95


class Paid(nn.Identity):
    """Passes on spikes that no neuron emits but that cost as much, such as a cost volume's.

    Attributes:
        stands_for_spikes: whether what is no spikes becomes spikes when training goes on.
    """

    stands_for_spikes = False


class Rates(dict[str, Tensor]):
    """Mean outputs of layers of neurons, 0-dim, by module name.

    Attributes:
        spikes: how many spikes each of these and each ``Paid`` had, 0-dim with gradients.
        places: how many it could have had, all steps and samples.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spikes: dict[str, Tensor] = {}
        self.places: dict[str, int] = {}

    def cost(self, of_layers: float, of_spikes: float) -> Tensor | float:
        """Return what a loss adds to pay for spikes, with its gradient.

        Args:
            of_layers: weight of the mean of all layers' rates: a spike of a small layer costs more
                than one of a large layer.
            of_spikes: weight of the share of all places that fired: all spikes cost the same.
        """
        cost: Tensor | float = 0.0
        if self and of_layers:
            cost = of_layers * torch.stack([rate.float() for rate in self.values()]).mean()
        if self.spikes and of_spikes:
            spikes = torch.stack(list(self.spikes.values())).sum()
            cost = cost + of_spikes / sum(self.places.values()) * spikes
        return cost


def priced(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules whose spikes, or what stands for them, cost energy, and their names."""
    for name, module in network.named_modules():
        fires = getattr(module, "emits_spikes", False)
        paid = isinstance(module, Paid) or getattr(module, "stands_for_spikes", False)
        if paid or (fires and not isinstance(module, nn.Identity | HybridNeuron)):
            yield name, module


@contextmanager
def firing_rates(network: nn.Module) -> Iterator[Rates]:
    """Collect the mean output of every neuron run inside the block, by module name.

    The values keep their gradient, so that a loss can pay for spikes. A layer that runs twice
    keeps its last rate. Of a stage that may be analog the spiking neuron counts where it runs.
    Values that stand for spikes have no rate, but are spikes to be paid for, each up to one: a
    network whose rectifiers are rarely above zero will rarely fire. All hooks are gone afterwards.
    """
    rates = Rates()
    handles = []

    def hook(name: str) -> Any:
        def record(module: nn.Module, _inputs: object, output: Tensor) -> None:
            if getattr(module, "emits_spikes", False):
                rates[name] = output.mean()
            elif module.stands_for_spikes:
                output = output.clamp(max=1)
            elif not torch.equal(output, output * output):
                return  # analog values
            rates.spikes[name] = output.sum(dtype=torch.float32)
            rates.places[name] = output.numel()

        return record

    for name, module in priced(network):
        handles.append(module.register_forward_hook(hook(name)))
    try:
        yield rates
    finally:
        for handle in handles:
            handle.remove()


def unhealthy(rates: dict[str, float]) -> dict[str, str]:
    """Return the layers that carry no information: ``dead`` or ``saturated``, by name."""
    verdicts = {}
    for name, rate in rates.items():
        if rate < DEAD:
            verdicts[name] = "dead"
        elif rate > SATURATED:
            verdicts[name] = "saturated"
    return verdicts
