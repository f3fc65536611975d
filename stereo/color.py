"""Colors of the pictures: maps from numbers to RGB, and the few fixed colors around them.

No map holds the gray that marks a pixel without a value.
"""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

Color = tuple[int, int, int]
MapName = Literal["turbo", "viridis", "magma"]

CANVAS: Color = (24, 26, 30)
INK: Color = (235, 235, 235)
FAINT: Color = (150, 152, 158)
PAPER: Color = (250, 250, 250)
ON: Color = (0, 92, 190)
OFF: Color = (226, 96, 0)
NO_VALUE: Color = (120, 120, 120)
ABSENT: Color = (46, 48, 54)

_OPENCV_MAPS = {
    "turbo": cv2.COLORMAP_TURBO,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "magma": cv2.COLORMAP_MAGMA,
}


def color_table(name: MapName) -> UInt8[np.ndarray, "256 3"]:
    """Return the 256 RGB colors of a map, lowest value first."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    blue_green_red = cv2.applyColorMap(ramp, _OPENCV_MAPS[name])
    return np.ascontiguousarray(blue_green_red[:, 0, ::-1], np.uint8)


def colorize(
    values: Float32[np.ndarray, "H W"],
    valid: Bool[np.ndarray, "H W"],
    *,
    top: float,
    name: MapName,
) -> UInt8[np.ndarray, "H W 3"]:
    """Color numbers from 0 to ``top``; beyond these the color of the nearer end is used.

    Args:
        values: ``[H, W]``, any unit.
        valid: where there is a value; gray elsewhere.
        top: value of the last color, in the unit of ``values``, positive.
        name: color map.

    Returns:
        ``[H, W, 3]`` uint8 RGB.
    """
    scaled = np.where(valid, values, np.float32(0)) * np.float32(255 / top)
    levels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    picture = color_table(name).take(levels, axis=0)
    picture[~valid] = NO_VALUE
    return picture
