"""``stereo eval``: how good a trained network is, how large, and what it costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.train import Cache, Data, DeviceName, Precision, Workers

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_CLASSES = 20
"""With more classes than these, only the worst are listed."""

SEQUENCE_COLUMNS = {
    "images": "frames",
    "mae_px": "MAE px",
    "one_pe_percent": "1PE %",
    "two_pe_percent": "2PE %",
    "rmse_px": "RMSE px",
    "mean_depth_error_m": "depth error m",
}
"""What the table of sequences shows, and its headings."""


@guarded
def evaluate(
    run: Annotated[Path, typer.Option(help="Run folder of a training.")],
    task: Annotated[
        str | None, typer.Option(help="Task of the run.", show_default="as the run says")
    ] = None,
    data: Data = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: test or validation.", show_default="test; stereo: validation"
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="So many samples only.", min=1, show_default="all")
    ] = None,
    technology: Annotated[str, typer.Option(help="Prices of the energy.")] = "45nm-fp32",
    cache: Cache = None,
    workers: Workers = 0,
    device: DeviceName = "cpu",
    precision: Precision = "32-true",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate a trained network on data that it was not trained on."""
    from stereo.cli.console import print_json, progress
    from stereo.devices import Device
    from stereo.evaluate import evaluate_run
    from stereo.tasks.task import Source

    source = Source(data=data, cache=cache, workers=workers)
    place = Device(device, precision)
    with progress("Evaluating", "samples") as advance:
        document = evaluate_run(
            run, source, task=task, part=protocol, samples=samples, device=place,
            technology=technology, progress=advance,
        )  # fmt: skip
    if as_json:
        print_json(document)
        return
    _print(document)


def _print(document: dict[str, Any]) -> None:
    """Print the metrics, and the table of classes if there is one."""
    from rich.markup import escape
    from rich.table import Table

    from stereo.cli.console import result_console

    console = result_console()
    origin = ", generated data" if document["generated"] else ""
    console.print(
        f"{document['task']}, {document['protocol']}: {document['samples']:,} samples{origin}",
        markup=False,
    )
    for name, value in document["metrics"].items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.5g}"
        console.print(f"{name:28}{shown}", markup=False)
    tables = document["tables"]
    if document["per_sequence"]:
        console.print(sequence_table(document["per_sequence"]))
    if "classes" not in tables:
        return
    rows = class_rows(tables["classes"], tables["confusion"])
    table = Table(title="by class" if len(rows) <= SHOWN_CLASSES else "the worst classes")
    for heading in ("class", "samples", "correct %", "taken most often for"):
        table.add_column(heading, justify="left" if heading.startswith(("cl", "ta")) else "right")
    for name, count, correct, other in rows[:SHOWN_CLASSES]:
        shown = "-" if correct is None else f"{correct:.1f}"
        table.add_row(escape(name), f"{count:,}", shown, escape(other))
    console.print(table)


def sequence_table(sequences: dict[str, dict[str, float | None]]) -> "Table":
    """Return the results of each sequence as a table; a dash where there is none."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="by sequence")
    table.add_column("sequence")
    for heading in SEQUENCE_COLUMNS.values():
        table.add_column(heading, justify="right")
    for name, row in sequences.items():
        values = (row.get(key) for key in SEQUENCE_COLUMNS)
        table.add_row(escape(name), *("-" if v is None else f"{v:.4g}" for v in values))
    return table


def class_rows(
    classes: list[str], confusion: list[list[int]]
) -> list[tuple[str, int, float | None, str]]:
    """Return name, samples, percentage correct and most frequent mistake of each class.

    Many classes come sorted, the worst first; those without samples last.
    """
    rows = []
    for index, counts in enumerate(confusion):
        count = sum(counts)
        wrong = [0 if n == index else value for n, value in enumerate(counts)]
        worst = max(range(len(wrong)), key=wrong.__getitem__)
        correct = 100.0 * counts[index] / count if count else None
        other = f"{classes[worst]} ({wrong[worst]})" if wrong[worst] else "-"
        rows.append((classes[index], count, correct, other))
    if len(rows) > SHOWN_CLASSES:
        rows.sort(key=lambda row: 101.0 if row[2] is None else row[2])
    return rows
