"""Where everything lies that works on lists of spikes: one array of each kind, never made anew.

A ``Store`` is filled while a network is laid out; ``arrays()`` then makes the arrays, and what was
laid out is known by its offsets in them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from nas.fused.group_kernels import I64
from nas.fused.step_kernels import F32
from nas.sparse.node_kernels import I32, U32

Size = tuple[int, int, int]
"""Planes, rows, columns."""

MOST = 0xFFFF
"""Columns and channels that an entry of a list has room for."""


@dataclass(frozen=True, kw_only=True)
class SpikeMap:
    """One map whose spikes are listed.

    Attributes:
        size: planes, rows and columns.
        channels: of each place.
        places: offset of its lists.
        counts: offset of its counts.
    """

    size: Size
    channels: int
    places: int
    counts: int

    @property
    def lines(self) -> int:
        """Rows of all planes."""
        return self.size[0] * self.size[1]

    @property
    def slot(self) -> int:
        """Entries that a row has room for."""
        return self.size[2] * self.channels


@dataclass(frozen=True, kw_only=True)
class CurrentMap:
    """One map of numbers, ``[planes, rows, columns, channels]``.

    Attributes:
        size: planes, rows and columns.
        channels: of each place.
        numbers: offset.
    """

    size: Size
    channels: int
    numbers: int

    def view(self, arrays: "Arrays") -> F32:
        """Return the numbers ``[planes, rows, columns, channels]``, to read and to write."""
        planes, rows, columns = self.size
        last = self.numbers + planes * rows * columns * self.channels
        return arrays.numbers[self.numbers : last].reshape(planes, rows, columns, self.channels)


class Arrays(NamedTuple):
    """What kernels work with.

    Attributes:
        places: all lists.
        counts: how long they are.
        numbers: weights, constants, states, currents.
        maps: from places of a map to those of a coarser one.
        clock: ``[1]``, time steps since all neurons rested; at 0 a state is zero whatever is there.
    """

    places: U32
    counts: I32
    numbers: F32
    maps: I32
    clock: I64


class Store:
    """Offsets while a network is laid out."""

    def __init__(self) -> None:
        self._places = self._counts = self._numbers = self._maps = 0
        self._kept: list[F32] = []
        self._kept_maps: list[I32] = []

    def spikes(self, size: Size, channels: int) -> SpikeMap:
        """Lay out a map of spikes.

        Raises:
            ValueError: more columns or channels than an entry has room for.
        """
        if max(size[2], channels) > MOST:
            raise ValueError(
                f"Lists of spikes have up to {MOST:,} columns and channels, got {size[2]:,} and "
                f"{channels:,}."
            )
        found = SpikeMap(size=size, channels=channels, places=self._places, counts=self._counts)
        self._places += found.lines * found.slot
        self._counts += found.lines
        return found

    def currents(self, size: Size, channels: int) -> CurrentMap:
        """Lay out a map of numbers, zeros at first."""
        numbers = self.keep(np.zeros(size[0] * size[1] * size[2] * channels, np.float32))
        return CurrentMap(size=size, channels=channels, numbers=numbers)

    def keep(self, values: npt.NDArray[np.float32]) -> int:
        """Keep numbers; return where they begin."""
        begin = self._numbers
        self._kept.append(np.ascontiguousarray(values, np.float32).reshape(-1))
        self._numbers += values.size
        return begin

    def keep_maps(self, there: Size, here: Size) -> int:
        """Keep, axis after axis, which place there each place here repeats; return where."""
        begin = self._maps
        for have, want in zip(there, here, strict=True):
            line = torch.arange(have, dtype=torch.float32).view(1, 1, -1)
            nearest = F.interpolate(line, size=want, mode="nearest").view(-1)
            self._kept_maps.append(nearest.to(torch.int32).numpy())
            self._maps += want
        return begin

    def arrays(self) -> Arrays:
        """Return the arrays; no spikes, numbers and maps as they were kept."""
        return Arrays(
            places=np.zeros(self._places, np.uint32),
            counts=np.zeros(self._counts, np.int32),
            numbers=np.concatenate([*self._kept, np.zeros(16, np.float32)]),
            maps=np.concatenate([*self._kept_maps, np.zeros(1, np.int32)]),
            clock=np.zeros(1, np.int64),
        )
