"""Counts of events against loops: values, memory orders, sizes, threads, devices."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import energy_events as slow

from energy import EnergyError, device_events, event_threads, events
from energy.event_tables import WIDTH, tables_of, tables_of_bits
from energy.event_values import MOST, ROUNDINGS
from energy.events import count_events, count_events_of_bits
from energy.fans import conv_fan

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
NO_TRITON = "triton is not installed (torch's builds for CUDA bring it)"

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
TYPES = (*FLOATS, torch.bool, torch.uint8, torch.int8)
WIDE = (torch.float64, torch.int16, torch.int32, torch.int64)
SHAPES = [
    (1, 1, 1), (2, 3, 17), (4, 2, 5, 7), (2, 3, 1, 1), (2, 1, 8, 8), (2, 5, 3, 1), (6, 2, 2, 3, 5),
    (0, 2, 3), (2, 0, 3, 4), (2, 2, 0, 4),
]  # fmt: skip
WAYS = ("triton",) if INTERPRETED else ("kernel", "torch")
"""Ways to count; the last one in a process of its own, where Triton interprets its kernels."""


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Count by one of the ways, whatever the tensor."""
    if request.param == "kernel":
        return "kernel"
    monkeypatch.setattr(events, "_count_here", lambda *_: None)
    if request.param == "triton":
        monkeypatch.setattr(device_events, "BLOCK", 128)
        monkeypatch.setattr(device_events, "BLOCKS", 2)
        monkeypatch.setattr(device_events, "count_with_torch", device_events.count_with_triton)
    return request.param


def fans_for(shape, seed=0):
    """Return random fan-outs for ``[N, C, *S]``, zeros among them."""
    draw = np.random.default_rng(seed)
    return tuple(draw.integers(0, 6, size).astype(np.int64) for size in shape[2:])


def spikes(shape, rate=0.3, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def slack_of(dtype, unit):
    if isinstance(unit, float) and unit == 1.0:
        return 0.0
    eps = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
    return ROUNDINGS * max(eps, torch.finfo(torch.float32).eps)


def as_lists(found):
    columns = found.nonzero, found.events, found.accumulates
    assert {column.dtype for column in columns} == {torch.int64}
    return *(column.tolist() for column in columns), int(found.strange)


def check(x, fans, rows=1, unit=1.0, most=1, signed=False):
    """Compare with the loops; return what was counted."""
    found = count_events(x, fans, rows=rows, unit=unit, most=most, signed=signed)
    one = unit
    if isinstance(unit, torch.Tensor):
        one = unit.to(x.dtype if x.is_floating_point() else unit.dtype).double().numpy()
        one = np.broadcast_to(one, x.shape[1:])
    elif unit is not None and x.is_floating_point():
        one = torch.tensor(unit, dtype=x.dtype).item()
    values = x.double().numpy()
    expected = slow.count(values, fans, rows, one, most, signed, slack_of(x.dtype, unit))
    assert as_lists(found) == expected
    return found


# ---- values


@pytest.mark.parametrize("dtype", [*TYPES, *WIDE])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_spikes(way, shape, dtype):
    found = check(spikes(shape).to(dtype), fans_for(shape), rows=shape[0])
    assert torch.equal(found.events, found.accumulates)
    assert int(found.strange) == 0


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8, torch.int8, *WIDE])
@pytest.mark.parametrize("most", [1, 2, 5, None])
def test_counts(way, dtype, most):
    x = torch.randint(0, 6, (4, 3, 5, 7), generator=torch.Generator().manual_seed(1)).to(dtype)
    found = check(x, fans_for(x.shape), rows=2, most=most)
    assert (int(found.strange) == 0) == (most in (5, None))
    if most in (5, None):
        assert int(found.accumulates.sum()) > int(found.events.sum())


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8, *WIDE])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("most", [1, 2])
def test_signs(way, dtype, signed, most):
    x = torch.randint(-most, most + 1, (2, 3, 5, 7), generator=torch.Generator().manual_seed(2))
    found = check(x.to(dtype), fans_for(x.shape), most=most, signed=signed)
    assert int(found.strange) == (0 if signed else int((x < 0).sum()))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("unit", [0.3, -0.7, 1 / 9, 3.0, 1e-3])
@pytest.mark.parametrize("most", [1, 3])
def test_scaled_spikes(way, dtype, unit, most):
    times = torch.randint(0, most + 1, (2, 3, 5, 7), generator=torch.Generator().manual_seed(3))
    x = times.to(dtype) * torch.tensor(unit, dtype=dtype)
    found = check(x, fans_for(x.shape), unit=unit, most=most)
    assert int(found.strange) == 0
    assert int(check(x, fans_for(x.shape), unit=1.37 * unit, most=most).strange) > 0


@pytest.mark.parametrize("dtype", [*FLOATS, torch.uint8])
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 5, 7), (1,)], ids=str)
def test_a_unit_per_channel(way, dtype, shape):
    draw = torch.Generator().manual_seed(4)
    unit = torch.randint(1, 4, shape, generator=draw).float()
    unit = unit * 0.3 if dtype.is_floating_point else unit
    x = (spikes((2, 3, 5, 7)) * unit).to(dtype)
    assert int(check(x, fans_for(x.shape), unit=unit, most=2).strange) == 0
    assert int(check(x + x, fans_for(x.shape), unit=unit, most=2).strange) == 0
    assert int(check(x + x, fans_for(x.shape), unit=unit, most=1).strange) == int((x != 0).sum())


def test_sums_of_scaled_spikes_are_rounded(way):
    x = torch.zeros(1, 2, 3, 4)
    for seed in range(7):
        x = x + spikes(x.shape, 0.5, seed) * 0.1
    assert int(check(x, fans_for(x.shape), unit=0.1, most=7).strange) == 0


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "value", [0.5, 2.0, 1.5, -1.0, float("nan"), float("inf"), -float("inf"), 6e-8, 3e4, 1.0078125]
)
@pytest.mark.parametrize("most", [1, None])
def test_what_contradicts_is_counted_and_reported(way, dtype, value, most):
    x = spikes((2, 2, 3, 4)).to(dtype)
    x[1, 0, 2, 1] = value
    found = check(x, fans_for(x.shape, 1), rows=2, most=most)
    whole = value in (2.0, 3e4) and most is None
    assert int(found.strange) == (not whole)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("signed", [False, True])
def test_negative_zeros_are_zeros(way, most, signed):
    x = spikes((2, 2, 3, 4))
    assert as_lists(count_events(x, fans_for(x.shape), rows=2)) == as_lists(
        check(torch.where(x == 0, -0.0, x), fans_for(x.shape), 2, most=most, signed=signed)
    )


@pytest.mark.parametrize("unit", [0.0, torch.tensor([0.0, 1.0]).view(2, 1, 1)])
def test_a_unit_of_zero_allows_zeros_alone(way, unit):
    x = spikes((2, 2, 3, 4))
    x[0, 0, 0, 0] = 1.0
    allowed = 0 if isinstance(unit, float) else int(x[:, 1].sum())
    found = check(x, fans_for(x.shape), unit=unit, most=2)
    assert int(found.strange) == int(x.sum()) - allowed


@pytest.mark.parametrize("dtype", [*TYPES, *WIDE])
def test_without_a_declaration_any_value_is_an_event(way, dtype):
    x = (
        90
        * torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(5))
        * spikes((4, 3, 5, 7))
    )
    x = (x if dtype.is_floating_point else x.clamp(0, 100)).to(dtype)
    if dtype.is_floating_point:
        x[0, 0, 0] = torch.tensor([float("nan"), float("inf"), -0.0, 0.0, 1.0, -1.0, 0.3])
    found = check(x, fans_for(x.shape), rows=2, unit=None)
    assert int(found.strange) == 0
    assert torch.equal(found.events, found.accumulates)
    assert 0 < int(found.nonzero.sum()) < x.numel()


# ---- sizes


@settings(max_examples=80)
@given(
    entries=st.integers(0, 6), channels=st.integers(0, 5),
    size=st.lists(st.integers(1, 40), max_size=3), rows=st.integers(1, 6),
    rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]), dtype=st.sampled_from(TYPES),
    order=st.sampled_from(["first", "last", "reversed", "sliced"]), line=st.sampled_from([8, 64]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_random_cases(entries, channels, size, rows, rate, dtype, order, line, seed):
    size = size if np.prod(size, dtype=int) <= 600 else size[:1]
    entries -= entries % rows
    shape = (entries, channels, *size)
    x, fans = spikes(shape, rate, seed).to(dtype), fans_for(shape, seed)
    if order == "last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    if order == "reversed":
        x = x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))
    if order == "sliced":
        x = torch.stack([x, x], -1)[..., 0]
    with pytest.MonkeyPatch.context() as patch:
        # Short lines, so that small maps are cut into many.
        patch.setattr("energy.event_tables.WIDTH", line)
        patch.setattr(
            "energy.event_tables._tables", sys.modules["energy.event_tables"]._tables.__wrapped__
        )
        found = check(x, fans, rows=rows)
    assert int(found.nonzero.sum()) == int((x != 0).sum())


@pytest.mark.parametrize(
    "shape", [(2, 3, 96, 128), (2, 2, 3, 97, 61), (1, 2, 2 * WIDTH + 3), (2, 2 * WIDTH + 5)]
)
@pytest.mark.parametrize("last", [False, True])
def test_maps_wider_than_a_line(shape, last):
    x = spikes(shape)
    fans = tuple(conv_fan(n, 3, 1 + (n % 2), (1, 1), 1) for n in shape[2:])
    if last:
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    table = np.ones(1, np.int64)
    for fan in fans:
        table = np.multiply.outer(table, fan).reshape(-1)
    expected = (x.reshape(shape[0], -1, table.size).sum(1).double().numpy() * table).sum(1)
    for way in ({"unit": 1.0}, {"unit": None}, {"most": 3}):
        assert count_events(x, fans, rows=shape[0], **way).events.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(), (5,), (3, 0), (0, 4), (6, 7), (2, 3, 7), (3, 2, 2, 5)])
def test_without_fans(way, shape):
    x = spikes(shape)
    if not shape:
        with pytest.raises(EnergyError, match=r"\[\.\.\., C\], got \[\]"):
            count_events(x, (), rows=1)
        return
    entries = int(np.prod(shape[:-1], dtype=int))
    for rows in {1, entries or 1}:
        check(x, (), rows=rows)
    if len(shape) == 3:
        check(x.transpose(0, 1), (), rows=shape[1])
        check(x[:, ::2], (), rows=2)


def test_no_rows():
    found = count_events(torch.zeros(0, 2, 3), fans_for((0, 2, 3)), rows=0)
    assert as_lists(found) == ([], [], [], 0)


@pytest.mark.parametrize("fill", [1.0, 3.0])
def test_sums_beyond_32_and_53_bits(way, fill):
    """Fan-outs so large that a double would not be exact either."""
    x = torch.full((2, 3, 2, 3), fill)
    fans = (np.array([2**31 - 1, 2**29 + 1]), np.array([2**20 + 1, 2**26 + 1, 3]))
    found = check(x, fans, rows=2, most=4)
    assert int(found.accumulates.min()) > 2**53


@pytest.mark.parametrize("value", [MOST - 1, MOST, MOST + 1, 2**24])
def test_large_counts(way, value):
    x = torch.full((2, 2, 3, 300), float(value))
    fans = (np.array([3, 2, 1]), np.full(300, 5))
    assert (int(check(x, fans, rows=2, most=None).strange) == 0) == (value <= MOST)


def test_many_events_per_line():
    """More than 2**31 accumulates, none of them in one line."""
    x = torch.ones(1, 60, 80, 96)
    fan = np.array([499] * 96), np.array([400] * 80)
    found = count_events(x, fan[::-1], rows=1)
    assert found.events.tolist() == [60 * 96 * 499 * 80 * 400]
    assert int(found.events) > 2**31


@pytest.mark.parametrize(
    ("shape", "sizes", "rows", "message"),
    [
        ((2, 3, 4), (5,), 1, r"need a tensor \[N, C, 5\], got \[2, 3, 4\]"),
        ((2, 3), (3,), 1, r"\[N, C, 3\]"),
        ((2, 3, 4), (4,), 3, "2 entries cannot be summed in 3 rows"),
        ((2, 3, 4), (4,), 0, "2 entries cannot be summed in 0 rows"),
        ((2, 3, 4), (4,), -1, "-1 rows"),
    ],
)
def test_sizes_that_do_not_fit(shape, sizes, rows, message):
    with pytest.raises(EnergyError, match=message):
        count_events(torch.zeros(shape), tuple(np.ones(n, np.int64) for n in sizes), rows=rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"most": 0}, "got 0"), ({"unit": float("nan")}, "got nan"), ({"unit": float("inf")}, "inf")],
)
def test_declarations_without_meaning(options, message):
    with pytest.raises(EnergyError, match=message):
        count_events(torch.zeros(2, 3), (), rows=1, **options)


# ---- packed bits


@settings(max_examples=60)
@given(
    entries=st.integers(0, 4), channels=st.integers(0, 4),
    size=st.lists(st.integers(1, 9), max_size=2), width=st.integers(0, 70),
    rate=st.sampled_from([0.0, 0.2, 1.0]), seed=st.integers(0, 2**31),
    line=st.sampled_from([16, WIDTH]),
)  # fmt: skip
def test_packed_bits(entries, channels, size, width, rate, seed, line):
    shape = (entries, channels, *size, width)
    x, fans = spikes(shape, rate, seed), fans_for(shape, seed)
    packed = torch.from_numpy(np.packbits(x.bool().numpy(), axis=-1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("energy.event_tables.WIDTH", line)
        module = sys.modules["energy.event_tables"]
        patch.setattr(module, "_tables_of_bits", module._tables_of_bits.__wrapped__)
        found = count_events_of_bits(packed, fans, rows=entries, width=width)
    assert as_lists(found) == slow.count(x.numpy(), fans, entries)


def test_bits_that_fill_up_a_byte_are_ignored():
    packed = torch.full((2, 1, 3, 2), 255, dtype=torch.uint8)
    fans = np.array([1, 2, 3]), np.arange(11)
    found = count_events_of_bits(packed, fans, rows=2, width=11)
    assert as_lists(found) == ([33, 33], [6 * 55] * 2, [6 * 55] * 2, 0)
    strided = torch.stack([packed, packed], -1)[..., 0]
    assert as_lists(count_events_of_bits(strided, fans, rows=2, width=11)) == as_lists(found)


def test_packed_bits_with_huge_fans():
    packed = torch.full((1, 1, 2), 255, dtype=torch.uint8)
    fan = (np.full(13, 2**33),)
    assert tables_of_bits(fan) is None
    assert count_events_of_bits(packed, fan, rows=1, width=13).events.tolist() == [13 * 2**33]


def test_what_is_not_packed():
    fans = (np.ones(9, np.int64),)
    with pytest.raises(EnergyError, match="got torch.float32"):
        count_events_of_bits(torch.zeros(1, 1, 2), fans, rows=1, width=9)
    with pytest.raises(EnergyError, match="9 bits are 2 bytes, got 3"):
        count_events_of_bits(torch.zeros(1, 1, 3, dtype=torch.uint8), fans, rows=1, width=9)
    with pytest.raises(EnergyError, match=r"\[N, C, 9\], got \[1, 1, 10\]"):
        count_events_of_bits(torch.zeros(1, 1, 2, dtype=torch.uint8), fans, rows=1, width=10)


# ---- invariants


cases = given(
    seed=st.integers(0, 2**31), rate=st.sampled_from([0.1, 0.6]), most=st.integers(1, 3),
    last=st.booleans(),
)  # fmt: skip


def counts(seed, rate, most, last):
    x = spikes((6, 4, 5, 9), rate, seed) * torch.randint(1, most + 1, (6, 4, 5, 9))
    return x.to(memory_format=torch.channels_last) if last else x


@settings(max_examples=25)
@cases
def test_rows_add_up(seed, rate, most, last):
    x = counts(seed, rate, most, last)
    fans = fans_for(x.shape, seed)
    one, *others = (as_lists(count_events(x, fans, rows=rows, most=most)) for rows in (1, 2, 3, 6))
    for nonzero, reached, cost, strange in others:
        assert ([sum(nonzero)], [sum(reached)], [sum(cost)], strange) == one
    each = [count_events(part[None], fans, rows=1, most=most) for part in x]
    assert [int(one.events) for one in each] == others[-1][1]


@settings(max_examples=25)
@cases
def test_channels_may_change_places_and_units_scale(seed, rate, most, last):
    x = counts(seed, rate, most, last)
    fans = fans_for(x.shape, seed)
    expected = as_lists(count_events(x, fans, rows=3, most=most))
    shuffled = x[:, torch.randperm(4)]
    assert as_lists(count_events(shuffled, fans, rows=3, most=most)) == expected
    for unit in (0.5, 0.37, 8.0):
        assert as_lists(count_events(unit * x, fans, rows=3, unit=unit, most=most)) == expected
    turned = torch.where(torch.rand(x.shape) < 0.5, -x, x)
    assert as_lists(count_events(turned, fans, rows=3, most=most, signed=True)) == expected
    nonzero, reached, cost, _ = expected
    assert all(a <= b <= most * a for a, b in zip(reached, cost))
    ones = tuple(np.ones_like(fan) for fan in fans)
    plain = count_events(x, ones, rows=3, most=most)
    assert plain.events.tolist() == plain.nonzero.tolist() == nonzero
    assert plain.accumulates.sum() == x.sum()


def test_the_tensor_is_left_as_it_was():
    x = spikes((2, 3, 4, 5)).requires_grad_()
    before = x.detach().clone()
    found = count_events(x, fans_for(x.shape), rows=1, most=3)
    assert not found.events.requires_grad
    assert torch.equal(x, before)
    with torch.inference_mode():
        inside = count_events(spikes((2, 3, 4, 5)), fans_for(x.shape), rows=1)
    assert torch.equal(inside.events, found.events)


# ---- memory, threads, devices


@pytest.mark.parametrize("shape", [(4, 8, 32, 32), (4, 4, 8, 16, 16), (4, 8, 64)])
def test_dense_tensors_are_not_copied(monkeypatch, shape):
    """Neither is their type changed: the kernel sees the memory of the tensor itself."""
    seen = []
    original = events._sum_words
    monkeypatch.setattr(
        events, "_sum_words", lambda memory, *rest: seen.append(memory) or original(memory, *rest)
    )
    for dtype in (torch.float32, torch.bool, torch.uint8, torch.int8):
        x = spikes(shape).to(dtype)
        for one in (x, x.movedim(1, -1).contiguous().movedim(-1, 1)):
            count_events(one, fans_for(shape), rows=2)
            assert seen.pop().data_ptr() == one.data_ptr()


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("most", [1, 3])
def test_threads_share_the_lines(monkeypatch, threads, most):
    x = spikes((6, 5, 33, 40)) * torch.randint(1, most + 1, (6, 5, 33, 40))
    fans = fans_for(x.shape)
    expected = as_lists(count_events(x, fans, rows=3, most=most))
    monkeypatch.setattr(event_threads, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("energy.event_tables.WIDTH", 100)
    monkeypatch.setattr(
        "energy.event_tables._tables", sys.modules["energy.event_tables"]._tables.__wrapped__
    )
    for _ in range(20):
        assert as_lists(count_events(x, fans, rows=3, most=most)) == expected
    x[-1, -1, -1, -1] = 0.5
    assert int(count_events(x, fans, rows=3, most=most).strange) == 1


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(event_threads, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def work(first, stop, sums):
        if stop == 80:
            raise MemoryError
        sums[0] += stop - first

    with pytest.raises(MemoryError):
        event_threads.share(work, 80, 1, 1 << 20)
    sums, _ = event_threads.share(
        lambda first, stop, sums: sums.__iadd__(stop - first) is None, 79, 1, 1 << 20
    )
    assert sums.tolist() == [[79, 79, 79]]


def test_few_tables_remain():
    fans = conv_fan(480, 3, 1, (1, 1), 1), conv_fan(640, 3, 2, (1, 1), 1)
    found = tables_of(fans)
    assert found.tables.shape == (3, 3840)
    assert found.plan.shape == (80, 2)
    assert found.total == int(fans[0].sum()) * int(fans[1].sum())


@pytest.mark.gpu
def test_on_a_device_nothing_is_waited_for():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    x = spikes((4, 3, 33, 40))
    fans = fans_for(x.shape)
    expected = as_lists(count_events(x, fans, rows=2))
    there = x.cuda()
    count_events(there, fans, rows=2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [count_events(there, fans, rows=2), count_events(there, fans, rows=2, most=3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one in found:
        assert one.events.is_cuda
        assert as_lists(one) == expected


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="is in the interpreter already")
def test_the_triton_kernel_in_its_interpreter():
    if not device_events.HAS_TRITON:
        pytest.skip(NO_TRITON)
    # The interpreter computes with numpy, which warns of infinities; a device takes them.
    quiet = "-W", "ignore::RuntimeWarning"
    options = "-q", "-x", "-p", "no:cacheprovider", "-k", "triton", *quiet
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(not device_events.HAS_TRITON, reason=NO_TRITON)
@pytest.mark.skipif(INTERPRETED, reason="an interpreter compiles nothing")
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(("capability", "dtype"), [(80, "u8"), (80, "bf16"), (90, "fp32")])
def test_the_triton_kernel_compiles_for_devices(
    tmp_path, monkeypatch, declared, capability, dtype
):  # fmt: skip
    """Down to machine code, without fused multiply-add, and with sums of 64 bits."""
    from triton import compile as compile_source
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from energy import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    function = triton_kernels.count_events
    pointers = {"x": f"*{dtype}", "fans": "*i64", "sums": "*i64", "strange": "*i64"}
    numbers = dict.fromkeys(("row_size", "positions", "channels"), "i32")
    fixed = {
        "DECLARED": declared, "SIGNED": False, "BLOCK": device_events.BLOCK,
        "BLOCKS": device_events.BLOCKS,
    }  # fmt: skip
    types = pointers | numbers | dict.fromkeys(("inverse", "most", "slack"), "fp32")
    types |= dict.fromkeys(fixed, "constexpr")
    places = {(function.arg_names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(fn=function, signature=types, constexprs=places)
    target = GPUTarget("cuda", capability, 32)
    built = compile_source(source, target=target, options=device_events.EXACT)
    assert len(built.asm["cubin"]) > 1000
    assert re.search(r"atom\S*\.add\.u64", built.asm["ptx"])
    assert "fma" not in built.asm["ptx"]


def test_counting_does_without_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\nfrom energy import device_events\nfrom energy.events import count_events\n"
        "assert not device_events.HAS_TRITON\n"
        "print(int(count_events(torch.ones(2, 3), (), rows=1).events))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "6\n"
