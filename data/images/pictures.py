"""Decoding of image files and cutting squares out of them, by OpenCV."""

import math

import numpy as np
from jaxtyping import UInt8

JPEG = b"\xff\xd8"
JPEG_SCAN = b"\xff\xda"
JPEG_END = b"\xff\xd9"
PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND"

TRIES = 10
"""Random rectangles before the middle of the image is taken."""

ASPECTS = (3 / 4, 4 / 3)
"""Width over height of a random rectangle."""


def decode_picture(content: bytes) -> UInt8[np.ndarray, "H W 3"] | None:
    """Return the picture in a file: red, green, blue; gray ones get three equal channels.

    Args:
        content: of the file, in any format that OpenCV knows; its name does not matter.

    Returns:
        None if it cannot be decoded, or is a JPEG or PNG that ends early: not every release of
        OpenCV refuses those, some leave the rest of the picture gray.
    """
    import cv2

    if not content or _ends_early(content):
        return None
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # Larger than it allows, or no image at all.
        return None
    if picture is None:
        return None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def center_square(
    picture: UInt8[np.ndarray, "H W 3"], size: int, short_side: int
) -> UInt8[np.ndarray, "3 S S"]:
    """Return the middle of a picture.

    Args:
        picture: of any size.
        size: rows and columns of the result.
        short_side: pixels that the shorter side of the whole picture gets first.
    """
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    resized = _resized(picture, max(size, round(height * scale)), max(size, round(width * scale)))
    top, left = ((side - size) // 2 for side in resized.shape[:2])
    return _channels_first(resized[top : top + size, left : left + size])


def random_square(
    picture: UInt8[np.ndarray, "H W 3"],
    size: int,
    area: tuple[float, float],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "3 S S"]:
    """Return a random rectangle of a picture, resized to a square.

    Args:
        picture: of any size.
        size: rows and columns of the result.
        area: least and largest share of the picture that the rectangle covers.
        rng: the only source of chance.

    Reference:
        C. Szegedy et al., Going deeper with convolutions, CVPR 2015, section 6: area uniform,
        aspect between 3/4 and 4/3 (here uniform in its logarithm, as is usual).
    """
    height, width = picture.shape[:2]
    top, left, rows, columns = random_rectangle(height, width, area, rng)
    part = picture[top : top + rows, left : left + columns]
    return _channels_first(_resized(part, size, size))


def random_rectangle(
    height: int, width: int, area: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return top, left, rows and columns of a random rectangle; see ``random_square``.

    If none of a few tries fits into a long picture, it is the largest one in the middle.
    """
    narrowest, widest = (math.log(aspect) for aspect in ASPECTS)
    for _ in range(TRIES):
        pixels = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(narrowest, widest))
        rows, columns = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            return int(top), int(left), rows, columns
    rows = min(height, max(1, round(width / ASPECTS[0])))
    columns = min(width, max(1, round(height * ASPECTS[1])))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _ends_early(content: bytes) -> bool:
    """Return whether a JPEG or PNG lacks its end."""
    if content.startswith(JPEG):
        # In the pixels of a JPEG no such pair of bytes occurs; a thumbnail lies before the scan.
        return content.rfind(JPEG_END) <= content.rfind(JPEG_SCAN)
    return content.startswith(PNG) and PNG_END not in content[-64:]


def _resized(
    picture: UInt8[np.ndarray, "H W 3"], height: int, width: int
) -> UInt8[np.ndarray, "H2 W2 3"]:
    """Return a picture in another size; pixels are averaged where it shrinks."""
    import cv2

    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method))


def _channels_first(picture: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "3 S S"]:
    return np.ascontiguousarray(picture.transpose(2, 0, 1))
