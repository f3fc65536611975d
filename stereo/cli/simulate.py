"""``stereo simulate``: write a generated recording with ground truth."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stereo.cli.errors import guarded


class Layout(StrEnum):
    """Layouts that a generated recording can have on disk."""

    DSEC = "dsec"
    MVSEC = "mvsec"


@guarded
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")],
    layout: Annotated[Layout, typer.Option(help="Layout on disk.")] = Layout.DSEC,
    scene: Annotated[str, typer.Option(help="Name of the scene.")] = "studio",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    duration: Annotated[float, typer.Option(help="Seconds.")] = 1.0,
    width: Annotated[
        int | None,
        typer.Option(help="Columns of each sensor.", show_default="640 for dsec, 346 for mvsec"),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(help="Rows of each sensor.", show_default="480 for dsec, 260 for mvsec"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Generate a recording of a moving scene, with exact ground truth."""
    from data.simulator import simulate_dsec
    from data.simulator.mvsec import simulate_mvsec
    from stereo.cli.console import print_json, progress, result_console

    began = time.perf_counter()
    with progress(f"Simulating {scene}") as advance:
        write = simulate_mvsec if layout == Layout.MVSEC else simulate_dsec
        size = {"width": width, "height": height}
        events = write(
            out,
            scene=scene,
            seed=seed,
            duration_s=duration,
            **{side: pixels for side, pixels in size.items() if pixels is not None},
            progress=lambda share: advance(share, 1.0),
        )
    document = {
        "path": str(out.absolute()),
        "layout": layout.value,
        "scene": scene,
        "seed": seed,
        "duration_s": duration,
        "events": {camera: events[camera] for camera in ("left", "right")},
        "wall_s": time.perf_counter() - began,
    }
    if as_json:
        print_json(document)
        return
    result_console().print(
        f"{out}: {events['left']:,} left and {events['right']:,} right events in {duration:g} s, "
        f"generated in {document['wall_s']:.1f} s",
        markup=False,
        soft_wrap=True,
    )
