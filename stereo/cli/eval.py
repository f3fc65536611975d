"""``stereo eval``: how good a trained network is, how large, and what it costs."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.train import Cache, Data, DeviceName, Precision, Workers

if TYPE_CHECKING:
    from rich.table import Table

    from stereo.cli.console import Advance

SHOWN_CLASSES = 20
"""With more classes than these, only the worst are listed."""

COMPARED = {
    "mae_px": "MAE px",
    "mae_at_events_px": "at events",
    "one_pe_percent": "1PE %",
    "two_pe_percent": "2PE %",
    "mean_depth_error_m": "depth m",
    "top1_percent": "top-1 %",
    "top5_percent": "top-5 %",
    "energy_mj": "mJ",
}
"""What the table of several methods shows, where any of them has it, and its headings; what else
was measured stands in the JSON document. MAE stands for all pixels with ground truth and for those
of them that the left camera had events at."""

DISTANCE_COLUMNS = {
    "pixels": "pixels",
    "share_percent": "share %",
    "mae_px": "MAE px",
    "one_pe_percent": "1PE %",
    "mean_depth_error_m": "depth error m",
    "relative_depth_error_percent": "of depth %",
}
"""What the table of distances shows, and its headings."""

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
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder to compare with, on the same samples; may be given again."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines", help="Compare with methods that need no training, too."),
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures of the worst frames.", show_default="none"),
    ] = None,
    worst: Annotated[int, typer.Option(help="How many of them.", min=1, max=20)] = 10,
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
    from stereo.evaluate import Asked, evaluate_run
    from stereo.tasks.task import Source

    source = Source(data=data, cache=cache, workers=workers)
    asked = Asked(
        task=task, part=protocol, samples=samples, device=Device(device, precision),
        technology=technology,
    )  # fmt: skip
    with ExitStack() as shown:

        def report(name: str) -> "Advance":
            shown.close()  # each has a rate of its own
            return shown.enter_context(progress(f"Evaluating {Path(name).name}", "samples"))

        document = evaluate_run(
            run, source, asked, beside=beside or (), baselines=baselines, pictures=pictures,
            worst=worst, report=report,
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
    if tables.get("by_distance"):
        console.print(distance_table(tables["by_distance"]))
    if document["beside"]:
        console.print(beside_table(document["beside"]))
    if document["pictures"]:
        folder = Path(document["pictures"][0]).parent
        console.print(f"Worst frames: {folder}", markup=False, soft_wrap=True)
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
        table.add_row(escape(name), *(_number(row.get(key)) for key in SEQUENCE_COLUMNS))
    return table


def distance_table(rows: list[dict[str, float | None]]) -> "Table":
    """Return the errors by distance as a table; all pixels of a range count alike."""
    from rich.table import Table

    table = Table(title="by distance (pixels of all frames together)")
    table.add_column("m")
    for heading in DISTANCE_COLUMNS.values():
        table.add_column(heading, justify="right")
    for row in rows:
        upper = "" if row["to_m"] is None else f"{row['to_m']:g}"
        name = f"{row['from_m']:g} to {upper}" if upper else f"from {row['from_m']:g}"
        table.add_row(name, *(_number(row[key]) for key in DISTANCE_COLUMNS))
    return table


def beside_table(rows: list[dict[str, Any]]) -> "Table":
    """Return several methods as a table; a dash where there is no such measure."""
    from rich.markup import escape
    from rich.table import Table

    shown = [key for key in COMPARED if any(key in row["metrics"] for row in rows)]
    table = Table(title="on the same samples")
    table.add_column("", min_width=20)
    for key in shown:
        table.add_column(COMPARED[key], justify="right")
    table.add_column("analog mJ", justify="right")
    for row in rows:
        values = [row["metrics"].get(key) for key in shown] + [row.get("analog_twin_mj")]
        table.add_row(escape(row["name"]), *(_number(value, 3) for value in values))
    return table


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


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
