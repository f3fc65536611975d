"""The loop that all methods share: propose, keep within the budget, evaluate once, remember.

All that a search knows is its trials and the state of its generator, both plain JSON. A step that
fails or is interrupted leaves the search where it was before it, but for the time it took.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from nas.errors import GenotypeError
from nas.genotype import Genotype
from nas.methods.choices import key
from nas.methods.record import Method, Trial

VERSION = 1

Evaluate = Callable[[Genotype], float]
"""Error of a genotype, lower is better; what is not finite counts as the worst."""

Cost = Callable[[Genotype], float]
"""Cost of a genotype in the unit of the budget."""


class ExhaustedError(GenotypeError):
    """A method proposes nothing new within the budget any more."""


class Trials:
    """A search of trials.

    Args:
        method: that proposes.
        evaluate: called once for each genotype, and never for one above the limit.
        seed: of all chance.
        cost: of a genotype; it should take much less time than an evaluation.
        limit: of the cost, in its unit.
        patience: proposals in a row that may be too costly or known before the search gives up.
        clock: in seconds.

    Raises:
        ValueError: a limit without a cost, or no patience.
    """

    def __init__(
        self,
        method: Method,
        evaluate: Evaluate,
        *,
        seed: int,
        cost: Cost | None = None,
        limit: float | None = None,
        patience: int = 10_000,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if limit is not None and cost is None:
            raise ValueError(f"A limit of {limit} needs a cost to compare with; none was given.")
        if patience < 1:
            raise ValueError(f"At least one proposal is needed, got a patience of {patience}.")
        self.method, self.evaluate, self.cost, self.limit = method, evaluate, cost, limit
        self.seed, self.patience, self.clock = seed, patience, clock
        self.trials: list[Trial] = []
        self.seconds = 0.0
        self._chance: Any = np.random.PCG64(seed).state
        self._known: set[str] = set()
        self._costs: dict[str, float] = {}

    @property
    def best(self) -> Trial:
        """The trial of lowest error, the earliest of equal ones.

        Raises:
            ValueError: there are none yet.
        """
        if not self.trials:
            raise ValueError("Nothing has been evaluated yet; run the search first.")
        return min(self.trials, key=lambda trial: trial.error)

    def run(
        self, *, evaluations: int | None = None, seconds: float | None = None
    ) -> Iterator[Trial]:
        """Return an iterator that makes a trial at each step, up to whichever end comes first.

        Args:
            evaluations: number of trials in the end, those of earlier sessions included.
            seconds: wall time after which no evaluation begins, earlier sessions included. Only
                time within a step counts, not what the caller does between them.

        Raises:
            ValueError: neither end was given.
            ExhaustedError: while iterating; all trials before are kept.
        """
        if evaluations is None and seconds is None:
            raise ValueError("Give a number of evaluations, of seconds, or both.")
        most = math.inf if evaluations is None else evaluations
        return self._run(most, math.inf if seconds is None else seconds)

    def _run(self, evaluations: float, seconds: float) -> Iterator[Trial]:
        while len(self.trials) < evaluations and self.seconds < seconds:
            trial = self._step(seconds)
            if trial is None:
                return
            yield trial

    def state_dict(self) -> dict[str, Any]:
        """Return everything to continue from, as JSON has it."""
        return {
            "version": VERSION,
            "settings": self._settings(),
            "generator": dict(self._chance),
            "seconds": self.seconds,
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state; what follows is what would have followed there.

        Raises:
            GenotypeError: the state is malformed, or of a search with other settings.
        """
        if state.get("version") != VERSION:
            raise GenotypeError(
                f"Expected a state of version {VERSION}, found {state.get('version')}."
            )
        try:
            own, theirs = self._settings(), state["settings"]
            other = sorted(k for k in {*own, *theirs} if own.get(k) != theirs.get(k))
            if other:
                told = "; ".join(f"{k}: {theirs.get(k)} there, {own.get(k)} here" for k in other)
                raise GenotypeError(
                    f"The state is that of another search ({told}). Continue with the settings it "
                    "began with, or begin anew."
                )
            trials = [Trial.from_dict(trial) for trial in state["trials"]]
            np.random.PCG64().state = state["generator"]
            seconds = float(state["seconds"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, GenotypeError):
                raise
            raise GenotypeError(f"The state of the search is malformed: {error!r}.") from error
        self.trials, self.seconds, self._chance = trials, seconds, dict(state["generator"])
        self._known = {key(trial.genotype) for trial in trials}

    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(dict(self.method.about)))
        return {**found, "seed": self.seed, "limit": self.limit}

    def _step(self, seconds: float) -> Trial | None:
        """Make one trial, or return None where the time is over before its evaluation."""
        began, before = self.clock(), self.seconds
        bits = np.random.PCG64()
        bits.state = self._chance
        try:
            found = self._propose(np.random.Generator(bits), began + seconds - before)
            if found is None:
                return None
            genotype, cost, too_costly, repeated = found
            error = float(self.evaluate(genotype))
        finally:
            self.seconds = before + self.clock() - began
        error = error if math.isfinite(error) else math.inf
        trial = Trial(
            number=len(self.trials) + 1, genotype=genotype, error=error, cost=cost,
            best=min(error, self.trials[-1].best) if self.trials else error,
            seconds=self.seconds, too_costly=too_costly, repeated=repeated,
        )  # fmt: skip
        self.trials.append(trial)
        self._known.add(key(genotype))
        self._chance = bits.state
        return trial

    def _propose(
        self, generator: np.random.Generator, deadline: float
    ) -> tuple[Genotype, float | None, int, int] | None:
        """Return a new genotype within the budget, its cost, and how many were not; or None."""
        too_costly = repeated = 0
        cheapest = math.inf
        while too_costly + repeated < self.patience:
            if self.clock() >= deadline:
                return None
            genotype = self.method.propose(self.trials, generator)
            name = key(genotype)
            if name in self._known:
                repeated += 1
                continue
            cost = self._cost(name, genotype)
            if self.limit is None or (cost is not None and cost <= self.limit):
                return genotype, cost, too_costly, repeated
            too_costly += 1
            cheapest = min(cheapest, math.inf if cost is None else cost)
        raise ExhaustedError(
            f"{self.patience} proposals in a row were no use: {repeated} had been evaluated "
            f"already, {too_costly} cost more than {self.limit} (the cheapest of them "
            f"{cheapest:.6g}). Raise the limit, widen the space, or end the search here."
        )

    def _cost(self, name: str, genotype: Genotype) -> float | None:
        if self.cost is None:
            return None
        if name not in self._costs:
            cost = float(self.cost(genotype))
            if not math.isfinite(cost):
                raise ValueError(f"A genotype costs {cost}; a cost is a finite number.")
            self._costs[name] = cost
        return self._costs[name]
