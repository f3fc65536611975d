"""Neurons and surrogates: the equation, the fused kernel against it, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.lif import lif_by_scalars

from nas.neurons import LIF, NEURONS, LIFParams, fused_lif, lif_scan, lif_step
from nas.surrogate import SURROGATES, Dspike, heaviside


def test_step_follows_the_equation_by_hand():
    params = LIFParams(decay=0.2, threshold=0.5)
    spikes, state = lif_step(torch.tensor([0.5, 0.6, 0.3]), torch.tensor([0.0, 1.0, 1.0]), params)
    # u = 0.5, 0.8, 0.5: firing is strict, so only the second fires and is reset
    assert spikes.tolist() == [0.0, 1.0, 0.0]
    assert state.tolist() == pytest.approx([0.5, 0.0, 0.5])


def test_state_is_an_argument_and_a_result():
    neuron, x = LIF(), torch.randn(6, 2, 3)
    first, state = neuron.scan(x[:3], None)
    second, _ = neuron.scan(x[3:], state)
    assert torch.equal(torch.cat([first, second]), neuron(x))
    assert torch.equal(neuron(x), neuron(x)), "a module must not remember"


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 6),
    neurons=st.sampled_from([1, 2, 7, 2047, 2048, 2049]),
    decay=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_fused_kernel_equals_the_step_in_a_loop(steps, neurons, decay, seed):
    generator = torch.Generator().manual_seed(seed)
    params = LIFParams(decay=decay, surrogate=Dspike(3.0))
    x = torch.randn(steps, neurons, generator=generator)
    weights = torch.randn(steps, neurons, generator=generator)
    grads = []
    for scan in (lambda y: fused_lif(y, params), lambda y: lif_scan(y, None, params)[0]):
        leaf = x.clone().requires_grad_()
        spikes = scan(leaf)
        (spikes * weights).sum().backward()
        grads.append((spikes.detach(), leaf.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    torch.testing.assert_close(grads[0][1], grads[1][1], rtol=1e-4, atol=1e-5)


def test_fused_kernel_equals_scalars_in_plain_python():
    x = torch.randn(5, 11, generator=torch.Generator().manual_seed(1))
    expected = lif_by_scalars(x.tolist(), decay=0.2, threshold=0.5)
    assert fused_lif(x, LIFParams()).tolist() == expected


@pytest.mark.parametrize("shape", [(0, 2, 3), (3, 0, 4), (1, 1, 1)])
def test_empty_and_single_inputs(shape):
    assert LIF()(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_zero_is_silent_and_all_one_fires_always(value):
    assert torch.equal(LIF()(torch.full((4, 3), value)), torch.full((4, 3), value))


def test_any_memory_order_gives_the_same_spikes():
    x = torch.randn(3, 2, 4, 5, 6)
    expected = LIF()(x)
    for strange in (
        x.movedim(2, -1).contiguous().movedim(-1, 2),
        x.transpose(3, 4).contiguous().transpose(3, 4),
        torch.randn(6, 2, 4, 5, 6)[::2].copy_(x),
        x.transpose(0, 1).contiguous().transpose(0, 1),
    ):
        assert torch.equal(LIF()(strange), expected)


def test_modules_of_spikes_say_so():
    assert LIF.emits_spikes
    built = {name: make(LIFParams()) for name, make in NEURONS.items()}
    assert built
    for name, module in built.items():
        out = module(torch.randn(3, 50))
        binary = bool(((out == 0) | (out == 1)).all())
        assert binary == module.emits_spikes, name


def test_constants_are_checked():
    with pytest.raises(ValueError, match=r"decay .* lies in \[0, 1\], got 1.5"):
        LIFParams(decay=1.5)
    with pytest.raises(ValueError, match="positive temperature, got 0"):
        Dspike(0.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 5.0])
def test_dspike_integrates_to_one_and_is_even(temperature):
    assert SURROGATES["dspike"] is Dspike
    v = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    slope = Dspike(temperature).derivative(v)
    assert float(torch.trapezoid(slope, v)) == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(slope, slope.flip(0))
    peak = temperature / (2 * math.tanh(temperature / 2))
    assert float(slope.max()) == pytest.approx(peak)


def test_heaviside_is_hard_forward_and_soft_backward():
    v = torch.tensor([-0.4, 0.0, 0.2, 0.7], requires_grad=True)
    out = heaviside(v, Dspike(3.0))
    assert out.tolist() == [0.0, 0.0, 1.0, 1.0]
    out.sum().backward()
    assert torch.allclose(v.grad, Dspike(3.0).derivative(v.detach()))
    assert float(v.grad[-1]) == 0.0
