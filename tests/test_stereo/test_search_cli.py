"""`stereo search`: every method, budgets, fronts, resuming, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from reference.class_folders import write_class_folders
from typer.testing import CliRunner

from energy import profile
from nas.budget import Budget
from nas.decode import beliefs_of
from nas.genotype import Genotype
from nas.rates import Rates
from nas.relaxed.architecture import architectures
from nas.space import SPACES
from nas.temporal import SearchedNeuron, searched_neurons
from stereo.checkpoint import load_run, load_state
from stereo.cli import app
from stereo.devices import Device
from stereo.search.pairs import Halves
from stereo.search.relaxed import Relaxed
from stereo.search.run import run_search
from stereo.search.setting import DEFAULTS, SEARCHES, find_search
from stereo.tasks import bind_task, find_config
from stereo.tasks.task import Source


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def task(folders):
    return bind_task(find_config("imagenet", "tiny_images"), Source(data=folders, workers=0))


def images(folders, run, *more):
    return call("search", "--task", "imagenet", "--preset", "tiny_images", "--data", folders,
                "--run", run, "--workers", 0, *more)  # fmt: skip


@pytest.fixture(scope="module")
def searched(folders, tmp_path_factory):
    """A search without a budget: its folder and document."""
    run = tmp_path_factory.mktemp("searched")
    result = images(folders, run, "--json")
    assert result.exit_code == 0, result.output
    return run, json.loads(result.stdout)


def test_a_search_leaves_a_genotype_its_drawings_and_a_network(searched, task):
    run, document = searched
    assert document["genotype"] == str(run / "genotype.json")
    assert (document["steps"], document["budget_mj"], document["unit"]) == (4, None, "mJ")
    assert document["wall_s"] > 0
    genotype = Genotype.load(run / "genotype.json")
    beliefs_of(SPACES["tiny_images"](), genotype)  # raises if it is not in the space
    assert genotype.provenance["measured_mJ"] == document["measured_mj"]
    for name in ("genotype.svg", "beliefs.svg"):
        assert (run / name).read_text("utf-8").startswith("<svg")
    network = load_run(run / "decoded", fold=False)
    assert network.genotype.parts == genotype.parts
    report = profile(network, *task.example(2))
    assert report.total_mj == pytest.approx(document["measured_mj"], rel=1e-6)
    assert 0 < document["held_out_loss"] < 100
    written = json.loads((run / "search.json").read_text("utf-8"))
    assert written["found"]["measured"] == document["measured_mj"]
    assert written["setting"]["relaxed"]["space"] == "tiny_images"


def test_a_budget_is_kept(folders, searched, tmp_path):
    costs = searched[1]["measured_mj"]
    limit = 1.02 * costs
    result = images(folders, tmp_path / "run", "--budget", f"{limit}mJ", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["budget_mj"] == pytest.approx(limit)
    assert document["measured_mj"] <= limit
    assert document["within_budget"] == (document["measured_mj"] >= 0.9 * limit)
    assert document["expected_mj"] > 0
    for words in ("counting synapses", "decoding", "training the found genotype"):
        assert f"Searching: {words} ..." in result.stderr


def test_a_narrower_search_says_whose_costs_it_tells(folders, tmp_path, monkeypatch):
    narrow = replace(SEARCHES["tiny_images"](), changes={"network.channels": "1"})
    monkeypatch.setitem(SEARCHES, "tiny_images", lambda: narrow)
    shown = images(folders, tmp_path, "--steps", 1)
    assert shown.exit_code == 0, shown.output
    assert "Costs are those with network.channels=1" in shown.stdout
    document = json.loads(images(folders, tmp_path, "--steps", 1, "--json").stdout)
    assert document["changes"] == {"network.channels": "1"}


@pytest.mark.parametrize("method", ["evolution", "random"])
def test_other_methods_keep_to_the_budget_and_go_on(method, folders, searched, tmp_path):
    limit = 1.5 * searched[1]["measured_mj"]
    arguments = ("--method", method, "--budget", f"{limit}mJ", "--json")
    documents = []
    for steps in (1, 3):  # the second goes on where the first stopped
        result = images(folders, tmp_path, "--steps", steps, *arguments)
        assert result.exit_code == 0, result.output
        documents.append(json.loads(result.stdout))
    first, second = documents
    assert (first["steps"], second["steps"]) == (1, 3)
    assert second["held_out_loss"] <= first["held_out_loss"]
    assert second["measured_mj"] <= limit
    assert second["expected_mj"] is None
    trials = load_state(tmp_path)["trials"]["trials"]
    assert [trial["evaluation"] for trial in trials] == [1, 2, 3]
    assert min(trial["error"] for trial in trials) == second["held_out_loss"]


def test_several_budgets_give_a_front(folders, searched, tmp_path):
    costs = searched[1]["measured_mj"]
    budgets = f"{costs:.3g},{3 * costs:.3g}mJ"
    result = images(folders, tmp_path, "--budget", budgets, "--method", "random", "--steps", 1,
                    "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    front = json.loads(result.stdout)["front"]
    assert [one["budget_mj"] for one in front] == pytest.approx([costs, 3 * costs], rel=1e-2)
    assert all(one["measured_mj"] <= one["budget_mj"] for one in front)
    assert (tmp_path / "front.svg").read_text("utf-8").startswith("<svg")
    rows = json.loads((tmp_path / "front.json").read_text("utf-8"))["found"]
    assert all((tmp_path / row["genotype"]).is_file() for row in rows)
    shown = images(folders, tmp_path, "--budget", budgets, "--method", "random", "--steps", 1)
    assert "held-out loss" in shown.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "relaxed.shared": "true",
            "relaxed.draws": "3",
            "relaxed.heats": "2",
            "relaxed.finalists": "3",
        },
    ],
    ids=["as it is", "compared"],
)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(changes, task, tmp_path):
    setting = find_search("imagenet", "tiny_images").override(changes)
    rows = {"whole": [], "cut": []}

    def note(name):
        return lambda _done, _all, row, _now: rows[name].append(
            {k: v for k, v in row.items() if k != "seconds"}
        )

    def stop(done, *news):
        note("cut")(done, *news)
        if done == 3:
            raise KeyboardInterrupt

    run_search(task, setting, tmp_path / "whole", show=note("whole"))
    with pytest.raises(KeyboardInterrupt):
        run_search(task, setting, tmp_path / "cut", show=stop)
    rows["cut"] = rows["cut"][:2]  # the state is of two steps; the third is done again
    run_search(task, setting, tmp_path / "cut", show=note("cut"))
    assert rows["cut"] == rows["whole"]
    assert rows["whole"][-1]["epoch"] == 4 * task.config.train.batch / task.half
    genotypes = [Genotype.load(tmp_path / name / "genotype.json") for name in rows]
    assert genotypes[0] == genotypes[1]
    states = [load_state(tmp_path / name)["search"]["model"] for name in rows]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_neurons_and_their_time_constants_are_searched(folders, tmp_path):
    result = images(folders, tmp_path, "--set", 'relaxed.neurons=["lif", "if"]', "--set",
                    "relaxed.analog=no", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    part = Genotype.load(tmp_path / "genotype.json").parts["feature"]
    found = [node for layer in part.dynamics for node in layer]
    assert len(found) == 4
    assert {node.neuron for node in found} <= {"lif", "if"}
    assert any(node.decay not in (0.2, 1.0) for node in found), "time constants moved"


@pytest.mark.parametrize("unit", ["GMAC", "M"])
def test_budgets_in_other_units(unit, task, tmp_path):
    setting = find_search("imagenet", "tiny_images")
    setting = replace(setting, search=replace(setting.search, steps=2, warmup=1))
    budget = Budget(1e-4, {"M": "Mparam"}.get(unit, unit))
    found = run_search(task, setting, tmp_path, budget=budget)
    assert found.unit == budget.unit
    assert found.expected > 0
    network = load_run(tmp_path / "decoded", fold=False)
    if unit == "M":
        expected = sum(p.numel() for p in network.parameters()) * 1e-6
        assert found.expected == pytest.approx(found.measured, rel=1e-9)
    else:
        expected = sum(layer.dense for layer in profile(network, *task.example(2)).layers) * 1e-9
    assert found.measured == pytest.approx(expected, rel=1e-9)


def test_stereo_is_searched(tmp_path):
    result = call("search", "--preset", "stereo_tiny", "--run", tmp_path, "--steps", 2,
                  "--workers", 0, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["task"] == "stereo"
    assert document["expected_mj"] > 0
    genotype = Genotype.load(document["genotype"])
    assert set(genotype.parts) == {"feature", "matching"}
    shown = call("energy", "--run", tmp_path / "decoded", "--input", "24x36", "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["total_mj"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "luck"], "no method 'luck'"),
        (["--budget", "much"], "got 'much'"),
        (["--space", "outer"], "Unknown search space 'outer'"),
        (["--preset", "large"], "No search 'large'"),
        (["--set", "relaxed.portion=0"], "1 or more"),
        (["--set", "relaxed.draws=1"], "0, or 2 and more"),
        (["--set", "relaxed.sampled=false", "--set", "relaxed.draws=4"], "0, or 2 and more"),
        (["--set", "relaxed.finalists=-1"], "not negative"),
        (["--set", "relaxed.heats=2"], "together with relaxed.draws"),
        (["--set", "relaxed.heats=3", "--set", "relaxed.draws=2"], "do not make 3"),
        (["--set", "relaxed.draws=2", "--set", "search.second_order=true"], "second_order"),
        (["--set", "search.warmup=9"], "SearchConfig.warmup cannot be 9"),
        (["--set", "search.rectified=2"], "SearchConfig.rectified cannot be 2"),
        (["--set", "search.rectified=1", "--set", "relaxed.checkpoints=true"], "computes again"),
        (["--task", "mnist"], "no task 'mnist'"),
        (["--task", "cifar10"], "needs --data"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, words, tmp_path):
    if "--preset" not in arguments and "--task" not in arguments:
        arguments = [*arguments, "--preset", "stereo_tiny"]
    result = call("search", "--run", tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize("draws", [0, 2])
def test_only_mixtures_are_annealed(draws, task):
    changes = {"relaxed.draws": str(draws), "relaxed.neurons": '["lif", "if"]'}
    setting = find_search("imagenet", "tiny_images").override(changes)
    relaxed = Relaxed(task, setting.relaxed, "mJ", Device("cpu"))
    relaxed.anneal(0.25)
    (part,) = (part for _, part in architectures(relaxed.network))
    assert part.softness == (1.0 if draws else 0.25)
    neurons = searched_neurons(relaxed.network).values()
    assert {neuron.softness for neuron in neurons} == {0.25}
    pushed = {kind for kind, value in relaxed.entropy().items() if value.requires_grad}
    assert pushed == ({"neurons"} if draws else {"edges", "ops", "path", "spiking", "neurons"})


def test_weights_pay_for_spikes_and_the_architecture_does_not(task, monkeypatch):
    """So that what a search counts fires as much as what will be trained."""
    setting = find_search("imagenet", "tiny_images")
    relaxed = Relaxed(task, setting.relaxed, "mJ", Device("cpu"))
    (batch, _) = next(iter(task.halves()))
    monkeypatch.setattr(Relaxed, "_decided_loss", lambda *_: torch.zeros(()))
    asked = []
    monkeypatch.setattr(Rates, "cost", lambda _, *weights: asked.append(weights) or 2.0)
    assert float(relaxed.loss(relaxed.network, batch)) == 2.0
    assert float(relaxed.judge(relaxed.network, batch)) == 0.0
    train = task.config.train
    assert asked == [(train.rate_weight, train.spike_weight)]


def test_rectifiers_learn_first_and_are_charged(task, tmp_path, monkeypatch):
    """As a training does; the architecture is judged by neurons alone."""
    changes = {"search.rectified": "1", "relaxed.neurons": '["lif", "if"]'}
    setting = find_search("imagenet", "tiny_images").override(changes)
    own, seen = Relaxed._decided_loss, []

    def judged(self, network, batch):
        kinds = [type(m) for m in network.modules() if getattr(m, "stands_for_spikes", False)]
        seen.append((len(kinds), any(isinstance(m, SearchedNeuron) for m in network.modules())))
        return own(self, network, batch)

    monkeypatch.setattr(Relaxed, "_decided_loss", judged)
    run_search(task, setting, tmp_path)
    (first, neurons), *others = seen
    assert first > 0
    assert not neurons
    assert set(others) == {(0, True)}
    rates = []
    monkeypatch.setattr(Rates, "cost", lambda own, *_: rates.append(dict(own.spikes)) or 0.0)
    relaxed = Relaxed(task, setting.relaxed, "mJ", Device("cpu"))
    (batch, _) = next(iter(task.halves()))
    relaxed.early_loss(relaxed.network, batch).backward()
    assert sum(float(value.detach()) for value in rates[0].values()) > 0


def test_the_best_of_the_finalists_is_taken(task, tmp_path, monkeypatch):
    """Whatever their losses are: those within the budget are compared, and the lowest wins."""
    setting = find_search("imagenet", "tiny_images").override({"relaxed.finalists": "6"})
    seen = []

    def told(task, network, batches, device):
        seen.append((len(set(network.genotype.parts["feature"].path)), network.genotype))
        return -float(len(seen))  # the last one is the best, but for the decoded one, asked after

    monkeypatch.setattr("stereo.search.finalists.mean_loss", told)
    found = run_search(task, setting, tmp_path)
    chosen = Genotype.load(found.genotype)
    assert 2 <= len(seen) <= 7
    assert chosen.parts == seen[-1][1].parts, "the decoded one, which was asked last"
    seen.clear()
    monkeypatch.setattr(
        "stereo.search.finalists.mean_loss", lambda *a: (told(*a), float(len(seen)))[1]
    )
    found = run_search(task, setting, tmp_path / "other")
    assert Genotype.load(found.genotype).parts == seen[0][1].parts, "the first one drawn"


def test_a_folder_of_another_search_is_refused(folders, searched):
    result = images(folders, searched[0], "--set", "search.arch_lr=0.5")
    assert result.exit_code == 2
    assert "another search" in " ".join(result.output.split())


def test_every_search_opens_its_space_and_names_a_task():
    assert set(DEFAULTS.values()) <= set(SEARCHES)
    for name, make in SEARCHES.items():
        setting = make()
        assert setting.name == name
        assert setting.relaxed.build().parts
        config = find_config(setting.task, setting.config).override(setting.changes)
        assert config.train.batch > 0


def test_halves_are_asked_for_in_order_or_anew():
    begun = []

    def begin(step):
        begun.append(step)
        return ((f"w{n}", f"a{n}") for n in range(step, step + 100))

    halves = Halves(begin, keep=2)
    assert [halves.weights(0), halves.architecture(0), halves.weights(1)] == ["w0", "a0", "w1"]
    assert (halves.weights(0), begun) == ("w0", [0])
    assert (halves.architecture(7), begun) == ("a7", [0, 7])
    assert (halves.weights(8), begun) == ("w8", [0, 7])
