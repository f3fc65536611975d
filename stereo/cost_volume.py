"""Left and right features -> cost volume.

Shapes: ``T`` steps, ``B`` batch, ``C`` channels, ``D`` planes, ``H, W`` at feature resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def coincidence_volume(
    left: Float[Tensor, "T B C H W"], right: Float[Tensor, "T B C H W"], planes: int
) -> Float[Tensor, "T B C D H W"]:
    """Return where both views fire at once, for each disparity.

    Plane ``d`` holds ``left[x] * right[x - d]`` for ``x >= d`` and zeros where the right view does
    not reach. Of binary features the product is a logical AND: the volume stays binary and has
    half the channels, and evidence for a match is a spike instead of something to be learned.

    Args:
        left: features of the left view.
        right: features of the right view.
        planes: ``D``, disparities 0 to ``D - 1`` in feature pixels.
    """
    steps, batch, channels, height, width = left.shape
    # Channels last in memory: the convolution that follows reads it as it lies.
    volume = left.new_zeros((steps, batch, planes, height, width, channels)).movedim(-1, 2)
    for d in range(min(planes, width)):
        volume[..., d, :, d:] = left[..., d:] * right[..., : width - d]
    return volume


def concat_volume(
    left: Float[Tensor, "T B C H W"], right: Float[Tensor, "T B C H W"], planes: int
) -> Float[Tensor, "T B 2*C D H W"]:
    """Return both features side by side, the right one shifted by each disparity.

    Plane ``d`` holds ``left[x]`` and ``right[x - d]`` for ``x >= d`` and zeros where the right view
    does not reach. Binary features give a binary volume.

    Args:
        left: features of the left view.
        right: features of the right view.
        planes: ``D``, disparities 0 to ``D - 1`` in feature pixels.
    """
    steps, batch, channels, height, width = left.shape
    # Channels last in memory: the convolution that follows reads it as it lies.
    volume = left.new_zeros((steps, batch, planes, height, width, 2 * channels)).movedim(-1, 2)
    for d in range(min(planes, width)):
        volume[:, :, :channels, d, :, d:] = left[..., d:]
        volume[:, :, channels:, d, :, d:] = right[..., : width - d]
    return volume


@torch.no_grad()
def fine_coincidences(
    left: Float[Tensor, "T B C H W"], right: Float[Tensor, "T B C H W"], planes: int, stride: int
) -> Float[Tensor, "T B {stride}*C D h w"]:
    """Return where events of both cameras coincide, compared pixel by pixel.

    Channel ``s * C + c`` of plane ``d`` spikes if ``left[y, x] * right[y, x - e]`` does at any of
    the ``stride`` by ``stride`` pixels of a place, for the disparity ``e = d * stride + s - stride
    // 2``. So a plane knows on which side of it a match lies, and events that only lie near each
    other do not match, as they do after pooling.

    Args:
        left: events of the left view, binary; height and width are multiples of ``stride``.
        right: likewise of the right one.
        planes: ``D``.
        stride: pixels of disparity from plane to plane, and pixels across a square.
    """
    steps, batch, channels, height, width = left.shape
    size = (steps, batch, planes, height // stride, width // stride, stride * channels)
    volume = left.new_zeros(size).movedim(-1, 2)
    for d in range(planes):
        for s in range(stride):
            shift = d * stride + s - stride // 2
            if 0 <= shift < width:
                both = F.pad(left[..., shift:] * right[..., : width - shift], (shift, 0))
                pooled = F.max_pool2d(both.flatten(0, 1), stride)
                here = volume[:, :, s * channels : (s + 1) * channels, d]
                here.copy_(pooled.view(here.shape))
    return volume


@dataclass(frozen=True)
class Volume:
    """One kind of cost volume.

    Attributes:
        build: makes it of left and right features and the number of planes.
        ratio: its channels per feature channel.
        fine: whether events are compared at full resolution (``fine_coincidences``) and put beside
            what learned features give; they are features themselves otherwise, pooled.
    """

    build: Callable[[Tensor, Tensor, int], Tensor]
    ratio: int
    fine: bool = False


VOLUMES = {
    "coincidence": Volume(coincidence_volume, 1),
    "fine": Volume(coincidence_volume, 1, fine=True),
    "concatenation": Volume(concat_volume, 2),
}
"""Cost volumes by the name that a configuration uses."""
