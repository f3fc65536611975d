"""All edges that start at one tensor: every candidate of every node that may read it.

Candidates of one kind (the same convolution, with other weights) read the same input, so they run
as one convolution with as many channels as all of them have together, and one norm whose scale
carries the weights of the mixture. A search at a few channels per node would otherwise spend its
time in convolutions too narrow for the machine.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.dims import CONV, ConvNorm
from nas.ops import OPS


class MixedOp(nn.Module):
    """The candidates of one edge.

    Args:
        dimension: 2 or 3.
        inputs: channels in.
        outputs: channels out.
        candidates: names in ``OPS``.
    """

    def __init__(
        self, dimension: int, inputs: int, outputs: int, candidates: Sequence[str]
    ) -> None:
        super().__init__()
        self.ops = nn.ModuleDict({n: OPS[n](dimension, inputs, outputs) for n in candidates})


class Fan(nn.Module):
    """The edges that start at one tensor.

    Args:
        dimension: 2 or 3.
        inputs: channels of the tensor.
        outputs: channels of a node.
        nodes: numbers of the nodes that may read it.
        candidates: names in ``OPS``.
        portion: only every ``portion``-th channel of the tensor is looked at, which saves work and
            memory while searching (the weights are of no use afterwards).
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        outputs: int,
        nodes: Sequence[int],
        candidates: Sequence[str],
        portion: int = 1,
    ) -> None:
        super().__init__()
        self.portion = portion
        self.outputs = outputs
        seen = -(-inputs // portion)
        self.nodes = nn.ModuleDict(
            {str(n): MixedOp(dimension, seen, outputs, candidates) for n in nodes}
        )
        self.together = True

    def forward(self, x: Tensor, weights: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the current ``[N, outputs, *S]`` that each node receives; None for none at all.

        Args:
            x: ``[N, inputs, *S]``.
            weights: of each node, ``[K]`` weights of the candidates.
        """
        if self.portion > 1:
            x = x[:, :: self.portion]
        if self.together:
            # From the usual layout oneDNN takes several times as long for the gradient of the
            # weights, unless the channels of the input are a multiple of 16.
            last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
            x = x.contiguous(memory_format=last)
        currents: list[Tensor | None] = [None] * len(self.nodes)
        kinds: dict[tuple[object, ...], list[tuple[int, ConvNorm, Tensor]]] = {}
        for n, (mixed, shares) in enumerate(zip(self.nodes.values(), weights, strict=True)):
            assert isinstance(mixed, MixedOp)
            live = shares.detach().tolist()
            for op, share, value in zip(mixed.ops.values(), shares.unbind(), live, strict=True):
                if value == 0.0:  # not drawn, or decided against
                    continue
                if self.together and isinstance(op, ConvNorm):
                    kinds.setdefault(_kind(op), []).append((n, op, share))
                else:
                    currents[n] = _plus(currents[n], share * op(x))
        for group in kinds.values():
            for n, current in _as_one(x, group, self.outputs):
                currents[n] = _plus(currents[n], current)
        return currents


def _kind(op: ConvNorm) -> tuple[object, ...]:
    """Return what convolutions must share to run as one."""
    conv = op[0]
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    return conv.kernel_size, conv.stride, conv.padding, conv.dilation


def _as_one(
    x: Tensor, group: Sequence[tuple[int, ConvNorm, Tensor]], outputs: int
) -> list[tuple[int, Tensor]]:
    """Return the sum of weighted currents of each node, of convolutions of one kind."""
    convs, norms = zip(*((op[0], op[1]) for _, op, _ in group), strict=True)
    first = convs[0]
    convolve = F.conv2d if isinstance(first, CONV[2]) else F.conv3d
    z = convolve(
        x,
        torch.cat([conv.weight for conv in convs]),
        torch.cat([conv.bias for conv in convs]),
        first.stride, first.padding, first.dilation,
    )  # fmt: skip
    mean = torch.cat([norm.running_mean for norm in norms])
    variance = torch.cat([norm.running_var for norm in norms])
    # The weight of a candidate in the mixture is a factor of its norm's scale and shift.
    scale = torch.cat([share * norm.weight for norm, (*_, share) in zip(norms, group, strict=True)])
    shift = torch.cat([share * norm.bias for norm, (*_, share) in zip(norms, group, strict=True)])
    learning = norms[0].training
    momentum = norms[0].momentum or 0.0
    y = F.batch_norm(z, mean, variance, scale, shift, learning, momentum, norms[0].eps)
    if learning:
        _write_back(norms, mean, variance)
    sums: dict[int, Tensor] = {}
    for (n, _, _), current in zip(group, torch.split(y, outputs, 1), strict=True):
        sums[n] = sums[n] + current if n in sums else current
    return list(sums.items())


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


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
