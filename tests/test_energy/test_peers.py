"""What other counters get wrong on such models (reproduced with them), as tests of ours."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from reference import energy_counts as slow
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from energy import profile
from energy.counter import Counter, run_counted
from energy.rules.arithmetic import size
from nas.neurons import ALIF, LIF


class Fire(nn.Module):
    emits_spikes = True

    def forward(self, x):
        return (x > 0.3).float()


class Conv(nn.Conv2d):
    """A subclass."""


class Batched(nn.Module):
    """A stateless layer over ``[T, B, ...]``."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class TinyHybrid(nn.Module):
    """Analog events in, two convs, a sum of spikes, stride-2 conv, deconv, analog head."""

    batch_dim = 1

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            Batched(nn.Conv2d(2, 4, 3, 2, 1, bias=False)),
            Batched(nn.Conv2d(4, 4, 3, 1, 1, bias=False)),
        )
        self.norm = Batched(nn.BatchNorm2d(4))
        self.down = Batched(nn.Conv2d(4, 6, 3, 2, 1, bias=False))
        self.up = Batched(nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False))
        self.neurons = nn.ModuleList(Fire() for _ in range(4))
        self.head = nn.Conv2d(4, 2, 3, padding=1)
        self.seen = {}

    def forward(self, x):
        a = self.neurons[0](self.norm(self.first(x)))
        b = a + self.neurons[1](self.second(a))
        c = self.neurons[2](self.down(b))
        d = self.neurons[3](self.up(c))
        self.seen = {"first": x, "second": a, "down": b, "up": c, "head": d.mean(0)}
        return self.head(torch.relu(self.seen["head"] - 0.1))


def test_the_tiny_hybrid_equals_loops():
    torch.manual_seed(1)
    model = TinyHybrid()
    x = torch.randn(3, 2, 2, 12, 9)
    report = profile(model, x, strict=True)
    two = [(1, 1)] * 2
    flat = {n: v.flatten(0, 1).numpy() for n, v in model.seen.items() if n != "head"}
    wanted = {
        "first.layer": (0, slow.conv(flat["first"], (4, 2, 3, 3), (2, 2), two, (1, 1), 1)[1]),
        "second.layer": (slow.conv(flat["second"], (4, 4, 3, 3), (1, 1), two, (1, 1), 1)[0], 0),
        "up.layer": (slow.conv_transposed(flat["up"], (6, 4, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1),
                                          1)[0], 0),
    }  # fmt: skip
    # A sum of two spike maps: what each of them would cost, and where both fire, twice.
    ones, twos = (flat["down"] >= 1), (flat["down"] >= 2)
    assert twos.any()
    sums = [slow.conv(n, (6, 4, 3, 3), (2, 2), two, (1, 1), 1)[0] for n in (ones, twos)]
    wanted["down.layer"] = (sum(sums), 0)
    head = model.seen["head"].numpy()
    wanted["head"] = (0, slow.conv(head, (2, 4, 3, 3), (1, 1), two, (1, 1), 1)[1])
    assert {x.name: (2 * x.ac, 2 * x.mac) for x in report.layers} == wanted
    steps = {x.name: x.steps for x in report.layers}
    assert steps == dict.fromkeys(steps, 3) | {"head": 1}
    by_step = next(x for x in report.layers if x.name == "second.layer").ac_per_step
    second = model.seen["second"].numpy()
    each = [slow.conv(n, (4, 4, 3, 3), (1, 1), two, (1, 1), 1)[0] for n in second]
    assert [2 * n for n in by_step] == each
    folded = {x.name: x.folded_into for x in report.others if x.folded_into}
    assert folded == {"norm.layer": "first.layer"}


def test_a_layer_of_two_parents_is_counted_once_per_call():
    shared = Conv(1, 2, 3, padding=1)
    model = nn.ModuleDict({"left": nn.Sequential(shared), "right": nn.Sequential(shared)})
    model.forward = lambda x: model["left"](x) + model["right"](x.flip(-1))
    x = torch.rand(1, 1, 7, 9)
    report = profile(model, x)
    assert len(report.layers) == 1
    assert report.mac == 2 * profile(shared, x).mac


def test_norms_are_folded_only_where_they_can_be():
    def norms(forward):
        model = nn.ModuleDict({"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4)})
        model.forward = lambda x: forward(model, x)
        report = profile(model, torch.rand(1, 1, 9, 9))
        return [(x.folded_into, x.other_ops) for x in report.others if x.kind == "batch_norm"]

    elements = 4 * 7 * 7
    assert norms(lambda m, x: m["norm"](m["conv"](x))) == [("conv", 0)]
    assert norms(lambda m, x: m["norm"](m["conv"](x).clone().view(1, 4, 7, 7))) == [("conv", 0)]
    assert norms(lambda m, x: m["norm"](F.relu(m["conv"](x)))) == [("", 2 * elements)]
    assert norms(lambda m, x: m["norm"](y := m["conv"](x)) + y) == [("", 2 * elements)]
    assert norms(lambda m, x: m["norm"](x.expand(1, 4, 9, 9))) == [("", 2 * 4 * 81)]


def test_every_sample_counts_and_so_does_every_row():
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    one, two = (profile(up, torch.rand(n, 3, 4, 5), samples=1).other_mj for n in (1, 2))
    assert two == pytest.approx(2 * one)
    assert profile(nn.Linear(5, 7), torch.rand(2, 3, 5)).mac == 3 * 5 * 7


def test_sums_are_exact_beyond_what_floats_can_hold():
    conv = nn.Conv2d(64, 2047, 5, padding=2, bias=False).to("meta")
    model = nn.Sequential(Fire(), conv)
    model.forward = lambda x: F.conv2d(model[0](x), torch.ones(2047, 64, 5, 5), padding=2)
    x = torch.ones(1, 64, 33, 35)
    x[0, 5, 7, 9] = 0
    per_channel = (5 * 33 - 6) * (5 * 35 - 6)
    assert profile(model, x).ac == 2047 * (64 * per_channel - 25) > 2**30


@pytest.mark.parametrize("kind", [LIF, ALIF])
def test_neurons_cost_the_same_however_they_are_computed(kind):
    x = torch.rand(4, 1, 6, 8, 8)
    rows = [profile(kind(backend=b), x, samples=1, steps=4).others for b in ("kernel", "reference")]
    assert rows[0] == rows[1]
    (row,) = rows[0]
    spikes = int(kind()(x).sum())
    updates = x.numel()
    per_update = {LIF: 3, ALIF: 6}[kind]
    assert row.neuron_ops == per_update * updates + (kind is ALIF) * spikes


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fire = nn.Conv2d(1, 3, 3), Fire()
        self.norm, self.head = nn.BatchNorm2d(3), Conv(3, 2, 3)

    def forward(self, x):
        return self.head(self.fire(self.norm(self.conv(x))))


def state(model):
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return hooks, {n: v.clone() for n, v in model.state_dict().items()}, model.training


def test_counting_changes_nothing_nested_twice_or_interrupted():
    torch.manual_seed(0)
    model, x = Everything(), torch.rand(2, 1, 9, 9)
    hooks, before, training = state(model)
    expected = model.eval()(x)
    model.train(training)
    first = profile(model, x)
    with torch.no_grad(), Counter(model) as outer:
        inner = run_counted(model, (x,), strict=True, samples=2)
    assert {n: (c.ac, c.mac) for n, c in outer.layers.items()} == {
        n: (c.ac, c.mac) for n, c in inner.layers.items()
    }
    assert profile(model, x).layers == first.layers

    def interrupt(*_):
        raise KeyboardInterrupt

    handle = model.head.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        profile(model, x)
    handle.remove()
    assert state(model)[0] == hooks
    assert model.training == training
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert torch.equal(model.eval()(x), expected)
    assert profile(model, x).layers == first.layers


class Moody(nn.Module):
    """Emits spikes, or fails."""

    emits_spikes = True
    error: BaseException | None = None

    def forward(self, x):
        x = x + 1  # what is done here is nobody's business
        if self.error is not None:
            raise self.error
        return (x > 1.5).float()


class Careful(nn.Module):
    """Goes on without its neuron if that fails."""

    def __init__(self):
        super().__init__()
        self.fire, self.inner, self.head = Moody(), nn.Sequential(Moody()), nn.Conv2d(2, 3, 3)

    def forward(self, x):
        for part in (self.fire, self.inner):
            try:
                x = part(x)
            except ValueError:
                x = x * 2
        return self.head(x)


def test_a_model_may_catch_what_fails_within_a_neuron():
    model, x = Careful(), torch.rand(1, 2, 7, 7)
    model.inner[0].error = ValueError("tired")
    with torch.no_grad(), Counter(model) as outer:
        inner = run_counted(model, (x,), strict=True)
        model(x)
    for counter, times in ((inner, 1), (outer, 2)):
        layers = {layer.name: layer for layer in counter.layers.values()}
        assert layers["mul"].mul == times * x.numel()  # seen, and not as if in the neuron
        assert layers["head"].dense == times * 5 * 5 * 9 * 2 * 3
        assert layers["head"].ac > layers["head"].mac == 0  # spikes times two are scaled spikes
        assert counter.inside_neuron == 0


def test_a_run_that_ends_within_a_neuron_leaves_no_mode_behind():
    model, x = Careful(), torch.rand(1, 2, 7, 7)
    model.fire.error = KeyboardInterrupt()
    modes = len(_get_current_function_mode_stack())
    with torch.no_grad(), Counter(nn.Identity()) as outer:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                profile(model, x)
        assert len(_get_current_function_mode_stack()) == modes + 1
        torch.rand(3).exp()
    assert len(_get_current_function_mode_stack()) == modes
    assert sum(layer.special for layer in outer.layers.values()) == 3


def test_inputs_are_freed_while_the_model_runs():
    alive = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(4))

        def forward(self, x):
            seen = []
            for conv in self.convs:
                x = conv(x)
                seen.append(weakref.ref(x))
            gc.collect()
            alive.append(sum(ref() is not None for ref in seen))
            return x

    profile(Watch(), torch.rand(1, 2, 5, 5))
    assert alive == [1]


def test_sizes_of_results():
    assert size((torch.ones(3), torch.ones(4))) == 3
    assert size([]) == size(None) == 0
