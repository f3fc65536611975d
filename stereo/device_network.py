"""A stereo network on a device: compiled, channels last, in half precision where that is fast."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nas.neurons.memory import remember
from stereo.checkpoint import channels_last
from stereo.errors import StereoError
from stereo.network import HybridStereo


class DeviceNetwork:
    """A copy of a network on a device, from frames in main memory to a disparity there.

    Args:
        network: in eval mode; stays where it is.
        device: where the copy goes.
        compiled: whether ``torch.compile`` makes one program of it, at the first call and anew for
            frames of another size. On a CPU that takes a C++ compiler and about a minute.
        half: whether convolutions are computed in float16. A membrane near its threshold then falls
            to the other side of it more often: spikes differ, and estimates where they do.
        remembers: whether neurons go on from call to call.
    """

    def __init__(
        self,
        network: HybridStereo,
        device: torch.device,
        *,
        compiled: bool = True,
        half: bool = False,
        remembers: bool = False,
    ) -> None:
        self.device, self.half = device, half
        self.network = channels_last(copy.deepcopy(network)).to(device).eval()
        remember(self.network, remembers)
        self._run: Any = self.network
        if compiled:
            self._run = torch.compile(self.network, dynamic=False)

    def __call__(
        self,
        left: Float[Tensor, "T 1 C H W"],
        right: Float[Tensor, "T 1 C H W"],
        max_disparity: int,
    ) -> Float[Tensor, "1 H W"]:
        """Return the disparity of the left view in pixels, as ``HybridStereo.forward``.

        Raises:
            StereoError: the network could not be compiled.
        """
        kind = self.device.type
        there = [x.to(self.device, non_blocking=True) for x in (left, right)]
        with torch.autocast(kind, dtype=torch.float16, enabled=self.half):
            try:
                found: Tensor = self._run(*there, max_disparity)
            except torch._dynamo.exc.TorchDynamoException as error:
                why = str(error).strip().splitlines() or [type(error).__name__]
                raise StereoError(
                    f"The network could not be compiled here: {why[0]} Use --executor dense."
                ) from error
        return found.float().cpu()
