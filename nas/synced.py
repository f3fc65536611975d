"""Several processes as one: averaged gradients, and batch norms over the batches of all.

With the batch of a step shared out over n processes in equal parts, ``average_gradients`` before
every optimizer step and synchronized norms make a search the same as in one process with the whole
batch, to rounding. Everything works with any backend of ``torch.distributed`` (torch's own
``SyncBatchNorm`` has no CPU kernels), and does nothing where no process group was initialized.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable


def rank_and_ranks() -> tuple[int, int]:
    """Return the number of this process and how many there are: ``(0, 1)`` without a group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_writer() -> bool:
    """Return whether this is the one process that writes files and reports."""
    return rank_and_ranks()[0] == 0


def average_gradients(gradients: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all processes, in place, in one message per type.

    Args:
        gradients: any tensors, of the same shapes and order in all processes.
    """
    ranks = rank_and_ranks()[1]
    if ranks == 1:
        return
    kinds = dict.fromkeys((tensor.dtype, tensor.device) for tensor in gradients)
    for kind in kinds:
        own = [tensor for tensor in gradients if (tensor.dtype, tensor.device) == kind]
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in own])
        distributed.all_reduce(flat)
        flat /= ranks
        parts = torch.split(flat, [tensor.numel() for tensor in own])
        for tensor, part in zip(own, parts, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))


def share_state(model: nn.Module) -> None:
    """Give all processes the parameters and buffers of the writer, in place."""
    if rank_and_ranks()[1] == 1:
        return
    for tensor in model.state_dict().values():
        if isinstance(tensor, Tensor):
            distributed.broadcast(tensor, 0)


def synchronize_norms(model: nn.Module) -> int:
    """Make all batch norms of a model share their statistics over all processes, in place.

    They stay the same objects with the same names in the state, and batch norms to ``isinstance``.
    In evaluation they are plain ones, and in training while there is one process only.

    Returns:
        How many there are now.

    Raises:
        TypeError: a batch norm of a type of its own, whose statistics cannot be shared here.
    """
    if rank_and_ranks()[1] == 1:
        return 0
    synced = {
        nn.BatchNorm1d: SyncedNorm1d, nn.BatchNorm2d: SyncedNorm2d, nn.BatchNorm3d: SyncedNorm3d,
    }  # fmt: skip
    found = 0
    for name, module in model.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if type(module) in synced:
            module.__class__ = synced[type(module)]
        elif not isinstance(module, _Synced):
            raise TypeError(
                f"{name} is a {type(module).__name__}; statistics can be shared by "
                f"{', '.join(kind.__name__ for kind in synced)} alone. Use one of these."
            )
        found += 1
    return found


class _Synced(nn.modules.batchnorm._BatchNorm):
    """A batch norm whose batch is that of all processes together."""

    def forward(self, x: Tensor) -> Tensor:
        by_batch = self.training or self.running_mean is None
        if not by_batch or rank_and_ranks()[1] == 1:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        y, mean, variance, count = _Normalize.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.eps
        )
        if self.training and self.track_running_stats:
            self._follow(mean, variance, count)
        return y  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, as one process with the whole batch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


class SyncedNorm1d(_Synced, nn.BatchNorm1d):
    """``nn.BatchNorm1d`` over the batches of all processes; made by ``synchronize_norms``."""


class SyncedNorm2d(_Synced, nn.BatchNorm2d):
    """``nn.BatchNorm2d`` over the batches of all processes; made by ``synchronize_norms``."""


class SyncedNorm3d(_Synced, nn.BatchNorm3d):
    """``nn.BatchNorm3d`` over the batches of all processes; made by ``synchronize_norms``."""


class _Normalize(torch.autograd.Function):
    """Normalize ``x`` ``[N, C, *S]`` by the statistics of all processes, one message each way.

    What is kept for the way back is the input and two numbers per channel, as in torch's own norm.
    The gradient of weight and bias is this process's part; that of the input is whole.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [n for n in range(x.ndim) if n != 1]
        # The moments of each part are taken about its own mean and put together in float64, where
        # subtracting the square of the mean costs no digits that float32 has.
        kept = x if x.dtype == torch.float64 else x.float()
        variance, mean = (v.double() for v in torch.var_mean(kept, axes, correction=0))
        count = x.numel() // x.shape[1]
        sums = torch.cat(
            [count * mean, count * (variance + mean.square()), mean.new_full((1,), count)]
        )
        distributed.all_reduce(sums)
        channels, total = x.shape[1], sums[-1]
        mean = sums[:channels] / total
        variance = (sums[channels:-1] / total - mean.square()).clamp_min(0.0)
        mean, variance = mean.to(kept.dtype), variance.to(kept.dtype)
        y = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), total)
        ctx.mark_non_differentiable(mean, variance, total)
        return y, mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, mean, scale, total = ctx.saved_tensors
        axes, shape = [n for n in range(x.ndim) if n != 1], [1, -1] + [1] * (x.ndim - 2)
        normal = (x.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        dy = dy.to(mean.dtype)
        by_bias, by_weight = dy.sum(axes), (dy * normal).sum(axes)
        dx = None
        if ctx.needs_input_grad[0]:
            sums = torch.cat([by_bias, by_weight]).double()
            distributed.all_reduce(sums)
            first, second = (sums / total).to(mean.dtype).view(2, *shape)
            slope = scale if weight is None else scale * weight.to(mean.dtype)
            dx = ((dy - first - normal * second) * slope.view(shape)).to(x.dtype)
        if weight is None:
            return dx, None, None, None
        return dx, by_weight.to(weight.dtype), by_bias.to(weight.dtype), None
