"""A limit of what the found network may cost, and the force that keeps a search below it.

The search minimizes a loss ``L(a)`` under ``cost(a) <= limit``. The force is that of the augmented
Lagrangian of this inequality (Rockafellar 1973; Nocedal and Wright, *Numerical Optimization*,
chapter 17) in the ratio ``r = cost / limit``, so that nothing depends on units:

    force = max(0, m + p c),    m <- max(0, m + p / period * c),    c = clip(r - t, -slack, slack),

and the loss of the architecture gets ``force * r`` besides, the force held constant. ``t`` lies in
the middle of the band below the limit in which the decoded network shall land: if the loss asks for
more than the budget, the search settles at ``t``, as ``m`` grows until both pull alike and ``p``
grows with the scale of the loss. It is an inequality: where the loss is lowest at a lower cost,
``m`` is 0 and nothing pushes upward, as spending is not a goal in itself. The clip is ours: a
search that begins at several times its budget would otherwise be thrown far below it, and the
second moments of Adam keep it there for a thousand steps. (Considered and rejected: ``m`` at rest
while the cost lies in the band. It swings between the ends of the band, and out of it.)
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

UNITS: dict[str, tuple[str, float]] = {
    "uJ": ("mJ", 1e-3), "mJ": ("mJ", 1.0), "J": ("mJ", 1e3),
    "MMAC": ("GMAC", 1e-3), "GMAC": ("GMAC", 1.0),
    "kparam": ("Mparam", 1e-3), "Mparam": ("Mparam", 1.0), "k": ("Mparam", 1e-3),
    "M": ("Mparam", 1.0),
}  # fmt: skip
"""What may be written after a number: the unit that it is kept in, and the factor to there."""


@dataclass(frozen=True)
class Budget:
    """What one inference of the found network may cost.

    Attributes:
        limit: the most, in ``unit``.
        unit: ``mJ`` (energy), ``GMAC`` (multiply-accumulates) or ``Mparam`` (parameters, millions).
        slack: share of the limit below it that counts as meeting the budget.

    Raises:
        ValueError: an impossible limit or slack, an unknown unit.
    """

    limit: float
    unit: str = "mJ"
    slack: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise ValueError(f"A budget is positive and finite, got {self.limit}.")
        if self.unit not in {unit for unit, _ in UNITS.values()}:
            raise ValueError(f"A budget is in mJ, GMAC or Mparam, got {self.unit!r}.")
        if not 0.0 < self.slack < 1.0:
            raise ValueError(f"The slack is a share in (0, 1), got {self.slack}.")

    @property
    def target(self) -> float:
        """Ratio of cost and limit that the search aims at: the middle of the band."""
        return 1.0 - self.slack / 2

    def met_by(self, cost: float) -> bool:
        """Return whether a cost lies in the band: at most the limit, and not far below it."""
        return (1.0 - self.slack) * self.limit <= cost <= self.limit

    def __str__(self) -> str:
        return f"{self.limit:g} {self.unit}"


class Multiplier:
    """The force of a budget, as the head of this file has it.

    Args:
        budget: what to stay below.
        penalty: ``p`` at first, in units of the loss.
        growth: factor of the penalty after a period in which the cost did not come nearer.
        highest: of the penalty, in multiples of the first.
        period: steps of the architecture between two looks at that; the multiplier follows the
            cost with this delay.

    Raises:
        ValueError: a penalty or period that is not positive, a growth below 1.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        penalty: float = 1.0,
        growth: float = 2.0,
        highest: float = 1e4,
        period: int = 20,
    ) -> None:
        if penalty <= 0 or growth < 1 or highest < 1 or period < 1:
            raise ValueError(
                f"A multiplier needs a positive penalty, a growth and highest of at least 1, and a "
                f"period of at least 1 step; got {penalty}, {growth}, {highest} and {period}."
            )
        self.budget = budget
        self.value = 0.0
        self.penalty = penalty
        self._growth, self._most, self._period = growth, penalty * highest, period
        self._seen, self._sum, self._before = 0, 0.0, math.inf

    def added(self, cost: Tensor) -> Tensor:
        """Return what the loss of the architecture has besides, for a 0-dim cost."""
        force = self.value + self.penalty * self._clipped(float(cost.detach()))
        return max(0.0, force) * (cost / self.budget.limit)

    def update(self, cost: float) -> None:
        """Follow the cost by one step.

        Raises:
            FloatingPointError: a cost that is not finite; nothing has changed then.
        """
        if not math.isfinite(cost):
            raise FloatingPointError(f"The expected cost is {cost} {self.budget.unit}.")
        excess = cost / self.budget.limit - self.budget.target
        self.value = max(0.0, self.value + self.penalty / self._period * self._clipped(cost))
        self._seen, self._sum = self._seen + 1, self._sum + excess
        if self._seen == self._period:
            mean = self._sum / self._period
            # Within the band, or a quarter nearer than before, is progress enough.
            if mean > self.budget.slack / 2 and mean > 0.75 * self._before:
                self.penalty = min(self._most, self.penalty * self._growth)
            self._seen, self._sum, self._before = 0, 0.0, mean

    def state_dict(self) -> dict[str, float]:
        """Return all that changes, as plain numbers."""
        return {
            "value": self.value, "penalty": self.penalty, "seen": self._seen, "sum": self._sum,
            "before": self._before,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.value, self.penalty = float(state["value"]), float(state["penalty"])
        self._seen, self._sum = int(state["seen"]), float(state["sum"])
        self._before = float(state["before"])

    def _clipped(self, cost: float) -> float:
        """Return by how much the ratio is above its target, at most the slack."""
        slack = self.budget.slack
        return max(-slack, min(slack, cost / self.budget.limit - self.budget.target))


def parse_budget(text: str, slack: float = 0.1) -> Budget:
    """Read one budget such as ``5mJ``, ``0.8 GMAC`` or ``1.2M``; a bare number is in mJ.

    Raises:
        ValueError: no budget.
    """
    found = re.fullmatch(r"([0-9.eE+-]+?)\s*([a-zA-Zµ]*)", text.strip())
    name = "mJ" if found is None else found[2].replace("µ", "u") or "mJ"
    spellings = {unit.casefold(): unit for unit in UNITS if len(unit) > 1}
    name = name if name in UNITS else spellings.get(name.casefold(), name)
    try:
        number = float(found[1]) if found else math.nan
    except ValueError:
        number = math.nan
    if name not in UNITS or not math.isfinite(number):
        raise ValueError(
            f"A budget is a number with a unit, as in 5mJ, 0.8GMAC or 1.2M (parameters, millions); "
            f"got {text!r}. Units are {', '.join(UNITS)}."
        )
    unit, factor = UNITS[name]
    return Budget(number * factor, unit, slack)


def parse_budgets(text: str, slack: float = 0.1) -> tuple[Budget, ...]:
    """Read budgets of one front, such as ``2,5,10mJ``, from the lowest to the highest.

    The unit of the last holds for those that have none.

    Raises:
        ValueError: one that is no budget, different units, the same twice.
    """
    parts = [part.strip() for part in text.split(",")]
    last = re.search(r"[a-zA-Zµ]*$", parts[-1])
    unit = last[0] if last else ""
    full = [part + unit if re.fullmatch(r"[0-9.eE+-]*[0-9.]", part) else part for part in parts]
    budgets = [parse_budget(part, slack) for part in full]
    if len({budget.unit for budget in budgets}) > 1:
        raise ValueError(f"Budgets of one front have one unit, got {text!r}.")
    if len({budget.limit for budget in budgets}) < len(budgets):
        raise ValueError(f"Every budget of a front stands once, got {text!r}.")
    return tuple(sorted(budgets, key=lambda budget: budget.limit))
