"""Any encoding as a Tonic transform, so that it stands behind Tonic's event augmentations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from data.encode.base import Encoding
from data.events import Events


@dataclass(frozen=True, kw_only=True)
class TonicEncoding:
    """A callable on Tonic's structured arrays, to be put into ``tonic.transforms.Compose``.

    Events that an augmentation left out of order are sorted first, equal times as they came;
    those that it moved off the sensor are ignored. The fields ``x``, ``y``, ``t`` (microseconds)
    and ``p`` may have any numeric type.

    Attributes:
        encoding: what to make of the events.
        steps: time steps ``T``.
        sensor_size: ``(width, height, polarities)``, as Tonic gives it.
        window_us: start and end of the window; None for the first to the last event of each array.
            Give it for stereo: two cameras must share one window.
    """

    encoding: Encoding
    steps: int
    sensor_size: tuple[int, int, int]
    window_us: tuple[int, int] | None = None

    def __call__(self, events: npt.NDArray[Any]) -> Float32[np.ndarray, "T C H W"]:
        """Encode one structured array.

        Raises:
            ValueError: an array without the four fields.
        """
        missing = sorted(set("xytp") - set(events.dtype.names or ()))
        if missing:
            raise ValueError(f"Tonic's events have the fields x, y, t and p; missing: {missing}.")
        width, height, _ = self.sensor_size
        t = events["t"].astype(np.int64)
        if (t[1:] < t[:-1]).any():
            order = np.argsort(t, kind="stable")
            events, t = events[order], t[order]
        # Negative pixels would come back on the other side as uint16.
        on = (
            (events["x"] >= 0) & (events["y"] >= 0) & (events["x"] < width) & (events["y"] < height)
        )
        record = Events.trusted(
            t=t[on],
            x=events["x"][on].astype(np.uint16),
            y=events["y"][on].astype(np.uint16),
            p=events["p"][on] > 0,
        )
        t0_us, t1_us = self.window_us or ((int(t[0]), int(t[-1]) + 1) if t.size else (0, 1))
        return self.encoding(
            record, steps=self.steps, height=height, width=width, t0_us=t0_us, t1_us=t1_us
        )
