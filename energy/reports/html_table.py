"""The tables of the page; a short script sorts them, and they read as well without."""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from energy.breakeven import verdict
from energy.layers import LayerEnergy
from energy.reports.rows import clean_kind, has_synapses, pays, synaptic
from energy.reports.text import clean, fixed, number, percent, shape_text, si, unit_of

if TYPE_CHECKING:
    from energy.report import EnergyReport

Cell = tuple[str, float | str | None, str]
"""What is shown, what is sorted by (empty: last), and the class."""


def layer_table(report: "EnergyReport") -> str:
    """Return the section with every layer that has synapses, and the totals."""
    size_mj, unit = unit_of(report.total_mj)
    memory = report.memory_mj is not None
    headings = [
        "layer", "kind", "shape", "T", "rate", "sp/syn", "break-even", "verdict", "AC", "MAC",
        "neuron ops", "other ops", "without price", f"other, {unit}",
        *([f"memory, {unit}"] if memory else []), f"energy, {unit}", "share",
    ]  # fmt: skip
    rows = [
        _layer(layer, share, size_mj * 1e3, memory)
        for layer, share in zip(report.layers, report.shares, strict=True)
        if has_synapses(layer)
    ]
    note = (
        "sp/syn: accumulates over the dense operations of one time step; below the break-even the "
        "layer is cheaper than the same layer run once on analog values. Totals include neurons "
        "and other arithmetic. A click on a heading sorts."
    )
    return (
        f'<section><h2>Layers</h2><p class="note">{note}</p>'
        f"{_table(headings, rows, _footer(report, size_mj, memory))}</section>"
    )


def other_table(report: "EnergyReport") -> str:
    """Return the section with neurons and other arithmetic; empty if there are none."""
    layers = [x for x in report.layers if not has_synapses(x) and not x.folded_into]
    if not layers:
        return ""
    size_mj, unit = unit_of((report.neurons_mj + report.other_mj) or report.total_mj)
    rows = [
        [
            (clean(layer.name), clean(layer.name), "left"),
            (clean(clean_kind(layer.kind)), clean(layer.kind), "left"),
            (shape_text(layer.shape) or "-", shape_text(layer.shape), "left"),
            _count(layer.neuron_ops),
            _count(layer.other_ops),
            _count(layer.special_ops + layer.unpriced_ops),
            _energy(layer.neuron_uj + layer.other_uj, size_mj * 1e3),
        ]
        for layer in layers
    ]
    headings = [
        "layer", "kind", "shape", "neuron ops", "other ops", "without price", f"energy, {unit}",
    ]  # fmt: skip
    return (
        "<section><h2>Neurons and other arithmetic</h2><details"
        f"{' open' if len(rows) <= 12 else ''}><summary>{len(rows)} rows</summary>"
        f"{_table(headings, rows, [])}</details></section>"
    )


def _layer(layer: LayerEnergy, share: float | None, size_uj: float, memory: bool) -> list[Cell]:
    paying = pays(layer)
    color = "" if paying is None else "good" if paying else "bad"
    steps = "-" if layer.steps is None else str(layer.steps)
    return [
        (clean(layer.name), clean(layer.name), "left"),
        (clean(clean_kind(layer.kind)), clean(layer.kind), "left"),
        (shape_text(layer.shape) or "-", shape_text(layer.shape), "left"),
        (steps, layer.steps, ""),
        (percent(layer.firing_rate), layer.firing_rate, ""),
        (number(layer.spikes_per_synapse), layer.spikes_per_synapse, color),
        (number(layer.breakeven), layer.breakeven, ""),
        (verdict(layer), verdict(layer), f"left {color}".strip()),
        *(_count(n) for n in (layer.ac, layer.mac, layer.neuron_ops, layer.other_ops,
                              layer.special_ops + layer.unpriced_ops)),
        _energy(layer.neuron_uj + layer.other_uj, size_uj),
        *([_energy(layer.memory_uj, size_uj)] if memory else []),
        _energy(layer.energy_uj, size_uj),
        (percent(share), share, ""),
    ]  # fmt: skip


def _footer(report: "EnergyReport", size_mj: float, memory: bool) -> list[str]:
    def total(name: str) -> str:
        return si(sum(getattr(layer, name) for layer in report.layers))

    pairs = [pays(layer) for layer in synaptic(report.layers)]
    judged = sum(paying is not None for paying in pairs)
    return [
        "total", "", "", str(report.steps), "", "", "",
        f"{sum(paying is True for paying in pairs)} of {judged} pay" if judged else "",
        si(report.ac), si(report.mac),
        *(total(name) for name in ("neuron_ops", "other_ops")),
        si(sum(layer.special_ops + layer.unpriced_ops for layer in report.layers)),
        fixed((report.neurons_mj + report.other_mj) / size_mj),
        *([fixed((report.memory_mj or 0.0) / size_mj)] if memory else []),
        fixed(report.total_mj / size_mj), "100 %" if report.total_mj else "-",
    ]  # fmt: skip


def _count(value: float) -> Cell:
    return (si(value), value, "")


def _energy(value_uj: float | None, size_uj: float) -> Cell:
    return ("-" if value_uj is None else fixed(value_uj / size_uj), value_uj, "")


def _table(headings: list[str], rows: Iterable[list[Cell]], footer: list[str]) -> str:
    left = {"layer", "kind", "shape", "verdict"}
    sides = [' class="left"' if heading in left else "" for heading in headings]
    head = "".join(
        f"<th{side}>{heading}</th>" for heading, side in zip(headings, sides, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    foot = "".join(
        f"<td{side}>{escape(text)}</td>" for text, side in zip(footer, sides, strict=False)
    )
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody>"
        + (f"<tfoot><tr>{foot}</tr></tfoot>" if footer else "")
        + "</table></div>"
    )


def _cell(cell: Cell) -> str:
    shown, key, style = cell
    kind = f' class="{style}"' if style else ""
    sort = "" if key is None else escape(str(key))
    return f'<td{kind} data-value="{sort}">{escape(shown)}</td>'
