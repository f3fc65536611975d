"""Counts times prices: energy per layer, per inference."""

from dataclasses import dataclass

from energy.breakeven import breakeven
from energy.counter import Counter
from energy.layers import LayerCounts, LayerEnergy
from energy.memory import memory_uj
from energy.technology import Technology


@dataclass(frozen=True, kw_only=True)
class Uncounted:
    """Work without a rule.

    Attributes:
        op: torch function, or ``neuron update (...)``.
        layer: path of the module.
        elements: output elements per inference.
        calls: per run.
    """

    op: str
    layer: str
    elements: float
    calls: int


def price(
    counts: LayerCounts,
    technology: Technology,
    *,
    samples: int,
    steps: int | None,
    memory: str | None = None,
) -> LayerEnergy:
    """Return a layer's energy per inference.

    Nothing is run: the same counts can be priced again with another technology.

    Synapses cost ``ac ac_pj + mac mac_pj``. Neurons cost ``update_pj`` per update on a chip that
    has this price, and otherwise, like all other arithmetic, the prices of their additions,
    multiplications and comparisons (a comparison is one subtraction). Operations without a price
    are counted in ``unpriced_ops``, special ones in ``special_ops``; neither is in an energy.

    Args:
        counts: totals of the layer over all samples and time steps.
        technology: prices.
        samples: inferences in the counts.
        steps: time steps of one inference in which the layer ran; None if unknown: then there is
            no number of spikes per synapse, and memories are taken to hold all that passes.
        memory: name of a memory model (``energy.memory.MODELS``); None leaves memory out.

    Raises:
        EnergyError: an analog layer on a chip without a price for it; unknown memory model, or a
            technology without prices of memory.
    """
    ac, mac, dense = (whole(n, samples) for n in (counts.ac, counts.mac, counts.dense))
    spiking = counts.spiking_inputs > 0
    is_neuron = counts.updates > 0
    ops = whole(counts.add + counts.mul + counts.compare, samples)
    ops_uj, unpriced = _operations(counts, technology, samples)
    one_step = dense / steps if steps else None
    mac_pj = technology.need_mac_pj(counts.name) if mac else 0.0
    run = {"samples": samples, "steps": steps or 1}
    return LayerEnergy(
        name=counts.name,
        kind=counts.kind,
        shape=counts.shape,
        steps=steps,
        ac=ac,
        mac=mac,
        dense=dense,
        firing_rate=counts.spikes / counts.spiking_inputs if spiking else None,
        spikes_per_synapse=ac / one_step if spiking and one_step else None,
        neuron_ops=ops if is_neuron else 0,
        other_ops=0 if is_neuron else ops,
        special_ops=whole(counts.special, samples),
        energy_uj=(ac * technology.ac_pj + mac * mac_pj) * 1e-6,
        neuron_uj=ops_uj if is_neuron else 0.0,
        other_uj=0.0 if is_neuron else ops_uj,
        memory_uj=None if memory is None else memory_uj(memory, counts, technology, **run),
        breakeven=breakeven(counts, technology, memory=memory, **run),
        ac_per_step=tuple(n / samples for n in counts.ac_per_step),
        mac_per_step=tuple(n / samples for n in counts.mac_per_step),
        folded_into=counts.folded_into,
        fan_in=counts.fan_in,
        unpriced_ops=unpriced,
    )


def _operations(counts: LayerCounts, technology: Technology, samples: int) -> tuple[float, float]:
    """Return microjoules per inference of all but synapses, and the operations left unpriced."""
    if counts.updates and technology.update_pj is not None:
        return counts.updates / samples * technology.update_pj * 1e-6, 0.0
    energy_pj, unpriced = 0.0, 0
    for number, op_pj in (
        (counts.add, technology.add_pj),
        (counts.mul, technology.mul_pj),
        (counts.compare, technology.compare_pj),
    ):
        if op_pj is None:
            unpriced += number
        else:
            energy_pj += number * op_pj
    return energy_pj / samples * 1e-6, whole(unpriced, samples)


def uncounted(counter: Counter, samples: int) -> tuple[Uncounted, ...]:
    """Return what was not counted, largest first."""
    rows = [
        Uncounted(
            op=op,
            layer=layer,
            elements=whole(elements, samples),
            calls=counter.uncounted_calls[op, layer],
        )
        for (op, layer), elements in counter.uncounted.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.elements))


def whole(total: int, samples: int) -> float:
    """Return ``total / samples``, as an integer where it is one."""
    return total // samples if total % samples == 0 else total / samples
