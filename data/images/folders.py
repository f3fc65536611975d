"""Images in folders, one for each class, decoded when they are wanted."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from data.errors import RecordingError
from data.images.arrays import check_classes
from data.images.pictures import center_square, decode_picture, random_square

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
"""Of the names of files that are taken for images, in small letters."""

PARTS = ("train", "val", "test")

ANNOTATIONS = "val_annotations.txt"
"""Tiny-ImageNet's list of the validation images: name, tabulator, class, and a box."""


class _Found(NamedTuple):
    """The images of a part: their files, relative to it, and the name of each one's class."""

    files: list[str]
    names: list[str]


class ImageFolder:
    """The images of one part of a data set in folders.

    Understood are ``root/<part>/<class>/<image>`` (ImageNet), the same without ``<part>``, with a
    folder ``images`` in each class (Tiny-ImageNet), and ``root/<part>/images`` beside a
    ``val_annotations.txt`` (its validation part). Files are sorted by class, then by name.

    Attributes:
        labels: ``[N]`` int64, places in ``classes``.
        classes: names of the classes: those of the training part if there is one, sorted.
        size: rows and columns of the images that it gives.

    Args:
        root: folder of the data set, or of one part of it.
        part: ``train``, ``val`` or another folder of ``root``.
        size: rows and columns.
        classes: names of the classes to take, in their order; by default all.
        short_side: pixels of the shorter side before the middle is cut out for evaluation; by
            default ``size`` times 8/7, as 256 for 224. Give ``size`` for images that have no
            border to lose.
        area: least and largest share of the image in a random rectangle for training.
        replace_unreadable: give the next readable image in the place of one that cannot be decoded,
            instead of refusing it; ``unreadable()`` lists them.

    Raises:
        RecordingError: no such folder, no images in it, classes that are missing.
        ValueError: sizes or shares without meaning.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        part: str = "train",
        size: int,
        classes: Sequence[str] | None = None,
        short_side: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        replace_unreadable: bool = False,
    ) -> None:
        short_side = round(size * 8 / 7) if short_side is None else short_side
        if size < 1 or short_side < size or not 0 < area[0] <= area[1] <= 1:
            raise ValueError(
                "Images need a size of at least 1, a short_side of at least the size and an area "
                f"of two shares, 0 < least <= largest <= 1; got {size}, {short_side} and {area}."
            )
        self._folder = _part_of(Path(root).expanduser(), part)
        found = _images_of(self._folder)
        self.size = size
        self.classes = tuple(classes) if classes is not None else _class_names(self._folder, found)
        check_classes(self.classes)
        numbers = {name: number for number, name in enumerate(self.classes)}
        missing = sorted(set(self.classes) - set(found.names))
        strange = sorted(set(found.names) - set(self.classes))
        if classes is not None and missing:
            raise RecordingError(
                f"{self._folder} has no images of {len(missing)} of the {len(self.classes)} "
                f"classes: {', '.join(missing[:5])}."
            )
        if classes is None and strange:
            raise RecordingError(
                f"{self._folder} has images of classes that the training part lacks: "
                f"{', '.join(strange[:5])}. Give the classes to take."
            )
        kept = [place for place, name in enumerate(found.names) if name in numbers]
        kept.sort(key=lambda place: (numbers[found.names[place]], found.files[place]))
        # One array of bytes: a million str would be copied into each worker one by one.
        self._files = np.array([os.fsencode(found.files[place]) for place in kept])
        self._labels = np.array([numbers[found.names[place]] for place in kept], np.int64)
        self._chosen = np.arange(len(kept))
        self._short_side, self._area = short_side, area
        self._replace = replace_unreadable
        # Shared with the workers, which find out.
        flags: Any = torch.zeros(len(kept), dtype=torch.uint8)
        self._unreadable: torch.Tensor = flags.share_memory_()

    @property
    def labels(self) -> Int64[np.ndarray, " N"]:
        """The class of each image."""
        return self._labels[self._chosen]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[UInt8[np.ndarray, "3 S S"], int]:
        """Return image ``index`` as it is evaluated, and its label."""
        return self.view(index, None)

    def view(
        self, index: int, rng: np.random.Generator | None
    ) -> tuple[UInt8[np.ndarray, "3 S S"], int]:
        """Return image ``index`` and its label.

        Args:
            index: of the image.
            rng: for a random rectangle of it; None for its middle.

        Raises:
            IndexError: no such image.
            RecordingError: the file cannot be decoded.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Image {int(index)} of {len(self)}.")
        place, picture = self._readable(int(index))
        if rng is None:
            square = center_square(picture, self.size, self._short_side)
        else:
            square = random_square(picture, self.size, self._area, rng)
        return square, int(self._labels[place])

    def take(self, indices: Int64[np.ndarray, " M"]) -> "ImageFolder":
        """Return the images at ``indices``, in that order."""
        part = copy.copy(self)
        part._chosen = self._chosen[indices]
        return part

    def path(self, index: int) -> Path:
        """Return the file of image ``index``."""
        return self._path(int(self._chosen[index]))

    def unreadable(self) -> tuple[Path, ...]:
        """Return the files that could not be decoded so far, in this process or a worker."""
        return tuple(self._path(int(place)) for place in self._unreadable.nonzero().flatten())

    def _path(self, place: int) -> Path:
        return self._folder / os.fsdecode(self._files[place])

    def _readable(self, index: int) -> tuple[int, UInt8[np.ndarray, "H W 3"]]:
        """Return the place and the content of image ``index``, or of the next one if allowed."""
        for offset in range(len(self) if self._replace else 1):
            place = int(self._chosen[(index + offset) % len(self)])
            try:
                picture = decode_picture(self._path(place).read_bytes())
            except OSError as error:
                raise RecordingError(
                    f"{self._path(place)} cannot be read ({error.strerror})."
                ) from error
            if picture is not None:
                return place, picture
            self._unreadable[place] = 1
        raise RecordingError(
            f"{self._path(int(self._chosen[index]))} is no image that OpenCV can decode, or it is "
            "truncated. Copy it again, remove it, or allow others in the place of such images with "
            "replace_unreadable=True."
        )


def _part_of(root: Path, part: str) -> Path:
    """Return the folder of a part."""
    if (root / part).is_dir():
        return root / part
    others = [name for name in PARTS if (root / name).is_dir()]
    if not root.is_dir() or others:
        found = f" It has {', '.join(others)}." if others else ""
        raise RecordingError(
            f"There is no folder {root / part}.{found} Expected {part}/<class>/<image> in the "
            "folder of the data set."
        )
    if root.name in PARTS and root.name != part:
        raise RecordingError(f"{root} is the part {root.name!r}; {part!r} was asked for.")
    return root


def _images_of(folder: Path) -> _Found:
    """Return all images of a part."""
    if (folder / ANNOTATIONS).is_file():
        return _annotated(folder)
    files, names = [], []
    for name in _folders(folder):
        for inside in (Path(name), Path(name, "images")):
            images = _images_in(folder / inside)
            files += [str(inside / image) for image in images]
            names += [name] * len(images)
    if not files:
        raise RecordingError(
            f"{folder} has no images in folders of classes. Expected <class>/<image>, ending in "
            f"one of {' '.join(ENDINGS)}."
        )
    return _Found(files, names)


def _annotated(folder: Path) -> _Found:
    """Return the images that a list beside them names."""
    there = set(_images_in(folder / "images"))
    files, names = [], []
    for number, line in enumerate((folder / ANNOTATIONS).read_text().splitlines(), 1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[0] not in there:
            raise RecordingError(
                f"{folder / ANNOTATIONS}, line {number}: {line[:80]!r} does not name an image in "
                f"{folder / 'images'} and its class, with a tabulator between."
            )
        files.append(str(Path("images", fields[0])))
        names.append(fields[1])
    if not files:
        raise RecordingError(f"{folder / ANNOTATIONS} is empty.")
    return _Found(files, names)


def _class_names(folder: Path, found: _Found) -> tuple[str, ...]:
    """Return the classes of the training part beside a part, or else of the part itself.

    A validation part that lacks a class must not number the others differently.
    """
    train = folder.parent / "train"
    if folder.name in PARTS and folder.name != "train" and train.is_dir():
        return tuple(_folders(train))
    return tuple(sorted(set(found.names)))


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            e.name for e in entries
            if e.name.lower().endswith(ENDINGS) and not e.name.startswith(".")
        )  # fmt: skip
