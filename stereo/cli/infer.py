"""``stereo infer``: a recording in; a disparity video, images, accuracy and energy out."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.recordings import (
    CalibrationFile,
    Height,
    MaxDisparity,
    OffsetUs,
    Right,
    Sort,
    Uncalibrated,
    Width,
    WindowMs,
)

if TYPE_CHECKING:
    from rich.table import Table

    from data.recording import Recording
    from data.rows import RowOffset
    from stereo.infer import Inference, Watcher
    from stereo.metrics import Accuracy

Out = Annotated[
    Path | None, typer.Option(help="Folder for the results.", show_default="stereo-out/NAME")
]
Run = Annotated[
    Path | None,
    typer.Option(help="Run folder of a trained network.", show_default="the shipped network"),
]
StepMs = Annotated[
    float | None,
    typer.Option(
        help="Largest distance of two windows.",
        show_default="50; the length of shorter windows and of a stream's",
    ),
]
MaxWindows = Annotated[
    int | None, typer.Option(help="The first so many windows only.", show_default="all")
]
Merge = Annotated[
    int,
    typer.Option(
        "--merge",
        help="Take blocks of so many pixels squared as one: for large sensors and disparities.",
        min=1,
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        help="auto (what is faster on this recording), event (lists of spikes), dense or compiled."
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device", help="cpu, cuda (compiled, in half precision), or auto for what is there."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="To run on.", show_default="all; auto: one or all", min=1),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream", help="As a stream: neurons go on from window to window, real time is watched."
    ),
]
Images = Annotated[bool, typer.Option(help="Keep the disparity of every window as 16-bit PNG.")]
Depth = Annotated[
    bool, typer.Option("--depth", help="Keep depth in millimeters as 16-bit PNG as well.")
]
Ply = Annotated[bool, typer.Option("--ply", help="Keep the points of every window as PLY as well.")]
View = Annotated[bool, typer.Option("--view", help="Show points and pictures live (needs rerun).")]


@guarded
def infer(
    recording: Annotated[
        Path | None,
        typer.Argument(
            help="Recording (DSEC, MVSEC, .npz), or the left camera's file with --right.",
            show_default="the built-in generated recording",
        ),
    ] = None,
    right: Right = None,
    calibration: CalibrationFile = None,
    uncalibrated: Uncalibrated = False,
    width: Width = None,
    height: Height = None,
    offset_us: OffsetUs = 0,
    sort: Sort = False,
    out: Out = None,
    run: Run = None,
    window_ms: WindowMs = None,
    step_ms: StepMs = None,
    max_disparity: MaxDisparity = None,
    merge: Merge = 1,
    max_windows: MaxWindows = None,
    executor: ExecutorName = "auto",
    device: DeviceName = "cpu",
    threads: Threads = None,
    stream: Stream = False,
    images: Images = True,
    depth: Depth = False,
    ply: Ply = False,
    view: View = False,
    seed: Annotated[int, typer.Option(help="Of anything random in the network.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON document.")
    ] = False,
) -> None:
    """Estimate disparity and depth: video, images, accuracy and energy."""
    from stereo.checkpoint import load_network
    from stereo.cli.console import print_json, progress
    from stereo.cli.recordings import CameraFiles, warn_if_raw
    from stereo.infer import infer as run_inference
    from stereo.options import InferOptions

    path, generated = _find(recording)
    cameras = CameraFiles(path, right, calibration, width, height, offset_us, sort)
    with cameras.opened(uncalibrated) as (seen, rows):
        options = InferOptions(
            source=str(path),
            network_name=str(run) if run else "shipped",
            generated=generated,
            window_us=None if window_ms is None else round(window_ms * 1000),
            step_us=None if step_ms is None else round(step_ms * 1000),
            max_disparity=max_disparity,
            merge=merge,
            max_windows=max_windows,
            seed=seed,
            executor=executor,
            device=device,
            threads=threads,
            stream=stream,
            keeps=_kept(disparity=images, depth=depth, points=ply),
            row_offset=None if rows is None else rows.to_dict(),
        )
        network = load_network(run)
        folder = out or Path("stereo-out") / seen.name
        with _viewer(view, seen) as watcher, progress("Estimating", "windows") as advance:
            inference = run_inference(seen, network, folder, options, advance, watcher)
        if rows is None:
            warn_if_raw(seen)
    if as_json:
        print_json(inference.document)
    else:
        _print(inference, rows)


def _kept(**asked: bool) -> tuple[str, ...]:
    """Return the names of what is asked for."""
    return tuple(name for name, wanted in asked.items() if wanted)


def _viewer(wanted: bool, recording: "Recording") -> AbstractContextManager["Watcher"]:
    """Return a live view, or something that watches nothing."""
    if not wanted:
        return nullcontext(lambda _result: None)
    from stereo.viewer import viewer

    return viewer(recording)


def _find(recording: Path | None) -> tuple[Path, bool]:
    """Return the path of the recording and whether it is generated data."""
    from data.recording import is_generated
    from data.simulator import builtin_recording
    from stereo.cli.console import progress

    if recording is not None:
        return recording, is_generated(recording.expanduser())
    with progress("Making the built-in recording (first use)") as advance:
        return builtin_recording(lambda share: advance(share, 1.0)), True


def _print(inference: "Inference", rows: "RowOffset | None") -> None:
    """Print what a person wants to know, at most 100 columns wide."""
    from rich.markup import escape

    from stereo.cli.console import result_console
    from stereo.cli.recordings import describe_rows

    console, document = result_console(), inference.document
    console.print(
        f"\n[bold]{escape(document['name'])}[/] ({document['layout']}, {document['width']}x"
        f"{document['height']}), {document['windows']} windows of "
        f"{document['window_us'] / 1e3:g} ms"
        + (f", [bold]{document['note']}[/]" if document["note"] else "")
    )
    for key, why in (
        ("dropped_events", "outside the sensor, dropped"),
        ("outside_image", "moved off the image by rectification"),
        ("outside_windows", "in no window (seen by one camera only, or left out by the options)"),
    ):
        counts = {camera: count for camera, count in document[key].items() if count}
        if counts:
            words = " and ".join(f"{count:,} {camera}" for camera, count in counts.items())
            console.print(f"Events {why}: {words}")
    if rows is not None:
        console.print(describe_rows(rows))
    if document["merged_pixels"] > 1:
        side = document["merged_pixels"]
        console.print(f"Blocks of {side}x{side} pixels are one for the network")
    # The long table first: what one looks for then stands on the last screen.
    console.print()
    console.print(inference.energy.table())
    for line in inference.energy.summary:
        console.print(line, style="dim", markup=False)
    console.print()
    if inference.accuracy is None:
        console.print("Accuracy: not known, the recording has no ground truth.")
    else:
        console.print(_accuracy_table(inference.accuracy, document["note"] or document["name"]))
    console.print(
        f"Energy   {inference.energy.total_mj:.4g} mJ per window\n"
        f"Speed    {document['windows_per_s']:.2f} windows/s for rectifying, encoding and network, "
        f"on {document['threads']} threads ({document['device']})\n"
        f"Run      {_executor(document['executor'])}"
    )
    if document["stream"]:
        console.print(_latency(document["latency"]))
    for name, key in (
        ("Video", "video"), ("Images", "disparity"), ("Depth", "depth"), ("Points", "points"),
    ):  # fmt: skip
        if document[key] is not None:
            # Paths are printed whole: a wrapped path cannot be copied.
            console.print(f"{name:9}{escape(document[key])}", soft_wrap=True)


def _latency(found: dict[str, Any]) -> str:
    """Say how long estimates take to come, and whether real time was kept."""
    times = " / ".join(f"{1e3 * found[key]:.0f}" for key in ("median_s", "p95_s", "p99_s"))
    kept = "kept"
    if found["waited"]:
        kept = (
            f"lost, {found['waited']:,} of {found['windows']:,} windows waited, up to "
            f"{found['behind_s']:.2f} s"
        )
    return f"Latency  {times} ms (median, 95 %, 99 %); real time {kept}"


def _executor(about: dict[str, Any]) -> str:
    """Say who ran the network."""
    state = "; neurons go on from window to window" if about["remembers"] else ""
    if about["used"] != "event":
        half = ", in half precision" if about["half"] else ""
        return ("densely" if about["used"] == "dense" else "compiled") + half + state
    return f"on lists of spikes, {about['dense_nodes']} of {about['nodes']} nodes densely{state}"


def _accuracy_table(accuracy: "Accuracy", on_what: str) -> "Table":
    """Return the accuracy beside that of the best constant disparity."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"Accuracy on {escape(on_what)}",
        caption=f"{accuracy.valid_pixels:,} pixels of {accuracy.images} ground-truth images; "
        "mean over images",
    )
    for heading in ("", "MAE px", "1PE %", "2PE %", "RMSE px", "depth error m"):
        table.add_column(heading, justify="right" if heading else "left")
    depth = accuracy.mean_depth_error_m
    table.add_row(
        "this network",
        f"{accuracy.mae_px:.3f}",
        f"{accuracy.one_pe_percent:.2f}",
        f"{accuracy.two_pe_percent:.2f}",
        f"{accuracy.rmse_px:.3f}",
        "-" if depth is None else f"{depth:.3f}",
    )
    table.add_row(
        f"best constant ({accuracy.constant_px:.1f} px)", f"{accuracy.constant_mae_px:.3f}"
    )
    return table
