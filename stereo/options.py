"""What an inference is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from stereo.errors import StereoError

STEP_US = 50_000
"""Two windows are so far apart, at most, unless more is known."""


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """What to do, and how the result names its origins.

    Attributes:
        source: the recording as the user named it.
        network_name: the network as the user named it.
        generated: whether the recording came from a simulator.
        window_us: length of a window; None for the length that the network was trained with.
        step_us: largest distance of two windows; None for ``STEP_US``, or for the length of
            windows that are shorter or of a stream.
        max_disparity: largest disparity searched, pixels; None for the network's, of its pixels.
        merge: so many pixels squared are one for the network.
        max_windows: the first so many windows only; None for all.
        seed: of the global generator of torch, for networks that draw at random; no operation of
            ours does.
        executor: who runs the network, a name in ``stereo.executors.EXECUTORS``.
        device: where, a name in ``stereo.devices.DEVICES``.
        threads: to run on; None for all, or what the executor finds.
        stream: whether neurons go on from one window to the next where windows do not overlap.
        keeps: what is written for every window, names in ``stereo.output.KEPT``.
        row_offset: what was measured and corrected between uncalibrated cameras; None otherwise.

    Raises:
        StereoError: a length or number below 1.
    """

    source: str
    network_name: str
    generated: bool = False
    window_us: int | None = None
    step_us: int | None = None
    max_disparity: int | None = None
    merge: int = 1
    max_windows: int | None = None
    seed: int = 0
    executor: str = "auto"
    device: str = "cpu"
    threads: int | None = None
    stream: bool = False
    keeps: tuple[str, ...] = ("disparity",)
    row_offset: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what gives no estimate."""
        for name in ("window_us", "step_us", "max_disparity", "merge", "max_windows", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise StereoError(f"An inference needs {name} of at least 1, got {value}.")

    def step(self, window_us: int) -> int:
        """Return the largest distance of two windows of this length, microseconds."""
        if self.step_us is not None:
            return self.step_us
        return window_us if self.stream else min(STEP_US, window_us)

    def searched_px(self, network_px: int) -> int:
        """Return the largest disparity searched, in pixels of the sensor.

        Args:
            network_px: what the network searches unless told, in pixels of its own.
        """
        return network_px * self.merge if self.max_disparity is None else self.max_disparity
