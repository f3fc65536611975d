"""Reader of a two-camera ``.npz``: the layout of recordings made with scripts and small tools.

Either two tables ``left`` and ``right`` of N x 4 columns ``t_us, x, y, p``, or eight columns
``left_t``, ``left_x``, ``left_y``, ``left_p``, ``right_t`` and so on. Numbers may be integers or
whole floats; polarity is 0/1 or -1/1. Optional scalars ``width`` and ``height``. Any other key is
ignored. There is no calibration and no ground truth in this layout.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.events import Events
from data.npz_columns import EXPECTED, Column, camera_columns
from data.recording import CAMERAS, Camera, Recording, shared_span

KNOWN_SENSORS = ((128, 128), (240, 180), (346, 260), (640, 480), (1280, 720))
"""Width and height of the usual event cameras, smallest first."""

STRAY_SHARE = 0.01
"""Share of one camera's events that may lie outside the sensor that is guessed."""


class NpzRecording(Recording):
    """Two event cameras in one ``.npz`` file, held in memory.

    Args:
        path: the file. It is never unpickled.
        width: columns of each sensor; by default the file's, or guessed (``guess_sensor``).
        height: rows of each sensor, given together with ``width``.

    Raises:
        RecordingError: a file that is missing, broken or incomplete; times that are unsorted or not
            whole microseconds; coordinates that are NaN, negative or fractional; a camera without
            events; two cameras that share no time.
    """

    layout = "npz"

    def __init__(
        self, path: str | Path, *, width: int | None = None, height: int | None = None
    ) -> None:
        path = Path(path)
        arrays = _load(path)
        columns = {camera: camera_columns(path, arrays, camera) for camera in CAMERAS}
        self.name = path.stem
        self.width, self.height = _sensor(path, arrays, columns, width, height)
        self.dropped: dict[Camera, int] = {}
        self.total: dict[Camera, int] = {c: columns[c]["t"].size for c in CAMERAS}
        self._events: dict[Camera, Events] = {}
        for camera in CAMERAS:
            events = _events(path, camera, columns[camera], self.width, self.height)
            self._events[camera] = events
            self.dropped[camera] = columns[camera]["t"].size - len(events)
        ends = {c: (int(e.t[0]), int(e.t[-1])) for c, e in self._events.items()}
        self.span_us = shared_span(path, ends)
        self.calibration = None
        self.disparity_t_us = np.empty(0, np.int64)

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        return self._events[camera].window(t0_us, t1_us)

    def rectify(self, camera: Camera, events: Events) -> Events:
        """Return the same pixels as float32: without calibration, raw is all there is."""
        del camera
        return Events(
            t=events.t, x=events.x.astype(np.float32), y=events.y.astype(np.float32), p=events.p
        )

    def rectify_map(self, camera: Camera) -> None:
        """Return None: this layout knows no calibration."""
        del camera

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Refuse: this layout holds no ground truth."""
        raise IndexError(f"{self.name} has no ground truth, so no disparity {index}.")

    def close(self) -> None:
        """Do nothing: the file was closed once it had been read."""


def guess_sensor(columns: Mapping[Camera, Mapping[str, Column]]) -> tuple[int, int] | None:
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


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return the arrays of the file that belong to the layout."""
    if not path.is_file():
        raise RecordingError(f"There is no file {path}. Give the path of a two-camera .npz file.")
    if path.stat().st_size == 0:
        raise RecordingError(f"{path} is empty (0 bytes). Copy or download the recording again.")
    wanted = [*CAMERAS, *(f"{c}_{name}" for c in CAMERAS for name in "txyp"), "width", "height"]
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem for name in archive.namelist() if name.endswith(".npy")}
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in wanted if name in names}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, KeyError) as error:
        raise RecordingError(
            f"{path} cannot be read as an .npz archive ({error}). The file is truncated, damaged "
            "or of another kind; copy it again, or write it with numpy.savez_compressed."
        ) from error
    for camera in CAMERAS:
        if camera not in arrays and not any(name.startswith(f"{camera}_") for name in arrays):
            found = ", ".join(sorted(names)) or "none"
            raise RecordingError(
                f"{path} has no {camera} camera: its keys are {found}. {EXPECTED} Stereo needs "
                "both cameras in one file."
            )
    return arrays


def _sensor(
    path: Path,
    arrays: Mapping[str, npt.NDArray[np.generic]],
    columns: Mapping[Camera, Mapping[str, Column]],
    width: int | None,
    height: int | None,
) -> tuple[int, int]:
    """Return width and height: as given, else as stored, else guessed."""
    if (width is None) != (height is None):
        raise RecordingError("Give width and height of the sensor together, or neither.")
    if width is None and {"width", "height"} <= arrays.keys():
        stored = [np.asarray(arrays[name]) for name in ("width", "height")]
        if any(value.size != 1 or value.dtype.kind not in "ui" for value in stored):
            raise RecordingError(f"'width' and 'height' in {path} must be one whole number each.")
        width, height = (int(value.item()) for value in stored)
    if width is not None and height is not None:
        if width < 1 or height < 1:
            raise RecordingError(f"A sensor of {width} x {height} pixels is not possible ({path}).")
        return width, height
    for camera in CAMERAS:
        if columns[camera]["t"].size == 0:
            raise RecordingError(f"The {camera} camera in {path} has no events.")
    guess = guess_sensor(columns)
    if guess is None:
        reach = {c: (int(v["x"].max()) + 1, int(v["y"].max()) + 1) for c, v in columns.items()}
        raise RecordingError(
            f"The events in {path} fit no known sensor: they reach {reach} (columns, rows). Known: "
            f"{', '.join(f'{w}x{h}' for w, h in KNOWN_SENSORS)}. Store the scalars 'width' and "
            "'height' in the file."
        )
    return guess


def _events(
    path: Path, camera: Camera, columns: Mapping[str, Column], width: int, height: int
) -> Events:
    """Return the events on the sensor as a checked record."""
    t = columns["t"]
    back = t[1:] < t[:-1]
    if back.any():
        row = int(np.argmax(back)) + 1
        raise RecordingError(
            f"The times of the {camera} camera in {path} are not sorted: event {row} has "
            f"t={t[row]} us after t={t[row - 1]} us. Sort each camera's events by time."
        )
    inside = (columns["x"] < width) & (columns["y"] < height)
    if not inside.any():
        raise RecordingError(
            f"The {camera} camera in {path} has no event on its {width} x {height} sensor "
            f"({t.size} events in the file). Check the sensor size and the columns t_us, x, y, p."
        )
    # Cut before the cast: a column of 70000 would come back as 4464.
    return Events(
        t=t[inside],
        x=columns["x"][inside].astype(np.uint16),
        y=columns["y"][inside].astype(np.uint16),
        p=columns["p"][inside] > 0,
    )
