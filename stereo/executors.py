"""Who runs a network: dense convolutions, compiled or not, or work on lists of spikes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nas.neurons.memory import remember, set_aside
from stereo.compiling import ListKernels
from stereo.device_network import DeviceNetwork
from stereo.errors import StereoError
from stereo.event_network import EventNetwork
from stereo.network import HybridStereo

EXECUTORS = ("auto", "event", "dense", "compiled")

LONG_S = 1.0
"""What takes longer, or twice as long as another way, is not run again to be timed."""

LOADED_S = 2.0
"""How long the second frame waits for kernels; the disk has them sooner, a compiler has not."""

SHORT_S = 0.1
"""Where every way takes longer, one thread is not tried."""

MORE = 2.0
"""How many times the spikes of the last choice a window needs for the choice to be made again."""

CPU = torch.device("cpu")

Frames = Float[Tensor, "T 1 C H W"]


class Executor:
    """Runs a network for one frame after the other, and says how.

    Args:
        network: in eval mode.
        asked: one of ``EXECUTORS``. "auto" is dense for the first frame, while kernels for lists
            are loaded or, in the first process ever, compiled. When they are there it times lists
            and dense convolutions, and again on frames with more than twice the spikes. Off the
            CPU it is "compiled".
        remembers: whether neurons go on from one frame to the next, until frames of another size
            or a larger disparity come, or another way is taken.
        threads: to run on; unless given torch's number, or what "auto" finds: one or all.
        device: where; off the CPU convolutions are computed in half precision.

    Raises:
        StereoError: no such executor, or "event" for a network that lists of spikes cannot run.
    """

    def __init__(
        self,
        network: HybridStereo,
        asked: str = "auto",
        *,
        remembers: bool = False,
        threads: int | None = None,
        device: torch.device = CPU,
    ) -> None:
        if asked not in EXECUTORS:
            raise StereoError(f"Unknown executor {asked!r}; known: {', '.join(EXECUTORS)}.")
        self.network, self.asked, self.remembers, self.device = network, asked, remembers, device
        if asked == "event" and device.type != "cpu":
            raise StereoError("Lists of spikes need the CPU. Leave --device or --executor out.")
        self.threads = threads or torch.get_num_threads()
        self._counts = {threads} if threads else {1, torch.get_num_threads()}
        self.used, self.reason = "dense", "asked for"
        self.seconds: dict[str, float] = {}
        self.dense_nodes = 0
        self._events: EventNetwork | None = None
        self._placed: DeviceNetwork | None = None
        self._kernels: ListKernels | None = None
        self._patience = LOADED_S
        self._size: tuple[int, ...] = ()
        self._spikes = -1.0

    def __call__(
        self, left: Frames, right: Frames, max_disparity: int | None = None
    ) -> Float[Tensor, "1 H W"]:
        """Return the disparity of the left view in pixels, as ``HybridStereo.forward``."""
        limit = self.network.config.max_disparity if max_disparity is None else max_disparity
        size = (*left.shape, limit)
        with on_threads(self.threads):
            if self._size != size:
                self._begin(size)
            auto = self._placed is None and self.asked == "auto"
            if self.asked == "event" or (auto and self._loaded(left)):
                self._choose(left, right, limit)
        with on_threads(self.threads):
            found = self._run(self.used, left, right, limit)
        if auto:
            self._load(left)
        return found

    def _run(self, way: str, left: Frames, right: Frames, limit: int) -> Float[Tensor, "1 H W"]:
        if way == "event" and self._events is not None:
            return self._events(left, right)
        if self._placed is not None:
            return self._placed(left, right, limit)
        found: Float[Tensor, "1 H W"] = self.network(left, right, limit)
        return found

    @property
    def about(self) -> dict[str, Any]:
        """What was chosen and why, as JSON has it."""
        nodes = None if self._events is None else len(self._events.nodes)
        return {
            "asked": self.asked,
            "used": self.used,
            "reason": self.reason,
            "nodes": nodes,
            "dense_nodes": None if nodes is None else self.dense_nodes,
            "seconds": dict(self.seconds),
            "threads": self.threads,
            "remembers": self.remembers,
            "device": str(self.device),
            "half": self._placed is not None and self._placed.half,
        }

    def _begin(self, size: tuple[int, ...]) -> None:
        """Lay out the network for frames of another size; nothing is remembered."""
        self._size, self._events, self._spikes = size, None, -1.0
        remember(self.network, self.remembers)
        off_cpu = self.device.type != "cpu"
        if off_cpu or self.asked == "compiled":
            self.used = "dense" if self.asked == "dense" else "compiled"
            if self.asked == "auto":
                self.reason = f"the network is on {self.device}"
            self._placed = DeviceNetwork(
                self.network, self.device, compiled=self.used == "compiled", half=off_cpu,
                remembers=self.remembers,
            )  # fmt: skip

    def _loaded(self, left: Frames) -> bool:
        """Whether kernels for lists are there; until then frames are computed densely."""
        if left.device.type != "cpu":  # lists will be refused
            return True
        if self._kernels is None:
            self.reason = "the first frame"
            return False
        self._kernels.join(self._patience)
        self._patience = 0.0
        if self._kernels.is_alive():
            self.reason = "kernels for lists of spikes are still compiled"
        return not self._kernels.is_alive()

    def _load(self, left: Frames) -> None:
        """Begin to load kernels for lists, unless that is done.

        Not before a frame has been dense: a compiler that is busy would let its kernels wait.
        """
        if self._kernels is None and left.device.type == "cpu":
            self._kernels = ListKernels(self.network)
            self._kernels.start()

    def _choose(self, left: Frames, right: Frames, limit: int) -> None:
        """Lay out and time what these frames need, unless that is done."""
        if left.device.type != "cpu":  # where whoever calls has put network and frames
            self._refuse("Lists of spikes need the CPU.")
            return
        spikes = float(left.sum() + right.sum())
        if spikes <= MORE * self._spikes:
            return
        if self._spikes < 0:
            try:
                height, width = left.shape[-2:]
                self._events = EventNetwork(
                    self.network, height, width, limit, remembers=self.remembers
                )
            except StereoError as error:
                self._refuse(str(error))
        self._spikes = spikes
        if self._events is None:
            return
        self.dense_nodes = self._events.calibrate(left, right)
        before, self.used, self.reason = self.used, "event", "asked for"
        if self.asked == "auto":
            with set_aside(self.network), self._events.set_aside():
                self._race(left, right, limit)
        if self.used != before:
            remember(self.network, self.remembers)
            self._events.rest()

    def _race(self, left: Frames, right: Frames, limit: int) -> None:
        """Take the faster of both ways, on all threads or, where that may pay, on one."""
        times: dict[tuple[str, int], float] = {}
        for threads in sorted(self._counts, reverse=True):
            if times and min(times.values()) > SHORT_S:
                break
            with on_threads(threads):
                for way in ("event", "dense"):
                    enough = min([LONG_S, *(2 * seconds for seconds in times.values())])
                    run = partial(self._run, way, left, right, limit)
                    times[way, threads] = _best(run, enough)
        self.used, self.threads = min(times, key=lambda way: times[way])
        self.seconds = {f"{way}, threads {n}": seconds for (way, n), seconds in times.items()}
        self.reason = "the fastest on this recording"

    def _refuse(self, why: str) -> None:
        if self.asked == "event":
            raise StereoError(f"{why} Use --executor dense.")
        self.used, self.reason = "dense", why


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch and the kernels use so many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best(run: Any, enough: float) -> float:
    """Return the seconds of the faster of two runs, or of one that was longer than enough."""
    first = _seconds(run)
    return first if first > enough else min(first, _seconds(run))


def _seconds(run: Any) -> float:
    began = perf_counter()
    with torch.inference_mode():
        run()
    return perf_counter() - began
