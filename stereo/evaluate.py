"""Trained networks on data they have not seen: accuracy, size and energy in one document."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energy import profile
from nas.fold import fold_norms
from stereo.analog_twin import beside_twin
from stereo.atomic import write_png
from stereo.checkpoint import channels_last, load_run
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.tasks import bind_task
from stereo.tasks.task import Evaluation, Progress, Source, Task

ENERGY_SAMPLES = 8
"""Samples that the energy is the mean of."""

Report = Callable[[str], Progress]
"""Told what is evaluated; gives what is told how far it is."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What networks are evaluated on, and how.

    Attributes:
        task: name of the task that a run must be of; None for any.
        part: of the data; the last of the task's parts, which is not trained by, unless given.
        samples: so many only, spread over the data; None for all.
        device: where.
        technology: prices of the energy.
    """

    task: str | None = None
    part: str | None = None
    samples: int | None = None
    device: Device
    technology: str = "45nm-fp32"

    def __post_init__(self) -> None:
        """Refuse an evaluation of nothing."""
        if self.samples is not None and self.samples < 1:
            raise StereoError(f"An evaluation needs at least one sample, got {self.samples}.")


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One network of a run folder, evaluated.

    Attributes:
        run: the folder.
        task: configuration and data.
        network: norms folded, in eval mode.
        evaluation: how good it is.
        parameters: before norms were folded.
        energy: of an inference, as JSON has it.
    """

    run: Path
    task: Task
    network: nn.Module
    evaluation: Evaluation
    parameters: int
    energy: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """What is reported of it."""
        size = {"energy_mj": self.energy["total_mj"], "parameters": self.parameters}
        return {**self.evaluation.metrics, **size}


def evaluate_run(
    run: Path,
    source: Source,
    asked: Asked,
    *,
    beside: Sequence[Path] = (),
    baselines: bool = False,
    pictures: Path | None = None,
    worst: int = 10,
    report: Report = lambda _name: lambda _done, _all: None,
) -> dict[str, Any]:
    """Evaluate the network of a run folder, and others beside it on the same samples.

    Args:
        run: the folder.
        source: where the data are.
        asked: part, device and prices.
        beside: further run folders.
        baselines: whether to compare with the methods of the task that need no training, too.
        pictures: folder for pictures of the samples with the largest errors; None for none.
        worst: so many pictures.
        report: told what is evaluated.

    Returns:
        The JSON document that ``stereo eval`` prints.

    Raises:
        StereoError: a run of another task, data that are not there, or pictures of a task that
            draws none; the runs are looked at before anything is evaluated.
    """
    began = time.perf_counter()
    _check(run, source, beside, pictures)
    found = evaluated(run, source, asked, report(str(run)))
    evaluation, tables = found.evaluation, found.evaluation.tables
    drawn = [] if pictures is None else draw_worst(found, pictures, worst)
    rows = [_row(found)] if beside or baselines else []
    rows += [_row(evaluated(other, source, asked, report(str(other)))) for other in beside]
    rows += _without_training(found, report) if baselines else []
    return {
        "task": found.task.config.task,
        "run": str(Path(run).absolute()),
        "part": evaluation.part,
        "protocol": tables.get("protocol", evaluation.part),
        "metrics": found.metrics,
        "per_sequence": tables.get("per_sequence"),
        "samples": evaluation.samples,
        "tables": dict(tables),
        "energy": found.energy,
        "beside": rows,
        "pictures": [str(path.absolute()) for path in drawn],
        "generated": tables.get("generated", source.data is None),
        "device": asked.device.name,
        "torch": torch.__version__,
        "wall_s": time.perf_counter() - began,
    }


def evaluated(run: Path, source: Source, asked: Asked, progress: Progress) -> Evaluated:
    """Evaluate the network of one run folder.

    Raises:
        StereoError: a run of another task, or data that are not there.
    """
    network = load_run(run, fold=False)
    config = network.config
    if asked.task is not None and asked.task != config.task:
        raise StereoError(
            f"{run} holds a network for the task {config.task}, not for {asked.task}."
        )
    task = bind_task(config, source)
    part = task.parts[-1] if asked.part is None else asked.part
    parameters = sum(p.numel() for p in network.parameters())
    folded = channels_last(fold_norms(network))
    asked.device.place(folded)
    with asked.device.autocast():
        evaluation = task.evaluate(folded, part, samples=asked.samples, progress=progress)
    return Evaluated(
        run=Path(run), task=task, network=folded, evaluation=evaluation, parameters=parameters,
        energy=_energy(task, folded, asked.technology, ENERGY_SAMPLES),
    )  # fmt: skip


def draw_worst(found: Evaluated, folder: Path, count: int) -> list[Path]:
    """Write pictures of the samples with the largest errors, the worst first in order of names."""
    places = found.evaluation.worst[:count]
    written = []
    drawn = found.task.draw(found.network, found.evaluation.part, places)
    for number, (name, picture) in enumerate(drawn, start=1):
        written.append(folder / f"worst_{number:02d}_{name}.png")
        write_png(written[-1], picture)
    return written


def _check(run: Path, source: Source, beside: Sequence[Path], pictures: Path | None) -> None:
    """Refuse what would fail after the first network has been evaluated; make the folder."""
    config = load_run(run, fold=False).config
    for other in beside:
        task = load_run(other, fold=False).config.task
        if task != config.task:
            raise StereoError(
                f"{other} holds a network for the task {task}, {run} one for {config.task}; only "
                "networks for one task can be compared."
            )
    if pictures is None:
        return
    if not bind_task(config, source).draws:
        raise StereoError(
            f"The task {config.task} draws no pictures of its samples; leave out --pictures."
        )
    try:
        pictures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StereoError(
            f"Pictures cannot be written to {pictures} ({error.strerror or error}). Give a folder "
            "that you may write to with --pictures."
        ) from error


def _without_training(found: Evaluated, report: Report) -> list[dict[str, Any]]:
    """Evaluate the methods of a task that need no training."""
    rows = []
    evaluation = found.evaluation
    for name, make in found.task.baselines().items():
        task, method = make()
        judged = task.evaluate(
            method.eval(), evaluation.part, samples=evaluation.samples, progress=report(name)
        )
        rows.append({"name": name, "kind": "method", "metrics": dict(judged.metrics)})
    constant = evaluation.metrics.get("constant_mae_px")
    if constant is not None:
        name = f"{evaluation.metrics['constant_px']:.1f} px everywhere (the best constant)"
        rows.append({"name": name, "kind": "method", "metrics": {"mae_px": constant}})
    return rows


def _row(found: Evaluated) -> dict[str, Any]:
    """Return one line of the comparison."""
    return {
        "name": found.run.name,
        "kind": "network",
        "run": str(found.run.absolute()),
        "metrics": found.metrics,
        "analog_twin_mj": found.energy["analog_twin"]["total_mj"],
    }


def _energy(task: Task, network: Any, technology: str, samples: int) -> dict[str, Any]:
    """Return what an inference costs, as a mean over samples."""
    place = next(network.parameters()).device
    inputs = tuple(x.to(place) for x in task.example(samples))
    report = profile(network, *inputs, technology=technology, steps=task.steps)
    return {
        "technology": report.technology.name,
        "convention": report.convention,
        "total_mj": report.total_mj,
        "ac": report.ac,
        "mac": report.mac,
        "steps": report.steps,
        "samples": report.samples,
        "uncounted": [row.op for row in report.uncounted],
        "warnings": list(report.warnings),
        **beside_twin(report),
    }
