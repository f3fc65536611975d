"""Reader of one MVSEC sequence in the data set's own HDF5 files: no ROS, no conversion."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.camera import Calibration
from data.errors import RecordingError
from data.events import Events
from data.mvsec.calibration import CamChain, read_camchain, read_maps
from data.mvsec.constants import FOCAL_TIMES_BASELINE, HEIGHT, PUBLISHED_DIGITS, WIDTH
from data.mvsec.depth import DepthFile, depth_to_disparity
from data.mvsec.events import EventTable
from data.mvsec.files import LISTED, SequenceFiles, locate
from data.mvsec.hdf5 import Hdf5File, find_dataset
from data.recording import CAMERAS, Camera, Recording, shared_span


class MvsecRecording(Recording):
    """One MVSEC sequence, read window by window; times are unix microseconds.

    ``<scene>N_gt.hdf5`` and the calibration of the scene are found beside the data, in a folder
    ``<scene>_calib`` there, or one folder up. What is missing is done without: no ground truth, or
    no calibration (then ``rectify`` only changes the type). Both cameras' events are needed;
    pictures, IMU and LiDAR are not.

    Disparity is ``f B / depth`` with the published ``f B`` of the scene, which the yaml must agree
    with; for other scenes the yaml's is taken. Raw pixels are rectified by the published maps, or
    by those that follow from the yaml where there are none.

    Args:
        path: ``<scene>N_data.hdf5``, a folder that holds exactly one, or ``folder/<scene>N``.

    Raises:
        RecordingError: a missing, damaged or contradictory file.
    """

    layout = "mvsec"

    def __init__(self, path: str | Path) -> None:
        self.files = locate(Path(path))
        self.path = self.files.data
        self.name = self.files.name
        self._data = Hdf5File(self.path)
        self._truth: DepthFile | None = None
        try:
            self._open()
        except BaseException:
            self.close()  # nobody is left holding a file that was refused
            raise

    def _open(self) -> None:
        _check_cameras(self._data)
        self._chain = None if self.files.chain is None else read_camchain(self.files.chain)
        if self.files.truth is not None:
            self._truth = DepthFile(self.files.truth)
        self._maps: dict[Camera, npt.NDArray[np.float32] | None] = {}
        self.height, self.width = _sensor(self.files, self._chain, self._truth)
        self._tables = {c: EventTable(self._data, c, self.width, self.height) for c in CAMERAS}
        self.span_us = shared_span(self.path, {c: t.ends_us for c, t in self._tables.items()})
        self.total: dict[Camera, int] = {c: t.count for c, t in self._tables.items()}
        self.dropped: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        fb = _focal_times_baseline(self.files, self._chain)
        self.calibration = _calibration(self._chain, fb)
        if self._truth is not None and fb is None:
            raise RecordingError(
                f"{self.files.truth} holds depth, but nobody knows f B of the scene "
                f"{self.files.scene!r}, without which depth is no disparity. Put "
                f"camchain-imucam-{self.files.scene}.yaml beside it, or remove the ground truth to "
                "work without."
            )
        self._fb = fb or 0.0
        self.disparity_t_us = np.empty(0, np.int64) if self._truth is None else self._truth.t_us

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        found = self._tables[camera].window(t0_us, t1_us)
        self.dropped[camera] = self._tables[camera].dropped
        return found

    def last_events(self, camera: Camera, t_us: int, count: int) -> Events:
        """Return the last ``count`` raw events before ``t_us``, none earlier than ``span_us[0]``.

        Reads the rows before ``t_us`` and no others.
        """
        found = self._tables[camera].last(t_us, count, self.span_us[0])
        self.dropped[camera] = self._tables[camera].dropped
        return found

    def rectify_map(self, camera: Camera) -> npt.NDArray[np.float32] | None:
        """Return the forward map ``[H, W, 2]`` of a camera, made once; do not change it.

        None without calibration, and then raw is all there is.
        """
        if camera not in self._maps:
            self._maps[camera] = self._make_map(camera)
        return self._maps[camera]

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Return ground truth ``index``, ``[H, W]`` pixels of the left rectified view, 0 = none."""
        return depth_to_disparity(self.depth_m(index), self._fb)

    def depth_m(self, index: int) -> npt.NDArray[np.float32]:
        """Return depth image ``index`` as stored, ``[H, W]`` meters, NaN = none."""
        if self._truth is None or not 0 <= index < self.disparity_t_us.size:
            count = self.disparity_t_us.size
            raise IndexError(f"{self.name} has {count} ground truths, no {index}.")
        return self._truth.depth(index)

    def close(self) -> None:
        """Release the files; a later read opens them again."""
        self._data.close()
        if self._truth is not None:
            self._truth.close()

    def _make_map(self, camera: Camera) -> npt.NDArray[np.float32] | None:
        if self.files.maps:
            pixels = read_maps(self.files.maps, camera)
        elif self._chain is not None:
            lens = self._chain.lenses[camera]
            pixels = lens.rectify_map(self._chain.calibration, self.width, self.height)
        else:
            return None
        if pixels.shape[:2] != (self.height, self.width) or not np.isfinite(pixels).all():
            raise RecordingError(
                f"The rectification of the {camera} camera of {self.name} is made for "
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels or holds NaN or infinity. Expected "
                f"a rectified pixel for each of {self.width} x {self.height}; check the "
                "calibration of the scene."
            )
        return pixels


def _check_cameras(data: Hdf5File) -> None:
    """Refuse a file without the events of both cameras."""
    with data.reading() as file:
        lacking = [c for c in CAMERAS if find_dataset(file, f"davis/{c}/events") is None]
        held = [str(name) for name in file]
        if find_dataset(file, "events") is not None and "left" in lacking:
            lacking.remove("left")  # single-camera cuts of the data set keep the left one so
    if lacking:
        rest = f" and {len(held) - LISTED} more" if len(held) > LISTED else ""
        raise RecordingError(
            f"{data.path} has no events of the {' and the '.join(lacking)} camera: it holds "
            f"{', '.join(held[:LISTED]) or 'nothing'}{rest}. Expected MVSEC's datasets "
            "davis/left/events and davis/right/events; stereo needs both cameras."
        )


def _sensor(
    files: SequenceFiles, chain: CamChain | None, truth: DepthFile | None
) -> tuple[int, int]:
    """Return rows and columns, from the calibration, the maps, the depth, or the usual sensor."""
    sizes: dict[str, tuple[int, int]] = {}
    if chain is not None:
        sizes[str(files.chain)] = chain.height, chain.width
    elif files.maps:
        rows, columns, _ = read_maps(files.maps, "left").shape
        sizes[str(files.maps["left_x"])] = rows, columns
    if truth is not None:
        sizes[str(files.truth)] = truth.size
    if len(set(sizes.values())) > 1:
        raise RecordingError(
            f"The files of {files.name} disagree on the rows and columns of the sensor: {sizes}. "
            "Check that they belong to one scene."
        )
    return next(iter(sizes.values()), (HEIGHT, WIDTH))


def _focal_times_baseline(files: SequenceFiles, chain: CamChain | None) -> float | None:
    """Return the published constant of the scene, else the yaml's, else None.

    Raises:
        RecordingError: the two differ by more than the constant was rounded.
    """
    published = FOCAL_TIMES_BASELINE.get(files.scene)
    if chain is None or published is None:
        return published if chain is None else chain.calibration.fb
    if abs(chain.calibration.fb - published) > PUBLISHED_DIGITS:
        raise RecordingError(
            f"{files.chain} says f B = {chain.calibration.fb:.6f} px m, but {files.scene} has "
            f"{published}. It is the calibration of another scene; unpack the right one."
        )
    return published


def _calibration(chain: CamChain | None, fb: float | None) -> Calibration | None:
    """Return the yaml's calibration with the baseline that makes ``fb`` exactly what is used."""
    if chain is None or fb is None:
        return None
    c = chain.calibration
    return Calibration(
        focal_px=c.focal_px, cx_px=c.cx_px, cy_px=c.cy_px, baseline_m=fb / c.focal_px
    )
