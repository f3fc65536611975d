"""Every kind of layer against loops; invariants of the counts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import energy_counts as slow
from torch import nn

from energy import profile
from energy.fans import conv_fan
from energy.rules import RULES, rule


class Spikes(nn.Module):
    """Declares its input to be spikes."""

    emits_spikes = True

    def forward(self, x):
        return x


CONVS = {
    "conv1d": [(4, 6, 3, {}), (4, 6, 5, {"stride": 2, "padding": 2, "groups": 2})],
    "conv2d": [
        (2, 3, 3, {"padding": 1}),
        (2, 3, 3, {"padding": 1, "stride": 2}),
        (2, 3, 1, {"stride": 2}),
        (2, 3, 2, {"stride": 3}),
        (2, 3, 5, {"padding": 2}),
        (2, 3, 3, {"padding": 2, "dilation": 2}),
        (4, 4, 3, {"padding": 1, "groups": 4}),
        (4, 6, 3, {"padding": 1, "groups": 2, "bias": False}),
        (2, 3, (3, 5), {"padding": "same", "dilation": (1, 2)}),
        (2, 3, 3, {"padding": "valid"}),
        (2, 3, (1, 5), {"padding": (0, 2), "stride": (2, 1)}),
    ],
    "conv3d": [(2, 3, 3, {"padding": 1}), (2, 2, (1, 3, 2), {"stride": (1, 2, 1)})],
}
TRANSPOSED = {
    "conv_transpose1d": [(2, 3, 3, {"stride": 2})],
    "conv_transpose2d": [
        (2, 3, 4, {"stride": 2, "padding": 1}),
        (4, 6, 3, {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2}),
        (2, 3, 3, {"padding": 2, "dilation": 2}),
    ],
    "conv_transpose3d": [(2, 2, 3, {"stride": 2, "padding": 1})],
}
SIZES = {1: (11,), 2: (7, 9), 3: (4, 5, 6)}
FILLS = ("random", "zeros", "ones", "corner", "empty")


def spikes(channels, axes, fill):
    size = (0 if fill == "empty" else 2, channels, *SIZES[axes])
    x = torch.zeros(size) if fill != "ones" else torch.ones(size)
    if fill == "random":
        x = (torch.rand(size, generator=torch.Generator().manual_seed(axes)) < 0.2).float()
    if fill == "corner":
        x[(0, 0, *(-1 for _ in SIZES[axes]))] = 1
    return x


def measured(layer, x):
    """Return ``(events, dense)`` by profiling the layer on spikes, then on the same as analog."""
    spiking = profile(nn.Sequential(Spikes(), layer), x, samples=1, strict=True)
    analog = profile(layer, x, samples=1)
    assert spiking.mac == 0
    assert analog.ac == 0
    assert spiking.layers[0].dense == analog.mac
    return spiking.ac, analog.mac


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in CONVS.items() for case in cases]
)
def test_convolutions(name, case, fill):
    inputs, outputs, kernel, options = case
    axes = int(name[-2])
    layer = getattr(nn, f"Conv{axes}d")(inputs, outputs, kernel, **options)
    x = spikes(inputs, axes, fill)
    padding = [(p, p) for p in layer.padding] if not isinstance(layer.padding, str) else [
        (t // 2, t - t // 2) if layer.padding == "same" else (0, 0)
        for t in (d * (k - 1) for k, d in zip(layer.kernel_size, layer.dilation))
    ]  # fmt: skip
    expected = slow.conv(
        x.numpy(), tuple(layer.weight.shape), layer.stride, padding, layer.dilation, layer.groups
    )
    assert measured(layer, x) == expected


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in TRANSPOSED.items() for case in cases]
)
def test_transposed_convolutions(name, case, fill):
    inputs, outputs, kernel, options = case
    axes = int(name[-2])
    layer = getattr(nn, f"ConvTranspose{axes}d")(inputs, outputs, kernel, **options)
    x = spikes(inputs, axes, fill)
    expected = slow.conv_transposed(
        x.numpy(), tuple(layer.weight.shape), layer.stride, layer.padding, layer.output_padding,
        layer.dilation, layer.groups,
    )  # fmt: skip
    assert measured(layer, x) == expected


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7), (0, 7)])
def test_linear(shape):
    x = (torch.rand(shape) < 0.3).float()
    assert measured(nn.Linear(7, 4), x) == slow.linear(x.numpy(), 4)


def test_every_rule_is_tested():
    synaptic = {name for name, r in RULES.items() if r.__module__ == "energy.rules.synapses"}
    products = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "baddbmm",
                "addbmm"}  # fmt: skip
    assert synaptic - products == {*CONVS, *TRANSPOSED, "linear"}
    with pytest.raises(ValueError, match="'linear' already"):
        rule("linear")(RULES["linear"])


@settings(max_examples=50)
@given(
    length=st.integers(1, 12), kernel=st.integers(1, 5), stride=st.integers(1, 4),
    padding=st.integers(0, 4), dilation=st.integers(1, 3),
)  # fmt: skip
def test_fan_sums_to_the_taps_on_the_input(length, kernel, stride, padding, dilation):
    fan = conv_fan(length, kernel, stride, (padding, padding), dilation)
    outputs = max(0, (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    taps = [o * stride - padding + k * dilation for o in range(outputs) for k in range(kernel)]
    assert fan.tolist() == [taps.count(i) for i in range(length)]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_counts_add_over_disjoint_spikes_and_batches(seed, rate):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(3, 2, 6, 7, generator=generator) < rate).float()
    half = x * (torch.rand(x.shape, generator=generator) < 0.5)
    layer = nn.Sequential(Spikes(), nn.Conv2d(2, 3, 3, padding=1, stride=2))
    whole = profile(layer, x, samples=1)
    assert whole.ac == profile(layer, half, samples=1).ac + profile(layer, x - half, samples=1).ac
    assert whole.ac == sum(profile(layer, x[i : i + 1]).ac for i in range(3))
    assert whole.ac <= whole.layers[0].dense
    assert (whole.ac == whole.layers[0].dense) == (rate == 1.0)
    assert profile(layer, x).ac == pytest.approx(whole.ac / 3)
