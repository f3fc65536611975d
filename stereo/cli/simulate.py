"""``stereo simulate``: write a generated recording with ground truth."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.errors import StereoError


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
    sensor: Annotated[str, typer.Option(help="Sensor: clean, noisy or default.")] = "default",
    textures: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures for the scene photos.", show_default="none"),
    ] = None,
    dense: Annotated[bool, typer.Option(help="Ground truth at every pixel.")] = False,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Make a benchmark suite (stereo-bench) in OUT; it fixes the options above "
            "but --textures. What is there already is kept.",
            show_default="none",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="Of a suite: train, validation or test; may be repeated."),
    ] = None,
    geometry: Annotated[
        list[str] | None,
        typer.Option(help="Of a suite: mvsec, dsec or mvsec-half; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Generate a recording of a moving scene, with exact ground truth."""
    if suite is not None:
        _simulate_suite(out, suite, part, geometry, textures, as_json)
        return
    if part or geometry:
        raise StereoError("--part and --geometry belong to --suite; give it, or leave them out.")
    began = time.perf_counter()
    size = {"width": width, "height": height}
    settings = {"scene": scene, "sensor": sensor, "seed": seed, "dense": dense}
    made = _make(
        out, layout, textures,
        settings | {side: pixels for side, pixels in size.items() if pixels is not None}
        | {"duration_s": duration},
    )  # fmt: skip
    document = {
        "path": str(out.absolute()),
        "layout": layout.value,
        **settings,
        "generated": True,
        "duration_s": duration,
        "events": {camera: made[camera] for camera in ("left", "right")},
        "steps": made["steps"],
        "wall_s": time.perf_counter() - began,
    }
    _show(out, document, as_json)


def _make(
    out: Path, layout: Layout, textures: Path | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """Simulate one recording and write it."""
    from data.simulator import simulate_dsec
    from data.simulator.mvsec import simulate_mvsec
    from data.simulator.pictures import PictureFolder
    from stereo.cli.console import progress

    write = simulate_mvsec if layout == Layout.MVSEC else simulate_dsec
    pictures = None if textures is None else PictureFolder(textures)
    with progress(f"Simulating {settings['scene']}") as advance:
        return write(out, pictures=pictures, progress=lambda share: advance(share, 1.0), **settings)


def _show(out: Path, document: dict[str, Any], as_json: bool) -> None:
    """Print what was made, and whether time was sampled as finely as it should be."""
    from stereo.cli.console import print_json, result_console

    if as_json:
        print_json(document)
        return
    events, steps = document["events"], document["steps"]
    lines = [
        f"{out}: {events['left']:,} left and {events['right']:,} right events in "
        f"{document['duration_s']:g} s, generated in {document['wall_s']:.1f} s"
    ]
    if steps["floored"]:
        lines.append(
            "Some motion was too fast for the shortest step: up to "
            f"{steps['largest_motion_px']:.2f} pixels between two samples."
        )
    for line in lines:
        result_console().print(line, markup=False, soft_wrap=True)


def _simulate_suite(
    out: Path,
    name: str,
    parts: list[str] | None,
    geometries: list[str] | None,
    textures: Path | None,
    as_json: bool,
) -> None:
    """Make a benchmark suite, or what is missing of it."""
    from data.simulator.suite import GEOMETRIES, PARTS, find_suite, make_suite
    from stereo.cli.console import print_json, progress, result_console

    began = time.perf_counter()
    chosen = find_suite(name)
    made = {}
    for geometry in geometries or list(GEOMETRIES):
        with progress(f"{name}, {geometry}", unit="simulated s") as advance:
            made[geometry] = make_suite(
                out, chosen, geometry=geometry, parts=parts or PARTS, textures=textures,
                progress=lambda done, total, _: advance(done, total),
            )  # fmt: skip
    document = {
        "path": str(out.absolute()),
        "suite": name,
        "revision": chosen.revision,
        "generated": True,
        "geometries": made,
        "wall_s": time.perf_counter() - began,
    }
    if as_json:
        print_json(document)
        return
    for geometry, manifest in made.items():
        found = manifest["recordings"].values()
        result_console().print(
            f"{out / geometry}: {len(found)} recordings, "
            f"{sum(r['duration_s'] for r in found):g} s of generated data",
            markup=False,
            soft_wrap=True,
        )
