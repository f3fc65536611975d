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
            conv, norm = module[0], module[1]
            assert isinstance(conv, nn.Conv2d | nn.Conv3d)
            assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)
            module[0] = fuse_conv_bn_eval(conv, norm)
            module[1] = nn.Identity()
    return folded
