"""Photographs as textures: any picture becomes a square tile of float log radiance."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from data.errors import RecordingError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
SIZE = 512
"""Rows and columns of a tile made of a picture."""
DARKEST = 0.01
"""Added to the radiance (1 is white) before its logarithm is taken: what a lens scatters."""
MIDDLE = 0.18
"""Radiance of middle gray, which becomes log radiance 0."""

BGR_TO_LUMINANCE = np.array([0.0722, 0.7152, 0.2126], np.float32)


class PictureFolder:
    """The pictures in a folder, in order of their names.

    Args:
        folder: with files named ``*.png`` and so on (``SUFFIXES``), not in folders of it.
        share: (k, n) keeps every n-th picture from the k-th on, so that parts of a data set have
            none in common.

    Raises:
        RecordingError: no such folder, or none in it.
    """

    def __init__(self, folder: Path, share: tuple[int, int] = (0, 1)) -> None:
        if not folder.is_dir():
            raise RecordingError(f"{folder} is no folder; --textures needs a folder of pictures.")
        self.files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
        if not self.files:
            raise RecordingError(
                f"There are no pictures in {folder}; expected files {', '.join(SUFFIXES)}."
            )
        if len(self.files) < share[1]:
            raise RecordingError(
                f"There are only {len(self.files)} pictures in {folder}; {share[1]} parts "
                "that have none in common need at least one each."
            )
        self.files = self.files[share[0] :: share[1]]

    @property
    def digest(self) -> str:
        """A hash of the pictures' names and contents."""
        state = hashlib.sha256()
        for file in self.files:
            state.update(file.name.encode())
            state.update(file.read_bytes())
        return state.hexdigest()[:16]

    def __call__(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        """Return ``[count, SIZE, SIZE]``: pictures drawn without repetition while there are any.

        Raises:
            RecordingError: a picture cannot be read.
        """
        order = rng.permutation(len(self.files))
        return np.stack([load_picture(self.files[order[k % len(order)]]) for k in range(count)])


def load_picture(path: Path) -> npt.NDArray[np.float32]:
    """Return the middle square of a picture as ``[SIZE, SIZE]`` log radiance, middle gray 0.

    Gray values are taken back to linear light (sRGB, IEC 61966-2-1), color to luminance (ITU-R
    BT.709), both in float, so that no step of 8 bits looks like an edge after resizing.

    Raises:
        RecordingError: not a picture that OpenCV can read.
    """
    try:
        coded = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise RecordingError(f"The picture {path} cannot be read: {error}.") from error
    image = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if coded.size else None
    if image is None or image.size == 0:
        raise RecordingError(f"The picture {path} cannot be decoded; replace or remove it.")
    if np.issubdtype(image.dtype, np.floating):
        light = np.nan_to_num(image, posinf=1.0).clip(0.0, 1.0).astype(np.float32)
    else:
        coded_light = image.astype(np.float32) / (255.0 if image.dtype == np.uint8 else 65535.0)
        bent = ((coded_light + 0.055) / 1.055) ** 2.4
        light = np.where(coded_light <= 0.04045, coded_light / 12.92, bent).astype(np.float32)
    if light.ndim == 3:
        light = light[..., :3] @ BGR_TO_LUMINANCE if light.shape[2] >= 3 else light[..., 0]
    side = min(light.shape)
    top, left = ((n - side) // 2 for n in light.shape)
    square = light[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > SIZE else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(square), (SIZE, SIZE), interpolation=method)
    return np.asarray(np.log((resized + DARKEST) / MIDDLE), np.float32)
