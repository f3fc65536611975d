"""Energy of memory accesses, by models that state what they reuse; one file per model."""

from energy.memory import lemaire, reuse
from energy.memory.registry import MODELS, Access, memory_model, memory_uj

__all__ = ["MODELS", "Access", "lemaire", "memory_model", "memory_uj", "reuse"]
