"""Scores over disparity planes -> disparity in pixels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

WINDOW = 2
"""Planes on either side of the best one that take part in the average."""


def upsample_scores(
    scores: Float[Tensor, "B D h w"], size: tuple[int, int]
) -> Float[Tensor, "B D H W"]:
    """Return the scores of every plane at full resolution, linear between coarse pixels."""
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=False)


def running_mean(steps: Float[Tensor, "T *rest"]) -> Float[Tensor, "T *rest"]:
    """Return the mean over the steps until each one."""
    counts = torch.arange(1, len(steps) + 1, device=steps.device, dtype=steps.dtype)
    return steps.cumsum(dim=0) / counts.view(-1, *[1] * (steps.ndim - 1))


def soft_argmax(
    scores: Float[Tensor, "B D H W"], spacing: float, window: int = WINDOW
) -> Float[Tensor, "B H W"]:
    """Return the mean disparity under softmax(scores) around the best plane.

    Averaging only near the best plane keeps two surfaces apart where the scores have two peaks.

    Args:
        scores: higher is better; plane ``k`` stands for disparity ``k * spacing``.
        spacing: pixels between planes.
        window: planes on either side of the best.

    Reference: the estimator of Practical Deep Stereo (Tulyakov et al., NeurIPS 2018).
    """
    planes = scores.shape[1]
    best = scores.argmax(dim=1, keepdim=True)
    offsets = torch.arange(-window, window + 1, device=scores.device).view(1, -1, 1, 1)
    index = best + offsets
    inside = (index >= 0) & (index < planes)
    near = scores.gather(1, index.clamp(0, planes - 1))
    weights = near.masked_fill(~inside, float("-inf")).softmax(dim=1)
    return (weights * index).sum(dim=1) * spacing
