"""Tasks: what a step sees, held-out parts, accuracy against counting by hand, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference.class_folders import write_class_folders
from torch import nn

from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.presets import PRESETS
from stereo.tasks import ALL_PRESETS, TASKS, bind_task, find_config
from stereo.tasks.images import ImageTask
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source, Task


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("images"))


def images(folder, **train):
    config = IMAGE_PRESETS["tiny_images"]()
    config = replace(config, train=replace(config.train, **train))
    return ImageTask(config, Source(data=folder, workers=0))


class Redness(nn.Module):
    """Knows nothing but that red is class 1."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        red, _, blue = x.mean((2, 3)).unbind(1)
        return torch.stack([blue, red], 1)


class InDouble(nn.Module):
    """Computes in float64, where no rounding lets another neuron fire."""

    def __init__(self, network):
        super().__init__()
        self.network = network.double().eval()

    def scores_by_step(self, left, right, **more):
        return self.network.scores_by_step(left.double(), right.double(), **more)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_task_has_a_preset_of_its_own_and_every_preset_a_task():
    assert all(find_config(name).task == name for name in TASKS)
    assert {make().task for make in ALL_PRESETS.values()} <= set(TASKS)


@pytest.mark.parametrize("name", ["images", "stereo"])
def test_a_step_sees_the_same_whenever_training_starts(name, folders, tmp_path):
    if name == "images":
        task, count = images(folders), 4
    else:
        task, count = StereoTask(PRESETS["tiny"](), Source(cache=tmp_path, workers=0)), 4
    assert isinstance(task, Task)
    flat = [_tensors(batch) for batch in task.batches()]
    assert len(flat) == count
    for expected, got in zip(flat[2:], task.batches(2), strict=True):
        assert equal(expected, _tensors(got))
    pairs = task.halves(1)
    first, second = next(pairs)
    assert not equal(_tensors(first), _tensors(second))
    again = task.halves(0)
    next(again)
    assert equal(_tensors(next(again)[1]), _tensors(second))


def _tensors(batch):
    return batch if isinstance(batch, tuple) else (batch.left, batch.right, batch.disparity)


def test_processes_share_each_batch(folders):
    whole = list(images(folders).batches())
    parts = [list(images(folders).batches(rank=rank, ranks=2)) for rank in range(2)]
    for step, (x, targets) in enumerate(whole):
        assert torch.equal(torch.cat([part[step][0] for part in parts]), x)
        assert torch.equal(torch.cat([part[step][1] for part in parts]), targets)
    with pytest.raises(StereoError, match="train.batch=4 cannot be used here"):
        next(images(folders).batches(rank=0, ranks=3))


def test_pieces_are_the_batch(folders):
    task = images(folders)
    x, targets = next(task.batches())
    pieces = task.pieces((x, targets), 2)
    assert equal([torch.cat(column) for column in zip(*pieces)], (x, targets))


def test_held_out_samples_are_never_trained_on(folders):
    task = images(folders, held_out=6)
    assert task.parts == ("validation", "test")
    train, validation = task.samples("train"), task.samples("validation")
    assert (len(train), len(validation)) == (10, 6)
    used = {train.path(n) for n in range(10)} | {validation.path(n) for n in range(6)}
    assert len(used) == 16
    with pytest.raises(StereoError, match="only 16 training samples"):
        images(folders, held_out=16).samples("train")
    with pytest.raises(StereoError, match="validation needs train.held_out"):
        images(folders).samples("validation")


def test_the_loss_and_its_share_of_the_auxiliary_head(folders):
    config = IMAGE_PRESETS["tiny_images"]().override({"network.auxiliary": "3"})
    task = ImageTask(config, Source(data=folders, workers=0))
    network, batch = task.network(), next(task.batches())
    loss, metrics = task.loss(network, batch)
    scores, second = network.both(batch[0])
    expected = -(batch[1] * scores.log_softmax(1)).sum(1).mean()
    assert metrics["cross_entropy"] == pytest.approx(float(expected.detach()), rel=1e-5)
    expected = expected - 0.4 * (batch[1] * second.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_accuracy_and_confusions_equal_a_count_by_hand(folders):
    task = images(folders)
    perfect = task.evaluate(Redness(), "test")
    assert (perfect.samples, perfect.metrics["top1_percent"]) == (16, 100.0)
    assert perfect.tables["confusion"] == [[8, 0], [0, 8]]
    assert perfect.tables["classes"] == ["blue", "red"]
    torch.manual_seed(1)
    network, truth, found = task.network().eval(), [], []
    samples = task.samples("test")
    with torch.no_grad():
        for x, labels in task.evaluation_batches(samples):
            found += network(x).argmax(1).tolist()
            truth += labels.tolist()
    result = task.evaluate(network, "test")
    right = sum(a == b for a, b in zip(truth, found, strict=True))
    assert result.metrics["top1_percent"] == pytest.approx(100 * right / 16)
    assert result.metrics["top5_percent"] == 100.0, "there are only two classes"
    table = np.zeros((2, 2), int)
    for a, b in zip(truth, found, strict=True):
        table[a, b] += 1
    assert result.tables["confusion"] == table.tolist()


def test_some_samples_are_of_all_classes(folders):
    result = images(folders).evaluate(Redness(), "test", samples=10)
    assert result.samples == 10
    assert all(sum(row) > 0 for row in result.tables["confusion"])


def test_stereo_is_supervised_after_every_step(tmp_path):
    def losses(**weights):
        changes = {f"train.{name}": str(value) for name, value in weights.items()}
        config = find_config("stereo", "tiny").override({"encoding.steps": "3", **changes})
        task = bind_task(config, Source(cache=tmp_path, workers=0))
        torch.manual_seed(0)
        network = InDouble(task.network())
        batch = next(iter(task.batches()))
        shorter = [
            replace(batch, left=batch.left[:count], right=batch.right[:count])
            for count in (1, 2, 3)
        ]
        with torch.no_grad():
            return float(task.loss(network, batch)[0]), [
                float(task.loss(network, one)[0]) for one in shorter
            ]

    last, (first, second, third) = losses()
    assert last == third
    both, _ = losses(step_weight=0.5)
    assert both == pytest.approx(last + 0.5 * (first + second) / 2, rel=1e-9)
    l1, planes = losses(plane_weight=0.0)[0], losses(l1_weight=0.0)[0]
    assert last == pytest.approx(l1 + planes, rel=1e-6)
    with pytest.raises(StereoError, match="one of the first two must be positive"):
        losses(l1_weight=0.0, plane_weight=0.0)


def test_stereo_is_evaluated_on_clips_that_are_not_trained_on(tmp_path):
    config = PRESETS["tiny"]().override({"train.validation": "2"})
    task = StereoTask(config, Source(cache=tmp_path, workers=0))
    trained = {clip for batch in task.batches() for clip in (m["clip"] for m in batch.meta)}
    held = task.data.held("validation")
    assert len(held.places) == 2
    assert not trained & {batch.meta[0]["clip"] for batch in held}
    result = task.evaluate(task.network().eval(), "validation")
    assert result.samples == 2
    assert result.metrics["mae_px"] > 0
    assert {"one_pe_percent", "two_pe_percent", "rmse_px"} <= set(result.metrics)
    left, right = task.example(2)
    assert left.shape == right.shape == (2, 2, 2, 36, 48)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cifar10", "needs --data .*cifar-10-binary.tar.gz"),
        ("cifar100", "needs --data .*cifar-100-binary.tar.gz"),
        ("imagenet", "needs --data .*DATA/train/<class>"),
        ("cifar10-dvs", "needs --data .*CIFAR10-DVS"),
        ("dvs-gesture", "needs --data .*ibmGestureTrain"),
    ],
)
def test_missing_data_say_what_to_download(name, words, tmp_path):
    config = find_config(name)
    with pytest.raises(StereoError, match=words):
        bind_task(config, Source())
    with pytest.raises(StereoError, match=words.split(".*")[1]):
        bind_task(config, Source(data=tmp_path / "nothing")).samples("train")


def test_what_does_not_fit_is_refused(folders):
    with pytest.raises(StereoError, match="no task 'cifar'; known: stereo, cifar10"):
        find_config("cifar")
    with pytest.raises(StereoError, match="for the task stereo, not for cifar10; choose"):
        find_config("cifar10", "tiny")
    with pytest.raises(
        StereoError, match="no preset 'x'; known for the task stereo: searched, small"
    ):
        find_config("stereo", "x")
    with pytest.raises(StereoError, match="holds nothing that stereo can be trained on"):
        bind_task(find_config("stereo"), Source(data=folders))
    three = find_config("imagenet", "tiny_images").override({"network.classes": "3"})
    with pytest.raises(StereoError, match="network.classes=2"):
        bind_task(three, Source(data=folders)).samples("train")
    frames = find_config("cifar10").override({"network.frames": "true"})
    with pytest.raises(StereoError, match="frames of events"):
        bind_task(frames, Source(data=folders))
    pictures = find_config("cifar10-dvs").override({"network.frames": "false"})
    with pytest.raises(StereoError, match="network.frames must be true"):
        bind_task(pictures, Source(data=folders))
