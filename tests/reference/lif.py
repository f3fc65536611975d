"""Leaky integrate-and-fire, one neuron and one step at a time."""

import numpy as np


def lif_by_scalars(x, decay, threshold):
    """Return spikes of ``x[t][n]`` with float32 arithmetic, strict firing and a hard reset."""
    membrane = [np.float32(0)] * len(x[0])
    out = []
    for currents in x:
        row = []
        for n, current in enumerate(currents):
            u = np.float32(decay) * membrane[n] + np.float32(current)
            fired = u > np.float32(threshold)
            membrane[n] = np.float32(0) if fired else u
            row.append(1.0 if fired else 0.0)
        out.append(row)
    return out
