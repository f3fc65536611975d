"""The stream of estimates: windows of two event cameras in, one disparity after the other out.

Memory does not grow with the length of the recording: one window is held at a time.

Shapes: ``T`` time steps, ``B`` = 1, ``C`` channels, ``H`` rows, ``W`` columns.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from data import Events
from data.recording import CAMERAS, Camera, Recording
from stereo.errors import StereoError
from stereo.executors import Executor
from stereo.network import HybridStereo
from stereo.stopwatch import Stopwatch
from stereo.windows import Window


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowResult:
    """What one window gave.

    Attributes:
        index: number of the window, counted from 0.
        window: its times.
        events: rectified events of the left camera that lie on the image.
        left: what the network saw on the left.
        right: what the network saw on the right.
        disparity: estimate in pixels of the rectified left view.
        seconds: time that encoding and network took.
        read: events read until now, per camera.
        outside_image: those of them that rectification moved off the image.
    """

    index: int
    window: Window
    events: Events
    left: Float32[torch.Tensor, "T 1 C H W"]
    right: Float32[torch.Tensor, "T 1 C H W"]
    disparity: Float32[np.ndarray, "H W"]
    seconds: float
    read: Mapping[Camera, int]
    outside_image: Mapping[Camera, int]


def run_windows(
    recording: Recording,
    network: HybridStereo,
    windows: Iterable[Window],
    *,
    max_disparity: int | None = None,
    watch: Stopwatch | None = None,
    executor: Executor | None = None,
) -> Iterator[WindowResult]:
    """Estimate the disparity at the end of every window.

    Args:
        recording: two event cameras on one clock.
        network: in eval mode, on any device.
        windows: in rising order of both ends.
        max_disparity: largest disparity searched, pixels; None for the network's.
        watch: counts the time of the stages "read", "encode" and "network".
        executor: runs the network; as it is unless given.

    Raises:
        RecordingError: the recording turned out to be damaged.
        StereoError: the estimate holds NaN or infinity.
    """
    watch = watch or Stopwatch()
    sliders: dict[Camera, Slider] = {camera: Slider(recording, camera) for camera in CAMERAS}
    for index, window in enumerate(windows):
        with watch("read"):
            views = {camera: sliders[camera].window(window) for camera in CAMERAS}
        began = time.perf_counter()
        with watch("encode"):
            left, right = _encode(network, recording, views, window)
        with watch("network"):
            disparity = _estimate(executor or network, left, right, max_disparity)
        yield WindowResult(
            index=index,
            window=window,
            events=views["left"].inside(recording.width, recording.height),
            left=left,
            right=right,
            disparity=disparity,
            seconds=time.perf_counter() - began,
            read={camera: slider.read for camera, slider in sliders.items()},
            outside_image={camera: slider.outside for camera, slider in sliders.items()},
        )


class Slider:
    """One camera's rectified events over windows in rising order; every event is read once.

    Attributes:
        read: events read so far.
        outside: those of them that rectification moved off the image.
    """

    def __init__(self, recording: Recording, camera: Camera) -> None:
        self.read = 0
        self.outside = 0
        self._recording = recording
        self._camera: Camera = camera
        self._held = Events.empty()
        self._until_us: int | None = None

    def window(self, window: Window) -> Events:
        """Return the events of a window whose ends lie no earlier than the last one's.

        Those off the image are counted but stay: an encoding may split them over its border.
        """
        recording, start_us = self._recording, window.t0_us
        if self._until_us is not None:
            start_us = max(start_us, self._until_us)
        fresh = recording.events(self._camera, start_us, window.t1_us)
        rectified = recording.rectify(self._camera, fresh)
        self.read += len(rectified)
        self.outside += len(rectified) - len(rectified.inside(recording.width, recording.height))
        self._held = _join(self._held.window(window.t0_us, window.t1_us), rectified)
        self._until_us = window.t1_us
        return self._held


def _join(earlier: Events, later: Events) -> Events:
    """Return two records as one; the first must end before the second begins."""
    if len(earlier) == 0:
        return later
    return Events(
        **{axis: np.concatenate([getattr(e, axis) for e in (earlier, later)]) for axis in "txyp"}
    )


def _encode(
    network: HybridStereo, recording: Recording, views: Mapping[Camera, Events], window: Window
) -> tuple[Float32[torch.Tensor, "T 1 C H W"], Float32[torch.Tensor, "T 1 C H W"]]:
    """Return the window of both cameras, a batch of one each, on the device of the network."""
    device = next(network.parameters()).device
    left, right = network.encode(
        views["left"],
        views["right"],
        height=recording.height,
        width=recording.width,
        t0_us=window.t0_us,
        t1_us=window.t1_us,
    )
    return left[:, None].to(device), right[:, None].to(device)


def _estimate(
    network: HybridStereo | Executor,
    left: Float32[torch.Tensor, "T 1 C H W"],
    right: Float32[torch.Tensor, "T 1 C H W"],
    max_disparity: int | None,
) -> Float32[np.ndarray, "H W"]:
    """Run the network without gradients."""
    # Around the call and not around the loop: a generator would leave the mode on for its caller.
    with torch.inference_mode():
        disparity = network(left, right, max_disparity)[0].float().cpu().numpy()
    if not np.isfinite(disparity).all():
        raise StereoError(
            "The network estimates NaN or infinity, so its weights are damaged or its training "
            "diverged. Train it again, or use the shipped network by leaving --run out."
        )
    return disparity
