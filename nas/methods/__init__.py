"""Searches that only need a number per genotype: what the differentiable one is judged against."""

from nas.methods.choices import canonical, key
from nas.methods.evolution import Evolution
from nas.methods.random_search import RandomSearch
from nas.methods.record import Method, Trial
from nas.methods.sampling import mutate, random_genotype, size
from nas.methods.trials import ExhaustedError, Trials

__all__ = [
    "Evolution",
    "ExhaustedError",
    "Method",
    "RandomSearch",
    "Trial",
    "Trials",
    "canonical",
    "key",
    "mutate",
    "random_genotype",
    "size",
]
