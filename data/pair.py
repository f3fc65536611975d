"""The window of a recording as the pair of tensors that a network takes."""

from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float32

from data.encode import Encoding, PixelMap
from data.recording import CAMERAS, Camera, Recording

PIXEL_MAPS: WeakKeyDictionary[Recording, dict[Camera, PixelMap | None]] = WeakKeyDictionary()
"""The prepared maps of open recordings; they go with the recording."""


def pixel_map(recording: Recording, camera: Camera) -> PixelMap | None:
    """Return the map of a camera, prepared once per recording; None where raw is rectified."""
    maps = PIXEL_MAPS.setdefault(recording, {})
    if camera not in maps:
        forward = recording.rectify_map(camera)
        maps[camera] = None if forward is None else PixelMap(forward)
    return maps[camera]


def encode_pair(
    recording: Recording,
    encoding: Encoding,
    *,
    steps: int,
    t0_us: int,
    t1_us: int,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Float32[np.ndarray, "T C H W"], Float32[np.ndarray, "T C H W"]]:
    """Return the left and right window ``[t0_us, t1_us)``, rectified and encoded, each float32.

    One pass over the events: they are rectified as they are encoded.

    Args:
        recording: two event cameras on one clock.
        encoding: what to make of the events.
        steps: time steps ``T``.
        t0_us: start of the window, inclusive.
        t1_us: end of the window, exclusive.
        out: where to write both, contiguous ``[T, C, H, W]``; new arrays unless given.
    """
    left, right = (recording.events(camera, t0_us, t1_us) for camera in CAMERAS)
    return encoding.pair(
        left,
        right,
        steps=steps,
        height=recording.height,
        width=recording.width,
        t0_us=t0_us,
        t1_us=t1_us,
        pixels=(pixel_map(recording, "left"), pixel_map(recording, "right")),
        out=out,
    )
