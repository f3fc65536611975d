"""Augmentation of batches: each part against its definition, and chance that is only the given."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.images import IMAGENET_COLOR, ImageAugment, augment_batch, normalize
from data.images.augment import smoothed
from data.images.policies import auto_steps, random_steps

NOTHING = ImageAugment(crop_padding=0, flip=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def batch_of(count=8, height=6, width=5, seed=0):
    rng = np.random.default_rng(seed)
    # No pixel is black or equal to another of its image, so that places can be found again.
    pixels = rng.permuted(np.tile(np.arange(1, 256, dtype=np.uint8), (count, 1)), axis=1)
    x = torch.from_numpy(pixels[:, : 3 * height * width].reshape(count, 3, height, width).copy())
    return x, torch.from_numpy(rng.integers(0, 4, count))


def run(config, x, labels, seed=0, classes=4, **options):
    return augment_batch(config, x, labels, classes, np.random.default_rng(seed), **options)


def test_nothing_asked_for_is_nothing_done():
    x, labels = batch_of()
    out, targets = run(NOTHING, x, labels)
    assert torch.equal((out * 255).round().to(torch.uint8), x)
    assert torch.equal(targets, torch.eye(4)[labels])


def test_normalizing_subtracts_and_divides():
    mean, std = IMAGENET_COLOR
    config = replace(NOTHING, mean=mean, std=std)
    x, labels = batch_of()
    expected = (x.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert np.allclose(normalize(config, x).numpy(), expected, atol=1e-6)
    assert torch.equal(run(config, x, labels)[0], normalize(config, x))


@given(st.integers(0, 3), st.booleans(), st.integers(0, 1000))
@settings(max_examples=25)
def test_each_crop_is_a_part_of_the_padded_image_perhaps_mirrored(padding, flip, seed):
    x, labels = batch_of(count=4, seed=seed)
    before = x.clone()
    config = replace(NOTHING, crop_padding=padding, flip=flip)
    out = (run(config, x, labels, seed)[0] * 255).round().to(torch.uint8)
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    for image, whole in zip(out, padded):
        parts = [
            part.flip(-1) if mirrored else part
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            for mirrored in ((False, True) if flip else (False,))
            for part in [whole[:, top : top + 6, left : left + 5]]
        ]
        assert sum(torch.equal(image, part) for part in parts) == 1
    assert torch.equal(x, before)


def test_all_crops_and_both_mirrors_are_equally_likely():
    x, labels = batch_of(count=1)
    x, labels = x.expand(4000, -1, -1, -1), labels.expand(4000)
    out = (run(replace(NOTHING, crop_padding=1, flip=True), x, labels)[0] * 255).round()
    _, counts = out.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 18
    # Five standard deviations around 4000 / 18.
    assert 150 < int(counts.min()) <= int(counts.max()) < 295


def test_cutout_sets_a_square_to_the_mean():
    x, labels = batch_of(count=200, height=8, width=8)
    out, _ = run(replace(NOTHING, cutout=4, mean=(0.5, 0.5, 0.5)), x, labels)
    cut = out == 0
    assert torch.equal(cut[:, 0], cut[:, 1])
    assert torch.equal(cut[:, 0], cut[:, 2])
    assert torch.equal(out[~cut], normalize(replace(NOTHING, mean=(0.5,) * 3), x)[~cut])
    sizes = set()
    for image in cut[:, 0]:
        rows, columns = image.any(1).nonzero().flatten(), image.any(0).nonzero().flatten()
        assert int(image.sum()) == len(rows) * len(columns)
        assert int(rows[-1] - rows[0]) + 1 == len(rows)
        sizes.add((len(rows), len(columns)))
    assert sizes == {(h, w) for h in (2, 3, 4) for w in (2, 3, 4)}


@given(
    st.floats(0, 2), st.floats(0, 2), st.floats(0, 0.9), st.integers(1, 9), st.integers(0, 10**6)
)
@settings(max_examples=40)
def test_targets_sum_to_one(mixup, cutmix, smoothing, count, seed):
    config = replace(NOTHING, mixup=mixup, cutmix=cutmix, label_smoothing=smoothing)
    out, targets = run(config, *batch_of(count=count), seed=seed)
    assert torch.allclose(targets.sum(1), torch.ones(count), atol=1e-5)
    assert float(targets.min()) >= 0
    assert out.isfinite().all()


def test_smoothing_shares_among_all_classes():
    assert torch.allclose(
        smoothed(torch.tensor([2]), 4, 0.2), torch.tensor([[0.05, 0.05, 0.85, 0.05]])
    )


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_have_the_targets_of_their_parts(kind):
    count = 6
    # Image i is gray value i + 1, of class i: what it is mixed of can be read off.
    gray = torch.arange(1, count + 1, dtype=torch.uint8)
    x, labels = gray.view(-1, 1, 1, 1).repeat(1, 3, 10, 8), torch.arange(count)
    weights = []
    for seed in range(20):
        out, targets = run(replace(NOTHING, **{kind: 1.0}), x, labels, seed, classes=count)
        values = (targets * (torch.arange(count) + 1)).sum(1) / 255
        assert torch.allclose(out.mean((1, 2, 3)), values, atol=1e-6)
        if kind == "cutmix":
            kinds = out[:, 0] * 255
            assert torch.equal(kinds.round(), kinds)
        else:
            assert torch.allclose(out, values.view(-1, 1, 1, 1).expand_as(out), atol=1e-6)
        weights += targets.max(1).values.tolist()
    assert len(set(weights)) > 8
    assert min(weights) < 0.7


def test_with_both_some_batches_are_mixed_and_some_cut():
    x, labels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1), torch.tensor([0, 1])
    x = x.repeat(1, 3, 20, 20)
    config = replace(NOTHING, mixup=1.0, cutmix=1.0)
    kinds = []
    for seed in range(100):
        out, targets = run(config, x, labels, seed)
        if 0.05 < float(targets[0, 0]) < 0.95:
            kinds.append("cut" if set(out.unique().tolist()) <= {0.0, 1.0} else "mixed")
    assert min(kinds.count("cut"), kinds.count("mixed")) > 8


# Chance


CONFIGS = {
    "crop": ImageAugment(cutout=3),
    "mixed": ImageAugment(mixup=0.4, cutmix=1.0),
    "auto": ImageAugment(policy="autoaugment"),
    "random": ImageAugment(policy="randaugment"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_generator_alone_decides_and_global_ones_stay(name):
    x, labels = batch_of(count=12, height=8, width=8)
    first = run(CONFIGS[name], x, labels, 5)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = run(CONFIGS[name], x, labels, 5)
    assert all(map(torch.equal, first, again))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert not torch.equal(run(CONFIGS[name], x, labels, 6)[0], first[0])


def test_parts_of_a_batch_are_augmented_as_the_whole():
    x, labels = batch_of(count=8)
    config = ImageAugment(cutout=3, label_smoothing=0.1)
    whole = run(config, x, labels, 3)
    parts = [
        run(config, x[start : start + 4], labels[start : start + 4], 3, first=start, whole=8)
        for start in (0, 4)
    ]
    for place in range(2):
        assert torch.equal(torch.cat([part[place] for part in parts]), whole[place])
    with pytest.raises(ValueError, match="Images 6 to 9 are no part of 8"):
        run(config, x[:4], labels[:4], first=6, whole=8)


# Policies


@pytest.mark.parametrize("policy", ["autoaugment", "randaugment"])
def test_each_image_draws_a_policy_of_its_own(policy):
    x, labels = batch_of(count=1, height=9, width=9)
    x, labels = x.expand(60, -1, -1, -1), labels.expand(60)
    out, _ = run(replace(NOTHING, policy=policy), x, labels)
    assert out.shape == x.shape
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert len(out.flatten(1).unique(dim=0)) > 10


def test_policies_have_all_published_steps():
    assert len(auto_steps("cifar10")) == len(auto_steps("imagenet")) == 25
    assert len(random_steps(9)) >= 14
    table = replace(NOTHING, policy="autoaugment", table="imagenet")
    x, labels = batch_of(count=30, height=8, width=8)
    other = replace(table, table="cifar10")
    assert not torch.equal(run(table, x, labels)[0], run(other, x, labels)[0])


def test_operations_and_magnitude_count():
    x, labels = batch_of(count=30, height=8, width=8)
    config = replace(NOTHING, policy="randaugment", operations=1, magnitude=5)
    out = run(config, x, labels)[0]
    assert not torch.equal(run(replace(config, operations=2), x, labels)[0], out)
    assert not torch.equal(run(replace(config, magnitude=20), x, labels)[0], out)


# What is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop_padding": -1}, "0 or more, got -1"),
        ({"cutout": -1}, "0 or more"),
        ({"mixup": -0.1}, "0 or more"),
        ({"cutmix": -0.1}, "0 or more"),
        ({"policy": "best"}, "got 'best'"),
        ({"table": "svhn"}, "got 'svhn'"),
        ({"operations": 0}, "at least one operation"),
        ({"magnitude": 30}, "magnitude of 1 to 29"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
        ({"mean": (1.0,)}, "each of three colors"),
    ],
)
def test_values_without_meaning_are_refused(changes, words, without_shape_checks):
    with pytest.raises(ValueError, match=words):
        ImageAugment(**changes)


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_of_no_class_are_refused(label):
    x, _ = batch_of(count=2)
    with pytest.raises(ValueError, match="none of 4 classes"):
        run(NOTHING, x, torch.tensor([0, label]))
