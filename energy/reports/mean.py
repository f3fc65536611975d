"""Rows of several reports of one model as one row."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from energy.conventions import Convention
from energy.layers import LayerCounts, LayerEnergy

AVERAGED = (
    "ac", "mac", "dense", "firing_rate", "spikes_per_synapse", "neuron_ops", "other_ops",
    "special_ops", "energy_uj", "neuron_uj", "other_uj", "memory_uj", "breakeven",
    "unpriced_ops",
)  # fmt: skip
"""Fields of ``LayerEnergy`` that differ between inferences; the others belong to the model."""

PER_STEP = ("ac_per_step", "mac_per_step")

OF_THE_MODEL = (
    "name", "kind", "shape", "states", "weights", "biases", "taps", "strides", "fan_in", "fan_out",
    "transposed", "folded_into", "path", "sources",
)  # fmt: skip
"""Fields of ``LayerCounts`` that two runs have in common; the others are summed."""


def mean_layer(rows: Sequence[LayerEnergy], weights: Sequence[float]) -> LayerEnergy:
    """Return the weighted mean of one layer's rows.

    Args:
        rows: of the same layer.
        weights: of every row, with the sum 1.
    """
    values: dict[str, Any] = {
        name: _mean([getattr(row, name) for row in rows], weights) for name in AVERAGED
    }
    for name in PER_STEP:
        values[name] = _mean_steps([getattr(row, name) for row in rows], weights)
    return replace(rows[0], **values)


def mean_convention(rows: Sequence[Convention], weights: Sequence[float]) -> Convention:
    """Return the weighted mean of one convention's totals."""
    values: dict[str, Any] = {
        name: _mean([getattr(row, name) for row in rows], weights)
        for name in ("ac", "mac", "total_mj")
    }
    return replace(rows[0], **values)


def summed_counts(rows: Sequence[LayerCounts]) -> LayerCounts:
    """Return the counts of one layer over several runs, as if they were one."""
    values: dict[str, Any] = {}
    for field in fields(LayerCounts):
        found = [getattr(row, field.name) for row in rows]
        if field.name in PER_STEP:
            alike = len({len(steps) for steps in found}) == 1
            values[field.name] = [sum(step) for step in zip(*found, strict=True)] if alike else []
        elif field.name not in OF_THE_MODEL:
            values[field.name] = sum(found)
    return replace(rows[0], **values)


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else None


def _mean_steps(rows: Sequence[tuple[float, ...]], weights: Sequence[float]) -> tuple[float, ...]:
    if len({len(steps) for steps in rows}) != 1:
        return ()
    pairs = [zip(steps, weights, strict=True) for steps in zip(*rows, strict=True)]
    return tuple(sum(value * weight for value, weight in pair) for pair in pairs)
