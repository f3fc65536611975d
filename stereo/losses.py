"""Losses over valid pixels. ``valid`` is bool ``[B, H, W]``; a batch without any gives zero."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def smooth_l1(
    disparity: Float[Tensor, "B H W"], truth: Float[Tensor, "B H W"], valid: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Return the mean smooth L1 distance in pixels over valid pixels."""
    loss = F.smooth_l1_loss(disparity, truth, reduction="none")
    return masked_mean(loss, valid)


def plane_cross_entropy(
    scores: Float[Tensor, "B D H W"],
    truth: Float[Tensor, "B H W"],
    valid: Bool[Tensor, "B H W"],
    spacing: float,
    diversity: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the cross-entropy between softmax(scores) and a Laplace target around the truth.

    The target of plane ``k`` is proportional to ``exp(-|k spacing - d| / diversity)``; its entropy
    is the floor of the loss (about 0.675 for planes of 3 px and diversity 1).

    Args:
        scores: plane ``k`` stands for disparity ``k * spacing`` pixels.
        truth: disparity ``d`` in pixels.
        valid: where the truth is known.
        spacing: pixels between planes.
        diversity: scale of the Laplace distribution, pixels.

    Reference: the sub-pixel cross-entropy of Practical Deep Stereo (Tulyakov et al., 2018).
    """
    disparities = torch.arange(scores.shape[1], device=scores.device) * spacing
    distance = (disparities.view(1, -1, 1, 1) - truth.unsqueeze(1)).abs()
    target = (-distance / diversity).softmax(dim=1)
    return masked_mean(-(target * scores.log_softmax(dim=1)).sum(dim=1), valid)


def masked_mean(values: Float[Tensor, "B H W"], mask: Bool[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Return the mean of ``values`` where ``mask`` holds, zero where it never does."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
