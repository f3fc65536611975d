"""Atomic writes: a reader, or the next run after a kill, sees the old file or the new one.

Everything is written to a temporary file in the same folder, forced to the disk and renamed.
Considered and rejected: forcing the folder to the disk as well. After a power cut the old file may
then come back, but it comes back whole.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

Image = UInt8[np.ndarray, "H W *channels"] | UInt16[np.ndarray, "H W"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it replaces ``path``, else it goes.

    The temporary name keeps the suffix, since encoders choose the format by it.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, document: object) -> None:
    """Write a JSON document atomically.

    Raises:
        ValueError: the document holds NaN or infinity, which JSON does not have.
    """
    text = json.dumps(document, indent=1, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_png(path: Path, image: Image) -> None:
    """Write an image as PNG atomically.

    Args:
        path: where to.
        image: ``[H, W]`` or RGB ``[H, W, 3]``, uint8 or (one channel) uint16.
    """
    pixels = image if image.ndim == 2 else image[..., ::-1]  # OpenCV wants BGR
    done, encoded = cv2.imencode(".png", pixels)
    if not done:
        raise RuntimeError(f"OpenCV could not encode {image.shape} {image.dtype} as PNG.")
    write_bytes(path, encoded.tobytes())
