"""Slow twin of a mixture of neuron types: one number after the other, in float64."""

import numpy as np


def mixture(x, weights, types):
    """Return spikes of ``x`` [T, N].

    Each type is a dictionary: decay, threshold, reset, scale_input, and of some current_decay, or
    adaptation and adaptation_decay.
    """
    steps, count = x.shape
    spikes = np.zeros((steps, count))
    for n in range(count):
        v = 0.0
        currents, adapted = [0.0] * len(types), [0.0] * len(types)
        for t in range(steps):
            u = level = 0.0
            for k, kind in enumerate(types):
                drive = x[t, n]
                if "current_decay" in kind:
                    currents[k] = kind["current_decay"] * currents[k] + drive
                    drive = currents[k]
                if kind["scale_input"]:
                    drive *= 1 - kind["decay"]
                u += weights[k] * (kind["decay"] * v + drive)
                rise = kind.get("adaptation", 0.0) * adapted[k]
                level += weights[k] * (kind["threshold"] + rise)
            fired = u > level
            v = 0.0
            for k, kind in enumerate(types):
                left = {"hard": 0.0, "soft": u - level, "none": u}[kind["reset"]] if fired else u
                v += weights[k] * left
                if "adaptation" in kind:
                    adapted[k] = kind["adaptation_decay"] * adapted[k] + fired
            spikes[t, n] = fired
    return spikes
