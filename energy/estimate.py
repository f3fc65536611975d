"""Counts times prices: energy per layer, per inference."""

from dataclasses import dataclass

from energy.counter import Counter, LayerTally
from energy.technology import Technology


@dataclass(frozen=True, kw_only=True)
class LayerEnergy:
    """One layer of one inference: summed over time steps and calls, mean over the samples.

    Attributes:
        name: path of the module.
        kind: torch function.
        shape: of the output of one call.
        ac: accumulates.
        mac: multiply-accumulates.
        dense: multiply-accumulates of the same layer run densely, taps on padding left out.
        firing_rate: share of the inputs that are spikes; None for an analog input.
        spikes_per_synapse: accumulates over the dense operations of one time step; None for an
            analog input.
        energy_uj: microjoules.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    ac: float
    mac: float
    dense: float
    firing_rate: float | None
    spikes_per_synapse: float | None
    energy_uj: float


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


def price(tally: LayerTally, technology: Technology, samples: int, steps: int) -> LayerEnergy:
    """Return a layer's energy per inference."""
    ac, mac, dense = (whole(n, samples) for n in (tally.ac, tally.mac, tally.dense))
    spiking = tally.spike_inputs > 0
    one_step = dense / steps
    return LayerEnergy(
        name=tally.name,
        kind=tally.kind,
        shape=tally.shape,
        ac=ac,
        mac=mac,
        dense=dense,
        firing_rate=tally.spikes / tally.spike_inputs if spiking else None,
        spikes_per_synapse=(ac / one_step if one_step else 0.0) if spiking else None,
        energy_uj=(ac * technology.ac_pj + mac * technology.mac_pj) * 1e-6,
    )


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
