"""The stream of estimates: events of two cameras in, one disparity after the other out.

Memory does not grow with the length of the stream: the events of one window are held at a time.

Shapes: ``T`` time steps, ``B`` = 1, ``C`` channels, ``H`` rows, ``W`` columns.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32

from data import Events
from data.recording import CAMERAS, Camera, Recording
from stereo.errors import StereoError
from stereo.executors import Executor
from stereo.merging import merge_events, merged_size, refuse_few_blocks, spread_disparity
from stereo.network import HybridStereo
from stereo.stopwatch import Stopwatch
from stereo.windows import Window

_BEGINNING_US, _END_US = -(2**62), 2**62
"""Before the first event and after the last."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowResult:
    """What one window gave.

    Attributes:
        index: number of the window, counted from 0.
        window: its times.
        events: rectified events of the left camera that lie on the image.
        left: what the network saw on the left; smaller than the image where pixels are merged.
        right: what the network saw on the right.
        disparity: estimate in pixels of the rectified left view.
        seconds: time that rectification, encoding and network took.
        read: events taken in until now, per camera.
        outside_image: those of them that rectification moved off the image.
        late: events that came too late to be taken in.
    """

    index: int
    window: Window
    events: Events
    left: Float32[torch.Tensor, "T 1 C h w"]
    right: Float32[torch.Tensor, "T 1 C h w"]
    disparity: Float32[np.ndarray, "H W"]
    seconds: float
    read: Mapping[Camera, int]
    outside_image: Mapping[Camera, int]
    late: Mapping[Camera, int]


Rectify = Callable[[Camera, Events], Events]


class StereoStream:
    """Events of two cameras in, the disparity at the end of every window out.

    ``push`` what has come; it returns what can be estimated now::

        windows = endless_windows(start_us, window_us=50_000, step_us=50_000)
        stream = StereoStream(executor, windows, width=346, height=260)
        for left, right, until_us in cameras:
            for result in stream.push(left, right, until_us):
                show(result.disparity)

    Args:
        executor: runs the network, which is in eval mode; one that remembers needs windows that do
            not overlap.
        windows: in rising order of both ends.
        width: columns of the rectified image.
        height: rows of it.
        rectify: from the pixels of a camera to the rectified image; None for events that are
            rectified already.
        max_disparity: largest disparity searched, pixels; None for the network's (of its pixels).
        merge: so many pixels squared are one for the network.
        watch: counts the time of the stages "rectify", "encode" and "network".

    Raises:
        StereoError: so many pixels are merged that next to nothing is left.
    """

    def __init__(
        self,
        executor: Executor,
        windows: Iterable[Window],
        *,
        width: int,
        height: int,
        rectify: Rectify | None = None,
        max_disparity: int | None = None,
        merge: int = 1,
        watch: Stopwatch | None = None,
    ) -> None:
        refuse_few_blocks(merge, height, width)
        self.executor, self.width, self.height, self.merge = executor, width, height, merge
        self.limit = None if max_disparity is None else merged_size(max_disparity, merge)
        self.until_us = _BEGINNING_US
        self._rectify, self._watch = rectify, watch or Stopwatch()
        self._windows = enumerate(windows)
        self._next = next(self._windows, None)
        self._held: dict[Camera, _Held] = {camera: _Held() for camera in CAMERAS}
        self._seconds = 0.0

    @property
    def window(self) -> Window | None:
        """The next window to be estimated; None after the last."""
        return None if self._next is None else self._next[1]

    def push(self, left: Events, right: Events, until_us: int) -> Iterator[WindowResult]:
        """Take events in; return the estimates of the windows that have ended, one by one.

        Estimates that are not asked for are the first ones of the next call.

        Args:
            left: further events of the left camera.
            right: likewise; a camera may see nothing.
            until_us: all events before this time have come. Those that come later than that are
                left out and counted.

        Raises:
            StereoError: time goes back. Asking for estimates: one holds NaN or infinity.
        """
        if until_us < self.until_us:
            raise StereoError(
                f"A stream goes on in time, but after all events before {self.until_us:,} us those "
                f"before {until_us:,} us were given."
            )
        began = time.perf_counter()
        with self._watch("rectify"):
            for camera, events in zip(CAMERAS, (left, right), strict=True):
                self._take_in(camera, events)
        self.until_us = until_us
        self._seconds += time.perf_counter() - began
        return self._ready()

    def _take_in(self, camera: Camera, events: Events) -> None:
        held = self._held[camera]
        fresh = events.window(self.until_us, _END_US)
        held.late += len(events) - len(fresh)
        if self._rectify is not None:
            fresh = self._rectify(camera, fresh)
        held.read += len(fresh)
        held.outside += len(fresh) - len(fresh.inside(self.width, self.height))
        held.events = _join(held.events, fresh)

    def _ready(self) -> Iterator[WindowResult]:
        while self._next is not None and self._next[1].t1_us <= self.until_us:
            index, window = self._next
            result = self._result(index, window)
            self._next = next(self._windows, None)
            begin = _END_US if self._next is None else self._next[1].t0_us
            for held in self._held.values():
                held.events = held.events.window(begin, _END_US)
            yield result

    def _result(self, index: int, window: Window) -> WindowResult:
        """Estimate one window."""
        began = time.perf_counter()
        views = {
            c: held.events.window(window.t0_us, window.t1_us) for c, held in self._held.items()
        }
        with self._watch("encode"):
            left, right = self._encode(views, window)
        with self._watch("network"):
            disparity = spread_disparity(
                _estimate(self.executor, left, right, self.limit), self.merge,
                height=self.height, width=self.width,
            )  # fmt: skip
        seconds, self._seconds = self._seconds + time.perf_counter() - began, 0.0
        return WindowResult(
            index=index,
            window=window,
            events=views["left"].inside(self.width, self.height),
            left=left,
            right=right,
            disparity=disparity,
            seconds=seconds,
            read={camera: held.read for camera, held in self._held.items()},
            outside_image={camera: held.outside for camera, held in self._held.items()},
            late={camera: held.late for camera, held in self._held.items()},
        )

    def _encode(
        self, views: Mapping[Camera, Events], window: Window
    ) -> tuple[Float32[torch.Tensor, "T 1 C H W"], Float32[torch.Tensor, "T 1 C H W"]]:
        """Return the window of both cameras, batches of one, on the device of the network."""
        network = self.executor.network
        device = next(network.parameters()).device
        left, right = network.encode(
            *(merge_events(v, self.merge, self.height, self.width) for v in views.values()),
            height=merged_size(self.height, self.merge), width=merged_size(self.width, self.merge),
            t0_us=window.t0_us, t1_us=window.t1_us,
        )  # fmt: skip
        return left[:, None].to(device), right[:, None].to(device)


def run_windows(
    recording: Recording,
    network: HybridStereo,
    windows: Iterable[Window],
    *,
    max_disparity: int | None = None,
    merge: int = 1,
    watch: Stopwatch | None = None,
    executor: Executor | None = None,
) -> Iterator[WindowResult]:
    """Estimate the disparity at the end of every window; every event is read once.

    Args:
        recording: two event cameras on one clock.
        network: in eval mode, on any device.
        windows: in rising order of both ends.
        max_disparity: largest disparity searched, pixels; None for the network's (of its pixels).
        merge: so many pixels squared are one for the network.
        watch: counts the time of the stages "read", "rectify", "encode" and "network".
        executor: runs the network; as it is unless given.

    Raises:
        RecordingError: the recording turned out to be damaged.
        StereoError: the estimate holds NaN or infinity.
    """
    watch = watch or Stopwatch()
    stream = StereoStream(
        executor or Executor(network, "dense"),
        windows,
        width=recording.width,
        height=recording.height,
        rectify=recording.rectify,
        max_disparity=max_disparity,
        merge=merge,
        watch=watch,
    )
    while (window := stream.window) is not None:
        begin_us = max(stream.until_us, window.t0_us)
        with watch("read"):
            left, right = (recording.events(c, begin_us, window.t1_us) for c in CAMERAS)
        yield from stream.push(left, right, window.t1_us)


@dataclass(kw_only=True, eq=False)
class _Held:
    """What a stream holds of one camera, and its counts.

    Events off the image are counted but stay: an encoding may split them over its border.
    """

    events: Events = field(default_factory=Events.empty)
    read: int = 0
    outside: int = 0
    late: int = 0


def _join(earlier: Events, later: Events) -> Events:
    """Return two records as one, sorted by time."""
    if len(earlier) == 0:
        return later
    if len(later) == 0:
        return earlier
    columns = {
        axis: np.concatenate([getattr(e, axis) for e in (earlier, later)]) for axis in "txyp"
    }
    if later.t[0] < earlier.t[-1]:
        order = np.argsort(columns["t"], kind="stable")
        columns = {axis: values[order] for axis, values in columns.items()}
    return Events(**columns)


def _estimate(
    executor: Executor,
    left: Float32[torch.Tensor, "T 1 C H W"],
    right: Float32[torch.Tensor, "T 1 C H W"],
    max_disparity: int | None,
) -> Float32[np.ndarray, "H W"]:
    """Run the network without gradients."""
    # Around the call and not around the loop: a generator would leave the mode on for its caller.
    with torch.inference_mode():
        disparity = executor(left, right, max_disparity)[0].float().cpu().numpy()
    if not np.isfinite(disparity).all():
        raise StereoError(
            "The network estimates NaN or infinity, so its weights are damaged or its training "
            "diverged. Train it again, or use the shipped network by leaving --run out."
        )
    return disparity
