"""Encodings that keep the slots apart: spikes, counts, and stacks by time and by number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from data.encode.base import DeviceWindow, Encoding, Window, register
from data.encode.kernels import F32, I64, fill_counts, fill_sums
from data.encode.slots import rank_edges
from data.encode.threads import Stages, split


@dataclass(frozen=True, kw_only=True)
class _Polarities(Encoding):
    """Two channels per slot: channel ``2 * sub-bin + polarity``, OFF = 0 and ON = 1."""

    @property
    def channels(self) -> int:
        """Two polarities for each sub-bin."""
        return 2 * self.bins


@register
@dataclass(frozen=True, kw_only=True)
class Spikes(_Polarities):
    """Binary ON/OFF spikes: 1 where at least one event of that polarity falls in the sub-bin.

    The window is cut into ``T * bins`` equal slots; slot ``s`` is step ``s // bins``, sub-bin
    ``s % bins``. Channel ``2 * sub-bin + polarity``, OFF = 0 and ON = 1.
    Invariant: values are 0 or 1, and doubling or reordering equal events changes nothing.
    """

    name: ClassVar[str] = "spikes"
    emits_spikes: ClassVar[bool] = True

    def _tasks(self, window: Window, out: F32) -> Stages:
        return _per_slot(fill_counts, window, out, 2, False)

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        counts = _count(window, steps * self.bins)
        return (counts > 0).float()


@register
@dataclass(frozen=True, kw_only=True)
class Counts(_Polarities):
    """ON/OFF counts: how many events of that polarity fall in the sub-bin.

    Slots and channels as in ``Spikes``.
    Invariant: the sum of all values is the number of events on the image (event mass), exactly.
    """

    name: ClassVar[str] = "counts"

    def _tasks(self, window: Window, out: F32) -> Stages:
        return _per_slot(fill_counts, window, out, 2, True)

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        return _count(window, steps * self.bins)


@register
@dataclass(frozen=True, kw_only=True)
class StackTime(Encoding):
    """Stacking by time (SBT): the sum of polarities in each of ``T * bins`` slots of equal length.

    Stacking based on time: Wang et al., "Event-based high dynamic range image and very high frame
    rate video generation using conditional GANs", CVPR 2019.
    Invariant: the sum of all values is the number of ON minus the number of OFF events.
    """

    name: ClassVar[str] = "stack_time"

    @property
    def channels(self) -> int:
        """One channel for each sub-bin."""
        return self.bins

    def _tasks(self, window: Window, out: F32) -> Stages:
        return _per_slot(fill_sums, window, out, 1)

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        size = window.height * window.width
        grid = window.zeros(steps * self.bins * size)
        sign = torch.where(window.p, 1.0, -1.0)
        return grid.index_add_(0, window.slot * size + window.pixel, sign)


@register
@dataclass(frozen=True, kw_only=True)
class StackNumber(StackTime):
    """Stacking by number (SBN): the sum of polarities in slots that hold equally many events.

    Both cameras together decide where a slot ends, so their slots are the same times; events of
    one time stay in one slot, which may then hold more than its share. Source as ``StackTime``.
    Invariant: the sum of all values is the number of ON minus the number of OFF events, and
    shifting or stretching time changes nothing.
    """

    name: ClassVar[str] = "stack_number"
    edges_need_events: ClassVar[bool] = True

    def _edges(
        self, slots: int, times: Sequence[I64], t0_us: int, t1_us: int
    ) -> Int64[np.ndarray, "S"]:
        count = sum(t.size for t in times)
        ranks = [-(-s * count // slots) for s in range(1, slots)]
        inner = rank_edges(ranks, times, t0_us, t1_us)
        return np.concatenate([[t0_us], inner, [t1_us]]).astype(np.int64)


def _per_slot(
    kernel: Callable[..., None], window: Window, out: F32, planes: int, *options: bool
) -> Stages:
    """Return one stage: parts of the slots, each filled by the kernel."""
    x, y, table = window.whole_pixels()
    size = window.height * window.width
    grid = out.reshape(-1, planes, size)
    return [
        [
            partial(kernel, x, y, window.p, table, window.bounds, first, stop, window.width,
                    window.height, *options, grid)
            for first, stop in split(window.bounds, planes * size)
        ]
    ]  # fmt: skip


def _count(window: DeviceWindow, slots: int) -> torch.Tensor:
    """Return ``[slots * 2 * H * W]`` counts."""
    size = window.height * window.width
    place = (2 * window.slot + window.p.long()) * size + window.pixel
    return torch.bincount(place, minlength=slots * 2 * size).float()
