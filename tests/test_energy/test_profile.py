"""Provenance, a whole hybrid network against loops, reports, and what the counter leaves behind."""

import json

import pytest
import torch
import torch.nn.functional as F
from reference import energy_counts as slow
from torch import nn

from energy import EnergyError, mean_report, profile
from energy.report import percent, shorten, si
from energy.technology import TECHNOLOGIES


class Fire(nn.Module):
    emits_spikes = True

    def forward(self, x):
        return (x * 3.0 - 0.2 > 0).float()


class Odd(nn.Conv2d):
    """A subclass, which look-ups by exact type miss."""


class TinyHybrid(nn.Module):
    """Analog in, spikes, siamese use, concatenation volume, nearest resize, linear head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.fire = Fire()
        self.shared = Odd(2, 3, 3, stride=2, padding=1)
        self.volume = nn.Conv3d(6, 2, 3, padding=1)
        self.after_sum = nn.Conv2d(2, 2, 1)
        self.up = nn.ConvTranspose2d(2, 1, 4, stride=2, padding=1)
        self.head = nn.Linear(8, 2)
        self.kept = {}

    def forward(self, left, right):
        seen = self.kept
        a, b = self.fire(self.first(left)), self.fire(self.first(right))
        f, g = self.fire(self.shared(a)), self.fire(self.shared(b))
        volume = f.new_zeros((f.shape[0], 6, 3, *f.shape[2:]))
        for d in range(3):
            volume[:, :3, d, :, d:] = f[..., d:]
            volume[:, 3:, d, :, d:] = g[..., : g.shape[-1] - d]
        spikes = self.fire(self.volume(volume))
        plane = F.interpolate(spikes[:, :, 0], size=(8, 8), mode="nearest")
        total = plane + plane.flip(-1)
        out = self.up(torch.cat([plane[:, :1], plane[:, 1:]], dim=1))
        seen.update(left=left, right=right, a=a, b=b, volume=volume, plane=plane, out=out,
                    total=total)  # fmt: skip
        return self.head(out[..., :8]) + self.after_sum(total).mean()


@pytest.fixture
def hybrid():
    torch.manual_seed(3)
    model = TinyHybrid()
    inputs = torch.randn(2, 1, 9, 11), torch.randn(2, 1, 9, 11)
    return model, inputs


def test_the_table_of_a_hybrid_equals_loops(hybrid):
    model, inputs = hybrid
    report = profile(model, *inputs, strict=True)
    seen = {name: value.numpy() for name, value in model.kept.items()}
    flat = [(1, 1)] * 2
    rows = {
        "first": (0, sum(slow.conv(seen[n], (2, 1, 3, 3), (1, 1), flat, (1, 1), 1)[1]
                         for n in ("left", "right"))),
        "shared": (sum(slow.conv(seen[n], (3, 2, 3, 3), (2, 2), flat, (1, 1), 1)[0]
                       for n in "ab"), 0),
        "volume": (slow.conv(seen["volume"], (2, 6, 3, 3, 3), (1,) * 3, [(1, 1)] * 3, (1,) * 3,
                             1)[0], 0),
        "up": (slow.conv_transposed(seen["plane"], (2, 1, 4, 4), (2, 2), (1, 1), (0, 0), (1, 1),
                                    1)[0], 0),
        # two spikes at one place cost two accumulates
        "after_sum": (2 * int(seen["total"].sum()), 0),
        "head": (0, slow.linear(seen["out"][..., :8], 2)[1]),
    }  # fmt: skip
    got = {layer.name: (layer.ac * 2, layer.mac * 2) for layer in report.layers}
    assert got == rows
    assert all(ac + mac > 0 for ac, mac in rows.values()), "a silent layer tests nothing"
    assert max(seen["plane"].max(), seen["volume"].max()) == 1
    for layer in report.layers:
        assert layer.energy_uj == pytest.approx((0.9 * layer.ac + 4.6 * layer.mac) * 1e-6)


def test_totals_are_the_sums_of_their_rows(hybrid):
    document = json.loads(profile(hybrid[0], *hybrid[1]).to_json())
    rows = document["layers"]
    assert document["ac"] == sum(row["ac"] for row in rows)
    assert document["mac"] == sum(row["mac"] for row in rows)
    assert document["total_mj"] == pytest.approx(sum(row["energy_uj"] for row in rows) / 1000)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert document["samples"] == 2


def test_a_shared_module_is_counted_per_call_and_shown_once(hybrid):
    model, (left, right) = hybrid
    names = [layer.name for layer in profile(model, left, right).layers]
    assert len(names) == len(set(names)) == 6


def test_what_has_no_rule_is_listed_with_its_size(hybrid):
    rows = {(row.op, row.layer): row for row in profile(hybrid[0], *hybrid[1]).uncounted}
    neuron = rows["neuron update (Fire)", "fire"]
    assert neuron.calls == 5
    assert neuron.elements == (2 * 2 * 9 * 11 + 2 * 3 * 5 * 6 + 2 * 3 * 5 * 6)
    assert set(rows) == {("neuron update (Fire)", "fire")}, "the rest moves or is counted"


def test_arithmetic_stands_beside_the_layers(hybrid):
    report = profile(*[hybrid[0], *hybrid[1]])
    others = {(layer.name, layer.kind): layer for layer in report.others}
    per_sample = {"add": 2 * 8 * 8, "mean": 2 * 8 * 8 - 0.5}
    for name, elements in per_sample.items():
        (row,) = [layer for (_, kind), layer in others.items() if kind == name]
        assert (row.ac, row.mac, row.energy_uj) == (0, 0, 0)
        assert row.other_ops >= elements
    assert report.total_mj == pytest.approx(sum(x.energy_uj for x in report.layers) / 1e3)
    assert report.other_mj > 0
    assert report.everything_mj == pytest.approx(report.total_mj + report.other_mj)


def test_values_do_not_decide():
    conv = nn.Conv2d(1, 1, 3)
    ones = torch.ones(1, 1, 5, 5)
    assert profile(conv, ones).mac == 81
    assert profile(conv, ones).ac == 0
    silent = profile(nn.Sequential(Fire(), conv), torch.full((1, 1, 5, 5), -1.0))
    assert (silent.ac, silent.mac) == (0, 0)
    assert silent.layers[0].firing_rate == 0.0
    assert profile(conv, ones).layers[0].firing_rate is None


class Liar(nn.Module):
    emits_spikes = True

    def forward(self, x):
        return x


def test_false_spikes_warn_or_raise():
    model = nn.Sequential(Liar(), nn.Conv2d(1, 1, 1))
    x = torch.full((1, 1, 2, 2), 0.5)
    assert "other than those of spikes" in profile(model, x).summary[-1]
    with pytest.raises(EnergyError, match="input of 1 comes from a module that declares"):
        profile(model, x, strict=True)


class Through(nn.Module):
    """Fire, then one operation, then a convolution."""

    def __init__(self, operation):
        super().__init__()
        self.fire, self.conv, self.operation = Fire(), nn.Conv2d(2, 1, 1), operation

    def forward(self, x):
        return self.conv(self.operation(self.fire(x)))


KEEP = {
    "cat": lambda s: torch.cat([s, s], dim=3),
    "stack": lambda s: torch.stack([s, s], dim=2)[:, :, 0],
    "permute": lambda s: s.permute(0, 1, 3, 2),
    "pad": lambda s: F.pad(s, (1, 1)),
    "pool": lambda s: F.max_pool2d(s, 2),
    "nearest": lambda s: F.interpolate(s, scale_factor=2, mode="nearest"),
    "view": lambda s: s.flatten(2).unflatten(2, s.shape[2:]),
    "chunk": lambda s: torch.cat(s.chunk(2, dim=2), dim=2),
    "and": lambda s: s * s.flip(-1),
    "cat with zeros": lambda s: torch.cat([s, torch.zeros_like(s)], dim=2),
    "detach": lambda s: s.detach().clone().contiguous(),
}
LOSE = {
    "linear resize": lambda s: F.interpolate(s, scale_factor=2, mode="bilinear"),
    "in-place": lambda s: s.clone().add_(1),
    "pad with ones": lambda s: F.pad(s, (1, 1), value=1.0),
    "cat with ones": lambda s: torch.cat([s, torch.ones_like(s)], dim=2),
    "write ones": lambda s: write_ones(s.clone()),
}


def write_ones(s):
    s[:, :, 0] = torch.ones_like(s[:, :, 0]) * 0.5
    return s


@pytest.mark.parametrize("name", KEEP)
def test_moves_keep_spikes(name):
    report = profile(Through(KEEP[name]), torch.randn(1, 2, 4, 4), strict=True)
    assert report.layers[0].firing_rate is not None
    assert report.mac == 0


@pytest.mark.parametrize("name", LOSE)
def test_arithmetic_makes_analog(name):
    report = profile(Through(LOSE[name]), torch.randn(1, 2, 4, 4), strict=True)
    assert report.layers[0].firing_rate is None
    assert report.ac == 0


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1, 3, 3))
        self.other = nn.Parameter(torch.ones(1, 1, 1, 1))

    def forward(self, x):
        return F.conv2d(F.conv2d(x, self.weight), weight=self.other)


def test_functional_calls_are_seen_one_by_one():
    report = profile(Functional(), torch.ones(1, 1, 5, 5))
    assert [(layer.name, layer.mac) for layer in report.layers] == [("conv2d", 81), ("conv2d#2", 9)]


def test_the_model_is_left_as_it_was(hybrid):
    model, inputs = hybrid
    model.train()
    model.fire.eval()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    attributes = [set(vars(m)) for m in model.modules()]
    first = profile(model, *inputs).to_json()
    assert first == profile(model, *inputs).to_json()
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert attributes == [set(vars(m)) for m in model.modules()]
    assert model.training
    assert not model.fire.training
    with pytest.raises(RuntimeError):
        profile(model, torch.ones(1, 5, 9, 11), inputs[1])
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_prices_and_errors(hybrid):
    model, inputs = hybrid
    cheap = profile(model, *inputs, technology="45nm-int8")
    assert cheap.total_mj < profile(model, *inputs).total_mj
    assert all(t.source and (t.mac_pj or 1e9) > t.ac_pj > 0 for t in TECHNOLOGIES.values())
    with pytest.raises(EnergyError, match="Unknown technology 'x'; known: .*45nm-fp32"):
        profile(model, *inputs, technology="x")
    with pytest.raises(EnergyError, match="at least one sample"):
        profile(nn.Linear(2, 2), torch.ones(0, 2))


def test_mean_of_reports_is_the_report_of_the_batch(hybrid):
    model, (left, right) = hybrid
    one = [profile(model, left[i : i + 1], right[i : i + 1]) for i in range(2)]
    mean, both = mean_report(one), profile(model, left, right)
    assert mean.samples == 2
    assert mean.total_mj == pytest.approx(both.total_mj)
    assert [x.ac for x in mean.layers] == pytest.approx([x.ac for x in both.layers])
    with pytest.raises(EnergyError, match="no report"):
        mean_report([])
    with pytest.raises(EnergyError, match="different models"):
        mean_report([one[0], profile(nn.Linear(2, 2), torch.ones(1, 2))])


def test_the_table_fits_100_columns(hybrid):
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(profile(hybrid[0], *hybrid[1]).table())
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "..." not in text
    assert "total" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12, "12"), (999, "999"), (999.9, "1.00 k"), (1234, "1.23 k"),
     (45_600_000, "45.6 M"), (1e9, "1.00 G"), (2.5e12, "2.50 T"), (123_456, "123 k")],
)  # fmt: skip
def test_si(value, text):
    assert si(value) == text


def test_small_formats():
    assert percent(None) == "-"
    assert percent(0.1234) == "12.3 %"
    assert shorten("a" * 50, 20).startswith("aaaaaa...")
    assert len(shorten("a" * 50, 20)) == 20
