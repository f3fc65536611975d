"""Left and right features -> cost volume.

Shapes: ``T`` steps, ``B`` batch, ``C`` channels, ``D`` planes, ``H, W`` at feature resolution.
"""

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


VOLUMES = {"coincidence": (coincidence_volume, 1), "concatenation": (concat_volume, 2)}
"""Cost volumes by the name that a configuration uses, and their channels per feature channel."""
