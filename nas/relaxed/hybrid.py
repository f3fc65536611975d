"""Spiking or analog, undecided: the neuron and the readout of a stage that is being searched."""

from torch import Tensor, nn

from nas.neurons import NEURONS, LIFParams


class HybridNeuron(nn.Module):
    """A spiking neuron and a rectifier in one; with probability ``spiking`` it is the former.

    ``y = p neuron(x) + (1 - p) max(x, 0)``; at 0 and 1 exactly one of them, and only that one is
    computed.

    Args:
        neuron: the spiking one.
    """

    emits_spikes = True

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron
        self.rectifier = NEURONS["relu"](LIFParams())
        self.firing_rate = 0.0

    def forward(self, x: Tensor, spiking: Tensor) -> Tensor:
        """Return ``[T, B, ...]``, from currents of this shape.

        Args:
            x: currents.
            spiking: probability, 0-dim.
        """
        chance = float(spiking.detach())
        if chance == 0.0:
            out: Tensor = self.rectifier(x)
            return out
        spikes: Tensor = self.neuron(x)
        self.firing_rate = float(spikes.detach().mean()) if spikes.numel() else 0.0
        if chance == 1.0:
            return spikes
        mixture: Tensor = spiking * spikes + (1.0 - spiking) * self.rectifier(x)
        return mixture


class Readout(nn.Module):
    """Time steps, or their mean in place of each: where time may end.

    What lies behind a readout and is analog sees the same values at every step, so a network in
    which this is decided computes them once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counting = False
        """Whether energy is being counted: a mixture of spikes and their mean would be no spikes,
        so steps pass as they are."""

    def forward(self, x: Tensor, once: Tensor) -> Tensor:
        """Return ``x`` ``[T, B, ...]``, its mean at every step, or a mixture.

        Args:
            x: of all time steps.
            once: weight of the mean, 0-dim.
        """
        share = float(once.detach())
        if share == 0.0:
            return x
        mean = x.mean(0, keepdim=True).expand_as(x)
        if share == 1.0:
            return mean
        return x if self.counting else x + once * (mean - x)
