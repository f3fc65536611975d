"""``stereo inspect``: what a recording is, and what deserves attention."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.recordings import (
    CalibrationFile,
    CameraFiles,
    Height,
    OffsetUs,
    Right,
    Sort,
    Width,
)

if TYPE_CHECKING:
    from rich.console import Console

    from stereo.draw import Picture


@guarded
def inspect(
    path: Annotated[
        Path, typer.Argument(help="Recording, one camera's file, or a folder of recordings.")
    ],
    right: Right = None,
    calibration: CalibrationFile = None,
    width: Width = None,
    height: Height = None,
    offset_us: OffsetUs = 0,
    sort: Sort = False,
    out: Annotated[
        Path | None, typer.Option(help="Picture to write (.png).", show_default="none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what a recording is: cameras, rates, faults, calibration, ground truth."""
    from stereo.atomic import write_png
    from stereo.cli.console import print_json
    from stereo.errors import StereoError

    if out is not None and out.suffix.lower() != ".png":
        raise StereoError(f"--out is a picture, so its name must end in .png, got {out}.")
    files = CameraFiles(path, right, calibration, width, height, offset_us, sort)
    document, picture = _look(files, wants_picture=out is not None)
    if out is not None and picture is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_png(out, picture)
        except OSError as error:
            raise StereoError(
                f"The picture cannot be written to {out} ({error.strerror or error})."
            ) from error
        document["picture"] = str(out.absolute())
    if as_json:
        print_json(document)
    elif "sequences" in document:
        _print_list(document)
    else:
        _print(document)


def _look(files: CameraFiles, *, wants_picture: bool) -> "tuple[dict[str, Any], Picture | None]":
    """Describe the recording; what is stored where it cannot be used; or the folder's recordings.

    Raises:
        RecordingError: nothing that can be described.
    """
    from data.errors import RecordingError
    from data.recording import is_generated
    from stereo.cli.console import progress
    from stereo.inspection.measure import inspect_recording
    from stereo.inspection.picture import draw

    path = files.path.expanduser()
    source, right = str(files.path), None if files.right is None else str(files.right)
    try:
        with (
            files.opened(uncalibrated=False) as (recording, _),
            progress("Reading", "events") as advance,
        ):
            found = inspect_recording(
                recording,
                advance,
                source=source,
                right=right,
                generated=is_generated(path),
            )
            return found.document, draw(found, recording) if wants_picture else None
    except RecordingError as error:
        return _second_look(files, error, wants_picture=wants_picture)


def _second_look(
    files: CameraFiles, error: Exception, *, wants_picture: bool
) -> "tuple[dict[str, Any], Picture | None]":
    """Describe what is no usable recording: many of them, one camera, or a damaged one.

    Raises:
        RecordingError: the error that was given, where nothing can be described.
    """
    from data.cameras.pair import pair_name
    from data.errors import RecordingError
    from data.stored import stored_cameras
    from stereo.cli.console import progress
    from stereo.inspection.listing import list_recordings, recordings_in
    from stereo.inspection.measure import inspect_stored
    from stereo.inspection.picture import draw

    path = files.path.expanduser()
    if path.is_dir() and files.right is None:
        inside = list(recordings_in(path))
        if len(inside) > 1:
            with progress("Opening", "recordings") as advance:
                return list_recordings(path, inside, advance), None
        path = inside[0] if inside else path
    try:
        stored = stored_cameras(path, files.right)
        size = (files.width, files.height) if files.width and files.height else None
        found = inspect_stored(
            stored.cameras,
            source=str(files.path),
            right=None if files.right is None else str(files.right),
            name=pair_name(path, files.right) if files.right else path.stem,
            layout=next(iter(stored.cameras.values())).format,
            problem=None if stored.alone else str(error),
            size=(int(size[0]), int(size[1])) if size else None,
        )
    except RecordingError:
        raise error from None
    return found.document, draw(found) if wants_picture else None


def _print(document: dict[str, Any]) -> None:
    """Print what a person wants to know, at most 100 columns wide."""
    from rich.markup import escape

    from stereo.cli.console import result_console

    console = result_console()
    note = f", [bold]{document['note']}[/]" if document["note"] else ""
    console.print(
        f"\n[bold]{escape(document['name'])}[/] ({document['layout']}{note}), "
        f"{document['duration_s']:.3f} s"
    )
    if document["problem"]:
        console.print(f"[bold red]Not usable:[/] {escape(document['problem'])}")
    _print_cameras(console, document)
    for name, text in _lines(document):
        console.print(f"{name:14}{escape(text)}")
    found = document["findings"]
    if found:
        console.print("\n[bold]Deserves attention[/]")
        for sentence in found:
            console.print(f"- {escape(sentence)}")
    if document["picture"]:
        # Paths are printed whole: a wrapped path cannot be copied.
        console.print(f"\nPicture       {escape(document['picture'])}", soft_wrap=True)


def _print_cameras(console: "Console", document: dict[str, Any]) -> None:
    """Print the table of the cameras, one column each."""
    from rich.table import Table

    cameras = {name: facts for name, facts in document["cameras"].items() if facts is not None}
    table = Table()
    table.add_column("")
    for name in cameras:
        table.add_column(name, justify="right")
    for label, text in _ROWS.items():
        table.add_row(label, *(text(facts) for facts in cameras.values()))
    for what in sorted({what for facts in cameras.values() for what in facts["skipped"]}):
        counts = (facts["skipped"].get(what, 0) for facts in cameras.values())
        table.add_row(what, *(f"{count:,}" for count in counts))
    console.print(table)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "sensor, pixels": lambda facts: f"{facts['width']} x {facts['height']}",
    "events": lambda facts: f"{facts['events']:,}",
    "events per second": lambda facts: _rate(facts["rate_per_s"]),
    "  in the busiest part": lambda facts: _rate(facts["peak_rate_per_s"]),
    "ON events": lambda facts: _share(facts["on_share"]),
    "pixels with events": lambda facts: _share(facts["active_share"]),
    "hot pixels": lambda facts: f"{facts['hot_pixels']:,} ({_share(facts['hot_share'])} of events)",
    "outside the sensor": lambda facts: f"{facts['out_of_sensor']:,}",
    "outside the shared time": lambda facts: f"{facts['outside_overlap']:,}",
    "unsorted": lambda facts: f"{facts['unsorted']:,}",
    "repeated": lambda facts: f"{facts['duplicates']:,}",
}


def _lines(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what concerns the pair, as names and texts."""
    lines: list[tuple[str, str]] = []
    if document["overlap_s"] is not None:
        lines.append(("Shared time", f"{document['overlap_s']:.3f} s"))
    rows = document["row_offset"]
    if rows is not None:
        text = f"{rows['offset_px']:+.2f} px, right minus left, confidence {rows['confidence']:.2f}"
        unsure = "" if rows["reliable"] else " - too little to rely on"
        lines.append(("Row offset", text + unsure))
    calibration = document["calibration"]
    if calibration is None:
        lines.append(("Calibration", "none"))
    elif calibration["focal_px"] is None:
        lines.append(("Calibration", "rectified, but focal length and baseline are not known"))
    else:
        lines.append(
            (
                "Calibration",
                f"focal length {calibration['focal_px']:.2f} px, baseline "
                f"{calibration['baseline_m']:.4f} m, 1 px of disparity = "
                f"{calibration['depth_at_1px_m']:.1f} m",
            )
        )
    if calibration is not None:
        moved = (f"{_share(v)} of the {c}" for c, v in calibration["off_image_share"].items())
        lines.append(("Off the image", f"{' and '.join(moved)} events, by rectification"))
    return lines + _truth(document["ground_truth"])


def _truth(truth: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Describe the ground truth."""
    if truth is None:
        return [("Ground truth", "none")]
    lines = [("Ground truth", f"{truth['count']:,}, {_share(truth['valid_share'])} of the pixels")]
    if truth["disparity_px"] is not None:
        low, middle, high = (truth["disparity_px"][k] for k in ("min", "median", "max"))
        lines.append(("", f"disparity {low:.2f} to {high:.2f} px, median {middle:.1f} px"))
    if truth["depth_m"] is not None:
        low, middle, high = (truth["depth_m"][k] for k in ("min", "median", "max"))
        lines.append(("", f"depth {low:.3g} to {high:.3g} m, median {middle:.3g} m"))
    return lines


def _print_list(document: dict[str, Any]) -> None:
    """Print the table of the recordings in a folder."""
    from rich.markup import escape
    from rich.table import Table

    from stereo.cli.console import result_console

    console = result_console()
    sequences = document["sequences"]
    table = Table(title=escape(f"{len(sequences)} recordings"))
    for heading in ("recording", "layout", "sensor", "s", "left", "right", "truths", "calib."):
        table.add_column(heading, justify="left" if heading in ("recording", "layout") else "right")
    for entry in sequences:
        if entry["problem"] is not None:
            table.add_row(escape(entry["name"]), "[red]not usable[/]")
            continue
        events = (f"{entry['events'][c] / 1e6:.1f} M" for c in ("left", "right"))
        table.add_row(
            escape(entry["name"]),
            entry["layout"],
            f"{entry['width']}x{entry['height']}",
            f"{entry['duration_s']:.1f}",
            *events,
            f"{entry['ground_truths']:,}",
            "yes" if entry["calibrated"] else "no",
        )
    console.print(table)
    for entry in sequences:
        if entry["problem"] is not None:
            console.print(f"[red]{escape(entry['name'])}[/]: {escape(entry['problem'])}")
