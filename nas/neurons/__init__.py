"""Neurons: pure steps that hold the equations, and thin modules that scan them over time."""

from nas.neurons.modules import (
    ALIF,
    IF,
    LIF,
    PLIF,
    Analog,
    CurrentLIF,
    Integrator,
    LeakyIntegratorLIF,
    Neuron,
)
from nas.neurons.registry import NEURONS
from nas.neurons.steps import (
    ALIFParams,
    CurrentLIFParams,
    LIFParams,
    alif_step,
    current_lif_step,
    integrator_step,
    lif_step,
    scan,
)

__all__ = [
    "ALIF",
    "IF",
    "LIF",
    "NEURONS",
    "PLIF",
    "ALIFParams",
    "Analog",
    "CurrentLIF",
    "CurrentLIFParams",
    "Integrator",
    "LIFParams",
    "LeakyIntegratorLIF",
    "Neuron",
    "alif_step",
    "current_lif_step",
    "integrator_step",
    "lif_step",
    "scan",
]
