"""Reader of the preprocessed MVSEC of DDES (Tulyakov et al., ICCV 2019): events cut per frame."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.camera import Calibration
from data.errors import RecordingError
from data.events import Events
from data.mvsec.calibration import read_camchain
from data.mvsec.constants import HEIGHT, INDOOR_FLYING, WIDTH, scene_of
from data.mvsec.ddes_events import FILE_US, SLACK_US, EventFolder
from data.mvsec.events import LATEST_S
from data.mvsec.files import find_chain
from data.png import read_png
from data.recording import CAMERAS, Camera, Recording, shared_span

EVENT_FOLDERS: dict[Camera, tuple[str, str]] = {
    "left": ("event0", "left_event"),
    "right": ("event1", "right_event"),
}
"""Names that the converter writes, and names that its documentation gives."""

DISPARITY_SCALE = 7
"""Stored number per pixel of disparity."""

INVALID = 255
"""Stored number of a pixel without ground truth."""

IMAGE = f"an 8-bit grey PNG, disparity times {DISPARITY_SCALE}, {INVALID} where there is none"

LARGEST_PX = 254.5 / DISPARITY_SCALE
"""What rounds to more than this is stored as invalid."""


class DdesRecording(Recording):
    """One sequence of the layout of DDES: rectified events, a file of 50 ms per ground truth.

    Pixels are rectified and rounded already: they are given as raw pixels (uint16), ``rectify``
    only changes the type, and ``rectify_map`` is None. Events that fell outside the image by
    rectification are not in the files. Ground truth is quantized to 1/7 pixel and ends at 36.3.

    Windows may span any number of files. An event that two files hold is given once. Between two
    files may lie a gap whose events are nowhere; ``gaps_us`` lists them.

    The layout has no calibration: a camchain yaml beside it is read, and for indoor_flying the
    published one is known.

    Args:
        path: the folder, such as ``indoor_flying_1``.

    Attributes:
        gaps_us: ``[G, 2]`` int64, first and last microsecond (excluded) of times between the first
            and the last stamp that no file covers.

    Raises:
        RecordingError: a missing, damaged or contradictory file.
    """

    layout = "ddes"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        stamps = _read_stamps(self.path / "timestamps.txt")
        images = self.path / "disparity_image"
        self._images = images if images.is_dir() else None
        self.height, self.width = HEIGHT, WIDTH
        if self._images is not None:
            _check_images(self._images, stamps.size)
            self.height, self.width = read_png(images / "000000.png", wanted=IMAGE).shape
        self._folders = {
            c: EventFolder(_event_folder(self.path, c), stamps, self.width, self.height)
            for c in CAMERAS
        }
        self.span_us = shared_span(self.path, {c: f.ends_us for c, f in self._folders.items()})
        self.total: dict[Camera, int] = {c: f.count for c, f in self._folders.items()}
        self.dropped: dict[Camera, int] = {c: f.dropped for c, f in self._folders.items()}
        self.calibration = _calibration(self.path)
        self.disparity_t_us = stamps if self._images else np.empty(0, np.int64)
        begins = stamps[1:] - FILE_US
        apart = begins - stamps[:-1] > SLACK_US
        self.gaps_us = np.stack([stamps[:-1][apart], begins[apart]], axis=1)

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the events with ``t0_us <= t < t1_us``; empty where there are none."""
        found = self._folders[camera].window(t0_us, t1_us)
        self.dropped[camera] = self._folders[camera].dropped
        return found

    def rectify_map(self, camera: Camera) -> None:
        """Return None: raw pixels are the rectified ones."""
        del camera

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none."""
        if self._images is None or not 0 <= index < self.disparity_t_us.size:
            count = self.disparity_t_us.size
            raise IndexError(f"{self.name} has {count} ground truths, no {index}.")
        path = self._images / f"{index:06d}.png"
        stored = read_png(path, wanted=IMAGE)
        if stored.shape != (self.height, self.width) or stored.dtype != np.uint8:
            raise RecordingError(
                f"{path} holds {stored.dtype} numbers in {stored.shape[0]} rows and "
                f"{stored.shape[1]} columns. Expected {IMAGE}, {self.height} rows and {self.width} "
                "columns as the first image has; convert the sequence again."
            )
        known = stored != INVALID
        return np.where(known, stored.astype(np.float32) / DISPARITY_SCALE, 0).astype(np.float32)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def is_ddes(path: Path) -> bool:
    """Return whether a path looks like this layout; reads names only."""
    names = [name for pair in EVENT_FOLDERS.values() for name in pair]
    return (path / "timestamps.txt").is_file() and any((path / name).is_dir() for name in names)


def _read_stamps(path: Path) -> npt.NDArray[np.int64]:
    """Return ``[K]`` stamps in microseconds."""
    if not path.is_file():
        raise RecordingError(
            f"There is no {path}. Give the folder of one sequence in the layout of DDES, with "
            "timestamps.txt, event0, event1 and disparity_image."
        )
    try:
        lines = (line.split("#")[0] for line in path.read_text(encoding="utf-8").splitlines())
        seconds = np.array([float(line) for line in lines if line.strip()], np.float64)
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{path} cannot be read ({' '.join(str(error).split())}). Expected one time in seconds "
            "per line."
        ) from error
    if seconds.size == 0 or not (np.abs(seconds) <= LATEST_S).all():
        raise RecordingError(
            f"{path} holds {'no times' if seconds.size == 0 else 'NaN or no times in seconds'}. "
            "Expected one time in seconds per line; convert the sequence again."
        )
    stamps = np.rint(seconds * 1e6).astype(np.int64)
    if (np.diff(stamps) <= 0).any():
        raise RecordingError(
            f"The times in {path} do not increase. Expected one per ground truth, sorted; convert "
            "the sequence again."
        )
    return stamps


def _event_folder(root: Path, camera: Camera) -> Path:
    for name in EVENT_FOLDERS[camera]:
        if (root / name).is_dir():
            return root / name
    written, documented = EVENT_FOLDERS[camera]
    raise RecordingError(
        f"{root} has no events of the {camera} camera: there is neither {written} nor "
        f"{documented}. Stereo needs both cameras."
    )


def _check_images(folder: Path, count: int) -> None:
    present = {path.name for path in folder.iterdir()}
    missing = [k for k in range(count) if f"{k:06d}.png" not in present]
    if missing:
        raise RecordingError(
            f"{folder} lacks {len(missing)} of {count} images, the first of which is "
            f"{missing[0]:06d}.png. Expected one for each line of timestamps.txt; convert the "
            "sequence again, or remove the folder to work without ground truth."
        )


def _calibration(root: Path) -> Calibration | None:
    """Return the calibration beside the sequence, or the published one of indoor_flying."""
    scene = scene_of(root.resolve().name)
    chain = find_chain(root / "timestamps.txt", scene)
    if chain is not None:
        return read_camchain(chain).calibration
    return INDOOR_FLYING if scene == "indoor_flying" else None
