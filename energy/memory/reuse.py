"""The model ``reuse``: the best case of an analog array against an event-driven one.

Every layer has its own memories, no larger than what they hold. The analog layer reuses data
perfectly: whatever it needs crosses from memory once per time step. The event-driven layer reuses
nothing between spikes: each reads its row of weights, and each accumulate reads and writes a
potential. Spikes that pay here pay against the best reuse that an analog array can have; for the
same reason the break-even is usually below the published range (``energy.breakeven.DAMPFHOFFER``).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from energy.layers import LayerCounts
from energy.memory.registry import Access, need_memory, register
from energy.technology import MemoryPrices, Technology


def access_pj(memory: MemoryPrices, size_bits: float, word_bits: float) -> float:
    """Return the price of one word out of a memory of that size, picojoules.

    Between two published sizes the price of an access follows a power of the size (the published
    points go with the exponents 0.50 and 0.46: the length of a square array's lines). Below the
    smallest size it stays what it is there, since nothing is published; above the largest the
    memory is off the chip, and the price that of DRAM. An access moves ``sram_access_bits``
    (``dram_access_bits``); a word pays the share of it that its width takes, as neighbors are
    packed into one access.

    Args:
        memory: prices.
        size_bits: what the memory holds.
        word_bits: bits of one word.
    """
    kib = size_bits / 8192
    sizes = memory.sram
    if kib > sizes[-1][0]:
        return memory.dram_pj * word_bits / memory.dram_access_bits
    share = word_bits / memory.sram_access_bits
    for (small, low), (large, high) in pairwise(sizes):
        if small < kib < large:
            exponent = math.log(high / low) / math.log(large / small)
            return min(low * math.pow(kib / small, exponent), high) * share
    return max(pj for size, pj in sizes if size <= max(kib, sizes[0][0])) * share


@register("reuse")
def reuse(
    counts: LayerCounts, technology: Technology, *, samples: int, steps: int
) -> tuple[Access, ...]:
    """Return the accesses of a layer, in words per inference.

    With ``T`` steps, ``b`` bits of a number (``technology.bits``) and ``a`` bits of an address,
    ``a = ceil(log2(inputs of a step))``:

    ==========================  =========================  =====  ================================
    access                      words                      bits   memory that holds
    ==========================  =========================  =====  ================================
    analog: read weights        weights x T                b      weights and biases
    analog: read inputs         analog inputs              b      the inputs of a step
    analog: write outputs       analog outputs             b      the outputs of a step
    event: read spikes          spikes                     a      an address per input of a step
    event: read weight rows     accumulates                b      weights and biases
    event: read potentials      accumulates                b      the outputs of a step
    event: write potentials     accumulates                b      the outputs of a step
    read biases                 biases x T                 b      weights and biases
    neuron: read states         updates x states           b      the states of a step
    neuron: write states        updates x states           b      the states of a step
    neuron: write spikes        spikes fired               a      an address per neuron of a step
    other: read inputs          inputs (1 bit if spikes)   b, 1   the inputs of a step
    other: write outputs        outputs                    b      the outputs of a step
    ==========================  =========================  =====  ================================

    In the analog layer a weight is read once per step and kept for all positions (and for both
    views of a shared module), an input once for all its taps and output channels, and a partial
    sum never leaves the array: registers are not priced. A count ``k`` is ``k`` events and reads
    its row ``k`` times. Adding the bias is part of the neuron's update, whose potential is read
    and written there. A layer that is folded into another moves nothing.

    Prices: :func:`access_pj`. Source of the prices: the technology's; the rules are ours.

    Raises:
        EnergyError: the technology has no prices of memory.
    """
    memory, bits = need_memory(technology)
    layer = _Layer(counts, memory, bits, samples, samples * steps)
    if counts.folded_into:
        return ()
    if counts.updates:
        return layer.neuron()
    if counts.dense:
        return layer.synapses()
    if counts.add or counts.mul or counts.compare or counts.special:
        return layer.other()
    return ()


@dataclass(frozen=True)
class _Layer:
    """Counts of a layer beside prices; ``runs`` are its samples times its time steps."""

    counts: LayerCounts
    memory: MemoryPrices
    bits: int
    samples: int
    runs: int

    def _move(self, what: str, words: float, held: float, word_bits: int | None = None) -> Access:
        """Return accesses of words (all samples) out of a memory that holds so many bits."""
        pj = access_pj(self.memory, held, word_bits or self.bits)
        return Access(what=what, count=words / self.samples, pj=pj)

    def neuron(self) -> tuple[Access, ...]:
        counts, states = self.counts, self.counts.updates * self.counts.states
        held = states / self.runs * self.bits
        places = counts.updates / self.runs
        address = _address_bits(places)
        return (
            self._move("neuron: read states", states, held),
            self._move("neuron: write states", states, held),
            self._move("neuron: write spikes", counts.fired, places * address, address),
        )

    def synapses(self) -> tuple[Access, ...]:
        counts = self.counts
        parameters = (counts.weights + counts.biases) * self.bits
        results = counts.outputs / self.runs * self.bits
        rows = [self._move("read biases", counts.biases * self.runs, parameters)]
        if counts.mac:
            inputs = counts.inputs - counts.spiking_inputs
            outputs = counts.outputs * counts.mac / counts.dense
            rows += [
                self._move("analog: read weights", counts.weights * self.runs, parameters),
                self._move("analog: read inputs", inputs, inputs / self.runs * self.bits),
                self._move("analog: write outputs", outputs, results),
            ]
        if counts.spiking_inputs:
            places = counts.spiking_inputs / self.runs
            address = _address_bits(places)
            rows += [
                self._move("event: read spikes", counts.spikes, places * address, address),
                self._move("event: read weight rows", counts.ac, parameters),
                self._move("event: read potentials", counts.ac, results),
                self._move("event: write potentials", counts.ac, results),
            ]
        return tuple(rows)

    def other(self) -> tuple[Access, ...]:
        counts = self.counts
        analog = counts.inputs - counts.spiking_inputs
        held = (analog * self.bits + counts.spiking_inputs) / self.runs
        results = counts.outputs / self.runs * self.bits
        return (
            self._move("other: read inputs", analog, held),
            self._move("other: read inputs, spikes", counts.spiking_inputs, held, 1),
            self._move("other: write outputs", counts.outputs, results),
        )


def _address_bits(places: float) -> int:
    """Return the bits that tell one of ``places`` from the others, at least 1."""
    return max(1, math.ceil(math.log2(places))) if places > 0 else 1
