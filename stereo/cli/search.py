"""``stereo search``: find a network for a task and a budget, resumable at any time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded
from stereo.cli.train import Data, DeviceName, Precision, Workers, pairs

if TYPE_CHECKING:
    from nas.budget import Budget
    from stereo.devices import Device
    from stereo.search.run import Found
    from stereo.search.setting import SearchSetting
    from stereo.tasks.task import Task

OWN = ("relaxed", "search", "trials")
"""Sections of the search; all others belong to the task's configuration."""


@guarded
def search(
    run: Annotated[Path, typer.Option(help="Run folder to write, or to go on with.")],
    task: Annotated[
        str, typer.Option(help="stereo, cifar10, cifar100, imagenet, cifar10-dvs or dvs-gesture.")
    ] = "stereo",
    preset: Annotated[
        str | None, typer.Option(help="Search to start from.", show_default="that of the task")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What an inference may cost: 5mJ, 0.8GMAC, 1.2M (parameters); several, as in "
            "2,5,10mJ, give a front.",
            show_default="none",
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="differentiable, evolution or random.")] = (
        "differentiable"
    ),
    space: Annotated[
        str | None, typer.Option(help="Search space.", show_default="that of the search")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps, or trials of the other methods.", min=1, show_default="those of the search"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 0,
    data: Data = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="A.B=C",
            help="Change one field of the search (relaxed.*, "
            "search.*, trials.*) or of the task's configuration; may be given again.",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps generated clips.", show_default="clips in --run"),
    ] = None,
    workers: Workers = 1,
    device: DeviceName = "cpu",
    precision: Precision = "32-true",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Search a network; Ctrl-C and the same command again go on.

    Under torchrun the processes share every batch.
    """
    from stereo.cli.console import print_json
    from stereo.devices import Device
    from stereo.tasks import bind_task, find_config
    from stereo.tasks.task import Source

    changes = pairs(assignments or [])
    setting = _setting(task, preset, space, steps, seed, method, changes)
    budgets = _budgets(budget)
    theirs = {k: v for k, v in changes.items() if k.partition(".")[0] not in OWN}
    config = find_config(task, setting.config).override({**setting.changes, **theirs})
    if cache is None and data is None:
        cache = run / "clips"  # a search looks at the same generated clips again and again
    bound = bind_task(config, Source(data=data, cache=cache, workers=workers))
    place = Device(device, precision)
    found = _search(bound, setting, run, budgets, method, place)
    if not place.writes:
        return
    documents = [_document(one, setting, method) for one in found]
    if as_json:
        print_json(documents[0] if len(found) == 1 else {"front": documents})
    else:
        _print(found, setting, run, method)


def _search(
    task: "Task",
    setting: "SearchSetting",
    run: Path,
    budgets: Sequence["Budget"],
    method: str,
    device: "Device",
) -> Sequence["Found"]:
    """Search for each budget, or without one, and show how it goes."""
    from stereo.cli.console import print_notes
    from stereo.cli.search_view import shown
    from stereo.search.fronts import search_front
    from stereo.search.run import run_search

    if device.writes:
        print_notes(task.notes(halves=True))
    with shown(device.writes) as (show, stage):
        if len(budgets) > 1:
            return search_front(
                task, setting, run, budgets, method=method, device=device, show=show, stage=stage
            )  # fmt: skip
        one = budgets[0] if budgets else None
        return [
            run_search(
                task, setting, run, method=method, budget=one, device=device, show=show(one),
                stage=stage,
            )
        ]  # fmt: skip


def _budgets(text: str | None) -> tuple["Budget", ...]:
    """Read the option."""
    from nas.budget import parse_budgets
    from stereo.errors import StereoError

    try:
        return parse_budgets(text) if text else ()
    except ValueError as error:
        raise StereoError(str(error)) from error


def _setting(
    task: str,
    preset: str | None,
    space: str | None,
    steps: int | None,
    seed: int,
    method: str,
    changes: Mapping[str, str],
) -> "SearchSetting":
    """Return the search as the options ask for it."""
    from stereo.search.setting import find_search

    own = {k: v for k, v in changes.items() if k.partition(".")[0] in OWN}
    if space is not None:
        own["relaxed.space"] = space
    if steps is not None:
        own["search.steps" if method == "differentiable" else "trials.evaluations"] = str(steps)
    return find_search(task, preset).override({**own, "search.seed": str(seed)})


def _document(found: "Found", setting: "SearchSetting", method: str) -> dict[str, Any]:
    """Return what was found as JSON has it; costs in other units than mJ have their own names."""
    in_mj = found.unit == "mJ"
    return {
        "genotype": str(found.genotype.absolute()),
        "task": setting.task,
        "method": method,
        "space": setting.relaxed.space,
        "budget_mj": found.budget if in_mj else None,
        "expected_mj": found.expected if in_mj else None,
        "measured_mj": found.measured if in_mj else None,
        "unit": found.unit,
        "budget": found.budget,
        "expected": found.expected,
        "measured": found.measured,
        "within_budget": found.fits,
        "held_out_loss": found.error if found.error < float("inf") else None,
        "steps": found.steps,
        "wall_s": found.wall_s,
        "changes": dict(setting.changes),
    }


def _print(found: Sequence["Found"], setting: "SearchSetting", run: Path, method: str) -> None:
    """Print the genotype, or the front of several."""
    from nas.genotype import Genotype
    from stereo.cli.console import result_console
    from stereo.cli.search_view import cost
    from stereo.front import front_table
    from stereo.search.fronts import points_of

    console = result_console()
    if len(found) > 1 and found[0].unit == "mJ":
        budgets = [one.budget for one in found if one.budget is not None]
        console.print(front_table(points_of(found, method), budgets, error="held-out loss"))
        console.print(f"Front: {run / 'front.svg'}", markup=False, soft_wrap=True)
    for one in found:
        if len(found) == 1:
            console.print(Genotype.load(one.genotype).drawing(), markup=False)
            console.print()
        limit = "" if one.budget is None else f" of {cost(one.budget, one.unit)}"
        expected = "" if one.expected is None else f" (expected {cost(one.expected, one.unit)})"
        kept = "" if one.fits else ", not within 10 % below the budget"
        console.print(
            f"measured {cost(one.measured, one.unit)}{limit}{expected}{kept}", markup=False
        )
        console.print(
            f"held-out loss after a short training {one.error:.4g}; {one.steps} steps, "
            f"{one.wall_s:.0f} s",
            markup=False,
        )
        console.print(f"Genotype: {one.genotype}", markup=False, soft_wrap=True)
    narrow = {k: v for k, v in setting.changes.items() if k.startswith("network.")}
    if narrow:
        told = ", ".join(f"{name}={value}" for name, value in narrow.items())
        console.print(
            f"Costs are those with {told}, as the search has it; the preset {setting.config} "
            "trains the genotype at its own widths, where an inference costs another amount.",
            markup=False,
        )
