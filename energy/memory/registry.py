"""Memory models by name: how many words a layer moves, and from how large a memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from energy.errors import EnergyError
from energy.layers import LayerCounts
from energy.technology import MemoryPrices, Technology


@dataclass(frozen=True, kw_only=True)
class Access:
    """One kind of access, or of operation, of one layer in one inference.

    Attributes:
        what: in words, as in the model's docstring.
        count: how many, per inference.
        pj: price of one, picojoules.
    """

    what: str
    count: float
    pj: float

    @property
    def energy_uj(self) -> float:
        """Microjoules per inference."""
        return self.count * self.pj * 1e-6


@runtime_checkable
class MemoryModel(Protocol):
    """A function from counts to accesses per inference; a pure one, so that it can be repeated."""

    def __call__(
        self, counts: LayerCounts, technology: Technology, *, samples: int, steps: int
    ) -> tuple[Access, ...]:
        """Return every access of the layer.

        Args:
            counts: totals of the layer over all samples and time steps.
            technology: prices.
            samples: inferences in the counts.
            steps: time steps of one inference in which the layer ran.
        """
        ...


MODELS: dict[str, MemoryModel] = {}
"""The memory models, by name."""


def register(name: str) -> Callable[[MemoryModel], MemoryModel]:
    """Register a memory model under a name; refuses a name that is taken."""

    def add(model: MemoryModel) -> MemoryModel:
        if name in MODELS:
            raise ValueError(f"There is a memory model {name!r} already.")
        MODELS[name] = model
        return model

    return add


def memory_model(name: str) -> MemoryModel:
    """Return the memory model of that name.

    Raises:
        EnergyError: there is none; the message lists those there are.
    """
    if name not in MODELS:
        raise EnergyError(f"Unknown memory model {name!r}; known: {', '.join(sorted(MODELS))}.")
    return MODELS[name]


def memory_uj(
    name: str, counts: LayerCounts, technology: Technology, *, samples: int, steps: int
) -> float:
    """Return the energy of a layer's memory accesses, microjoules per inference.

    Raises:
        EnergyError: unknown model, or a technology without prices of memory.
    """
    accesses = memory_model(name)(counts, technology, samples=samples, steps=steps)
    return sum(access.energy_uj for access in accesses)


def need_memory(technology: Technology) -> tuple[MemoryPrices, int]:
    """Return the prices of a technology's memory and the bits of a number in it.

    Raises:
        EnergyError: it has none.
    """
    if technology.memory is None or technology.bits is None:
        raise EnergyError(
            f"{technology.name!r} has no prices of memory"
            + (
                ": the price of its synaptic operation contains them. Price it without a memory "
                "model."
                if technology.update_pj is not None
                else ". Choose a technology that has them (45nm-int8), or add [memory] to its file."
            )
        )
    return technology.memory, technology.bits
