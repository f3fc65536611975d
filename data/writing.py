"""What the writers of recordings share: checks of what is given, and the mark of generated data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.recording import GENERATED_MARK, Camera


def check_events(camera: Camera, events: Events, width: int, height: int, layout: str) -> None:
    """Refuse events that are not raw or not on the sensor.

    Raises:
        RecordingError: they are not.
    """
    if events.x.dtype != np.uint16:
        raise RecordingError(
            f"The {camera} events are rectified. {layout} stores raw pixels (uint16)."
        )
    if len(events.inside(width, height)) != len(events):
        raise RecordingError(
            f"Some {camera} events lie outside the {width} x {height} sensor. Drop them first, "
            "with Events.inside."
        )


def check_truth(
    disparity: npt.NDArray[np.float32],
    t_us: npt.NDArray[np.int64],
    width: int,
    height: int,
    largest: float,
) -> None:
    """Refuse ground truth whose shape, stamps or values make no sense.

    Args:
        disparity: ``[K, H, W]`` pixels, 0 = none.
        t_us: ``[K]`` stamps.
        width: columns of the sensor.
        height: rows of the sensor.
        largest: disparity that the layout can hold, in pixels.

    Raises:
        RecordingError: it does not.
    """
    expected = (t_us.size, height, width)
    if disparity.shape != expected:
        raise RecordingError(
            f"The disparity has shape {disparity.shape}. Expected {expected}: one image of the "
            "sensor's size for each stamp."
        )
    if (np.diff(t_us) <= 0).any():
        raise RecordingError("The stamps of the ground truth must increase.")
    # Written so that NaN fails too.
    if not ((disparity >= 0) & (disparity <= largest)).all():
        raise RecordingError(
            f"The disparity must be 0 (none) or positive, at most {largest:g} pixels, got "
            f"{disparity.min()} to {disparity.max()}."
        )


def write_mark(folder: Path, generated: Mapping[str, Any] | None) -> None:
    """Say in a recording's folder how it was made, if it was."""
    if generated is not None:
        text = json.dumps(generated, indent=1) + "\n"
        (folder / GENERATED_MARK).write_text(text, encoding="utf-8")
