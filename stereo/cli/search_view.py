"""What a search shows while it runs: a live table on a terminal, else lines now and then."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from energy.reports.text import joules
from nas.budget import Budget
from nas.genotype import Genotype
from stereo.cli.console import Advance, lines
from stereo.search.differentiable import Stage
from stereo.search.run import Show

Shown = tuple[Callable[[Budget | None], Show], Stage]
"""What shows the steps of the search of a budget, and what shows all else that takes time."""

EVERY_S = 10.0
"""Seconds between two looks at what would be decoded."""


@contextmanager
def shown(visible: bool) -> Iterator[Shown]:
    """Show searches on standard error.

    Args:
        visible: False to show nothing, as in processes beside the first.
    """
    console = Console(stderr=True)
    if not visible:
        yield lambda _budget: lambda _done, _all, _row, _now: None, lambda _name, _done, _all: None
    elif not console.is_terminal:
        told = _Lines(console)
        yield told.steps, told.stage
    else:
        with Live(console=console, refresh_per_second=4, transient=True) as live:

            def steps(budget: Budget | None) -> Show:
                view = _View(budget)
                return lambda *news: live.update(view.table(*news))

            yield steps, lambda *news: live.update(Text(stage_line(*news)))


def cost(value: float, unit: str) -> str:
    """Return a cost with its unit."""
    return joules(value) if unit == "mJ" else f"{value:.4g} {unit}"


def stage_line(name: str, done: int, whole: int) -> str:
    """Return what is being done beside steps, and how much of it where that is known."""
    return f"{name}: {done:,} of {whole:,}" if whole > 1 else f"{name} ..."


@dataclass
class _Lines:
    """Progress without a terminal; every stage says that it begins."""

    console: Console
    _name: str = ""
    _advance: Advance = field(default=lambda _done, _all, _note="", /: None)

    def steps(self, _budget: Budget | None) -> Show:
        """Return what is told after every step."""
        advance = lines(self.console, "Searching", "steps")
        return lambda done, whole, _row, _now: advance(done, whole or done)

    def stage(self, name: str, done: int, whole: int) -> None:
        """Tell of a stage."""
        if name != self._name:
            self._name = name
            self._advance = lines(self.console, f"Searching: {name}", "steps")
            self.console.print(f"Searching: {name} ...", markup=False)
        self._advance(done, whole)


class _View:
    """The live table of one search."""

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._began = self._looked = time.monotonic()
        self._first: int | None = None
        self._drawing = ""

    def table(
        self, done: int, whole: int, row: Mapping[str, float], now: Callable[[], Genotype]
    ) -> Any:
        """Return the table after a step."""
        self._first = done - 1 if self._first is None else self._first
        elapsed = time.monotonic() - self._began
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        left = f"{(whole - done) / rate:.0f} s" if rate > 0 and whole else "?"
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_row("step", f"{done:,} of {whole:,}" if whole else f"{done:,}")
        table.add_row("rate", f"{rate:.2f} steps/s, {left} left")
        for name, value in row.items():
            if name not in ("step", "seconds"):
                table.add_row(name, f"{value:.4g}")
        if self._budget is not None and "cost" in row:
            share, limit = row["cost"] / self._budget.limit, self._budget
            table.add_row("of the budget", f"{share:.0%} of {cost(limit.limit, limit.unit)}")
        if time.monotonic() - self._looked > EVERY_S:
            self._looked, self._drawing = time.monotonic(), now().drawing()
        return Group(table, Text(self._drawing))
