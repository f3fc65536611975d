"""A recording seen through maps that it does not have itself: a calibration, or none at all."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from data.camera import Calibration
from data.errors import RecordingError
from data.events import Events
from data.recording import Camera, Recording

Map = npt.NDArray[np.float32]


class RectifiedRecording(Recording):
    """Another recording with maps and calibration of its own choice.

    Reads, counts and closes through the other one. Ground truth belongs to the rectified view of
    the other recording, so it is hidden.

    Args:
        recording: what is read.
        maps: forward map of each camera, None where the raw pixels stay.
        calibration: of the view that the maps lead to, None if unknown.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        maps: Mapping[Camera, Map | None],
        calibration: Calibration | None,
    ) -> None:
        self.name, self.layout = recording.name, recording.layout
        self.width, self.height = recording.width, recording.height
        self.span_us = recording.span_us
        self.dropped, self.total = recording.dropped, recording.total
        self.calibration = calibration
        self.disparity_t_us = np.empty(0, np.int64)
        self._recording = recording
        self._maps = dict(maps)
        for camera, rectify_map in maps.items():
            expected = (self.height, self.width, 2)
            if rectify_map is not None and rectify_map.shape != expected:
                raise RecordingError(
                    f"The map of the {camera} camera has shape {rectify_map.shape}. Expected "
                    f"{expected}: the calibration belongs to a sensor of another size."
                )

    def events(self, camera: Camera, t0_us: int, t1_us: int) -> Events:
        """Return the raw events with ``t0_us <= t < t1_us``; empty where there are none."""
        return self._recording.events(camera, t0_us, t1_us)

    def last_events(self, camera: Camera, t_us: int, count: int) -> Events:
        """Return the last ``count`` raw events before ``t_us``."""
        return self._recording.last_events(camera, t_us, count)

    def rectify_map(self, camera: Camera) -> Map | None:
        """Return the forward map of a camera; do not change it."""
        return self._maps.get(camera)

    def disparity(self, index: int) -> npt.NDArray[np.float32]:
        """Refuse: the ground truth belongs to another view."""
        raise IndexError(f"{self.name} has no ground truth in this view, so no disparity {index}.")

    def close(self) -> None:
        """Close the recording that is read."""
        self._recording.close()


def shifted_rows(
    recording: Recording, row_offset_px: float, *, keep_maps: bool = False
) -> RectifiedRecording:
    """Return a recording whose right view is moved up by ``row_offset_px`` rows.

    Args:
        recording: two cameras, calibrated or not; its calibration and maps are left aside.
        row_offset_px: how many rows lower the right camera sees the same point.
        keep_maps: start from the recording's own maps instead of raw pixels.
    """
    maps: dict[Camera, Map | None] = {"left": None, "right": None}
    if keep_maps:
        maps = {"left": recording.rectify_map("left"), "right": recording.rectify_map("right")}
    if row_offset_px:
        right = maps["right"]
        moved = identity_map(recording.width, recording.height) if right is None else right.copy()
        moved[..., 1] -= np.float32(row_offset_px)
        maps["right"] = moved
    calibration = recording.calibration if keep_maps else None
    return RectifiedRecording(recording, maps=maps, calibration=calibration)


def identity_map(width: int, height: int) -> Map:
    """Return ``[H, W, 2]`` float32: every pixel stays where it is."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y], axis=-1).astype(np.float32)
