"""Ground truth of a DSEC sequence: its stamps, its images, and one image decoded.

An image is decoded only if its header, its length and the checksums of its parts are right: PNG
decoders give what they have of a damaged file, and that would be taken for disparity.
"""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from data.dsec.layout import SequencePaths
from data.dsec.stamps import read_stamps
from data.errors import RecordingError

DISPARITY_SCALE = 256
"""Stored number per pixel of disparity; a stored 0 means no ground truth."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error}); unpack it again.") from error
    fault = _png_fault(data, height, width)
    stored = None
    if fault is None:
        try:
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            fault = " ".join(str(error).split())
    if stored is None or stored.dtype != np.uint16 or stored.shape != (height, width):
        raise RecordingError(
            f"{path} holds {fault or 'no image that can be decoded'}. Expected a 16-bit PNG of "
            f"{height} rows and {width} columns, disparity times {DISPARITY_SCALE}; copy or "
            "download the file again."
        )
    return stored.astype(np.float32) / np.float32(DISPARITY_SCALE)


def _png_fault(data: bytes, height: int, width: int) -> str | None:
    """Return what is wrong with a PNG file, None if nothing is.

    A file is the signature and parts of: length, type, content, CRC-32 of type and content (PNG
    specification, W3C, section 5). The first part has width, height, bit depth and color type (0 =
    grey); the last one is IEND.
    """
    if not data.startswith(PNG_SIGNATURE):
        return "no PNG" if data else "no image, 0 bytes"
    place, first, kind = len(PNG_SIGNATURE), True, b""
    while place + 12 <= len(data) and kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        end = place + 8 + length
        if end + 4 > len(data):
            return "a PNG that was cut off"
        if zlib.crc32(data[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return "a PNG with damaged parts"
        if first:
            if kind != b"IHDR" or length != 13:
                return "a PNG without header"
            columns, rows, depth, color = struct.unpack_from(">IIBB", data, place + 8)
            if (rows, columns, depth, color) != (height, width, 16, 0):
                grey = "grey" if color == 0 else "color"
                return f"{depth}-bit {grey} PNG of {rows} rows and {columns} columns"
        place, first = end + 4, False
    return None if kind == b"IEND" else "a PNG that was cut off"
