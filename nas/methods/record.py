"""What a search of trials keeps of each, and what a method is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nas.genotype import Genotype


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One genotype that was evaluated.

    Attributes:
        number: of the evaluation, from 1.
        genotype: evaluated.
        error: of it, lower is better; infinity where the evaluation gave no number.
        cost: in the unit of the budget; None where none is asked for.
        best: lowest error so far.
        seconds: wall time of the search up to its end, of all sessions together.
        too_costly: proposals above the limit since the trial before it.
        repeated: proposals since then that had been evaluated already.
    """

    number: int
    genotype: Genotype
    error: float
    cost: float | None
    best: float
    seconds: float
    too_costly: int = 0
    repeated: int = 0

    def row(self) -> dict[str, int | float | None]:
        """Return the line of a history, as JSON has it: no number is null."""
        return {
            "evaluation": self.number,
            "error": _finite(self.error),
            "cost": self.cost,
            "best": _finite(self.best),
            "seconds": self.seconds,
            "too_costly": self.too_costly,
            "repeated": self.repeated,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the line of a history with the genotype."""
        return {**self.row(), "genotype": self.genotype.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Trial":
        """Return the trial of a document.

        Raises:
            GenotypeError: its genotype is malformed.
            KeyError: something is missing.
        """
        error, best = (
            math.inf if document[name] is None else float(document[name])
            for name in ("error", "best")
        )
        return cls(
            number=document["evaluation"],
            genotype=Genotype.from_dict(document["genotype"]),
            error=error,
            cost=document["cost"],
            best=best,
            seconds=float(document["seconds"]),
            too_costly=document["too_costly"],
            repeated=document["repeated"],
        )


@runtime_checkable
class Method(Protocol):
    """Proposes the next genotype from the trials so far, and remembers nothing else."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Name and settings, as JSON has them."""

    def propose(self, trials: Sequence[Trial], generator: np.random.Generator) -> Genotype:
        """Return a genotype in canonical form; it may be too costly, or known already."""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
