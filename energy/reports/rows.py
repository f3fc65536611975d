"""Which rows of a report stand alone and which are grouped, and what is said of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energy.layers import LayerEnergy
from energy.reports.text import column_unit

if TYPE_CHECKING:
    from energy.report import EnergyReport

MOST_GROUPS = 6
"""So many kinds of other arithmetic are shown apart, the rest in one row."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows without synapses, of one kind.

    Attributes:
        label: what they are.
        rows: how many.
        ops: additions, multiplications and comparisons.
        unpriced: operations without a price; divisions, roots and exponentials have none.
        beside_uj: of ``ops``, microjoules.
        memory_uj: of memory accesses; None without a memory model.
    """

    label: str
    rows: int
    ops: float
    unpriced: float
    beside_uj: float
    memory_uj: float | None


def has_synapses(layer: LayerEnergy) -> bool:
    """Tell whether the layer does AC or MAC, or would if a spike came."""
    return bool(layer.ac or layer.mac or layer.dense or layer.fan_in)


def pays(layer: LayerEnergy) -> bool | None:
    """Tell whether spikes make the layer cheaper than its analog twin; None if not known."""
    if layer.spikes_per_synapse is None or layer.breakeven is None:
        return None
    return layer.spikes_per_synapse < layer.breakeven


def synaptic(layers: Iterable[LayerEnergy]) -> list[LayerEnergy]:
    """Return the layers with synapses, in their order."""
    return [layer for layer in layers if has_synapses(layer)]


def total_memory(layers: Iterable[LayerEnergy]) -> float | None:
    """Return the microjoules of memory of all layers; None if none has a memory model."""
    known = [layer.memory_uj for layer in layers if layer.memory_uj is not None]
    return sum(known) if known else None


def report_unit(report: "EnergyReport") -> tuple[float, str]:
    """Return the unit of every energy in a table of the report: its millijoules and its name."""
    beside = (report.memory_mj or 0.0, report.neurons_mj + report.other_mj)
    return column_unit(report.total_mj, max(beside))


def grouped(layers: Iterable[LayerEnergy]) -> list[Group]:
    """Return what is no synapse, one group per kind: neurons, then the largest of the others."""
    neurons: dict[str, list[LayerEnergy]] = {}
    others: dict[str, list[LayerEnergy]] = {}
    for layer in layers:
        if not has_synapses(layer) and not layer.folded_into:
            kinds = neurons if layer.neuron_ops else others
            kinds.setdefault(clean_kind(layer.kind), []).append(layer)
    largest = sorted(others.items(), key=lambda item: -_group("", item[1]).ops)
    kept, rest = largest[:MOST_GROUPS], [row for _, rows in largest[MOST_GROUPS:] for row in rows]
    groups = [_group(f"neurons: {kind}", rows) for kind, rows in neurons.items()]
    groups += [_group(f"arithmetic: {kind}", rows) for kind, rows in kept]
    return groups + ([_group("arithmetic: rest", rest)] if rest else [])


def clean_kind(kind: str) -> str:
    """Return a kind in the short form of tables."""
    return kind.replace("conv_transpose", "convT").strip("_") or kind


def _group(label: str, rows: list[LayerEnergy]) -> Group:
    return Group(
        label=label,
        rows=len(rows),
        ops=sum(row.neuron_ops + row.other_ops for row in rows),
        unpriced=sum(row.special_ops + row.unpriced_ops for row in rows),
        beside_uj=sum(row.neuron_uj + row.other_uj for row in rows),
        memory_uj=total_memory(rows),
    )
