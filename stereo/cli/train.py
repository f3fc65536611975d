"""``stereo train``: train a network for any task, resumable at any time."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded

if TYPE_CHECKING:
    from stereo.config import StereoConfig
    from stereo.train import Report

Task = Annotated[
    str,
    typer.Option(help="stereo, cifar10, cifar100, imagenet, cifar10-dvs or dvs-gesture."),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the data set.", show_default="generated for stereo")
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder that keeps what is costly to make.", show_default="none")
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option(help="32-true or bf16-mixed.")]
Workers = Annotated[int, typer.Option(help="Processes that prepare batches.", min=0)]


@guarded
def train(
    run: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    task: Task = "stereo",
    preset: Annotated[
        str | None,
        typer.Option(help="Configuration to start from.", show_default="that of the task"),
    ] = None,
    genotype: Annotated[
        Path | None,
        typer.Option(help="Genotype (JSON) to build.", show_default="that of the preset"),
    ] = None,
    analog_twin: Annotated[
        bool,
        typer.Option(
            "--analog-twin",
            help="Train the same layers with rectifiers for neurons, run once, to compare with.",
        ),
    ] = False,
    data: Data = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Change one field; may be given again."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on where the run folder stopped, if it holds a training.")
    ] = True,
    cache: Cache = None,
    workers: Workers = 1,
    device: DeviceName = "cpu",
    precision: Precision = "32-true",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the metrics for TensorBoard, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a network; Ctrl-C and the same command again go on.

    Under torchrun the processes share every batch.
    """
    from stereo.cli.console import print_json, print_notes, result_console
    from stereo.devices import Device
    from stereo.tasks import bind_task, find_config
    from stereo.tasks.task import Source
    from stereo.train import train as run_training

    began = time.perf_counter()
    changes = pairs(assignments or [])
    if genotype is not None:
        changes["network.genotype"] = str(genotype)
    config = find_config(task, preset).override(changes)
    if analog_twin:
        config = _twin(config, run)
    bound = bind_task(config, Source(data=data, cache=cache, workers=workers))
    place = Device(device, precision)
    if place.writes:
        print_notes(bound.notes())
    with _reported(config.train.steps, run if tensorboard and place.writes else None) as report:
        metrics = run_training(bound, run, device=place, resume=resume, report=report)
    if not place.writes:
        return
    document = {
        "run": str(run.absolute()),
        "task": config.task,
        "steps": config.train.steps,
        "wall_s": time.perf_counter() - began,
        "best": metrics,
    }
    if as_json:
        print_json(document)
        return
    console = result_console()
    for name, value in metrics.items():
        console.print(f"{name:28}{value:.5g}", markup=False)
    console.print(f"Trained {config.train.steps} steps: {run}", markup=False, soft_wrap=True)


@contextmanager
def _reported(steps: int, board_in: Path | None) -> Iterator["Report"]:
    """Give what shows the progress of a training, and tells TensorBoard if a folder is given."""
    from stereo.board import board
    from stereo.cli.console import progress

    with ExitStack() as stack:
        advance = stack.enter_context(progress("Training", "steps"))
        tell = None if board_in is None else stack.enter_context(board(board_in))

        def report(step: int, found: dict[str, float]) -> None:
            advance(step, steps)
            if tell is not None:
                tell(step, found)

        yield report


def _twin(config: Any, run: Path) -> "StereoConfig":
    """Return the configuration of the analog twin.

    Raises:
        StereoError: the task has none.
    """
    from stereo.analog_twin import twin_changes
    from stereo.config import StereoConfig
    from stereo.errors import StereoError

    if not isinstance(config, StereoConfig):
        raise StereoError(f"--analog-twin is for the task stereo, not for {config.task}.")
    return config.override(twin_changes(config, run))


def pairs(assignments: list[str]) -> dict[str, str]:
    """Split ``a.b=c``.

    Raises:
        StereoError: there is no equals sign.
    """
    from stereo.errors import StereoError

    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise StereoError(f"--set wants FIELD=VALUE such as train.steps=100, got {assignment}.")
        found[name] = value
    return found
