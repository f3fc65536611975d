"""Reader of one DSEC sequence, in any of the arrangements of ``layout.py`` and any sensor size."""

import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.dsec.cache import CacheUnusableError, cached_events, event_cache_folder
from data.dsec.cached import CachedEvents
from data.dsec.calibration import read_calibration, read_cam_to_lidar
from data.dsec.events import EventFile
from data.dsec.layout import SequencePaths, sequence_paths
from data.dsec.maps import find_maps
from data.dsec.stamps import Submission, read_stamps, read_submission
from data.dsec.truth import list_ground_truth, read_disparity
from data.errors import RecordingError
from data.events import Events
from data.recording import CAMERAS, Camera, Recording, shared_span


class DsecRecording(Recording):
    """One DSEC sequence, read window by window; times are absolute (``t + t_offset``).

    Events outside the sensor are dropped, and counted once however the windows overlap: the count
    of a camera grows only with events later than any window before.

    Test sequences have no ground truth, so ``disparity_t_us`` is empty; ``submission`` says what
    the benchmark wants. The first ground truth of a sequence has no events before it.

    Args:
        path: the folder of the sequence, or its paths as ``find_sequences`` returns them.
        cache: True keeps the unpacked events in the user's cache folder (``cache.py``), a path
            keeps them there; filled at the first opening, 9 bytes per event. Where the cache cannot
            be used the recording is read without it, with a warning.

    Attributes:
        paths: where its files lie.
        disparity_files: the image of each ground truth; its name is the number of the frame, which
            grows by 2 from one to the next.
        map_sources: the file behind each rectify map: ``cam_to_cam.yaml`` where ``rectify_map.h5``
            is missing.
        cache_problems: why a camera's events do not come from the cache that was asked for.

    Raises:
        RecordingError: a missing, damaged or contradictory file. Missing calibration is no error:
            ``calibration`` is None.
    """

    layout = "dsec"

    def __init__(
        self, path: str | Path | SequencePaths, *, cache: bool | str | Path | None = None
    ) -> None:
        self.paths = path if isinstance(path, SequencePaths) else _paths(Path(path).expanduser())
        self.path = self.paths.folder
        self.name = self.paths.name
        for camera in CAMERAS:
            if not self.paths.events[camera].is_file():
                raise RecordingError(
                    f"There is no {self.paths.events[camera]}. A DSEC sequence needs the events.h5 "
                    "of the left and of the right camera; stereo needs both cameras."
                )
        self._sources = find_maps(self.paths)
        self.height, self.width = self._sources.height, self._sources.width
        self.map_sources = dict(self._sources.sources)
        self._maps: dict[Camera, npt.NDArray[np.float32]] = {}
        self.cache_problems: dict[Camera, str] = {}
        self._files = {camera: self._open_events(camera, cache) for camera in CAMERAS}
        self.span_us = shared_span(self.path, {c: f.ends_us for c, f in self._files.items()})
        yaml_path = self.paths.calibration
        self.calibration = None if yaml_path is None else read_calibration(yaml_path)
        self.disparity_t_us, self.disparity_files = list_ground_truth(self.paths)
        self.dropped: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self.total: dict[Camera, int] = {c: f.count for c, f in self._files.items()}
        self._counted_to: dict[Camera, int | None] = dict.fromkeys(CAMERAS)

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        events, outside = self._files[camera].window(t0_us, t1_us)
        self._count(camera, outside, t1_us)
        return events

    def last_events(self, camera: Camera, t_us: int, count: int) -> Events:
        """Return the last ``count`` raw events before ``t_us``, none before ``span_us[0]``."""
        events, outside = self._files[camera].last(t_us, count, self.span_us[0])
        self._count(camera, outside, t_us)
        return events

    def rectify_map(self, camera: Camera) -> npt.NDArray[np.float32]:
        """Return the forward map ``[H, W, 2]`` of a camera, read once; do not change it."""
        if camera not in self._maps:
            self._maps[camera] = self._sources.read(camera)
        return self._maps[camera]

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none."""
        if not 0 <= index < len(self.disparity_files):
            count = len(self.disparity_files)
            raise IndexError(f"{self.name} has {count} ground truths, no {index}.")
        return read_disparity(self.disparity_files[index], self.height, self.width)

    @cached_property
    def submission(self) -> Submission | None:
        """What the benchmark wants of a test sequence; None without its csv.

        Raises:
            RecordingError: a csv that is damaged.
        """
        return None if self.paths.submission is None else read_submission(self.paths.submission)

    @cached_property
    def image_t_us(self) -> npt.NDArray[np.int64]:
        """Stamps of the frames ``[F]``, 20 Hz; ground truth file ``n`` has stamp ``n``.

        Empty without the file. The frames themselves are in ``paths.images``.

        Raises:
            RecordingError: a file that is damaged.
        """
        path = self.paths.image_timestamps
        return np.empty(0, np.int64) if path is None else read_stamps(path)

    @cached_property
    def cam_to_lidar(self) -> npt.NDArray[np.float64] | None:
        """``[4, 4]``: points of the rectified left frame camera to LiDAR; None without the file.

        Raises:
            RecordingError: a file that is damaged.
        """
        path = self.paths.cam_to_lidar
        return None if path is None else read_cam_to_lidar(path)

    def _open_events(
        self, camera: Camera, cache: bool | str | Path | None
    ) -> EventFile | CachedEvents:
        """Open the events of a camera, through the cache if that is wanted and possible."""
        path = self.paths.events[camera]
        if cache is not None and cache is not False:
            folder = event_cache_folder() if cache is True else Path(cache).expanduser()
            try:
                return cached_events(path, self.width, self.height, folder)
            except CacheUnusableError as error:
                self.cache_problems[camera] = str(error)
                warnings.warn(
                    f"The {camera} events of {self.name} are read without the cache: {error}",
                    RuntimeWarning,
                    stacklevel=3,
                )
        return EventFile(path, self.width, self.height)

    def close(self) -> None:
        """Release the files; a later read opens them again."""
        for file in self._files.values():
            file.close()

    def _count(self, camera: Camera, outside: npt.NDArray[np.int64], t1_us: int) -> None:
        """Count the dropped events of a window that are later than all windows before."""
        mark = self._counted_to[camera]
        fresh = outside if mark is None else outside[outside >= mark]
        self.dropped[camera] += int(fresh.size)
        self._counted_to[camera] = t1_us if mark is None else max(mark, t1_us)


def _paths(path: Path) -> SequencePaths:
    """Return where the files of the sequence at ``path`` lie."""
    if not path.is_dir():
        raise RecordingError(
            f"There is no folder {path}. Give the folder of one DSEC sequence, the one "
            "that holds events/left/events.h5."
        )
    paths = sequence_paths(path)
    if paths is None:
        raise RecordingError(
            f"{path} is no DSEC sequence. Expected events/left and events/right in it (or "
            "events_left and events_right, as Tonic unpacks them)."
        )
    return paths
