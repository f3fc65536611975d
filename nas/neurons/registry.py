"""Neurons by the name that a genotype uses."""

from collections.abc import Callable
from dataclasses import fields

from torch import nn

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
from nas.neurons.steps import LIFParams

Maker = Callable[..., nn.Module]


def _from_node(kind: type[Neuron], **fixed: object) -> Maker:
    """Return what makes a neuron of a type with the constants of a node.

    Decay, threshold and surrogate are the node's; the rest is the type's own unless named.
    """

    def make(params: LIFParams, **named: object) -> nn.Module:
        own = kind.default()
        values = {f.name: getattr(own, f.name) for f in fields(own)}
        values |= {name: getattr(params, name) for name in ("decay", "threshold", "surrogate")}
        return kind(type(own)(**(values | named | fixed)))

    return make


NEURONS: dict[str, Maker] = {
    "lif": _from_node(LIF),
    "if": _from_node(IF, decay=1.0),
    "leaky": _from_node(LeakyIntegratorLIF),
    "plif": _from_node(PLIF),
    "alif": _from_node(ALIF),
    "current": _from_node(CurrentLIF),
    "integrator": _from_node(Integrator),
    "relu": lambda _: Analog(),
}
"""Each takes the constants of its node, and by name those that only some types have.

To add a neuron, add a step, a module and a line here.
"""
