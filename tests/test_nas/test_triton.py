"""The Triton kernels against the equations: on a CUDA device, else in Triton's interpreter.

Tests marked ``gpu`` run where there is a device. Elsewhere one test runs them all again in a
process of its own whose ``stereo_nas`` operations are the Triton kernels, interpreted, on CPU
tensors. A last one compiles the kernels for devices that are not there. The reference runs on the
CPU throughout.
"""

import copy
import os
import random
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.fused import cuda, op
from nas.fused.slope_kernels import KINDS
from nas.neurons import ALIF, IF, LIF, PLIF, CurrentLIF, Integrator, LeakyIntegratorLIF, scan
from nas.surrogate import SURROGATES

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NO_TRITON = "triton is not installed (torch's builds for CUDA bring it)"
needs_triton = pytest.mark.skipif(not cuda.HAS_TRITON, reason=NO_TRITON)

TYPES = [LIF, ALIF, CurrentLIF, Integrator]
SHAPES = {"layer": (), "channel": (3, 1, 1), "neuron": (3, 4, 6)}
RANGES = {
    "decay": (0.05, 0.95), "threshold": (0.2, 0.8), "current_decay": (0.1, 0.9),
    "adaptation": (0.05, 0.5), "adaptation_decay": (0.1, 0.9), "temperature": (0.8, 5.0),
}  # fmt: skip
OWN = {ALIF: ("adaptation", "adaptation_decay"), CurrentLIF: ("current_decay",)}


@pytest.fixture(scope="module")
def device():
    """Return a device on which a neuron's kernel is the Triton one, or skip."""
    if INTERPRETED:
        library = torch.library.Library("stereo_nas", "IMPL")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel")
            library.impl("scan", cuda.scan_cuda, "CPU", allow_override=True)
            library.impl("scan_backward", cuda.scan_backward_cuda, "CPU", allow_override=True)
        yield torch.device("cpu")  # as long as the library is there, so are its kernels
        return
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if not cuda.HAS_TRITON:
        pytest.skip(NO_TRITON)
    yield torch.device("cuda")


def random_constants(kind, shape, generator):
    """Return the constants of a type, inside their ranges."""
    names = ("decay", "threshold", "temperature", *OWN.get(kind, ()))
    spans = {name: RANGES[name] for name in names}
    return {n: a + (b - a) * torch.rand(shape, generator=generator) for n, (a, b) in spans.items()}


def with_constants(kind, options, surrogate, constants):
    own = dict(constants)
    slope = SURROGATES[surrogate](own.pop("temperature"))
    return replace(kind.default(), surrogate=slope, **options, **own)


def differentiate(run, x, states, generator):
    """Return outputs, the states after them, and the gradients of input and states."""
    leaf = x.detach().requires_grad_()
    begun = [s.detach().requires_grad_() for s in states]
    state = None if not begun else begun[0] if len(begun) == 1 else tuple(begun)
    out, after = run(leaf, state)
    after = after if isinstance(after, tuple) else (after,)
    loss = (out.float() * torch.randn(out.shape, generator=generator).to(x.device)).sum()
    for one in after:
        loss = loss + (one * torch.randn(one.shape, generator=generator).to(x.device)).sum()
    loss.backward()
    return out.detach(), [s.detach() for s in after], [leaf.grad, *(s.grad for s in begun)]


def check(device, kind, options, surrogate, shape, x, begun, seed=0):
    """Compare spikes and states bit for bit, and every gradient to 1e-5 of its terms."""
    generator = torch.Generator().manual_seed(seed)
    constants = random_constants(kind, shape, generator)
    states = [torch.randn(x.shape[1:], generator=generator) for _ in kind.states if begun]
    weights = int(torch.randint(2**31, (), generator=generator))

    ours = {n: c.clone().to(device).requires_grad_() for n, c in constants.items()}
    neuron = kind(with_constants(kind, options, surrogate, ours), backend="kernel")
    out, after, grads = differentiate(
        neuron.scan, x.to(device), [s.to(device) for s in states],
        torch.Generator().manual_seed(weights),
    )  # fmt: skip
    # One constant per neuron and sample: what the gradients of shared ones are sums of.
    single = {n: c.expand(x.shape[1:]).clone().requires_grad_() for n, c in constants.items()}
    params = with_constants(kind, options, surrogate, single)
    expected, ended, slopes = differentiate(
        lambda y, state: scan(kind.step, y, state, params), x, states,
        torch.Generator().manual_seed(weights),
    )  # fmt: skip

    assert out.dtype == grads[0].dtype == x.dtype
    assert out.stride() == x.stride() or not x.is_contiguous()
    if INTERPRETED and x.dtype == torch.bfloat16 and not kind.emits_spikes:
        # The interpreter cuts float32 off to bfloat16 where devices round.
        torch.testing.assert_close(out, expected, rtol=torch.finfo(x.dtype).eps, atol=0)
    else:
        assert torch.equal(out.cpu(), expected), "outputs are the same bit for bit"
    for mine, theirs in zip(after, ended, strict=True):
        assert torch.equal(mine.cpu(), theirs), "states are the same bit for bit"
    # Half precision rounds the gradient of the input once more.
    rounding = 0.0 if x.dtype == torch.float32 else torch.finfo(x.dtype).eps
    for mine, theirs, more in zip(grads, slopes, [rounding, 0.0, 0.0], strict=False):
        theirs = theirs.float()
        bound = 1e-5 * theirs.abs().max() + more * theirs.abs()
        assert bool(((mine.cpu().float() - theirs).abs() <= bound).all())
    for name, constant in ours.items():
        by_neuron = single[name].grad
        if by_neuron is None:
            assert not constant.grad.any()
            continue
        terms = by_neuron.abs().sum_to_size(constant.shape).max()
        error = (constant.grad.cpu() - by_neuron.sum_to_size(constant.shape)).abs().max()
        assert error <= 1e-5 * terms, name
    return out, grads


# ---- options


CROSSED = list(product(TYPES, ("hard", "soft", "none"), (False, True), (False, True)))
VARIED = list(product(KINDS, SHAPES, (True, False)))
# In an order that follows none of the options beside them.
BESIDE = [*random.Random(0).sample(VARIED, len(VARIED)), *VARIED[: len(CROSSED) - len(VARIED)]]


@pytest.mark.gpu
@pytest.mark.parametrize(("crossed", "varied"), list(zip(CROSSED, BESIDE, strict=True)))
def test_kernels_equal_the_step_in_a_loop(device, crossed, varied):
    kind, reset, detach, scale_input = crossed
    surrogate, shape, begun = varied
    options = {"reset": reset, "detach_reset": detach, "scale_input": scale_input}
    x = torch.randn(5, 5, 3, 4, 6, generator=torch.Generator().manual_seed(3))
    out, grads = check(device, kind, options, surrogate, SHAPES[shape], x, begun)
    assert out.any()
    assert grads[0].any(), "the comparison is not one of zeros"


@pytest.mark.gpu
@pytest.mark.parametrize("surrogate", KINDS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_kernels_know_every_surrogate(device, surrogate, shape):
    x = torch.randn(4, 3, 3, 4, 6, generator=torch.Generator().manual_seed(4))
    check(device, LIF, {}, surrogate, shape, x, False)


@pytest.mark.gpu
@settings(max_examples=30)
@given(
    kind=st.sampled_from(TYPES),
    reset=st.sampled_from(["hard", "soft", "none"]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    surrogate=st.sampled_from(list(KINDS)),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    steps=st.integers(1, 6),
    batch=st.integers(1, 3),
    neurons=st.sampled_from([1, 2, 31, 255, 256, 257, 333, 1025]),
    wide=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_kernels_equal_the_loop_for_random_options(
    device, kind, reset, flags, surrogate, dtype, steps, batch, neurons, wide, seed
):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, neurons, generator=generator).to(dtype)
    options = {"reset": reset, "detach_reset": flags[0], "scale_input": flags[1]}
    check(device, kind, options, surrogate, (neurons,) if wide else (), x, flags[2], seed)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [IF, LeakyIntegratorLIF, PLIF])
def test_presets_of_a_type(device, kind):
    x = torch.randn(6, 2, 3, 5, 7, generator=torch.Generator().manual_seed(8))
    found = {}
    for backend, place in (("kernel", device), ("reference", "cpu")):
        neuron = kind(backend=backend).to(place)
        leaf = x.to(place).requires_grad_()
        out = neuron(leaf)
        (out * torch.linspace(-1, 1, out.numel(), device=place).view(out.shape)).sum().backward()
        found[backend] = out.detach().cpu(), leaf.grad.cpu(), [
            p.grad.cpu() for p in neuron.parameters()
        ]  # fmt: skip
    (out, grad, learned), (expected, slope, theirs) = found["kernel"], found["reference"]
    assert torch.equal(out, expected)
    torch.testing.assert_close(grad, slope, rtol=1e-5, atol=1e-5 * float(slope.abs().max()))
    torch.testing.assert_close(learned, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", TYPES)
def test_a_membrane_at_the_threshold_does_not_fire(device, kind):
    x = torch.tensor([0.5, 0.25, 0.375, 0.4375, 0.0, 1.0]).repeat(4, 1, 7)
    params = replace(kind.default(), decay=0.5, threshold=0.5)
    out = kind(params, backend="kernel")(x.to(device)).cpu()
    assert torch.equal(out, kind(params, backend="reference")(x))
    if kind.emits_spikes:
        assert out[0, 0, :6].tolist() == [0, 0, 0, 0, 0, 1]


# ---- sizes


@pytest.mark.gpu
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", TYPES)
def test_large_blocks(device, monkeypatch, kind, steps):
    neurons = max(cuda.WIDTHS) // 3 + 1
    if INTERPRETED:  # at some milliseconds per block and step
        monkeypatch.setattr(cuda, "WIDTHS", {0: max(cuda.WIDTHS.values())})
        neurons = 901
    x = torch.randn(steps, 3, neurons, generator=torch.Generator().manual_seed(5))
    check(device, kind, {}, "dspike", (neurons,) if steps == 1 else (), x, True)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(0, 2, 3), (3, 0, 4), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("kind", TYPES)
def test_empty_and_single_inputs(device, kind, shape):
    assert kind()(torch.ones(shape, device=device)).shape == shape


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(0, 300), (3, 0)])
def test_operations_take_nothing(device, shape):
    """The modules keep empty input from the operations, which must not break on it all the same."""
    x = torch.ones(shape, device=device)
    empty = torch.empty(0, device=device)
    state = torch.ones(shape[1], device=device)
    constants = [torch.tensor([c], device=device) for c in (0.2, 0.5, 0.5, 0.1, 0.5, 3.0)]
    flags = (True, True, True, 0, False, False, 0)
    out, *after = op.scan_op(x, state, empty, state, *constants, *flags)
    assert out.shape == shape
    for found, value in zip(after, (1.0, 0.0, 1.0), strict=True):
        assert torch.equal(found, torch.full_like(state, value))
    gx, *before = op.scan_backward_op(
        x, state, empty, state, *constants, *flags, True, x, state, empty, state
    )
    assert gx.shape == shape
    assert torch.equal(before[0], state)
    assert before[1].numel() == 0
    assert all(bool((g == 0).all()) for g in before[3:])


@pytest.mark.gpu
def test_constants_of_different_periods(device):
    """No module makes them, but the operation allows them, as the kernels of the CPU do."""
    x = torch.randn(4, 515, generator=torch.Generator().manual_seed(6)).to(device)
    decay, threshold = torch.linspace(0.1, 0.9, 3), torch.linspace(0.2, 0.9, 7)
    one = [torch.tensor([c], device=device) for c in (0.0, 0.0, 0.0, 3.0)]
    none = torch.empty(0, device=device)
    flags = (False, False, True, 0, False, False, 0)

    def whole(values):
        return values[torch.arange(515) % values.numel()].to(device)

    given_here = torch.randn(4, 515, generator=torch.Generator().manual_seed(7)).to(device)
    results = []
    for d, th in ((decay.to(device), threshold.to(device)), (whole(decay), whole(threshold))):
        inputs = (x, none, none, none, d, th, *one, *flags)
        out = op.scan_op(*inputs)[0]
        results.append((out, op.scan_backward_op(*inputs, True, given_here, none, none, none)))
    (out, grads), (expected, wide) = results
    assert torch.equal(out, expected)
    assert torch.equal(grads[0], wide[0])
    for found, by_neuron in ((grads[4], wide[4]), (grads[5], wide[5])):
        for n in range(found.numel()):
            total = float(by_neuron[n :: found.numel()].sum())
            assert float(found[n]) == pytest.approx(total, rel=1e-4, abs=1e-4)


# ---- memory and order


@pytest.mark.gpu
def test_nothing_but_the_input_is_kept(device):
    kept = []
    x = torch.randn(6, 2, 3, 8, 8, device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        LIF(backend="kernel")(x)
    assert {t.data_ptr() for t in kept if t.numel() > 16} == {x.data_ptr()}


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [LIF, ALIF])
@pytest.mark.parametrize("shape", [(), (300,)], ids=["one", "wide"])
def test_gradients_do_not_depend_on_the_number_of_programs(device, monkeypatch, kind, shape):
    x = torch.randn(3, 3, 300, generator=torch.Generator().manual_seed(9)).to(device)
    results = []
    for programs in (1, 3, 100):
        monkeypatch.setattr(cuda, "_programs", lambda device, size, n=programs: n)
        generator = torch.Generator().manual_seed(1)
        constants = random_constants(kind, shape, generator)
        leaves = {n: c.to(device).requires_grad_() for n, c in constants.items()}
        neuron = kind(with_constants(kind, {}, "sigmoid", leaves), backend="kernel")
        found = differentiate(neuron.scan, x, [], generator)
        results.append([found[0], *found[2], *(leaf.grad for leaf in leaves.values())])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert torch.equal(ours, theirs)


def strange_orders(x):
    """Return ``x`` with other strides."""
    return {
        "channels_last": x.flatten(0, 1).to(memory_format=torch.channels_last).view_as(x),
        "transposed": x.transpose(3, 4).contiguous().transpose(3, 4),
        "sliced": torch.zeros(2 * len(x), *x.shape[1:], device=x.device)[::2].copy_(x),
        "batch first": x.transpose(0, 1).contiguous().transpose(0, 1),
        "expanded": x[:, :, :1].expand_as(x),
    }


@pytest.mark.gpu
@pytest.mark.parametrize("order", strange_orders(torch.zeros(2, 2, 2, 2, 2)))
def test_any_memory_order(device, order):
    x = torch.randn(3, 2, 3, 5, 6, generator=torch.Generator().manual_seed(10))
    strange = strange_orders(x)[order]
    assert not strange.is_contiguous()
    check(device, LIF, {}, "arctan", (3, 1, 1), strange, True)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(device, dtype):
    torch.manual_seed(0)
    layer = torch.nn.Linear(20, 300).to(device)
    inputs = torch.randn(4, 2, 20, device=device)
    found = []
    for backend in ("kernel", "reference"):
        layer.zero_grad()
        with torch.autocast(device.type, dtype=dtype):
            current = layer(inputs)
            out = LIF(backend=backend)(current)
        assert current.dtype == out.dtype == dtype
        out.float().square().sum().backward()
        found.append((out.detach(), layer.weight.grad.clone()))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].any()
    scale = float(found[1][1].abs().max())
    error = float((found[0][1] - found[1][1]).abs().max())
    assert error <= 2 * torch.finfo(dtype).eps * scale


# ---- torch around it


@pytest.mark.gpu
@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_equals_one_long_sequence(device, kind):
    neuron, x = kind(backend="kernel"), torch.randn(6, 2, 40, device=device)
    first, state = neuron.scan(x[:2], None)
    second, state = neuron.scan(x[2:3], state)
    third, state = neuron.scan(x[3:], state)
    whole, end = neuron.scan(x, None)
    assert torch.equal(torch.cat([first, second, third]), whole)
    for ours, theirs in zip(state, end, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.gpu
def test_no_grad_copies_and_torch_func(device):
    neuron = PLIF(learn={"threshold": ()}).to(device)
    x = torch.randn(4, 2, 9, device=device)
    with torch.no_grad():
        assert not neuron(x).requires_grad
    twin = copy.deepcopy(neuron)
    leaf = x.clone().requires_grad_()
    neuron(leaf).sum().backward()
    assert twin.learned["decay"].raw.grad is None
    transformed = torch.func.grad(lambda y: twin(y).sum())(x)
    torch.testing.assert_close(transformed, leaf.grad)


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="compiled for a device only")
def test_under_compile(device):
    neuron = PLIF(backend="kernel").to(device)
    compiled = torch.compile(copy.deepcopy(neuron), fullgraph=True)
    x = torch.randn(4, 2, 300, device=device)
    results = []
    for run in (neuron, compiled):
        leaf = x.clone().requires_grad_()
        out = run(2 * leaf)
        out.sum().backward()
        results.append((out.detach(), leaf.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.gpu
@pytest.mark.skipif(INTERPRETED, reason="an interpreter has no memory of a device")
def test_memory_on_the_device(device):
    x = torch.randn(8, 4, 1 << 16, device=device, requires_grad=True)
    size = x.numel() * x.element_size()
    neuron = LIF(backend="kernel")
    neuron(x).sum().backward()
    x.grad = None
    before = torch.cuda.memory_allocated()
    out = neuron(x)
    assert torch.cuda.memory_allocated() - before <= 1.01 * size, "the spikes are all that stays"
    del out


# ---- without a device


@pytest.mark.slow
@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="already interpreted")
def test_all_of_it_in_the_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout[-2000:]
    assert int(found[1]) > len(CROSSED)


def test_nas_does_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, nas.neurons, nas.fused.cuda as cuda\n"
        "assert not cuda.HAS_TRITON\n"
        "assert nas.neurons.LIF()(torch.ones(2, 1, 3)).any()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_triton
def test_importing_nas_does_not_import_triton():
    code = "import sys, nas.neurons; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


STATES = ("v0", "i0", "a0", "v1", "i1", "a1", "gv1", "gi1", "ga1", "gv0", "gi0", "ga0")
COMPILED = {
    "lif": ({}, 0, ("i", "a")),
    "alif": ({"ADAPTIVE": True, "RESET": 1}, 2, ("i",)),
    "current": ({"CURRENT": True, "SCALE_INPUT": True, "RESET": 2}, 1, ("a",)),
    "integrator": ({"FIRES": False}, 0, ("i", "a")),
}


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="an interpreter compiles nothing")
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize(("capability", "dtype"), [(80, "bf16"), (90, "fp32")])
def test_kernels_compile_for_devices(tmp_path, monkeypatch, name, which, capability, dtype):
    """Down to machine code, which shows that nothing is contracted: no fused multiply-add."""
    from triton import compile as compile_source
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from nas.fused import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    flags, way, absent = COMPILED[name]
    plain = {"ADAPTIVE": False, "CURRENT": False, "FIRES": True, "RESET": 0, "SCALE_INPUT": False}
    fixed = {**plain, "DETACH": False, "KIND": 0, **flags, "BLOCK": 1024,
             "HOW": sum(way << 2 * k for k in range(6))}  # fmt: skip
    function = getattr(triton_kernels, which)
    types = {}
    for argument in function.arg_names:
        if argument in STATES and argument.strip("g")[0] in absent:
            fixed[argument] = None
        integer = argument in ("steps", "neurons", "period", "blocks")
        element = dtype if argument in ("x", "out", "given", "gx") else "fp32"
        types[argument] = "i32" if integer else f"*{element}"
        if argument in RANGES and way == 0:
            types[argument] = "fp32"
    types |= {argument: "constexpr" for argument in fixed if argument in types}
    places = {(function.arg_names.index(a),): v for a, v in fixed.items() if a in types}
    options = {"num_warps": cuda.WARPS, **cuda.EXACT}
    source = ASTSource(fn=function, signature=types, constexprs=places)
    built = compile_source(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert len(built.asm["cubin"]) > 1000
    assert "mul.f32" in built.asm["ptx"] or "mul.rn.f32" in built.asm["ptx"]
    assert "fma" not in built.asm["ptx"]
