"""CIFAR-10 and CIFAR-100 in the layouts that they are published in.

Reference:
    A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.images.arrays import Images, check_labels
from data.images.pickled import read_pickle

Part = Literal["train", "test"]

SIDE = 32
"""Rows and columns of an image."""

PIXELS = 3 * SIDE * SIDE
"""Bytes of an image: red, green, blue, each row by row."""

LARGEST_BYTES = 1 << 29
"""No file of either set has half of this; larger ones are not unpacked."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one published version of one set lies on disk.

    Attributes:
        folder: that the archive holds.
        files: of each part.
        names: file with the names of the classes.
        classes: number of classes.
        labels: bytes before each image, the last of which is its class; None for Python batches.
        keys: of the labels and of the names in Python batches.
    """

    folder: str
    files: dict[Part, tuple[str, ...]]
    names: str
    classes: int
    labels: int | None = None
    keys: tuple[str, str] = ("labels", "label_names")


BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

LAYOUTS = (
    Layout(
        folder="cifar-10-batches-bin",
        files={"train": tuple(f"{name}.bin" for name in BATCHES), "test": ("test_batch.bin",)},
        names="batches.meta.txt",
        classes=10,
        labels=1,
    ),
    Layout(
        folder="cifar-100-binary",
        files={"train": ("train.bin",), "test": ("test.bin",)},
        names="fine_label_names.txt",
        classes=100,
        labels=2,
    ),
    Layout(
        folder="cifar-10-batches-py",
        files={"train": BATCHES, "test": ("test_batch",)},
        names="batches.meta",
        classes=10,
    ),
    Layout(
        folder="cifar-100-python",
        files={"train": ("train",), "test": ("test",)},
        names="meta",
        classes=100,
        keys=("fine_labels", "fine_label_names"),
    ),
)
"""Binary ones first, which are taken where both are there."""


@dataclass(frozen=True)
class _Place:
    """A folder or archive that holds a layout: how to read its files."""

    layout: Layout
    where: str
    read: Callable[[str], bytes | None]

    def content(self, name: str) -> bytes:
        """Return a file that must be there."""
        found = self.read(name)
        if found is None:
            raise RecordingError(
                f"{self.where} lacks {name}. Expected {', '.join(_all_files(self.layout))}; "
                "unpack the archive again."
            )
        return found


def read_cifar(root: str | Path, *, classes: int, part: Part) -> Images:
    """Return the training or the test images of CIFAR-10 or CIFAR-100 (fine labels).

    Args:
        root: folder with the binary or the Python version, the folder that this lies in, or the
            archive (``.tar.gz``) as it was downloaded, which is read in memory.
        classes: 10 or 100.
        part: ``train`` (published with 50,000 images) or ``test`` (10,000).

    Raises:
        RecordingError: no such set there, files that are missing, of a wrong size or damaged,
            labels that name no class.
        ValueError: another number of classes, or another part.
    """
    if classes not in (10, 100) or part not in ("train", "test"):
        raise ValueError(
            f"CIFAR has 10 or 100 classes and the parts train and test, got {classes} and {part!r}."
        )
    place = _find(Path(root).expanduser(), classes)
    parts = [_read_file(place, name) for name in place.layout.files[part]]
    return Images(
        pixels=np.concatenate([pixels for pixels, _ in parts]),
        labels=np.concatenate([labels for _, labels in parts]),
        classes=_class_names(place),
    )


def _find(root: Path, classes: int) -> _Place:
    """Return where a set of so many classes lies."""
    if root.is_file():
        places = _in_archive(root)
    elif root.is_dir():
        places = _in_folder(root)
    else:
        raise RecordingError(
            f"There is no {root}. Give the folder of CIFAR-{classes}, or its archive."
        )
    fitting = [place for place in places if place.layout.classes == classes]
    if fitting:
        return fitting[0]
    others = "".join(f" Found CIFAR-{place.layout.classes} instead." for place in places[:1])
    expected = " or ".join(layout.folder for layout in LAYOUTS if layout.classes == classes)
    raise RecordingError(f"{root} holds no CIFAR-{classes}: expected {expected}.{others}")


def _in_folder(root: Path) -> list[_Place]:
    places = []
    for layout in LAYOUTS:
        for folder in (root, root / layout.folder):
            if any((folder / name).is_file() for name in _all_files(layout)):

                def read(name: str, folder: Path = folder) -> bytes | None:
                    path = folder / name
                    return path.read_bytes() if path.is_file() else None

                places.append(_Place(layout, str(folder), read))
                break
    return places


def _in_archive(path: Path) -> list[_Place]:
    """Return what an archive holds; nothing of it is written to disk."""
    known = {name for layout in LAYOUTS for name in (*_all_files(layout), layout.names)}
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                inside = PurePosixPath(member.name)
                if not member.isfile() or inside.name not in known:
                    continue
                if member.size > LARGEST_BYTES:
                    raise RecordingError(
                        f"{path}: {member.name} says that it has {member.size} bytes; no file of "
                        "CIFAR is that large. Download the archive again."
                    )
                file = archive.extractfile(member)
                if file is not None:
                    found.setdefault(inside.parent.name, {})[inside.name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RecordingError(
            f"{path} cannot be read as an archive ({error}). Expected CIFAR's .tar.gz; if it is, "
            "it was not downloaded completely."
        ) from error
    return [
        _Place(layout, f"{path}:{layout.folder}", found[layout.folder].get)
        for layout in LAYOUTS
        if layout.folder in found
    ]


def _all_files(layout: Layout) -> tuple[str, ...]:
    return layout.files["train"] + layout.files["test"]


def _read_file(place: _Place, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return pixels ``[N, 3, 32, 32]`` and labels ``[N]`` of one file."""
    where = f"{place.where}/{name}"
    content, layout = place.content(name), place.layout
    if layout.labels is None:
        pixels, labels = _python_batch(read_pickle(content, where), layout.keys[0], where)
    else:
        length = layout.labels + PIXELS
        if not content or len(content) % length:
            raise RecordingError(
                f"{where} has {len(content)} bytes. Expected a multiple of {length}, which is one "
                "image; the file is truncated, unpack the archive again."
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, length)
        labels, pixels = records[:, layout.labels - 1].astype(np.int64), records[:, layout.labels :]
    check_labels(labels, layout.classes, where)
    return pixels.reshape(-1, 3, SIDE, SIDE), labels


def _python_batch(
    batch: dict[str, Any], key: str, where: str
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return pixels ``[N, 3072]`` and labels ``[N]`` of a Python batch."""
    pixels, labels = batch.get("data"), batch.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise RecordingError(
            f"{where} has no array 'data' of N x {PIXELS} bytes. It is not a batch of CIFAR."
        )
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise RecordingError(f"{where} has no list {key!r} of whole numbers.")
    if len(labels) != len(pixels) or not labels:
        raise RecordingError(
            f"{where} has {len(pixels)} images and {len(labels)} labels. Expected as many, and at "
            "least one; the file is damaged, unpack the archive again."
        )
    if not all(0 <= label < 256 for label in (min(labels), max(labels))):
        raise RecordingError(f"{where}: labels from {min(labels)} to {max(labels)} name no class.")
    return pixels, np.array(labels, np.int64)


def _class_names(place: _Place) -> tuple[str, ...]:
    """Return the names of the classes; their numbers if the file of names is not there."""
    layout = place.layout
    content = place.read(layout.names)
    where = f"{place.where}/{layout.names}"
    if content is None:
        return tuple(str(number) for number in range(layout.classes))
    names: Sequence[object]
    if layout.labels is None:
        found = read_pickle(content, where).get(layout.keys[1])
        names = found if isinstance(found, list) else []
    else:
        names = content.split()
    if len(names) != layout.classes:
        raise RecordingError(
            f"{where} names {len(names)} classes. Expected {layout.classes}; unpack it again."
        )
    return tuple(
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names
    )
