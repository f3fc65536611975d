"""The files beside the events of a DSEC sequence: rectify maps, and the list of ground truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the Blosc filter with h5py)
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError
from data.recording import CAMERAS, Camera

DISPARITY_SCALE = 256
"""Stored number per pixel of disparity; a stored 0 means no ground truth."""


def sensor_size(root: Path) -> tuple[int, int]:
    """Return rows and columns of the sensors, which are those of the rectify maps.

    Args:
        root: folder of the sequence.

    Raises:
        RecordingError: a map that is missing or damaged, or two of different sizes.
    """
    shapes: dict[Camera, tuple[int, int]] = {}
    for camera in CAMERAS:
        with _map(root, camera) as dataset:
            shapes[camera] = dataset.shape[0], dataset.shape[1]
    if shapes["left"] != shapes["right"]:
        raise RecordingError(
            f"The rectify maps in {root / 'events'} have different sizes: {shapes}. Expected two "
            "cameras of one model; check that both files belong to this sequence."
        )
    return shapes["left"]


def read_map(root: Path, camera: Camera) -> npt.NDArray[np.float32]:
    """Return ``[H, W, 2]`` float32: ``map[y, x]`` is the rectified ``(x, y)`` of a raw pixel.

    Raises:
        RecordingError: a map that is missing, damaged, or holds NaN or infinity.
    """
    with _map(root, camera) as dataset:
        values = np.asarray(dataset[()], np.float32)
        if not np.isfinite(values).all():
            raise RecordingError(
                f"The rectify map of the {camera} camera in {root} holds NaN or infinity. Expected "
                "a pixel of the rectified view for every raw pixel; copy the file again."
            )
    return values


def list_ground_truth(folder: Path) -> tuple[npt.NDArray[np.int64], list[Path]]:
    """Return the stamps of the ground truth ``[K]`` in microseconds, and its K images.

    Args:
        folder: ``disparity`` of the sequence; without it (test sequences) there is no ground truth.

    Raises:
        RecordingError: stamps that are missing, no whole numbers or unsorted, or another number of
            images than of stamps.
    """
    if not folder.is_dir():
        return np.empty(0, np.int64), []
    path = folder / "timestamps.txt"
    if not path.is_file():
        raise RecordingError(
            f"There is no {path}, so nobody knows when the disparity images were true. Unpack it "
            "from the data set, or remove the disparity folder to work without ground truth."
        )
    try:
        stamps = np.array([int(word) for word in path.read_text().split()], np.int64)
    except (ValueError, OverflowError) as error:
        raise RecordingError(
            f"{path} cannot be read ({error}). Expected one whole number of microseconds per line."
        ) from error
    if (np.diff(stamps) <= 0).any():
        raise RecordingError(
            f"The stamps in {path} do not increase. Expected one per image, sorted."
        )
    # By digits: archives made on some systems hold hidden twins of every file ("._000000.png").
    images = sorted((folder / "event").glob("[0-9]*.png"))
    if len(images) != stamps.size:
        raise RecordingError(
            f"{folder} has {len(images)} images in event/ but {stamps.size} lines in "
            "timestamps.txt. Expected line k to be the time of the k-th image; unpack both again."
        )
    return stamps, images


@contextmanager
def _map(root: Path, camera: Camera) -> Iterator[h5py.Dataset]:
    """Give the dataset of a camera's rectify map, its shape checked, its values not yet read."""
    path = root / "events" / camera / "rectify_map.h5"
    if not path.is_file():
        raise RecordingError(
            f"There is no {path}. Without it raw pixels cannot be brought to the rectified view; "
            "unpack it from the same archive as events.h5."
        )
    try:
        with h5py.File(path, "r") as file:
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
    except (OSError, RuntimeError) as error:
        raise RecordingError(
            f"{path} cannot be read as HDF5 ({error}). The file is empty, truncated or damaged; "
            "copy or download it again."
        ) from error
