"""Surrogates: slopes, integrals, derivatives by the temperature, one hard step."""

import math

import pytest
import torch

from nas.surrogate import SURROGATES, Dspike, Surrogate, Triangle, heaviside, register

V = torch.linspace(-3, 3, 600_001, dtype=torch.float64)


def value(b):
    return torch.tensor(b, dtype=torch.float64)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("b", [0.7, 1.0, 3.0, 5.0])
def test_slopes_are_the_derivative_of_the_soft_step(name, b):
    kind = SURROGATES[name]
    assert float(kind.soft(value(0.0), value(b))) == pytest.approx(0.5)
    difference = (kind.soft(V + 1e-6, value(b)) - kind.soft(V - 1e-6, value(b))) / 2e-6
    slope = kind.slope(V, value(b))
    smooth = (difference - slope).abs() < 1e-4
    assert smooth.float().mean() > 0.9999, "corners may differ, nothing else"
    assert torch.allclose(slope, slope.flip(0))
    assert torch.equal(kind(b).derivative(V), slope)


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("b", [0.7, 3.0])
def test_the_temperature_has_its_derivative(name, b):
    kind = SURROGATES[name]
    difference = (kind.soft(V, value(b + 1e-6)) - kind.soft(V, value(b - 1e-6))) / 2e-6
    close = (difference - kind.by_temperature(V, value(b))).abs() < 1e-4
    assert close.float().mean() > 0.9999


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 5.0])
def test_dspike_integrates_to_one_and_has_its_peak(temperature):
    slope = Dspike(temperature).derivative(V)
    assert float(torch.trapezoid(slope, V)) == pytest.approx(1.0, abs=1e-4)
    peak = temperature / (2 * math.tanh(temperature / 2))
    assert float(slope.max()) == pytest.approx(peak)


def test_heaviside_is_hard_forward_and_soft_backward():
    v = torch.tensor([-0.4, 0.0, 0.2, 0.7], requires_grad=True)
    out = heaviside(v, Dspike(3.0))
    assert out.tolist() == [0.0, 0.0, 1.0, 1.0]
    out.sum().backward()
    assert torch.allclose(v.grad, Dspike(3.0).derivative(v.detach()))
    assert float(v.grad[-1]) == 0.0


def test_a_temperature_per_channel_gets_its_own_gradient():
    b = torch.tensor([[1.0], [4.0]], requires_grad=True)
    v = torch.linspace(-0.4, 0.4, 10).expand(3, 2, 10)
    weight = torch.randn(3, 2, 10)
    (heaviside(v, Dspike(b)) * weight).sum().backward()
    expected = (weight * Dspike.by_temperature(v, b.detach())).sum((0, 2))
    torch.testing.assert_close(b.grad[:, 0], expected)


def test_what_has_no_slope_and_what_exists_is_refused():
    assert all(issubclass(kind, Surrogate) for kind in SURROGATES.values())
    with pytest.raises(ValueError, match="positive temperature, got 0"):
        Dspike(0.0)
    with pytest.raises(ValueError, match="already is a surrogate named 'triangle'"):
        register(Triangle)
