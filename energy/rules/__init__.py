"""Counting rules by the name of the torch function; importing this registers them all."""

from energy.fans import Fan
from energy.rules import arithmetic, recurrent, synapses
from energy.rules.registry import RULES, Call, Operations, Synapses, rule

__all__ = [
    "RULES", "Call", "Fan", "Operations", "Synapses", "arithmetic", "recurrent", "rule", "synapses",
]  # fmt: skip
