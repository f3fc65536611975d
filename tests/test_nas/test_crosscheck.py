"""Our neurons beside independent implementations: the same spikes, membranes and gradients.

The peers are SpikingJelly 2, snnTorch 1 and norse 1.1; each is skipped where it is not installed.
The table in nas/README.md, "The same neurons elsewhere", says which constants correspond.

Membranes are those after the reset. In float64 everything is compared. In float32 two
implementations round differently, so a neuron whose spikes would change if its threshold moved by
1e-4 is left out there.
"""

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from nas.neurons import (
    ALIF,
    IF,
    LIF,
    PLIF,
    ALIFParams,
    CurrentLIF,
    CurrentLIFParams,
    Integrator,
    LIFParams,
)
from nas.surrogate import Arctan, Rectangle, Sigmoid, SuperSpike, Triangle

NEURONS = 40
NEAR = 1e-4
STEP_S = 1e-3

# One value per neuron, spread unevenly over the range, as learning would leave them.
DECAYS = torch.sigmoid(torch.linspace(-2.7, 2.9, NEURONS, dtype=torch.float64))
CURRENT_DECAYS = DECAYS.flip(0) ** 1.3
THRESHOLDS = 0.31 + 0.83 * torch.linspace(0, 1, NEURONS, dtype=torch.float64) ** 2


@dataclass(frozen=True)
class Case:
    """A neuron of ours and the same one of a peer.

    Attributes:
        ours: backend to module.
        theirs: input ``[T, B, N]`` to spikes, or None if it never fires, and membranes.
        most: largest input; some equations are equal below it only.
    """

    ours: Callable
    theirs: Callable
    most: float | torch.Tensor = math.inf


def peer(name):
    """Import a module of a peer, or skip; what it warns of while it is imported is its own."""
    try:
        with warnings.catch_warnings():
            # norse compiles functions with TorchScript when it is imported.
            warnings.filterwarnings("ignore", r"`torch\.jit\.script`", DeprecationWarning)
            return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        pytest.skip(f"{name.split('.')[0]} cannot be imported here: {missing}")


def own(kind, params_type=LIFParams, **constants):
    """Return what makes a neuron of ours with the surrogate of all cases."""
    return lambda backend: kind(params_type(surrogate=Sigmoid(4.0), **constants), backend=backend)


# ---- SpikingJelly: d = 1 - 1 / tau


def spikingjelly(make):
    """Return the peer's side of a case; ``make`` takes the modules of neurons and surrogates."""

    def run(x):
        neurons = peer("spikingjelly.activation_based.neuron")
        surrogates = peer("spikingjelly.activation_based.surrogate")
        neuron = make(neurons, surrogates.Sigmoid(4.0))
        neuron.step_mode, neuron.store_v_seq = "m", True
        return neuron.to(x.dtype)(x), neuron.v_seq

    return run


def spikingjelly_readout(x):
    neuron = peer("spikingjelly.activation_based.neuron").NonSpikingLIFNode(2.6)
    return None, torch.stack(neuron(x))


def spikingjelly_cases():
    cases = {}
    for reset, to in (("hard", 0.0), ("soft", None)):
        for detach in (False, True):
            name, how = f"{reset}{' detached' * detach}", {"reset": reset, "detach_reset": detach}
            cases[f"lif {name}"] = Case(
                own(LIF, decay=1 - 1 / 1.7, threshold=0.37, **how),
                spikingjelly(lambda n, s, to=to, d=detach: n.LIFNode(1.7, False, 0.37, to, s, d)),
            )
            cases[f"leaky {name}"] = Case(
                own(LIF, decay=1 - 1 / 3.3, threshold=0.29, scale_input=True, **how),
                spikingjelly(lambda n, s, to=to, d=detach: n.LIFNode(3.3, True, 0.29, to, s, d)),
            )
        cases[f"if {reset}"] = Case(
            own(IF, decay=1.0, threshold=0.83, reset=reset),
            spikingjelly(lambda n, s, to=to: n.IFNode(0.83, to, s)),
        )
        cases[f"plif {reset}"] = Case(
            own(PLIF, decay=1 - 1 / 2.3, threshold=0.41, scale_input=True, reset=reset),
            spikingjelly(lambda n, s, to=to: n.ParametricLIFNode(2.3, True, 0.41, to, s)),
        )
        constants = {"current_decay": 0.43, "decay": 0.71, "threshold": 0.62, "reset": reset}
        cases[f"current {reset}"] = Case(
            own(CurrentLIF, CurrentLIFParams, **constants),
            spikingjelly(lambda n, s, to=to: n.CUBALIFNode(0.43, 0.71, 0.62, to, s)),
        )
    cases["integrator"] = Case(
        own(Integrator, decay=1 - 1 / 2.6, scale_input=True), spikingjelly_readout
    )
    return cases


# ---- snnTorch: d = beta, c = alpha. By default its reset comes with the next step, detached.


def snntorch(kind, reset, delay, **constants):
    """Return the peer's side of a case, step by step; the membrane is its last state."""

    def run(x):
        module, surrogate = peer("snntorch"), peer("snntorch.surrogate")
        given = {name: torch.as_tensor(value, dtype=x.dtype) for name, value in constants.items()}
        neuron = getattr(module, kind)(
            **given, spike_grad=surrogate.sigmoid(4.0), reset_mechanism=reset, reset_delay=delay
        )
        state, spikes, membranes = (torch.zeros_like(x[0]),) * (len(given) - 1), [], []
        for now in x:
            spike, *state = neuron(now, *state)
            membrane = state[-1]
            if delay and reset == "zero":
                membrane = membrane * (1 - spike.detach())
            spikes.append(spike)
            membranes.append(membrane)
        return torch.stack(spikes), torch.stack(membranes)

    return run


def snntorch_cases():
    lif = {"decay": DECAYS, "threshold": THRESHOLDS}
    leaky = {"beta": DECAYS, "threshold": THRESHOLDS}
    synaptic = {"alpha": CURRENT_DECAYS, "beta": DECAYS, "threshold": THRESHOLDS}
    current = lif | {"current_decay": CURRENT_DECAYS}
    # It resets a second time where the first left the membrane above threshold; below these
    # inputs that does not happen.
    most, most_current = (2 - DECAYS) * THRESHOLDS, (2 - DECAYS) * (1 - CURRENT_DECAYS) * THRESHOLDS
    return {
        "lif hard detached": Case(
            own(LIF, **lif, detach_reset=True), snntorch("Leaky", "zero", True, **leaky)
        ),
        "lif hard": Case(own(LIF, **lif), snntorch("Leaky", "zero", False, **leaky)),
        "lif soft": Case(
            own(LIF, **lif, reset="soft"), snntorch("Leaky", "subtract", False, **leaky), most
        ),
        "lif none": Case(own(LIF, **lif, reset="none"), snntorch("Leaky", "none", True, **leaky)),
        "if hard": Case(
            own(IF, decay=1.0, threshold=0.71),
            snntorch("Leaky", "zero", False, beta=1.0, threshold=0.71),
        ),
        "current hard": Case(
            own(CurrentLIF, CurrentLIFParams, **current),
            snntorch("Synaptic", "zero", False, **synaptic),
        ),
        "current soft": Case(
            own(CurrentLIF, CurrentLIFParams, **current, reset="soft"),
            snntorch("Synaptic", "subtract", False, **synaptic), most_current,
        ),
        "integrator": Case(
            own(Integrator, decay=DECAYS),
            lambda x: (None, snntorch("Leaky", "none", True, **leaky)(x)[1]),
        ),
    }  # fmt: skip


# ---- norse: d = 1 - dt / tau_mem, c = 1 - dt / tau_syn; the input is scaled by 1 - d


def norse(module, step, parameters, state, first, lag=False, **constants):
    """Return the peer's side of a case.

    Args:
        module: where the rest is, in ``norse.torch.functional``.
        step: name of the function.
        parameters: name of its constants' type.
        state: name of its state's type.
        first: the state's fields at rest.
        lag: whether it answers one step late.
        constants: its constants; inverse time constants in 1/s.
    """

    def run(x):
        package = peer(f"norse.torch.functional.{module}")
        given = {
            name: value if name == "reset_method" else torch.as_tensor(value, dtype=x.dtype)
            for name, value in constants.items()
        }
        if given.get("reset_method") is not None:
            resets = peer("norse.torch.functional.reset")
            given["reset_method"] = getattr(resets, given["reset_method"])
        if module != "leaky_integrator":
            # Its slope 1 - tanh^2(2 v) is that of our sigmoid with b = 4.
            given |= {"method": "tanh", "alpha": 2.0}
        settings = getattr(package, parameters)(**given)
        rest = {name: torch.zeros_like(x[0]) + value.to(x.dtype) for name, value in first.items()}
        now, outs, membranes = getattr(package, state)(**rest), [], []
        for current in torch.cat([x, torch.zeros_like(x[:1])]) if lag else x:
            out, now = getattr(package, step)(current, now, settings, dt=STEP_S)
            outs.append(out)
            membranes.append(now.v)
        return torch.stack(outs[lag:]), torch.stack(membranes[lag:])

    return run


def norse_cases():
    zero = torch.zeros(())
    mem, syn = (1 - DECAYS) / STEP_S, (1 - CURRENT_DECAYS) / STEP_S
    at_once = 1 / STEP_S
    leaky = {"decay": DECAYS, "threshold": THRESHOLDS, "scale_input": True}
    box = ("lif_box", "lif_box_feed_forward_step", "LIFBoxParameters", "LIFBoxFeedForwardState")
    kept = 0.61
    readout = norse(
        "leaky_integrator", "li_feed_forward_step", "LIParameters", "LIState",
        {"v": zero, "i": zero}, tau_mem_inv=mem, tau_syn_inv=at_once,
    )  # fmt: skip
    return {
        "leaky hard": Case(
            own(LIF, **leaky),
            norse(*box, {"v": zero}, tau_mem_inv=mem, v_th=THRESHOLDS),
        ),
        "leaky soft": Case(
            own(LIF, **leaky, reset="soft"),
            norse(*box, {"v": zero}, tau_mem_inv=mem, v_th=THRESHOLDS,
                  reset_method="reset_subtract"),
        ),
        "if hard": Case(
            own(IF, decay=1.0, threshold=THRESHOLDS),
            norse("iaf", "iaf_feed_forward_step", "IAFParameters", "IAFFeedForwardState",
                  {"v": zero}, v_th=THRESHOLDS),
        ),
        "current hard": Case(
            own(CurrentLIF, CurrentLIFParams, **leaky, current_decay=CURRENT_DECAYS),
            norse("lif", "lif_feed_forward_step", "LIFParameters", "LIFFeedForwardState",
                  {"v": zero, "i": zero}, tau_mem_inv=mem, tau_syn_inv=syn, v_th=THRESHOLDS),
        ),
        # Its threshold decays before it is compared: beta = rho times what a spike adds to it.
        "alif hard": Case(
            own(ALIF, ALIFParams, **leaky, adaptation=kept * 0.83, adaptation_decay=kept),
            norse("lsnn", "lsnn_feed_forward_step", "LSNNParameters", "LSNNFeedForwardState",
                  {"v": zero, "i": zero, "b": THRESHOLDS}, lag=True, tau_mem_inv=mem,
                  tau_syn_inv=at_once, tau_adapt_inv=(1 - kept) / STEP_S, v_th=THRESHOLDS,
                  beta=0.83),
        ),
        "integrator": Case(
            own(Integrator, decay=DECAYS, scale_input=True), lambda x: (None, readout(x)[1])
        ),
    }  # fmt: skip


CASES = {
    f"{name}: {which}": case
    for name, cases in (
        ("spikingjelly", spikingjelly_cases()),
        ("snntorch", snntorch_cases()),
        ("norse", norse_cases()),
    )
    for which, case in cases.items()
}
EVERY = pytest.mark.parametrize("name", CASES)


def current_for(case, steps, seed, dtype=torch.float64):
    """Return a random input ``[T, 3, N]`` that makes neurons fire now and then."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.35 + 0.8 * torch.randn(steps, 3, NEURONS, dtype=torch.float64, generator=generator)
    return x.minimum(torch.as_tensor(case.most, dtype=torch.float64)).to(dtype)


def streamed(neuron, x):
    """Return outputs and membranes of every step."""
    state, outs, membranes = None, [], []
    for now in x:
        out, state = neuron.scan(now[None], state)
        outs.append(out[0])
        membranes.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outs), torch.stack(membranes)


def steady(case, x):
    """Return which neurons fire alike though their threshold moves: [B, N]."""
    if not case.ours("reference").emits_spikes:
        return torch.ones(x.shape[1:], dtype=torch.bool)
    spikes = []
    for by in (-NEAR, NEAR):
        neuron = case.ours("reference")
        neuron.params = replace(neuron.params, threshold=neuron.params.threshold + by)
        spikes.append(neuron(x.double()))
    return (spikes[0] == spikes[1]).all(0)


def test_every_kind_of_neuron_has_a_peer():
    kinds = {type(case.ours("auto")) for case in CASES.values()}
    assert kinds == {LIF, IF, PLIF, ALIF, CurrentLIF, Integrator}
    peers = {name.split(":")[0] for name in CASES}
    assert peers == {"spikingjelly", "snntorch", "norse"}


@EVERY
@pytest.mark.parametrize(("steps", "seed"), [(1, 0), (4, 1), (20, 2), (20, 3)])
def test_same_spikes_and_membrane(name, steps, seed):
    case = CASES[name]
    x = current_for(case, steps, seed)
    ours, membranes = streamed(case.ours("reference"), x)
    spikes, expected = case.theirs(x)
    # What is learned is kept in float32, by them and by us.
    accuracy = {"rtol": 1e-6, "atol": 1e-6} if "plif" in name else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(membranes, expected, **accuracy)
    if spikes is not None:
        assert torch.equal(ours, spikes.double())
        if steps == 20:
            assert 0.02 < ours.mean() < 0.9, "neither silent nor always on"


@EVERY
@pytest.mark.parametrize("seed", [4, 5])
def test_same_spikes_and_membrane_by_the_kernel(name, seed):
    case = CASES[name]
    x = current_for(case, 20, seed, torch.float32)
    alike = steady(case, x)
    assert alike.float().mean() > 0.9
    neuron = case.ours("kernel")
    ours, state = neuron.scan(x, None)
    membrane = state[0] if isinstance(state, tuple) else state
    spikes, expected = case.theirs(x)
    torch.testing.assert_close(membrane[alike], expected[-1][alike], rtol=1e-5, atol=1e-5)
    if spikes is not None:
        assert torch.equal(ours[:, alike], spikes[:, alike])


def gradient(run, x):
    """Return dL/dx of a random sum of the spikes and of the last membrane."""
    generator = torch.Generator().manual_seed(7)
    leaf = x.clone().requires_grad_()
    spikes, last = run(leaf)
    loss = (last * torch.randn(last.shape, dtype=torch.float64, generator=generator)).sum()
    if spikes is not None:
        weight = torch.randn(spikes.shape, dtype=torch.float64, generator=generator)
        loss = loss + (spikes * weight).sum()
    (grad,) = torch.autograd.grad(loss, leaf)
    return grad


def by_ours(case, backend):
    """Return what ``gradient`` differentiates of a neuron of ours."""
    neuron = case.ours(backend)

    def run(x):
        out, state = neuron.scan(x, None)
        membrane = state[0] if isinstance(state, tuple) else state
        return (out if neuron.emits_spikes else None), membrane

    return run


def by_theirs(case):
    """Return what ``gradient`` differentiates of a peer."""

    def run(x):
        spikes, membranes = case.theirs(x)
        return spikes, membranes[-1]

    return run


@EVERY
@pytest.mark.parametrize("seed", [0, 1])
def test_same_gradient_of_the_input(name, seed):
    case = CASES[name]
    x = current_for(case, 12, seed)
    ours, theirs = gradient(by_ours(case, "reference"), x), gradient(by_theirs(case), x)
    # The spikes of snnTorch are float32 whatever its input is, and so are gradients on their way.
    single = "plif" in name or name.startswith("snntorch")
    accuracy = {"rtol": 1e-5, "atol": 1e-6} if single else {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(ours, theirs, **accuracy)


@pytest.mark.parametrize("name", [
    "spikingjelly: lif hard", "spikingjelly: leaky soft detached", "snntorch: lif hard",
    "snntorch: current hard", "norse: alif hard",
])  # fmt: skip
def test_same_gradient_of_the_input_by_the_kernel(name):
    case = CASES[name]
    x = current_for(case, 12, 6, torch.float32)
    alike = steady(case, x)
    assert alike.float().mean() > 0.9
    ours, theirs = gradient(by_ours(case, "kernel"), x), gradient(by_theirs(case), x)
    torch.testing.assert_close(ours[:, alike], theirs[:, alike], rtol=1e-3, atol=1e-4)


# ---- learned constants


def test_snntorch_learns_decay_and_threshold_alike():
    module, surrogate = peer("snntorch"), peer("snntorch.surrogate")
    case = CASES["snntorch: lif hard detached"]
    x = current_for(case, 12, 8)
    weight = torch.randn(x.shape, dtype=torch.float64)
    decay, threshold = DECAYS.clone().requires_grad_(), THRESHOLDS.clone().requires_grad_()
    params = LIFParams(decay=decay, threshold=threshold, surrogate=Sigmoid(4.0), detach_reset=True)
    (LIF(params, backend="reference")(x) * weight).sum().backward()
    neuron = module.Leaky(
        beta=DECAYS.clone(), threshold=THRESHOLDS.clone(), spike_grad=surrogate.sigmoid(4.0),
        learn_beta=True, learn_threshold=True, reset_mechanism="zero",
    )  # fmt: skip
    membrane, loss = torch.zeros_like(x[0]), 0.0
    for now, by in zip(x, weight, strict=True):
        spikes, membrane = neuron(now, membrane)
        loss = loss + (spikes * by).sum()
    loss.backward()
    torch.testing.assert_close(decay.grad, neuron.beta.grad)
    torch.testing.assert_close(threshold.grad, neuron.threshold.grad)
    assert decay.grad.abs().min() > 0


def test_spikingjelly_learns_the_time_constant_alike():
    """Their w is minus our raw: 1 / tau = sigmoid(w), d = 1 - 1 / tau = sigmoid(raw)."""
    neurons = peer("spikingjelly.activation_based.neuron")
    surrogates = peer("spikingjelly.activation_based.surrogate")
    case = CASES["spikingjelly: plif hard"]
    x = current_for(case, 12, 9, torch.float32)
    alike = steady(case, x)
    weight = torch.randn(x.shape) * alike
    found = []
    for backend in ("kernel", "reference"):
        ours = case.ours(backend)
        (ours(x) * weight).sum().backward()
        found.append(ours.learned["decay"].raw.grad)
    theirs = neurons.ParametricLIFNode(2.3, True, 0.41, 0.0, surrogates.Sigmoid(4.0), step_mode="m")
    (theirs(x) * weight).sum().backward()
    for grad in found:
        torch.testing.assert_close(grad, -theirs.w.grad, rtol=1e-3, atol=1e-4)


# ---- surrogates: name of theirs, its constant, ours, and theirs divided by ours


@pytest.mark.parametrize(("module", "name", "constant", "ours", "factor"), [
    ("spikingjelly.activation_based.surrogate", "Sigmoid", 3.7, Sigmoid(3.7), 1.0),
    ("spikingjelly.activation_based.surrogate", "ATan", 1.9, Arctan(1.9), 1.0),
    ("spikingjelly.activation_based.surrogate", "PiecewiseQuadratic", 1.3, Triangle(1.3), 1.0),
    ("spikingjelly.activation_based.surrogate", "Rect", 1.6, Rectangle(1.6), 1.0),
    ("spikingjelly.activation_based.surrogate", "SoftSign", 2.3, SuperSpike(2.3), 2.3 / 2),
    ("spikingjelly.activation_based.surrogate", "SuperSpike", 1.4, SuperSpike(1.0), 1.4),
    ("snntorch.surrogate", "sigmoid", 25.0, Sigmoid(25.0), 1.0),
    ("snntorch.surrogate", "atan", 2.1, Arctan(2.1), 1.0),
    ("snntorch.surrogate", "fast_sigmoid", 25.0, SuperSpike(25.0), 1.0),
    ("norse.torch.functional.threshold", "tanh", 1.7, Sigmoid(3.4), 2 / 1.7),
    ("norse.torch.functional.threshold", "triangle", 0.3, Triangle(1.0), 0.3),
    # norse 1.1 does not use the constant of this one.
    ("norse.torch.functional.threshold", "super", 100.0, SuperSpike(1.0), 1.0),
])  # fmt: skip
def test_same_surrogates(module, name, constant, ours, factor):
    found = peer(module)
    v = torch.linspace(-1.7, 1.9, 500, dtype=torch.float64, requires_grad=True)
    if module.startswith("norse"):
        spikes = found.threshold(v, name, constant)
    else:
        spikes = getattr(found, name)(constant)(v)
    spikes.sum().backward()
    assert torch.equal(spikes.double(), (v > 0).double())
    torch.testing.assert_close(v.grad, factor * ours.derivative(v.detach()))
