"""Augmentations of where events lie: crop, flip, swap of the cameras, misaligned rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32

from data.augment.kernels import mark_near, move, to_right_view
from data.augment.pair import Augmentation, GeometricAugmentation, StereoEvents, check_share
from data.errors import RecordingError
from data.events import Events
from data.sample import StereoSample


@dataclass(frozen=True, kw_only=True)
class Crop(GeometricAugmentation):
    """A part of the image, the same rows of both views and, unless ``shift`` is set, columns.

    Both cameras lose the same number of columns on the left, so disparities stay. Pixels whose
    match was in the image and is not in the part lose their truth: in a narrow part they are a
    large share of the near ones, and whoever learned from them would learn to distrust matches.
    Events on the ring of one pixel around the part are kept, for encodings that share an event
    between pixels.

    With ``shift``, the right part of half of the windows begins up to so many columns farther to
    the right, and all disparities are larger by that. Scenes have few near pixels, and who learns
    from them can say the usual disparity without looking for a match; after a shift none is usual.

    Attributes:
        height: rows of the part.
        width: columns of the part.
        centered: True for the middle of the image, else any part is equally likely.
        shift: largest number of columns that the right part lies farther to the right; less where
            the image ends.
        farthest_px: truth above that does not count in a shifted part.
    """

    height: int
    width: int
    centered: bool = False
    shift: int = 0
    farthest_px: float = float("inf")

    def __post_init__(self) -> None:
        """Refuse an empty part."""
        if min(self.height, self.width) < 1:
            raise ValueError(f"A crop needs at least one pixel, got {self.height}x{self.width}.")
        if self.shift < 0 or not self.farthest_px > 0:
            raise ValueError(
                "A crop shifts by 0 or more columns, and truth counts up to a positive disparity; "
                f"got {self.shift} and {self.farthest_px}."
            )

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the part; see ``Augmentation.__call__``."""
        row, col, shift = self._corner(pair.height, pair.width, rng)
        part = np.s_[row : row + self.height, col : col + self.width]
        disparity, known = self._truth(pair.disparity[part], col, shift)
        return replace(
            pair,
            left=self._cut(pair.left, row, col),
            right=self._cut(pair.right, row, col + shift),
            disparity=disparity,
            valid=pair.valid[part] & known,
        )

    def on_sample(self, sample: StereoSample, rng: np.random.Generator) -> StereoSample:
        """Return the part of an encoded sample."""
        height, width = sample.disparity.shape
        row, col, shift = self._corner(height, width, rng)
        rows = slice(row, row + self.height)
        part, other = (np.s_[..., rows, c : c + self.width] for c in (col, col + shift))
        disparity, known = self._truth(sample.disparity[part].numpy(), col, shift)
        return replace(
            sample,
            left=sample.left[part].contiguous(),
            right=sample.right[other].contiguous(),
            disparity=torch.from_numpy(disparity),
            valid=sample.valid[part] & torch.from_numpy(known),
        )

    def _corner(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Return the first row and column of the part, and how much the right one is shifted."""
        if self.height > height or self.width > width:
            raise RecordingError(
                f"A crop of {self.height} rows and {self.width} columns does not fit into an image "
                f"of {height} x {width}. Choose a smaller crop for this recording."
            )
        shift = 0
        if self.shift and rng.random() < 0.5:
            shift = int(rng.integers(min(self.shift, width - self.width) + 1))
        if self.centered:
            return (height - self.height) // 2, (width - self.width - shift) // 2, shift
        row = int(rng.integers(height - self.height + 1))
        return row, int(rng.integers(width - self.width - shift + 1)), shift

    def _truth(
        self, disparity: Float32[np.ndarray, "h w"], col: int, shift: int
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Return the disparity after a shift, and where it counts."""
        if not shift:
            return np.ascontiguousarray(disparity), _kept_match(disparity, col)
        shifted = np.where(disparity > 0, disparity + np.float32(shift), np.float32(0.0))
        return shifted, _kept_match(shifted, col + shift) & (shifted <= self.farthest_px)

    def _cut(self, events: Events, row: int, col: int) -> Events:
        keep = np.empty(len(events), np.bool_)
        mark_near(*_places(events), row, col, self.height, self.width, keep)
        part = events.take(keep)
        x, y = _places(part)
        return Events.trusted(t=part.t, x=_moved(x, 1, -col), y=_moved(y, 1, -row), p=part.p)


@dataclass(frozen=True, kw_only=True)
class _Sometimes(GeometricAugmentation, ABC):
    """A change that is made with a probability."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a probability outside 0 to 1."""
        check_share("probability", self.probability)

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window, perhaps changed; see ``Augmentation.__call__``."""
        return self._changed(pair) if rng.random() < self.probability else pair

    def on_sample(self, sample: StereoSample, rng: np.random.Generator) -> StereoSample:
        """Return an encoded sample, perhaps changed."""
        return self._changed_sample(sample) if rng.random() < self.probability else sample

    @abstractmethod
    def _changed(self, pair: StereoEvents) -> StereoEvents:
        """Return the changed window."""

    @abstractmethod
    def _changed_sample(self, sample: StereoSample) -> StereoSample:
        """Return the changed sample."""


@dataclass(frozen=True, kw_only=True)
class VerticalFlip(_Sometimes):
    """Both views upside down; disparities stay. Twice is the identity on pixels.

    Attributes:
        probability: of a flip.
    """

    def _changed(self, pair: StereoEvents) -> StereoEvents:
        left, right = (
            Events.trusted(t=e.t, x=e.x, y=_moved(_places(e)[1], -1, pair.height - 1), p=e.p)
            for e in (pair.left, pair.right)
        )
        return replace(
            pair,
            left=left,
            right=right,
            disparity=np.ascontiguousarray(pair.disparity[::-1]),
            valid=np.ascontiguousarray(pair.valid[::-1]),
        )

    def _changed_sample(self, sample: StereoSample) -> StereoSample:
        return replace(
            sample,
            left=sample.left.flip(-2),
            right=sample.right.flip(-2),
            disparity=sample.disparity.flip(-2),
            valid=sample.valid.flip(-2),
        )


@dataclass(frozen=True, kw_only=True)
class SwapCameras(_Sometimes):
    """The mirror image of the scene: the mirrored right view becomes the left one and vice versa.

    With ``x' = W - 1 - x`` in both views, ``x'_left - x'_right = x_left - x_right``, so disparities
    stay positive. The ground truth becomes that of the new left view: it is warped into the old
    right view, where the nearer surface wins, and mirrored; pixels that only the old right camera
    saw are unknown. Swapping twice restores the value of every pixel that is still known.

    Attributes:
        probability: of a swap.
    """

    def _changed(self, pair: StereoEvents) -> StereoEvents:
        left, right = (
            Events.trusted(t=e.t, x=_moved(_places(e)[0], -1, pair.width - 1), y=e.y, p=e.p)
            for e in (pair.right, pair.left)
        )
        disparity, valid = mirrored_truth(pair.disparity, pair.valid)
        return replace(pair, left=left, right=right, disparity=disparity, valid=valid)

    def _changed_sample(self, sample: StereoSample) -> StereoSample:
        disparity, valid = mirrored_truth(sample.disparity.numpy(), sample.valid.numpy())
        return replace(
            sample,
            left=sample.right.flip(-1),
            right=sample.left.flip(-1),
            disparity=torch.from_numpy(disparity),
            valid=torch.from_numpy(valid),
        )


@dataclass(frozen=True, kw_only=True)
class RowJitter(Augmentation):
    """A small vertical misalignment: all events of the right camera move by one number of rows.

    Real pairs are rarely rectified to the pixel. The ground truth is that of the left view, which
    does not move.

    Attributes:
        most_rows: the shift is uniform from ``-most_rows`` to ``most_rows``.
    """

    most_rows: float

    def __post_init__(self) -> None:
        """Refuse a negative or infinite shift."""
        if not (0 <= self.most_rows < np.inf):
            raise ValueError(f"most_rows must be 0 or more rows, got {self.most_rows}.")

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the window with a shifted right view; see ``Augmentation.__call__``."""
        rows = np.float32(rng.uniform(-self.most_rows, self.most_rows))
        if rows == 0:
            return pair
        e = pair.right
        y = _places(e)[1] + rows
        return replace(pair, right=Events.trusted(t=e.t, x=e.x, y=y, p=e.p))


def _kept_match(disparity: Float32[np.ndarray, "H w"], col: int) -> Bool[np.ndarray, "H w"]:
    """Return where a part that begins at ``col`` holds the match, if the image holds it."""
    match = np.arange(disparity.shape[1], dtype=np.float32) - disparity
    kept: Bool[np.ndarray, "H w"] = (match > -0.5) | (match + col < -0.5)
    return kept


def mirrored_truth(
    disparity: Float32[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]
) -> tuple[Float32[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Return disparity and validity of the mirrored right view, which is the new left view."""
    seen, known = np.empty_like(disparity), np.empty_like(valid)
    to_right_view(np.ascontiguousarray(disparity), np.ascontiguousarray(valid), seen, known)
    return np.ascontiguousarray(seen[:, ::-1]), np.ascontiguousarray(known[:, ::-1])


def _places(events: Events) -> tuple[Float32[np.ndarray, " N"], Float32[np.ndarray, " N"]]:
    """Return contiguous columns and rows, or Numba would compile for strided ones."""
    return (
        np.ascontiguousarray(events.x, np.float32),
        np.ascontiguousarray(events.y, np.float32),
    )


def _moved(values: Float32[np.ndarray, " N"], sign: int, offset: int) -> Float32[np.ndarray, " N"]:
    out = np.empty_like(values)
    move(values, sign, offset, out)
    return out
