"""What a data set gives: one window of both cameras as tensors, with what is true of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """Samples side by side: ``left``, ``right`` ``[T, B, C, H, W]``, the rest ``[B, H, W]``."""

    left: Float32[Tensor, "T B C H W"]
    right: Float32[Tensor, "T B C H W"]
    disparity: Float32[Tensor, "B H W"]
    valid: Bool[Tensor, "B H W"]


def collate(samples: Sequence[StereoSample]) -> StereoBatch:
    """Return samples of equal size as one batch."""
    return StereoBatch(
        left=torch.stack([s.left for s in samples], dim=1),
        right=torch.stack([s.right for s in samples], dim=1),
        disparity=torch.stack([s.disparity for s in samples]),
        valid=torch.stack([s.valid for s in samples]),
    )
