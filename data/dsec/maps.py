"""Rectify maps of a DSEC sequence: read from ``rectify_map.h5``, or made from the calibration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from data.dsec.calibration import RawView, read_views
from data.dsec.hdf5 import check_written, open_hdf5, readable
from data.dsec.layout import SequencePaths
from data.errors import RecordingError
from data.recording import CAMERAS, Camera

LARGEST_SIDE = 4096
"""Rows or columns of a sensor; event cameras have up to 1280."""


@dataclass(frozen=True, kw_only=True)
class RectifyMaps:
    """Where the rectify maps of both cameras come from.

    Attributes:
        width: columns of the sensors.
        height: rows.
        sources: the file that each map is read or made from: ``rectify_map.h5``, or
            ``cam_to_cam.yaml`` where the former is missing.
        views: the lens of each camera whose map has to be made.
    """

    width: int
    height: int
    sources: Mapping[Camera, Path]
    views: Mapping[Camera, RawView]

    def read(self, camera: Camera) -> npt.NDArray[np.float32]:
        """Return ``[H, W, 2]`` float32: ``map[y, x]`` is the rectified ``(x, y)`` of a raw pixel.

        Raises:
            RecordingError: a map that is damaged, or holds NaN or infinity.
        """
        path = self.sources[camera]
        if camera in self.views:
            values = self.views[camera].rectify_map()
        else:
            with _dataset(path) as dataset:
                check_written(path, dataset)
                with np.errstate(over="ignore", invalid="ignore"):
                    values = np.asarray(dataset[()], np.float32)
        if not np.isfinite(values).all():
            raise RecordingError(
                f"The rectify map of the {camera} camera in {path} holds NaN or infinity. Expected "
                "a pixel of the rectified view for every raw pixel; copy the file again."
            )
        return values


def find_maps(paths: SequencePaths) -> RectifyMaps:
    """Return the maps of a sequence; their sizes are those of the sensors.

    Raises:
        RecordingError: a map that is missing with nothing to make it from, one that is damaged, or
            two of different sizes.
    """
    sizes: dict[Camera, tuple[int, int]] = {}
    sources: dict[Camera, Path] = {}
    views: dict[Camera, RawView] = {}
    made: dict[Camera, RawView] = {}
    for camera in CAMERAS:
        if paths.maps[camera].is_file():
            sources[camera] = paths.maps[camera]
            with _dataset(paths.maps[camera]) as dataset:
                sizes[camera] = dataset.shape[0], dataset.shape[1]
        elif paths.calibration is not None:
            sources[camera] = paths.calibration
            made = made or read_views(paths.calibration)
            views[camera] = made[camera]
            sizes[camera] = views[camera].height, views[camera].width
        else:
            raise RecordingError(
                f"There is no {paths.maps[camera]}, and no cam_to_cam.yaml to make it from. "
                "Without it raw pixels cannot be brought to the rectified view; unpack it from the "
                "same archive as events.h5."
            )
    if sizes["left"] != sizes["right"]:
        raise RecordingError(
            f"The rectify maps of {paths.folder} have different sizes: {sizes}. Expected two "
            "cameras of one model; check that all files belong to this sequence."
        )
    height, width = sizes["left"]
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise RecordingError(
            f"The rectify maps of {paths.folder} are for sensors of {width} x {height} pixels. "
            f"Expected 1 to {LARGEST_SIDE} a side; the files are damaged."
        )
    return RectifyMaps(width=width, height=height, sources=sources, views=views)


@contextmanager
def _dataset(path: Path) -> Iterator[h5py.Dataset]:
    """Give the dataset of a rectify map, its shape checked, its values not yet read."""
    with readable(path), open_hdf5(path) as file:
        dataset = file.get("rectify_map")
        if not isinstance(dataset, h5py.Dataset) or not (
            dataset.ndim == 3 and dataset.shape[2] == 2 and dataset.dtype.kind == "f"
        ):
            given = list(file) if dataset is None else dataset
            raise RecordingError(
                f"{path} holds {given}. Expected a dataset 'rectify_map' of floats, "
                "rows x columns x 2."
            )
        yield dataset
