"""Weights that candidates share: which part each of them looks at."""

import pytest
import torch
from test_nas.test_supernet import SPACES, relaxed
from torch import nn

from nas.dims import ConvNorm
from nas.ops import OPS
from nas.relaxed.gating import expected_parameters, gated
from nas.relaxed.tied import layers_of, tie, untied_numel, weights_of


def edge(dimension, inputs, outputs, names):
    ops = [OPS[name](dimension, inputs, outputs) for name in names]
    shared = tie((key, layer) for op in ops for key, layer in layers_of(op))
    return dict(zip(names, ops, strict=True)), shared


@pytest.mark.parametrize("dimension", [2, 3])
def test_kernels_are_parts_of_the_largest(dimension):
    ops, shared = edge(dimension, 4, 6, ["conv1", "conv3", "conv5", "dilated3"])
    (whole,) = shared
    assert whole.shape == (6, 4, *(5,) * dimension)
    middle = (..., *(slice(1, 4),) * dimension)
    second = (..., *(slice(0, 5, 2),) * dimension)
    assert torch.equal(ops["conv5"][0].weight, whole)
    assert torch.equal(ops["conv3"][0].weight, whole[middle])
    assert torch.equal(ops["dilated3"][0].weight, whole[second])
    assert torch.equal(ops["conv1"][0].weight, whole[(..., *(slice(2, 3),) * dimension)])


def test_channels_of_a_node_stay_those_of_the_node():
    """Three nodes one after the other, at a level with half the channels of the widest."""
    wide, narrow = ConvNorm(2, 3 * 8, 8), ConvNorm(2, 3 * 4, 4)
    (whole,) = tie(pair for op in (wide, narrow) for pair in layers_of(op))
    for node in range(3):
        own = narrow[0].weight[:, 4 * node : 4 * (node + 1)]
        assert torch.equal(own, whole[::2, 8 * node : 8 * (node + 1) : 2])


def test_channels_that_do_not_divide_are_the_first_ones():
    ops, shared = edge(2, 6, 4, ["conv3"])
    assert len(shared) == 1
    few = ConvNorm(2, 4, 4)
    (whole,) = tie(pair for op in (ConvNorm(2, 6, 4), few) for pair in layers_of(op))
    assert torch.equal(few[0].weight, whole[:, :4])
    assert ops["conv3"][0].weight.shape == (4, 6, 3, 3)


def test_a_gradient_reaches_the_part_that_was_used():
    ops, (whole,) = edge(2, 3, 4, ["conv3", "conv5"])
    ops["conv3"](torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert whole.grad is not None
    used = torch.zeros_like(whole, dtype=torch.bool)
    used[..., 1:4, 1:4] = True
    assert not whole.grad[~used].any()
    ops["conv3"].zero_grad()
    ops["conv5"](torch.randn(2, 3, 8, 8)).square().mean().backward()
    assert whole.grad[~used].any()


def test_halves_of_a_separable_convolution_share_with_their_like_only():
    names = ["separable3", "conv1"]
    _, shared = edge(2, 4, 4, names)
    assert [tuple(p.shape) for p in shared] == [(4, 4, 1, 1), (4, 1, 3, 3), (4, 4, 1, 1)]


def test_an_operation_computes_what_a_plain_one_does():
    torch.manual_seed(0)
    for name in ("conv1", "conv3", "conv5", "dilated3", "separable3"):
        ops, _ = edge(2, 4, 6, [name, "conv5"] if name != "conv5" else [name])
        plain = OPS[name](2, 4, 6)
        plain.load_state_dict(weights_of(ops[name], plain.state_dict()))
        x = torch.randn(2, 4, 9, 7)
        torch.testing.assert_close(ops[name](x), plain(x))


@pytest.mark.parametrize("name", ["images", "volumes", "hybrid"])
def test_sharing_changes_nothing_of_what_a_network_is_expected_to_have(name):
    counts = []
    for shared in (False, True):
        model = relaxed(SPACES[name], shared=shared)
        with gated(model):
            counts.append(float(expected_parameters(model).detach()))
    assert counts[0] == pytest.approx(counts[1], rel=1e-6)
    separate = sum(untied_numel(m) for m in relaxed(SPACES[name]).modules())
    together = sum(p.numel() for p in relaxed(SPACES[name], shared=True).parameters())
    assert together < 0.5 * separate


def test_shared_weights_survive_saving_and_moving():
    model = relaxed(SPACES["images"], shared=True)
    other = relaxed(SPACES["images"], seed=5, shared=True).to(torch.float64)
    other.load_state_dict(model.state_dict())
    convs = [
        (mine, theirs)
        for mine, theirs in zip(model.modules(), other.modules(), strict=True)
        if isinstance(mine, nn.Conv2d)
    ]
    assert convs
    assert all(torch.equal(a.weight.double(), b.weight) for a, b in convs)
