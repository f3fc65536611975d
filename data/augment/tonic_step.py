"""Tonic's event transforms as an augmentation of both cameras."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.augment.pair import Augmentation, StereoEvents
from data.augment.sensor import in_order
from data.events import Events

CARRIED = np.dtype(
    [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i1"), ("number", "<i8"), ("mark", "<i8")]
)
"""Tonic's fields, and two that tell which event of the input an event of the output is.

Polarity is 0 or 1 and not bool, for ``UniformNoise`` fills a bool field with ``True`` alone.
"""

MARK = 0x5EED_0F_E7E9_7000
"""``mark`` is ``number`` xor this: no transform that makes up events would fill both so."""

_LOCKS: dict[int, threading.Lock] = {}
"""By process, for a lock that was held elsewhere when a process was forked is never released."""


@dataclass(frozen=True, kw_only=True)
class TonicTransform(Augmentation):
    """Any of Tonic's transforms from events to events, or a ``Compose`` of them.

    Tonic draws from NumPy's global generator. Here that is seeded from the sample's generator and
    put back afterwards, as are Python's and torch's, so results are reproducible and nothing else
    is disturbed. Times are given relative to the start of the window, as Tonic expects. Events
    outside the image are removed first, because Tonic indexes by pixel, and so are events that the
    transform moves out of the window. Sub-pixel places survive: Tonic sees whole pixels, and what
    was rounded off is added again to each event that comes back. A camera without events stays so.

    Attributes:
        transform: takes and returns a structured array with the fields x, y, t and p.
        shared: True for the same random draws in both cameras, as far as they depend on the events
            no further (one area that is dropped, one flip of all polarities); False for two.
        moves_pixels: True to allow a transform that moves events to other pixels, such as
            ``SpatialJitter``. By default it is refused, for a flip or crop of the events alone
            would leave the ground truth behind.

    Raises:
        ValueError: a transform that returns no events, or moves some without being allowed to.
    """

    transform: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    shared: bool = True
    moves_pixels: bool = False

    def __call__(self, pair: StereoEvents, rng: np.random.Generator) -> StereoEvents:
        """Return the transformed window; see ``Augmentation.__call__``."""
        first, second = (int(seed) for seed in rng.integers(0, 2**32, 2))
        seeds = (first, first if self.shared else second)
        left, right = (
            self._apply(events.inside(pair.width, pair.height), pair, seed)
            for events, seed in zip((pair.left, pair.right), seeds, strict=True)
        )
        return replace(pair, left=left, right=right)

    def _apply(self, events: Events, pair: StereoEvents, seed: int) -> Events:
        if not len(events):
            return events
        given = _carried(events, pair.t0_us)
        with seeded(seed):
            # A copy, because some transforms write to their input.
            out = self.transform(given.copy())
        if isinstance(out, np.ndarray) and out.size == 0:
            return events.take(slice(0, 0))  # Some lose their fields with the last event.
        names = getattr(getattr(out, "dtype", None), "names", None) or ()
        missing = [name for name in "xytp" if name not in names]
        if missing:
            raise ValueError(
                f"{self.transform} returned {type(out).__name__} without the fields "
                f"{', '.join(missing)}. Before an encoding only transforms from events to events "
                "are possible."
            )
        x, y = self._places(events, given, out)
        back = in_order(t=out["t"].astype(np.int64) + pair.t0_us, x=x, y=y, p=out["p"] > 0)
        return back.window(pair.t0_us, pair.t1_us)

    def _places(
        self, events: Events, given: npt.NDArray[Any], out: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return columns and rows of the output, with the sub-pixel places of the input."""
        x, y = out["x"].astype(np.float32), out["y"].astype(np.float32)
        if "number" not in (out.dtype.names or ()):
            return x, y
        number = out["number"]
        known = ((number ^ MARK) == out["mark"]) & (number >= 0) & (number < len(events))
        source = number[known]
        for name, values in (("x", x), ("y", y)):
            moved = out[name][known].astype(np.float64) - given[name][source]
            if not self.moves_pixels and moved.any():
                raise ValueError(
                    f"{self.transform} moved events to other pixels, and the ground truth with "
                    "them stayed. Use Crop, VerticalFlip or SwapCameras, or allow it with "
                    "moves_pixels if it is a jitter."
                )
            values[known] = (getattr(events, name)[source] + moved).astype(np.float32)
        return x, y


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of NumPy, Python and torch, and put all back afterwards.

    One thread of a process at a time; threads that draw from them meanwhile cannot be helped.
    """
    with _LOCKS.setdefault(os.getpid(), threading.Lock()):
        numpy_state: Any = np.random.get_state()  # noqa: NPY002
        python_state, torch_state = random.getstate(), torch.random.get_rng_state()
        try:
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            torch.random.set_rng_state(torch_state)


def _carried(events: Events, t0_us: int) -> npt.NDArray[Any]:
    """Return events on the image as the array that is given to a transform."""
    tonic = events.to_tonic()
    out = np.empty(len(events), CARRIED)
    out["x"], out["y"], out["p"] = tonic["x"], tonic["y"], tonic["p"]
    out["t"] = events.t - t0_us
    out["number"] = np.arange(len(events))
    out["mark"] = out["number"] ^ MARK
    return out
