"""What is a spike: who made it, and what was done with it since."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from energy import EnergyError, profile
from energy.provenance import Values, join


class Fire(nn.Module):
    emits_spikes = True

    def forward(self, x):
        return (x > 0.6).float()


class Ternary(nn.Module):
    emits_spikes = "ternary"

    def forward(self, x):
        return (x > 0.7).float() - (x < 0.3).float()


class Net(nn.Module):
    """A neuron, something done with its spikes, and a layer that receives them."""

    def __init__(self, between, neuron=None, channels=3):
        super().__init__()
        self.fire, self.between = neuron or Fire(), between
        self.scale = nn.Parameter(torch.rand(3, 1, 1) + 0.5)
        self.conv = nn.Conv2d(channels, 2, 1, bias=False)
        self.seen = None

    def forward(self, x):
        self.seen = self.between(self, self.fire(x))
        return self.conv(self.seen)


X = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
S = Fire()(X)


def row(between, **named):
    model = Net(between, **named)
    report = profile(model, X, samples=1, strict=True)
    (found,) = [layer for layer in report.layers if layer.name == "conv"]
    return found, model.seen


SPIKES = {
    "as they are": lambda m, s: s,
    "moved": lambda m, s: s.permute(0, 1, 3, 2).flip(-1).roll(1, 0).contiguous(),
    "nearest": lambda m, s: F.interpolate(s, scale_factor=2, mode="nearest"),
    "max pool": lambda m, s: F.max_pool2d(s, 2),
    "padded": lambda m, s: F.pad(s, (1, 2, 3, 0)),
    "stacked": lambda m, s: torch.stack([s, s]).flatten(0, 1)[:3],
    "in zeros": lambda m, s: into_zeros(s),
    "both fire": lambda m, s: s * s.flip(-1),
    "with zeros": lambda m, s: s + torch.zeros_like(s),
    "rectified": lambda m, s: F.relu(s),
}


def into_zeros(s):
    wide = s.new_zeros(2, 3, 8, 8)
    wide[:, :, 1:7] = s
    return wide


@pytest.mark.parametrize("name", SPIKES)
def test_spikes_stay_spikes(name):
    found, seen = row(SPIKES[name])
    assert found.mac == 0
    assert found.ac == 2 * int(seen.count_nonzero()) > 0
    assert found.firing_rate == pytest.approx(float(seen.count_nonzero() / seen.numel()))


MULTIPLES = {
    "sum of two": (lambda m, s: s + s.flip(-1), 1.0),
    "sum of three": (lambda m, s: s + s.flip(-1) + s.flip(-2), 1.0),
    "sum over an axis": (lambda m, s: s.sum(0, keepdim=True), 1.0),
    "halved": (lambda m, s: s * 0.5, 0.5),
    "divided": (lambda m, s: s / 4, 0.25),
    "average pool": (lambda m, s: F.avg_pool2d(s, 2), 0.25),
    "mean over time": (lambda m, s: s.mean(0, keepdim=True), 0.5),
    "scaled sum": (lambda m, s: (s + s.flip(-1)) * 0.5, 0.5),
    "difference": (lambda m, s: s - s.flip(-1), 1.0),
    "negative": (lambda m, s: -s, 1.0),
}


@pytest.mark.parametrize("name", MULTIPLES)
def test_counts_and_scaled_spikes_cost_an_accumulate_per_spike(name):
    between, unit = MULTIPLES[name]
    found, seen = row(between)
    assert found.mac == 0
    assert found.ac == 2 * round(float(seen.abs().double().sum() / unit)) > 0


def test_a_factor_per_channel_belongs_to_the_weights():
    found, seen = row(lambda m, s: s * m.scale)
    assert found.mac == 0
    assert found.ac == 2 * int(seen.count_nonzero()) > 0


def test_ternary_spikes_cost_one_each():
    found, seen = row(lambda m, s: s, neuron=Ternary())
    assert seen.min() == -1
    assert found.mac == 0
    assert found.ac == 2 * int(seen.count_nonzero())


ANALOG = {
    "plus a number": lambda m, s: s + 0.5,
    "times an activation": lambda m, s: s * torch.rand_like(s),
    "normalized": lambda m, s: F.layer_norm(s, (8,)),
    "softmax": lambda m, s: s.softmax(1),
    "bilinear": lambda m, s: F.interpolate(s, scale_factor=2, mode="bilinear"),
    "next to analog": lambda m, s: torch.cat([s, torch.rand_like(s)])[:2],
    "different units": lambda m, s: torch.cat([s, 0.5 * s])[:2],
    "uneven windows": lambda m, s: F.adaptive_avg_pool2d(s, (4, 5)),
    "overwritten": lambda m, s: s.clone().exp_(),
    "scaled counts per channel": lambda m, s: (s + s) * m.scale,
}


@pytest.mark.parametrize("name", ANALOG)
def test_other_arithmetic_makes_analog(name):
    found, seen = row(ANALOG[name])
    assert found.ac == 0
    assert found.firing_rate is None
    assert found.mac == 2 * seen.numel()


@pytest.mark.parametrize(
    "values", [0.5 * S, 2 * S, -S, S + 1e-3, torch.full_like(S, torch.nan)], ids=str
)
def test_values_that_contradict_warn_or_raise(values):
    class Liar(nn.Module):
        emits_spikes = True

        def forward(self, x):
            return values.clone()

    model = Net(lambda m, s: s, neuron=Liar())
    assert any("other than" in w for w in profile(model, X).warnings)
    with pytest.raises(EnergyError, match="emits_spikes"):
        profile(model, X, strict=True)


def test_products_of_spikes_cost_where_they_meet():
    class Attention(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, q, k):
            return self.first(q) @ self.second(k).transpose(-1, -2)

    q, k = torch.rand(2, 5, 6), torch.rand(2, 7, 6)
    a, b = Fire()(q), Fire()(k)
    both = profile(Attention(Fire(), Fire()), q, k, samples=1, strict=True)
    assert (both.ac, both.mac) == (int((a @ b.transpose(-1, -2)).sum()), 0)
    left = profile(Attention(Fire(), nn.Identity()), q, k, samples=1, strict=True)
    assert (left.ac, left.mac) == (7 * int(a.sum()), 0)
    right = profile(Attention(nn.Identity(), Fire()), q, k, samples=1, strict=True)
    assert (right.ac, right.mac) == (5 * int(b.sum()), 0)


def test_a_product_of_spikes_is_a_comparison_and_not_a_multiplication():
    report = profile(Net(lambda m, s: s * s.flip(-1)), X, samples=1, strict=True)
    (counts,) = [c for c in report.counts if c.kind == "mul"]
    assert (counts.mul, counts.compare) == (0, X.numel())
    report = profile(Net(lambda m, s: s * m.scale), X, samples=1, strict=True)
    (counts,) = [c for c in report.counts if c.kind == "mul"]
    assert (counts.mul, counts.compare) == (X.numel(), 0)


def test_joined_marks_keep_the_least_that_is_known():
    spikes, counts, zero = Values(), Values(most=3), Values(most=0)
    assert join([spikes, counts]) == counts
    assert join([zero, spikes]) == spikes
    assert join([zero, zero]) == zero
    assert join([spikes, None]) is None
    assert join([]) is None
    assert join([spikes, Values(unit=0.5)]) is None
