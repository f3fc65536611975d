"""The published splits of DSEC, and which of their sequences are on this disk.

The official test sequences have no public ground truth, and there is no official validation set:
numbers are comparable only if they name their split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.dsec.layout import SequencePaths, sequence_paths, walk_sequences
from data.errors import RecordingError


def _names(*groups: str) -> tuple[str, ...]:
    """Return the names of groups such as ``"thun_01 ab"``: one name per letter."""
    return tuple(f"{place}_{x}" for place, letters in map(str.split, groups) for x in letters)


TRAIN = _names(
    "interlaken_00 cdefg", "thun_00 a", "zurich_city_00 ab", "zurich_city_01 abcdef",
    "zurich_city_02 abcde", "zurich_city_03 a", "zurich_city_04 abcdef", "zurich_city_05 ab",
    "zurich_city_06 a", "zurich_city_07 a", "zurich_city_08 a", "zurich_city_09 abcde",
    "zurich_city_10 ab", "zurich_city_11 abc",
)  # fmt: skip
"""The 41 sequences with public ground truth (the data set's download page)."""

TEST = _names(
    "interlaken_00 ab", "interlaken_01 a", "thun_01 ab", "zurich_city_12 a", "zurich_city_13 ab",
    "zurich_city_14 abc", "zurich_city_15 a",
)  # fmt: skip
"""The 12 sequences of the benchmark (the data set's submission check)."""

SECFF_VALIDATION = _names(
    "interlaken_00 fg", "thun_00 a", "zurich_city_05 ab", "zurich_city_06 a", "zurich_city_07 a",
    "zurich_city_08 a", "zurich_city_09 d", "zurich_city_10 b",
)  # fmt: skip
"""The 10 that SE-CFF (CVPR 2022) holds out of the 41; Bi-CMPStereo uses the same."""

TES_VALIDATION = _names(
    "zurich_city_01 f", "zurich_city_06 a", "zurich_city_08 a", "zurich_city_09 c",
    "zurich_city_11 b",
)  # fmt: skip
"""The 5 on which TemporalEventStereo (ECCV 2024) validates."""

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": TRAIN,
    "test": TEST,
    "secff-train": tuple(name for name in TRAIN if name not in SECFF_VALIDATION),
    "secff-validation": SECFF_VALIDATION,
    "tes-train": tuple(name for name in TRAIN if name not in TES_VALIDATION),
    "tes-validation": TES_VALIDATION,
    "all-train": TRAIN,
    "all-validation": SECFF_VALIDATION,
}
"""Names of the sequences of each split; each ``-train`` is the official train part without its
``-validation``, but for ``all``: nothing is held out, as for a submission to the benchmark, and
what is validated on was trained on."""


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Sequences found on disk; iterates over them and has their number as its length.

    Attributes:
        split: the split that was asked for, None for everything.
        found: their paths, in the order of the split, else of the folders.
        absent: names in the split that are not on this disk. Numbers obtained without them are not
            those of the split.
    """

    split: str | None
    found: tuple[SequencePaths, ...]
    absent: tuple[str, ...]

    def __iter__(self) -> Iterator[SequencePaths]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> SequencePaths:
        return self.found[index]


def find_sequences(root: str | Path, split: str | None = None) -> Sequences:
    """Return the DSEC sequences at or below ``root``, in any of the three arrangements.

    Args:
        root: a sequence, the data set, or a folder that holds it; ``~`` is the home folder.
        split: a name in ``SPLITS``; None takes everything that is there.

    Raises:
        RecordingError: no such folder or split, no sequence (of the split) there, or one that is
            there twice.
    """
    root = Path(root).expanduser()
    if split is not None and split not in SPLITS:
        raise RecordingError(f"There is no DSEC split {split!r}. Known: {', '.join(SPLITS)}.")
    if not root.is_dir():
        raise RecordingError(f"There is no folder {root}. Give the folder that holds DSEC.")
    try:
        places = [sequence_paths(path) for path in walk_sequences(root)]
    except OSError as error:
        raise RecordingError(f"{root} cannot be searched for sequences ({error}).") from error
    found = [paths for paths in places if paths is not None]
    wanted = None if split is None else SPLITS[split]
    by_name: dict[str, SequencePaths] = {}
    for paths in found if wanted is None else [p for p in found if p.name in wanted]:
        twin = by_name.get(paths.name)
        if twin is not None and twin.folder.resolve() != paths.folder.resolve():
            raise RecordingError(
                f"{paths.name} is there twice: {twin.folder} and {paths.folder}. "
                "Give a folder that holds one of them."
            )
        by_name.setdefault(paths.name, paths)
    if not by_name:
        names = f"any of the {len(wanted)} sequences of {split}" if wanted else "a DSEC sequence"
        raise RecordingError(
            f"{root} does not hold {names}. Looked for <sequence>/events/left, "
            "train_events/<sequence> and <sequence>/events_left, up to three folders down."
        )
    if wanted is None:
        return Sequences(split=None, found=tuple(by_name.values()), absent=())
    return Sequences(
        split=split,
        found=tuple(by_name[name] for name in wanted if name in by_name),
        absent=tuple(name for name in wanted if name not in by_name),
    )
