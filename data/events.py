"""The event record: four equal-length arrays on one clock, checked at the door.

Units: ``t`` microseconds on the clock shared by both cameras, ``x``/``y`` pixels (uint16 on the raw
sensor, float32 once rectified), ``p`` True where the pixel became brighter.
Windows are half-open, ``[t0_us, t1_us)``, everywhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

TONIC_DTYPE = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
"""Structured dtype that Tonic's transforms expect (tonic.io.make_structured_array)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Events of one camera, sorted by time.

    Attributes:
        t: ``[N]`` int64, microseconds.
        x: ``[N]`` uint16 (raw) or float32 (rectified), column in pixels.
        y: ``[N]`` same dtype as ``x``, row in pixels.
        p: ``[N]`` bool, True = brighter.

    Raises:
        RecordingError: arrays of unequal length or wrong dtype, unsorted times, NaN coordinates.
    """

    t: npt.NDArray[np.int64]
    x: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    y: npt.NDArray[np.uint16] | npt.NDArray[np.float32]
    p: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check what no later stage checks again."""
        lengths = {name: np.shape(getattr(self, name)) for name in "txyp"}
        if len(set(lengths.values())) != 1 or len(lengths["t"]) != 1:
            raise RecordingError(f"Events need four 1-D arrays of one length, got {lengths}.")
        if self.t.dtype != np.int64 or self.p.dtype != np.bool_:
            raise RecordingError(
                f"Events need t as int64 microseconds and p as bool, got {self.t.dtype} and "
                f"{self.p.dtype}. Convert with t.astype(np.int64) and p > 0."
            )
        if self.x.dtype != self.y.dtype or self.x.dtype not in (np.uint16, np.float32):
            raise RecordingError(
                "Events need x and y both as uint16 (raw pixels) or both as float32 (rectified), "
                f"got {self.x.dtype} and {self.y.dtype}."
            )
        if self.x.dtype == np.float32 and not (
            np.isfinite(self.x).all() and np.isfinite(self.y).all()
        ):
            raise RecordingError("Event coordinates contain NaN or infinity; drop those events.")
        if self.t.size > 1 and bool((self.t[1:] < self.t[:-1]).any()):
            first = int(np.argmax(self.t[1:] < self.t[:-1])) + 1
            raise RecordingError(
                f"Event times must not decrease, but event {first} (t={self.t[first]} us) comes "
                f"after t={self.t[first - 1]} us. Sort the recording by time first."
            )

    def __len__(self) -> int:
        return int(self.t.size)

    @classmethod
    def trusted(
        cls,
        *,
        t: npt.NDArray[np.int64],
        x: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
        y: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
        p: npt.NDArray[np.bool_],
    ) -> "Events":
        """Build a record from columns that were checked before; nothing is checked again.

        For readers that verified a whole file once, and for parts of a record: at millions of
        events per second looking for disorder costs as much as reading.
        """
        made = object.__new__(cls)
        made.__dict__.update(t=t, x=x, y=y, p=p)
        return made

    @classmethod
    def empty(cls) -> "Events":
        """Return a record without events."""
        return cls(
            t=np.empty(0, np.int64),
            x=np.empty(0, np.uint16),
            y=np.empty(0, np.uint16),
            p=np.empty(0, np.bool_),
        )

    def window(self, t0_us: int, t1_us: int) -> "Events":
        """Return the events with ``t0_us <= t < t1_us`` (views, no copy)."""
        first, last = np.searchsorted(self.t, (t0_us, t1_us), side="left")
        return self.take(slice(int(first), max(int(first), int(last))))

    def take(self, index: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Events":
        """Return the events that ``index`` selects; it must keep the order of time."""
        # Masks and forward slices keep the order; a list of places may not, so it is checked.
        if isinstance(index, slice):
            keeps = index.step is None or index.step > 0
        else:
            keeps = index.dtype == np.bool_
        make = Events.trusted if keeps else Events
        return make(t=self.t[index], x=self.x[index], y=self.y[index], p=self.p[index])

    def inside(self, width: int, height: int) -> "Events":
        """Return the events on a sensor of ``width`` x ``height`` pixels.

        A float coordinate belongs to the pixel it rounds to.
        """
        if self.x.dtype == np.uint16:
            keep = (self.x < width) & (self.y < height)
        else:
            keep = (self.x >= -0.5) & (self.x < width - 0.5)
            keep &= (self.y >= -0.5) & (self.y < height - 0.5)
        return self if bool(keep.all()) else self.take(keep)

    def to_tonic(self) -> npt.NDArray[Any]:
        """Return the structured array ``(x, y, t, p)`` that Tonic's transforms take."""
        out = np.empty(len(self), TONIC_DTYPE)
        # As in `inside`, halves go upward; float64, because 0.49999997 + 0.5 is 1 in float32.
        out["x"] = np.floor(self.x.astype(np.float64) + 0.5)
        out["y"] = np.floor(self.y.astype(np.float64) + 0.5)
        out["t"], out["p"] = self.t, self.p
        return out

    @classmethod
    def from_tonic(cls, array: npt.NDArray[Any]) -> "Events":
        """Build a record from Tonic's structured array (raw pixels)."""
        return cls(
            t=array["t"].astype(np.int64),
            x=array["x"].astype(np.uint16),
            y=array["y"].astype(np.uint16),
            p=array["p"] > 0,
        )
