"""Networks of the field: counts against loops, torch and measurements of the authors' code."""

import numpy as np
import pytest
import torch
from reference.energy_counts import conv as looped_conv
from reference.energy_counts import conv_transposed as looped_transposed
from torch import nn

from stereo.accounting.convolutions import Convolution, conv, up
from stereo.baselines import BASELINES, count, ddes
from stereo.errors import StereoError

# One convolution

CASES = {
    "same": conv((7, 9), (3, 4), 3),
    "strided 5x5": conv((8, 6), (2, 4), 5, 2),
    "strided 1x1": conv((5, 6), (2, 3), 1, 2),
    "stem 7x7 stride 3": conv((9, 13), (1, 2), 7, 3),
    "dilated": conv((9, 7), (2, 2), 3, dilation=2),
    "grouped": conv((5, 5), (4, 6), 3, groups=2),
    "unpadded": conv((8, 7), (2, 3), 5, padding=0),
    "one pixel": conv((1, 1), (2, 3), 3),
    "volume": conv((3, 4, 5), (2, 2), 3, 2),
    "transposed": up((3, 4, 2), (2, 3), (4, 4, 4), (2, 2, 2)),
    "transposed 3x4x4": up((3, 4, 2), (2, 1), (3, 4, 4), (1, 2, 2)),
    "transposed stride 1": up((3, 4, 2), (2, 2), (4, 4, 4), (2, 1, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_equals_loops_over_taps(case):
    layer = CASES[case]
    axes = len(layer.size)
    x = np.ones((1, layer.inputs, *layer.size))
    if layer.transposed:
        shape = (layer.inputs, layer.outputs, *layer.kernel)
        _, dense = looped_transposed(
            x, shape, layer.stride, layer.padding, (0,) * axes, (1,) * axes, 1
        )
    else:
        shape = (layer.outputs, layer.inputs // layer.groups, *layer.kernel)
        padding = [(p, p) for p in layer.padding]
        _, dense = looped_conv(x, shape, layer.stride, padding, (layer.dilation,) * axes,
                               layer.groups)  # fmt: skip
    assert layer.macs == dense
    assert layer.padded_macs >= dense


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_has_the_size_that_torch_gives(case):
    layer = CASES[case]
    kinds = {2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}
    module = kinds[len(layer.size)][layer.transposed](
        layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding,
        dilation=layer.dilation, groups=layer.groups,
    )  # fmt: skip
    out = module(torch.zeros(1, layer.inputs, *layer.size))
    assert tuple(out.shape[2:]) == layer.out
    places = layer.size if layer.transposed else layer.out
    assert layer.padded_macs == module.weight.numel() * np.prod(places)


def test_times_multiplies():
    once, often = conv((6, 6), (2, 2), 3), conv((6, 6), (2, 2), 3, times=7)
    assert (often.macs, often.padded_macs) == (7 * once.macs, 7 * once.padded_macs)


# Networks

STATED = [
    ("DDES", 346, 260, 60.78, 0.001),
    ("DTC-PDS", 346, 260, 30.91, 0.001),
    ("DTC-SPADE", 346, 260, 114.8, 0.001),
    ("StereoSpike", 346, 260, 55 / 2, 0.01),
    ("StereoSpike", 640, 480, 185 / 2, 0.005),
    ("SE-CFF", 360, 264, 141 / 2, 0.005),
    ("SE-CFF", 648, 480, 461 / 2, 0.002),
]
"""Width, height, GMAC with taps on padding as measured by running the authors' own code (half of
the operations where FLOP were given), and the relative precision of the digits written down."""


@pytest.mark.parametrize(("name", "width", "height", "gmac", "precision"), STATED)
def test_layer_lists_give_what_was_measured(name, width, height, gmac, precision):
    assert count(name, height, width).padded_macs / 1e9 == pytest.approx(gmac, rel=precision)


def test_every_network_is_held_against_a_measurement():
    assert {stated[0] for stated in STATED} == set(BASELINES)


def test_ddes_without_its_embedding_of_events():
    """The first two entries of the list are the embedding; 39.5 GMAC were measured without it."""
    rest = sum(layer.padded_macs for layer in ddes((320, 384))[2:])
    assert rest / 1e9 == pytest.approx(39.5, rel=0.002)


def test_no_network_of_the_field_gives_the_published_26_times():
    """At 4.6 pJ and 6.7 mJ; 21, 42 and 79 times were worked out independently."""
    times = {
        name: count(name, 260, 346).padded_macs * 4.6e-9 / 6.7
        for name in ("DTC-PDS", "DDES", "DTC-SPADE")
    }
    assert times == pytest.approx({"DTC-PDS": 21, "DDES": 42, "DTC-SPADE": 79}, rel=0.02)
    assert not any(25.5 < count(n, 260, 346).macs * 4.6e-9 / 6.7 < 26.5 for n in BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_any_size(name):
    network = BASELINES[name]
    small, large = count(name, 1, 1), count(name, 203, 301)
    for found, (height, width) in ((small, (1, 1)), (large, (203, 301))):
        assert all(n % network.multiple == 0 for n in found.size)
        assert found.size[0] >= height
        assert found.size[1] >= width
        assert found.size[0] - height < network.multiple
        assert 0 < found.macs <= found.padded_macs
    assert large.macs > small.macs
    assert network.source
    assert network.complete


def test_work_grows_with_the_pixels():
    for name, network in BASELINES.items():
        side = 16 * network.multiple
        one, four = count(name, side, side), count(name, 2 * side, 2 * side)
        assert four.padded_macs / one.padded_macs == pytest.approx(4, rel=0.02)


def test_refusals():
    with pytest.raises(StereoError, match="no baseline 'PSMNet'; known: DDES"):
        count("PSMNet", 10, 10)
    with pytest.raises(StereoError, match="at least one pixel, got 0x10"):
        count("DDES", 10, 0)


def test_empty_outputs_do_no_work():
    layer = Convolution(
        size=(2, 2), inputs=1, outputs=1, kernel=(3, 3), stride=(1, 1), padding=(0, 0)
    )
    assert layer.out == (0, 0)
    assert layer.macs == layer.padded_macs == 0
