"""Batches of the two halves of the training data by the number of the step."""

from collections.abc import Callable, Iterator
from typing import Any

Pairs = Callable[[int], Iterator[tuple[Any, Any]]]
"""From a step on, without end."""


class Halves:
    """Gives the batch of a step of either half; steps are asked for in order, or anew after a jump.

    Args:
        begin: returns the pairs from a step on.
        keep: steps that may be asked for again.
    """

    def __init__(self, begin: Pairs, keep: int = 1) -> None:
        self._begin, self._keep = begin, keep
        self._next: int | None = None
        self._pairs: Iterator[tuple[Any, Any]] = iter(())
        self._kept: dict[int, tuple[Any, Any]] = {}

    def weights(self, step: int) -> Any:
        """Return the batch for the weights."""
        return self._at(step)[0]

    def architecture(self, step: int) -> Any:
        """Return the batch for the architecture, of samples that the weights never see."""
        return self._at(step)[1]

    def _at(self, step: int) -> tuple[Any, Any]:
        if step in self._kept:
            return self._kept[step]
        if step != self._next:
            self._pairs = self._begin(step)
        self._kept[step] = next(self._pairs)
        self._next = step + 1
        while len(self._kept) > self._keep:
            del self._kept[next(iter(self._kept))]
        return self._kept[step]
