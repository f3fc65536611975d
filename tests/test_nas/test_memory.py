"""Neurons that remember from call to call."""

import pytest
import torch

from nas.neurons import NEURONS, LIFParams
from nas.neurons.memory import neurons, remember, set_aside

REMEMBERING = sorted(name for name in NEURONS if name != "relu")


def two(name):
    torch.manual_seed(0)
    params = LIFParams(decay=0.8, threshold=0.6)
    between = torch.nn.Linear(50, 40)
    return torch.nn.Sequential(NEURONS[name](params), between, NEURONS[name](params))


@pytest.mark.parametrize("name", REMEMBERING)
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_two_calls_are_one(name, cut):
    network, x = two(name), 1.5 * torch.rand(6, 2, 50)
    whole = network(x)
    remember(network)
    parts = torch.cat([network(x[:cut]), network(x[cut:])])
    torch.testing.assert_close(parts, whole)
    remember(network)
    torch.testing.assert_close(network(x), whole)
    assert not torch.equal(network[0](x), network[0].scan(x, None)[0])
    remember(network, False)
    torch.testing.assert_close(network(x), whole)
    torch.testing.assert_close(network(x), whole)


def fail_within(network, x):
    with set_aside(network):
        network(x)
        raise ZeroDivisionError


@pytest.mark.parametrize("name", REMEMBERING)
def test_what_is_set_aside_comes_back(name):
    network, x = two(name), 1.5 * torch.rand(6, 2, 50)
    whole = network(x)
    remember(network)
    first = network(x[:3])
    with set_aside(network):
        torch.testing.assert_close(network(x), whole)
    torch.testing.assert_close(torch.cat([first, network(x[3:])]), whole)
    with pytest.raises(ZeroDivisionError):
        fail_within(network, x)
    assert all(neuron.remembers and neuron.held is not None for neuron in neurons(network))


def test_nothing_of_it_is_saved():
    network = two("lif")
    before = set(network.state_dict())
    remember(network)
    network(torch.rand(2, 2, 50))
    assert set(network.state_dict()) == before
