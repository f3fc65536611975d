"""Resizing, folding, firing rates, registries."""

import copy

import pytest
import torch
from torch import nn

from nas.cell import CellPath, Fire
from nas.dims import ConvNorm, level_size, resize
from nas.errors import GenotypeError
from nas.fold import fold_norms
from nas.genotype import Edge, Node, Part
from nas.neurons import LIF
from nas.neurons.modules import Neuron
from nas.ops import OPS, op
from nas.rates import Paid, Rates, firing_rates, unhealthy
from nas.rectifiers import rectifiers
from nas.relaxed.hybrid import HybridNeuron
from nas.temporal import SearchedNeuron

NODE = Node(edges=(Edge(source="previous", op="skip"),))


def test_going_down_keeps_every_spike_visible_and_up_repeats():
    x = torch.zeros(1, 1, 5, 7)
    x[0, 0, 4, 6] = 1
    down = resize(x, level_size((5, 7), 1))
    assert down.shape == (1, 1, 3, 4)
    assert down.nonzero().tolist() == [[0, 0, 2, 3]]
    assert float(resize(down, (5, 7)).sum()) >= 1
    assert resize(x, (5, 7)) is x


def test_an_operation_name_is_taken_once():
    with pytest.raises(ValueError, match="'skip' is registered already"):
        op("skip")(OPS["skip"])


def test_unknown_dimension():
    with pytest.raises(GenotypeError, match="dimension 2 or 3, got 4"):
        ConvNorm(4, 1, 1)


def test_coarse_currents_are_repeated_up():
    fire = Fire([ConvNorm(2, 2, 3), ConvNorm(2, 4, 3)], NODE.build())
    assert fire(torch.rand(2, 1, 2, 8, 9), torch.rand(2, 1, 4, 4, 5)).shape == (2, 1, 3, 8, 9)


def test_folding_keeps_the_function_and_leaves_the_original():
    torch.manual_seed(0)
    net = nn.Sequential(ConvNorm(2, 3, 4), nn.ReLU(), ConvNorm(2, 4, 2, 1))
    for _ in range(20):
        net(torch.randn(8, 3, 6, 6) * 2 + 1)
    net.eval()
    folded, x = fold_norms(net), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 2


def test_rates_are_seen_and_hooks_removed():
    net = nn.Sequential(LIF(), LIF())
    with firing_rates(net) as rates:
        net(torch.ones(2, 3))
    assert {name: float(value) for name, value in rates.items()} == {"0": 1.0, "1": 1.0}
    assert not any(m._forward_hooks for m in net.modules())
    assert unhealthy({"a": 0.0, "b": 1.0, "c": 0.2}) == {"a": "dead", "b": "saturated"}


def test_spikes_are_paid_for_by_layer_or_each_alike():
    """By layer those of small layers cost more; a volume's are paid for, analog values are not."""
    large, small = LIF(), LIF()
    paid, analog = Paid(), Paid()
    volume = torch.tensor([1.0, 0.0, 1.0, 1.0]).requires_grad_()
    net = nn.ModuleList([large, small, paid, analog])
    with firing_rates(net) as rates:
        large(torch.zeros(2, 30))
        small(torch.ones(2, 3))
        paid(volume)
        analog(torch.full((7,), 0.5))
    assert set(rates) == {"0", "1"}
    by_layer, alike = 1.5, 45 / 70
    assert rates.cost(3.0, 0.0).item() == pytest.approx(by_layer)
    assert rates.cost(0.0, 5.0).item() == pytest.approx(alike)
    assert rates.cost(3.0, 5.0).item() == pytest.approx(by_layer + alike)
    assert rates.cost(0.0, 0.0) == 0.0
    assert Rates().cost(1.0, 1.0) == 0.0
    rates.cost(3.0, 7.0).backward()
    assert volume.grad.tolist() == pytest.approx([0.1] * 4)


def test_an_undecided_stage_pays_for_its_spikes_only():
    """A rectifier's values are none, and of a mixture only the neuron fires."""
    undecided, x = HybridNeuron(LIF()), torch.full((2, 5), 2.0)
    for spiking, expected in ((0.0, {}), (0.5, {"neuron": 1.0}), (1.0, {"neuron": 1.0})):
        with firing_rates(undecided) as rates:
            undecided(x, torch.tensor(spiking))
        assert {name: float(value) for name, value in rates.items()} == expected


def test_rectifiers_take_the_place_of_neurons_and_leave_it():
    undecided, searched = HybridNeuron(LIF()), SearchedNeuron()
    net = nn.Sequential(LIF(), nn.Sequential(searched), nn.Identity())
    net.append(undecided)
    x = torch.randn(2, 4, 3)
    before = list(net.named_modules())
    with rectifiers(net):
        assert torch.equal(net[0](x), x.relu())
        assert torch.equal(net[1](x), x.relu())
        assert torch.equal(undecided(x, torch.tensor(0.5)), x.relu())
        assert not any(isinstance(m, Neuron | SearchedNeuron) for m in net.modules())
        with firing_rates(net) as rates:
            net[:2](10 * x)
    assert not rates
    assert {n: float(s) for n, s in rates.spikes.items()}["0"] <= x.numel(), "one each at most"
    assert list(net.named_modules()) == before
    with pytest.raises(RuntimeError, match="stop"), rectifiers(net):
        raise RuntimeError("stop")
    assert list(net.named_modules()) == before


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_edges_run_together_in_training_as_one_by_one(dimension, momentum):
    """Currents, gradients and running statistics are those of every edge by itself."""
    edges = [
        (("before", "conv3"), ("previous", "conv3")),
        (("previous", "conv3"), ("node0", "skip"), ("node0", "conv1")),
        (("previous", "separable3"), ("node1", "conv3"), ("node0", "conv3"), ("before", "none")),
    ]
    nodes = tuple(Node(edges=tuple(Edge(source=s, op=op) for s, op in own)) for own in edges)
    torch.manual_seed(0)
    one = CellPath(Part(dimension=dimension, path=(0, 1), nodes=nodes), 4, 3).double().train()
    for norm in (m for m in one.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        norm.momentum = momentum
    many = copy.deepcopy(one)
    for cell in many.cells:
        cell.training = False  # its modules are in training mode still
    size = (9, 7) if dimension == 2 else (4, 5, 6)
    for _ in range(2):
        x = (torch.rand(2, 3, 4, *size) < 0.4).double()
        outs = [path(x) for path in (one, many)]
        assert outs[0].any()
        torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=1e-12)
        for out in outs:
            (
                out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
            ).sum().backward()
    for (name, a), b in zip(one.named_parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9, msg=name)
    for (name, a), b in zip(one.named_buffers(), many.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)
