"""DGS: gradients of a layer under any temperature, rounds, and what they leave untouched."""

import pytest
import torch
from torch import nn

from nas.dgs import DGS, search_temperatures, temperature_of
from nas.look_ahead import Pass, loss_with, step_ahead
from nas.neurons import LIF, CurrentLIF, Integrator
from nas.neurons.steps import LIFParams
from nas.surrogate import Dspike

OWN = {"first": {"one.weight", "one.bias", "norm.weight", "norm.bias"},
       "second": {"two.weight", "two.bias"}}  # fmt: skip


class Net(nn.Module):
    """Two spiking layers, a batch norm, the first used twice as for two cameras."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.one, self.norm, self.first = nn.Linear(5, 6), nn.BatchNorm1d(6), LIF()
        self.two, self.second = nn.Linear(12, 4), CurrentLIF()
        self.out, self.readout = nn.Linear(4, 3), Integrator()

    def features(self, x):
        return self.first(self.norm(self.one(x).flatten(0, 1)).view(*x.shape[:2], 6))

    def forward(self, x):
        both = torch.cat([self.features(x), self.features(x.flip(-1))], -1)
        return self.readout(self.out(self.second(self.two(both))))[-1]


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(6, 32, 5, generator=generator)
    return x, torch.randint(0, 3, (32,), generator=generator)


def loss(model, given):
    return nn.functional.cross_entropy(model(given[0]), given[1])


def by_autograd(model, name, temperature):
    """Return the gradients of a layer's own weights from a whole backward pass."""
    getattr(model, name).set_temperature(temperature)
    model.zero_grad()
    loss_with(model, loss, batch(), {}).backward()
    return {n: model.get_parameter(n).grad.clone() for n in OWN[name]}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("temperature", [3.0, 1.0, 7.5])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_a_model_with_that_temperature(name, temperature, training):
    model = Net().train(training)
    found = Pass(model, loss, batch()).gradient(name, temperature)
    expected = by_autograd(Net().train(training), name, temperature)
    assert set(found) == OWN[name]
    for parameter, gradient in expected.items():
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("seed", range(3))
def test_a_temperature_can_be_differentiated_through(name, seed):
    model = Net().double()  # a difference of float32 gradients is mostly rounding
    given, labels = batch()
    passed = Pass(model, loss, (given.double(), labels))
    b = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    generator = torch.Generator().manual_seed(seed)
    toward = {n: torch.randn(model.get_parameter(n).shape, generator=generator) for n in OWN[name]}

    def along(temperature):
        gradient = passed.gradient(name, temperature)
        return sum((gradient[n] * toward[n]).sum() for n in toward)

    (slope,) = torch.autograd.grad(along(b), b)
    step = 1e-4
    difference = (along(2.5 + step) - along(2.5 - step)) / (2 * step)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-6)


@pytest.mark.parametrize("judge", ["mixed", "loss", "gradient"])
def test_a_round_sets_temperatures_and_leaves_everything_else(judge):
    model = Net()
    before = {n: v.clone() for n, v in model.state_dict().items()}
    batches = [batch(n) for n in range(4)]
    found = search_temperatures(
        model, loss, batches[:2], batches[2:],
        DGS(judge=judge, batches=2, layers="*s*", look_ahead=0.3),
    )  # fmt: skip
    assert set(found) == {"first", "second"}
    for name, choice in found.items():
        assert choice.before == 3.0
        assert temperature_of(getattr(model, name)) == pytest.approx(choice.after)
        if judge == "gradient":
            assert choice.after != 3.0
        else:
            assert choice.candidates == pytest.approx((2.6, 2.8, 3.0, 3.2, 3.4))
            assert choice.scores[choice.candidates.index(choice.after)] == max(choice.scores)
    if judge != "gradient":
        assert any(len(set(choice.scores)) > 1 for choice in found.values())
    after = model.state_dict()
    assert all(torch.equal(after[n], v) for n, v in before.items())
    assert set(after) - set(before) == {"first.temperature", "second.temperature"}
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


class Pooled(Net):
    """A further spiking layer without weights, as behind a global pool."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.pool = LIF(LIFParams(threshold=0.3))

    def forward(self, x):
        both = torch.cat([self.features(x), self.features(x.flip(-1))], -1)
        pooled = self.pool(self.second(self.two(both)).unflatten(-1, (2, 2)).mean(-1))
        return self.readout(self.out(pooled.repeat_interleave(2, -1)))[-1]


@pytest.mark.parametrize("judge", ["mixed", "loss", "gradient"])
def test_layers_without_weights_of_their_own_are_left_out(judge):
    model = Pooled()
    dgs = DGS(judge=judge, batches=1, look_ahead=0.3)
    found = search_temperatures(model, loss, [batch()], [batch(1)], dgs)
    assert set(found) == {"first", "second"}
    assert model.pool.temperature is None
    assert Pass(model, loss, batch()).gradient("pool", 3.0) == {}
    for name in found:  # and gradients pass through it
        assert all(
            g.abs().sum() > 0 for g in Pass(model, loss, batch()).gradient(name, 3.0).values()
        )
    only = DGS(judge=judge, batches=1, layers="pool")
    assert search_temperatures(model, loss, [batch()], [batch(1)], only) == {}


class Sometimes(Net):
    """Its second layer is left out for batches that begin with a label of zero."""

    def forward(self, x):
        both = torch.cat([self.features(x), self.features(x.flip(-1))], -1)
        fired = self.second(self.two(both)) if self.calls else both[..., :4]
        return self.readout(self.out(fired))[-1]


@pytest.mark.parametrize("judge", ["mixed", "loss", "gradient"])
def test_a_layer_is_judged_by_the_batches_that_reach_it(judge):
    """What another batch said about it is not counted twice, and not forgotten."""

    def some(model, given):
        model.calls = given[2]
        return loss(model, given)

    found = []
    for second in (False, None):
        first = (*batch(0), True), (*batch(1), True)
        rounds = [first] if second is None else [first, ((*batch(2), second), (*batch(3), second))]
        dgs = DGS(judge=judge, batches=len(rounds), look_ahead=0.3)
        found.append(search_temperatures(Sometimes(), some, *zip(*rounds), dgs)["second"])
    assert found[0].after == found[1].after
    assert judge != "gradient" or found[0].after != 3.0


def test_the_loss_judge_finds_the_candidate_that_a_brute_force_finds():
    model, dgs = Net(), DGS(judge="loss", batches=1, look_ahead=0.05, step=0.9, layers="second")
    found = search_temperatures(model, loss, [batch(0)], [batch(1)], dgs)["second"]
    scores = []
    for b in found.candidates:
        other = Net()
        gradient = by_autograd(other, "second", b)
        ahead = step_ahead(other, gradient, 0.05)
        with torch.no_grad():
            scores.append(-float(loss_with(other, loss, batch(1), ahead)))
    assert scores == pytest.approx(list(found.scores), rel=1e-5)
    assert found.after == found.candidates[scores.index(max(scores))]


def test_a_mode_of_the_model_that_fails_leaves_no_hooks():
    model = Net()

    def broken(m, given):
        m(given[0])
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        search_temperatures(model, broken, [batch()], [batch()], DGS(batches=1))
    assert not any(module._forward_hooks for module in model.modules())


def test_without_evidence_nothing_changes():
    model = Net()
    with torch.no_grad():
        model.one.weight.zero_()
        model.one.bias.fill_(-5.0)
        model.norm.weight.zero_()
        model.norm.bias.fill_(-5.0)  # far below the threshold: no gradient for any temperature
    found = search_temperatures(
        model, loss, [batch()], [batch(1)], DGS(batches=1, layers="first", judge="loss")
    )
    assert found["first"].after == 3.0


def test_searched_temperatures_are_in_the_checkpoint():
    model = Net()
    model.first.set_temperature(1.7)
    model.second.set_temperature(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    fresh = Net(seed=1)
    fresh.load_state_dict(model.state_dict())
    assert temperature_of(fresh.first) == pytest.approx(1.7)
    assert fresh.second.constants().surrogate.temperature.tolist() == [1, 2, 3, 4]
    plain = Net()
    assert "first.temperature" not in plain.state_dict()
    plain.load_state_dict(Net(seed=2).state_dict())
    assert temperature_of(plain.first) == 3.0


def test_steps_ahead_have_one_length():
    model = Net()
    gradient = {n: torch.randn_like(model.get_parameter(n)) for n in OWN["second"]}
    for scale in (1.0, 1e-6, 1e6):
        ahead = step_ahead(model, {n: scale * g for n, g in gradient.items()}, 0.03)
        moved = sum((ahead[n] - model.get_parameter(n)).square().sum() for n in ahead).sqrt()
        size = sum(model.get_parameter(n).square().sum() for n in ahead).sqrt()
        assert (moved / size).item() == pytest.approx(0.03, rel=1e-3)
    still = step_ahead(model, {n: 0 * g for n, g in gradient.items()}, 0.03)
    assert all(torch.equal(w, model.get_parameter(n)) for n, w in still.items())


def test_schedule_and_candidates():
    dgs = DGS(first=10, every=5, step=0.5, low=1.0, high=3.2)
    assert [s for s in range(22) if dgs.due(s)] == [10, 15, 20]
    assert dgs.candidates(3.0) == [2.0, 2.5, 3.0, 3.2]
    assert dgs.candidates(1.0) == [1.0, 1.5, 2.0]


@pytest.mark.parametrize("wrong", [{"step": 0.0}, {"reach": 0}, {"low": 2.0, "high": 1.0},
                                   {"batches": 0}, {"judge": "guess"}, {"rate": 0.0}])  # fmt: skip
def test_a_search_that_cannot_move_is_refused(wrong):
    with pytest.raises(ValueError, match="DGS"):
        DGS(**wrong)


def test_what_dgs_cannot_search_is_said():
    with pytest.raises(ValueError, match="No spiking neuron"):
        search_temperatures(Net(), loss, [batch()], [batch()], DGS(layers="none*"))
    with pytest.raises(ValueError, match="needs 20 training"):
        search_temperatures(Net(), loss, [batch()], [batch()], DGS())
    model = nn.Sequential(nn.Linear(2, 2), LIF(learn={"temperature": ()}))
    with pytest.raises(ValueError, match="learns its own"):
        search_temperatures(model, loss, [batch()], [batch()], DGS(batches=1))
    with pytest.raises(ValueError, match="learns its temperature"):
        model[1].set_temperature(2.0)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive and finite"):
            LIF().set_temperature(bad)


def test_a_temperature_changes_gradients_and_not_spikes():
    x = torch.randn(5, 2, 7, requires_grad=True)
    gradients = []
    for b in (1.0, 5.0):
        neuron = LIF(LIFParams(surrogate=Dspike(2.0)))
        neuron.set_temperature(b)
        spikes = neuron(x)
        gradients.append((spikes.detach(), torch.autograd.grad(spikes.sum(), x)[0]))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.equal(gradients[0][1], gradients[1][1])
