"""The model ``lemaire``: operations, accesses and addressing of a formal and of a spiking network.

E. Lemaire et al., An analytical estimation of spiking neural networks energy efficiency, ICONIP
2022, arXiv 2210.13107; equation numbers as in the code of the authors' laboratory.

Notation: ``theta_in``, ``theta_out`` spikes into and out of a layer, over all time steps; ``C``,
``H``, ``W`` channels and extents, ``K`` kernel, ``S`` stride, ``T`` steps. Numbers and addresses
are integers of 32 bits, whatever the technology: an addition costs 0.1 pJ and a multiplication
3.1 pJ (``45nm-int32``).

Implementations disagree; what is taken here:

* The price of an access, as published, is that of a whole access of 64 bits for each word of 32
  bits. ``reuse`` corrects that; here it stays, or the model would not be the published one.
* Between published sizes the price is linear, through zero below the smallest, and goes on with
  the last slope above the largest. One code holds it constant from 1 MiB on (so that a memory of
  any size is as cheap as that), one fits a single line (13.9 instead of 10 pJ at 8 KiB), and one
  forgets the lines' offsets, so that the price falls above 8 KiB. Ours meets the published points
  and never falls.
* A spike of a strided convolution reaches ``ceil(K / S)`` taps per axis (equation 1.4), not
  ``K // S``, which gives one tap too few for K = 3, S = 2. The mean is K / S: the estimate is
  high, and the exact number is in ``LayerCounts.ac``. A transposed convolution has stride 1 here.
* A fully connected layer has ``theta_in N_out`` accumulates; the printed equation has a factor
  ``N_in`` too many.
* The addressing of a spike has all output channels (16.3), which one code leaves out.
* What is counted per tap includes taps on padding.
"""

import math
from bisect import bisect_left

from energy.layers import LayerCounts
from energy.memory.registry import Access, need_memory, register
from energy.technology import TECHNOLOGIES, MemoryPrices, Technology

WORD_BITS = 32
"""Bits of a number and of an address in this model."""


def access_pj(memory: MemoryPrices, words: float) -> float:
    """Return the price of one access to a memory of that many words of 32 bits, picojoules."""
    kib = words * WORD_BITS / 8192
    sizes, prices = zip((0.0, 0.0), *memory.sram, strict=True)
    above = min(max(1, bisect_left(sizes, kib)), len(sizes) - 1)
    slope = (prices[above] - prices[above - 1]) / (sizes[above] - sizes[above - 1])
    return float(prices[above - 1] + slope * (kib - sizes[above - 1]))


def operations(counts: LayerCounts, *, samples: int) -> tuple[Access, ...]:
    """Return the arithmetic of a layer per inference, as this model counts it.

    ==============  ==========================================  ==================================
    operation       formal                                      spiking
    ==============  ==========================================  ==================================
    MAC             Cout Hout Wout Cin K^2 (1.1)                leak: T Cout Hout Wout; 0 for IF
    ACC, synapses   0                                           theta_in ceil(K/S)^2 Cout (1.4)
    ACC, biases     Cout Hout Wout (1.2)                        T Cout Hout Wout (1.4)
    ACC, reset      0                                           theta_out (1.4)
    ==============  ==========================================  ==================================

    It is shown for comparison: the total of a report uses the exact counts. The leak and the reset
    stand in the row of the neuron.
    """
    prices = TECHNOLOGIES["45nm-int32"]
    mac_pj = prices.need_mac_pj(counts.name)

    def work(what: str, count: float, pj: float) -> Access:
        return Access(what=what, count=count / samples, pj=pj)

    if counts.updates:
        leak = counts.updates if counts.mul else 0
        return (work("MAC, leak", leak, mac_pj), work("ACC, reset", counts.fired, prices.ac_pj))
    if not counts.dense:
        return ()
    strides = (1,) * len(counts.taps) if counts.transposed else counts.strides
    reach = math.prod(math.ceil(k / s) for k, s in zip(counts.taps, strides, strict=True))
    return (
        work("MAC", counts.padded * counts.mac / counts.dense, mac_pj),
        work("ACC, synapses", counts.spikes * reach * counts.fan_out, prices.ac_pj),
        work("ACC, biases", counts.outputs if counts.biases else 0, prices.ac_pj),
    )


@register("lemaire")
def lemaire(
    counts: LayerCounts, technology: Technology, *, samples: int, steps: int
) -> tuple[Access, ...]:
    """Return the accesses to memory and the addressing of a layer, per inference.

    ===================  ====================================  ===================================
    access               formal                                spiking
    ===================  ====================================  ===================================
    read inputs          Cin Cout Hout Wout K^2                theta_in (5)
    read weights         Cin Cout Hout Wout K^2                theta_in Cout K^2 (7)
    read biases          Cout Hout Wout (6.1)                  T Cout Hout Wout (7)
    read potentials      0                                     theta_in Cout K^2 (9)
                                                               + T Cout Hout Wout (9), the neuron's
    write potentials     0                                     theta_in Cout K^2 (14)
                                                               + T Cout Hout Wout (14), likewise
    write outputs        Cout Hout Wout (11)                   theta_out (13), the neuron's
    addressing, MAC      0                                     2 theta_in (16.2), convolutions only
    addressing, ACC      Cin Hin Win + Cout Hout Wout          theta_in Cout K^2 (16.3)
                         + Cout K^2; Nin Nout if fully
                         connected
    ===================  ====================================  ===================================

    Of a spiking layer what is per neuron stands in the row of the neuron, so that the sum over
    both rows is the table's. A formal layer that runs ``T`` times costs ``T`` times as much. A
    memory holds one step's inputs (or outputs, or potentials), all weights, or all biases. Biases
    are charged where there are some. Rows that are neither synapses nor neurons are not in the
    model: they move nothing.

    Raises:
        EnergyError: the technology has no prices of memory.
    """
    memory, _ = need_memory(technology)
    runs = samples * steps

    def move(what: str, count: float, held: float) -> Access:
        return Access(what=what, count=count / samples, pj=access_pj(memory, held))

    if counts.updates:
        held = counts.updates * counts.states
        return (
            move("read potentials", held, held / runs),
            move("write potentials", held, held / runs),
            move("write outputs", counts.fired, counts.updates / runs),
        )
    if not counts.dense:
        return ()
    inputs, outputs = counts.inputs / runs, counts.outputs / runs
    analog = counts.mac / counts.dense
    padded = counts.padded * analog
    kernel = counts.spikes * counts.fan_out * math.prod(counts.taps)
    return (
        move("read inputs", padded + counts.spikes, inputs),
        move("read weights", padded + kernel, counts.weights),
        move("read biases", counts.outputs if counts.biases else 0, counts.biases),
        move("read potentials", kernel, outputs),
        move("write potentials", kernel, outputs),
        move("write outputs", counts.outputs * analog, outputs),
        *_addressing(counts, padded=padded, kernel=kernel, samples=samples, runs=runs),
    )


def _addressing(
    counts: LayerCounts, *, padded: float, kernel: float, samples: int, runs: int
) -> tuple[Access, ...]:
    """Return what it costs to find the addresses of the accesses, in operations on 32 bits."""
    prices = TECHNOLOGIES["45nm-int32"]
    additions, multiplications = kernel, 0
    if counts.taps:
        multiplications = 2 * counts.spikes
        if counts.mac:
            per_pass = counts.inputs - counts.spiking_inputs + _kernel_rows(counts) * runs
            additions += per_pass + counts.outputs * counts.mac / counts.dense
    else:
        additions += padded
    return (
        Access(
            what="addressing, MAC",
            count=multiplications / samples,
            pj=prices.need_mac_pj(counts.name),
        ),
        Access(what="addressing, ACC", count=additions / samples, pj=prices.ac_pj),
    )


def _kernel_rows(counts: LayerCounts) -> float:
    """Return Cout K^2: of a convolution from its weights and fan-in, so that groups are right."""
    taps = math.prod(counts.taps)
    if counts.transposed or not counts.fan_in:
        return counts.fan_out * taps
    return counts.weights * taps / counts.fan_in
