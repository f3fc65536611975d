"""DGS between training steps, and the temperatures found written into the genotype."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from nas.cell import CellPath
from nas.dgs import DGS, Choice, search_temperatures, temperature_layers
from nas.genotype import Constant, Dynamics, Genotype, Node, Part
from nas.neurons import Neuron
from nas.synced import average_gradients, rank_and_ranks
from stereo.errors import StereoError

PARTS = {"feature": ("features", ""), "matching": ("matching",)}
"""Attribute of a network under which each part of a genotype is built; "" is the network itself."""


def dgs_round(
    network: nn.Module,
    average: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    halves: Iterable[tuple[Any, Any]],
    dgs: DGS,
) -> dict[str, Choice]:
    """Search the temperatures of a network, and give them to its running average too.

    Args:
        network: in training.
        average: its running average.
        loss: of a network and a batch.
        halves: training and held-out batches.
        dgs: how.

    Returns:
        What was found, by name of the neuron.

    Raises:
        StereoError: the search cannot be made with this network, these batches, or in several
            processes.
    """
    pairs = list(islice(halves, dgs.batches))
    device = next(network.parameters()).device

    def reduce(tensors: Sequence[Tensor]) -> None:
        """Average where the processes can talk: what DGS compares is on the CPU."""
        moved = [tensor.detach().to(device) for tensor in tensors]
        average_gradients(moved)
        for tensor, mean in zip(tensors, moved, strict=True):
            tensor.detach().copy_(mean)

    try:
        found = search_temperatures(
            network, loss, [first for first, _ in pairs], [second for _, second in pairs], dgs,
            reduce=reduce if rank_and_ranks()[1] > 1 else None,
        )  # fmt: skip
    except ValueError as error:
        raise StereoError(f"The temperatures cannot be searched: {error}") from error
    for model in (network, average):
        neurons = temperature_layers(model, dgs.layers)
        for name, choice in found.items():
            neurons[name].set_temperature(choice.after)
            neurons[name].to(device)
    return found


def with_temperatures(genotype: Genotype, network: nn.Module) -> Genotype:
    """Return the genotype with the temperatures that the network's neurons have now.

    Every node of every layer gets its own. A genotype says once how the layers before the cells
    fire and once how the layer behind them does; of several neurons there it gets the mean, while
    the weights of a run hold each one's own.

    Args:
        genotype: what the network was built from.
        network: with a module for each part, which has ``cells`` and ``stem``.
    """
    if all(n.temperature is None for n in network.modules() if isinstance(n, Neuron)):
        return genotype
    parts = {name: _part(part, _module(network, name)) for name, part in genotype.parts.items()}
    return replace(genotype, parts=parts)


def _module(network: nn.Module, part: str) -> nn.Module:
    for name in PARTS.get(part, (part,)):
        module = getattr(network, name, None) if name else network
        if isinstance(module, nn.Module) and isinstance(getattr(module, "cells", None), CellPath):
            return module
    raise StereoError(f"The network has no module for the part {part!r} of its genotype.")


def _part(part: Part, module: nn.Module) -> Part:
    cells = module.cells
    assert isinstance(cells, CellPath)
    layers = tuple(
        tuple(
            _set(_own(node), [built.neuron])
            for node, built in zip(
                part.cell(layer), cell.get_submodule("nodes").children(), strict=True
            )
        )
        for layer, cell in enumerate(cells.cells)
    )
    (stem,), (end,) = part.stages["stem"], part.stages["end"]
    inside = {id(m) for m in cells.modules()}
    before = [m for m in module.get_submodule("stem").modules() if isinstance(m, Neuron)]
    inside |= {id(m) for m in before}
    left_out = getattr(module, "training_only", ())
    behind = [m for name, m in module.named_modules()
              if isinstance(m, Neuron) and id(m) not in inside
              and not name.startswith(tuple(left_out))]  # fmt: skip
    return replace(
        part, dynamics=layers, stem=_set(_own(stem), before), end=_set(_own(end), behind)
    )


def _own(node: Dynamics) -> Dynamics:
    """Return how a node fires, without its edges."""
    if not isinstance(node, Node):
        return node
    return Dynamics(
        neuron=node.neuron,
        decay=node.decay,
        threshold=node.threshold,
        temperature=node.temperature,
        constants=node.constants,
    )


def _set(dynamics: Dynamics, neurons: list[Any]) -> Dynamics:
    """Return the dynamics with the searched temperature of the neurons that have one."""
    found = [n.temperature for n in neurons if isinstance(n, Neuron) and n.temperature is not None]
    if not found:
        return dynamics
    value: Constant
    if len(found) == 1 and found[0].numel() > 1:
        value = tuple(float(v) for v in found[0].flatten())
    else:
        value = fmean(float(v.mean()) for v in found)
    return replace(dynamics, temperature=value)
