"""Grey PNG images, checked before they are decoded.

OpenCV takes memory for what a damaged header or part claims (measured: 4 GB and 10 s for a file of
400 bytes), and decodes some damage to wrong numbers. Every part of a PNG carries a checksum.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MOST_PIXELS = 1 << 24
"""A larger image is none of an event camera."""

COLORS = {
    0: "grey",
    2: "color",
    3: "color (palette)",
    4: "grey and transparency",
    6: "color and transparency",
}
"""Color types of the PNG specification (section 11.2.2)."""


def read_png(path: Path, *, wanted: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Return the numbers of a grey PNG with 8 or 16 bits, ``[H, W]``.

    Args:
        path: the file.
        wanted: what was expected there, in words, for the error.

    Raises:
        RecordingError: no such file, no grey PNG, or a damaged one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error}). Expected {wanted}.") from error
    return decode_png(data, source=path, wanted=wanted)


def decode_png(
    data: bytes, *, source: str | Path, wanted: str
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Return the numbers of a grey PNG with 8 or 16 bits that was read already, ``[H, W]``.

    Args:
        data: the content of the file.
        source: what it is called in errors.
        wanted: what was expected there, in words, for the error.

    Raises:
        RecordingError: no grey PNG, or a damaged one.
    """
    fault = png_fault(data)
    stored: Any = None
    if fault is None:
        try:
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            fault = " ".join(str(error).split())
    if stored is None or stored.ndim != 2 or stored.dtype not in (np.uint8, np.uint16):
        raise RecordingError(
            f"{source} holds {fault or 'an image that cannot be decoded'}. Expected {wanted}; copy "
            "or make the file again."
        )
    decoded: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = stored
    return decoded


def png_fault(data: bytes) -> str | None:
    """Return what keeps a file from being a whole grey PNG, None if nothing does.

    A PNG is a signature and parts of: length, type, content, CRC-32 of type and content (PNG
    specification, W3C, section 5). The first part has width, height, bit depth and color type (0 =
    grey); the last one is IEND.
    """
    if not data.startswith(SIGNATURE):
        return "no PNG image" if data else "nothing (0 bytes)"
    place, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if place + 12 > len(data):
            return "a PNG image that was cut off"
        (length,) = struct.unpack_from(">I", data, place)
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(data):
            return "a PNG image that was cut off"
        if zlib.crc32(data[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return "a damaged PNG image"
        if place == len(SIGNATURE):
            fault = _header_fault(kind, data[place + 8 : end])
            if fault is not None:
                return fault
        place = end + 4
    return None


def _header_fault(kind: bytes, content: bytes) -> str | None:
    """Return what is wrong with the first part."""
    if kind != b"IHDR" or len(content) != 13:
        return "a PNG image without header"
    columns, rows, depth, color = struct.unpack_from(">IIBB", content)
    if not 0 < columns * rows <= MOST_PIXELS:
        return f"a PNG image of {rows} rows and {columns} columns"
    if color != 0 or depth not in (8, 16):
        article = "an" if depth == 8 else "a"
        return f"{article} {depth}-bit {COLORS.get(color, 'color')} PNG image"
    return None
