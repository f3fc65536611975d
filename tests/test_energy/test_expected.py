"""Expected energy: exact at a vertex, linear and differentiable between, refusals."""

import json

import pytest
import torch
from torch import nn

from energy import EnergyError, profile
from energy.expected import ExpectedEnergy


class Fire(nn.Module):
    """A stage that spikes, is analog, or is still undecided."""

    def __init__(self, spiking=1.0, threshold=0.2):
        super().__init__()
        self.spiking, self.threshold, self.firing_rate = spiking, threshold, None

    @property
    def emits_spikes(self):
        return float(self.spiking) > 0

    def forward(self, u):
        spikes, p = (u > self.threshold).float(), torch.as_tensor(self.spiking).detach()
        self.firing_rate = float(spikes.mean())
        return p * spikes + (1 - p) * u.relu()


class Edge(nn.Module):
    """Candidates with their probabilities; only what has one runs."""

    def __init__(self, convs, alphas):
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.set(alphas)

    def set(self, alphas):
        for conv, alpha in zip(self.convs, alphas):
            conv.gate = alpha

    def forward(self, x):
        parts = [float(c.gate) * c(x) for c in self.convs if float(c.gate) > 0]
        return sum(parts)


class Relaxed(nn.Module):
    def __init__(self, alphas, spiking=1.0, cell=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.fire = Fire(spiking)
        self.edge = Edge([nn.Conv2d(4, 4, k, padding=k // 2) for k in (1, 3, 5)], alphas)
        self.edge.gate = cell
        self.after = Fire()
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.head(self.after(self.edge(self.fire(self.stem(x)))))


class Decoded(nn.Module):
    """The same with one candidate."""

    def __init__(self, relaxed, choice):
        super().__init__()
        self.stem, self.fire = relaxed.stem, relaxed.fire
        self.conv = relaxed.edge.convs[choice]
        self.after, self.head = relaxed.after, relaxed.head

    def forward(self, x):
        return self.head(self.after(self.conv(self.fire(self.stem(x)))))


X = torch.randn(3, 1, 9, 11, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("choice", [0, 1, 2])
@pytest.mark.parametrize("spiking", [1.0, 0.0])
def test_at_a_vertex_it_is_the_total_of_the_decoded_network(choice, spiking):
    alphas = [float(n == choice) for n in range(3)]
    relaxed = Relaxed(alphas, spiking)
    meter = ExpectedEnergy()
    meter.measure(relaxed, X)
    report = profile(Decoded(relaxed, choice), X)
    assert float(meter.expected_mj(relaxed)) == pytest.approx(report.total_mj, rel=1e-12)
    assert report.total_mj > 0


def test_between_vertices_probabilities_weigh_energies():
    """The inputs of the candidates are the same at all vertices here, so this is exact."""
    meter, at = ExpectedEnergy(momentum=0.0), []
    for n in range(3):
        relaxed = Relaxed([float(n == k) for k in range(3)])
        meter = ExpectedEnergy()
        meter.measure(relaxed, X)
        head = profile(Decoded(relaxed, n), X)
        at.append(head.total_mj - head.layers[-1].energy_uj / 1e3)
    shares = torch.tensor([0.2, 0.5, 0.3], requires_grad=True)
    relaxed = Relaxed(shares.detach().tolist())
    meter = ExpectedEnergy()
    meter.measure(relaxed, X)
    relaxed.edge.set(shares)
    relaxed.head.gate = 0.0
    expected = meter.expected_mj(relaxed)
    mixed = sum(p * e for p, e in zip(shares.tolist(), at))
    assert float(expected.detach()) == pytest.approx(mixed)
    (slopes,) = torch.autograd.grad(expected, shares)
    stem = profile(Decoded(relaxed, 0), X).layers[0].energy_uj / 1e3
    assert slopes.tolist() == pytest.approx([e - stem for e in at], rel=1e-5)


def test_gates_multiply_along_the_path():
    relaxed = Relaxed([0.5, 0.5, 0.0])
    meter = ExpectedEnergy()
    meter.measure(relaxed, X)
    whole = float(meter.expected_mj(relaxed))
    relaxed.edge.gate = torch.tensor(0.5, requires_grad=True)
    half = meter.expected_mj(relaxed)
    relaxed.edge.gate = 0.0
    rest = float(meter.expected_mj(relaxed))
    assert float(half.detach()) == pytest.approx((whole + rest) / 2)
    assert 0 < rest < whole


def test_the_choice_between_spiking_and_analog_has_a_gradient():
    p = torch.tensor(0.5, requires_grad=True)
    relaxed = Relaxed([0.0, 1.0, 0.0], spiking=0.5)
    meter = ExpectedEnergy()
    meter.measure(relaxed, X)
    relaxed.fire.spiking = p
    expected = meter.expected_mj(relaxed)
    (slope,) = torch.autograd.grad(expected, p)
    assert float(slope) < 0, "spikes are cheaper here"
    conv = profile(Decoded(relaxed, 1), X).layers[1]
    dense = conv.dense * 4.6e-9
    fired = relaxed.fire.firing_rate * conv.dense * 0.9e-9
    assert float(slope) == pytest.approx(fired - dense, rel=1e-6)


def test_counts_are_running_means():
    relaxed = Relaxed([0.0, 1.0, 0.0])
    one, both = ExpectedEnergy(momentum=0.75), []
    for x in (X, 0.1 * X):
        once = ExpectedEnergy()
        once.measure(relaxed, x)
        both.append(float(once.expected_mj(relaxed)))
        one.measure(relaxed, x)
    assert both[0] != both[1]
    assert float(one.expected_mj(relaxed)) == pytest.approx(0.75 * both[0] + 0.25 * both[1])


def test_running_counts_go_on_from_their_state():
    relaxed = Relaxed([0.2, 0.5, 0.3])
    whole, first, second = (ExpectedEnergy(momentum=0.75) for _ in range(3))
    first.measure(relaxed, X)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert float(second.expected_mj(relaxed)) == float(first.expected_mj(relaxed)) > 0
    for meter, xs in ((whole, (X, 0.1 * X)), (second, (0.1 * X,))):
        for x in xs:
            meter.measure(relaxed, x)
    assert second.state_dict() == whole.state_dict()
    assert float(second.expected_mj(relaxed)) != float(first.expected_mj(relaxed))


@pytest.mark.parametrize("state", [{}, {"layers": [{}]}, {"layers": 3}])
def test_running_counts_that_are_none_are_refused(state):
    meter = ExpectedEnergy()
    meter.measure(Relaxed([0.0, 1.0, 0.0]), X)
    before = meter.state_dict()
    with pytest.raises(EnergyError, match="Measure again"):
        meter.load_state_dict(state)
    assert meter.state_dict() == before


def test_refusals():
    relaxed = Relaxed([0.0, 1.0, 0.0])
    meter = ExpectedEnergy()
    with pytest.raises(EnergyError, match="Nothing was measured"):
        meter.expected_mj(relaxed)
    with pytest.raises(EnergyError, match=r"momentum lies in \[0, 1\), got 1"):
        ExpectedEnergy(momentum=1.0)
    meter.measure(relaxed, X)
    relaxed.edge.gate = 1.5
    with pytest.raises(EnergyError, match=r"edge.gate is one probability in \[0, 1\], got 1.5"):
        meter.expected_mj(relaxed)

    class Mute(Fire):
        firing_rate = property(lambda self: None, lambda self, value: None)

    relaxed.edge.gate, relaxed.fire = 1.0, Mute(0.5)
    with pytest.raises(EnergyError, match="must keep the share of their spikes as firing_rate"):
        meter.measure(relaxed, X)
