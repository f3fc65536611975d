"""Ground truth of a DSEC sequence: its stamps, its images, and one image decoded."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.dsec.layout import SequencePaths
from data.dsec.stamps import read_stamps
from data.errors import RecordingError
from data.png import read_png

DISPARITY_SCALE = 256
"""Stored number per pixel of disparity; a stored 0 means no ground truth."""


def list_ground_truth(paths: SequencePaths) -> tuple[npt.NDArray[np.int64], list[Path]]:
    """Return the stamps of the ground truth ``[K]`` in microseconds, and its K images.

    Line k of the stamps belongs to the k-th image; images are named by the frame they belong to
    (000000, 000002, ...). Without either (test sequences) there is no ground truth.

    Raises:
        RecordingError: stamps or images that are missing, stamps that are no whole numbers or
            unsorted, or another number of images than of stamps.
    """
    folder, path = paths.disparity, paths.disparity_timestamps
    if path is None:
        if folder is None:
            return np.empty(0, np.int64), []
        raise RecordingError(
            f"There is no {folder.parent / 'timestamps.txt'}, so nobody knows when the disparity "
            f"images in {folder} were true. Unpack it from the data set, or remove that folder to "
            "work without ground truth."
        )
    stamps = read_stamps(path)
    images: dict[int, Path] = {}
    # By digits: archives made on some systems hold hidden twins of every file ("._000000.png").
    for image in sorted(folder.glob("*.png")) if folder is not None else []:
        if image.stem.isascii() and image.stem.isdecimal():
            if int(image.stem) in images:
                raise RecordingError(f"{folder} holds {image.name} twice; unpack it again.")
            images[int(image.stem)] = image
    if len(images) != stamps.size:
        where = folder if folder is not None else "a folder disparity/event that is missing"
        raise RecordingError(
            f"There are {len(images)} images in {where} but {stamps.size} lines in {path}. "
            "Expected line k to be the time of the k-th image; unpack both again."
        )
    return stamps, [images[frame] for frame in sorted(images)]


def read_disparity(path: Path, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return one disparity image, ``[H, W]`` pixels, 0 = none.

    Raises:
        RecordingError: no 16-bit grey PNG of this size, or one that is damaged.
    """
    wanted = f"a 16-bit PNG of {height} rows and {width} columns, disparity times {DISPARITY_SCALE}"
    stored = read_png(path, wanted=wanted)
    if stored.dtype != np.uint16 or stored.shape != (height, width):
        rows, columns = stored.shape
        raise RecordingError(
            f"{path} holds {8 * stored.itemsize}-bit grey of {rows} rows and {columns} columns. "
            f"Expected {wanted}; copy or download the file again."
        )
    return stored.astype(np.float32) / np.float32(DISPARITY_SCALE)
