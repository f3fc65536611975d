"""What augmentations work on: rectified events of both cameras with the truth at their end."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS
from data.sample import StereoSample


@dataclass(frozen=True, kw_only=True, eq=False)
class StereoEvents:
    """One window of both cameras before it is encoded.

    The law that every augmentation keeps: a point seen by both cameras makes events at
    ``x_left - x_right = disparity``, in one row, on one clock.

    Attributes:
        left: rectified events of ``[t0_us, t1_us)``; some may lie outside the image.
        right: the same of the right camera.
        disparity: ``[H, W]`` pixels of the left view at ``t1_us``, 0 = unknown.
        valid: ``[H, W]`` where the disparity counts.
        t0_us: start of the window, inclusive.
        t1_us: end of the window, exclusive.

    Raises:
        RecordingError: raw events, or a disparity and a validity of different sizes.
    """

    left: Events
    right: Events
    disparity: Float32[np.ndarray, "H W"]
    valid: Bool[np.ndarray, "H2 W2"]
    t0_us: int
    t1_us: int

    def __post_init__(self) -> None:
        """Refuse what no augmentation could work on."""
        for camera in CAMERAS:
            dtype = getattr(self, camera).x.dtype
            if dtype != np.float32:
                raise RecordingError(
                    f"The {camera} events have {dtype} coordinates. Augmentations need rectified "
                    "events (float32); call Recording.rectify first."
                )
        if self.disparity.shape != self.valid.shape:
            raise RecordingError(
                f"The disparity is {self.disparity.shape} and its validity {self.valid.shape}. "
                "Expected one value of each per pixel."
            )

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.disparity.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.disparity.shape[1])


class Augmentation(ABC):
    """A random change of a window that leaves its stereo geometry true.

    Subclasses are frozen dataclasses, so that a list of them describes itself, can be compared and
    travels to other processes.
    """

    @abstractmethod
    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the changed window; ``pair`` and its arrays stay as they are.

        Args:
            pair: the window.
            rng: the only source of chance.
        """


class GeometricAugmentation(Augmentation):
    """A change of pixels alone, which encodings commute with.

    Invariant: from equal generators, encoding the changed events gives the same tensors as changing
    the encoded sample, for every encoding that treats all pixels alike. So these augmentations can
    follow a cache of encoded samples. (A crop also changes how many events there are, which
    encodings by number divide: of a crop, or of the image it is taken from.)
    """

    @abstractmethod
    def on_sample(self, sample: StereoSample, rng: np.random.Generator) -> StereoSample:
        """Return the changed sample; draws from ``rng`` what ``__call__`` would draw."""


def augment(
    pair: StereoEvents, augmentations: Sequence[Augmentation], rng: np.random.Generator
) -> StereoEvents:
    """Apply augmentations one after another, all drawing from one generator."""
    for augmentation in augmentations:
        pair = augmentation(pair, rng)
    return pair


def check_share(name: str, value: float) -> None:
    """Refuse a share or probability outside 0 to 1.

    Raises:
        ValueError: outside, or NaN.
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
