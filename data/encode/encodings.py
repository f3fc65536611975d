"""Encodings: the events of one window as a dense tensor.

Shapes: ``T`` time steps, ``C`` channels, ``H`` rows, ``W`` columns. Times are microseconds, windows
half-open ``[t0_us, t1_us)``. Events outside the window or the image are ignored; events at float
(rectified) coordinates go to the nearest pixel. To add an encoding, register a subclass of
``Encoding``: tests, documentation and the network read the registry.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

import numpy as np
from jaxtyping import Float32

from data.encode.kernels import I64, Bool, Pixels, add_spikes, add_voxels
from data.events import Events

EncodingClass = TypeVar("EncodingClass", bound="type[Encoding]")


@dataclass(frozen=True, kw_only=True)
class Encoding(ABC):
    """A rule that turns a window of events into ``T`` dense images of ``C`` channels.

    Attributes:
        name: key in ``ENCODINGS``.
        emits_spikes: True if every value is 0 or 1, so that the first layer only accumulates.
        bins: sub-bins per time step, at least 1.
    """

    name: ClassVar[str]
    emits_spikes: ClassVar[bool]

    bins: int = 1

    def __post_init__(self) -> None:
        """Refuse an encoding without bins."""
        if self.bins < 1:
            raise ValueError(f"An encoding needs at least 1 bin per time step, got {self.bins}.")

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of channels ``C`` of each time step."""

    @abstractmethod
    def __call__(
        self, events: Events, *, steps: int, height: int, width: int, t0_us: int, t1_us: int
    ) -> Float32[np.ndarray, "T C H W"]:
        """Encode the events of ``[t0_us, t1_us)``.

        Args:
            events: raw or rectified events of one camera; not changed.
            steps: number of time steps ``T``.
            height: rows of the image.
            width: columns of the image.
            t0_us: start of the window, inclusive.
            t1_us: end of the window, exclusive.

        Returns:
            ``[T, C, H, W]`` float32.

        Raises:
            ValueError: a size below 1, or a window that ends before it has begun.
        """

    def pair(
        self,
        left: Events,
        right: Events,
        *,
        steps: int,
        height: int,
        width: int,
        t0_us: int,
        t1_us: int,
    ) -> tuple[Float32[np.ndarray, "T C H W"], Float32[np.ndarray, "T C H W"]]:
        """Encode both cameras on one time axis; see ``__call__``."""
        first, second = (
            self(events, steps=steps, height=height, width=width, t0_us=t0_us, t1_us=t1_us)
            for events in (left, right)
        )
        return first, second


ENCODINGS: dict[str, type[Encoding]] = {}


def register(encoding: EncodingClass) -> EncodingClass:
    """Enter an encoding in ``ENCODINGS`` under its name, which must be new."""
    if encoding.name in ENCODINGS:
        raise ValueError(f"There already is an encoding named {encoding.name!r}.")
    ENCODINGS[encoding.name] = encoding
    return encoding


@register
@dataclass(frozen=True, kw_only=True)
class Spikes(Encoding):
    """Binary ON/OFF spikes: 1 where at least one event of that polarity falls in the sub-bin.

    The window is cut into ``T * bins`` equal slots; slot ``s`` is step ``s // bins``, sub-bin
    ``s % bins``. Channel ``2 * sub-bin + polarity``, OFF = 0 and ON = 1.
    Invariant: values are 0 or 1, and doubling or reordering equal events changes nothing.
    """

    name: ClassVar[str] = "spikes"
    emits_spikes: ClassVar[bool] = True

    @property
    def channels(self) -> int:
        """Two polarities for each sub-bin."""
        return 2 * self.bins

    def __call__(
        self, events: Events, *, steps: int, height: int, width: int, t0_us: int, t1_us: int
    ) -> Float32[np.ndarray, "T C H W"]:
        """Encode the events of ``[t0_us, t1_us)``; see ``Encoding.__call__``."""
        _check(t0_us, t1_us, steps=steps, height=height, width=width)
        out = np.zeros((steps * self.bins, 2, height, width), np.float32)
        add_spikes(*_columns(events, t0_us, t1_us), t0_us, t1_us, out)
        return out.reshape(steps, self.channels, height, width)


@register
@dataclass(frozen=True, kw_only=True)
class Voxel(Encoding):
    """Signed voxels: one ``voxel_grid`` of ``T * bins`` bins over the window, ``bins`` per step.

    An event between the last bin of a step and the first of the next is split between the steps.
    Invariant: the sum of all values is the number of ON minus the number of OFF events.
    """

    name: ClassVar[str] = "voxel"
    emits_spikes: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        """One channel for each bin."""
        return self.bins

    def __call__(
        self, events: Events, *, steps: int, height: int, width: int, t0_us: int, t1_us: int
    ) -> Float32[np.ndarray, "T C H W"]:
        """Encode the events of ``[t0_us, t1_us)``; see ``Encoding.__call__``."""
        _check(t0_us, t1_us, steps=steps, height=height, width=width)
        grid = voxel_grid(
            events, bins=steps * self.bins, height=height, width=width, t0_us=t0_us, t1_us=t1_us
        )
        return grid.reshape(steps, self.bins, height, width)


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
    _check(t0_us, t1_us, bins=bins, height=height, width=width)
    grid = np.zeros((bins, height, width), np.float32)
    add_voxels(*_columns(events, t0_us, t1_us), t0_us, t1_us, grid)
    return grid


def _columns(events: Events, t0_us: int, t1_us: int) -> tuple[I64, Pixels, Pixels, Bool]:
    """Return contiguous t, x, y, p of the events in the window."""
    first, last = np.searchsorted(events.t, (t0_us, t1_us), side="left")
    window = slice(int(first), int(last))
    # Contiguous, because Numba would compile the kernel anew for strided columns.
    return (
        np.ascontiguousarray(events.t[window]),
        cast("Pixels", np.ascontiguousarray(events.x[window])),
        cast("Pixels", np.ascontiguousarray(events.y[window])),
        np.ascontiguousarray(events.p[window]),
    )


def _check(t0_us: int, t1_us: int, **sizes: int) -> None:
    """Refuse an empty window or an empty tensor."""
    if t1_us <= t0_us:
        raise ValueError(f"A window must end after it begins, got [{t0_us}, {t1_us}) us.")
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}.")
