"""What commands print: results on standard output, everything else on standard error."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

WIDEST = 100
"""Columns that results may take."""

QUIET_S = 10.0
"""Without a terminal, progress is a line at most this often."""


class Advance(Protocol):
    """Called with what is done and what there is, in any unit, and perhaps a few words."""

    def __call__(self, done: float, total: float, note: str = "", /) -> None:
        """Show it."""
        ...


def result_console() -> Console:
    """Return the console on standard output; 100 columns where it is not a terminal."""
    console = Console(highlight=False)
    console.width = min(WIDEST, console.width) if console.is_terminal else WIDEST
    return console


def print_json(document: Mapping[str, Any]) -> None:
    """Print exactly one JSON document on standard output."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_notes(notes: Sequence[str]) -> None:
    """Print what a user should know at the start, on standard error, a line each."""
    console = Console(stderr=True, highlight=False)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)


@contextmanager
def progress(label: str, unit: str = "") -> Iterator[Advance]:
    """Show how far a job is, on standard error: a bar on a terminal, else a line now and then.

    Args:
        label: what is being done, such as ``Estimating``.
        unit: what is counted, such as ``windows``; empty for shares from 0 to 1.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(console, label, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        *([_Rate(unit)] if unit else []),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: float, total: float, note: str = "", /) -> None:
            words = f"{label}, {note}" if note else label
            bar.update(task, completed=done, total=total, description=words)

        yield advance


class _Rate(ProgressColumn):
    """Things done per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self._unit}/s")


def lines(console: Console, label: str, unit: str) -> Advance:
    """Return a reporter that prints at most one line in ``QUIET_S`` seconds.

    The rate is that since the first report: what is resumed begins with much already done.
    """
    printed = time.monotonic()
    first: tuple[float, float] | None = None

    def advance(done: float, total: float, note: str = "", /) -> None:
        nonlocal printed, first
        now = time.monotonic()
        began, before = first = first or (now, done)
        if now - printed < QUIET_S or not 0 < done < total:
            return
        printed = now
        words = [f"{done:,.0f} of {total:,.0f} {unit}" if unit else f"{done / total:.0%}"]
        rate = (done - before) / (now - began) if now > began else 0.0
        if rate > 0 and unit:
            words.append(f"{rate:.1f} {unit}/s")
        if note:
            words.append(note)
        if rate > 0:
            words.append(f"{(total - done) / rate:.0f} s left")
        console.print(f"{label}: {', '.join(words)}")

    return advance
