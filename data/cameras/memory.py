"""Recordings that are held in memory: the base of those read from whole files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.cameras.calibration import read_geometry
from data.cameras.columns import CameraEvents, is_possible
from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS, Camera, Recording, shared_span
from data.rectified import Map

KNOWN_SENSORS = ((128, 128), (240, 180), (346, 260), (640, 480), (1280, 720))
"""Width and height of the usual event cameras, smallest first."""

STRAY_SHARE = 0.01
"""Share of one camera's events that may lie outside the sensor that is guessed."""

Size = tuple[int, int]
Coordinates = Mapping[str, npt.NDArray[np.integer]]


class MemoryRecording(Recording):
    """Two event cameras held in memory, 13 bytes per event.

    Events outside the sensor are dropped on opening, so ``dropped`` counts over the whole file.

    Args:
        sources: the file of each camera, for messages.
        cameras: what the files hold.
        size: width and height of each sensor.
        calibration: calibration file (``data.cameras.calibration``); None leaves the raw pixels.
        sort: bring unsorted events into the order of time, instead of refusing them.

    Attributes:
        unsorted: events per camera that came before their predecessor, in the file's order.
        skipped: parts of each file that are no usable events, counted by what they are.

    Raises:
        RecordingError: unsorted times, a camera without events on its sensor, two cameras that
            share no time, or a calibration that cannot be used.
    """

    def __init__(
        self,
        *,
        sources: Mapping[Camera, Path],
        cameras: Mapping[Camera, CameraEvents],
        size: Size,
        calibration: str | Path | None = None,
        sort: bool = False,
    ) -> None:
        self.width, self.height = size
        geometry = None if calibration is None else read_geometry(calibration, size)
        self.calibration = None if geometry is None else geometry.calibration
        self.disparity_t_us = np.empty(0, np.int64)
        self.dropped: dict[Camera, int] = {}
        self.unsorted: dict[Camera, int] = {}
        self.total: dict[Camera, int] = {c: len(cameras[c]) for c in CAMERAS}
        self.skipped = {c: dict(cameras[c].skipped) for c in CAMERAS}
        self._maps: dict[Camera, Map] = {} if geometry is None else geometry.maps
        self._events: dict[Camera, Events] = {}
        for camera in CAMERAS:
            stored = cameras[camera]
            self.unsorted[camera] = int((stored.t[1:] < stored.t[:-1]).sum())
            if self.unsorted[camera] and not sort:
                raise RecordingError(_unsorted(sources[camera], camera, stored))
            events = _usable(sources[camera], camera, stored, size)
            self._events[camera] = events
            self.dropped[camera] = len(stored) - len(events)
        ends = {c: (int(e.t[0]), int(e.t[-1])) for c, e in self._events.items()}
        self.span_us = shared_span(sources["left"], ends)

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        return self._events[camera].window(t0_us, t1_us)

    def rectify_map(self, camera: Camera) -> Map | None:
        """Return the forward map of a camera, None without calibration; do not change it."""
        return self._maps.get(camera)

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Refuse: these layouts hold no ground truth."""
        raise IndexError(f"{self.name} has no ground truth, so no disparity {index}.")

    def close(self) -> None:
        """Do nothing: the files were closed once they had been read."""


def guess_sensor(columns: Mapping[Camera, Coordinates]) -> Size | None:
    """Return the width and height of the smallest known sensor that fits both cameras.

    It fits if it holds **every** event of one camera and at least 99 % of the other's: both cameras
    are one model, and a transmission fault that writes impossible coordinates seldom hits both. A
    rule of shares alone would call a large sensor small when a scene moves in one corner only.
    None if even the largest does not fit.
    """
    for width, height in KNOWN_SENSORS:
        held = [np.mean((c["x"] < width) & (c["y"] < height)) for c in columns.values()]
        if max(held) == 1.0 and min(held) >= 1.0 - STRAY_SHARE:
            return width, height
    return None


def choose_size(
    sources: Mapping[Camera, Path],
    cameras: Mapping[Camera, CameraEvents],
    width: int | None,
    height: int | None,
) -> Size:
    """Return width and height of the sensors: as given, else as the files state, else guessed.

    Raises:
        RecordingError: half a size, an impossible one, two different ones, or nothing that fits.
    """
    where = " and ".join(dict.fromkeys(str(sources[c]) for c in CAMERAS))
    if (width is None) != (height is None):
        raise RecordingError("Give width and height of the sensor together, or neither.")
    if width is not None and height is not None:
        if not is_possible((width, height)):
            raise RecordingError(
                f"A sensor of {width} x {height} pixels is not possible ({where})."
            )
        return width, height
    for camera in CAMERAS:
        if len(cameras[camera]) == 0:
            raise RecordingError(f"The {camera} camera in {sources[camera]} has no events.")
    stated = {camera: cameras[camera].size for camera in CAMERAS if cameras[camera].size}
    sizes = {size for size in stated.values() if size}
    if len(sizes) > 1:
        raise RecordingError(
            f"The cameras have different sensors: {stated}. Expected two cameras of one model; to "
            "use the common part, give its size (--width and --height)."
        )
    if sizes:
        return sizes.pop()
    columns: dict[Camera, Coordinates] = {
        c: {"x": cameras[c].x, "y": cameras[c].y} for c in CAMERAS
    }
    guess = guess_sensor(columns)
    if guess is None:
        known = ", ".join(f"{w}x{h}" for w, h in KNOWN_SENSORS)
        reach = {c: (int(v["x"].max()) + 1, int(v["y"].max()) + 1) for c, v in columns.items()}
        raise RecordingError(
            f"The events in {where} fit no known sensor: they reach {reach} (columns, rows). "
            f"Known: {known}. Store the scalars 'width' and 'height' in the file, or give the size "
            "of the sensor (--width and --height)."
        )
    return guess


def _unsorted(source: Path, camera: Camera, stored: CameraEvents) -> str:
    """Say which event breaks the order of time."""
    back = stored.t[1:] < stored.t[:-1]
    row = int(np.argmax(back)) + 1
    return (
        f"The times of the {camera} camera in {source} are not sorted: event {row} has "
        f"t={stored.t[row]} us after t={stored.t[row - 1]} us. Sort each camera's events by time, "
        f"or let it be done (--sort); {int(back.sum())} events come before their predecessor."
    )


def _usable(source: Path, camera: Camera, stored: CameraEvents, size: Size) -> Events:
    """Return the events on the sensor, sorted by time, as a record."""
    width, height = size
    inside = (stored.x < width) & (stored.y < height)
    if not inside.any():
        raise RecordingError(
            f"The {camera} camera in {source} has no event on its {width} x {height} sensor "
            f"({len(stored)} events in the file). Check the sensor size and the columns "
            "t_us, x, y, p."
        )
    keep: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice = inside
    if inside.all():
        keep = slice(None)
    t = stored.t[keep]
    events = Events.trusted(t=t, x=stored.x[keep], y=stored.y[keep], p=stored.p[keep])
    if (t[1:] < t[:-1]).any():
        events = events.take(np.argsort(t, kind="stable"))
    return events
