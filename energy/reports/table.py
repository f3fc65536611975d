"""The report as a rich table of at most 100 columns."""

from typing import TYPE_CHECKING

from energy.layers import LayerEnergy
from energy.reports.rows import Group, clean_kind, grouped, pays, report_unit, synaptic
from energy.reports.text import clean, fixed, percent, quotient, shorten, si

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from energy.report import EnergyReport

WIDTH = 100
KIND_WIDTH = 10


def table(report: "EnergyReport") -> "Table":
    """Return a row per layer with synapses, then neurons and other arithmetic by kind.

    All energies have one unit.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    size_mj, unit = report_unit(report)
    columns = _columns(report, size_mj, unit)
    rows = [_layer_cells(report, layer, size_mj * 1e3) for layer in synaptic(report.rows)]
    groups = [_group_cells(report, group, size_mj * 1e3) for group in grouped(report.rows)]
    widths = [
        max(len(text) for text in (*header.split("\n"), footer, *cells))
        for (header, footer), *cells in zip(
            columns, *([str(cell) for cell in row] for row in (*rows, *groups)), strict=True
        )
    ]
    # One blank between columns; what the others leave is for the name.
    widths[0] = max(len("total"), WIDTH - sum(widths[1:]) - len(widths) + 1)
    name = clean(report.technology.name)
    result = Table(
        title=f"Energy of one inference of {report.steps} time steps, {name}",
        caption=_caption(report),
        caption_justify="left",
        show_footer=True,
        show_edge=False,
        padding=0,
        box=box.SIMPLE,
    )
    for index, ((header, footer), width) in enumerate(zip(columns, widths, strict=True)):
        result.add_column(
            header, footer=Text(footer), justify="left" if index < 2 else "right",
            no_wrap=True, max_width=width,
        )  # fmt: skip
    for row in (*rows, *groups):
        row[0] = shorten(str(row[0]), widths[0])
        result.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return result


def _columns(report: "EnergyReport", size_mj: float, unit: str) -> list[tuple[str, str]]:
    """Return header and footer of every column."""
    layers = report.rows
    ops = sum(layer.neuron_ops + layer.other_ops for layer in layers)
    columns = [
        ("layer", "total"),
        ("kind", ""),
        *([("T", str(report.steps))] if _steps_differ(report) else []),
        ("rate", ""),
        ("sp/syn", ""),
        ("AC", si(report.ac)),
        ("MAC", si(report.mac)),
        ("other\nops", si(ops)),
        (f"other\n{unit}", fixed((report.neurons_mj + report.other_mj) / size_mj)),
    ]
    if report.memory_mj is not None:
        columns.append((f"memory\n{unit}", fixed(report.memory_mj / size_mj)))
    columns.append((f"energy\n{unit}", fixed(report.total_mj / size_mj)))
    columns.append(("share", "100 %" if report.total_mj else ""))
    return columns


def _layer_cells(report: "EnergyReport", layer: LayerEnergy, size_uj: float) -> "list[str | Text]":
    from rich.text import Text

    paying = pays(layer)
    style = "" if paying is None else "green" if paying else "red"
    mark = "!" if paying is False else ""
    cells: list[str | Text] = [
        clean(layer.name),
        shorten(clean_kind(clean(layer.kind)), KIND_WIDTH),
        *([_optional_steps(layer)] if _steps_differ(report) else []),
        percent(layer.firing_rate),
        Text(_optional(layer.spikes_per_synapse) + mark, style=style),
        si(layer.ac),
        si(layer.mac),
        si(layer.neuron_ops + layer.other_ops),
        fixed((layer.neuron_uj + layer.other_uj) / size_uj),
    ]
    if report.memory_mj is not None:
        cells.append(_optional(layer.memory_uj, size_uj))
    share = percent(quotient(layer.energy_uj, report.total_mj * 1e3))
    return [*cells, fixed(layer.energy_uj / size_uj), share]


def _group_cells(report: "EnergyReport", group: Group, size_uj: float) -> "list[str | Text]":
    cells: list[str | Text] = [
        f"{clean(group.label)} ({group.rows})", *[""] * (6 if _steps_differ(report) else 5),
        si(group.ops), fixed(group.beside_uj / size_uj),
    ]  # fmt: skip
    if report.memory_mj is not None:
        cells.append(_optional(group.memory_uj, size_uj))
    return [*cells, "", ""]


def _steps_differ(report: "EnergyReport") -> bool:
    """Tell whether a column of time steps says more than the title."""
    return any(layer.steps != report.steps for layer in synaptic(report.rows))


def _optional_steps(layer: LayerEnergy) -> str:
    return "-" if layer.steps is None else str(layer.steps)


def _optional(value: float | None, unit: float = 1.0) -> str:
    return "-" if value is None else fixed(value / unit)


def _caption(report: "EnergyReport") -> str:
    known = [paying for layer in synaptic(report.rows) if (paying := pays(layer)) is not None]
    if not known:
        return "energy and share: synapses; other: neurons and other arithmetic, beside the total"
    return (
        "energy and share: synapses; other: neurons and other arithmetic, beside the total; "
        f"! above break-even ({len(known) - sum(known)} of {len(known)} spiking layers)"
    )
