"""Synapses that spikes reach while a network learns: energy, with its gradient.

A synaptic operation is a spike that reaches a synapse. What enters a convolution or a linear layer,
summed and times the outputs that each place of it feeds, counts them; so spikes that fall into one
pool cost one, and a spike that five layers read costs five times.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from energy.fans import conv_fan
from nas.rates import Paid, priced

READERS = (nn.Linear, nn.Conv2d, nn.Conv3d)
"""Layers with synapses."""


class Reached:
    """Synapses of a pass, with gradients.

    Attributes:
        counts: that spikes reached, 0-dim, of each layer that ran.
        synapses: that there are in these.
    """

    def __init__(self) -> None:
        self.counts: list[Tensor] = []
        self.synapses = 0.0

    def share(self) -> Tensor | float:
        """Return how many of all synapses were reached, 0-dim in [0, 1]; 0 where none ran."""
        return torch.stack(self.counts).sum() / self.synapses if self.counts else 0.0


@contextmanager
def reached_synapses(network: nn.Module, readers: Iterable[str]) -> Iterator[Reached]:
    """Count the synapses that spikes reach inside the block. All hooks are gone afterwards.

    Values of a network that learns before there are spikes count up to one each.

    Args:
        network: spiking, or with layers that stand for spikes.
        readers: its layers that read spikes (``readers_of_spikes``).
    """
    found = Reached()
    values = any(getattr(module, "stands_for_spikes", False) for module in network.modules())

    last: list[Tensor] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (x,) = inputs
        if not last or last[0] is not x:  # many read the same
            last[:] = x, (x.clamp(max=1) if values else x).sum(dtype=torch.float32)
        outputs = _outputs_per_input(module, x)
        found.counts.append(last[1] * outputs)
        found.synapses += x.numel() * outputs

    with ExitStack() as stack:
        for name in readers:
            module = network.get_submodule(name)
            stack.callback(module.register_forward_pre_hook(count).remove)
        yield found


def readers_of_spikes(network: nn.Module, run: Callable[[], object]) -> tuple[str, ...]:
    """Return the names of the layers that read nothing but spikes that are paid for.

    What a network's input reaches is no matter of training and not among them; neither is what
    reads analog values, all of which cost the same.

    Args:
        network: left as it was.
        run: calls it, on inputs of any content.
    """
    paid = {name for name, _ in priced(network)}
    found: dict[str, bool] = {}

    def emit(module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if isinstance(module, Paid) and bool(output.isnan().any()):
            return output  # made of analog values
        return torch.ones_like(output).requires_grad_()

    def end(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return torch.full_like(output, torch.nan)  # seen by whoever reads any of it

    def read(name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[name] = inputs[0].requires_grad and not bool(inputs[0].isnan().any())

    with ExitStack() as stack, torch.enable_grad():
        for module in network.modules():
            stack.callback(setattr, module, "training", module.training)
        for name, module in network.eval().named_modules():
            if name in paid:
                stack.callback(module.register_forward_hook(emit).remove)
            elif isinstance(module, READERS):
                stack.callback(module.register_forward_pre_hook(partial(read, name)).remove)
                stack.callback(module.register_forward_hook(end).remove)
        run()
    return tuple(name for name, spikes in found.items() if spikes)


def _outputs_per_input(layer: nn.Module, x: Tensor) -> float:
    """Return how many outputs read one place of a layer's input, on the mean over a map."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    assert isinstance(layer, nn.Conv2d | nn.Conv3d)
    assert not isinstance(layer.padding, str)
    axes = zip(
        x.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True
    )
    fans = (
        conv_fan(length, kernel, stride, (pad, pad), dilation).mean()
        for length, kernel, stride, pad, dilation in axes
    )
    return layer.out_channels // layer.groups * float(math.prod(fans))
