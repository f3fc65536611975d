"""Small stereo networks that fire, for tests that need something to agree on."""

import torch
from torch import nn

from nas.dims import ConvNorm
from nas.fold import fold_norms
from stereo.network import HybridStereo
from stereo.presets import PRESETS


def exact_network(seed=0, steps=2, **changes):
    """Return a network whose sums are exact in any order: weights are multiples of 1/64."""
    torch.manual_seed(seed)
    config = PRESETS["tiny"]()
    config = config.override({"encoding.steps": str(steps), **changes})
    network = fold_norms(HybridStereo(config))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ConvNorm | nn.Conv3d):
                for parameter in module.parameters():
                    parameter.copy_((parameter * 3 * 64).round() / 64)
    return network.eval()
