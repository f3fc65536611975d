"""Break-even: how often spikes may come before the analog twin of a layer is cheaper.

The unit is that of the literature: spikes per synapse per inference, the accumulates of a layer
over the multiply-accumulates of its analog twin, which is the same layer run once, densely. What
the numbers leave out is the neurons, which have rows of their own.
"""

from dataclasses import dataclass, replace

from energy.errors import EnergyError
from energy.layers import LayerCounts, LayerEnergy
from energy.memory import memory_uj
from energy.technology import Technology


@dataclass(frozen=True, kw_only=True)
class PublishedRange:
    """A published range of break-even.

    Attributes:
        low: its lower end, spikes per synapse per inference.
        high: its upper end.
        source: where it stands.
    """

    low: float
    high: float
    source: str


DAMPFHOFFER = PublishedRange(
    low=0.15,
    high=1.38,
    source="M. Dampfhoffer et al., IEEE TETCI 7(3):731-741, ieee 9927729: range in which networks "
    "of integrate-and-fire neurons compete with analog ones once memory accesses are counted",
)
"""What every break-even is to be read beside. Known to us from the abstract."""

YAN = (
    "Z. Yan, Z. Bai, W.-F. Wong, Reconsidering the energy efficiency of spiking neural networks, "
    "arXiv 2409.08290; s* ~ ceil(log2(T + 1)) / (8 T) per step as re-implemented in spyx"
)
"""Source of :func:`memory_aware`."""


def ac_only(technology: Technology) -> float | None:
    """Return the break-even if arithmetic were all: the price of a MAC over that of an AC.

    It depends on the precision alone (3.75 for fp16, 32 for int32), and memory moves it down by
    orders of magnitude: never quote it alone. None where either price is unknown or zero.
    """
    if technology.mac_pj is None or not technology.ac_pj:
        return None
    return technology.mac_pj / technology.ac_pj


def memory_aware(steps: int, *, weight_bits: int = 8) -> float:
    """Return the break-even where fetching weights from DRAM is all that counts.

    The twin is a quantized network whose activations tell ``T + 1`` levels apart, in ``ceil(log2(T
    + 1))`` bits, weights alike, each fetched once; the spiking network fetches one weight of
    ``weight_bits`` bits per accumulate. The published rule is a firing rate per step,
    :func:`memory_aware_rate`; this is ``T`` times that. Source: ``YAN``.

    Args:
        steps: time steps T of the spiking network.
        weight_bits: bits of its weights.

    Raises:
        EnergyError: no step, or no bit.
    """
    if steps < 1 or weight_bits < 1:
        raise EnergyError(
            f"Break-even needs at least one step and one bit of weight, got {steps} and "
            f"{weight_bits}."
        )
    # The bits of the integer T are ceil(log2(T + 1)), without rounding.
    return steps.bit_length() / weight_bits


def memory_aware_rate(steps: int, *, weight_bits: int = 8) -> float:
    """Return :func:`memory_aware` as a firing rate per time step, as it is published."""
    return memory_aware(steps, weight_bits=weight_bits) / steps


def breakeven(
    counts: LayerCounts,
    technology: Technology,
    *,
    samples: int,
    steps: int,
    memory: str | None = None,
) -> float | None:
    """Return the spikes per synapse per inference below which the layer beats its analog twin.

    Without a memory model this is :func:`ac_only`. With one, the accesses of the layer and of its
    twin are priced too: the energy of an event-driven layer is a straight line over its spikes,
    which is known from a step without spikes and from one in which every input spikes.

    Args:
        counts: totals of the layer.
        technology: prices.
        samples: inferences in the counts.
        steps: time steps of one inference in which the layer ran.
        memory: name of a memory model.

    Returns:
        The break-even; 0 if the layer costs more even when silent; None for a layer whose input
        is analog, wholly or partly, or if there is no price to compare.

    Raises:
        EnergyError: unknown memory model, or no prices for it.
    """
    if not counts.dense or not counts.spiking_inputs or counts.mac or technology.mac_pj is None:
        return None
    if memory is None:
        return ac_only(technology)
    runs = samples * steps
    base = replace(counts, ac=0, mac=0, spikes=0, spiking_inputs=counts.inputs)
    silent = _step_uj(base, technology, runs, memory)
    full = replace(base, ac=counts.dense, spikes=counts.inputs)
    slope = _step_uj(full, technology, runs, memory) - silent
    if slope <= 0:
        return None
    analog = replace(base, mac=counts.dense, spiking_inputs=0)
    twin = _step_uj(analog, technology, runs, memory)
    return max(0.0, (twin - steps * silent) / slope)


def _step_uj(counts: LayerCounts, technology: Technology, runs: int, memory: str | None) -> float:
    """Return the energy of one step of one sample: every run of the layer is one inference."""
    mac_pj = technology.mac_pj or 0.0
    energy_uj = (counts.ac * technology.ac_pj + counts.mac * mac_pj) / runs * 1e-6
    if memory is not None:
        energy_uj += memory_uj(memory, counts, technology, samples=runs, steps=1)
    return energy_uj


def verdict(layer: LayerEnergy) -> str:
    """Return in words whether spikes pay in a layer; empty for what has no synapses.

    "spiking pays 3.2x" says that it could fire 3.2 times as much before the analog twin were as
    cheap; without a memory model this is also the ratio of the two energies. "analog pays 1.5x" is
    the reverse.
    """
    if not layer.dense:
        return ""
    if layer.spikes_per_synapse is None:
        return "analog"
    if layer.mac:
        return "partly analog: no twin"
    if layer.breakeven is None:
        return "no price of an analog twin"
    if layer.spikes_per_synapse == 0:
        return "silent"
    if layer.breakeven == 0:
        return "analog pays at any rate"
    ratio = layer.breakeven / layer.spikes_per_synapse
    if abs(ratio - 1) < 0.05:
        return "break-even"
    return f"spiking pays {_times(ratio)}" if ratio > 1 else f"analog pays {_times(1 / ratio)}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"
