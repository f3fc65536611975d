"""Synapses that spikes reach while a network learns: which layers count, and how much."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from energy import profile
from nas.dims import ConvNorm
from nas.neurons.modules import LIF, Analog
from stereo.analog_twin import rectified
from stereo.reach import reached_synapses, readers_of_spikes
from tests.test_stereo.test_analog_twin import Builder, events, tiny


class Layers(nn.Module):
    """Analog values, spikes, analog values: only one layer reads spikes."""

    def __init__(self, kernel=3, stride=1, dilation=1, dimension=2):
        super().__init__()
        self.first, self.fire = ConvNorm(dimension, 2, 3), LIF()
        self.second = ConvNorm(dimension, 3, 4, kernel, stride, dilation)
        self.rectify, self.last = Analog(), ConvNorm(dimension, 4, 2)

    def forward(self, x):
        return self.last(self.rectify(self.second(self.fire(self.first(x)))))


def readers(network, *inputs):
    return readers_of_spikes(network, lambda: network(*inputs))


def of_spikes(report):
    """Layers that read spikes, by the account of energy."""
    return {layer.path: layer for layer in report.counts if layer.sources}


def test_only_what_reads_spikes_counts():
    network, x = Layers().train(), torch.rand(1, 2, 6, 7)
    network.fire.eval()
    assert readers(network, x) == ("second.0",)
    assert network.training
    assert not network.fire.training, "every module is left in its mode"
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert torch.equal(network.second[1].running_mean, torch.zeros(4)), "statistics stay"
    with reached_synapses(network, ()) as reached:
        network(x)
    assert reached.share() == 0.0


@given(
    kernel=st.sampled_from([(1, 1, 1), (3, 1, 1), (5, 1, 1), (3, 2, 1), (3, 3, 1), (3, 1, 2)]),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    dimension=st.sampled_from([2, 3]),
    fires=st.booleans(),
)
def test_where_all_or_nothing_fires_it_is_the_account_of_energy(kernel, size, dimension, fires):
    network = Layers(*kernel, dimension).eval()
    with torch.no_grad():
        network.first[0].weight.zero_()
        network.first[0].bias.fill_(9.0 if fires else -9.0)
    x = torch.rand(1, 2, *((4,) if dimension == 3 else ()), *size)
    with reached_synapses(network, readers(network, x)) as reached:
        network(x)
    layer = next(layer for layer in profile(network, x).counts if layer.path == "second.0")
    assert reached.synapses == pytest.approx(layer.dense)
    assert sum(reached.counts).item() == pytest.approx(layer.ac, rel=1e-5)
    assert reached.share().item() == pytest.approx(float(fires), rel=1e-5)


def test_a_stereo_network_pays_what_its_account_of_energy_says():
    network = tiny()
    left, right = events(network), events(network, seed=1)
    names = readers(network, left, right)
    with reached_synapses(network, names) as reached:
        network(left, right)
    layers = of_spikes(profile(network, left, right))
    first = "features.stem.0.edges.0.0"
    assert set(names) == set(layers) - {first}, "what events reach is nobody's choice"
    exact = sum(layers[name].ac for name in names)
    assert sum(reached.counts).item() == pytest.approx(exact, rel=0.1), "but for borders"
    assert reached.synapses == pytest.approx(sum(layers[name].dense for name in names))
    reached.share().backward()
    fires = [m for m in network.modules() if isinstance(m, ConvNorm)]
    assert any(m[0].weight.grad is not None and m[0].weight.grad.any() for m in fires)


def test_what_reads_analog_values_costs_the_same_whatever_they_are():
    network = tiny("relu")
    names = readers(network, events(network), events(network, seed=1))
    spiking = readers(tiny(), events(network), events(network, seed=1))
    assert isinstance(network.features.cells.cells[0].nodes[0].neuron, Analog)
    analog = set(spiking) - set(names)
    assert analog
    assert set(names) < set(spiking)


def test_rectifiers_pay_for_up_to_one_spike():
    network = tiny().train()
    left, right = events(network), events(network, seed=1)
    names = readers(network, left, right)
    twin = rectified(network, Builder(network.config))
    with reached_synapses(twin, names) as reached:
        twin.scores(left, right)
    assert len(reached.counts) == len(names)
    assert 0 < reached.share().item() <= 1
    large, x = Layers().train(), torch.rand(1, 2, 5, 5)
    large.fire = Analog()
    large.fire.stands_for_spikes = True
    with torch.no_grad():
        large.first[1].bias.fill_(50.0)
    with reached_synapses(large, ("second.0",)) as reached:
        large(x)
    assert reached.share().item() == pytest.approx(1.0)
