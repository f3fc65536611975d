"""A report as one page: inline style, script and charts, nothing from anywhere else."""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from energy.conventions import DEFAULT, Convention
from energy.reports import charts
from energy.reports.html_table import layer_table, other_table
from energy.reports.rows import clean_kind, grouped, has_synapses, pays, synaptic
from energy.reports.style import SCRIPT, STYLE
from energy.reports.text import clean, joules, percent, price, si, times

if TYPE_CHECKING:
    from energy.report import EnergyReport

# The page may run its own style and script, and fetch nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def to_html(report: "EnergyReport", title: str) -> str:
    """Return the page.

    Args:
        report: what to show.
        title: heading, for example the name of the network.
    """
    prices = report.technology
    sections = [
        _conventions(report),
        _layers(report),
        _steps(report),
        layer_table(report),
        other_table(report),
        _uncounted(report),
        _about(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n<body><main>"
        f'<header><h1>{_text(title)}</h1><p class="muted">{_text(prices.name)} '
        f"({_text(prices.precision)}): AC {price(prices.ac_pj)}, MAC {price(prices.mac_pj)}. "
        f"Per inference of {report.steps} time steps, mean of {report.samples}.</p></header>\n"
        f"{_tiles(report)}\n"
        + "\n".join(section for section in sections if section)
        + f"\n</main><script>{SCRIPT}</script></body></html>\n"
    )


def _text(text: str) -> str:
    return escape(clean(text))


def _section(heading: str, *content: str) -> str:
    return f"<section><h2>{heading}</h2>{''.join(content)}</section>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _tiles(report: "EnergyReport") -> str:
    """Return the totals as large figures."""
    spread = "" if report.spread_mj is None else f", &#177; {joules(report.spread_mj)}"
    judged = [paying for layer in synaptic(report.rows) if (paying := pays(layer)) is not None]
    energies = [
        (joules(report.total_mj), f"synapses, event convention{spread}", " main"),
        (joules(report.neurons_mj), "neurons, beside it", ""),
        (joules(report.other_mj), "other arithmetic, beside it", ""),
    ]
    if report.memory_mj is not None:
        model = _text(report.memory or "model not named")
        energies.append((joules(report.memory_mj), f"memory, beside it ({model})", ""))
    energies += [
        (joules(report.everything_mj), "everything", ""),
    ]
    counts = [
        (si(report.ac), "accumulates (AC)", ""),
        (si(report.mac), "multiply-accumulates (MAC)", ""),
    ]
    if judged:
        words = "layers with spikes where they pay"
        counts.append((f"{sum(judged)} of {len(judged)}", words, ""))
    return _tile_row(energies) + _tile_row(counts)


def _tile_row(tiles: Iterable[tuple[str, str, str]]) -> str:
    cells = (
        f'<div class="tile{kind}"><b>{value}</b><span class="muted">{words}</span></div>'
        for value, words, kind in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _conventions(report: "EnergyReport") -> str:
    """Return the totals in every convention beside each other."""
    if not report.conventions:
        return ""
    top = max(c.total_mj or 0.0 for c in report.conventions)
    rows = "".join(
        f'<tr><td class="left">{f"<b>{_text(c.name)}</b>" if c.name == DEFAULT else _text(c.name)}'
        f'</td><td class="left wrap muted">{_text(c.meaning)}</td>'
        f"<td>{si(c.ac)}</td><td>{si(c.mac)}</td><td>{joules(c.total_mj)}</td>"
        f"<td>{times(report.ratio(c.total_mj))}</td>"
        f'<td class="bar">{_meter(c, top)}</td></tr>'
        for c in report.conventions
    )
    head = (
        '<th class="left">convention</th><th class="left">what is counted</th><th>AC</th>'
        "<th>MAC</th><th>energy</th><th>ratio</th><th></th>"
    )
    return _section(
        "The same run in other conventions",
        '<p class="note">Published totals differ by what is counted before anything is priced. '
        f"This report uses <b>{DEFAULT}</b>.</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    )


def _meter(convention: Convention, top: float) -> str:
    color = "spiking" if convention.name == DEFAULT else "other"
    return charts.meter(convention.total_mj or 0.0, top, color)


def _layers(report: "EnergyReport") -> str:
    """Return the energy of every layer as bars, with neurons and the rest below."""
    rows = [
        charts.Bar(
            layer.name,
            layer.energy_uj,
            f"{joules(layer.energy_uj * 1e-3)}, {percent(share)}",
            "analog" if layer.firing_rate is None else "spiking",
        )
        for layer, share in zip(report.rows, report.shares, strict=True)
        if has_synapses(layer)
    ]
    groups = [
        charts.Bar(
            f"{clean_kind(group.label)} ({group.rows})",
            group.beside_uj,
            joules(group.beside_uj * 1e-3),
            "other",
        )
        for group in grouped(report.rows)
        if group.beside_uj
    ]
    words = {
        "spiking": "spikes in (AC)",
        "analog": "analog in (MAC)",
        "other": "neurons and other arithmetic, beside the total",
    }
    present = {bar.color for bar in (*rows, *groups)}
    legend = [(color, text) for color, text in words.items() if color in present]
    return _section(
        "Energy per layer",
        _legend(legend),
        charts.bars([*rows, *groups], "Energy per layer"),
        '<p class="note">In the order in which the layers run; shares are those of the synapses; '
        "memory is in no bar.</p>",
    )


def _legend(entries: Iterable[tuple[str, str]]) -> str:
    items = (
        f'<li><i style="background: var(--{color})"></i>{_text(words)}</li>'
        for color, words in entries
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _steps(report: "EnergyReport") -> str:
    """Return the accumulates of every time step, stacked by layer."""
    known = [
        (layer.name, layer.ac_per_step)
        for layer in report.rows
        if len(layer.ac_per_step) > 1 and any(layer.ac_per_step)
    ]
    if not known:
        return ""
    stack = charts.stack_of(known)
    shown = sum(sum(values) for _, values in known)
    note = ""
    if report.ac:
        note = (
            f"{len(known)} layers whose time steps are known, {percent(shown / report.ac)} of all "
            "accumulates; largest layer at the foot."
        )
    return _section(
        "Accumulates per time step",
        _legend((f"c{color}", name) for color, (name, _) in enumerate(stack)),
        charts.columns(stack, "Accumulates per time step"),
        f'<p class="note">{note}</p>',
    )


def _uncounted(report: "EnergyReport") -> str:
    """Return what has no rule, what was folded, and the warnings."""
    parts = []
    if report.warnings:
        parts += ['<h3 class="bad">Warnings</h3>', _list(report.warnings)]
    if report.uncounted:
        rows = "".join(
            f'<tr><td class="left">{_text(row.op)}</td><td class="left">{_text(row.layer)}</td>'
            f'<td data-value="{row.elements}">{si(row.elements)}</td><td>{row.calls}</td></tr>'
            for row in report.uncounted
        )
        parts.append(
            '<p class="note">Work without a rule: it is listed, never taken as zero.</p>'
            '<div class="scroll"><table class="sortable"><thead><tr><th class="left">operation</th>'
            '<th class="left">layer</th><th>elements</th><th>calls</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    else:
        parts.append("<p>Nothing: every operation of the run has a rule.</p>")
    folded = [f"{layer.name} into {layer.folded_into}" for layer in report.rows
              if layer.folded_into]  # fmt: skip
    if folded:
        parts.append(
            f"<details><summary>Folded into the weights before them, at no cost: {len(folded)}"
            f"</summary>{_list(folded)}</details>"
        )
    return _section("What was not counted", *parts)


def _about(report: "EnergyReport") -> str:
    """Return sources, convention and environment."""
    prices = report.technology
    pairs = [
        ("technology", f"{prices.name}, {prices.precision}"),
        ("source", prices.source),
        *([("notes", prices.notes)] if prices.notes else []),
        ("convention", report.convention),
        ("memory", report.memory or "no model: memory accesses are not in any number here"),
        *sorted(report.environment.items()),
    ]
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs)
    return _section("Sources and environment", f"<dl>{items}</dl>")
