"""Small drawing tools for the pictures: text that fits, color bars, panels of whole-number scale.

They change the RGB picture ``[rows, columns, 3]`` that they are given; coordinates are pixels.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from stereo.color import INK, Color, MapName, color_table

Picture = UInt8[np.ndarray, "_ _ 3"]

TEXT_HEIGHT = 14
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SIZE = 0.5
_TICKS = 5
_BAR_WIDTH = 16


def text_width(words: str) -> int:
    """Return how many columns ``words`` take."""
    (width, _), _ = cv2.getTextSize(words, _FONT, _SIZE, 1)
    return int(width)


def put_text(picture: Picture, words: str, x: int, y: int, color: Color = INK) -> int:
    """Write ``words`` with their baseline's left end at ``(x, y)``; return the column behind them.

    The font holds ASCII only; other characters become question marks.
    """
    plain = words.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, (x, y), _FONT, _SIZE, color, 1, cv2.LINE_AA)
    return x + text_width(plain)


def shorten(words: str, width: int) -> str:
    """Return ``words``, cut at the end and marked with dots where wider than ``width`` columns."""
    if text_width(words) <= width:
        return words
    while words and text_width(words + "...") > width:
        words = words[:-1]
    return words.rstrip() + "..."


def enlarge(picture: Picture, scale: int) -> Picture:
    """Return the picture with every pixel repeated ``scale`` times both ways."""
    return picture if scale == 1 else picture.repeat(scale, axis=0).repeat(scale, axis=1)


def color_bar(
    picture: Picture, x: int, y: int, height: int, *, name: MapName, labels: Sequence[str]
) -> None:
    """Draw an upright color bar, lowest value at the bottom, with evenly spaced labels.

    Args:
        picture: where to draw.
        x: left column of the bar.
        y: top row of the bar.
        height: rows of the bar.
        name: color map.
        labels: texts to the right of the bar, lowest value first; at least two.
    """
    ramp = color_table(name)[np.linspace(255, 0, height).round().astype(np.intp)]
    picture[y : y + height, x : x + _BAR_WIDTH] = ramp[:, None]
    for index, label in enumerate(labels):
        row = y + round((height - 1) * (1 - index / (len(labels) - 1)))
        picture[row, x + _BAR_WIDTH : x + _BAR_WIDTH + 5] = INK
        # The outermost labels stay between the ends of the bar.
        baseline = min(max(row + TEXT_HEIGHT // 3, y + TEXT_HEIGHT - 3), y + height - 1)
        put_text(picture, label, x + _BAR_WIDTH + 9, baseline)


def tick_values(top: float) -> list[float]:
    """Return the values at the labels of a bar from 0 to ``top``."""
    return [top * index / (_TICKS - 1) for index in range(_TICKS)]
