"""A trained network on data it has not seen: accuracy, size and energy in one document."""

import time
from pathlib import Path
from typing import Any

import torch

from energy import profile
from nas.fold import fold_norms
from stereo.checkpoint import channels_last, load_run
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.tasks import bind_task
from stereo.tasks.task import Progress, Source, Task

ENERGY_SAMPLES = 8
"""Samples that the energy is the mean of."""


def evaluate_run(
    run: Path,
    source: Source,
    *,
    task: str | None = None,
    part: str | None = None,
    samples: int | None = None,
    device: Device | None = None,
    technology: str = "45nm-fp32",
    progress: Progress = lambda _done, _all: None,
) -> dict[str, Any]:
    """Evaluate the network of a run folder.

    Args:
        run: the folder.
        source: where the data are.
        task: name of the task that the run must be of; None for any.
        part: of the data; the last of the task's parts, which is not trained by, unless given.
        samples: so many only, spread over the data; None for all.
        device: where; the CPU unless given.
        technology: prices of the energy.
        progress: told how far it is.

    Returns:
        The JSON document that ``stereo eval`` prints.

    Raises:
        StereoError: a run of another task, or data that are not there.
    """
    began = time.perf_counter()
    device = device or Device("cpu")
    network = load_run(run, fold=False)
    config = network.config
    if task is not None and task != config.task:
        raise StereoError(f"{run} holds a network for the task {config.task}, not for {task}.")
    if samples is not None and samples < 1:
        raise StereoError(f"An evaluation needs at least one sample, got {samples}.")
    bound = bind_task(config, source)
    chosen = bound.parts[-1] if part is None else part
    parameters = sum(p.numel() for p in network.parameters())
    folded = channels_last(fold_norms(network))
    device.place(folded)
    with device.autocast():
        found = bound.evaluate(folded, chosen, samples=samples, progress=progress)
    energy = _energy(bound, folded, technology, ENERGY_SAMPLES)
    return {
        "task": config.task,
        "run": str(Path(run).absolute()),
        "part": chosen,
        "protocol": found.tables.get("protocol", chosen),
        "metrics": {**found.metrics, "energy_mj": energy["total_mj"], "parameters": parameters},
        "per_sequence": found.tables.get("per_sequence"),
        "samples": found.samples,
        "tables": dict(found.tables),
        "energy": energy,
        "generated": found.tables.get("generated", source.data is None),
        "device": device.name,
        "torch": torch.__version__,
        "wall_s": time.perf_counter() - began,
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
    }
