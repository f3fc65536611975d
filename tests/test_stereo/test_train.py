"""Training: resuming equals not stopping, run folders, refusals."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from reference import two_trainings
from reference.class_folders import write_class_folders

from nas.dgs import DGS
from nas.fold import fold_norms
from nas.neurons.modules import Neuron
from stereo.checkpoint import load_network, load_run, save_network
from stereo.config import load_genotype
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.network import HybridStereo
from stereo.optimize import synapse_price
from stereo.presets import PRESETS
from stereo.search.setting import TrialSetting
from stereo.search.trial import trial_error
from stereo.tasks.images import ImageTask
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source
from stereo.temperatures import dgs_round
from stereo.train import train


class Killed(Exception):
    """Stands for the death of the process."""


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """Files of genotypes with fewer layers than the published ones, by their name."""
    found = {}
    for name, paths in (
        ("spikedhs_cifar", {"feature": (0, 1)}),
        ("spikedhs", {"feature": (0, 1), "matching": (0, 1)}),
    ):
        genotype = load_genotype(name)
        parts = {n: replace(part, path=paths[n]) for n, part in genotype.parts.items()}
        found[name] = str(tmp_path_factory.mktemp("genotypes") / f"{name}.json")
        replace(genotype, parts=parts).save(found[name])
    return found


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A cache of generated clips, which many tests see."""
    return tmp_path_factory.mktemp("clips")


def task(config, clips=None):
    return StereoTask(config, Source(cache=clips, workers=0))


def lines(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_killed_training_goes_on_to_the_same_numbers(short, clips, tmp_path):
    config = PRESETS["tiny"]().override({"network.genotype": short["spikedhs"]})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(task(config, clips), whole)

    def die(step, _metrics):
        if step == 3:  # one step after the last saved state
            raise Killed

    with pytest.raises(Killed):
        train(task(config, clips), broken, report=die)
    assert json.loads((broken / "about.json").read_text())["step"] == 2
    train(task(config, clips), broken)
    # The saved state is equal bit for bit; later sums inside the libraries may round differently.
    assert [row["step"] for row in lines(broken)] == [1, 2, 3, 4]
    for expected, got in zip(lines(whole), lines(broken), strict=True):
        assert got == pytest.approx(expected, rel=1e-3)
    first, second = load_network(whole), load_network(broken)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], rtol=1e-2, atol=1e-3)


def test_a_run_folder_explains_itself_and_loads_by_its_path(tmp_path):
    torch.manual_seed(0)
    network = HybridStereo(PRESETS["tiny"]()).eval()
    save_network(tmp_path / "run", network, {"seed": 5})
    about = json.loads((tmp_path / "run" / "about.json").read_text())
    assert about["seed"] == 5
    assert about["torch"] == torch.__version__
    x = (torch.rand(2, 1, 2, 15, 20) < 0.3).float()
    plain = load_network(tmp_path / "run", fold=False)
    assert plain.config == network.config
    assert torch.equal(plain(x, x), network(x, x))
    torch.testing.assert_close(
        load_network(tmp_path / "run").scores(x, x), fold_norms(network).scores(x, x)
    )


def test_run_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(StereoError, match="not a run folder: weights.safetensors, config.json"):
        load_network(tmp_path)
    run = tmp_path / "run"
    save_network(run, HybridStereo(PRESETS["tiny"]()), {})
    weights = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(StereoError, match="damaged"):
        load_network(run)
    save_network(run, HybridStereo(PRESETS["tiny"]()), {})
    (run / "config.json").write_text(json.dumps(PRESETS["small"]().to_dict()))
    with pytest.raises(StereoError, match="do not belong together"):
        load_network(run)
    (run / "config.json").write_text("{}")
    with pytest.raises(StereoError, match="configuration is malformed"):
        load_network(run)


def test_another_configuration_or_an_unwanted_resume_is_refused(short, clips, tmp_path):
    config = PRESETS["tiny"]().override({"train.steps": "1", "network.genotype": short["spikedhs"]})
    train(task(config, clips), tmp_path)
    with pytest.raises(StereoError, match="with another configuration"):
        train(task(config.override({"train.seed": "2"}), clips), tmp_path)
    with pytest.raises(StereoError, match="already holds a training"):
        train(task(config, clips), tmp_path, resume=False)
    (tmp_path / "state" / "latest.pt").write_bytes(b"no")
    with pytest.raises(StereoError, match="Cannot resume"):
        train(task(config, clips), tmp_path)


def test_spiking_goes_on_from_the_weights_of_rectifiers(short, clips, tmp_path, monkeypatch):
    config = PRESETS["tiny"]().override(
        {"network.genotype": short["spikedhs"], "train.analog_share": "0.75", "train.seed": "2"}
    )
    loss, seen = StereoTask.loss, []

    def judged(self, network, batch):
        firing = [m for m in network.modules() if isinstance(m, Neuron) and m.emits_spikes]
        seen.append((len(firing), network.matching.score.weight.detach().clone()))
        return loss(self, network, batch)

    monkeypatch.setattr(StereoTask, "loss", judged)
    train(task(config, clips), tmp_path / "run")
    spiking = [count for count, _ in seen]
    assert spiking[:3] == [0, 0, 0]
    assert spiking[3] > 0
    values = [value for _, value in seen]
    assert not any(torch.equal(a, b) for a, b in pairwise(values)), "every step learns"
    rates = [row["firing_rate"] for row in lines(tmp_path / "run")]
    assert rates[:3] == [0, 0, 0]
    assert rates[3] > 0
    assert any(isinstance(m, Neuron) for m in load_network(tmp_path / "run").modules())
    with pytest.raises(StereoError, match="analog_share"):
        config.override({"train.analog_share": "1.5"})


@pytest.mark.parametrize("analog", ["0", "0.5"])
def test_synapses_that_spikes_reach_are_paid_for(analog, short, clips, tmp_path):
    """From the first step on, by rectifiers too; the weight is the price of reaching all."""
    first = {}
    for weight in ("0", "2", "200"):
        config = PRESETS["tiny"]().override({
            "network.genotype": short["spikedhs"], "train.analog_share": analog,
            "train.synapse_weight": weight, "train.rate_weight": "0",
        })  # fmt: skip
        train(task(config, clips), tmp_path / weight)
        first[weight] = lines(tmp_path / weight)[0]
    share = (first["2"]["loss"] - first["0"]["loss"]) / 2
    assert 0 < share < 1
    assert first["200"]["loss"] == pytest.approx(first["0"]["loss"] + 200 * share, rel=1e-3)
    assert first["200"]["grad_norm"] > 2 * first["0"]["grad_norm"]
    with pytest.raises(StereoError, match="synapse_weight"):
        PRESETS["tiny"]().override({"train.synapse_weight": "-1"})


def test_the_price_of_synapses_grows_over_the_ramp(short, clips, tmp_path):
    first = {}
    for weight, ramp in (("0", "0"), ("8", "0"), ("8", "1")):
        config = PRESETS["tiny"]().override({
            "network.genotype": short["spikedhs"], "train.synapse_weight": weight,
            "train.synapse_ramp": ramp, "train.rate_weight": "0",
        })  # fmt: skip
        run = tmp_path / f"{weight}-{ramp}"
        train(task(config, clips), run)
        first[weight, ramp] = lines(run)[0]["loss"]
    free, steep, ramped = first.values()
    assert ramped - free == pytest.approx((steep - free) / config.train.steps, rel=1e-2)
    prices = [synapse_price(replace(config.train, steps=8, synapse_ramp=0.5), n) for n in range(8)]
    assert prices == [2, 4, 6, 8, 8, 8, 8, 8]
    with pytest.raises(StereoError, match="synapse_ramp"):
        config.override({"train.synapse_ramp": "-0.1"})


def test_a_trial_of_a_search_begins_with_rectifiers_too(short, clips, monkeypatch):
    config = PRESETS["tiny"]().override({"train.analog_share": "0.5", "train.steps": "1000"})
    loss, spiking = StereoTask.loss, []

    def judged(self, network, batch):
        modules = network.modules()
        spiking.append(any(isinstance(m, Neuron) and m.emits_spikes for m in modules))
        return loss(self, network, batch)

    monkeypatch.setattr(StereoTask, "loss", judged)
    setting = TrialSetting(steps=4, batches=1)
    error = trial_error(
        task(config, clips), load_genotype(short["spikedhs"]), setting, Device("cpu")
    )
    assert 0 < error < float("inf")
    assert spiking == [False, False, True, True, True], "two steps each, then the held-out loss"


def test_learning_lowers_the_loss(short, clips, tmp_path):
    """Generated data, one clip: the loop must at least learn that by heart."""
    config = PRESETS["tiny"]().override(
        {"train.steps": "12", "train.clips": "1", "train.learning_rate": "0.02",
         "network.genotype": short["spikedhs"]}
    )  # fmt: skip
    train(task(config, clips), tmp_path / "run")
    loss = [row["planes"] for row in lines(tmp_path / "run")]
    assert sum(loss[-4:]) < 0.9 * sum(loss[:4])


# ---- classification


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images"))


def images(folder, genotype, **changes):
    config = IMAGE_PRESETS["tiny_images"]().override(
        {"network.genotype": genotype}
        | {f"{name.replace('__', '.')}": value for name, value in changes.items()}
    )
    return ImageTask(config, Source(data=folder, workers=0))


def weights(run):
    return load_run(run, fold=False).state_dict()


SEARCHED = {"train__dgs": "true", "dgs__first": "1", "dgs__every": "2", "dgs__batches": "1"}


@pytest.mark.parametrize("analog", ["0", "0.75"])
def test_an_interrupted_classifier_goes_on_bit_for_bit_with_searched_temperatures(
    folders, short, tmp_path, analog
):
    changes = SEARCHED | {
        "train__analog_share": analog, "dgs__judge": "gradient", "dgs__rate": "0.2",
        "network__auxiliary": "1", "train__evaluate_every": "2",
        "train__held_out": "4",
    }  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def run(folder, **named):
        return train(images(folders, short["spikedhs_cifar"], **changes), folder, **named)

    best = run(whole)

    def die(step, _metrics):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        run(broken, report=die)
    assert run(broken) == best
    assert lines(broken) == lines(whole)
    first, second = weights(whole), weights(broken)
    assert set(first) == set(second)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    # what DGS found is in the log, the genotype and the weights, and the network uses it
    found = lines(whole)[3]["temperatures"]
    assert "temperatures" not in lines(whole)[2]
    assert len(set(found.values())) > 1
    network = load_run(whole)
    node = network.genotype.parts["feature"].dynamics[1][1].temperature
    assert node == pytest.approx(found["cells.cells.1.nodes.1.neuron"], rel=1e-5)
    assert node != 3.0
    neuron = network.cells.cells[1].nodes[1].neuron
    assert float(neuron.constants().surrogate.temperature) == pytest.approx(node)
    stem = network.genotype.parts["feature"].stem.temperature
    assert stem == pytest.approx(found["stem.fires.0.neuron"], rel=1e-5)
    # the pool has no weights, so its temperature stays; the auxiliary head's is not taken for it
    assert "head.fire.neuron" not in found
    assert "auxiliary.neurons.0" in found
    (end,) = load_genotype(short["spikedhs_cifar"]).parts["feature"].stages["end"]
    assert network.genotype.parts["feature"].end.temperature == end.temperature
    # the best of the evaluations is a run folder of its own
    scores = [row["validation_top1_percent"] for row in lines(whole) if row["step"] % 2 == 0]
    assert best["top1_percent"] == max(scores)
    assert json.loads((whole / "best" / "about.json").read_text())["part"] == "validation"
    assert weights(whole / "best")


def test_temperatures_of_a_stereo_network_are_searched(short, clips, tmp_path):
    """By the published judge, for all layers: no option but when and with how many batches."""
    changes = {name.replace("__", "."): value for name, value in SEARCHED.items()}
    config = PRESETS["tiny"]().override(
        changes | {"network.genotype": short["spikedhs"], "train.steps": "2"}
    )
    train(task(config, clips), tmp_path / "run")
    found = lines(tmp_path / "run")[1]["temperatures"]
    network = load_run(tmp_path / "run")
    for part, module in (("feature", "features"), ("matching", "matching")):
        for layer, nodes in enumerate(network.genotype.parts[part].dynamics):
            for index, node in enumerate(nodes):
                name = f"{module}.cells.cells.{layer}.nodes.{index}.neuron"
                assert node.temperature == pytest.approx(found[name], rel=1e-5)
    assert any(value != 3.0 for value in found.values())


def test_several_processes_do_not_differentiate_twice(short, folders, monkeypatch):
    monkeypatch.setattr("stereo.temperatures.rank_and_ranks", lambda: (0, 2))
    network = images(folders, short["spikedhs_cifar"]).network()
    with pytest.raises(StereoError, match="judge by mixed or loss, or use one process"):
        dgs_round(network, network, lambda _n, _b: torch.zeros(()), [], DGS(judge="gradient"))


def test_two_colors_are_learned(folders, short, tmp_path):
    task = images(
        folders,
        short["spikedhs_cifar"],
        train__steps="25",
        train__evaluate_every="25",
        train__batch="8",
    )
    best = train(task, tmp_path)
    assert best["top1_percent"] == 100.0


def test_accumulated_gradients_are_those_of_the_whole_batch(folders, short, tmp_path):
    """In eval mode, where batch norms do not look at the batch."""
    task = images(folders, short["spikedhs_cifar"])
    network = task.network().eval()
    batch = next(task.batches())
    gradients = []
    for count in (1, 2):
        network.zero_grad()
        for piece in task.pieces(batch, count):
            (task.loss(network, piece)[0] / count).backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    torch.testing.assert_close(*gradients)
    cut = train(images(folders, short["spikedhs_cifar"], train__accumulate="2"), tmp_path)
    assert cut["loss"] > 0


def test_a_changed_genotype_is_not_resumed(folders, short, tmp_path):
    genotype = load_genotype(short["spikedhs_cifar"])
    genotype.save(tmp_path / "g.json")
    own = images(folders, str(tmp_path / "g.json"), train__steps="1")
    train(own, tmp_path / "run")
    part = genotype.parts["feature"]
    other = replace(genotype, parts={"feature": replace(part, path=(0, 0))})
    other.save(tmp_path / "g.json")
    with pytest.raises(StereoError, match="or genotype"):
        train(own, tmp_path / "run")


def test_bfloat16_trains_and_devices_that_are_not_there_are_refused(folders, short, tmp_path):
    metrics = train(
        images(folders, short["spikedhs_cifar"]), tmp_path, device=Device("cpu", "bf16-mixed")
    )
    assert metrics["loss"] > 0
    with pytest.raises(StereoError, match="--precision is one of 32-true, bf16-mixed"):
        Device("cpu", "8")
    with pytest.raises(StereoError, match="--device is one of"):
        Device("tpu")


def test_two_processes_equal_one(folders, short, tmp_path):
    """Processes that share a batch train as one process with the whole batch does.

    Sums over processes are rounded in another order. In float32 that is enough to move a membrane
    over its threshold now and then, and one spike changes a loss by more than rounding; in float64
    nothing of the kind happens in a few steps, so that what is left is the arithmetic.
    """
    options = {
        "train.optimizer": "sgd", "train.learning_rate": "0.05", "train.steps": "4",
        "train.ema": "0.5", "train.clip_norm": "1.0", "train.rate_weight": "0.1",
        "train.evaluate_every": "4",
        "train.dgs": "true", "dgs.first": "2", "dgs.batches": "1", "dgs.layers": "stem*",
        "network.genotype": short["spikedhs_cifar"],
    }  # fmt: skip
    pairs = [f"{name}={value}" for name, value in options.items()]
    command = [sys.executable, two_trainings.__file__, str(folders), str(tmp_path / "two"), *pairs]
    best = two_trainings.train_exactly(options, folders, tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(n), "LOCAL_RANK": str(n)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )
        for n in range(2)
    ]  # fmt: skip
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    one, two = (lines(tmp_path / name) for name in ("one", "two-64"))
    assert [row["step"] for row in two] == [1, 2, 3, 4], "one process writes"
    assert "temperatures" in two[2]
    assert best["cross_entropy"] > 0
    for expected, got in zip(one, two, strict=True):
        assert got.pop("temperatures", {}) == expected.pop("temperatures", {})
        assert got == pytest.approx(expected, rel=1e-5), "digits of the log"
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two-64")
    assert set(one) == set(two)
    start = images(folders, short["spikedhs_cifar"]).network().double().state_dict()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-10, atol=1e-10, msg=name)
        assert name not in start or not torch.equal(value, start[name]), f"{name} has moved at all"
    # the command itself
    assert [row["step"] for row in lines(tmp_path / "two")] == [1]
    assert weights(tmp_path / "two")
