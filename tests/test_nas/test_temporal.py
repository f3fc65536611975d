"""Searched neurons, their schedule and decoding, and the bi-level step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mixture import mixture
from torch import nn

from nas.bilevel import bilevel_step, others
from nas.errors import GenotypeError
from nas.genotype import Dynamics
from nas.neurons import NEURONS, LIFParams
from nas.temporal import (
    CANDIDATES,
    Annealing,
    SearchedNeuron,
    anneal,
    decode,
    replace_searched,
    searched_neurons,
    temporal_parameters,
)

ALL = (*CANDIDATES, "plif")


def searched(shape=(), candidates=ALL, seed=0):
    """Return a searched neuron with constants and logits of its own."""
    torch.manual_seed(seed)
    neuron = SearchedNeuron(candidates=candidates, shape=shape)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.add_(torch.randn_like(parameter))
    return neuron


def plain(neuron):
    """Return the candidates as the slow twin takes them."""
    types = []
    for body in neuron.types.values():
        now = body.constants()
        names = ("decay", "threshold", "current_decay", "adaptation", "adaptation_decay")
        found = {n: getattr(now, n) for n in names if hasattr(now, n)}
        kind = {n: torch.as_tensor(value).item() for n, value in found.items()}
        types.append(kind | {"reset": now.reset, "scale_input": now.scale_input})
    return types


# ---- the mixture


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 9), st.floats(0.1, 3.0))
def test_a_mixture_equals_its_twin(seed, steps, scale):
    neuron = searched(seed=seed).double()
    x = scale * torch.randn(steps, 1, 7, dtype=torch.float64)
    expected = mixture(x[:, 0].numpy(), neuron.weights().tolist(), plain(neuron))
    np.testing.assert_array_equal(neuron(x)[:, 0].detach().numpy(), expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(), (3, 1, 1)])
def test_at_its_vertex_it_is_the_candidate_and_the_decoded_neuron(name, shape):
    neuron = searched(shape)
    assert neuron.decide(name) == name
    x = torch.randn(11, 2, 3, 4, 5)
    body = neuron.types[name]
    spikes, (membrane, _) = neuron.scan(x, None)
    expected, state = body.scan(x, None)
    assert 0 < spikes.mean() < 1
    assert torch.equal(spikes, expected)
    assert torch.equal(membrane, state[0] if isinstance(state, tuple) else state)
    decoded = neuron.decoded()
    assert decoded.neuron == name
    # By the kernel, from numbers as JSON holds them.
    assert torch.equal(Dynamics(**vars(decoded)).build(2)(x), spikes)


def test_the_mixture_lies_between_and_the_decision_ends_it():
    neuron = searched()
    assert neuron.weights().sum().item() == pytest.approx(1)
    assert neuron.entropy() > 0
    heaviest = neuron.candidates[int(neuron.logits.argmax())]
    assert neuron.decide() == heaviest
    assert neuron.weights().max() == 1
    assert neuron.entropy() == 0
    restored = SearchedNeuron(candidates=ALL)
    restored.load_state_dict(neuron.state_dict())
    assert torch.equal(restored.weights(), neuron.weights())


@pytest.mark.parametrize("cut", [0, 1, 5, 8])
def test_a_stream_equals_one_long_sequence(cut):
    neuron = searched((3,))
    x = torch.randn(8, 2, 3)
    whole, _ = neuron.scan(x, None)
    first, state = neuron.scan(x[:cut], None)
    second, _ = neuron.scan(x[cut:], state)
    assert torch.equal(torch.cat([first, second]), whole)


def test_gradients_reach_logits_and_time_constants():
    neuron = searched((3, 1, 1), CANDIDATES)
    neuron(torch.randn(6, 2, 3, 4, 4)).square().sum().backward()
    names = {name for name, _ in neuron.named_parameters()}
    assert {"types.lif.learned.decay.raw", "types.current.learned.current_decay.raw",
            "types.alif.learned.adaptation_decay.raw"} <= names  # fmt: skip
    assert not any(name.startswith("types.if.") for name in names), "it has no leak to learn"
    for name, parameter in neuron.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("candidates", [(), ("lif", "relu"), ("lif", "lif"), ("lif", "what"),
                                        ("integrator",)])  # fmt: skip
def test_candidates_must_be_spiking_types(candidates):
    with pytest.raises(ValueError, match=r"Candidates must be .*choose from \['alif'"):
        SearchedNeuron(candidates=candidates)


def test_empty_and_single_steps():
    neuron = searched()
    assert neuron(torch.zeros(0, 2, 3)).shape == (0, 2, 3)
    assert neuron(torch.zeros(1, 0, 3)).shape == (1, 0, 3)
    assert neuron(torch.zeros(1, 2, 3)).sum() == 0


# ---- schedule, decoding


@given(st.integers(1, 1000), st.floats(0.5, 5), st.floats(0.01, 0.5))
def test_annealing_falls_from_first_to_last(steps, first, last):
    schedule = Annealing(steps=steps, first=first, last=last, entropy=2.0)
    softness = [schedule.softness(step) for step in range(steps)]
    assert softness[0] == pytest.approx(first)
    assert softness == sorted(softness, reverse=True)
    if steps > 1:
        assert softness[-1] == pytest.approx(last)
        assert schedule.entropy_weight(steps - 1) == 2.0
    assert schedule.entropy_weight(0) == 0.0


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), SearchedNeuron(shape=(3,)), nn.Linear(3, 2))


def test_annealing_a_model_sets_the_softness_and_gives_the_entropy():
    net = model()
    added = anneal(net, Annealing(steps=11, entropy=0.5), 10)
    assert net[1].softness == pytest.approx(0.1)
    assert added.item() == pytest.approx(0.5 * np.log(len(CANDIDATES)))
    assert anneal(nn.Linear(1, 1), Annealing(steps=2), 1) == 0.0


def test_a_decoded_model_equals_the_decided_one():
    net = model()
    with torch.no_grad():
        for parameter in temporal_parameters(net):
            parameter.add_(torch.randn_like(parameter))
    found = decode(net)
    x = torch.randn(9, 5, 4)
    decided = net(x)
    replace_searched(net, found)
    assert not searched_neurons(net)
    assert type(net[1]) is type(NEURONS[found["1"].neuron](LIFParams()))
    torch.testing.assert_close(net(x), decided, rtol=0, atol=0)


def test_one_constant_per_neuron_has_no_place_in_a_genotype():
    neuron = SearchedNeuron(candidates=("lif",), shape=(3, 4, 4))
    with pytest.raises(GenotypeError, match="one constant per node or per channel"):
        neuron.decoded()


# ---- the bi-level step


def test_each_half_of_a_step_moves_its_own_and_nothing_else():
    net = model()
    architecture = list(temporal_parameters(net))
    weights = others(net, architecture)
    assert {id(p) for p in architecture} | {id(p) for p in weights} == {
        id(p) for p in net.parameters()
    }
    x, y = torch.randn(6, 8, 4), torch.randint(0, 2, (8,))

    def loss(m, batch):
        return nn.functional.cross_entropy(m(batch[0]).mean(0), batch[1])

    before = [p.detach().clone() for p in weights], [p.detach().clone() for p in architecture]
    still = torch.optim.SGD(weights, lr=0.0)
    bilevel_step(
        net, loss, training=(x, y), held_out=(x, y), weights=still,
        architecture=torch.optim.SGD(architecture, lr=1.0),
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(weights, before[0], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(architecture, before[1], strict=True))
    assert all(p.grad is None for p in net.parameters())


def test_a_loss_that_is_not_finite_moves_nothing():
    net = model()
    architecture = list(temporal_parameters(net))
    optimizers = [torch.optim.SGD(p, lr=1.0) for p in (others(net, architecture), architecture)]
    before = {n: v.clone() for n, v in net.state_dict().items()}
    with pytest.raises(FloatingPointError, match="lower the step sizes"):
        bilevel_step(net, lambda m, b: m(b).sum() * float("nan"), training=torch.ones(2, 1, 4),
                     held_out=torch.ones(2, 1, 4), weights=optimizers[0],
                     architecture=optimizers[1])  # fmt: skip
    assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())
