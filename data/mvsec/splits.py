"""Which frames of MVSEC are for training, validation and test, as published.

Split n holds ``indoor_flying_n`` out and trains on the other two of 1, 2 and 3. The held-out frames
are shuffled with Python's generator at seed 0; the first 200 are validation, the rest test. A frame
is the index of a depth image, of ``disparity(index)``.

Sources: DDES, ``dataset.py`` of its published code; StereoSpike, ``datasets/MVSEC/indices.py``;
EMatch, the same ranges with both ends included.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.errors import RecordingError

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

Frame = tuple[str, int]
"""Name of a sequence, and index of its ground truth."""

SPLIT_FILE = "_split.json"
"""Ending of the file beside a short sample that says how it is split."""

VALIDATION = 200
"""Held-out frames for validation."""

Ranges = dict[int, tuple[int, int]]

# Sequence number -> first and last + 1, when it is held out.
DDES_TEST: Ranges = {1: (140, 1201), 2: (120, 1421), 3: (73, 1616)}
# When it is trained on; wider, for still frames are left out and others are not.
DDES_TRAIN: Ranges = {1: (80, 1260), 2: (160, 1580), 3: (125, 1815)}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Neighboring frames of one sequence.

    Attributes:
        sequence: its name.
        first: first frame.
        end: one past the last.
    """

    sequence: str
    first: int
    end: int

    def __post_init__(self) -> None:
        """Refuse ranges without frames."""
        if not 0 <= self.first < self.end:
            raise RecordingError(
                f"A part of {self.sequence!r} cannot run from frame {self.first} to {self.end}. "
                "Expected 0 <= first < end."
            )

    def __len__(self) -> int:
        return self.end - self.first

    def __str__(self) -> str:
        return f"{self.sequence}[{self.first}:{self.end}]"

    def frames(self) -> list[Frame]:
        """Return the frames in order of time."""
        return [(self.sequence, index) for index in range(self.first, self.end)]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Frames for training, validation and test.

    Attributes:
        name: such as ``"1"``.
        source: whose ranges these are.
        train: parts to train on.
        held_out: the part that is shuffled and divided.
        validation: how many of the shuffled frames are for validation; the others are for test.
        note: what a reader of a number must know besides, empty if nothing.
    """

    name: str
    source: str
    train: tuple[Part, ...]
    held_out: Part
    validation: int = VALIDATION
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a division that leaves no frame to test on."""
        if not 0 <= self.validation < len(self.held_out):
            raise RecordingError(
                f"Split {self.name} keeps {self.validation} of {len(self.held_out)} held-out "
                "frames for validation. Expected at least one to be left for test."
            )

    def frames(self, role: Role) -> list[Frame]:
        """Return the frames of a role.

        Training frames are in order of time; held-out frames in the order of the shuffle.
        """
        if role == "train":
            return [frame for part in self.train for frame in part.frames()]
        held_out = self.held_out.frames()
        if self.validation:
            # Equal to random.seed(0); random.shuffle(...), without touching the global generator.
            random.Random(0).shuffle(held_out)
        return held_out[: self.validation] if role == "validation" else held_out[self.validation :]

    def ranges(self, role: Role) -> str:
        """Return the ranges of a role in words."""
        if role == "train":
            return " + ".join(str(part) for part in self.train)
        if not self.validation:
            return str(self.held_out)
        share = f"first {self.validation}" if role == "validation" else f"all but {self.validation}"
        return f"{self.held_out} shuffled with seed 0, {share}"

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        content = {
            "name": self.name,
            "source": self.source,
            "train": [[part.sequence, part.first, part.end] for part in self.train],
            "held_out": [self.held_out.sequence, self.held_out.first, self.held_out.end],
            "validation": self.validation,
            "note": self.note,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Split":
        """Read a split that ``save`` wrote.

        Raises:
            RecordingError: no such file, or no such content.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(
                name=_text(content["name"]),
                source=_text(content["source"]),
                train=tuple(_part(values) for values in content["train"]),
                held_out=_part(content["held_out"]),
                validation=_whole(content["validation"]),
                note=_text(content.get("note", "")),
            )
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise RecordingError(
                f"{path} is no split ({type(error).__name__}: {reason}). Expected JSON with name, "
                "source, train (a list of [sequence, first, end]), held_out and validation."
            ) from error


def published_split(number: int, source: str = "DDES") -> Split:
    """Return split 1, 2 or 3 of ``indoor_flying`` as one of ``SOURCES`` defines it.

    Raises:
        RecordingError: no such split or source.
    """
    table = SOURCES.get(source)
    if table is None or number not in table:
        raise RecordingError(
            f"There is no split {number} of {source!r}. Known are 1, 2 and 3 of "
            f"{', '.join(SOURCES)}."
        )
    return table[number]


def _indoor(number: int, frames: tuple[int, int]) -> Part:
    return Part(sequence=f"indoor_flying{number}", first=frames[0], end=frames[1])


def _three(
    source: str, test: Ranges, train: dict[int, Ranges], validation: int, note: str
) -> dict[int, Split]:
    """Return the splits 1 to 3; ``train[n]`` are the training ranges of split n."""
    return {
        n: Split(
            name=str(n),
            source=source,
            train=tuple(_indoor(k, frames) for k, frames in sorted(train[n].items())),
            held_out=_indoor(n, test[n]),
            validation=validation,
            note=note,
        )
        for n in (1, 2, 3)
    }


def _others(ranges: Ranges) -> dict[int, Ranges]:
    """Return, for each held-out sequence, the ranges of the others."""
    return {n: {k: v for k, v in ranges.items() if k != n} for n in ranges}


def _including_ends(ranges: Ranges) -> Ranges:
    return {n: (first, end + 1) for n, (first, end) in ranges.items()}


SOURCES: dict[str, dict[int, Split]] = {
    "DDES": _three("DDES", DDES_TEST, _others(DDES_TRAIN), VALIDATION, ""),
    "StereoSpike": _three(
        "StereoSpike",
        {1: (139, 1201), 2: (119, 1421), 3: (72, 1816)},
        {
            1: {2: (159, 1581), 3: (124, 1816)},
            2: {1: (79, 1261), 3: (124, 1816)},
            3: {1: (79, 1261), 2: (119, 1581)},
        },
        0,
        "all held-out frames; its lists of 861, 1100 and 1342 test frames are not reproduced",
    ),
    "EMatch": _three(
        "EMatch",
        _including_ends(DDES_TEST),
        _others(DDES_TRAIN),
        0,
        "all held-out frames; its training ranges are taken to be those of DDES",
    ),
}
"""Splits by source, then by number. Numbers under different sources are not comparable."""


def _part(values: Any) -> Part:
    sequence, first, end = values
    return Part(sequence=_text(sequence), first=_whole(first), end=_whole(end))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\n" in value:
        raise TypeError(f"{value!r} is no line of text")
    return value
