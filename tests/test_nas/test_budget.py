"""Budgets: reading them, and the force that makes a search land below them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.budget import UNITS, Budget, Multiplier, parse_budget, parse_budgets

COSTS = torch.tensor([1.0, 2.0, 4.0, 7.0, 12.0])


def settle(gain, limit, *, scale=1.0, steps=700, rate=0.03):
    """Search a softmax over candidates; return expected costs over the last steps, and the force.

    The loss is minus ``gain`` of the mixture, with noise; ``scale`` multiplies loss alone.
    """
    logits = torch.zeros(len(COSTS), requires_grad=True)
    moving = torch.optim.Adam([logits], lr=rate, betas=(0.5, 0.999))
    multiplier = Multiplier(Budget(limit))
    generator = torch.Generator().manual_seed(0)
    costs, forces = [], []
    for _ in range(steps):
        p = torch.softmax(logits, 0)
        noise = 0.1 * torch.randn(len(COSTS), generator=generator)
        cost = (p * COSTS).sum()
        loss = -scale * (p * (gain + noise)).sum() + multiplier.added(cost)
        logits.grad = torch.autograd.grad(loss, logits)[0]
        moving.step()
        multiplier.update(float(cost.detach()))
        costs.append(float(cost.detach()))
        forces.append(multiplier.value)
    return torch.tensor(costs[-100:]), torch.tensor(forces)


# ---- numbers


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("limit", [2.0, 5.0, 9.0])
def test_a_loss_that_asks_for_more_lands_within_the_band(limit, scale):
    """The costlier the better, with diminishing returns; whatever the scale of the loss."""
    costs, _ = settle(COSTS.log(), limit, scale=scale)
    assert Budget(limit).met_by(costs.mean().item()), costs.mean() / limit
    assert costs.max() <= 1.03 * limit
    free, _ = settle(COSTS.log(), 1e9, scale=scale)
    assert free.mean() > 1.1 * limit


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_cost_changes_nothing(unit):
    budgets = Multiplier(Budget(5.0)), Multiplier(Budget(5.0 * unit))
    for ratio in (0.2, 1.5, 1.4, 1.2, 0.96, 0.9) * 10:
        added = [
            m.added(torch.tensor(ratio * m.budget.limit, dtype=torch.float64)) for m in budgets
        ]
        torch.testing.assert_close(*added)
        for m in budgets:
            m.update(ratio * m.budget.limit)
    assert budgets[0].value == pytest.approx(budgets[1].value)
    assert budgets[0].value > 0


def test_a_cheaper_optimum_is_not_pushed_upward():
    gain = -(COSTS - 2.0).abs()
    costs, forces = settle(gain, 9.0)
    assert costs.mean() < 2.5
    assert forces[-1] == 0
    free, _ = settle(gain, 1e9)
    torch.testing.assert_close(costs, free, rtol=0, atol=0)


def test_a_budget_met_late_lets_go_again():
    multiplier = Multiplier(Budget(1.0))
    for _ in range(50):
        multiplier.update(2.0)
    assert multiplier.value > 0.2
    for _ in range(2000):
        multiplier.update(0.5)
    assert multiplier.value == 0
    cost = torch.tensor(0.5, requires_grad=True)
    assert torch.autograd.grad(multiplier.added(cost), cost)[0] == 0


def test_the_force_is_that_of_the_formula():
    multiplier = Multiplier(Budget(4.0), penalty=3.0, period=1)
    multiplier.update(4.04)
    assert multiplier.value == pytest.approx(3.0 * (1.01 - 0.95))
    for cost, excess in ((4.08, 1.02 - 0.95), (8.0, 0.1), (3.8, 0.0), (3.76, 0.94 - 0.95)):
        at = torch.tensor(cost, requires_grad=True)
        slope = torch.autograd.grad(multiplier.added(at), at)[0].item()
        assert slope == pytest.approx((multiplier.value + 3.0 * excess) / 4.0, rel=1e-5)
    at = torch.tensor(3.0, requires_grad=True)
    assert torch.autograd.grad(multiplier.added(at), at)[0] == 0, "it pulls down and never up"


def test_the_penalty_grows_only_while_the_cost_does_not_come_nearer():
    multiplier = Multiplier(Budget(1.0), period=5, highest=8.0)
    for _ in range(5):
        multiplier.update(2.0)
    assert multiplier.penalty == 1, "one period tells nothing of progress"
    for cost in (1.5, 1.2, 1.1, 1.03, 1.0, 0.99, 0.98):
        for _ in range(5):
            multiplier.update(cost)
    assert multiplier.penalty == 1
    for _ in range(100):
        multiplier.update(1.5)
    assert multiplier.penalty == 8, "and not above the highest"


def test_it_goes_on_from_its_state():
    whole, first = Multiplier(Budget(1.0)), Multiplier(Budget(1.0))
    costs = [2.0 - 0.01 * n for n in range(60)]
    for cost in costs:
        whole.update(cost)
    for cost in costs[:33]:
        first.update(cost)
    second = Multiplier(Budget(1.0))
    second.load_state_dict(first.state_dict())
    for cost in costs[33:]:
        second.update(cost)
    assert second.state_dict() == whole.state_dict()


# ---- reading


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [("5mJ", 5, "mJ"), ("5", 5, "mJ"), (" 0.8 GMAC", 0.8, "GMAC"), ("1.2M", 1.2, "Mparam"),
     ("800MMAC", 0.8, "GMAC"), ("250uJ", 0.25, "mJ"), ("250µJ", 0.25, "mJ"), ("1e-3J", 1, "mJ"),
     ("300kparam", 0.3, "Mparam"), ("300k", 0.3, "Mparam"), ("5mj", 5, "mJ"),
     (".5gmac", 0.5, "GMAC")],
)  # fmt: skip
def test_budgets_are_read(text, limit, unit):
    budget = parse_budget(text)
    assert (budget.limit, budget.unit) == (pytest.approx(limit), unit)


@pytest.mark.parametrize("unit", UNITS)
@given(st.floats(1e-3, 1e6))
def test_every_unit_is_read_and_what_is_shown_is_read_again(unit, number):
    budget = parse_budget(f"{number!r}{unit}")
    again = parse_budget(str(budget))
    assert again.unit == budget.unit
    assert again.limit == pytest.approx(budget.limit, rel=1e-5)


def test_a_front_is_read_from_low_to_high():
    assert [b.limit for b in parse_budgets("2,10, 5mJ")] == [2, 5, 10]
    assert {b.unit for b in parse_budgets("1,2M")} == {"Mparam"}
    assert [b.limit for b in parse_budgets("2,5,10")] == [2, 5, 10]
    assert [b.limit for b in parse_budgets("500uJ,2mJ")] == [0.5, 2]
    assert parse_budgets("5mJ", slack=0.2)[0].slack == 0.2


@pytest.mark.parametrize("text", ["", "mJ", "5kg", "5m", "1.2.3mJ", "nan", "inf mJ", "--5", "5mJ!"])
def test_what_is_no_budget_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="as in 5mJ, 0.8GMAC or 1.2M"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["0mJ", "-3", "1e999J"])
def test_impossible_limits_are_refused(text):
    with pytest.raises(ValueError, match="positive and finite|as in 5mJ"):
        parse_budget(text)


def test_other_refusals():
    with pytest.raises(ValueError, match="one unit"):
        parse_budgets("2mJ,0.8GMAC")
    with pytest.raises(ValueError, match="stands once"):
        parse_budgets("2,2mJ")
    with pytest.raises(ValueError, match="got ''"):
        parse_budgets("2,,3mJ")
    with pytest.raises(ValueError, match="in mJ, GMAC or Mparam, got 'kg'"):
        Budget(1.0, "kg")
    with pytest.raises(ValueError, match=r"slack is a share in \(0, 1\)"):
        Budget(1.0, slack=1.0)
    with pytest.raises(ValueError, match="positive penalty"):
        Multiplier(Budget(1.0), penalty=0.0)
    multiplier = Multiplier(Budget(1.0))
    with pytest.raises(FloatingPointError, match="expected cost is nan mJ"):
        multiplier.update(float("nan"))
    assert multiplier.value == 0
