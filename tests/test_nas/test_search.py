"""The search loop: resumed is uninterrupted, what moves when, history, budget, refusals."""

import copy
import io
import math
from itertools import pairwise

import pytest
import torch
from reference.relaxed_toy import COSTS, Toy, batch, loss

from nas.budget import Budget
from nas.search import search
from nas.search_config import SearchConfig, step_seed

CONFIG = SearchConfig(
    steps=7, warmup=2, lr=0.1, lr_min=0.01, arch_lr=0.05, measure_every=3, checkpoint_every=1,
    seed=5,
)  # fmt: skip


class Counts:
    """A cost whose scale is a running mean of something random, as real counts are."""

    def __init__(self):
        self.mean = None

    def measure(self):
        new = 1 + 0.1 * float(torch.rand(()))
        self.mean = new if self.mean is None else 0.7 * self.mean + 0.3 * new

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


class Trial:
    """A search of the toy and all that comes out of it."""

    def __init__(self, config=CONFIG, *, state=None, sampled=True, budget=4.0, seed=1, **changed):
        torch.manual_seed(seed)
        self.model, self.counts = Toy(sampled=sampled), Counts()
        self.saved, self.reported, self.seen, self.measured, self.softness = [], [], [], [], []
        given = {
            "training": lambda n: self.see("training", n),
            "held_out": lambda n: self.see("held_out", n),
            "loss": loss, "architecture": self.model.architecture(),
            "cost": lambda: self.counts.mean * self.model.cost(), "measure": self.measure,
            "entropy": self.model.entropies, "anneal": self.anneal,
            "budget": None if budget is None else Budget(budget), "extra": {"counts": self.counts},
            "state": state, "save": self.save,
            "report": lambda done, row: self.reported.append((done, dict(row))),
        }  # fmt: skip
        self.history = search(self.model, config, **(given | changed))

    def see(self, which, number):
        self.seen.append((which, number))
        return batch(2 * number + (which == "held_out"))

    def measure(self):
        self.measured.append(len(self.reported))
        self.counts.measure()

    def anneal(self, softness):
        self.softness.append(softness)
        self.model.anneal(softness)

    def save(self, done, state):
        file = io.BytesIO()
        torch.save(dict(state), file)
        file.seek(0)
        self.saved.append((done, torch.load(file, weights_only=True)))

    def rows(self):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in self.history.rows]


# ---- resuming

VARIANTS = {
    "first order": CONFIG,
    "another loss at first": SearchConfig(**{**CONFIG.__dict__, "rectified": 1}),
    "second order, adamw": SearchConfig(
        steps=4, warmup=1, optimizer="adamw", lr=0.05, arch_lr=0.05, second_order=True,
        accumulate=2, measure_every=2, checkpoint_every=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_an_interrupted_search_goes_on_bit_for_bit(config):
    whole = Trial(config)
    assert [done for done, _ in whole.saved] == list(range(1, config.steps + 1))
    for done, state in (*whole.saved[:3], whole.saved[-1]):
        resumed = Trial(config, state=state, seed=99)
        assert resumed.rows() == whole.rows(), f"history, interrupted after {done}"
        for name, value in whole.model.state_dict().items():
            assert torch.equal(resumed.model.state_dict()[name], value), (done, name)
        assert resumed.counts.mean == whole.counts.mean
        assert resumed.model.edges[0].softness == whole.model.edges[0].softness
        assert len(resumed.reported) == config.steps - done
        if resumed.saved:
            assert resumed.saved[-1][1]["multiplier"] == whole.saved[-1][1]["multiplier"]
    assert Trial(config, seed=2).rows() != whole.rows(), "it does depend on where it began"


@pytest.mark.parametrize("rectified", [0, 1, 2])
def test_another_loss_moves_the_weights_at_first(rectified):
    config = SearchConfig(**{**CONFIG.__dict__, "rectified": rectified})
    asked = []

    def early(model, data):
        asked.append("early")
        return loss(model, data)

    def usual(model, data):
        asked.append("usual")
        return loss(model, data)

    Trial(config, loss=usual, early=early)
    assert asked[:2] == ["early"] * rectified + ["usual"] * (2 - rectified)
    assert set(asked[2:]) == {"usual"}
    with pytest.raises(ValueError, match="rectified cannot be 3"):
        SearchConfig(**{**CONFIG.__dict__, "rectified": 3})


def test_the_seed_decides_the_noise_and_the_callers_generator_is_left_alone():
    assert Trial().rows() == Trial().rows()
    other = SearchConfig(**{**CONFIG.__dict__, "seed": 6})
    assert Trial(other).rows() != Trial().rows()
    torch.manual_seed(3)
    model = Toy(sampled=True)
    before = torch.get_rng_state()
    search(model, SearchConfig(steps=2), training=batch, held_out=batch, loss=loss,
           architecture=model.architecture())  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_of_steps_differ():
    seeds = {step_seed(seed, step) for seed in range(30) for step in range(300)}
    assert len(seeds) == 30 * 300
    assert all(0 <= seed < 2**63 for seed in seeds)


# ---- what moves, and what is seen


def test_only_weights_move_in_the_warm_up():
    trial = Trial()
    start = Trial(SearchConfig(**{**CONFIG.__dict__, "warmup": 7}))
    torch.manual_seed(1)
    untouched = Toy()
    for n in range(2):
        logits = f"edges.{n}.logits"
        warm = trial.saved[CONFIG.warmup - 1][1]["model"]
        assert torch.equal(warm[logits], untouched.state_dict()[logits])
        assert torch.equal(start.model.state_dict()[logits], untouched.state_dict()[logits])
        assert not torch.equal(trial.saved[CONFIG.warmup][1]["model"][logits], warm[logits])
    assert not torch.equal(warm["head.weight"], untouched.head.weight)
    assert start.measured == []


def test_what_a_step_sees_depends_on_its_number():
    trial = Trial()
    warm = [("training", 0), ("training", 1)]
    pairs = [(which, n) for n in range(2, 7) for which in ("training", "held_out")]
    assert trial.seen == warm + pairs
    assert trial.measured == [2, 5]
    several = SearchConfig(steps=2, accumulate=3)
    seen = Trial(several).seen
    assert [n for which, n in seen if which == "training"] == list(range(6))
    assert [n for which, n in seen if which == "held_out"] == list(range(6))


def test_accumulating_is_a_larger_batch():
    """Up to the norms, whose statistics are of a micro-batch; so without them."""
    both = []
    for accumulate in (1, 2):
        torch.manual_seed(1)
        model = Toy(neuron="tanh").eval()
        whole = [batch(n, 32) for n in range(8)]
        parts = [(x[:, h], y[h]) for x, y in whole for h in (slice(0, 16), slice(16, 32))]
        data = whole if accumulate == 1 else parts
        config = SearchConfig(steps=4, lr=0.2, arch_lr=0.05, accumulate=accumulate)
        search(model, config, training=data.__getitem__, held_out=data.__getitem__, loss=loss,
               architecture=model.architecture())  # fmt: skip
        both.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*both, rtol=1e-5, atol=1e-5)


def test_frozen_weights_stay():
    torch.manual_seed(0)
    model = Toy()
    model.head.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    search(model, SearchConfig(steps=3), training=batch, held_out=batch, loss=loss,
           architecture=model.architecture())  # fmt: skip
    assert torch.equal(model.head.weight, before["head.weight"])
    assert not torch.equal(model.edges[0].logits, before["edges.0.logits"])


# ---- history


def test_the_history_has_every_step_and_what_it_should():
    trial = Trial()
    rows = trial.history.rows
    assert [row["step"] for row in rows] == list(range(7))
    assert trial.reported == [(n + 1, row) for n, row in enumerate(rows)]
    assert set(rows[0]) == {"step", "training", "lr", "seconds"}
    assert set(rows[-1]) == {
        "step", "training", "held_out", "lr", "seconds", "softness", "entropy", "entropy/edge0",
        "entropy/edge1", "cost", "multiplier", "penalty",
    }  # fmt: skip
    assert trial.history.column("held_out")[:2] == [None, None]
    mean = (rows[4]["entropy/edge0"] + rows[4]["entropy/edge1"]) / 2
    assert rows[4]["entropy"] == pytest.approx(mean)
    assert rows[2]["entropy"] == pytest.approx(math.log(len(COSTS)), rel=1e-3), "undecided at first"
    assert rows[0]["lr"] == 0.1
    assert rows[-1]["lr"] == pytest.approx(0.01)
    assert all(a["lr"] > b["lr"] for a, b in pairwise(rows))
    assert rows[2]["softness"] == 1.0
    assert rows[-1]["softness"] == pytest.approx(0.1)
    assert trial.softness[-1] == rows[-1]["softness"]
    bare = Trial(budget=None, cost=None, entropy=dict).history.rows[-1]
    assert set(bare) == {"step", "training", "held_out", "lr", "seconds", "softness"}


def test_states_are_kept_as_often_as_asked_and_at_the_end():
    for every, expected in ((3, [3, 6, 7]), (0, [7])):
        config = SearchConfig(**{**CONFIG.__dict__, "checkpoint_every": every})
        assert [done for done, _ in Trial(config).saved] == expected


# ---- it finds something


def test_it_learns_and_keeps_to_its_budget():
    """The loss prefers costly candidates, so only the budget keeps it from them."""

    def greedy(model, data):
        return loss(model, data) - 0.2 * model.cost().log()

    costs, losses = {}, {}
    for limit, steps in ((6.2, 120), (None, 40)):
        config = SearchConfig(
            steps=steps, warmup=4, lr=0.3, arch_lr=0.08, entropy=0.0, softness_last=1.0
        )
        torch.manual_seed(1)
        model = Toy(neuron="tanh")
        history = search(
            model, config, training=batch, held_out=lambda n: batch(1000 + n), loss=greedy,
            architecture=model.architecture(), cost=model.cost, anneal=model.anneal,
            budget=None if limit is None else Budget(limit),
        )  # fmt: skip
        costs[limit], losses[limit] = history.column("cost"), history.column("training")
    assert sum(losses[None][-5:]) < 0.85 * sum(losses[None][:5])
    assert costs[6.2][4] > 1.2 * 6.2
    assert costs[None][-1] > 12
    assert Budget(6.2).met_by(sum(costs[6.2][-20:]) / 20), costs[6.2][-20:]
    assert max(costs[6.2][-20:]) <= 6.2


# ---- errors


def test_a_loss_that_is_not_finite_stops_the_search_where_it_was():
    states = []

    def failing(model, data):
        value = loss(model, data)
        return value * float("nan") if len(states) >= 4 else value

    model = None

    def keep(done, state):
        states.append(copy.deepcopy(state))

    torch.manual_seed(0)
    model = Toy()
    with pytest.raises(FloatingPointError, match="lower the step sizes"):
        search(model, SearchConfig(steps=7, checkpoint_every=1), training=batch, held_out=batch,
               loss=failing, architecture=model.architecture(), save=keep)  # fmt: skip
    assert len(states) == 4
    for name, p in model.named_parameters():
        assert torch.equal(p, states[-1]["model"][name]), name


def test_a_cost_that_is_not_finite_moves_nothing():
    torch.manual_seed(0)
    model = Toy()
    before = copy.deepcopy(dict(model.named_parameters()))
    with pytest.raises(FloatingPointError, match="expected cost is nan"):
        search(model, SearchConfig(steps=2), training=batch, held_out=batch, loss=loss,
               architecture=model.architecture(), cost=lambda: model.cost().detach() * math.nan,
               budget=Budget(1.0))  # fmt: skip
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_a_state_of_another_search_is_refused():
    _, state = Trial().saved[0]
    longer = SearchConfig(**{**CONFIG.__dict__, "steps": 8})
    with pytest.raises(ValueError, match=r"another search \(steps 7 there, 8 here\)"):
        Trial(longer, state=state)
    with pytest.raises(ValueError, match="budget 4 mJ there, 3 mJ here"):
        Trial(state=state, budget=3.0)
    with pytest.raises(ValueError, match=r"extra \['counts'\] there, \[\] here"):
        Trial(state=state, extra={})
    seldom = SearchConfig(**{**CONFIG.__dict__, "checkpoint_every": 5})
    assert len(Trial(seldom, state=state).history.rows) == 7, "how often to save is free"


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("warmup", 11), ("optimizer", "lion"), ("lr", 0.0), ("lr_min", 1.0),
     ("momentum", 1.0), ("weight_decay", -1.0), ("clip", 0.0), ("loss_scale", 0.0),
     ("arch_lr", -1.0), ("arch_betas", (0.9, 1.0)), ("arch_weight_decay", -1.0),
     ("accumulate", 0), ("softness", 0.0), ("softness_last", 2.0), ("entropy", -0.1),
     ("measure_every", 0), ("checkpoint_every", -1)],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"SearchConfig\.{name} cannot be"):
        SearchConfig(**{"steps": 10, name: value})


def test_other_refusals():
    model = Toy()
    given = {"training": batch, "held_out": batch, "loss": loss}
    with pytest.raises(ValueError, match="give cost="):
        search(model, CONFIG, architecture=model.architecture(), budget=Budget(5.0), **given)
    with pytest.raises(ValueError, match="part of the model's parameters"):
        search(model, CONFIG, architecture=Toy().architecture(), **given)
    with pytest.raises(ValueError, match="part of the model's parameters"):
        search(model, CONFIG, architecture=[], **given)
