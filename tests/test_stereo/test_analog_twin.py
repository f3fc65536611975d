"""The analog twin: the same layers, other neurons, one step."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from energy import profile
from nas.fold import fold_norms
from nas.genotype import Dynamics
from nas.neurons.modules import Analog
from nas.rates import firing_rates
from stereo.analog_twin import (
    analog_genotype,
    analog_twin,
    beside_twin,
    one_step,
    rectified,
    twin_changes,
)
from stereo.config import load_genotype
from stereo.network import HybridStereo
from stereo.presets import PRESETS


def tiny(neuron="lif", encoding="spikes"):
    """Return a tiny network whose first feature node has another neuron."""
    config = PRESETS["tiny"]().override({"encoding.name": encoding})
    genotype = load_genotype("spikedhs")
    part = genotype.parts["feature"]
    nodes = (replace(part.nodes[0], neuron=neuron), *part.nodes[1:])
    parts = {**genotype.parts, "feature": replace(part, nodes=nodes)}
    return HybridStereo(config, replace(genotype, parts=parts)).eval()


def events(network, steps=2, batch=1, size=(24, 36), seed=0):
    shape = (steps, batch, network.encoding.channels, *size)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def layers(network):
    """Return every layer with weights: name, class and shape of the weight."""
    return [
        (name, type(module), tuple(module.weight.shape))
        for name, module in network.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
    ]


def neurons(network):
    return {n: m for n, m in network.named_modules() if n.endswith("neuron")}


class Builder:
    """Builds networks as a task does."""

    def __init__(self, config):
        self.config = config

    def network(self, genotype=None):
        return HybridStereo(self.config, genotype)


@pytest.mark.parametrize("neuron", ["lif", "plif", "relu"])
def test_a_twin_that_learns_for_its_network(neuron):
    network = tiny(neuron).train()
    state = torch.get_rng_state()
    twin = rectified(network, Builder(network.config))
    assert torch.equal(state, torch.get_rng_state()), "what is drawn later does not depend on it"
    left, right = events(network), events(network, seed=1)
    with firing_rates(network) as own:
        network.scores(left, right)
    with firing_rates(twin) as rates:
        scores = twin.scores(left, right)
    assert not rates, "nothing fires"
    hybrid = neuron == "relu"
    assert rates.spikes.keys() == own.spikes.keys() - ({"volume"} if hybrid else set())
    counts = {name: found.item() for name, found in rates.spikes.items()}
    assert all(0 <= counts[name] <= rates.places[name] for name in counts)
    assert sum(counts.values()) > 0
    (scores.square().mean() + rates.cost(0.0, 1.0)).backward()
    learned = {id(p) for p in twin.parameters()}
    assert learned <= {id(p) for p in network.parameters()}
    assert all((p.grad is not None) == (id(p) in learned) for p in network.parameters())
    statistics = {n: b for n, b in twin.named_buffers() if n.endswith("running_mean")}
    assert all(network.get_buffer(name) is found for name, found in statistics.items())


@pytest.mark.parametrize("prepare", [lambda network: network, fold_norms])
def test_only_neurons_differ(prepare):
    network = prepare(tiny())
    twin = analog_twin(network)
    assert layers(twin) == layers(network)
    assert len(layers(twin)) > 20
    assert neurons(twin).keys() == neurons(network).keys()
    assert all(isinstance(neuron, Analog) for neuron in neurons(twin).values())
    assert not any(getattr(module, "emits_spikes", False) for module in twin.modules())
    state = network.state_dict()
    assert twin.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in twin.state_dict().items())


def test_the_network_is_not_touched():
    network = tiny()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kinds = [type(module) for module in network.modules()]
    config, genotype, random = network.config, network.genotype, torch.random.get_rng_state()
    twin = analog_twin(network)
    with torch.no_grad():
        next(twin.parameters()).add_(1)
    assert [type(module) for module in network.modules()] == kinds
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert (network.config, network.genotype) == (config, genotype)
    assert torch.equal(torch.random.get_rng_state(), random), "nothing is drawn"


def test_config_and_genotype_say_the_same_as_the_twin():
    twin = analog_twin(tiny())
    assert twin.config.encoding.steps == 1
    assert layers(HybridStereo(twin.config, twin.genotype)) == layers(twin)
    assert all(
        node.neuron == "relu" for part in twin.genotype.parts.values() for node in part.nodes
    )
    assert twin.genotype.provenance["analog twin"] is True


def test_neurons_with_parameters_and_analog_nodes():
    learned = tiny("plif")
    assert any("learned" in name for name in learned.state_dict())
    assert not any("learned" in name for name in analog_twin(learned).state_dict())
    hybrid = tiny("relu")
    twin = analog_twin(hybrid)
    assert layers(twin) == layers(hybrid)
    readout = analog_twin(tiny("integrator"))
    kinds = {type(neuron).__name__ for neuron in neurons(readout).values()}
    assert kinds == {"Analog", "Integrator"}, "what does not spike stays as it is"
    node = readout.genotype.parts["feature"].nodes[0]
    assert node.neuron == "integrator"


def test_dynamics_of_single_layers_are_replaced_too():
    genotype = load_genotype("spikedhs")
    part = genotype.parts["feature"]
    own = tuple(
        tuple(Dynamics(neuron="alif", constants={"adaptation": 0.1}) for _ in part.nodes)
        for _ in part.path
    )
    given = replace(genotype, parts={**genotype.parts, "feature": replace(part, dynamics=own)})
    found = analog_genotype(given).parts["feature"].dynamics
    assert {d.neuron for layer in found for d in layer} == {"relu"}
    assert analog_genotype(analog_genotype(given)) == analog_genotype(given)


def test_a_twin_is_trained_with_all_that_the_network_sees(tmp_path):
    genotype = tiny().genotype
    part = replace(genotype.parts["matching"], stem=Dynamics(), end=Dynamics())
    path = tmp_path / "genotype.json"
    replace(genotype, parts={**genotype.parts, "matching": part}).save(path)
    config = PRESETS["tiny"]().override({"network.genotype": str(path), "encoding.bins": "3"})
    twin = config.override(twin_changes(config, tmp_path / "run"))
    assert (twin.encoding.steps, twin.encoding.bins) == (1, config.encoding.steps * 3)
    network = HybridStereo(twin)
    spiking = [n for n, m in network.named_modules() if getattr(m, "emits_spikes", False)]
    assert spiking == ["entry"]
    x = (torch.rand(1, 1, network.encoding.channels, 24, 36) < 0.3).float()
    assert network(x, x).shape == (1, 24, 36)


def test_one_step_is_the_mean_over_time():
    x = torch.stack([torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)])
    assert torch.equal(one_step(x), torch.full((1, 1, 2, 3, 4), 0.5))


@pytest.mark.parametrize("encoding", ["spikes", "voxel"])
def test_its_cost_is_the_dense_work_of_one_step(encoding):
    """Every layer pays its dense synapses of one of the network's steps; values do not matter."""
    network = fold_norms(tiny(encoding=encoding))
    left, right = events(network), events(network, seed=1)
    ours = profile(network, left, right)
    twin = analog_twin(network)
    found = profile(twin, one_step(left), one_step(right))
    assert found.ac == 0
    assert found.steps == 1
    dense = {layer.name: layer.dense for layer in ours.layers if layer.dense}
    assert {layer.name: layer.mac for layer in found.layers if layer.mac} == {
        name: work / ours.steps for name, work in dense.items()
    }
    beside = beside_twin(ours)
    assert beside["analog_twin"] == pytest.approx({"mac": found.mac, "total_mj": found.total_mj})
    assert beside["ratio"] == pytest.approx(found.total_mj / ours.total_mj)
    zeros = torch.zeros_like(one_step(left))
    silent = profile(twin, zeros, zeros)
    assert (silent.mac, silent.total_mj) == (found.mac, found.total_mj)


def test_it_runs_and_is_deterministic():
    network = tiny()
    x = one_step(events(network, batch=2))
    first, second = analog_twin(network)(x, x), analog_twin(network)(x, x)
    assert first.shape == (2, 24, 36)
    assert torch.equal(first, second)
    assert not analog_twin(network).training
    assert analog_twin(network.train()).training
    assert isinstance(analog_twin(network).entry, nn.Identity)
