"""What ``--input`` says: shapes to fill with random numbers, or a file."""

import re
from pathlib import Path

from stereo.errors import StereoError

Shape = tuple[int, ...]
SHAPES = re.compile(r"\d+(x\d+)*(,\d+(x\d+)*)*")
MOST_ELEMENTS = 2**31
"""More than this in one input is taken for a mistake: it would take 8 GiB."""


def parse_input(text: str) -> tuple[Shape, ...] | Path:
    """Return shapes such as ``4x1x2x96x128`` or ``1x3x64x64,1x10``, or else a path.

    Raises:
        StereoError: a shape with an empty axis, or far too large.
    """
    compact = text.replace(" ", "").lower()
    if not SHAPES.fullmatch(compact):
        return Path(text).expanduser()
    shapes = tuple(tuple(int(n) for n in part.split("x")) for part in compact.split(","))
    for shape in shapes:
        elements = 1
        for length in shape:
            elements *= length
        if not 0 < elements <= MOST_ELEMENTS:
            raise StereoError(
                f"An input of shape {describe(shape)} has {elements:,} elements; every axis needs "
                f"at least 1 and the whole at most {MOST_ELEMENTS:,}."
            )
    return shapes


def describe(shape: tuple[int, ...]) -> str:
    """Return a shape as ``--input`` takes it."""
    return "x".join(str(length) for length in shape)
