"""Voxel grids: polarity split linearly between the neighboring bins (and pixels)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32

from data.encode.base import DeviceWindow, Encoding, Window, check_sizes, check_window, register
from data.encode.kernels import F32, I64, fill_sums, normalize
from data.encode.threads import Stages, Task, kept, split
from data.encode.voxel_kernels import fill_trilinear, fill_voxels, look_up
from data.events import Events

MOST_SORTED = 2**19
"""Events that are sorted at once; a thread keeps 16 bytes for each."""

BAND_BITS = 15
"""A band of this many bits of pixels: two bins of it, 256 KiB, fit the L2 cache."""


@register
@dataclass(frozen=True, kw_only=True)
class Voxel(Encoding):
    """Signed voxels: one ``voxel_grid`` of ``T * bins`` bins over the window, ``bins`` per step.

    An event between the last bin of a step and the first of the next is split between the steps.
    Bilinear in time: Zhu et al., "Unsupervised event-based learning of optical flow, depth, and
    egomotion", CVPR 2019.
    Invariant: the sum of all values is the number of ON minus the number of OFF events.

    Attributes:
        normalize: give the values that are not zero mean 0 and deviation 1 over the whole window,
            each camera by itself, as DSEC's example does; the invariant no longer holds then.
    """

    name: ClassVar[str] = "voxel"

    normalize: bool = False

    @property
    def channels(self) -> int:
        """One channel for each bin."""
        return self.bins

    def _slots(self, steps: int) -> int:
        # The spaces between bins; a single bin is a space of its own.
        return max(1, steps * self.bins - 1)

    def _tasks(self, window: Window, out: F32) -> Stages:
        grid = out.reshape(-1, window.height * window.width)
        return [*self._fill(window, grid), [partial(normalize, out.reshape(-1))] * self.normalize]

    def _fill(self, window: Window, grid: F32) -> Stages:
        x, y, table = window.whole_pixels()
        if grid.shape[0] == 1:
            return [[partial(fill_sums, x, y, window.p, table, window.bounds, 0, 1, window.width,
                             window.height, grid[:, None])]]  # fmt: skip

        def part(first: int, stop: int, tail: F32) -> None:
            begun = first - 1
            chosen = kept("chosen", (MOST_SORTED,)).view(np.uint32)
            ordered = kept("ordered", (MOST_SORTED, 2))
            for pieces in _groups(window.bounds, first, stop):
                fill_voxels(
                    window.t, x, y, window.p, table, pieces, begun, stop, *window.clock,
                    window.width, window.height, BAND_BITS, grid, tail, chosen, ordered,
                )  # fmt: skip
                begun = int(pieces[-1, 0]) + 1

        return _parts(window, grid, part)

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        bins, size = steps * self.bins, window.height * window.width
        late, sign = _shares(window, bins)
        grid = window.zeros((bins + 1) * size)
        place = window.slot * size + window.pixel
        grid.index_add_(0, place, sign - late)
        grid.index_add_(0, place + size, late)
        return self._finish(grid[: bins * size])

    def _finish(self, grid: torch.Tensor) -> torch.Tensor:
        filled = grid != 0
        values = grid[filled].double()
        if not self.normalize or values.numel() == 0:
            return grid
        deviation = values.std() if values.numel() > 1 else values.new_zeros(())
        scaled = (values - values.mean()) / torch.where(deviation > 0, deviation, 1.0)
        return grid.masked_scatter(filled, scaled.float())


@register
@dataclass(frozen=True, kw_only=True)
class VoxelTrilinear(Voxel):
    """Signed voxels split between two bins and the four pixels around a sub-pixel coordinate.

    For rectified events, whose coordinates are not whole; raw events are as in ``Voxel``. The rule
    of DSEC's example loader (Gehrig et al., RA-L 2021), but over the nominal window, and with the
    corner by ``floor`` also left of and above the image.
    Invariant: the sum of all values is the sum of polarities, each times the share of its four
    pixels that is on the image.
    """

    name: ClassVar[str] = "voxel_trilinear"
    keeps_near_misses: ClassVar[bool] = True

    def _fill(self, window: Window, grid: F32) -> Stages:
        forward = np.empty((0, 0, 2), np.float32)
        if window.pixels is not None:
            forward = window.pixels.forward
        # Whole rows, at least one.
        bits = max(0, (2**BAND_BITS // window.width).bit_length() - 1)

        def part(first: int, stop: int, tail: F32) -> None:
            begun = first - 1
            coordinates = kept("coordinates", (2, MOST_SORTED))
            ordered = kept("ordered", (MOST_SORTED, 4))
            tiles = kept("tiles", (2, 2**bits + 1, window.width + 2))
            for pieces in _groups(window.bounds, first, stop):
                events = slice(pieces[0, 1], pieces[-1, 2])
                x, y = coordinates[:, : events.stop - events.start]
                look_up(window.x[events], window.y[events], forward, x, y)
                fill_trilinear(
                    window.t, x, y, window.p, pieces, begun, stop, *window.clock, window.width,
                    window.height, bits, grid, tail, ordered, tiles,
                )  # fmt: skip
                begun = int(pieces[-1, 0]) + 1

        if grid.shape[0] == 1:
            # One slot, which has no later bin; no event has a share in it.
            return [[partial(part, 0, 1, kept("later bin", (grid.shape[1],)))]]
        return _parts(window, grid, part)

    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        bins, size = steps * self.bins, window.height * window.width
        late, sign = _shares(window, bins)
        grid = window.zeros((bins + 1) * size)
        left, top = torch.floor(window.x), torch.floor(window.y)
        for right in (0, 1):
            for down in (0, 1):
                col, row = left + right, top + down
                share = (1 - (window.x - col).abs()) * (1 - (window.y - row).abs())
                on = (col >= 0) & (col < window.width) & (row >= 0) & (row < window.height)
                place = (window.slot * size + (row * window.width + col).long())[on]
                grid.index_add_(0, place, ((sign - late) * share)[on])
                grid.index_add_(0, place + size, (late * share)[on])
        return self._finish(grid[: bins * size])


def voxel_grid(
    events: Events, *, bins: int, height: int, width: int, t0_us: int, t1_us: int
) -> Float32[np.ndarray, "bins H W"]:
    """Return the events of a window as signed voxels, bilinear in time.

    Each event of polarity ``p`` adds ``2p - 1`` to its pixel, split linearly between the two bins
    next to ``(bins - 1) (t - t0) / (t1 - t0)``. The time is scaled by the nominal window, not by
    the first and last event present, so both cameras share one time axis and one event, or many at
    one time, are nothing special. With one bin everything falls into it. Nothing is normalized.

    Returns:
        ``[bins, H, W]`` float32 whose sum is the sum of ``2p - 1`` over the events in the image.

    Raises:
        ValueError: a size below 1, or a window that ends before it has begun.
    """
    check_sizes(bins=bins, height=height, width=width)
    check_window(t0_us, t1_us, bins)
    grid = Voxel()(events, steps=bins, height=height, width=width, t0_us=t0_us, t1_us=t1_us)
    return grid[:, 0]


def _groups(bounds: I64, first: int, stop: int) -> Iterator[I64]:
    """Yield ``[n, 3]`` pieces of slots, ``slot, first event, stop``, of ``MOST_SORTED`` at most.

    A slot without events is a piece too.
    """
    pieces: list[tuple[int, int, int]] = []
    room = MOST_SORTED
    for slot in range(first, stop):
        begin, end = int(bounds[slot]), int(bounds[slot + 1])
        while True:
            pieces.append((slot, begin, min(end, begin + room)))
            room -= pieces[-1][2] - begin
            begin = pieces[-1][2]
            if begin == end:
                break
            yield np.array(pieces, np.int64)
            pieces, room = [], MOST_SORTED
    yield np.array(pieces, np.int64)


def _parts(window: Window, grid: F32, part: Callable[[int, int, F32], None]) -> Stages:
    """Return two stages: parts of the slots, and what each part left for the next one's first bin.

    The last part writes the last bin itself; the others leave their tails in kept memory.
    """
    parts = split(window.bounds, grid.shape[1] // 3)
    tails = kept(f"tails {window.camera}", (len(parts) - 1, grid.shape[1]))
    fill: list[Task] = []
    join: list[Task] = []
    for (first, stop), tail in zip(parts, [*tails, grid[-1]], strict=True):
        fill.append(partial(part, first, stop, tail))
        if stop < grid.shape[0] - 1:
            join.append(partial(_add, tail, grid[stop]))
    return [fill, join]


def _add(values: F32, to: F32) -> None:
    to += values


def _shares(window: DeviceWindow, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the polarity of each event, +1 or -1, and the part of it for the later bin."""
    sign = torch.where(window.p, 1.0, -1.0)
    slots, length = max(1, bins - 1), int(window.edges[-1] - window.edges[0])
    over = (window.t - window.edges[0]) * slots - window.slot * length
    late = (over.double() / length).float() if bins > 1 else torch.zeros_like(sign)
    return late * sign, sign
