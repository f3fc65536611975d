"""What a data set gives: one window of both cameras as tensors, with what is true of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float32
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class StereoSample:
    """One window.

    Attributes:
        left: ``[T, C, H, W]`` encoded events.
        right: ``[T, C, H, W]``, same clock.
        disparity: ``[H, W]`` pixels of the left rectified view.
        valid: ``[H, W]`` where the disparity is known.
        t_us: end of the window, microseconds.
        meta: names and seeds, for tracing a sample back.
    """

    left: Float32[Tensor, "T C H W"]
    right: Float32[Tensor, "T C H W"]
    disparity: Float32[Tensor, "H W"]
    valid: Bool[Tensor, "H W"]
    t_us: int
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class StereoBatch:
    """Samples side by side: ``left``, ``right`` ``[T, B, C, H, W]``, the rest ``[B, H, W]``.

    ``t_us`` and ``meta`` are those of the samples, in their order.
    """

    left: Float32[Tensor, "T B C H W"]
    right: Float32[Tensor, "T B C H W"]
    disparity: Float32[Tensor, "B H W"]
    valid: Bool[Tensor, "B H W"]
    t_us: tuple[int, ...] = ()
    meta: tuple[Mapping[str, Any], ...] = ()

    def pin_memory(self) -> "StereoBatch":
        """Return the batch in page-locked memory; a ``DataLoader`` calls this."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "StereoBatch":
        """Return the batch on a device; from page-locked memory it may be on its way yet."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "StereoBatch":
        return replace(
            self,
            left=change(self.left),
            right=change(self.right),
            disparity=change(self.disparity),
            valid=change(self.valid),
        )


def collate(samples: Sequence[StereoSample], *, shared: bool = False) -> StereoBatch:
    """Return samples of equal size as one batch.

    Args:
        samples: at least one.
        shared: build the batch in memory that other processes can map.
    """
    return StereoBatch(
        left=_stack([s.left for s in samples], 1, shared),
        right=_stack([s.right for s in samples], 1, shared),
        disparity=_stack([s.disparity for s in samples], 0, shared),
        valid=_stack([s.valid for s in samples], 0, shared),
        t_us=tuple(s.t_us for s in samples),
        meta=tuple(s.meta for s in samples),
    )


def _stack(tensors: Sequence[Tensor], dim: int, shared: bool) -> Tensor:
    if not shared:
        return torch.stack(list(tensors), dim=dim)
    first = tensors[0]
    shape = [*first.shape[:dim], len(tensors), *first.shape[dim:]]
    # As torch's own collate does it; there is no public way to memory that starts out shared.
    size = first.numel() * first.element_size() * len(tensors)
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    out = torch.empty(0, dtype=first.dtype).set_(storage).reshape(shape)
    return torch.stack(list(tensors), dim=dim, out=out)
