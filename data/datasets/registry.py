"""Data sets by name. To add one, write its builder here and decorate it with ``register``.

A builder takes the folder of the data set and the options of ``StereoWindows``; it finds the
recordings and which of their ground truths belong to a split. Folders are always given, for there
is no place where a data set could be expected.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from data.datasets.opened import Part
from data.datasets.windows import StereoWindows
from data.dsec.splits import find_sequences
from data.errors import RecordingError
from data.generated import GeneratedWindows
from data.mvsec import Protocol, published_split
from data.mvsec.constants import canonical
from data.mvsec.ddes import is_ddes
from data.mvsec.files import DATA_END
from data.sample import StereoSample

Builder = Callable[..., torch.utils.data.Dataset[StereoSample]]
AnyBuilder = TypeVar("AnyBuilder", bound=Builder)

DATASETS: dict[str, Builder] = {}


def register(name: str) -> Callable[[AnyBuilder], AnyBuilder]:
    """Return a decorator that enters a builder in ``DATASETS`` under a name, which must be new."""

    def enter(builder: AnyBuilder) -> AnyBuilder:
        if name in DATASETS:
            raise ValueError(f"There already is a data set named {name!r}.")
        DATASETS[name] = builder
        return builder

    return enter


def build_dataset(name: str, *args: Any, **options: Any) -> torch.utils.data.Dataset[StereoSample]:
    """Return the data set ``name``, built from the arguments of its builder.

    Raises:
        RecordingError: no such data set, or its files cannot be used.
    """
    if name not in DATASETS:
        raise RecordingError(
            f"There is no data set {name!r}. Known: {', '.join(sorted(DATASETS))}."
        )
    return DATASETS[name](*args, **options)


@register("recordings")
def recordings(*paths: str | Path, **options: Any) -> StereoWindows:
    """Return the windows of recordings of any layout, with all their ground truth."""
    if not paths:
        raise RecordingError("Give the path of at least one recording.")
    return StereoWindows(recordings=paths, **options)


@register("dsec")
def dsec(
    root: str | Path, *, split: str = "secff-train", partial: bool = False, **options: Any
) -> StereoWindows:
    """Return the windows of a split of DSEC.

    Args:
        root: the folder of the data set, in any of its arrangements.
        split: a name in ``data.dsec.splits.SPLITS``.
        partial: True to take the sequences that are there when some are not.
        options: of ``StereoWindows``; ``window_us`` is 50 ms by default, as in its own loader.

    Raises:
        RecordingError: no such split, or sequences that are missing.
    """
    found = find_sequences(root, split)
    if found.absent and not partial:
        raise RecordingError(
            f"{root} lacks {len(found.absent)} of the {len(found) + len(found.absent)} sequences "
            f"of {split}: {', '.join(found.absent)}. Unpack them, or allow a partial split; its "
            "numbers are not those of the split."
        )
    if "window_events" not in options:
        options = {"window_us": 50_000} | options
    return StereoWindows(recordings=tuple(Part(recording=s.folder) for s in found), **options)


@register("mvsec")
def mvsec(root: str | Path, *, protocol: Protocol | None = None, **options: Any) -> StereoWindows:
    """Return the windows of the frames that a protocol on MVSEC looks at.

    Args:
        root: the folder that holds the sequences, in the data set's own files or as DDES
            preprocessed them; where both are there, its own files are taken.
        protocol: split, role and which pixels count; by default split 1, training frames, sparse
            ground truth. It is the ``validity`` of the data set.
        options: of ``StereoWindows``; ``window_us`` is 50 ms by default, the time between two
            ground truths.

    Raises:
        RecordingError: sequences that are missing, or shorter than the split says.
    """
    if protocol is None:
        protocol = Protocol(split=published_split(1), role="train")
    truths: dict[str, list[int]] = {}
    for sequence, frame in protocol.split.frames(protocol.role):
        truths.setdefault(canonical(sequence), []).append(frame)
    places = _mvsec_sequences(Path(root).expanduser(), list(truths))
    parts = tuple(Part(recording=places[name], truths=tuple(truths[name])) for name in truths)
    if "window_events" not in options:
        options = {"window_us": 50_000} | options
    return StereoWindows(recordings=parts, validity=protocol, **options)


def _mvsec_sequences(root: Path, names: list[str]) -> dict[str, Path]:
    """Return where sequences lie, at most three folders down."""
    if not root.is_dir():
        raise RecordingError(f"There is no folder {root}. Give the folder that holds MVSEC.")
    found: dict[str, Path] = {}
    for path in sorted(place for depth in ("*", "*/*", "*/*/*") for place in root.glob(depth)):
        if path.name.endswith(DATA_END):
            found[canonical(path.name.removesuffix(DATA_END))] = path
        elif is_ddes(path):
            found.setdefault(canonical(path.name), path)
    missing = [name for name in names if name not in found]
    if missing:
        raise RecordingError(
            f"{root} lacks the sequences {', '.join(missing)} of the split. Expected "
            f"{missing[0]}{DATA_END} with {missing[0]}_gt.hdf5, or a folder preprocessed as by "
            "DDES, up to three folders down."
        )
    return {name: found[name] for name in names}


@register("generated")
def generated(**options: Any) -> GeneratedWindows:
    """Return windows of generated scenes; see ``GeneratedWindows``."""
    return GeneratedWindows(**options)
