"""What the file of one camera holds, and the checks that all readers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.cameras.kernels import FARTHEST
from data.errors import RecordingError
from data.npz_columns import whole_numbers

MOST_PIXELS = 1 << 24
"""Pixels of the largest sensor that is believed; ten times those of the largest one sold."""

BLOCK = 1 << 20
"""Numbers that are checked at a time, so that a check needs little memory."""

Source = npt.NDArray[np.generic]
Read = Callable[[slice], Source]


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraEvents:
    """One camera as stored: in the file's order, nothing dropped. 13 bytes per event.

    Attributes:
        format: name of the reader, in ``CAMERA_FORMATS``.
        t: ``[N]`` int64 microseconds, perhaps unsorted.
        x: ``[N]`` uint16 columns; 65535 stands for all that is farther out.
        y: ``[N]`` uint16 rows, likewise.
        p: ``[N]`` bool, True = brighter.
        size: width and height that the file states, None where it states none.
        skipped: parts of the file that are no usable events, counted by what they are.
    """

    format: str
    t: npt.NDArray[np.int64]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    p: npt.NDArray[np.bool_]
    size: tuple[int, int] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.t.size)


def from_columns(
    columns: Mapping[str, Source],
    *,
    where: str,
    format_name: str,
    offset_us: int = 0,
    size: tuple[int, int] | None = None,
) -> CameraEvents:
    """Build the record from columns t, x, y, p in memory, of one length.

    Raises:
        RecordingError: as ``from_readers``.
    """

    def reader(column: Source) -> Read:
        return lambda part: column[part]

    return from_readers(
        {name: reader(columns[name]) for name in "txyp"},
        len(columns["t"]),
        where=where,
        format_name=format_name,
        offset_us=offset_us,
        size=size,
    )


def from_readers(
    read: Mapping[str, Read],
    count: int,
    *,
    where: str,
    format_name: str,
    offset_us: int = 0,
    size: tuple[int, int] | None = None,
) -> CameraEvents:
    """Build the record by reading t, x, y and p block by block.

    Args:
        read: returns a slice of a column, for t, x, y and p.
        count: number of events.
        where: the camera and file, for messages.
        format_name: name of the reader.
        offset_us: added to every time.
        size: width and height that the file states.

    Raises:
        RecordingError: numbers that are not whole, negative coordinates, polarity that is neither
            0/1 nor -1/1, times beyond 2**62 us.
    """
    t = np.empty(count, np.int64)
    x, y = np.empty(count, np.uint16), np.empty(count, np.uint16)
    p = np.empty(count, np.bool_)
    polarities: set[int] = set()
    for start in range(0, count, BLOCK):
        part = slice(start, min(start + BLOCK, count))
        block = {name: whole_numbers(read[name](part), f"'{name}' of {where}") for name in "txyp"}
        earliest, latest = int(block["t"].min()), int(block["t"].max())
        if max(-earliest, latest) + abs(offset_us) >= 2**62:
            raise RecordingError(
                f"The times of {where} reach beyond 2**62 us. Expected microseconds; check the "
                "order of the columns and the units."
            )
        t[part] = block["t"] + offset_us
        for name, column in (("x", x), ("y", y)):
            if block[name].min() < 0:
                raise RecordingError(
                    f"'{name}' of {where} is negative ({block[name].min()}). Expected raw pixel "
                    "coordinates counted from 0 at the top left corner."
                )
            column[part] = np.minimum(block[name], FARTHEST)
        polarities.update(np.unique(block["p"])[:8].tolist())
        p[part] = block["p"] > 0
    if not (polarities <= {0, 1} or polarities <= {-1, 1}):
        raise RecordingError(
            f"The polarity of {where} takes the values {sorted(polarities)[:8]}. Expected 0 and 1, "
            "or -1 and 1. Check the order of the columns: t, x, y, p."
        )
    return CameraEvents(format=format_name, t=t, x=x, y=y, p=p, size=size)


def stated_size(width: object, height: object, path: Path) -> tuple[int, int]:
    """Return a sensor size that a file states as a pair of whole positive numbers.

    Raises:
        RecordingError: anything else.
    """
    try:
        size = int(str(width)), int(str(height))
    except ValueError:
        size = (0, 0)
    if not is_possible(size):
        raise RecordingError(
            f"{path} states a sensor of {width} x {height} pixels. Expected two whole numbers from "
            f"1, and at most {MOST_PIXELS} pixels; give the size yourself (--width and --height)."
        )
    return size


def is_possible(size: tuple[int, int]) -> bool:
    """Return whether there may be a sensor of this width and height."""
    return min(size) >= 1 and max(size) <= FARTHEST and size[0] * size[1] <= MOST_PIXELS
