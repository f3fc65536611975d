"""The score function: log probabilities of draws, and the gradient that they give."""

from itertools import product

import pytest
import torch
from torch import nn

from nas.relaxed.architecture import PartArchitecture, decide
from nas.relaxed.beliefs import (
    PartGates,
    gates,
    log_probability,
    reach,
    reachable,
    sample,
    stages,
    subsets,
)
from nas.relaxed.score import compared, drawn_log_probability
from nas.space import PartSpace
from nas.temporal import SearchedNeuron

SPACE = PartSpace(
    dimension=2, layers=2, candidates=("skip", "conv3"), nodes=1, edges=1, levels=2, analog=True
)


def every_draw(space):
    """Yield all decisions of a part, those without an effect too."""
    sources = [len(space.sources(n)) for n in range(space.nodes)]
    wirings = [subsets(count, space.kept(n)) for n, count in enumerate(sources)]
    ops = [range(len(space.candidates))] * len(space.pairs)
    steps = list(reachable(space).items())
    names = stages(space)
    for *kept, op, path, spikes in product(
        *wirings, product(*ops), product(*(range(len(levels)) for _, levels in steps)),
        product((0.0, 1.0), repeat=len(names)),
    ):  # fmt: skip
        yield PartGates(
            edges=tuple(
                torch.tensor([float(n in chosen) for n in range(count)])
                for chosen, count in zip(kept, sources, strict=True)
            ),
            ops=torch.eye(len(space.candidates))[list(op)],
            transitions={
                step: torch.eye(len(levels))[to]
                for (step, levels), to in zip(steps, path, strict=True)
            },
            spiking=dict(zip(names, torch.tensor(spikes), strict=True)),
        )


def effect(space, drawn):
    """Return what a draw decides, without what has no effect."""
    kept = torch.cat(drawn.edges)
    visited = reach(space, drawn.transitions)
    carried = kept[:, None] * drawn.ops
    return (
        tuple(kept.detach().tolist()),
        tuple(carried.detach().flatten().tolist()),
        tuple(float(v.detach()) for v in visited.values()),
        tuple(float(s.detach()) for s in drawn.spiking.values()),
    )  # fmt: skip


def beliefs(seed):
    torch.manual_seed(seed)
    part = PartArchitecture(SPACE, sampled=True)
    for parameter in part.parameters():
        parameter.data.normal_()
    return part


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_of_all_effects_sum_to_one(seed):
    part = beliefs(seed)
    found = {}
    for drawn in every_draw(SPACE):
        log = float(log_probability(SPACE, part.beliefs(), drawn).detach())
        assert found.setdefault(effect(SPACE, drawn), log) == pytest.approx(log, abs=1e-5)
    assert sum(torch.tensor(list(found.values())).exp().tolist()) == pytest.approx(1.0, abs=1e-5)


def linear(seed):
    """Return a loss that is a sum of one number for each decision that has an effect."""
    generator = torch.Generator().manual_seed(seed)

    def loss(drawn):
        generator.manual_seed(seed)
        kept = torch.cat(drawn.edges)
        terms = [kept, kept[:, None] * drawn.ops]
        terms += [reach(SPACE, drawn.transitions)[place] for place in ((0, 1), (1, 0), (1, 1))]
        terms += list(drawn.spiking.values())
        return sum((torch.randn(t.shape, generator=generator) * t).sum() for t in terms)

    return loss


def gradients(value, part):
    found = torch.autograd.grad(value, list(part.parameters()), allow_unused=True)
    return torch.cat([
        torch.zeros(p.numel()) if g is None else g.flatten()
        for p, g in zip(part.parameters(), found, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_its_expectation_is_the_gradient_of_the_expected_loss(seed):
    """Enumerated: the sum over all effects of p L grad log p is the gradient of the mean."""
    part, loss = beliefs(seed), linear(seed)
    seen, total = set(), 0.0
    for drawn in every_draw(SPACE):
        if (key := effect(SPACE, drawn)) not in seen:
            seen.add(key)
            log = log_probability(SPACE, part.beliefs(), drawn)
            total = total + (log.detach().exp() * loss(drawn)) * log
    expected = loss(gates(SPACE, part.beliefs()))
    torch.testing.assert_close(
        gradients(total, part), gradients(expected, part), rtol=1e-4, atol=1e-5
    )


class Drawn(nn.Module):
    """A network that is nothing but its decisions."""

    def __init__(self, seed):
        super().__init__()
        self.part = beliefs(seed)


def test_drawn_networks_give_an_unbiased_gradient():
    model, loss = Drawn(0), linear(0)
    torch.manual_seed(7)
    found = torch.stack([
        gradients(compared(model, lambda: loss(model.part.decided), draws), model.part)
        for draws in (2, 4) * 150
    ])  # fmt: skip
    expected = gradients(loss(gates(SPACE, model.part.beliefs())), model.part)
    error = (found.mean(0) - expected).abs()
    spread = found.std(0) / len(found) ** 0.5
    assert bool((error <= 5 * spread + 1e-6).all())
    assert float(spread.max()) < 0.4 * float(expected.abs().max())


def test_losses_that_are_all_the_same_move_nothing():
    model = Drawn(1)
    value = compared(model, lambda: torch.tensor(3.0), 3)
    assert float(value.detach()) == 3.0
    assert float(gradients(value, model.part).abs().max()) == 0.0


def test_searched_neurons_learn_from_the_last_draw_alone():
    """Its gradient is that of one draw, as good as any; the value is the mean of all."""
    model = Drawn(1)
    model.neuron = SearchedNeuron()
    with torch.no_grad():
        model.neuron.logits[0] = 2.0
    slopes, through = [], []

    def run():
        slopes.append(float(linear(1)(model.part.decided).detach()))
        through.append(torch.is_grad_enabled())
        return slopes[-1] * model.neuron.logits[0]

    value = compared(model, run, 4)
    value.backward()
    assert through == [False, False, False, True]
    assert len(set(slopes)) > 1
    assert float(value.detach()) == pytest.approx(2.0 * sum(slopes) / 4, rel=1e-5)
    assert float(model.neuron.logits.grad[0]) == pytest.approx(slopes[-1])


def test_the_log_probability_is_that_of_what_is_decided():
    model = Drawn(2)
    decide(model.train())
    drawn = model.part.decided
    assert all(v in (0.0, 1.0) for edge in drawn.edges for v in edge.tolist())
    expected = log_probability(SPACE, model.part.beliefs(), drawn)
    assert float(drawn_log_probability(model).detach()) == float(expected.detach())


def test_draws_follow_their_probabilities():
    part = beliefs(3)
    generator = torch.Generator().manual_seed(0)
    counts, count = {}, 1500
    for _ in range(count):
        drawn = sample(SPACE, part.beliefs(), generator)
        key = effect(SPACE, drawn)
        log = float(log_probability(SPACE, part.beliefs(), drawn).detach())
        counts[key] = counts.get(key, (0, log))[0] + 1, log
    for number, log in sorted(counts.values())[-5:]:
        p = torch.tensor(log).exp().item()
        assert abs(number - count * p) < 5 * (count * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("draws", [0, 1])
def test_one_network_is_compared_with_nothing(draws):
    with pytest.raises(ValueError, match="at least 2"):
        compared(Drawn(0), lambda: torch.tensor(0.0), draws)


def test_nothing_decided_is_said_so():
    with pytest.raises(RuntimeError, match="decide"):
        _ = beliefs(0).decided
