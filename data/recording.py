"""What every recording offers, whatever its layout on disk."""

from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from data.camera import Calibration
from data.events import Events

Camera = Literal["left", "right"]
CAMERAS: tuple[Camera, Camera] = ("left", "right")


class Recording(Protocol):
    """Two event cameras on one clock, opened for reading.

    Attributes:
        name: short name for titles and reports.
        layout: ``npz`` or ``dsec``.
        width: columns of each sensor.
        height: rows of each sensor.
        span_us: first and last event time that both cameras cover.
        calibration: None where the cameras are not calibrated.
        disparity_t_us: ``[K]`` int64, stamps of the ground truth; empty where there is none.
        dropped: events outside the sensor seen so far, per camera; they never reach the caller.
    """

    name: str
    layout: str
    width: int
    height: int
    span_us: tuple[int, int]
    calibration: Calibration | None
    disparity_t_us: npt.NDArray[np.int64]
    dropped: dict[Camera, int]

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""

    def rectify(self, camera: Camera, events: Events) -> Events:
        """Return the same events at float32 rectified pixels (some may lie outside the image)."""

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none."""

    def close(self) -> None:
        """Release the files."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
