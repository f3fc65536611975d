"""``stereo train``: train a network on generated scenes, resumable at any time."""

import time
from pathlib import Path
from typing import Annotated

import typer

from stereo.cli.errors import guarded


@guarded
def train(
    run: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    preset: Annotated[str, typer.Option(help="Configuration to start from.")] = "small",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Change one field; may be given again."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on where the run folder stopped, if it holds a training.")
    ] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps simulated clips.", show_default="none")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that prepare windows.", min=0)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a network on generated scenes; Ctrl-C and the same command again go on."""
    from stereo.cli.console import print_json, progress, result_console
    from stereo.cli.presets import find
    from stereo.train import train as run_training

    began = time.perf_counter()
    config = find(preset).override(_pairs(assignments or []))
    with progress("Training", "steps") as advance:
        metrics = run_training(
            config,
            run,
            cache=cache,
            resume=resume,
            workers=workers,
            report=lambda step, _metrics: advance(step, config.train.steps),
        )
    document = {
        "run": str(run.absolute()),
        "steps": config.train.steps,
        "wall_s": time.perf_counter() - began,
        "best": metrics,
    }
    if as_json:
        print_json(document)
        return
    console = result_console()
    for name, value in metrics.items():
        console.print(f"{name:18}{value:.5g}", markup=False)
    console.print(f"Trained {config.train.steps} steps: {run}", markup=False, soft_wrap=True)


def _pairs(assignments: list[str]) -> dict[str, str]:
    """Split ``a.b=c``.

    Raises:
        StereoError: there is no equals sign.
    """
    from stereo.errors import StereoError

    pairs = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise StereoError(f"--set wants FIELD=VALUE such as train.steps=100, got {assignment}.")
        pairs[name] = value
    return pairs
