"""The tables of the page; a short script sorts them, and they read as well without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from energy.breakeven import verdict
from energy.layers import LayerEnergy
from energy.reports.rows import clean_kind, has_synapses, pays, report_unit, synaptic, total_memory
from energy.reports.text import (
    clean,
    fixed,
    number,
    percent,
    quotient,
    shape_text,
    shorten,
    si,
)

if TYPE_CHECKING:
    from energy.report import EnergyReport

NAME_CHARS = 44

Value = float | str | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        heading: with the unit.
        value: of a layer, by which the column is sorted; None stands last.
        show: the value as text.
        total: text of the last row.
        left: whether it is set to the left.
        style: class of a layer's cell.
    """

    heading: str
    value: Callable[[LayerEnergy], Value]
    show: Callable[[LayerEnergy], str]
    total: str = ""
    left: bool = False
    style: Callable[[LayerEnergy], str] = lambda _: ""


def layer_table(report: "EnergyReport") -> str:
    """Return the section with every layer that has synapses, and the totals."""
    size_mj, unit = report_unit(report)
    total_uj = report.total_mj * 1e3
    columns = [
        *_identity(),
        Column(
            heading=f"energy, {unit}",
            value=lambda layer: layer.energy_uj,
            show=lambda layer: fixed(layer.energy_uj / size_mj * 1e-3),
            total=fixed(report.total_mj / size_mj),
        ),
        Column(
            heading="share",
            value=lambda layer: layer.energy_uj,
            show=lambda layer: percent(quotient(layer.energy_uj, total_uj)),
            total="100 %" if total_uj else "-",
        ),
        _count("AC", lambda layer: layer.ac, report.ac),
        _count("MAC", lambda layer: layer.mac, report.mac),
        *_spiking(report),
        *_beside(synaptic(report.rows), size_mj, unit),
        _shape(),
    ]
    note = (
        "sp/syn: accumulates over the dense operations of one time step; below the break-even the "
        "layer is cheaper than the same layer run once on analog values. Other: biases and "
        "other arithmetic of the layer itself. A click on a heading sorts."
    )
    return (
        f'<section><h2>Layers</h2><p class="note">{note}</p>'
        f"{_table(columns, synaptic(report.rows))}</section>"
    )


def other_table(report: "EnergyReport") -> str:
    """Return the section with neurons and other arithmetic; empty if there are none."""
    layers = [x for x in report.rows if not has_synapses(x) and not x.folded_into]
    if not layers:
        return ""
    size_mj, unit = report_unit(report)
    columns = [*_identity(), *_beside(layers, size_mj, unit), _shape()]
    return (
        "<section><h2>Neurons and other arithmetic</h2><details"
        f"{' open' if len(layers) <= 12 else ''}><summary>{len(layers)} rows</summary>"
        f"{_table(columns, layers)}</details></section>"
    )


def _identity() -> list[Column]:
    return [
        Column(
            heading="layer",
            value=lambda layer: clean(layer.name),
            show=lambda layer: shorten(clean(layer.name), NAME_CHARS),
            total="total",
            left=True,
        ),
        Column(
            heading="kind",
            value=lambda layer: clean(layer.kind),
            show=lambda layer: shorten(clean(clean_kind(layer.kind)), NAME_CHARS // 2),
            left=True,
        ),
    ]


def _shape() -> Column:
    return Column(
        heading="shape",
        value=lambda layer: shape_text(layer.shape),
        show=lambda layer: shape_text(layer.shape) or "-",
        left=True,
    )


def _spiking(report: "EnergyReport") -> list[Column]:
    """Return what decides whether spikes pay."""
    judged = [paying for layer in synaptic(report.rows) if (paying := pays(layer)) is not None]
    return [
        Column(
            heading="T",
            value=lambda layer: layer.steps,
            show=lambda layer: "-" if layer.steps is None else str(layer.steps),
            total=str(report.steps),
        ),
        Column(
            heading="rate",
            value=lambda layer: layer.firing_rate,
            show=lambda layer: percent(layer.firing_rate),
        ),
        Column(
            heading="sp/syn",
            value=lambda layer: layer.spikes_per_synapse,
            show=lambda layer: number(layer.spikes_per_synapse),
            style=_color,
        ),
        Column(
            heading="break-even",
            value=lambda layer: layer.breakeven,
            show=lambda layer: number(layer.breakeven),
        ),
        Column(
            heading="verdict",
            value=verdict,
            show=verdict,
            total=f"{sum(judged)} of {len(judged)} pay" if judged else "",
            left=True,
            style=_color,
        ),
    ]


def _beside(layers: Sequence[LayerEnergy], size_mj: float, unit: str) -> list[Column]:
    """Return what stands beside the synapses; columns without a number are left out."""
    columns = []
    memory_uj = total_memory(layers)
    if memory_uj is not None:
        columns.append(
            Column(
                heading=f"memory, {unit}",
                value=lambda layer: layer.memory_uj,
                show=lambda layer: (
                    "-" if layer.memory_uj is None else fixed(layer.memory_uj / size_mj * 1e-3)
                ),
                total=fixed(memory_uj / size_mj * 1e-3),
            )
        )
    columns.append(
        Column(
            heading=f"other, {unit}",
            value=lambda layer: layer.neuron_uj + layer.other_uj,
            show=lambda layer: fixed((layer.neuron_uj + layer.other_uj) / size_mj * 1e-3),
            total=fixed(sum(x.neuron_uj + x.other_uj for x in layers) / size_mj * 1e-3),
        )
    )
    counts: tuple[tuple[str, Callable[[LayerEnergy], float]], ...] = (
        ("neuron ops", lambda layer: layer.neuron_ops),
        ("other ops", lambda layer: layer.other_ops),
        ("without price", lambda layer: layer.special_ops + layer.unpriced_ops),
    )
    for heading, value in counts:
        total = sum(value(layer) for layer in layers)
        columns += [_count(heading, value, total)] if total else []
    return columns


def _count(heading: str, value: Callable[[LayerEnergy], float], total: float) -> Column:
    return Column(
        heading=heading, value=value, show=lambda layer: si(value(layer)), total=si(total)
    )


def _color(layer: LayerEnergy) -> str:
    paying = pays(layer)
    return "" if paying is None else "good" if paying else "bad"


def _table(columns: Sequence[Column], layers: Sequence[LayerEnergy]) -> str:
    sides = [' class="left"' if column.left else "" for column in columns]
    pairs = list(zip(columns, sides, strict=True))
    head = "".join(f"<th{side}>{escape(column.heading)}</th>" for column, side in pairs)
    body = "".join(
        f"<tr>{''.join(_cell(column, layer) for column in columns)}</tr>" for layer in layers
    )
    foot = "".join(f"<td{side}>{escape(column.total)}</td>" for column, side in pairs)
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody><tfoot><tr>{foot}</tr></tfoot></table></div>"
    )


def _cell(column: Column, layer: LayerEnergy) -> str:
    value, shown = column.value(layer), column.show(layer)
    style = " ".join(filter(None, ["left" if column.left else "", column.style(layer)]))
    kind = f' class="{style}"' if style else ""
    # What is cut short is shown whole under the pointer.
    whole = f' title="{escape(str(value))}"' if "..." in shown else ""
    sort = "" if value is None else escape(str(value))
    return f'<td{kind}{whole} data-value="{sort}">{escape(shown)}</td>'
