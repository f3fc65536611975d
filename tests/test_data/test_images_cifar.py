"""CIFAR in all published layouts, and what is refused of it."""

import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from data import RecordingError
from data.images import Images, read_cifar
from data.images.cifar import BATCHES
from data.images.pickled import read_pickle

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def pixels_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8)


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)


def text(value):
    return b"U" + bytes([len(value)]) + value


def python2_batch(pixels, labels, key=b"labels"):
    """Write a batch opcode by opcode as Python 2 did: protocol 2, byte strings, NumPy 1."""
    raw = pixels.tobytes()
    array = b"".join((
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85", text(b"b"), b"\x87R",
        b"(K\x01", number(pixels.shape[0]), number(pixels.shape[1]), b"\x86",
        b"cnumpy\ndtype\n", text(b"u1"), b"K\x00K\x01\x87R",
        b"(K\x03", text(b"|"), b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb",
        b"\x89T", struct.pack("<i", len(raw)), raw, b"tb",
    ))  # fmt: skip
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key) + listed + b"u."


def python3_batch(pixels, labels, key=b"labels"):
    return pickle.dumps({b"data": pixels, key: list(map(int, labels))}, protocol=2)


def records(pixels, *labels):
    return np.column_stack([*labels, pixels]).astype(np.uint8).tobytes()


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def cifar10(kind):
    """Return the folder, the files, and pixels and labels of all training images."""
    pixels, labels = pixels_of(15), np.arange(15) % 10
    parts = [slice(3 * i, 3 * i + 3) for i in range(5)]
    if kind == "bin":
        files = {f"{n}.bin": records(pixels[p], labels[p]) for n, p in zip(BATCHES, parts)}
        files["test_batch.bin"] = records(pixels[:2], labels[:2])
        files["batches.meta.txt"] = "\n".join(NAMES).encode() + b"\n\n"
        return "cifar-10-batches-bin", files, pixels, labels
    make = python2_batch if kind == "py2" else python3_batch
    files = {name: make(pixels[p], labels[p]) for name, p in zip(BATCHES, parts)}
    files["test_batch"] = make(pixels[:2], labels[:2])
    files["batches.meta"] = pickle.dumps({"label_names": list(NAMES)}, protocol=2)
    return "cifar-10-batches-py", files, pixels, labels


def archive(path, folder, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["bin", "py2", "py3"])
@pytest.mark.parametrize("place", ["folder", "parent", "archive"])
def test_cifar10_is_read_from_every_layout_and_place(tmp_path, kind, place):
    folder, files, pixels, labels = cifar10(kind)
    if place == "archive":
        root = archive(tmp_path / "as-downloaded.tar.gz", folder, files)
    else:
        write(tmp_path / folder, files)
        root = tmp_path if place == "parent" else tmp_path / folder
    train, test = (read_cifar(root, classes=10, part=part) for part in ("train", "test"))
    assert np.array_equal(train.pixels, pixels.reshape(-1, 3, 32, 32))
    assert np.array_equal(train.labels, labels)
    assert train.classes == test.classes == NAMES
    assert len(test) == 2
    image, label = test[1]
    assert np.array_equal(image.ravel(), pixels[1])
    assert label == 1


@pytest.mark.parametrize("kind", ["bin", "py2"])
def test_cifar100_has_fine_labels(tmp_path, kind):
    pixels, fine, coarse = pixels_of(6), np.array([3, 99, 0, 50, 51, 52]), np.arange(6)
    if kind == "bin":
        batch = records(pixels, coarse, fine)
        write(tmp_path / "cifar-100-binary", {"train.bin": batch, "test.bin": batch})
    else:
        batch = python2_batch(pixels, fine, b"fine_labels")
        write(tmp_path / "cifar-100-python", {"train": batch, "test": batch})
    found = read_cifar(tmp_path, classes=100, part="test")
    assert found.labels.tolist() == fine.tolist()
    assert np.array_equal(found.pixels.reshape(6, -1), pixels)
    assert found.classes == tuple(map(str, range(100)))


def test_binary_files_are_preferred_to_pickles(tmp_path):
    for kind in ("py3", "bin"):
        folder, files, *_ = cifar10(kind)
        if kind == "py3":
            files["data_batch_1"] = b"no pickle"
        write(tmp_path / folder, files)
    assert len(read_cifar(tmp_path, classes=10, part="train")) == 15


# What is refused


class Harm:
    """Makes a pickle that creates a file when it is trusted."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_does_harm_is_refused(tmp_path, protocol):
    folder, files, *_ = cifar10("py2")
    harm = pickle.dumps({b"data": Harm(tmp_path / "harm")}, protocol=protocol)
    pickle.loads(harm)[b"data"].close()
    (tmp_path / "harm").unlink()  # It does it, where it is trusted.
    write(tmp_path / folder, files | {"data_batch_3": harm})
    with pytest.raises(
        RecordingError, match=r"data_batch_3: asks Python for (_?io|builtins)\.open"
    ):
        read_cifar(tmp_path, classes=10, part="train")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cnumpy\nload\n(U\x01xtR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cbuiltins\neval\n.",
        b"cnumpy\nndarray.tofile\n.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\nK\x00U\x01btR.",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zlbtR.",
        b"cnumpy\nndarray\n(J\x00\x00\x00\x7ftR.",
        b"U\x01aQ.",
        b"\x82\x01.",
        b"}U\x04dataK\x01.",
    ],
    ids=["load", "scalar", "eval", "method", "other type", "codec", "huge", "id", "ext", "list"],
)
def test_other_names_and_damaged_pickles_are_refused(code):
    with pytest.raises(RecordingError, match=r"^batch"):
        read_pickle(b"\x80\x02" + code, "batch")


def test_no_beginning_of_a_batch_is_taken_for_one():
    whole = python2_batch(pixels_of(1), [1])
    ends = {*range(200), *range(len(whole) - 100, len(whole)), 1000}
    for end in ends:
        with pytest.raises(RecordingError):
            read_pickle(whole[:end], "batch")
    assert read_pickle(whole, "batch")["labels"] == [1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps([1], 2), "holds a list"),
        (pickle.dumps({b"labels": [1]}, 2), "no array 'data'"),
        (python3_batch(np.zeros((2, 100), np.uint8), [1, 1]), "no array 'data'"),
        (python3_batch(np.zeros((2, 3072)), [1, 1]), "no array of bytes"),
        (python3_batch(pixels_of(2), [1]), "2 images and 1 labels"),
        (python2_batch(pixels_of(0), []), "at least one"),
        (python3_batch(pixels_of(1), [10]), "label 10 of image 0"),
        (python3_batch(pixels_of(1), [1 << 40]), "name no class"),
        (python3_batch(pixels_of(1), [1], b"fine_labels"), "no list 'labels'"),
        (pickle.dumps({b"data": pixels_of(1), b"labels": ["a"]}, 2), "whole numbers"),
    ],
)
def test_python_batches_with_other_content_are_refused(tmp_path, content, words):
    folder, files, *_ = cifar10("py2")
    write(tmp_path / folder, files | {"test_batch": content})
    with pytest.raises(RecordingError, match=words):
        read_cifar(tmp_path, classes=10, part="test")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_batch_4.bin": None}, "lacks data_batch_4.bin"),
        ({"data_batch_2.bin": b"\x01" * 5000}, "data_batch_2.bin has 5000 bytes"),
        ({"data_batch_2.bin": b""}, "has 0 bytes"),
        ({"data_batch_5.bin": b"\x0a" + bytes(3072)}, "label 10 of image 0 is none of the 10"),
        ({"batches.meta.txt": b"cat\ndog\n"}, "names 2 classes"),
    ],
)
def test_damaged_binary_files_are_refused(tmp_path, changes, words):
    folder, files, *_ = cifar10("bin")
    files = {n: c for n, c in (files | changes).items() if c is not None}
    write(tmp_path / folder, files)
    with pytest.raises(RecordingError, match=words):
        read_cifar(tmp_path, classes=10, part="train")
    path = archive(tmp_path / "x.tar.gz", folder, files)
    with pytest.raises(RecordingError, match=words):
        read_cifar(path, classes=10, part="train")


def test_places_without_the_set_are_refused(tmp_path):
    folder, files, *_ = cifar10("bin")
    with pytest.raises(RecordingError, match="There is no"):
        read_cifar(tmp_path / "absent", classes=10, part="train")
    with pytest.raises(
        RecordingError, match="expected cifar-10-batches-bin or cifar-10-batches-py"
    ):
        read_cifar(tmp_path, classes=10, part="train")
    write(tmp_path / folder, files)
    with pytest.raises(RecordingError, match="Found CIFAR-10 instead"):
        read_cifar(tmp_path, classes=100, part="train")
    whole = archive(tmp_path / "x.tar.gz", folder, files).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match="not downloaded completely"):
        read_cifar(tmp_path / "x.tar.gz", classes=10, part="train")


def test_other_numbers_of_classes_are_refused(tmp_path, without_shape_checks):
    with pytest.raises(ValueError, match="10 or 100 classes"):
        read_cifar(tmp_path, classes=20, part="train")
    with pytest.raises(ValueError, match="'val'"):
        read_cifar(tmp_path, classes=10, part="val")


# Images


def test_images_are_checked(without_shape_checks):
    good = {
        "pixels": np.zeros((2, 3, 4, 5), np.uint8),
        "labels": np.array([0, 1]),
        "classes": ("a", "b"),
    }
    assert len(Images(**good)) == 2
    for changes, words in (
        ({"pixels": np.zeros((2, 3, 4, 5))}, "Expected uint8"),
        ({"pixels": np.zeros((2, 4, 4, 5), np.uint8)}, r"\[N, 3, H, W\]"),
        ({"pixels": np.zeros((2, 3, 0, 5), np.uint8)}, "no pixels"),
        ({"labels": np.array([0])}, r"Expected int64 \[2\]"),
        ({"labels": np.array([0, 1], np.int32)}, "Expected int64"),
        ({"labels": np.array([0, 2])}, "label 2 of image 1"),
        ({"labels": np.array([-1, 1])}, "label -1 of image 0"),
        ({"classes": ("a", "a")}, "twice there: a"),
        ({"classes": ()}, "there is none"),
    ):
        with pytest.raises(RecordingError, match=words):
            Images(**(good | changes))


def test_images_can_be_taken_out():
    images = Images(
        pixels=np.arange(4, dtype=np.uint8).repeat(12).reshape(4, 3, 2, 2),
        labels=np.array([0, 1, 2, 3]),
        classes=tuple("abcd"),
    )
    part = images.take(np.array([3, 1]))
    assert [(int(pixels[0, 0, 0]), label) for pixels, label in part] == [(3, 3), (1, 1)]
    assert part.classes == images.classes
