"""The bi-level step: second order against the exact gradient, accumulation, clipping, refusals."""

import copy

import pytest
import torch
from reference.relaxed_toy import Toy, batch, loss
from torch import nn
from torch.func import functional_call

from nas.bilevel import MicroBatches, StepRules, bilevel_step, others, weights_step
from nas.unrolled import unrolled_gradients, virtual_moves

OPTIMIZERS = {
    "plain": lambda p: torch.optim.SGD(p, lr=0.3),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, weight_decay=0.05),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.8, nesterov=True),
    "damped": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, dampening=0.5),
    "adam": lambda p: torch.optim.Adam(p, lr=0.2, weight_decay=0.1, eps=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.2, weight_decay=0.1, eps=1e-3),
}


class Smooth(nn.Module):
    """A mixture of two smooth layers that can be differentiated twice, in float64."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 1)
        self.logits = nn.Parameter(torch.tensor([0.3, -0.2]))
        self.unused = nn.Parameter(torch.ones(3))
        self.double()

    def forward(self, x):
        p = torch.softmax(self.logits, 0)
        return self.head(p[0] * torch.tanh(self.a(x)) + p[1] * torch.sin(self.b(x)))


def squares(model, data):
    return (model(data[0]) - data[1]).square().mean()


def smooth_data(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x, torch.sin(3 * x[:, :1])


def exact_gradient(model, optimizer, training, held_out, clip=float("inf")):
    """By double backward: the optimizer's own step is copied to a differentiable one beforehand."""
    names = {id(p): n for n, p in model.named_parameters()}
    weights = [p for g in optimizer.param_groups for p in g["params"]]
    found = torch.autograd.grad(
        squares(model, training), weights, create_graph=True, allow_unused=True
    )
    norm = sum(g.square().sum() for g in found if g is not None).sqrt()
    factor = clip / norm if norm > clip else 1.0
    gradients = {n: factor * g for n, g in enumerate(found) if g is not None}
    moves = virtual_moves(optimizer, gradients)
    moved = {names[id(weights[n])]: weights[n] + move for n, move in moves.items()}
    prediction = functional_call(model, moved, (held_out[0],))
    value = (prediction - held_out[1]).square().mean()
    return value, torch.autograd.grad(value, model.logits)[0]


def warmed(name):
    """A model and an optimizer of its weights that has momentum already."""
    torch.manual_seed(3)
    model = Smooth()
    optimizer = OPTIMIZERS[name](others(model, [model.logits]))
    for seed in (10, 11):
        weights_step(model, squares, smooth_data(seed), optimizer, StepRules())
    return model, optimizer


def step_gradient(model, optimizer, rules, training, held_out):
    """The architecture's gradient in a step: what plain descent of size 1 moves it by."""
    model, optimizer = copy.deepcopy((model, optimizer))
    before = model.logits.detach().clone()
    result = bilevel_step(
        model, squares, training=training, held_out=held_out, weights=optimizer,
        architecture=torch.optim.SGD([model.logits], lr=1.0), rules=rules,
    )  # fmt: skip
    return result.held_out, before - model.logits.detach()


# ---- numbers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_virtual_move_is_the_move_that_the_optimizer_makes(name):
    model, optimizer = warmed(name)
    weights = [p for g in optimizer.param_groups for p in g["params"]]
    value = squares(model, smooth_data(1))
    found = torch.autograd.grad(value, weights, allow_unused=True)
    moves = virtual_moves(optimizer, {n: g for n, g in enumerate(found) if g is not None})
    before = [p.detach().clone() for p in weights]
    weights_step(model, squares, smooth_data(1), optimizer, StepRules())
    for n, (p, old) in enumerate(zip(weights, before)):
        moved = moves.get(n, torch.zeros_like(old))
        torch.testing.assert_close(p.detach() - old, moved, rtol=1e-9, atol=1e-12)
    assert len(moves) == len(weights) - 1, "all but the unused one"


@pytest.mark.parametrize("clip", [float("inf"), 0.1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_second_order_is_the_exact_gradient_through_the_step(name, clip):
    model, optimizer = warmed(name)
    training, held_out = smooth_data(1), smooth_data(2)
    value, exact = exact_gradient(model, optimizer, training, held_out, clip)
    rules = StepRules(second_order=True, clip=clip)
    reported, second = step_gradient(model, optimizer, rules, training, held_out)
    _, first = step_gradient(model, optimizer, StepRules(clip=clip), training, held_out)
    assert reported == pytest.approx(value.item(), rel=1e-6)
    torch.testing.assert_close(second, exact, rtol=1e-3, atol=1e-6)
    assert (first - exact).norm() > 10 * (second - exact).norm()
    assert (first - exact).norm() > 1e-2 * exact.norm()


def test_accumulated_micro_batches_are_one_batch():
    x, y = smooth_data(5)
    halves = MicroBatches([(x[:4], y[:4]), (x[4:], y[4:])])
    for second_order in (False, True):
        rules = StepRules(second_order=second_order, clip=0.2)
        moved = []
        for data in ((x, y), halves):
            model, optimizer = warmed("momentum")
            architecture = torch.optim.Adam([model.logits], lr=0.1)
            for _ in range(3):
                bilevel_step(model, squares, training=data, held_out=data, weights=optimizer,
                             architecture=architecture, rules=rules)  # fmt: skip
            moved.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        torch.testing.assert_close(*moved, rtol=1e-9, atol=1e-9)


def test_a_gradient_is_shortened_to_the_clip_and_not_lengthened():
    model, _ = warmed("plain")
    weights = others(model, [model.logits])
    for clip, scale in ((0.05, None), (1e6, 1.0)):
        trial = copy.deepcopy(model)
        own = others(trial, [trial.logits])
        found = torch.autograd.grad(squares(trial, smooth_data(1)), own, allow_unused=True)
        norm = torch.cat([g.flatten() for g in found if g is not None]).norm().item()
        weights_step(trial, squares, smooth_data(1), torch.optim.SGD(own, lr=1.0),
                     StepRules(clip=clip))  # fmt: skip
        moved = torch.cat([(a - b).flatten() for a, b in zip(own, weights)]).norm().item()
        assert moved == pytest.approx(norm * scale if scale else clip, rel=1e-6)


def test_scaling_the_loss_by_a_power_of_two_changes_nothing():
    after = []
    for scale in (1.0, 1024.0):
        model, optimizer = warmed("momentum")
        weights_step(model, squares, smooth_data(1), optimizer, StepRules(loss_scale=scale))
        after.append(model.a.weight.detach().clone())
    assert torch.equal(*after)


def test_the_loss_is_computed_in_the_precision_asked_for():
    seen = []

    def spying(model, data):
        value = loss(model, data)
        seen.append((model.edges[0].candidates[0][0](data[0]).dtype, value.dtype))
        return value

    model = Toy()
    optimizer = torch.optim.SGD(others(model, model.architecture()), lr=0.1)
    rules = StepRules(precision=lambda: torch.autocast("cpu", torch.bfloat16))
    before = model.head.weight.detach().clone()
    assert weights_step(model, spying, batch(0), optimizer, rules) > 0
    assert seen[0][0] == torch.bfloat16
    assert model.head.weight.dtype == torch.float32
    assert not torch.equal(model.head.weight, before)


# ---- invariants


def test_looking_ahead_leaves_weights_statistics_and_optimizer_as_they_were():
    model = Toy(sampled=True)
    weights = others(model, model.architecture())
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
    weights_step(model, loss, batch(0), optimizer, StepRules())
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))

    def evaluate(of, data):
        value = loss(model, data)
        return value.detach(), list(torch.autograd.grad(value, of, allow_unused=True))

    unrolled_gradients(model, model.architecture(), optimizer,
                       on_training=lambda of: evaluate(of, batch(1)),
                       on_held_out=lambda of: evaluate(of, batch(2)))  # fmt: skip
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[0][name]), name
    for key, state in optimizer.state_dict()["state"].items():
        assert torch.equal(state["momentum_buffer"], before[1][key]["momentum_buffer"])


def test_both_sides_of_the_difference_draw_the_same_noise():
    model = Toy(neuron="tanh", sampled=True)
    optimizer = torch.optim.SGD(others(model, model.architecture()), lr=0.1)
    drawn = []

    def evaluate(of, data):
        drawn.append(torch.get_rng_state())
        value = loss(model, data)
        return value.detach(), list(torch.autograd.grad(value, of, allow_unused=True))

    unrolled_gradients(model, model.architecture(), optimizer,
                       on_training=lambda of: evaluate(of, batch(1)),
                       on_held_out=lambda of: evaluate(of, batch(2)))  # fmt: skip
    virtual, held_out, plus, minus = drawn
    assert torch.equal(plus, virtual)
    assert torch.equal(minus, virtual)
    assert not torch.equal(held_out, virtual)


def test_second_order_trains_spiking_neurons():
    model = Toy()
    weights = torch.optim.SGD(others(model, model.architecture()), lr=0.3, momentum=0.9)
    architecture = torch.optim.Adam(model.architecture(), lr=0.05)
    losses = [
        bilevel_step(model, loss, training=batch(2 * n, 64), held_out=batch(2 * n + 1, 64),
                     weights=weights, architecture=architecture,
                     rules=StepRules(second_order=True, clip=5.0)).training
        for n in range(30)
    ]  # fmt: skip
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


# ---- errors


@pytest.mark.parametrize("second_order", [False, True])
def test_what_is_added_and_not_finite_moves_nothing(second_order):
    model, optimizer = warmed("plain")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match="lower the step sizes"):
        bilevel_step(model, squares, training=smooth_data(1), held_out=smooth_data(2),
                     weights=optimizer, architecture=torch.optim.SGD([model.logits], lr=1.0),
                     added=lambda: model.logits.sum() * float("inf"),
                     rules=StepRules(second_order=second_order))  # fmt: skip
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_refusals():
    model, _ = warmed("plain")
    weights = others(model, [model.logits])
    with pytest.raises(ValueError, match="SGD, Adam and AdamW"):
        virtual_moves(torch.optim.RMSprop(weights), {})
    with pytest.raises(ValueError, match=r"SGD\['maximize'\]"):
        virtual_moves(torch.optim.SGD(weights, lr=0.1, maximize=True), {})
    with pytest.raises(ValueError, match="clip must be positive, got 0"):
        StepRules(clip=0.0)
    with pytest.raises(ValueError, match="needs training data"):
        weights_step(model, squares, MicroBatches(), torch.optim.SGD(weights, lr=0.1), StepRules())
