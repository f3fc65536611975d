"""What the numbers of a report mean, a line each."""

from typing import TYPE_CHECKING

from energy.conventions import DEFAULT
from energy.reports.rows import pays, synaptic
from energy.reports.text import clean, joules, price, shorten, si, times

if TYPE_CHECKING:
    from energy.report import EnergyReport

SHOWN = 8
"""So many kinds of work are named in a line; of the rest their number is said."""


def lines(report: "EnergyReport") -> tuple[str, ...]:
    """Return technology, convention, the other totals, what was left out, and the warnings."""
    prices = report.technology
    spread = "" if report.spread_mj is None else f", standard deviation {joules(report.spread_mj)}"
    return (
        f"technology: {prices.name}, AC {price(prices.ac_pj)}, MAC {price(prices.mac_pj)} "
        f"({prices.precision}; {prices.source})",
        f"convention: {report.convention}",
        f"per inference of {report.steps} time steps, mean of {report.samples}{spread}",
        *_conventions(report),
        beside(report),
        *_breakeven(report),
        *_folded(report),
        f"not counted (elements): {not_counted(report) or 'nothing'}",
        *report.warnings,
    )


def beside(report: "EnergyReport") -> str:
    """Say what neurons, other arithmetic and memory cost beside the synapses."""
    memory = "memory not modeled"
    if report.memory_mj is not None:
        memory = f"memory {joules(report.memory_mj)} ({report.memory or 'model not named'})"
    without = sum(layer.special_ops + layer.unpriced_ops for layer in report.rows)
    unpriced = f"; {si(without)} operations without a price" if without else ""
    return (
        f"beside the synapses: neurons {joules(report.neurons_mj)}, other arithmetic "
        f"{joules(report.other_mj)}, {memory}; everything {joules(report.everything_mj)}{unpriced}"
    )


def not_counted(report: "EnergyReport") -> str:
    """Return the operations without a rule with their elements, largest first."""
    by_op: dict[str, float] = {}
    for row in report.uncounted:
        by_op[row.op] = by_op.get(row.op, 0) + row.elements
    ordered = sorted(by_op.items(), key=lambda item: -item[1])
    return ", ".join(f"{clean(op)} {si(elements)}" for op, elements in ordered)


def _conventions(report: "EnergyReport") -> tuple[str, ...]:
    others = [c for c in report.conventions if c.name != DEFAULT]
    if not others:
        return ()
    parts = (f"{c.name} {joules(c.total_mj)} ({times(report.ratio(c.total_mj))})" for c in others)
    return (f"other conventions: {', '.join(parts)}",)


def _breakeven(report: "EnergyReport") -> tuple[str, ...]:
    known = [verdict for layer in synaptic(report.rows) if (verdict := pays(layer)) is not None]
    if not known:
        return ()
    return (
        f"break-even: spiking pays in {sum(known)} of {len(known)} layers that receive spikes, "
        "against the same layer run once on analog values",
    )


def _folded(report: "EnergyReport") -> tuple[str, ...]:
    folded = [layer for layer in report.rows if layer.folded_into]
    if not folded:
        return ()
    names = ", ".join(shorten(clean(layer.name), 30) for layer in folded[:SHOWN])
    more = f" and {len(folded) - SHOWN} more" if len(folded) > SHOWN else ""
    return (f"folded into the weights before them, at no cost: {names}{more}",)
