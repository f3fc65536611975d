"""Training: resuming equals not stopping, run folders, refusals."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from reference.class_folders import write_class_folders

from nas.fold import fold_norms
from stereo.checkpoint import load_network, load_run, save_network
from stereo.config import load_genotype
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.tasks.images import ImageTask
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source
from stereo.train import train


class Killed(Exception):
    """Stands for the death of the process."""


def task(config, folder=None):
    clips = None if folder is None else folder / "clips"
    return StereoTask(config, Source(cache=clips, workers=0))


def lines(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path):
    config = PRESETS["tiny"]()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(task(config, tmp_path), whole)

    def die(step, _metrics):
        if step == 3:  # one step after the last saved state
            raise Killed

    with pytest.raises(Killed):
        train(task(config, tmp_path), broken, report=die)
    assert json.loads((broken / "about.json").read_text())["step"] == 2
    train(task(config, tmp_path), broken)
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


def test_another_configuration_or_an_unwanted_resume_is_refused(tmp_path):
    config = PRESETS["tiny"]().override({"train.steps": "2"})
    train(task(config), tmp_path)
    with pytest.raises(StereoError, match="with another configuration"):
        train(task(config.override({"train.seed": "2"})), tmp_path)
    with pytest.raises(StereoError, match="already holds a training"):
        train(task(config), tmp_path, resume=False)
    (tmp_path / "state" / "latest.pt").write_bytes(b"no")
    with pytest.raises(StereoError, match="Cannot resume"):
        train(task(config), tmp_path)


def test_learning_lowers_the_loss(tmp_path):
    """Generated data, one clip: the loop must at least learn that by heart."""
    config = PRESETS["tiny"]().override(
        {"train.steps": "40", "train.clips": "1", "train.learning_rate": "0.01"}
    )
    train(task(config, tmp_path), tmp_path / "run")
    loss = [row["planes"] for row in lines(tmp_path / "run")]
    assert sum(loss[-8:]) < 0.9 * sum(loss[:8])


# ---- classification


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images"))


def images(folder, **changes):
    config = IMAGE_PRESETS["tiny_images"]().override(
        {f"{name.replace('__', '.')}": value for name, value in changes.items()}
    )
    return ImageTask(config, Source(data=folder, workers=0))


def weights(run):
    return load_run(run, fold=False).state_dict()


def test_an_interrupted_classifier_goes_on_bit_for_bit_with_searched_temperatures(
    folders, tmp_path
):
    changes = {
        "train__dgs": "true", "dgs__first": "1", "dgs__every": "2", "dgs__batches": "1",
        "dgs__judge": "gradient", "dgs__rate": "0.2", "dgs__layers": "[cs]*",
        "train__evaluate_every": "2",
        "train__held_out": "4",
    }  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    best = train(images(folders, **changes), whole)

    def die(step, _metrics):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(images(folders, **changes), broken, report=die)
    assert train(images(folders, **changes), broken) == best
    assert lines(broken) == lines(whole)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    # what DGS found is in the log, the genotype and the weights, and the network uses it
    found = lines(whole)[3]["temperatures"]
    assert len(set(found.values())) > 1
    network = load_run(whole)
    node = network.genotype.parts["feature"].dynamics[2][1].temperature
    assert node == pytest.approx(found["cells.cells.2.nodes.1.neuron"], rel=1e-5)
    assert node != 3.0
    neuron = network.cells.cells[2].nodes[1].neuron
    assert float(neuron.constants().surrogate.temperature) == pytest.approx(node)
    stem = network.genotype.parts["feature"].stem.temperature
    assert stem == pytest.approx(found["stem.fires.0.neuron"], rel=1e-5)
    # the best of the evaluations is a run folder of its own
    scores = [row["validation_top1_percent"] for row in lines(whole) if row["step"] % 2 == 0]
    assert best["top1_percent"] == max(scores)
    assert json.loads((whole / "best" / "about.json").read_text())["part"] == "validation"
    assert weights(whole / "best")


def test_two_colors_are_learned(folders, tmp_path):
    task = images(folders, train__steps="25", train__evaluate_every="25", train__batch="8")
    best = train(task, tmp_path)
    assert best["top1_percent"] == 100.0


def test_accumulated_gradients_are_those_of_the_whole_batch(folders, tmp_path):
    """In eval mode, where batch norms do not look at the batch."""
    task = images(folders)
    network = task.network().eval()
    batch = next(task.batches())
    gradients = []
    for count in (1, 2):
        network.zero_grad()
        for piece in task.pieces(batch, count):
            (task.loss(network, piece)[0] / count).backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    torch.testing.assert_close(*gradients)
    cut = train(images(folders, train__accumulate="2"), tmp_path)
    assert cut["loss"] > 0


def test_a_changed_genotype_is_not_resumed(folders, tmp_path):
    genotype = load_genotype("spikedhs_cifar")
    genotype.save(tmp_path / "g.json")
    changes = {"network__genotype": str(tmp_path / "g.json"), "train__steps": "1"}
    train(images(folders, **changes), tmp_path / "run")
    part = genotype.parts["feature"]
    other = replace(genotype, parts={"feature": replace(part, path=(0,) * 8)})
    other.save(tmp_path / "g.json")
    with pytest.raises(StereoError, match="or genotype"):
        train(images(folders, **changes), tmp_path / "run")


def test_bfloat16_trains_and_devices_that_are_not_there_are_refused(folders, tmp_path):
    metrics = train(images(folders), tmp_path, device=Device("cpu", "bf16-mixed"))
    assert metrics["loss"] > 0
    with pytest.raises(StereoError, match="--precision is one of 32-true, bf16-mixed"):
        Device("cpu", "8")
    with pytest.raises(StereoError, match="--device is one of"):
        Device("tpu")


def test_two_processes_equal_one(folders, tmp_path):
    """Processes that share a batch train as one process with the whole batch does."""
    options = {
        "train.optimizer": "sgd", "train.learning_rate": "0.05", "train.steps": "1",
        "train.checkpoint_every": "1",
    }  # fmt: skip
    command = [
        sys.executable, "-m", "stereo", "train", "--task", "imagenet", "--preset", "tiny_images",
        "--data", str(folders), "--run", str(tmp_path / "two"), "--workers", "0",
        *(part for name, value in options.items() for part in ("--set", f"{name}={value}")),
    ]  # fmt: skip
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
    config = IMAGE_PRESETS["tiny_images"]().override(options)
    train(ImageTask(config, Source(data=folders, workers=0)), tmp_path / "one")
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert [row["step"] for row in lines(tmp_path / "two")] == [1], "one process writes"
    for expected, got in zip(lines(tmp_path / "one"), lines(tmp_path / "two"), strict=True):
        assert got["cross_entropy"] == pytest.approx(expected["cross_entropy"], rel=1e-5)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5)
