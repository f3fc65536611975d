"""Neurons: the equations, the fused kernels against them, state, learning, refusals."""

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.lif import lif_by_scalars

from nas.neurons import (
    ALIF,
    IF,
    LIF,
    NEURONS,
    PLIF,
    ALIFParams,
    CurrentLIF,
    CurrentLIFParams,
    Integrator,
    LeakyIntegratorLIF,
    LIFParams,
    Neuron,
    alif_step,
    current_lif_step,
    integrator_step,
    lif_step,
    scan,
)  # fmt: skip
from nas.surrogate import SURROGATES, Dspike

KINDS = [LIF, ALIF, CurrentLIF, Integrator]
OWN = {ALIF: ("adaptation", "adaptation_decay"), CurrentLIF: ("current_decay",)}


def both(kind, params, learn, x, init, seed=0):
    """Return outputs, states and all gradients, by the kernel and by the reference."""
    found = []
    for backend in ("kernel", "reference"):
        generator = torch.Generator().manual_seed(seed)
        neuron = kind(params, learn=learn, backend=backend)
        with torch.no_grad():
            for raw in neuron.parameters():
                raw += 0.3 * torch.randn(raw.shape, generator=generator)
        leaf = x.clone().requires_grad_()
        states = [s.clone().requires_grad_() for s in init]
        given = None if not states else states[0] if len(states) == 1 else tuple(states)
        out, after = neuron.scan(leaf, given)
        after = after if isinstance(after, tuple) else (after,)
        weight = torch.randn(out.shape, generator=generator)
        loss = (out.float() * weight).sum()
        for state in after:
            loss = loss + (state * torch.randn(state.shape, generator=generator)).sum()
        loss.backward()
        grads = [leaf.grad, *(s.grad for s in states), *(p.grad for p in neuron.parameters())]
        found.append((out.detach(), [s.detach() for s in after], grads))
    return found


def assert_same(found):
    (out, after, grads), (expected, states, slopes) = found
    assert torch.equal(out, expected), "spikes are the same bit for bit"
    for ours, theirs in zip([*after, *grads], [*states, *slopes], strict=True):
        if theirs is None:
            assert ours is None or not ours.any()
            continue
        # A sum over many neurons is compared with the size of its terms, not of what is left.
        scale = float(theirs.abs().max()) + (1.0 if theirs.numel() <= 8 else 1e-6)
        torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=2e-5)


# ---- equations by hand


def test_step_follows_the_equation_by_hand():
    params = LIFParams(decay=0.2, threshold=0.5)
    spikes, state = lif_step(torch.tensor([0.5, 0.6, 0.3]), torch.tensor([0.0, 1.0, 1.0]), params)
    # u = 0.5, 0.8, 0.5: firing is strict, so only the second fires and is reset
    assert spikes.tolist() == [0.0, 1.0, 0.0]
    assert state.tolist() == pytest.approx([0.5, 0.0, 0.5])


@pytest.mark.parametrize(
    ("reset", "after"), [("hard", [0.0, 0.4]), ("soft", [0.5, 0.4]), ("none", [1.0, 0.4])]
)
def test_resets_by_hand(reset, after):
    params = LIFParams(decay=0.5, threshold=0.5, reset=reset)
    spikes, state = lif_step(torch.tensor([0.6, 0.0]), torch.tensor([0.8, 0.8]), params)
    assert spikes.tolist() == [1.0, 0.0]
    assert state.tolist() == pytest.approx(after)


def test_leaky_integrator_scales_its_input():
    params = LIFParams(decay=0.75, threshold=1.0, scale_input=True)
    _, state = lif_step(torch.tensor([2.0]), torch.tensor([0.4]), params)
    assert state.tolist() == pytest.approx([0.75 * 0.4 + 0.25 * 2.0])


def test_adaptation_raises_the_threshold():
    params = ALIFParams(decay=0.0, threshold=0.5, adaptation=0.3, adaptation_decay=0.5)
    state, fired = None, []
    for current in (0.6, 0.6, 0.6, 0.6):
        spikes, state = alif_step(torch.tensor([current]), state, params)
        fired.append(spikes.item())
    # a = 0, 1, 0.5, 0.25: the threshold is 0.5, 0.8, 0.65, 0.575
    assert fired == [1.0, 0.0, 0.0, 1.0]
    assert state[1].item() == pytest.approx(0.5 * 0.25 + 1.0)


def test_synaptic_current_filters_the_input():
    params = CurrentLIFParams(decay=0.5, threshold=9.0, current_decay=0.5)
    state = None
    for current in (1.0, 0.0, 0.0):
        _, state = current_lif_step(torch.tensor([current]), state, params)
    # The current is 1, 0.5, 0.25, so the membrane 1, 1, 0.75.
    assert [part.item() for part in state] == pytest.approx([0.75, 0.25])


def test_integrator_never_fires():
    out, state = integrator_step(torch.tensor([9.0]), torch.tensor([2.0]), LIFParams(decay=0.5))
    assert out.item() == state.item() == 10.0
    assert not Integrator.emits_spikes


# ---- kernels against the equations


OPTIONS = [("hard", False, False), ("hard", True, True), ("soft", False, True),
           ("soft", True, False), ("none", False, False)]  # fmt: skip
SHAPES = [(), (3, 1, 1), (3, 4, 6)]
# Every combination compiles kernels of its own for seconds, so the shapes take turns.
CASES = [
    pytest.param(kind, *options, SHAPES[(k + o) % 3], id=f"{kind.__name__}-{options}-{(k + o) % 3}")
    for (k, kind), (o, options) in product(enumerate(KINDS), enumerate(OPTIONS))
]


@pytest.mark.parametrize(("kind", "reset", "detach", "scale_input", "shape"), CASES)
def test_kernel_equals_the_step_in_a_loop(kind, reset, detach, scale_input, shape):
    own = kind.default()
    params = replace(own, reset=reset, detach_reset=detach, scale_input=scale_input)
    learn = dict.fromkeys(("decay", "threshold", "temperature", *OWN.get(kind, ())), shape)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(5, 2, 3, 4, 6, generator=generator)
    init = [torch.randn(2, 3, 4, 6, generator=generator) for _ in kind.states]
    assert_same(both(kind, params, learn, x, init))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kernel_without_gradients_of_constants(kind):
    x = torch.randn(5, 2, 3, 4, 6, generator=torch.Generator().manual_seed(3))
    assert_same(both(kind, kind.default(), {}, x, []))


@pytest.mark.parametrize("name", SURROGATES)
def test_kernel_knows_every_surrogate(name):
    params = LIFParams(surrogate=SURROGATES[name]())
    x = torch.randn(4, 2, 50, generator=torch.Generator().manual_seed(5))
    assert_same(both(LIF, params, {"temperature": (50,)}, x, []))


@settings(max_examples=40)
@given(
    steps=st.integers(1, 6),
    neurons=st.sampled_from([1, 2, 7, 2047, 2048, 4097, 70_001]),
    decay=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    value=st.sampled_from([None, 0.0, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_kernel_of_any_size(steps, neurons, decay, value, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, 1, neurons, generator=generator)
    x = x if value is None else torch.full_like(x, value)
    assert_same(both(LIF, LIFParams(decay=decay), {}, x, [], seed))


def test_kernel_equals_scalars_in_plain_python():
    x = torch.randn(5, 1, 11, generator=torch.Generator().manual_seed(1))
    expected = lif_by_scalars(x[:, 0].tolist(), decay=0.2, threshold=0.5)
    assert LIF(backend="kernel")(x)[:, 0].tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(2)).to(dtype)
    (out, after, grads), (expected, states, slopes) = both(LIF, LIFParams(), {}, x, [])
    assert out.dtype == grads[0].dtype == dtype
    assert after[0].dtype == torch.float32
    assert torch.equal(out, expected)
    assert torch.equal(after[0], states[0])
    torch.testing.assert_close(grads[0], slopes[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_results_do_not_depend_on_the_number_of_threads(kind):
    x = torch.randn(6, 2, 40_000, generator=torch.Generator().manual_seed(4))
    results = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(both(kind, kind.default(), {"decay": ()}, x, [])[0])
    torch.set_num_threads(1)
    (out, after, grads), (expected, states, slopes) = results
    for ours, theirs in zip([out, *after, *grads], [expected, *states, *slopes], strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_but_the_input_is_kept():
    kept = []
    x = torch.randn(8, 2, 3, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        LIF(backend="kernel")(x)
    large = {t.data_ptr() for t in kept if t.numel() > 16}
    assert large == {x.data_ptr()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_gradients_of_the_reference_are_those_of_its_soft_twin(kind):
    """Far from firing nothing jumps, and there the reference must pass a numeric check."""
    params = replace(kind.default(), threshold=50.0)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    decay = torch.full((3,), 0.4, dtype=torch.float64, requires_grad=True)

    def run(x, state, decay):
        given = state if len(kind.states) == 1 else (state, state)
        out, after = scan(kind.step, x, given, replace(params, decay=decay))
        return out, *(after if isinstance(after, tuple) else (after,))

    assert torch.autograd.gradcheck(run, (x, state, decay))


# ---- state


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_a_stream_equals_one_long_sequence(kind, backend):
    neuron, x = kind(backend=backend), torch.randn(6, 2, 3)
    first, state = neuron.scan(x[:2], None)
    second, state = neuron.scan(x[2:3], state)
    third, state = neuron.scan(x[3:], state)
    whole, end = neuron.scan(x, None)
    assert torch.equal(torch.cat([first, second, third]), whole)
    for ours, theirs in zip(state, end, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(neuron(x), whole), "a module must not remember"


# ---- torch around it


@pytest.mark.parametrize("shape", [(0, 2, 3), (3, 0, 4), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_empty_and_single_inputs(kind, shape):
    assert kind()(torch.ones(shape)).shape == shape


def test_any_memory_order_gives_the_same_spikes_and_gradients():
    x = torch.randn(3, 2, 4, 5, 6)
    neuron = LIF(learn={"decay": (4, 1, 1)})
    weight = torch.randn_like(x)

    def run(given):
        leaf = given.detach().requires_grad_()
        out = neuron(leaf)
        (grad,) = torch.autograd.grad((out * weight).sum(), leaf)
        return out.detach(), grad

    expected = run(x)
    for strange in (
        x.movedim(2, -1).contiguous().movedim(-1, 2),
        x.transpose(3, 4).contiguous().transpose(3, 4),
        torch.randn(6, 2, 4, 5, 6)[::2].copy_(x),
        x.transpose(0, 1).contiguous().transpose(0, 1),
        x[:, :, :1].expand(-1, -1, 4, -1, -1) * 0 + x,
    ):
        for ours, theirs in zip(run(strange), expected, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_copies_learn_by_themselves_and_no_grad_is_respected():
    neuron = PLIF(learn={"threshold": ()})
    twin = copy.deepcopy(neuron)
    x = torch.randn(4, 2, 9)
    with torch.no_grad():
        assert not neuron(x).requires_grad
    neuron(x).sum().backward()
    assert neuron.learned["decay"].raw.grad is not None
    assert twin.learned["decay"].raw.grad is None
    twin.load_state_dict(neuron.state_dict())


def test_torch_func_sees_through_the_neuron():
    x = torch.randn(4, 2, 5)
    for kind in KINDS:
        neuron = kind()
        leaf = x.clone().requires_grad_()
        neuron(leaf).sum().backward()
        transformed = torch.func.grad(lambda y, neuron=neuron: neuron(y).sum())(x)
        torch.testing.assert_close(transformed, leaf.grad)
        batched = torch.func.vmap(neuron)(torch.stack([x, x]))
        assert torch.equal(batched[0], neuron(x))


def test_the_reference_can_be_differentiated_twice():
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    neuron = LIF(learn={"temperature": ()}, backend="reference").double()
    out = (neuron(x) * torch.randn(3, 2, 4, dtype=torch.float64)).sum()
    (grad,) = torch.autograd.grad(out, x, create_graph=True)
    (by_temperature,) = torch.autograd.grad((grad**2).sum(), list(neuron.parameters()))
    assert by_temperature.abs() > 0


def test_operations_pass_the_checks_of_torch():
    x = torch.randn(3, 40, requires_grad=True)
    one = [torch.tensor([c]) for c in (0.2, 0.5, 0.0, 0.0, 0.0, 3.0)]
    none = torch.empty(0)
    flags = (False, False, True, 0, False, False, 0)
    torch.library.opcheck(
        torch.ops.stereo_nas.scan.default, (x, none, none, none, *one, *flags),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # fmt: skip


# ---- registry and refusals


def test_every_registered_neuron_says_what_it_emits():
    params = LIFParams(decay=0.3, threshold=0.4, surrogate=Dspike(2.0))
    built = {name: make(params) for name, make in NEURONS.items()}
    assert {"lif", "if", "leaky", "plif", "alif", "current", "integrator", "relu"} <= set(built)
    for name, module in built.items():
        out = module(torch.randn(3, 1, 50))
        binary = bool(((out == 0) | (out == 1)).all())
        assert binary == module.emits_spikes, name
        if isinstance(module, Neuron):
            assert module.params.threshold == 0.4
            assert module.params.decay == (1.0 if name == "if" else 0.3)
    assert isinstance(built["leaky"], LeakyIntegratorLIF)
    assert isinstance(built["if"], IF)


def test_updates_cost_what_their_equations_say():
    lif = {"mul": 1, "add": 1, "compare": 1, "add_per_spike": 0, "states": 1}
    assert LIF().update_ops == lif
    assert IF().update_ops == lif | {"mul": 0}
    assert IF(learn={"threshold": ()}).update_ops == lif | {"mul": 0}
    assert LeakyIntegratorLIF().update_ops == lif | {"mul": 2, "add_per_spike": 1}
    assert PLIF().update_ops == lif | {"mul": 2}
    assert CurrentLIF().update_ops == lif | {"mul": 2, "add": 2, "states": 2}
    assert ALIF().update_ops == lif | {"mul": 3, "add": 2, "add_per_spike": 1, "states": 2}
    assert Integrator().update_ops == lif | {"compare": 0}


def test_learned_constants_stay_in_their_range():
    neuron = LIF(learn={"decay": (3,), "threshold": ()})
    for value in (-80.0, -3.0, 3.0, 80.0):
        with torch.no_grad():
            for raw in neuron.parameters():
                raw.fill_(value)
        now = neuron.constants()
        assert bool(((now.decay >= 0) & (now.decay <= 1)).all())
        assert now.threshold >= 0
    fresh = LIF(learn={"decay": ()}).constants()
    assert fresh.decay.item() == pytest.approx(0.2)


def test_constants_and_options_are_checked():
    with pytest.raises(ValueError, match=r"decay .* lies in \[0, 1\], got 1.5"):
        LIFParams(decay=1.5)
    with pytest.raises(ValueError, match=r"adaptation_decay .* lies in \[0, 1\], got -1"):
        ALIFParams(adaptation_decay=-1)
    with pytest.raises(ValueError, match=r"No such constants: \['speed'\]"):
        LIF(learn={"speed": ()})
    with pytest.raises(ValueError, match="starts between 0.0 and 1.0, got 1.0"):
        IF(learn={"decay": ()})
    with pytest.raises(ValueError, match=r"got torch.float64 on cpu"):
        LIF(backend="kernel")(torch.zeros(2, 1, 3, dtype=torch.float64))


def test_options_crossed_agree_without_states():
    """All resets, detachments and scalings, on few neurons: cheap, so all of them."""
    for reset, detach, scale_input in product(
        ("hard", "soft", "none"), (False, True), (False, True)
    ):
        params = LIFParams(reset=reset, detach_reset=detach, scale_input=scale_input)
        x = torch.randn(4, 1, 33, generator=torch.Generator().manual_seed(6))
        assert_same(both(LIF, params, {"decay": ()}, x, []))
