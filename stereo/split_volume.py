"""The first 3-D convolution on a concatenation volume, as 2-D ones: the volume is never built.

A plane of the volume holds the left features and the right ones shifted by its disparity, so the
convolution of 3 x 3 x 3 is a sum of two images that are looked up: one of the left features at
``x`` and one of the right features at ``x - d``. What differs from place to place is which taps
there are: the first and the last plane lack some, so do the last column and the places next to
``x = d``, left of which the right view does not reach. Each of these gets weights of its own.

Shapes: ``F`` features, ``O`` outputs, ``D`` planes, ``h, w`` rows and columns.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

REACH = 2
"""Largest difference of a tap along columns and one along planes."""

TAPS = (-1, 0, 1)


@dataclass(frozen=True, eq=False)
class SplitConvolution:
    """The convolution, laid out for a number of planes.

    Attributes:
        left: ``[K, R, O, F, 3, 3]``: of each kind of plane, and of places ``x - d`` from ``-REACH``
            to ``REACH``, the last of which stands for all that follow.
        right: ``[K, 2, O, F, 3, 5]``: of each kind of plane, without and with the last column's.
        kinds: kind of every plane.
    """

    left: Float[Tensor, "K R O F 3 3"]
    right: Float[Tensor, "K 2 O F 3 5"]
    kinds: tuple[int, ...]

    @classmethod
    def of(cls, weight: Float[Tensor, "O F2 3 3 3"], planes: int) -> "SplitConvolution":
        """Lay out a convolution of 3 x 3 x 3 with padding.

        Args:
            weight: the left view's channels first; axes of planes, rows and columns.
            planes: of the volume, 1 or more.
        """
        weight = weight.detach().float()
        there = [tuple(z for z in TAPS if 0 <= plane + z < planes) for plane in range(planes)]
        kinds = list(dict.fromkeys(there))
        first, second = weight.chunk(2, dim=1)
        return cls(
            left=torch.stack([_left(first, kind) for kind in kinds]),
            right=torch.stack([_right(second, kind) for kind in kinds]),
            kinds=tuple(kinds.index(kind) for kind in there),
        )

    def write(
        self,
        left: Float[Tensor, "F h w"],
        right: Float[Tensor, "F h w"],
        out: Float[Tensor, "D h w O"],
    ) -> None:
        """Write the convolution of the volume of both views.

        Args:
            left: features of the left view.
            right: of the right one.
            out: gets the outputs.
        """
        planes, _, width, _ = out.shape
        near = min(width, planes + REACH + 1)
        kinds, offsets = self.left.shape[:2]
        whole = _convolved(left, self.left[:, -1], (1, 1))
        # Of the columns where some taps are missing, with the neighbors that their taps reach.
        edge = _convolved(left[..., :near], self.left[:, :-1].flatten(0, 1), (1, 1))
        edge = edge.reshape(*edge.shape[:2], kinds, offsets - 1, -1)
        shifted = _convolved(right, self.right[:, 0], (2 * REACH, REACH))
        last = _convolved(right, self.right[:, 1], (2 * REACH, REACH))
        for plane, kind in enumerate(self.kinds):
            begin = max(0, plane - REACH)
            out[plane, :, :begin] = 0
            if begin >= width:
                continue
            own = out[plane, :, begin:]
            # Column x reads place x - plane of the right view; places begin at -REACH.
            place = begin - plane + REACH
            own.copy_(shifted[:, place : place + width - begin, kind])
            own[:, -1] = last[:, width - 1 - plane + REACH, kind]
            full = min(width, plane + REACH)
            for x in range(begin, full):
                own[:, x - begin] += edge[:, x, kind, x - plane + REACH]
            own[:, full - begin :] += whole[:, full:, kind]


def _left(weight: Tensor, planes: tuple[int, ...]) -> Float[Tensor, "R O F 3 3"]:
    """Return the weights of the left view at ``x - d`` from ``-REACH`` to ``REACH``."""
    found = weight.new_zeros((2 * REACH + 1, *weight.shape[:2], 3, 3))
    for offset in range(-REACH, REACH + 1):
        for z in planes:
            for x in TAPS:
                if offset + x - z >= 0:
                    found[offset + REACH, ..., x + 1] += weight[:, :, z + 1, :, x + 1]
    return found


def _right(weight: Tensor, planes: tuple[int, ...]) -> Float[Tensor, "2 O F 3 5"]:
    """Return the weights of the right view, elsewhere and in the last column."""
    found = weight.new_zeros((2, *weight.shape[:2], 3, 2 * REACH + 1))
    for z in planes:
        for x in TAPS:
            for kind in range(2):
                if not (kind == 1 and x == 1):
                    found[kind, ..., x - z + REACH] += weight[:, :, z + 1, :, x + 1]
    return found


def _convolved(
    x: Float[Tensor, "F h w"], weights: Float[Tensor, "K O F 3 n"], columns: tuple[int, int]
) -> Float[Tensor, "h v K O"]:
    """Return several convolutions of an image, padded by a row and by so many columns."""
    kinds, outputs = weights.shape[:2]
    padded = torch.nn.functional.pad(x[None], (*columns, 1, 1))
    padded = padded.contiguous(memory_format=torch.channels_last)
    stacked = weights.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    found: Tensor = torch.ops.aten.mkldnn_convolution(
        padded, stacked, None, [0, 0], [1, 1], [1, 1], 1
    )
    last = found[0].permute(1, 2, 0)
    return last.reshape(*last.shape[:2], kinds, outputs)
