"""Event recordings with classes, CIFAR10-DVS and DVS-Gesture, read through Tonic.

Tonic's constructors download what they do not find, and look for the archive and not only for what
was in it. Here nothing is downloaded unless asked for, and the unpacked folder is enough.

Shapes: ``T`` time steps, 2 polarities (OFF, ON), ``H`` rows, ``W`` columns.

References:
    H. Li et al., CIFAR10-DVS: an event-stream dataset for object classification, 2017.
    A. Amir et al., A low power, fully event-based gesture recognition system, CVPR 2017.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Int64

from data.errors import RecordingError

Part = Literal["train", "test"]

SIDE = 128
"""Rows and columns of the camera, in both data sets."""

TEST_SHARE = 10
"""One in so many recordings of each class of CIFAR10-DVS is for the test."""


@dataclass(frozen=True, kw_only=True)
class EventAugment:
    """Random changes of the frames of a recording, the same for all time steps.

    Attributes:
        flip: mirror half of the recordings, left and right. In DVS-Gesture that makes the right arm
            the left one, so the label changes with it.
        roll: pixels, at most, that frames move by in each direction; what leaves on one side comes
            in on the other.

    Raises:
        ValueError: a roll below 0.
    """

    flip: bool = True
    roll: int = 5

    def __post_init__(self) -> None:
        """Refuse a negative roll."""
        if self.roll < 0:
            raise ValueError(f"roll must be 0 pixels or more, got {self.roll}.")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What there is to know of a data set.

    Attributes:
        tonic: name of its class in ``tonic.datasets``, and of the folder that this makes.
        inside: folder of a part in there, and what lies in that.
        classes: names of the classes.
        mirrored: the class of a mirrored recording of each class.
    """

    tonic: str
    inside: dict[Part, str]
    pattern: str
    classes: tuple[str, ...]
    mirrored: tuple[int, ...]


KINDS = {
    "cifar10-dvs": _Kind(
        tonic="CIFAR10DVS",
        inside={"train": "", "test": ""},
        pattern="<class>/<recording>.aedat4",
        classes=(
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
            "truck",
        ),
        mirrored=tuple(range(10)),
    ),
    "dvs-gesture": _Kind(
        tonic="DVSGesture",
        inside={"train": "ibmGestureTrain", "test": "ibmGestureTest"},
        pattern="<user>_<lighting>/<class number>.npy",
        classes=(
            "hand clapping", "right hand wave", "left hand wave", "right arm clockwise",
            "right arm counter-clockwise", "left arm clockwise", "left arm counter-clockwise",
            "arm roll", "air drums", "air guitar", "other gestures",
        ),
        mirrored=(0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10),
    ),
}  # fmt: skip


class EventClasses:
    """The recordings of one part of an event data set as frames of event counts.

    A recording is cut into ``steps`` slices of equal duration by Tonic's ``ToFrame``; each gives a
    frame of counts for either polarity, resized (bilinear, with the average over what shrinks) if
    ``size`` is not the camera's 128.

    CIFAR10-DVS has no parts of its own. As is usual, nine in ten recordings of each class are for
    training; which ones depends on ``split_seed``.

    Attributes:
        labels: ``[N]`` int64, places in ``classes``.
        classes: names of the classes.

    Args:
        name: ``cifar10-dvs`` or ``dvs-gesture``.
        root: folder that holds Tonic's folder ``CIFAR10DVS`` or ``DVSGesture``, or that itself.
        part: ``train`` or ``test``.
        steps: ``T``.
        size: rows and columns of the frames.
        augment: what ``view`` does when it is given a generator.
        split_seed: of the parts of CIFAR10-DVS, 0 or more.
        download: let Tonic fetch the archive if its files are not there.

    Raises:
        RecordingError: files that are not there.
        ValueError: another name or part, or sizes without meaning.
    """

    def __init__(
        self,
        name: str,
        root: str | Path,
        part: Part,
        steps: int,
        size: int,
        *,
        augment: EventAugment | None = None,
        split_seed: int = 0,
        download: bool = False,
    ) -> None:
        if name not in KINDS or part not in ("train", "test"):
            raise ValueError(
                f"Known are {' and '.join(KINDS)} with the parts train and test, got {name!r} and "
                f"{part!r}."
            )
        if min(steps, size) < 1 or split_seed < 0:
            raise ValueError(
                "Event classes need steps and a size of at least 1 and a split_seed of at least 0, "
                f"got {steps}, {size} and {split_seed}."
            )
        self._kind = KINDS[name]
        self.classes = self._kind.classes
        self._steps, self._size = steps, size
        self._augment = EventAugment() if augment is None else augment
        self._source = _tonic_data(self._kind, Path(root).expanduser(), part, download)
        labels = np.array(self._source.targets, np.int64)
        # Tonic lists files as the disk does, which is another order on another machine.
        ordered = sorted(range(len(labels)), key=lambda place: str(self._source.data[place]))
        self._chosen = np.array(ordered, np.int64)
        if name == "cifar10-dvs":
            self._chosen = self._chosen[split(labels[self._chosen], part, split_seed)]
        self._labels = labels

    @property
    def labels(self) -> Int64[np.ndarray, " N"]:
        """The class of each recording."""
        return self._labels[self._chosen]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[Float32[np.ndarray, "T 2 H W"], int]:
        """Return the frames of recording ``index`` as they are evaluated, and its label."""
        return self.view(index, None)

    def view(
        self, index: int, rng: np.random.Generator | None
    ) -> tuple[Float32[np.ndarray, "T 2 H W"], int]:
        """Return the frames of recording ``index`` and its label.

        Args:
            index: of the recording.
            rng: for the augmentation; None for none.

        Raises:
            IndexError: no such recording.
            RecordingError: the file is damaged, has no events, or events outside the camera.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Recording {int(index)} of {len(self)}.")
        frames = self._resized(self._frames(self._events(int(index)), self.path(index)))
        label = int(self.labels[index])
        if rng is None:
            return frames, label
        if self._augment.flip and rng.random() < 0.5:
            frames, label = frames[..., ::-1], self._kind.mirrored[label]
        moves = rng.integers(-self._augment.roll, self._augment.roll, 2, endpoint=True)
        moved = np.roll(frames, (int(moves[0]), int(moves[1])), axis=(-2, -1))
        return np.ascontiguousarray(moved), label

    def take(self, indices: Int64[np.ndarray, " M"]) -> "EventClasses":
        """Return the recordings at ``indices``, in that order."""
        part = copy.copy(self)
        part._chosen = self._chosen[indices]
        return part

    def path(self, index: int) -> Path:
        """Return the file of recording ``index``."""
        return Path(self._source.data[int(self._chosen[index])])

    def _events(self, index: int) -> npt.NDArray[Any]:
        """Return the events of a recording as Tonic reads them."""
        try:
            events, _ = self._source[int(self._chosen[index])]
        except ModuleNotFoundError as error:
            raise RecordingError(
                f"{self.path(index)} is an AEDAT4 file, for which the package 'aedat' is needed. "
                "Install it with pip install '.[aedat]' in the folder of this project."
            ) from error
        except (RuntimeError, ValueError, IndexError, OSError, EOFError) as error:
            raise RecordingError(
                f"{self.path(index)} cannot be read ({error}). The file is truncated or damaged; "
                "unpack it again."
            ) from error
        return np.asarray(events)

    def _frames(self, events: npt.NDArray[Any], path: Path) -> Float32[np.ndarray, "T 2 H W"]:
        """Return the counts of each slice."""
        from tonic.transforms import ToFrame

        events = events[np.argsort(events["t"], kind="stable")]
        duration = int(events["t"][-1]) - int(events["t"][0]) if len(events) else 0
        if duration < self._steps:
            raise RecordingError(
                f"{path} has {len(events)} events in {duration} microseconds, which cannot be cut "
                f"into {self._steps} time steps. The file is damaged; unpack it again."
            )
        for axis in "xy":
            low, high = int(events[axis].min()), int(events[axis].max())
            if low < 0 or high >= SIDE:
                raise RecordingError(
                    f"{path} has events from {axis} = {low} to {high}. The camera has pixels 0 to "
                    f"{SIDE - 1}; the file is damaged, unpack it again."
                )
        frames = ToFrame(sensor_size=(SIDE, SIDE, 2), n_time_bins=self._steps)(events)
        return np.asarray(frames, np.float32)

    def _resized(self, frames: Float32[np.ndarray, "T 2 H W"]) -> Float32[np.ndarray, "T 2 H2 W2"]:
        if self._size == SIDE:
            return frames
        resized = torch.nn.functional.interpolate(
            torch.from_numpy(frames),
            size=(self._size, self._size),
            mode="bilinear",
            antialias=True,
        )
        return resized.numpy()


def split(labels: Int64[np.ndarray, " N"], part: Part, seed: int) -> Int64[np.ndarray, " M"]:
    """Return which items belong to a part, sorted: one in ten of each class, rounded, to the test.

    Args:
        labels: of all items.
        part: ``train`` or ``test``.
        seed: of the choice.
    """
    rng = np.random.default_rng((seed, len(labels)))
    chosen = []
    for label in np.unique(labels):
        mixed = rng.permutation(np.flatnonzero(labels == label))
        cut = round(len(mixed) / TEST_SHARE)
        chosen.append(mixed[:cut] if part == "test" else mixed[cut:])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _tonic_data(kind: _Kind, root: Path, part: Part, download: bool) -> Any:
    """Return Tonic's data set of a part."""
    import tonic.datasets

    root = root.parent if root.name == kind.tonic and root.is_dir() else root
    folder = root / kind.tonic / kind.inside[part]
    endings = kind.pattern[kind.pattern.rindex(".") :]
    known = {"train": part == "train"} if kind.tonic == "DVSGesture" else {}
    build: Callable[..., Any] = getattr(tonic.datasets, kind.tonic)
    if not any(folder.glob(f"*/*{endings}")):
        if not download:
            raise RecordingError(
                f"There are no recordings in {folder}. Expected {kind.pattern} there, which is the "
                f"archive of Tonic's {kind.tonic} unpacked; allow it to be fetched with "
                "download=True."
            )
        return build(str(root), **known)
    return _without_download(build, str(root), **known)


def _without_download(build: Any, *args: Any, **options: Any) -> Any:
    """Build a data set of Tonic's of files that are there.

    Its constructor asks itself whether they are, and would fetch them again if the archive beside
    them was removed or some are missing; here that question is answered for it. An attribute of the
    object, removed again, because a subclass of our own could not travel to other processes.
    """
    data = build.__new__(build)
    data._check_exists = lambda: True
    try:
        data.__init__(*args, **options)
    except (KeyError, ValueError) as error:
        raise RecordingError(
            f"{data.location_on_system} has a folder or file that {build.__name__} does not have "
            f"({error}). Expected what its archive holds and nothing else."
        ) from error
    del data._check_exists
    return data
