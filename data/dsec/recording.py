"""Reader of one DSEC sequence folder.

The layout is that of the data set's own loader: ``events/{left,right}/events.h5`` and
``rectify_map.h5``, ``calibration/cam_to_cam.yaml``, ``disparity/event/*.png`` with
``disparity/timestamps.txt``. Any sensor size is read, not only 640 x 480.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from data.dsec.calibration import read_calibration
from data.dsec.events import EventFile
from data.dsec.files import DISPARITY_SCALE, list_ground_truth, read_map, sensor_size
from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS, Camera, Recording, shared_span


class DsecRecording(Recording):
    """One DSEC sequence, read window by window; times are absolute (``t + t_offset``).

    Events outside the sensor are dropped, and counted once however the windows overlap: the count
    of a camera grows only with events later than any window before.

    Test sequences have no ``disparity`` folder, so ``disparity_t_us`` is empty. Row k of
    ``timestamps.txt`` belongs to the k-th image by name; their names count frames, of which only
    every second has ground truth (000000, 000002, ...). The first has no events before it.

    Args:
        path: the folder of the sequence.

    Raises:
        RecordingError: a missing, damaged or contradictory file. Missing calibration is no error:
            ``calibration`` is None.
    """

    layout = "dsec"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        if not self.path.is_dir():
            raise RecordingError(
                f"There is no folder {self.path}. Give the folder of one DSEC sequence, the one "
                "that holds events/left/events.h5."
            )
        self._files = {c: EventFile(self.path / "events" / c / "events.h5") for c in CAMERAS}
        self.span_us = shared_span(self.path, {c: f.ends_us for c, f in self._files.items()})
        self.height, self.width = sensor_size(self.path)
        self._maps: dict[Camera, npt.NDArray[np.float32]] = {}
        yaml_path = self.path / "calibration" / "cam_to_cam.yaml"
        self.calibration = read_calibration(yaml_path) if yaml_path.is_file() else None
        self.disparity_t_us, self._images = list_ground_truth(self.path / "disparity")
        self.dropped: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self.total: dict[Camera, int] = {c: f.count for c, f in self._files.items()}
        self._counted_to: dict[Camera, int | None] = dict.fromkeys(CAMERAS)

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        t, x, y, p = self._files[camera].window(t0_us, t1_us)
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        mark = self._counted_to[camera]
        if not inside.all():
            fresh = ~inside if mark is None else ~inside & (t >= mark)
            self.dropped[camera] += int(fresh.sum())
            t, x, y, p = t[inside], x[inside], y[inside], p[inside]
        self._counted_to[camera] = t1_us if mark is None else max(mark, t1_us)
        return Events(t=t, x=x.astype(np.uint16), y=y.astype(np.uint16), p=p)

    def rectify(self, camera: Camera, events: Events) -> Events:
        """Return the same events at float32 rectified pixels (some may lie outside the image).

        Raises:
            ValueError: events that are rectified already.
        """
        if events.x.dtype != np.uint16:
            raise ValueError("These events are rectified already; rectify takes raw pixels.")
        pixels = self.rectify_map(camera)[events.y, events.x]
        return Events(
            t=events.t,
            x=np.ascontiguousarray(pixels[:, 0]),
            y=np.ascontiguousarray(pixels[:, 1]),
            p=events.p,
        )

    def rectify_map(self, camera: Camera) -> npt.NDArray[np.float32]:
        """Return the forward map ``[H, W, 2]`` of a camera, read once; do not change it."""
        if camera not in self._maps:
            self._maps[camera] = read_map(self.path, camera)
        return self._maps[camera]

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none."""
        if not 0 <= index < len(self._images):
            raise IndexError(f"{self.name} has {len(self._images)} ground truths, no {index}.")
        path = self._images[index]
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        expected = (self.height, self.width)
        if stored is None or stored.dtype != np.uint16 or stored.shape != expected:
            given = "no image" if stored is None else f"{stored.dtype} {stored.shape}"
            raise RecordingError(
                f"{path} holds {given}. Expected a 16-bit PNG of {expected} rows and columns, "
                f"disparity times {DISPARITY_SCALE}; copy or download the file again."
            )
        return stored.astype(np.float32) / np.float32(DISPARITY_SCALE)

    def close(self) -> None:
        """Release the files; a later read opens them again."""
        for file in self._files.values():
            file.close()
