"""`stereo train` and `stereo eval` of a classifier, through the command line."""

import json
from dataclasses import replace

import pytest
import torch
from reference.class_folders import write_class_folders
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from stereo.checkpoint import load_run, save_network
from stereo.classifier import SpikingClassifier
from stereo.cli import app
from stereo.cli.eval import class_rows
from stereo.config import load_genotype
from stereo.image_presets import IMAGE_PRESETS


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images"))


def test_train_then_eval(folders, tmp_path):
    run, genotype = tmp_path / "run", load_genotype("spikedhs_cifar")
    part = replace(genotype.parts["feature"], path=(0, 1))  # two layers are enough here
    replace(genotype, parts={"feature": part}).save(tmp_path / "short.json")
    result = call(
        "train", "--task", "imagenet", "--preset", "tiny_images", "--data", folders, "--run", run,
        "--set", "train.steps=2", "--set", f"network.genotype={tmp_path / 'short.json'}",
        "--workers", 0, "--tensorboard", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    shown = EventAccumulator(str(run / "tensorboard")).Reload().Scalars("loss")
    assert [one.step for one in shown] == [1, 2]
    losses = [json.loads(line)["loss"] for line in lines]
    assert [one.value for one in shown] == pytest.approx(losses, rel=1e-5)
    document = json.loads(result.stdout)
    assert (document["run"], document["steps"]) == (str(run), 2)
    assert document["wall_s"] > 0
    assert document["best"]["loss"] > 0
    evaluation = call("eval", "--task", "imagenet", "--run", run, "--data", folders, "--json")
    assert evaluation.exit_code == 0, evaluation.output
    document = json.loads(evaluation.stdout)
    assert (document["protocol"], document["samples"]) == ("test", 16)
    assert document["per_sequence"] is None
    metrics = document["metrics"]
    assert metrics["parameters"] == sum(p.numel() for p in load_run(run, fold=False).parameters())
    assert metrics["energy_mj"] == document["energy"]["total_mj"] > 0
    assert document["energy"]["steps"] == 2
    right = sum(document["tables"]["confusion"][n][n] for n in range(2))
    assert metrics["top1_percent"] == pytest.approx(100 * right / 16)
    shown = call("eval", "--run", run, "--data", folders)
    assert "taken most often for" in shown.stdout


def test_what_cannot_be_evaluated_is_refused(folders, tmp_path):
    torch.manual_seed(0)
    save_network(tmp_path, SpikingClassifier(IMAGE_PRESETS["tiny_images"]()), {})
    for arguments, words in (
        (("eval", "--run", tmp_path), "needs --data"),
        (("eval", "--run", tmp_path, "--task", "cifar10"), "for the task imagenet, not for"),
        (("eval", "--run", tmp_path, "--data", folders, "--protocol", "x"), "has the parts test"),
        (("eval", "--run", tmp_path / "none"), "not a run folder"),
        (("eval", "--run", tmp_path, "--data", folders, "--pictures", tmp_path), "no pictures"),
        (("train", "--run", tmp_path, "--task", "x"), "no task 'x'"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert words in " ".join(result.stderr.split())


def test_classes_are_listed_with_their_worst_confusion():
    rows = class_rows(["cat", "dog", "none"], [[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert rows == [("cat", 4, 75.0, "dog (1)"), ("dog", 2, 100.0, "-"), ("none", 0, None, "-")]
    many = class_rows([str(n) for n in range(21)], [[n] + [0] * 19 + [5] for n in range(21)])
    correct = [row[2] for row in many]
    assert correct == sorted(correct)
