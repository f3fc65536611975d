"""Kernels for lists of spikes, loaded or compiled while something else computes."""

from contextlib import suppress
from threading import Thread

import torch

from stereo.errors import StereoError
from stereo.event_network import EventNetwork
from stereo.network import HybridStereo

SIDE = 24
"""Rows and columns of the frame that kernels are compiled on: they are the same for all sizes."""


class ListKernels(Thread):
    """Runs a network once on lists without spikes, which makes its kernels.

    Where they are on disk from an earlier process that takes a second; the first one compiles them.
    The process waits for the thread at its end, so that they are on disk then.

    Args:
        network: on the CPU, in eval mode.
    """

    def __init__(self, network: HybridStereo) -> None:
        super().__init__(name="kernels for lists of spikes")
        self._network = network

    def run(self) -> None:
        """Make them; a network that lists cannot run needs none."""
        shape = 1, 1, self._network.encoding.channels, SIDE, SIDE
        nothing = torch.zeros(shape)
        with suppress(StereoError), torch.inference_mode():
            events = EventNetwork(self._network, SIDE, SIDE)
            for densely in (False, True):
                for node in events.nodes:
                    node.densely = densely
                events(nothing, nothing)
