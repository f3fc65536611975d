"""The differentiable search of a task: relaxed network in, genotype within the budget out."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nas.budget import Budget
from nas.genotype import Genotype
from nas.search import search
from nas.search_config import SearchHistory
from nas.synced import average_gradients
from stereo.checkpoint import load_state, save_state
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.search.finalists import best_of
from stereo.search.pairs import Halves
from stereo.search.relaxed import Decoded, Relaxed
from stereo.search.setting import SearchSetting
from stereo.tasks.task import Task

Report = Callable[[int, Mapping[str, float], Callable[[], Genotype]], None]
"""Told the steps done, what the last one gave, and how to get what would be decoded now."""

Stage = Callable[[str, int, int], None]
"""Told what is being done beside the steps of a search, how much of it is done, and of how much."""


def search_by_gradient(
    task: Task,
    setting: SearchSetting,
    run: Path,
    *,
    budget: Budget | None,
    device: Device,
    report: Report = lambda _done, _row, _now: None,
    stage: Stage = lambda _name, _done, _all: None,
) -> tuple[Decoded, Relaxed, SearchHistory]:
    """Search; resumes from the run folder if it holds a state of the same search.

    Args:
        task: configuration and data.
        setting: of the search.
        run: run folder.
        budget: of an inference; None for none.
        device: where.
        report: called after every step.
        stage: told of what takes its time before and after the steps.

    Returns:
        What was decoded, the relaxed network, and the history.

    Raises:
        StereoError: the run folder holds another search, or the loss is not finite.
    """
    unit = "mJ" if budget is None else budget.unit
    torch.manual_seed(setting.search.seed)
    relaxed = Relaxed(task, setting.relaxed, unit, device)
    state = load_state(run)
    halves = Halves(
        lambda step: task.halves(step, rank=device.rank, ranks=device.ranks),
        keep=2 * setting.search.accumulate,
    )

    def save(done: int, found: Mapping[str, Any]) -> None:
        if device.writes:
            save_state(run, {"step": done, "search": found})

    try:
        history = search(
            relaxed.network,
            setting.search,
            training=lambda step: device.move(halves.weights(step)),
            held_out=lambda step: device.move(halves.architecture(step)),
            loss=relaxed.loss,
            architecture=relaxed.parameters,
            cost=relaxed.expected.now,
            measure=relaxed.expected.measure,
            entropy=relaxed.entropy,
            budget=budget,
            anneal=relaxed.anneal,
            extra={"counts": relaxed.expected},
            state=None if state is None else state["search"],
            save=save,
            report=lambda done, row: report(done, row, relaxed.likeliest),
            precision=device.autocast,
            reduce=average_gradients if device.ranks > 1 else None,
            judge=relaxed.judge,
            early=relaxed.early_loss,
        )
    except (FloatingPointError, ValueError, KeyError) as error:
        raise StereoError(f"The search in {run} cannot go on: {error}") from error
    limit, slack = (None, 0.1) if budget is None else (budget.limit, budget.slack)
    stage("counting synapses", 0, 1)
    relaxed.expected.measure()
    stage("decoding", 0, 1)
    decoded, wanted = relaxed.decode(limit, slack), setting.relaxed.finalists
    if wanted:
        decoded = best_of(
            relaxed, decoded, limit, slack, wanted=wanted, seed=setting.search.seed,
            progress=partial(stage, "comparing finalists"),
        )  # fmt: skip
    return decoded, relaxed, history
