"""The protocol of an evaluation on MVSEC, an object that prints itself beside each number.

Numbers on MVSEC under different protocols cannot be compared: which frames, whether the ground
truth is kept everywhere or only where events fell last, a crop, a limit. All of it is here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.mvsec.constants import canonical
from data.mvsec.ddes import LARGEST_PX
from data.mvsec.splits import ROLES, Role, Split, published_split
from data.recording import Recording

SPARSE_EVENTS = 15_000
"""Left events whose pixels keep their ground truth, as in the published code of DDES."""

HORIZON_US = 500_000
"""How far back DDES looks for them: its longest queue, ten files of 50 ms."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What an evaluation, or a training, looks at.

    ``str(protocol)`` states all of it in one line.

    Attributes:
        split: frames, and whose ranges these are.
        role: which frames of the split.
        sparse: True for ground truth at the pixels of the last left events only (DDES's default),
            False for all there is.
        sparse_events: how many events.
        horizon_us: none earlier than this before the ground truth.
        crop: rows and columns in the middle of the image, None for all.
        max_disparity: pixels; larger ground truth is left out. None for no limit.

    Raises:
        RecordingError: numbers without meaning.
    """

    split: Split
    role: Role = "test"
    sparse: bool = True
    sparse_events: int = SPARSE_EVENTS
    horizon_us: int = HORIZON_US
    crop: tuple[int, int] | None = None
    max_disparity: float | None = LARGEST_PX

    def __post_init__(self) -> None:
        """Refuse a protocol that nothing can satisfy."""
        if self.role not in ROLES:
            raise RecordingError(f"Unknown role {self.role!r}; known: {', '.join(ROLES)}.")
        limits = [self.sparse_events, self.horizon_us, *(self.crop or ())]
        if min(limits) < 1 or not (self.max_disparity is None or self.max_disparity > 0):
            raise RecordingError(
                "A protocol needs a positive number of events, horizon, crop and disparity, got "
                f"{self.sparse_events} events, {self.horizon_us} us, crop {self.crop} and "
                f"{self.max_disparity} px."
            )

    def __str__(self) -> str:
        frames = len(self.split.frames(self.role))
        ranges = self.split.ranges(self.role)
        truth = "dense ground truth"
        if self.sparse:
            truth = (
                f"sparse ground truth (pixels of the last {self.sparse_events:,} left events of "
                f"{self.horizon_us / 1e3:g} ms)"
            )
        rows, columns = self.crop or (0, 0)
        parts = [
            f"split {self.split.name} of {self.split.source}",
            f"{self.role}: {frames} frames, {ranges}",
            truth,
            f"center crop {rows}x{columns}" if self.crop else "whole image",
            "any disparity"
            if self.max_disparity is None
            else f"disparity up to {self.max_disparity:.6g} px",
        ]
        if self.split.note:
            parts.append(self.split.note)
        return "; ".join(parts)

    def frames_of(self, recording: Recording) -> list[int]:
        """Return the indices of this role's ground truth in a recording, in the split's order.

        The sequence is known by its name; ``indoor_flying_1`` is ``indoor_flying1``.

        Raises:
            RecordingError: the recording is shorter than the split says.
        """
        name = canonical(recording.name)
        frames = [k for sequence, k in self.split.frames(self.role) if canonical(sequence) == name]
        count = recording.disparity_t_us.size
        if frames and max(frames) >= count:
            raise RecordingError(
                f"{recording.name} has {count} ground truths, but split {self.split.name} of "
                f"{self.split.source} uses number {max(frames)}. The recording is cut short, or "
                "it is another one of that name."
            )
        return frames

    def mask(self, recording: Recording, index: int) -> Mask:
        """Return ``[H, W]``, True at the pixels that count for ground truth ``index``.

        Raises:
            IndexError: no such ground truth.
            RecordingError: the recording turned out to be damaged, or is smaller than the crop.
        """
        disparity = recording.disparity(index)
        valid = disparity > 0
        if self.max_disparity is not None:
            valid &= disparity <= self.max_disparity
        if self.sparse:
            stamp = int(recording.disparity_t_us[index])
            valid &= recent_pixels(recording, stamp, self.sparse_events, self.horizon_us)
        if self.crop is not None:
            valid &= self._inside_crop(recording)
        return valid

    def _inside_crop(self, recording: Recording) -> Mask:
        height, width = recording.height, recording.width
        rows, columns = self.crop or (height, width)
        if rows > height or columns > width:
            raise RecordingError(
                f"{recording.name} has {height} rows and {width} columns, fewer than the crop "
                f"{rows}x{columns} of the protocol."
            )
        top, left = (height - rows) // 2, (width - columns) // 2
        inside = np.zeros((height, width), np.bool_)
        inside[top : top + rows, left : left + columns] = True
        return inside


def recent_pixels(recording: Recording, t_us: int, count: int, horizon_us: int) -> Mask:
    """Return ``[H, W]``, True where one of the last left events before ``t_us`` fell.

    Events are rectified and rounded, halves away from zero, as by Python 2 in the converter of
    DDES; those outside the image do not count among the ``count``.

    Args:
        recording: two event cameras.
        t_us: time of the ground truth, excluded.
        count: number of events.
        horizon_us: none before ``t_us - horizon_us``.
    """
    raw = recording.events("left", t_us - horizon_us, t_us)
    events = recording.rectify("left", raw)
    x, y = (np.trunc(v + np.copysign(0.5, v)) for v in (_float64(events.x), _float64(events.y)))
    inside = (x >= 0) & (x < recording.width) & (y >= 0) & (y < recording.height)
    # A small negative number is rounded to -0.0, which is no less than 0, and is pixel 0.
    last = np.flatnonzero(inside)[-count:]
    mask = np.zeros((recording.height, recording.width), np.bool_)
    mask[y[last].astype(np.int64), x[last].astype(np.int64)] = True
    return mask


def _float64(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    return values.astype(np.float64)


def named_protocol(name: str) -> Protocol:
    """Return one of ``mvsec-1-sparse``, ``mvsec-1-dense`` and so on: DDES's splits, role test.

    Raises:
        RecordingError: another name.
    """
    known = {f"mvsec-{n}-{kind}": (n, kind) for n in (1, 2, 3) for kind in ("sparse", "dense")}
    if name not in known:
        raise RecordingError(f"Unknown protocol {name!r}; known: {', '.join(known)}.")
    number, kind = known[name]
    return Protocol(split=published_split(number), sparse=kind == "sparse")
