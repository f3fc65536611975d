"""Encodings of what happened last at each pixel: mixed-density stacks and time surfaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int64

from data.encode.base import DeviceWindow, Encoding, Window, register
from data.encode.kernels import F32, I64, fill_last, fill_surface
from data.encode.slots import rank_edges
from data.encode.threads import Stages


@register
@dataclass(frozen=True, kw_only=True)
class MixedDensity(Encoding):
    """Mixed-density event stack (MDES): the last polarity per pixel over shorter and shorter times.

    Level ``l`` of the ``T * bins`` levels holds the most recent ``N // 2**l`` of the N events of
    both cameras together, and all events of the time at which it begins. Value +1 (ON), -1 (OFF),
    0 (no event). Nam et al., "Stereo depth from events cameras: concentrate and focus on the
    future", CVPR 2022.
    Invariant: values are -1, 0 or 1; a level that is not zero at a pixel equals every longer level
    there.
    """

    name: ClassVar[str] = "mdes"
    edges_need_events: ClassVar[bool] = True

    @property
    def channels(self) -> int:
        """One channel for each level of a step."""
        return self.bins

    def _edges(
        self, slots: int, times: Sequence[I64], t0_us: int, t1_us: int
    ) -> Int64[np.ndarray, "S"]:
        count = sum(t.size for t in times)
        # Beyond 62 halvings no event is left, whatever their number.
        ranks = [count - (count >> min(level, 62)) for level in range(1, slots)]
        inner = rank_edges(ranks, times, t0_us, t1_us)
        return np.concatenate([[t0_us], inner, [t1_us]]).astype(np.int64)

    def _tasks(self, window: Window, out: F32) -> Stages:
        x, y, table = window.whole_pixels()
        levels = out.reshape(-1, window.height * window.width)
        return [[partial(fill_last, x, y, window.p, table, window.bounds, window.width,
                         window.height, levels)]]  # fmt: skip

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        size, levels = window.height * window.width, steps * self.bins
        order = torch.arange(1, window.t.numel() + 1, device=window.t.device)
        last = torch.zeros(levels * size, dtype=torch.int64, device=window.t.device)
        last.scatter_reduce_(0, window.slot * size + window.pixel, order, "amax")
        # A level reaches to the end of the window: it has the latest of its own and later slots.
        last = last.view(levels, size).flip(0).cummax(0).values.flip(0)
        signs = torch.where(window.p, 1.0, -1.0)
        return torch.cat([window.zeros(1), signs])[last]


@register
@dataclass(frozen=True, kw_only=True)
class TimeSurface(Encoding):
    """Exponential time surface, per polarity, at the end of each of ``T * bins`` equal slots.

    ``exp(-(t_end - t_last) / tau)`` of the last event since the window began, 0 where there was
    none. Channel ``2 * sub-bin + polarity``. Lagorce et al., "HOTS: a hierarchy of event-based
    time-surfaces for pattern recognition", TPAMI 2017.
    Invariant: values lie in [0, 1]; without new events a slot is the one before times
    ``exp(-slot / tau)``; only the last event of a pixel and polarity counts.

    Attributes:
        tau_us: time constant in microseconds.
    """

    name: ClassVar[str] = "time_surface"

    tau_us: float = 50_000.0

    def __post_init__(self) -> None:
        """Refuse a time constant that is not positive."""
        super().__post_init__()
        if not self.tau_us > 0:
            raise ValueError(f"tau_us must be positive, got {self.tau_us}.")

    @property
    def channels(self) -> int:
        """Two polarities for each sub-bin."""
        return 2 * self.bins

    def _tasks(self, window: Window, out: F32) -> Stages:
        x, y, table = window.whole_pixels()
        slots = out.reshape(-1, 2, window.height * window.width)
        return [[partial(fill_surface, window.t, x, y, window.p, table, window.bounds, window.edges,
                         float(self.tau_us), window.width, window.height, slots)]]  # fmt: skip

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        size, slots = window.height * window.width, steps * self.bins
        since = window.t - window.edges[0] + 1  # 0 = no event
        last = torch.zeros(slots * 2 * size, dtype=torch.int64, device=window.t.device)
        place = (2 * window.slot + window.p.long()) * size + window.pixel
        last.scatter_reduce_(0, place, since, "amax")
        last = last.view(slots, 2 * size).cummax(0).values
        ends = (window.edges[1:] - window.edges[0] + 1)[:, None]
        surface = torch.exp((last - ends).double() / self.tau_us)
        return torch.where(last > 0, surface, 0.0).float()
