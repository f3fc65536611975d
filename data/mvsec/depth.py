"""Ground truth of MVSEC: depth images of the left rectified view, turned into disparity."""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.mvsec.events import LATEST_S
from data.mvsec.hdf5 import Hdf5File, check_complete, find_dataset

IMAGES = "davis/left/depth_image_rect"
STAMPS = f"{IMAGES}_ts"


def depth_to_disparity(
    depth_m: npt.NDArray[np.floating], fb_px_m: float
) -> npt.NDArray[np.float32]:
    """Return ``f b / depth`` in pixels, 0 where there is no depth (NaN, infinite, 0 or negative).

    Args:
        depth_m: meters along the axis of the left rectified view, any shape.
        fb_px_m: focal length times baseline.
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    disparity = np.zeros(depth_m.shape, np.float64)
    with np.errstate(over="ignore"):
        np.divide(fb_px_m, depth_m, out=disparity, where=known)
    # Damaged depth (below 1e-37 m) would not fit float32: unknown too.
    disparity[disparity > np.finfo(np.float32).max] = 0.0
    return disparity.astype(np.float32)


class DepthFile:
    """The ``<scene>N_gt.hdf5`` of a sequence.

    Args:
        path: the file.

    Attributes:
        t_us: ``[K]`` int64 stamps.
        size: rows and columns of the images.

    Raises:
        RecordingError: no depth images, or stamps that do not fit them.
    """

    def __init__(self, path: Path) -> None:
        self._file = Hdf5File(path)
        with self._file.reading() as file:
            images, stamps = self._images(file), find_dataset(file, STAMPS)
            if stamps is None or stamps.shape != images.shape[:1] or stamps.dtype.kind != "f":
                given = "nothing" if stamps is None else f"{stamps.dtype} {stamps.shape}"
                raise RecordingError(
                    f"{path} holds {given} as {STAMPS}. Expected one float64 time in seconds for "
                    f"each of the {images.shape[0]} depth images; copy or download it again."
                )
            check_complete(path, images)
            check_complete(path, stamps)
            self.t_us = _stamps_us(path, np.asarray(stamps[()], np.float64))
            self.size = int(images.shape[1]), int(images.shape[2])

    def depth(self, index: int) -> npt.NDArray[np.float32]:
        """Return depth image ``index`` ``[H, W]`` in meters as stored, NaN = none."""
        return np.asarray(self._file.rows(IMAGES, index, index + 1)[0], np.float32)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._file.close()

    def _images(self, file: h5py.File) -> h5py.Dataset:
        images = find_dataset(file, IMAGES)
        if images is None or images.ndim != 3 or images.dtype.kind != "f":
            given = "nothing" if images is None else f"{images.dtype} {images.shape}"
            raise RecordingError(
                f"{self._file.path} holds {given} as {IMAGES}. Expected K x rows x columns floats, "
                "depth in meters; copy or download the file again, or remove it to work without "
                "ground truth."
            )
        return images


def _stamps_us(path: Path, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the stamps in whole microseconds, checked."""
    if not (np.isfinite(seconds).all() and (np.abs(seconds) <= LATEST_S).all()):
        raise RecordingError(
            f"{STAMPS} in {path} holds NaN or numbers beyond any clock of seconds. Copy or "
            "download the file again, or remove it to work without ground truth."
        )
    t_us = np.rint(seconds * 1e6).astype(np.int64)
    if (np.diff(t_us) < 0).any():
        raise RecordingError(
            f"{STAMPS} in {path} decreases. Expected the depth images in order of time; copy or "
            "download the file again."
        )
    return t_us
