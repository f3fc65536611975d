"""A window of a recording as two encoded tensors: read, rectify and encode both cameras."""

import numpy as np
from jaxtyping import Float32

from data.encode import Encoding
from data.recording import CAMERAS, Recording


def encode_pair(
    recording: Recording, encoding: Encoding, *, steps: int, t0_us: int, t1_us: int
) -> tuple[Float32[np.ndarray, "T C H W"], Float32[np.ndarray, "T C H W"]]:
    """Encode the rectified events of ``[t0_us, t1_us)`` of both cameras.

    Returns:
        Left and right, ``[T, C, H, W]`` float32 each, on one time axis.

    Raises:
        RecordingError: the recording turned out to be damaged.
    """
    left, right = (recording.rectify(c, recording.events(c, t0_us, t1_us)) for c in CAMERAS)
    return encoding.pair(
        left,
        right,
        steps=steps,
        height=recording.height,
        width=recording.width,
        t0_us=t0_us,
        t1_us=t1_us,
    )
