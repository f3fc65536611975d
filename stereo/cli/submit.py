"""``stereo submit``: write a submission to the DSEC disparity benchmark, or check one."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.recordings import MaxDisparity, WindowMs
from stereo.cli.train import DeviceName, Precision

if TYPE_CHECKING:
    from stereo.submission.checking import CheckReport
    from stereo.submission.writing import SubmitOptions

FAILED_CODE = 1
"""Exit code of a submission with errors."""

PX = ("low_px", "median_px", "high_px")

Advance = Callable[[int, int], None]


Run = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN", help="Run folder of a trained network.", show_default="the shipped network"
    ),
]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="The same as RUN, as other commands have it.")
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of DSEC; to check, a folder of its csv files is enough."),
]
Out = Annotated[Path | None, typer.Option(help="Folder or .zip to write, or to go on with.")]
Check = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER_OR_ZIP", help="Check this submission; write nothing."),
]
Sequences = Annotated[
    list[str] | None,
    typer.Option(help="Only this test sequence; may be repeated.", show_default="all 12"),
]


@guarded
def submit(
    run: Run = None,
    data: Data = None,
    out: Out = None,
    check: Check = None,
    sequence: Sequences = None,
    window_ms: WindowMs = None,
    max_disparity: MaxDisparity = None,
    run_option: RunOption = None,
    device: DeviceName = "cpu",
    precision: Precision = "32-true",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a DSEC disparity submission and check it, or check one (--check).

    The same command again goes on where it stopped; exit code 1 if the check finds an error.
    """
    from data.dsec.splits import TEST
    from stereo.cli.console import print_json
    from stereo.errors import StereoError

    began = time.perf_counter()
    if run is not None and run_option is not None:
        raise StereoError("Give the run folder once, as RUN or with --run.")
    run = run or run_option
    names = tuple(dict.fromkeys(sequence)) if sequence else TEST
    if check is not None:
        if run is not None or out is not None:
            raise StereoError("--check writes nothing; leave out RUN and --out.")
        report = _check(check, data, names)
        document = {"command": "stereo submit --check", **report.to_dict()}
    else:
        if data is None or out is None:
            raise StereoError(
                "A submission needs --data, the folder of DSEC with its test sequences, and --out, "
                "a folder or .zip to write. To check one, give --check FOLDER_OR_ZIP."
            )
        from stereo.submission.writing import SubmitOptions

        options = SubmitOptions(
            network_name=str(run) if run else "shipped",
            sequences=names,
            window_us=None if window_ms is None else round(window_ms * 1000),
            max_disparity=max_disparity,
            precision=precision,
        )
        report, document = _write(run, data.expanduser(), out.expanduser(), options, device)
    document["wall_s"] = time.perf_counter() - began
    if as_json:
        print_json(document)
    else:
        _print(report, document)
    if report.errors:
        raise typer.Exit(FAILED_CODE)


def _check(path: Path, data: Path | None, names: tuple[str, ...]) -> "CheckReport":
    """Check a submission."""
    from data.dsec.splits import TEST
    from stereo.cli.console import progress
    from stereo.errors import StereoError
    from stereo.submission.checking import check_submission
    from stereo.submission.files import ADVICE, official_list

    if data is None:
        raise StereoError(
            f"How many images each sequence must have, and their names, are in the official csv "
            f"files only. {ADVICE}"
        )
    unknown = [name for name in names if name not in TEST]
    if unknown:
        raise StereoError(f"{', '.join(unknown)} is no test sequence. Known: {', '.join(TEST)}.")
    wanted = official_list(data.expanduser(), names)
    with progress("Checking", "images") as advance:
        return check_submission(path.expanduser(), wanted, progress=advance)


def _write(
    run: Path | None, data: Path, out: Path, options: "SubmitOptions", device: str
) -> "tuple[CheckReport, dict[str, Any]]":
    """Write a submission."""
    from stereo.checkpoint import load_network
    from stereo.devices import Device
    from stereo.errors import StereoError
    from stereo.submission.writing import write_submission

    place = Device(device, options.precision)
    if place.ranks > 1:
        raise StereoError("A submission is written by one process; start it without torchrun.")
    network = load_network(run)
    place.place(network)
    with _stages() as stage, place.autocast():
        submitted = write_submission(data, network, out, options, stage)
    document = {"command": "stereo submit", "device": place.name, **submitted.document}
    return submitted.check, document


@contextmanager
def _stages() -> Iterator[Callable[[str], Advance]]:
    """Give a function that begins the progress of the next stage and ends that of the last."""
    from stereo.cli.console import progress

    with ExitStack() as shown:

        def begin(name: str) -> Advance:
            shown.close()
            return shown.enter_context(progress(name, "images"))

        yield begin


def _print(report: "CheckReport", document: dict[str, Any]) -> None:
    """Print the table of the sequences and all findings."""
    from rich.markup import escape
    from rich.table import Table

    from stereo.cli.console import result_console

    console = result_console()
    table = Table(
        title=escape(f"DSEC disparity test: {document['path']}"),
        caption="disparity: percentiles 1, 50 and 99, median over the images",
    )
    for heading in ("sequence", "images", "of", *("1 %", "50 %", "99 % px")):
        table.add_column(heading, justify="left" if heading == "sequence" else "right")
    for name, row in report.sequences.items():
        shown = ("-" if row[key] is None else f"{row[key]:.2f}" for key in PX)
        table.add_row(escape(name), str(row["found"]), str(row["wanted"]), *shown)
    console.print(table)
    for finding in report.findings:
        color = "red" if finding.severity == "error" else "yellow"
        console.print(f"[{color}]{finding.severity}[/] {escape(str(finding))}", soft_wrap=True)
    if "computed" in document:
        console.print(
            f"{document['computed']:,} images estimated, {document['kept']:,} were there already; "
            f"origin in {escape(document['record'])}",
            soft_wrap=True,
        )
    verdict = "[bold red]refused[/]" if report.errors else "[bold green]correct[/]"
    if not report.errors and not report.complete:
        verdict = "[bold yellow]correct, but only a part[/]"
    console.print(f"{verdict}: {report.errors} errors, {report.warnings} warnings")
