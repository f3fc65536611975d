"""Batch norm folded into its convolution, for inference."""

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.dims import ConvNorm

Network = TypeVar("Network", bound=nn.Module)


def fold_norms(network: Network) -> Network:
    """Return a copy in eval mode in which every ``ConvNorm`` is a single convolution.

    The function is the same up to rounding; there is no norm left to run or to pay for.
    """
    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        if isinstance(module, ConvNorm) and not isinstance(module[1], nn.Identity):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return folded
