"""Labeled images that fit into memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64, UInt8

from data.errors import RecordingError


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images of one size with the class of each.

    Attributes:
        pixels: ``[N, 3, H, W]`` red, green, blue.
        labels: ``[N]`` places in ``classes``.
        classes: a name for each class.

    Raises:
        RecordingError: arrays of other types or sizes, or labels that name no class.
    """

    pixels: UInt8[np.ndarray, "N 3 H W"]
    labels: Int64[np.ndarray, " N"]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no batch could be made of."""
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise RecordingError(
                f"The pixels are {pixels.dtype} {pixels.shape}. Expected uint8 [N, 3, H, W]."
            )
        if min(pixels.shape[2:]) < 1:
            raise RecordingError(f"Images of {pixels.shape[2]} x {pixels.shape[3]} have no pixels.")
        if self.labels.dtype != np.int64 or self.labels.shape != pixels.shape[:1]:
            raise RecordingError(
                f"The labels are {self.labels.dtype} {self.labels.shape}. Expected int64 "
                f"[{len(pixels)}], one for each image."
            )
        check_classes(self.classes)
        check_labels(self.labels, len(self.classes), "The images")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[UInt8[np.ndarray, "3 H W"], int]:
        """Return image ``index`` and its label."""
        return self.pixels[index], int(self.labels[index])

    def __iter__(self) -> Iterator[tuple[UInt8[np.ndarray, "3 H W"], int]]:
        return (self[index] for index in range(len(self)))

    def take(self, indices: Int64[np.ndarray, " M"]) -> "Images":
        """Return the images at ``indices``, in that order, as a copy."""
        return Images(
            pixels=self.pixels[indices], labels=self.labels[indices], classes=self.classes
        )


def check_classes(classes: tuple[str, ...]) -> None:
    """Refuse no classes, or one name for two.

    Raises:
        RecordingError: such classes.
    """
    double = sorted({name for name in classes if classes.count(name) > 1})
    if not classes or double:
        raise RecordingError(
            "Images need at least one class, and a name of its own for each; "
            + (f"twice there: {', '.join(double)}." if double else "there is none.")
        )


def check_labels(labels: npt.NDArray[Any], classes: int, what: str) -> None:
    """Refuse labels that name no class.

    Args:
        labels: ``[N]``.
        classes: number of classes.
        what: beginning of the message.

    Raises:
        RecordingError: a label below 0, or ``classes`` or above.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise RecordingError(
            f"{what}: label {int(labels[wrong[0]])} of image {int(wrong[0])} is none of the "
            f"{classes} classes, and so are {wrong.size - 1} others. The file is damaged, or is "
            "not what it was taken for."
        )
