"""A whole search: one budget or several, by any method, into a run folder."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from nas.budget import Budget
from nas.drawing import svg, svg_of_search
from nas.genotype import Genotype
from nas.methods.evolution import Evolution
from nas.methods.random_search import RandomSearch
from nas.methods.record import Method, Trial
from nas.methods.trials import Trials
from stereo.atomic import write_bytes, write_json
from stereo.checkpoint import channels_last, load_state, save_network, save_state
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.search.costs import measured_cost
from stereo.search.differentiable import Stage, search_by_gradient
from stereo.search.relaxed import calibrate
from stereo.search.setting import METHODS, SearchSetting
from stereo.search.trial import trial_error
from stereo.tasks.task import Task

SEEN = 2
"""Batches from which the norms of an untrained network learn, before its cost is measured."""

Show = Callable[[int, int, Mapping[str, float], Callable[[], Genotype]], None]
"""Told what is done, what there is, what the last step gave, and what would be decoded now."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one search found, in one budget.

    Attributes:
        genotype: file of it.
        budget: limit in ``unit``; None for none.
        unit: of costs.
        expected: cost that the search expected; None where it expects none.
        measured: cost of the network on data.
        fits: whether the measured cost lies in the band below the budget.
        error: held-out loss after a training from scratch as in ``TrialSetting``.
        steps: of the search, or trials.
        wall_s: seconds of this and earlier sessions.
    """

    genotype: Path
    budget: float | None
    unit: str
    expected: float | None
    measured: float
    fits: bool
    error: float
    steps: int
    wall_s: float


def run_search(
    task: Task,
    setting: SearchSetting,
    run: Path,
    *,
    method: str = "differentiable",
    budget: Budget | None = None,
    device: Device | None = None,
    show: Show = lambda _done, _all, _row, _now: None,
    stage: Stage = lambda _name, _done, _all: None,
) -> Found:
    """Search a genotype for one budget; goes on where the run folder stopped.

    Writes ``genotype.json``, its drawing, what the search believed in the end, ``search.json`` and,
    of the differentiable method, ``decoded/``: a run folder with the weights that were searched by.

    Args:
        task: configuration and data.
        setting: of the search.
        run: folder.
        method: one of ``METHODS``.
        budget: of one inference; None for none.
        device: where; the CPU unless given.
        show: told after every step.
        stage: told of what takes its time before and after the steps.

    Raises:
        StereoError: an unknown method, a folder of another search, a loss that is not finite.
    """
    if method not in METHODS:
        raise StereoError(f"There is no method {method!r}; known: {', '.join(METHODS)}.")
    device = device or Device("cpu")
    document = {
        "setting": setting.to_dict() | {"search": setting.search.identity()}, "method": method,
        "budget": None if budget is None else asdict(budget), "config": task.config.to_dict(),
    }  # fmt: skip
    began = time.perf_counter()
    if method == "differentiable":
        found = _by_gradient(task, setting, run, budget, device, show, stage)
    else:
        found = _by_trials(task, setting, run, method, budget, device, show)
    found = replace(found, wall_s=found.wall_s + time.perf_counter() - began)
    if device.writes:
        plain = asdict(found) | {"genotype": found.genotype.name}
        write_json(run / "search.json", document | {"found": plain})
    return found


def _by_gradient(
    task: Task,
    setting: SearchSetting,
    run: Path,
    budget: Budget | None,
    device: Device,
    show: Show,
    stage: Stage,
) -> Found:
    whole, here, half = setting.search.steps, [0.0], task.half
    seen = setting.search.accumulate * task.config.train.batch  # in a step

    def report(done: int, row: Mapping[str, float], now: Callable[[], Genotype]) -> None:
        here.append(row["seconds"])
        epoch = {"epoch": done * seen / half} if half else {}
        show(done, whole, epoch | dict(row), now)

    decoded, relaxed, history = search_by_gradient(
        task, setting, run, budget=budget, device=device, report=report, stage=stage
    )
    before = sum(row["seconds"] for row in history.rows) - sum(here)
    unit = relaxed.unit
    about: dict[str, Any] = {
        "method": "differentiable", "space": setting.relaxed.space, "task": task.config.task,
        "preset": setting.name, "steps": whole, "seed": setting.search.seed,
        "budget": None if budget is None else str(budget), f"expected_{unit}": decoded.expected,
        f"measured_{unit}": decoded.measured,
    }  # fmt: skip
    genotype = replace(decoded.genotype, provenance=about)
    if device.writes:
        save_network(run / "decoded", decoded.network, about)  # type: ignore[arg-type]
        beliefs = relaxed.beliefs(with_neurons=True)
        write_bytes(run / "beliefs.svg", svg_of_search(relaxed.space, beliefs).encode())
    return Found(
        genotype=_write(run, genotype, device),
        budget=None if budget is None else budget.limit,
        unit=unit,
        expected=decoded.expected,
        measured=decoded.measured,
        fits=decoded.fits,
        error=trial_error(
            task, genotype, setting.trials, device, partial(stage, "training the found genotype")
        ),
        steps=whole,
        wall_s=max(0.0, before),
    )


def _by_trials(
    task: Task,
    setting: SearchSetting,
    run: Path,
    method: str,
    budget: Budget | None,
    device: Device,
    show: Show,
) -> Found:
    trials_of, relaxed = setting.trials, setting.relaxed
    unit = "mJ" if budget is None else budget.unit
    example = device.move(task.example(relaxed.samples))
    space = relaxed.build()
    chosen: Method = RandomSearch(space=space) if method == "random" else Evolution(
        space=space, population=trials_of.population, sample=trials_of.sample
    )  # fmt: skip

    seen = [batch for batch, _ in islice(task.halves(), SEEN)]

    def cost(genotype: Genotype) -> float:
        # Untrained, but with norms that have seen data: as it fires when its training begins.
        network = channels_last(task.network(genotype))
        device.place(network)
        calibrate(network, (device.move(batch) for batch in seen), task)
        return measured_cost(network, example, unit, relaxed.technology)

    trials = Trials(
        chosen, lambda genotype: trial_error(task, genotype, trials_of, device),
        seed=setting.search.seed, cost=cost, limit=None if budget is None else budget.limit,
    )  # fmt: skip
    state = load_state(run)
    if state is not None:
        trials.load_state_dict(state["trials"])
    before = trials.seconds
    for trial in trials.run(
        evaluations=trials_of.evaluations or None, seconds=trials_of.seconds or None
    ):
        if device.writes:
            save_state(run, {"step": trial.number, "trials": trials.state_dict()})
        show(trial.number, trials_of.evaluations, _row(trial), lambda: trials.best.genotype)
    best = trials.best
    about: dict[str, Any] = {
        "method": method, "space": relaxed.space, "task": task.config.task, "preset": setting.name,
        "evaluations": len(trials.trials), "seed": setting.search.seed,
        "budget": None if budget is None else str(budget), f"measured_{unit}": best.cost,
    }  # fmt: skip
    genotype = replace(best.genotype, provenance=about)
    measured = float(best.cost or 0.0)
    return Found(
        genotype=_write(run, genotype, device), budget=None if budget is None else budget.limit,
        unit=unit, expected=None, measured=measured,
        fits=budget is None or budget.met_by(measured), error=best.error,
        steps=len(trials.trials), wall_s=before,
    )  # fmt: skip


def _row(trial: Trial) -> dict[str, float]:
    return {name: float(value) for name, value in trial.row().items() if value is not None}


def _write(run: Path, genotype: Genotype, device: Device) -> Path:
    if device.writes:
        run.mkdir(parents=True, exist_ok=True)
        genotype.save(run / "genotype.json")
        write_bytes(run / "genotype.svg", svg(genotype).encode())
    return run / "genotype.json"
