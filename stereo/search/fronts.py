"""Several budgets: a search for each, and the front that they make."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from nas.budget import Budget
from stereo.atomic import write_bytes, write_json
from stereo.devices import Device
from stereo.front import FrontPoint, front_svg
from stereo.search.differentiable import Stage
from stereo.search.run import Found, Show, run_search
from stereo.search.setting import SearchSetting
from stereo.tasks.task import Task


def folder_of(run: Path, budget: Budget) -> Path:
    """Return the run folder of one budget of a front."""
    return run / f"{budget.limit:g}{budget.unit}"


def search_front(
    task: Task,
    setting: SearchSetting,
    run: Path,
    budgets: Sequence[Budget],
    *,
    method: str = "differentiable",
    device: Device | None = None,
    show: Callable[[Budget], Show] = lambda _budget: lambda _done, _all, _row, _now: None,
    stage: Stage = lambda _name, _done, _all: None,
) -> list[Found]:
    """Search a genotype for every budget, from the lowest to the highest.

    Each is a search in a folder of its own; what is complete is not done again when the same
    command goes on. Writes ``front.json`` and, for energies, ``front.svg``.

    Args:
        task: configuration and data.
        setting: of the searches.
        run: folder.
        budgets: all in one unit.
        method: as for ``run_search``.
        device: likewise.
        show: gives what is told after every step of the search of a budget.
        stage: as for ``run_search``.

    Raises:
        StereoError: as ``run_search``.
    """
    device = device or Device("cpu")
    found = [
        run_search(
            task, setting, folder_of(run, budget), method=method, budget=budget, device=device,
            show=show(budget), stage=stage,
        )
        for budget in budgets
    ]  # fmt: skip
    if device.writes:
        rows = [asdict(f) | {"genotype": str(f.genotype.relative_to(run))} for f in found]
        write_json(run / "front.json", {"method": method, "found": rows})
        if found[0].unit == "mJ":
            drawn = front_svg(
                points_of(found, method), error="held-out loss",
                budgets=[budget.limit for budget in budgets],
            )  # fmt: skip
            write_bytes(run / "front.svg", drawn.encode())
    return found


def points_of(found: Sequence[Found], method: str) -> list[FrontPoint]:
    """Return results as points of a front; those without a finite error or energy are left out."""
    return [
        FrontPoint(
            name=f"budget {one.budget:g} {one.unit}", error=one.error, mj=one.measured,
            method=method,
        )
        for one in found
        if one.error < float("inf") and one.measured > 0
    ]  # fmt: skip
