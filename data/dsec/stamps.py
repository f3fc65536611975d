"""The text files of a DSEC sequence: stamps of images, and what a submission has to hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

LARGEST_BYTES = 1 << 24
"""Of a text file; the longest real one has some thousand lines."""

LARGEST_STAMP_US = 1 << 61
"""Stamps beyond it (73,000 years) would overflow when something is added."""

LARGEST_INDEX = 999_999
"""File names have six digits."""

HEADER = "# timestamp_us, file_index"

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Submission:
    """What the benchmark wants to have estimated in one test sequence.

    Attributes:
        t_us: ``[K]`` int64, increasing: when the disparity is wanted.
        file_index: ``[K]`` int64, increasing, 0 to 999999: estimate k is named
            ``f"{file_index[k]:06d}.png"``. It counts frames (20 Hz), so at 1 Hz it grows by 20.

    Raises:
        RecordingError: arrays of unequal length, no rows, or rows out of order.
    """

    t_us: I64
    file_index: I64

    def __post_init__(self) -> None:
        """Check what a submission relies on."""
        if self.t_us.ndim != 1 or self.t_us.shape != self.file_index.shape or not self.t_us.size:
            raise RecordingError(
                "A list of stamps to be estimated needs as many indices as stamps, at least one; "
                f"got shapes {self.t_us.shape} and {self.file_index.shape}."
            )
        for name, values in (("stamps", self.t_us), ("file indices", self.file_index)):
            if (values[1:] <= values[:-1]).any():
                raise RecordingError(f"The {name} to be estimated must increase from row to row.")
        if self.file_index[0] < 0 or self.file_index[-1] > LARGEST_INDEX:
            raise RecordingError(
                f"The file indices to be estimated run from {self.file_index[0]} to "
                f"{self.file_index[-1]}. Expected 0 to {LARGEST_INDEX}: file names have six digits."
            )

    def __len__(self) -> int:
        return int(self.t_us.size)

    def to_csv(self) -> str:
        """Return the text of the official csv."""
        rows = zip(self.t_us, self.file_index, strict=True)
        return "\n".join([HEADER, *(f"{t}, {index}" for t, index in rows)]) + "\n"


def read_submission(path: Path) -> Submission:
    """Read the csv of a test sequence: ``# timestamp_us, file_index``, one row per estimate.

    Raises:
        RecordingError: no such table of whole numbers.
    """
    expected = f"Expected lines such as '53193302164, 20' after '{HEADER}'"
    rows = []
    for line in read_text(path).splitlines():
        words = [word.strip() for word in line.partition("#")[0].split(",")]
        if words == [""]:
            continue
        if len(words) != 2:
            raise RecordingError(f"{path} has the line {line[:60]!r}. {expected}.")
        rows.append(words)
    table = _whole_numbers(path, [word for words in rows for word in words], expected)
    try:
        return Submission(t_us=table[0::2].copy(), file_index=table[1::2].copy())
    except RecordingError as error:
        raise RecordingError(f"{path}: {error} Download the file again.") from error


def read_stamps(path: Path) -> I64:
    """Read ``[K]`` int64 stamps in microseconds, one per line, increasing; ``#`` begins a comment.

    Raises:
        RecordingError: something else.
    """
    words = [w for line in read_text(path).splitlines() for w in line.partition("#")[0].split()]
    stamps = _whole_numbers(path, words, "Expected one whole number of microseconds per line")
    if (stamps[1:] <= stamps[:-1]).any():
        raise RecordingError(
            f"The stamps in {path} do not increase. Expected one per image, sorted."
        )
    return stamps


def read_text(path: Path) -> str:
    """Return the content of a small text file.

    Raises:
        RecordingError: it cannot be read, is no text, or is far too large.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise RecordingError(
                f"{path} has {size} bytes. Expected a text of a few thousand lines; copy it again."
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(
            f"{path} cannot be read as text ({error}). Copy or download it again."
        ) from error


def _whole_numbers(path: Path, words: list[str], expected: str) -> I64:
    """Return the numbers that the words are."""
    try:
        numbers = [int(word) for word in words]
    except ValueError as error:
        reason = " ".join(str(error).split())[:100]
        raise RecordingError(f"{path} cannot be read ({reason}). {expected}.") from error
    if any(abs(number) > LARGEST_STAMP_US for number in numbers):
        raise RecordingError(f"{path} holds numbers of more than 60 bits. {expected}.")
    return np.array(numbers, np.int64)
