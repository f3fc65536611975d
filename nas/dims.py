"""Layers chosen by dimension, so that no file exists twice for images and volumes.

Shapes: ``[N, C, *S]`` where ``S`` is ``H, W`` in 2-D and ``D, H, W`` in 3-D and ``N`` is ``T*B``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import GenotypeError

CONV: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm: spikes in, current out.

    The convolution carries a bias although the norm cancels it in training: the published networks
    have it, so parameter counts agree, and folding the norm for inference needs it anyway.

    Args:
        dimension: 2 or 3.
        inputs: channels in.
        outputs: channels out.
        kernel: size, equal along every axis.
        stride: equal along every axis; a kernel as large as its stride tiles the input unpadded.
        dilation: from one tap to the next, equal along every axis.
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        if dimension not in CONV:
            raise GenotypeError(f"Networks have dimension 2 or 3, got {dimension}.")
        tiles = kernel == stride and kernel > 1
        padding = 0 if tiles else dilation * (kernel // 2)
        super().__init__(
            CONV[dimension](
                inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation
            ),
            NORM[dimension](outputs),
        )


def level_size(size: tuple[int, ...], level: int) -> tuple[int, ...]:
    """Return the spatial size at a trellis level: halved ``level`` times, rounded up."""
    return tuple(-(-length // 2**level) for length in size)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return ``x`` ``[N, C, *S]`` at spatial ``size``, binary where ``x`` is binary.

    Going down takes the maximum of each cell of 2 (a spike anywhere is a spike; a nearest resize
    would drop three quarters of them in 2-D and seven eighths in 3-D), going up repeats.
    """
    if x.ndim == 4 and tuple(x.shape[2:]) != size:
        # Torch pools images with channels last several times as fast; convolutions want them so.
        x = x.contiguous(memory_format=torch.channels_last)
    while tuple(x.shape[2:]) != size and all(
        have >= want for have, want in zip(x.shape[2:], size, strict=True)
    ):
        pool = F.max_pool2d if x.ndim == 4 else F.max_pool3d
        x = pool(x, 2, ceil_mode=True)
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size=size, mode="nearest")
