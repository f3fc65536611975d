"""The analog twin of a network: the same layers with rectifiers for neurons, run once.

What a spiking network saves is told by what the same architecture would cost as a conventional
one: no spikes, hence a multiply-accumulate at every synapse, but one time step instead of ``T``.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from energy import EnergyReport
from nas.genotype import Dynamics, Genotype, Node, Part
from nas.neurons.modules import Analog
from nas.rates import Paid
from stereo.config import StereoConfig, load_genotype
from stereo.network import HybridStereo

RECTIFIER = "relu"
"""Name of the twin's neuron in ``nas.neurons.NEURONS``."""


@runtime_checkable
class Builds(Protocol):
    """What builds networks, such as a task."""

    def network(self, genotype: Genotype | None = None) -> nn.Module:
        """Return a fresh network."""
        ...


def analog_twin(network: HybridStereo) -> HybridStereo:
    """Return a copy whose spiking nodes are rectifiers and which runs for one time step.

    Layers, widths and weights are those of ``network``, batch norms folded or not; nothing is drawn
    at random and ``network`` is not touched. Nodes that are analog already stay as they are. The
    twin takes its input as analog even where the encoding is binary: what it sees is a mean over
    time (``one_step``).

    The weights were trained for spikes, so the twin's estimates mean nothing. Its cost means
    something all the same, because dense work depends on sizes alone and not on values.
    """
    twin = copy.deepcopy(network)
    spiking = [
        name for name, module in twin.named_modules() if getattr(module, "emits_spikes", False)
    ]
    for name in spiking:
        module = twin.get_submodule(name)
        silent = nn.Identity() if isinstance(module, nn.Identity) else _rectifier()
        silent.train(module.training)
        twin.set_submodule(name, silent)
    twin.config = replace(network.config, encoding=replace(network.config.encoding, steps=1))
    twin.genotype = analog_genotype(network.genotype)
    return twin


def analog_genotype(genotype: Genotype) -> Genotype:
    """Return the genotype with a rectifier in place of everything that spikes."""
    return replace(
        genotype,
        parts={name: _analog_part(part) for name, part in genotype.parts.items()},
        provenance={**genotype.provenance, "analog twin": True},
    )


def rectified(network: Any, task: Builds) -> nn.Module:
    """Return a network's twin that has its weights and statistics: what one learns, both know.

    Other than a copy by ``analog_twin`` it takes the network's input as it is, and its mean over
    time where time ends.

    Args:
        network: with a genotype; constants of its neurons have no counterpart in the twin.
        task: builds the twin.
    """
    with torch.random.fork_rng(devices=[]):
        twin = task.network(analog_genotype(network.genotype))
    analog = any(isinstance(module, Analog) for module in network.modules())
    for name, module in twin.named_modules():
        own = network.get_submodule(name)
        if isinstance(module, Analog):
            module.stands_for_spikes = not isinstance(own, Analog)
        elif isinstance(module, Paid):  # the volume of a hybrid may hold analog values for good
            module.stands_for_spikes = not analog
        for key in module._parameters:
            module._parameters[key] = own._parameters[key]
        for key in module._buffers:
            module._buffers[key] = own._buffers[key]
    return twin


def twin_changes(config: StereoConfig, folder: Path) -> dict[str, str]:
    """Return the changes of a configuration that train its network's analog twin from scratch.

    The twin runs once, and what the steps of the network see after one another it sees side by
    side, as channels: no event that the network sees is kept from it.

    Args:
        config: of the network.
        folder: gets the twin's genotype.

    Returns:
        Fields and values, as ``Sections.override`` takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "analog_twin.json"
    analog_genotype(load_genotype(config.network.genotype)).save(path)
    encoding = config.encoding
    return {
        "network.genotype": str(path),
        "encoding.steps": "1",
        "encoding.bins": str(encoding.steps * encoding.bins),
    }


def one_step(x: Float[Tensor, "T B C H W"]) -> Float[Tensor, "1 B C H W"]:
    """Return an input of the network as its twin takes it: the mean over time, as one step."""
    return x.mean(dim=0, keepdim=True)


def twin_cost(report: EnergyReport) -> dict[str, float | None]:
    """Return what the twin of a profiled network costs, without running it.

    Every layer runs once, densely: the dense synapses of one of the network's time steps.

    Returns:
        ``mac`` and ``total_mj`` of one inference; no total where a multiply-accumulate has no
        price.
    """
    mac = sum(layer.dense / (layer.steps or 1) for layer in report.layers)
    price = report.technology.mac_pj
    return {"mac": mac, "total_mj": None if price is None else mac * price * 1e-9}


def beside_twin(report: EnergyReport) -> dict[str, Any]:
    """Return the JSON keys ``analog_twin`` and ``ratio``: its energy over that of the network."""
    twin = twin_cost(report)
    total = twin["total_mj"]
    ratio = total / report.total_mj if total is not None and report.total_mj > 0 else None
    return {"analog_twin": twin, "ratio": ratio}


def _analog_part(part: Part) -> Part:
    nodes: tuple[Node, ...] = tuple(
        replace(node, neuron=RECTIFIER, constants={}) if node.spikes else node
        for node in part.nodes
    )
    dynamics = tuple(tuple(_analog_dynamics(own) for own in layer) for layer in part.dynamics)
    return replace(
        part, nodes=nodes, dynamics=dynamics,
        stem=None if part.stem is None else _analog_dynamics(part.stem),
        end=None if part.end is None else _analog_dynamics(part.end),
    )  # fmt: skip


def _analog_dynamics(own: Dynamics) -> Dynamics:
    return replace(own, neuron=RECTIFIER, constants={}) if own.spikes else own


def _rectifier() -> nn.Module:
    return Dynamics(neuron=RECTIFIER).build()
