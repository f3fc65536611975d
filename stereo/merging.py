"""Pixels of a sensor taken as one, for sensors larger than those that a network learned from.

A block of ``n x n`` pixels becomes one pixel that has the events of all, so disparities shrink to
an ``n``-th and thin events become denser; the estimate is brought back to the size and the pixels
of the sensor. Blocks begin at the upper left corner; those at the other borders may be cut off.
"""

import numpy as np
from jaxtyping import Float32, UInt16

from data.events import Events
from stereo.errors import StereoError

LEAST_BLOCKS = 8
"""Along each side of an image whose pixels are merged: fewer hold no picture to match."""

Axis = Float32[np.ndarray, "N"]


def refuse_few_blocks(merge: int, height: int, width: int) -> None:
    """Refuse to merge so many pixels that next to nothing is left of the image.

    Raises:
        StereoError: fewer than ``LEAST_BLOCKS`` blocks along a side.
    """
    rows, columns = merged_size(height, merge), merged_size(width, merge)
    if merge > 1 and min(rows, columns) < LEAST_BLOCKS:
        largest = max(1, (min(height, width) - 1) // (LEAST_BLOCKS - 1))
        raise StereoError(
            f"Merging {merge} x {merge} pixels leaves {columns} x {rows} of {width} x {height}; "
            f"take at most {largest} here."
        )


def merged_size(pixels: int, merge: int) -> int:
    """Return how many blocks of ``merge`` cover so many pixels."""
    return -(-pixels // merge)


def merge_events(events: Events, merge: int, height: int, width: int) -> Events:
    """Return the events at the places of their blocks, float32; as they are where ``merge`` is 1.

    Places are those of the centers of pixels, so a pixel of the sensor falls into its block and a
    rectified event between two pixels keeps its place within the block. Events off the image are
    left out, as the last blocks reach farther than it.

    Args:
        events: of one camera.
        merge: pixels along each side of a block.
        height: rows of the image.
        width: columns.
    """
    if merge == 1:
        return events
    events = events.inside(width, height)
    return Events.trusted(
        t=events.t, x=_block(events.x, merge), y=_block(events.y, merge), p=events.p
    )


def _block(axis: UInt16[np.ndarray, "N"] | Float32[np.ndarray, "N"], merge: int) -> Axis:
    place: Axis = (axis.astype(np.float32) + np.float32(0.5)) / np.float32(merge) - np.float32(0.5)
    return place


def spread_disparity(
    disparity: Float32[np.ndarray, "h w"], merge: int, *, height: int, width: int
) -> Float32[np.ndarray, "H W"]:
    """Return the disparity of blocks at the pixels of the sensor, in pixels of the sensor."""
    if merge == 1:
        return disparity
    large = np.repeat(np.repeat(disparity, merge, axis=0), merge, axis=1)
    spread: Float32[np.ndarray, "H W"] = large[:height, :width] * np.float32(merge)
    return spread
