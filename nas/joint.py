"""Edges that read the same tensor, run together.

Convolutions of one kind (with other weights) read the same input, so they run as one convolution
with as many channels as all of them have together, and one norm. Nodes of a few channels would
otherwise spend their time in convolutions too narrow for the machine: oneDNN works on 16 channels
at a time, and goes back through wide ones several times as fast.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.dims import CONV, ConvNorm

PLAIN = (nn.BatchNorm2d, nn.BatchNorm3d)
"""Norms that can run as one; folded ones are none, and those that share their statistics with other
processes do more than this."""

Edge = tuple[int, nn.Module, Tensor | None]
"""Number of the node that reads, the operation, and the weight of its current; None for 1."""


def currents(x: Tensor, edges: Sequence[Edge], *, together: bool = True) -> dict[int, Tensor]:
    """Return the sum of the weighted currents of each node, ``[N, C_out, *S]``.

    Args:
        x: what all edges read, ``[N, C, *S]``.
        edges: of any number of nodes.
        together: False runs every edge by itself: the same up to rounding.
    """
    sums: dict[int, Tensor] = {}
    kinds: dict[tuple[object, ...], list[tuple[int, ConvNorm, Tensor | None]]] = {}
    if together:
        # From the usual layout oneDNN takes several times as long for the gradient of the weights,
        # unless the channels of the input are a multiple of 16.
        last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        x = x.contiguous(memory_format=last)
    for node, op, share in edges:
        if together and isinstance(op, ConvNorm) and type(op[1]) in PLAIN:
            kinds.setdefault(_kind(op), []).append((node, op, share))
        else:
            _add(sums, node, op(x) if share is None else share * op(x))
    for group in kinds.values():
        for node, current in _as_one(x, group):
            _add(sums, node, current)
    return sums


def _add(sums: dict[int, Tensor], node: int, current: Tensor) -> None:
    sums[node] = sums[node] + current if node in sums else current


def _kind(op: ConvNorm) -> tuple[object, ...]:
    """Return what convolutions must share to run as one."""
    conv = op[0]
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    return conv.kernel_size, conv.stride, conv.padding, conv.dilation


def _as_one(
    x: Tensor, group: Sequence[tuple[int, ConvNorm, Tensor | None]]
) -> list[tuple[int, Tensor]]:
    """Return the weighted current of each edge, of convolutions of one kind."""
    convs, norms = zip(*((op[0], op[1]) for _, op, _ in group), strict=True)
    first = convs[0]
    for conv in convs:  # whoever watches what it reads sees it as if it ran alone
        for watch in conv._forward_pre_hooks.values():
            watch(conv, (x,))
    convolve = F.conv2d if isinstance(first, CONV[2]) else F.conv3d
    z = convolve(
        x,
        torch.cat([conv.weight for conv in convs]),
        torch.cat([conv.bias for conv in convs]),
        first.stride, first.padding, first.dilation,
    )  # fmt: skip
    mean = torch.cat([norm.running_mean for norm in norms])
    variance = torch.cat([norm.running_var for norm in norms])
    # The weight of a current is a factor of its norm's scale and shift.
    shares = [share for *_, share in group]
    scale = torch.cat([_times(n.weight, s) for n, s in zip(norms, shares, strict=True)])
    shift = torch.cat([_times(n.bias, s) for n, s in zip(norms, shares, strict=True)])
    norm = norms[0]
    learning, momentum = norm.training, norm.momentum
    if momentum is None:  # the plain mean over all batches
        momentum = 1.0 / (1.0 + float(norm.num_batches_tracked))
    y = F.batch_norm(z, mean, variance, scale, shift, learning, momentum, norm.eps)
    if learning:
        _write_back(norms, mean, variance)
    widths = [conv.out_channels for conv in convs]
    parts = torch.split(y, widths, 1)
    return [(node, part) for (node, *_), part in zip(group, parts, strict=True)]


def _times(values: Tensor, share: Tensor | None) -> Tensor:
    return values if share is None else share * values


def _write_back(norms: Sequence[nn.Module], mean: Tensor, variance: Tensor) -> None:
    """Hand every norm its part of the running statistics."""
    with torch.no_grad():
        start = 0
        for norm in norms:
            assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            stop = start + norm.num_features
            norm.running_mean.copy_(mean[start:stop])
            norm.running_var.copy_(variance[start:stop])
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
            start = stop
