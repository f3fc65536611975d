"""What every encoding is: events of one window in, a dense ``[T, C, H, W]`` tensor out.

Shapes: ``T`` time steps, ``C`` channels, ``H`` rows, ``W`` columns. Times are microseconds, windows
half-open ``[t0_us, t1_us)``. Events outside the window or the image are ignored. The window is cut
into slots; ``slots.py`` cuts it, ``kernels.py`` fills them, ``threads.py`` shares the work.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float32, Int64

from data.encode.kernels import F32, I32, I64, U16, Bool, Pixels, nearest
from data.encode.lent import lend
from data.encode.pixels import PixelMap
from data.encode.slots import uniform_edges
from data.encode.threads import Stages, run
from data.events import Events

EncodingClass = TypeVar("EncodingClass", bound="type[Encoding]")
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

LARGEST_SIDE = 65_535
"""Rows and columns that fit the uint16 coordinates of the kernels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """The events of one camera in one window, as the kernels take them.

    Attributes:
        t: ``[N]`` int64 microseconds.
        x: ``[N]`` uint16 or float32 column.
        y: ``[N]`` row.
        p: ``[N]`` bool.
        pixels: where raw pixels lie in the image, None where ``x`` and ``y`` say it.
        edges: ``[slots + 1]`` int64 microseconds.
        bounds: ``[slots + 1]`` int64, first event of each slot.
        height: rows of the image.
        width: columns of the image.
        camera: number of the camera among those encoded together.
    """

    t: I64
    x: Pixels
    y: Pixels
    p: Bool
    pixels: PixelMap | None
    edges: I64
    bounds: I64
    height: int
    width: int
    camera: int

    @property
    def clock(self) -> tuple[int, int]:
        """Start and length of the window in microseconds."""
        return int(self.edges[0]), int(self.edges[-1] - self.edges[0])

    def whole_pixels(self) -> tuple[U16, U16, I32]:
        """Return ``x``, ``y`` and the table of pixels, as most kernels take them."""
        table = np.empty((0, 0), np.int32)
        if self.pixels is not None:
            table = self.pixels.table(self.height, self.width)
        if self.x.dtype == np.uint16:
            return cast("U16", self.x), cast("U16", self.y), table
        x, y = np.empty(self.x.size, np.uint16), np.empty(self.x.size, np.uint16)
        nearest(cast("F32", self.x), cast("F32", self.y), self.width, self.height, x, y)
        return x, y, table


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceWindow:
    """The events of one camera in one window, as tensors on any device, off-image events removed.

    Attributes:
        t: ``[N]`` int64 microseconds.
        pixel: ``[N]`` int64, ``row * width + column``.
        x: ``[N]`` float32 column, before rounding.
        y: ``[N]`` float32 row.
        p: ``[N]`` bool.
        slot: ``[N]`` int64.
        edges: ``[slots + 1]`` int64 microseconds.
        height: rows of the image.
        width: columns of the image.
    """

    t: torch.Tensor
    pixel: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    p: torch.Tensor
    slot: torch.Tensor
    edges: torch.Tensor
    height: int
    width: int

    def zeros(self, *shape: int) -> torch.Tensor:
        """Return float32 zeros of a shape on the device of the events."""
        return torch.zeros(shape, dtype=torch.float32, device=self.t.device)


@dataclass(frozen=True, kw_only=True)
class Encoding(ABC):
    """A rule that turns a window of events into ``T`` dense images of ``C`` channels.

    To add one, subclass and ``register``: ``channels``, ``_tasks`` (kernels), ``_scatter`` (the
    same in torch), and ``_edges`` where slots are not of equal length.

    Attributes:
        name: key in ``ENCODINGS``.
        emits_spikes: True if every value is 0 or 1, so that the first layer only accumulates.
        version: rises when the values change, so that what was cached is made again.
        bins: sub-bins per time step, at least 1.
    """

    name: ClassVar[str]
    emits_spikes: ClassVar[bool] = False
    version: ClassVar[int] = 1

    bins: int = 1

    def __post_init__(self) -> None:
        """Refuse an encoding without bins."""
        if self.bins < 1:
            raise ValueError(f"An encoding needs at least 1 bin per time step, got {self.bins}.")

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of channels ``C`` of each time step."""

    def __call__(
        self,
        events: Events,
        *,
        steps: int,
        height: int,
        width: int,
        t0_us: int,
        t1_us: int,
        pixels: PixelMap | None = None,
        out: Float32[np.ndarray, "T C H W"] | None = None,
    ) -> Float32[np.ndarray, "T C H W"]:
        """Encode the events of ``[t0_us, t1_us)``.

        Args:
            events: raw or rectified events of one camera; not changed. Events at float coordinates
                go to the nearest pixel, unless the encoding says otherwise.
            steps: number of time steps ``T``.
            height: rows of the image.
            width: columns of the image.
            t0_us: start of the window, inclusive.
            t1_us: end of the window, exclusive.
            pixels: rectifies raw events on the way, without a pass of its own.
            out: where to write, contiguous; a new array unless given.

        Returns:
            ``[T, C, H, W]`` float32.

        Raises:
            ValueError: a size below 1, a window that ends before it has begun, an ``out`` of
                another shape, or rectified events together with ``pixels``.
        """
        shape = self._check(steps, height, width, t0_us, t1_us)
        (grid,) = self._encode([(events, pixels)], shape, t0_us, t1_us, [out])
        return grid

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
        pixels: tuple[PixelMap | None, PixelMap | None] = (None, None),
        out: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> tuple[Float32[np.ndarray, "T C H W"], Float32[np.ndarray, "T C H W"]]:
        """Encode both cameras with the same slots, side by side; see ``__call__``.

        Where slots depend on the events, both cameras together decide on them, so that a slot of
        the left camera and the same slot of the right one are always the same time.
        """
        shape = self._check(steps, height, width, t0_us, t1_us)
        cameras = [(left, pixels[0]), (right, pixels[1])]
        first, second = self._encode(cameras, shape, t0_us, t1_us, out or (None, None))
        return first, second

    def tensors(
        self,
        *cameras: Tensors,
        steps: int,
        height: int,
        width: int,
        t0_us: int,
        t1_us: int,
    ) -> tuple[Float32[torch.Tensor, "T C H W"], ...]:
        """Encode events that are tensors already, on the device where they are.

        Args:
            cameras: ``(t, x, y, p)`` of each camera: int64, integer or float32 pixels twice, bool;
                sorted by time. All cameras share the slots.
            steps: number of time steps ``T``.
            height: rows of the image.
            width: columns of the image.
            t0_us: start of the window, inclusive.
            t1_us: end of the window, exclusive.

        Returns:
            ``[T, C, H, W]`` float32 for each camera.

        Raises:
            ValueError: as ``__call__``.
        """
        shape = self._check(steps, height, width, t0_us, t1_us)
        bounds = [_searchsorted(t, [t0_us, t1_us]) for t, *_ in cameras]
        cut = [[column[a:b] for column in camera]
               for camera, (a, b) in zip(cameras, bounds, strict=True)]  # fmt: skip
        times = [columns[0].cpu().numpy() for columns in cut] if self.edges_need_events else []
        edges = self._edges(self._slots(steps), times, t0_us, t1_us)
        made = []
        for t, x, y, p in cut:
            place = torch.from_numpy(edges).to(t.device)
            # Halves go upward, in float64, as in `nearest`.
            col, row = (torch.floor(c.double() + 0.5).long() for c in (x, y))
            inside = (col >= 0) & (col < width) & (row >= 0) & (row < height)
            inside |= torch.full_like(inside, self.keeps_near_misses)
            slot = torch.searchsorted(place, t[inside], right=True) - 1
            window = DeviceWindow(
                t=t[inside], pixel=(row * width + col)[inside], x=x[inside].float(),
                y=y[inside].float(), p=p[inside].bool(), slot=slot, edges=place, height=height,
                width=width,
            )  # fmt: skip
            made.append(self._scatter(window, steps).reshape(shape))
        return tuple(made)

    edges_need_events: ClassVar[bool] = False
    """Whether ``_edges`` looks at the times of the events."""

    keeps_near_misses: ClassVar[bool] = False
    """Whether an event outside the image may still reach a pixel of it."""

    def _slots(self, steps: int) -> int:
        """Return the number of slots of a window."""
        return steps * self.bins

    def _edges(
        self, slots: int, times: Sequence[I64], t0_us: int, t1_us: int
    ) -> Int64[np.ndarray, "S"]:
        """Return the ``slots + 1`` edges; ``times`` are those of the events of every camera."""
        del times
        return uniform_edges(slots, t0_us, t1_us)

    @abstractmethod
    def _tasks(self, window: Window, out: F32) -> Stages:
        """Return what must run to fill ``out``, ``[T, C, H, W]`` contiguous and not yet zero."""

    @abstractmethod
    def _scatter(self, window: DeviceWindow, steps: int) -> torch.Tensor:
        """Return the same values in torch, in any shape of ``T C H W`` values."""

    def _check(
        self, steps: int, height: int, width: int, t0_us: int, t1_us: int
    ) -> tuple[int, int, int, int]:
        """Return the shape of the result; refuse an empty window or an empty tensor."""
        check_window(t0_us, t1_us, steps * self.bins)
        check_sizes(steps=steps, height=height, width=width)
        return steps, self.channels, height, width

    def _encode(
        self,
        cameras: Sequence[tuple[Events, PixelMap | None]],
        shape: tuple[int, int, int, int],
        t0_us: int,
        t1_us: int,
        outs: Sequence[F32 | None],
    ) -> list[F32]:
        """Encode every camera over the same slots, all in parallel."""
        cut = [events.window(t0_us, t1_us) for events, _ in cameras]
        edges = self._edges(self._slots(shape[0]), [e.t for e in cut], t0_us, t1_us)
        grids = [_output(out, shape) for out in outs]
        stages = []
        for n, (events, grid) in enumerate(zip(cut, grids, strict=True)):
            pixels = cameras[n][1]
            if pixels is not None and events.x.dtype != np.uint16:
                raise ValueError("These events are rectified already; a pixel map takes raw ones.")
            # Contiguous, because Numba would compile the kernel anew for strided columns.
            t, x, y, p = (np.ascontiguousarray(getattr(events, name)) for name in "txyp")
            window = Window(
                t=t, x=x, y=y, p=p, pixels=pixels, edges=edges, height=shape[2], width=shape[3],
                camera=n, bounds=np.searchsorted(t, edges, side="left").astype(np.int64),
            )  # fmt: skip
            stages.append(self._tasks(window, grid))
        run(stages)
        return grids


ENCODINGS: dict[str, type[Encoding]] = {}


def register(encoding: EncodingClass) -> EncodingClass:
    """Enter an encoding in ``ENCODINGS`` under its name, which must be new."""
    if encoding.name in ENCODINGS:
        raise ValueError(f"There already is an encoding named {encoding.name!r}.")
    ENCODINGS[encoding.name] = encoding
    return encoding


def check_window(t0_us: int, t1_us: int, slots: int) -> None:
    """Refuse a window that is empty, or so long that its times times slots overflow."""
    if t1_us <= t0_us:
        raise ValueError(f"A window must end after it begins, got [{t0_us}, {t1_us}) us.")
    if max(abs(t0_us), abs(t1_us), (t1_us - t0_us) * (slots + 1)) >= 2**62:
        raise ValueError(f"A window of [{t0_us}, {t1_us}) us is beyond what int64 can count.")


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that no image has."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}.")
        if size > LARGEST_SIDE:
            raise ValueError(f"{name} must be at most {LARGEST_SIDE}, got {size}.")


def _output(out: F32 | None, shape: tuple[int, ...]) -> F32:
    if out is None:
        return lend(shape)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be a contiguous float32 array {shape}, got {out.dtype} {out.shape}."
        )
    return out


def _searchsorted(t: torch.Tensor, edges: Sequence[int]) -> list[int]:
    """Return the first index at or after each edge."""
    found: list[int] = torch.searchsorted(t, torch.tensor(edges, device=t.device)).tolist()
    return found
