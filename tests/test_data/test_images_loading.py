"""Batches: decided by seed and step alone, resumed exactly, the same with workers."""

from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from data import RecordingError
from data.images import (
    BatchOrder,
    ImageAugment,
    ImageFolder,
    Images,
    evaluation_batches,
    image_batches,
    normalize,
)

AUGMENT = ImageAugment(crop_padding=2, cutout=3, mixup=0.5, label_smoothing=0.1)
PLAIN = ImageAugment(crop_padding=2, cutout=3)


def images(count=23):
    rng = np.random.default_rng(0)
    return Images(
        pixels=rng.integers(0, 256, (count, 3, 8, 8), np.uint8),
        labels=rng.integers(0, 3, count),
        classes=("a", "b", "c"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(9):
        place = root / f"n{number % 3}" / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(place), rng.integers(0, 256, (20, 24, 3), np.uint8))
    return ImageFolder(root, size=8)


@pytest.fixture
def source(request, folder):
    return images() if request.param == "memory" else folder


both = pytest.mark.parametrize("source", ["memory", "folder"], indirect=True)


def order_of(source, **options):
    return BatchOrder(**({"length": len(source), "batch": 4, "seed": 3} | options))


def first_of(count, source, first=0, *, augment=AUGMENT, order=None, **options):
    made = order or order_of(source)
    batches = image_batches(source, made, first, augment=augment, **({"seed": 7} | options))
    found = list(islice(batches, count))
    batches.close()
    return found


def equal(first, second):
    assert len(first) == len(second) > 0
    return all(torch.equal(a, b) for one, other in zip(first, second) for a, b in zip(one, other))


@both
def test_batches_resume_at_any_step(source):
    whole = first_of(8, source)
    assert all(x.shape == (4, 3, 8, 8) and x.dtype == torch.float32 for x, _ in whole)
    assert all(targets.shape == (4, 3) for _, targets in whole)
    for step in (1, 2, 5):
        torch.manual_seed(step)
        assert equal(first_of(8 - step, source, step), whole[step:])


@both
def test_seeds_and_epochs_draw_anew(source):
    order = order_of(source, batch=len(source), shuffle=False)
    first, second = first_of(2, source, augment=PLAIN, order=order)
    assert torch.equal(first[1], second[1]), "the same images in the same order"
    assert not torch.equal(first[0], second[0])
    assert not equal(first_of(1, source, augment=PLAIN, order=order, seed=8), [first])


def test_the_rectangles_of_images_in_folders_depend_on_seed_and_epoch(folder):
    plain = ImageAugment(crop_padding=0, flip=False)
    order = order_of(folder, batch=len(folder), shuffle=False)
    first, second = first_of(2, folder, augment=plain, order=order)
    other = first_of(1, folder, augment=plain, order=order, seed=8)[0]
    for one, two in ((first, second), (first, other)):
        assert all(not torch.equal(a, b) for a, b in zip(one[0], two[0]))


def test_batches_hold_what_the_order_says():
    source = images()
    plain = ImageAugment(crop_padding=0, flip=False)
    order = order_of(source)
    for step, (x, targets) in enumerate(first_of(7, source, augment=plain, order=order)):
        indices = order.indices(step)
        assert torch.equal(x, normalize(plain, torch.from_numpy(source.pixels[indices])))
        assert targets.argmax(1).tolist() == source.labels[indices].tolist()


@both
def test_processes_make_the_batch_of_one(source):
    whole = first_of(4, source, augment=PLAIN)
    parts = [
        first_of(4, source, augment=PLAIN, order=order_of(source, rank=rank, ranks=2))
        for rank in (0, 1)
    ]
    joined = [tuple(map(torch.cat, zip(*steps))) for steps in zip(*parts)]
    assert equal(joined, whole)


def test_workers_change_nothing(folder):
    expected = first_of(6, folder)
    before = torch.random.get_rng_state()
    assert equal(first_of(6, folder, workers=2, start_method="fork"), expected)
    assert equal(first_of(4, folder, 2, workers=1, start_method="fork"), expected[2:])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_spawned_workers_change_nothing(folder):
    expected = list(evaluation_batches(folder, 4, augment=AUGMENT))
    assert equal(list(evaluation_batches(folder, 4, augment=AUGMENT, workers=1)), expected)


@both
def test_evaluation_sees_each_image_once_in_order(source):
    found = list(evaluation_batches(source, 4, augment=AUGMENT))
    assert [len(labels) for _, labels in found] == [4] * (len(source) // 4) + [len(source) % 4]
    x, labels = (torch.cat(parts) for parts in zip(*found))
    assert labels.tolist() == source.labels.tolist()
    pixels = torch.from_numpy(np.stack([source[index][0] for index in range(len(source))]))
    assert torch.equal(x, normalize(AUGMENT, pixels))


@pytest.mark.parametrize("count", [1, 4, 5, 8, 10])
def test_processes_share_the_evaluation(count):
    source = images(count)
    parts = [
        list(evaluation_batches(source, 4, augment=AUGMENT, rank=rank, ranks=2)) for rank in (0, 1)
    ]
    labels = [label for part in parts for _, found in part for label in found.tolist()]
    assert sorted(labels) == sorted(source.labels.tolist())
    assert all(len(found) for part in parts for _, found in part)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_in_the_same_words(folder, tmp_path, workers):
    for number in range(4):
        (tmp_path / "n0").mkdir(exist_ok=True)
        (tmp_path / "n0" / f"{number}.png").write_bytes(b"no image" if number == 2 else
                                                        folder.path(0).read_bytes())  # fmt: skip
    broken = ImageFolder(tmp_path, size=8)
    options = {"workers": workers, "start_method": "fork"}
    with pytest.raises(RecordingError, match=r"^\S*2\.png is no image that OpenCV can decode"):
        list(evaluation_batches(broken, 2, augment=AUGMENT, **options))
    allowed = ImageFolder(tmp_path, size=8, replace_unreadable=True)
    assert len(list(evaluation_batches(allowed, 2, augment=AUGMENT, **options))) == 2
    assert [path.name for path in allowed.unreadable()] == ["2.png"]


def test_numbers_without_meaning_are_refused():
    source = images()
    for changes, words in (
        ({"order": order_of(source, length=24)}, "order is of 24 items, but the data set has 23"),
        ({"first": -1}, "0 or more, got -1 and 7"),
        ({"seed": -1}, "0 or more, got 0 and -1"),
        ({"workers": -1}, "got -1 and 2"),
        ({"prefetch": 0}, "got 0 and 0"),
    ):
        with pytest.raises(ValueError, match=words):
            first_of(1, source, **changes)
