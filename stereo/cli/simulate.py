"""``stereo simulate``: write a generated recording with ground truth."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
        list[str] | None, typer.Option(help="Of a suite: mvsec or dsec; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Generate a recording of a moving scene, with exact ground truth."""
    from data.simulator import simulate_dsec
    from data.simulator.mvsec import simulate_mvsec
    from data.simulator.pictures import PictureFolder
    from stereo.cli.console import print_json, progress, result_console

    if suite is not None:
        _simulate_suite(out, suite, part, geometry, textures, as_json)
        return
    if part or geometry:
        raise StereoError("--part and --geometry belong to --suite; give it, or leave them out.")
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
            sensor=sensor,
            pictures=None if textures is None else PictureFolder(textures),
            dense=dense,
            progress=lambda share: advance(share, 1.0),
        )
    document = {
        "path": str(out.absolute()),
        "layout": layout.value,
        "scene": scene,
        "sensor": sensor,
        "seed": seed,
        "dense": dense,
        "generated": True,
        "duration_s": duration,
        "events": {camera: events[camera] for camera in ("left", "right")},
        "steps": events["steps"],
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
    if events["steps"] and events["steps"]["floored"]:
        result_console().print(
            "Some motion was too fast for the shortest step: up to "
            f"{events['steps']['largest_motion_px']:.2f} pixels between two samples.",
            markup=False,
            soft_wrap=True,
        )


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
