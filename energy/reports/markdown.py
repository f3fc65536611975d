"""A report as Markdown: totals, conventions, the table, and what the numbers mean."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from energy.breakeven import verdict
from energy.conventions import DEFAULT
from energy.reports.rows import clean_kind, grouped, synaptic
from energy.reports.text import clean, joules, number, percent, quotient, shape_text, si, times

if TYPE_CHECKING:
    from energy.report import EnergyReport

HEADINGS = (
    "layer", "kind", "shape", "T", "rate", "sp/syn", "break-even", "verdict", "AC", "MAC",
    "neuron ops", "other ops", "energy", "share",
)  # fmt: skip
LEFT = ("layer", "kind", "shape", "verdict", "convention", "meaning", "technology")


def to_markdown(report: "EnergyReport") -> str:
    """Return the report as one Markdown document that ends with a line break."""
    parts = [
        f"# Energy of one inference: {joules(report.total_mj)}",
        *([_conventions(report)] if report.conventions else []),
        "## Layers",
        _layers(report),
        *([_groups(report)] if grouped(report.rows) else []),
        "## What the numbers mean",
        "\n".join(f"* {escape(line)}" for line in report.summary),
    ]
    if report.environment:
        pairs = sorted(report.environment.items())
        lines = "\n".join(f"* {escape(name)}: {escape(value)}" for name, value in pairs)
        parts += ["## Environment", lines]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, also in a cell of a table."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#~&$" else c for c in clean(text))


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells must be escaped; numbers are set to the right."""
    rules = [":--" if heading in LEFT else "--:" for heading in headings]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rules, *rows))


def _conventions(report: "EnergyReport") -> str:
    return markdown_table(
        ("convention", "AC", "MAC", "energy", "ratio", "meaning"),
        [
            (
                f"**{escape(c.name)}**" if c.name == DEFAULT else escape(c.name),
                si(c.ac),
                si(c.mac),
                joules(c.total_mj),
                times(report.ratio(c.total_mj)),
                escape(c.meaning),
            )
            for c in report.conventions
        ],
    )


def _layers(report: "EnergyReport") -> str:
    memory = report.memory_mj is not None
    headings = [*HEADINGS[:-2], *(["memory"] if memory else []), *HEADINGS[-2:]]
    total_uj = report.total_mj * 1e3
    rows = []
    for layer in synaptic(report.rows):
        cells = [
            escape(layer.name), escape(clean_kind(layer.kind)), shape_text(layer.shape) or "-",
            "-" if layer.steps is None else str(layer.steps), percent(layer.firing_rate),
            number(layer.spikes_per_synapse), number(layer.breakeven), verdict(layer),
            si(layer.ac), si(layer.mac), si(layer.neuron_ops), si(layer.other_ops),
        ]  # fmt: skip
        if memory:
            cells.append("-" if layer.memory_uj is None else joules(layer.memory_uj * 1e-3))
        share = percent(quotient(layer.energy_uj, total_uj))
        rows.append([*cells, joules(layer.energy_uj * 1e-3), share])
    total = ["**total**", "", "", str(report.steps), "", "", "", "", si(report.ac), si(report.mac)]
    total += [si(sum(layer.neuron_ops for layer in report.rows))]
    total += [si(sum(layer.other_ops for layer in report.rows))]
    total += [joules(report.memory_mj)] if report.memory_mj is not None else []
    total += [joules(report.total_mj), "100 %" if total_uj else "-"]
    return markdown_table(headings, [*rows, total])


def _groups(report: "EnergyReport") -> str:
    return markdown_table(
        ("kind", "layers", "ops", "without price", "energy"),
        [
            (
                escape(group.label),
                str(group.rows),
                si(group.ops),
                si(group.unpriced),
                joules(group.beside_uj * 1e-3),
            )
            for group in grouped(report.rows)
        ],
    )
