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


@register("generated")
def generated(**options: Any) -> GeneratedWindows:
    """Return windows of generated scenes; see ``GeneratedWindows``."""
    return GeneratedWindows(**options)
