"""Which pixel of the rectified view a raw pixel belongs to, worked out once for all events."""

import numpy as np
import numpy.typing as npt

from data.encode.kernels import F32, I32


class PixelMap:
    """The forward map of a camera, prepared for encoding raw events in one pass.

    Args:
        forward: ``[H, W, 2]`` float32, ``forward[y, x]`` is the rectified ``(x, y)`` of a raw
            pixel, as ``Recording.rectify_map`` returns it.

    Raises:
        ValueError: an array of another shape.
    """

    def __init__(self, forward: npt.NDArray[np.float32]) -> None:
        if forward.ndim != 3 or forward.shape[2] != 2:
            raise ValueError(f"A forward map has the shape [H, W, 2], got {forward.shape}.")
        self.forward: F32 = np.ascontiguousarray(forward, np.float32)
        self._tables: dict[tuple[int, int], I32] = {}

    def table(self, height: int, width: int) -> I32:
        """Return ``[H, W]`` int32: the flat pixel of an image, -1 outside it.

        Halves go upward, as in ``Events.inside``; NaN is outside.
        """
        if (height, width) not in self._tables:
            # float64, because 0.49999997 + 0.5 is 1 in float32.
            places = np.floor(self.forward.astype(np.float64) + 0.5)
            x, y = places[..., 0], places[..., 1]
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            flat = np.full(inside.shape, -1, np.int32)
            flat[inside] = (y[inside] * width + x[inside]).astype(np.int32)
            self._tables[height, width] = flat
        return self._tables[height, width]
