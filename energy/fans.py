"""Fan-out along one axis: how many outputs an input position feeds.

A convolution's fan-out is the product over its axes, so one table per axis counts every spike
exactly, at borders too: taps that fall on padding touch no input and are not counted.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Fan = npt.NDArray[np.int64]
"""``[length]``: how many outputs read each input along one axis."""


@lru_cache(maxsize=4096)
def conv_fan(length: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> Fan:
    """Return ``[length]``: how many outputs of a convolution read each input along one axis.

    Args:
        length: inputs along the axis.
        kernel: taps.
        stride: step between outputs.
        padding: zeros before and after.
        dilation: step between taps.
    """
    outputs = (length + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1
    fan = np.zeros(length, np.int64)
    for tap in range(kernel):
        where = np.arange(max(outputs, 0)) * stride - padding[0] + tap * dilation
        np.add.at(fan, where[(where >= 0) & (where < length)], 1)
    return fan


@lru_cache(maxsize=4096)
def transposed_fan(
    length: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int
) -> Fan:
    """Return ``[length]``: how many outputs of a transposed convolution each input is added to."""
    outputs = (length - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    start = np.arange(length) * stride - padding
    fan = np.zeros(length, np.int64)
    for tap in range(kernel):
        where = start + tap * dilation
        fan += (where >= 0) & (where < outputs)
    return fan


def pair(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return one integer per axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value) * (axes // len(value))
