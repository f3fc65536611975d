"""What every recording offers, whatever its layout on disk."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from data.camera import Calibration
from data.errors import RecordingError
from data.events import Events

Camera = Literal["left", "right"]
CAMERAS: tuple[Camera, Camera] = ("left", "right")


GENERATED_MARK = "generated.json"
"""File in a recording's folder that marks it as generated data, and says how it was made."""


FIRST_LOOK_US = 50_000
"""How far ``last_events`` looks back at first."""


def is_generated(path: Path) -> bool:
    """Whether the recording at ``path`` is marked as generated data.

    The mark lies in the folder of the recording, which is ``path`` itself, the folder of a file, or
    the only folder inside.
    """
    places = [path if path.is_dir() else path.parent]
    if path.is_dir():
        inside = [child for child in path.iterdir() if child.is_dir()]
        places += inside if len(inside) == 1 else []
    return any((place / GENERATED_MARK).is_file() for place in places)


@runtime_checkable
class Recording(Protocol):
    """Two event cameras on one clock, opened for reading.

    Opening reads no more than is needed to fill the attributes and to refuse a recording that
    cannot be used. Readers subclass this, for the context manager.

    Attributes:
        name: short name for titles and reports.
        layout: how it lies on disk, a name in ``data.formats.LAYOUTS``.
        width: columns of each sensor.
        height: rows of each sensor.
        span_us: first and last event time that both cameras cover.
        calibration: None where the cameras are not calibrated.
        disparity_t_us: ``[K]`` int64, stamps of the ground truth; empty where there is none.
        dropped: events outside the sensor seen so far, per camera; they never reach the caller.
        total: events stored, per camera.
    """

    name: str
    layout: str
    width: int
    height: int
    span_us: tuple[int, int]
    calibration: Calibration | None
    disparity_t_us: npt.NDArray[np.int64]
    dropped: dict[Camera, int]
    total: dict[Camera, int]

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""

    def last_events(self, camera: Camera, t_us: int, count: int) -> Events:
        """Return the last ``count`` raw events before ``t_us``, none earlier than ``span_us[0]``.

        Windows by number; fewer where there are no more. It reads backward in windows that double,
        so it needs no index; a layout that has one may override it.
        """
        back_us = FIRST_LOOK_US
        while True:
            start_us = max(self.span_us[0], t_us - back_us)
            found = self.events(camera, start_us, t_us)
            if len(found) >= count or start_us == self.span_us[0]:
                return found.take(slice(max(0, len(found) - count), len(found)))
            back_us *= 2

    def rectify(self, camera: Camera, events: Events) -> Events:
        """Return raw events at float32 rectified pixels (some may lie outside the image).

        Those of ``rectify_map``, or the raw ones where there is none.

        Raises:
            ValueError: events that are rectified already.
        """
        if events.x.dtype != np.uint16:
            raise ValueError("These events are rectified already; rectify takes raw pixels.")
        pixels = self.rectify_map(camera)
        if pixels is None:
            x, y = events.x.astype(np.float32), events.y.astype(np.float32)
        else:
            moved = pixels[events.y, events.x]
            x, y = np.ascontiguousarray(moved[:, 0]), np.ascontiguousarray(moved[:, 1])
        return Events.trusted(t=events.t, x=x, y=y, p=events.p)

    def rectify_map(self, camera: Camera) -> npt.NDArray[np.float32] | None:
        """Return ``[H, W, 2]``, ``map[y, x]`` = rectified ``(x, y)`` of the raw pixel (x, y).

        None where rectified pixels are the raw ones. ``rectify`` applies this map to events.
        """

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none.

        Raises:
            IndexError: no such ground truth; ``index`` runs from 0 to K - 1.
        """

    def close(self) -> None:
        """Release the files."""

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def shared_span(path: Path, ends_us: Mapping[Camera, tuple[int, int]]) -> tuple[int, int]:
    """Return the first and last time that both cameras cover, from the ends of each.

    Raises:
        RecordingError: the cameras share no time.
    """
    first = max(start for start, _ in ends_us.values())
    last = min(end for _, end in ends_us.values())
    if last < first:
        ranges = ", ".join(f"{camera} {a} to {b} us" for camera, (a, b) in ends_us.items())
        raise RecordingError(
            f"The cameras in {path} share no time: {ranges}. Expected both on one clock; check the "
            "units and the time offset of each camera."
        )
    return first, last
