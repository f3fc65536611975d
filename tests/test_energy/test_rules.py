"""Arithmetic without weights, recurrent layers, products of activations: against counts by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from energy.counter import run_counted
from energy.rules import RULES, rule

X = torch.rand(2, 3, 6, 8)  # 288 elements
N = X.numel()


class Calls(nn.Module):
    """A model that calls one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def operations(function, *inputs):
    """Return ``(add, mul, compare, special)`` of all rows, which hold no synapses."""
    counter = run_counted(Calls(function), inputs or (X,), strict=True)
    assert not counter.uncounted, counter.uncounted
    rows = counter.layers.values()
    assert sum(row.ac + row.mac for row in rows) == 0
    return tuple(sum(getattr(r, n) for r in rows) for n in ("add", "mul", "compare", "special"))


ONE_CALL = {
    "add": (lambda x: x + x, (N, 0, 0, 0)),
    "add scaled": (lambda x: torch.add(x, x, alpha=2), (N, N, 0, 0)),
    "in place": (lambda x: x.clone().add_(1.0), (N, 0, 0, 0)),
    "subtract": (lambda x: 1 - x, (N, 0, 0, 0)),
    "multiply": (lambda x: x * x, (0, N, 0, 0)),
    "divide by a number": (lambda x: x / 3, (0, N, 0, 0)),
    "divide": (lambda x: x / (x + 1), (N, 0, 0, N)),
    "square": (lambda x: x**2, (0, N, 0, 0)),
    "cube": (lambda x: x.pow(3), (0, 2 * N, 0, 0)),
    "root": (lambda x: x**0.5, (0, 0, 0, N)),
    "exponential": (torch.exp, (0, 0, 0, N)),
    "rectify": (F.relu, (0, 0, N, 0)),
    "threshold": (lambda x: (x > 0.5).float(), (0, 0, N, 0)),
    "choose": (lambda x: torch.where(x > 0.5, x, 0.0), (0, 0, 2 * N, 0)),
    "sum": (lambda x: x.sum(1), (N - N // 3, 0, 0, 0)),
    "mean": (lambda x: x.mean(0), (N // 2, N // 2, 0, 0)),
    "running sum": (lambda x: x.cumsum(-1), (N, 0, 0, 0)),
    "maximum": (lambda x: x.amax(-1), (0, 0, N - N // 8, 0)),
    "softmax": (lambda x: x.softmax(1), (2 * N, 0, N, 2 * N)),
    "layer norm": (lambda x: F.layer_norm(x, (8,)), (4 * N, 3 * N, 0, 1)),
    "average pool": (lambda x: F.avg_pool2d(x, 2), (3 * N // 4, N // 4, 0, 0)),
    "adaptive pool": (lambda x: F.adaptive_avg_pool2d(x, 2), (11 * 24, 24, 0, 0)),
    "max pool": (lambda x: F.max_pool2d(x, (2, 4)), (0, 0, 7 * N // 8, 0)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), (0, 0, 0, 0)),
    "bilinear": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        (3 * 4 * N, 4 * 4 * N, 0, 0),
    ),
    "moves": (lambda x: torch.cat([x.flatten(1), x.flatten(1)], 1)[:, ::2].t(), (0, 0, 0, 0)),
}


@pytest.mark.parametrize("name", ONE_CALL)
def test_arithmetic(name):
    function, expected = ONE_CALL[name]
    assert operations(function) == expected


def test_trilinear_resizing_and_soft_argmin():
    scores = torch.rand(1, 1, 4, 3, 5)
    up = operations(lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), scores)
    assert up == (7 * 8 * 60, 8 * 8 * 60, 0, 0)

    def soft_argmin(x):
        planes = torch.arange(4.0).view(1, 1, 4, 1, 1)
        return (x.softmax(2) * planes).sum(2)

    assert operations(soft_argmin, scores) == (2 * 60 + 45, 60, 60, 2 * 60)


def mac_of(model, *inputs):
    counter = run_counted(model, inputs, strict=True)
    assert not counter.uncounted
    return sum(row.mac for row in counter.layers.values())


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_recurrent_layers(kind, gates, first, both):
    ways = 2 if both else 1
    layer = kind(5, 7, num_layers=2, batch_first=first, bidirectional=both)
    x = torch.rand(3, 4, 5)
    by_hand = 12 * ways * gates * 7 * ((5 + 7) + (7 * ways + 7))
    assert mac_of(layer, x) == by_hand


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_recurrent_cells(kind, gates):
    assert mac_of(kind(5, 7), torch.rand(3, 5)) == 3 * gates * 7 * 12


def test_attention_written_out_costs_what_the_function_does():
    q, k, v = torch.rand(2, 4, 5, 6), torch.rand(2, 4, 7, 6), torch.rand(2, 4, 7, 3)
    by_hand = 2 * 4 * (5 * 7 * 6 + 5 * 7 * 3)

    def written(q, k, v):
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v

    assert mac_of(Calls(written), q, k, v) == by_hand
    assert mac_of(Calls(F.scaled_dot_product_attention), q, k, v) == by_hand


@pytest.mark.parametrize("first", [True, False])
def test_multi_head_attention(first):
    layer = nn.MultiheadAttention(12, 3, batch_first=first)
    x = torch.rand(2, 5, 12) if first else torch.rand(5, 2, 12)
    by_hand = 10 * 4 * 12 * 12 + 2 * (5 * 5 * 12) * 2
    assert mac_of(layer, x, x, x) == by_hand


PRODUCTS = {
    "matrix": (lambda w, x: x @ w, (4, 5), (3, 4), 60),
    "from the left": (lambda w, x: w @ x, (5, 4), (4, 3), 60),
    "vector": (lambda w, x: torch.mv(w, x), (5, 4), (4,), 20),
    "with a bias": (lambda w, x: torch.addmm(torch.ones(5), x, w), (4, 5), (3, 4), 60),
    "batch": (lambda w, x: torch.bmm(x, x.transpose(1, 2)), (1,), (2, 3, 4), 72),
    "broadcast": (lambda w, x: x @ x[0].t(), (1,), (2, 3, 4), 2 * 3 * 3 * 4),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    function, weight, size, by_hand = PRODUCTS[name]
    model = Calls(lambda x: function(model.weight, x))
    model.weight = nn.Parameter(torch.rand(weight))
    assert mac_of(model, torch.rand(size)) == by_hand


def test_a_rule_is_added_once():
    with pytest.raises(ValueError, match="rule for 'relu' already"):
        rule("relu")(RULES["relu"])


def test_whatever_has_no_rule_is_listed():
    counter = run_counted(Calls(torch.fft.fft), (X,), strict=True)
    assert counter.uncounted == {("fft_fft", "function"): N} or len(counter.uncounted) == 1
    assert math.prod(X.shape) in counter.uncounted.values()
