"""Firing rates of every spiking layer during a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

DEAD, SATURATED = 1e-4, 0.95


@contextmanager
def firing_rates(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the mean output of every neuron run inside the block, by module name.

    The values keep their gradient, so that a loss can pay for spikes. A layer that runs twice
    keeps its last rate. All hooks are gone afterwards.
    """
    rates: dict[str, Tensor] = {}
    handles = []

    def hook(name: str) -> Any:
        def record(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            rates[name] = output.mean()

        return record

    for name, module in network.named_modules():
        if getattr(module, "emits_spikes", False) and not isinstance(module, nn.Identity):
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
