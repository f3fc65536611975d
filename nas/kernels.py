"""Leaky integrate-and-fire over all time steps in one pass, forward and backward.

A thread walks over blocks of neurons small enough for its cache and takes all T steps of a block
before the next. Nothing but the input is kept for the backward pass: the membrane is rebuilt.
The twin of both functions is ``nas.neurons.lif_step`` in a loop.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

BLOCK = 2048
"""Neurons per block: with T = 8 and three float32 arrays it fits a 256 KiB cache."""


@numba.njit(parallel=True, cache=True, nogil=True, fastmath=False)
def lif_forward(x: F32, decay: float, threshold: float, spikes: F32) -> None:
    """Fill ``spikes`` [T, N] from the current ``x`` [T, N]; the membrane starts at zero."""
    steps, neurons = x.shape
    d, theta, zero, one = np.float32(decay), np.float32(threshold), np.float32(0), np.float32(1)
    for block in numba.prange((neurons + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        width = min(BLOCK, neurons - first)
        v = np.zeros(BLOCK, np.float32)
        for t in range(steps):
            for i in range(width):
                u = d * v[i] + x[t, first + i]
                fired = u > theta
                spikes[t, first + i] = one if fired else zero
                v[i] = zero if fired else u


@numba.njit(parallel=True, cache=True, nogil=True, fastmath=False)
def lif_backward(
    x: F32, grad_spikes: F32, decay: float, threshold: float, temperature: float, grad_x: F32
) -> None:
    """Fill ``grad_x`` [T, N]; the slope is Dspike's, the gradient flows through the reset.

    With v[t] = u[t] (1 - s[t]) and u[t] = d v[t-1] + x[t]:
    dL/du[t] = dL/ds[t] s'(u[t]) + dL/dv[t] (1 - s[t] - u[t] s'(u[t])), dL/dv[t-1] = d dL/du[t].
    """
    steps, neurons = x.shape
    d, theta, zero, one = np.float32(decay), np.float32(threshold), np.float32(0), np.float32(1)
    b = np.float32(temperature)
    scale = np.float32(temperature / (2.0 * math.tanh(temperature / 2.0)))
    half = np.float32(0.5)
    for block in numba.prange((neurons + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        width = min(BLOCK, neurons - first)
        u = np.empty((steps, BLOCK), np.float32)
        v = np.zeros(BLOCK, np.float32)
        for t in range(steps):
            for i in range(width):
                now = d * v[i] + x[t, first + i]
                u[t, i] = now
                v[i] = zero if now > theta else now
        v[:] = zero  # from here on dL/dv
        for t in range(steps - 1, -1, -1):
            for i in range(width):
                distance = u[t, i] - theta
                slope = zero
                if abs(distance) < half:
                    tangent = np.float32(math.tanh(b * distance))
                    slope = scale * (one - tangent * tangent)
                kept = zero if distance > zero else one
                grad = grad_spikes[t, first + i] * slope + v[i] * (kept - u[t, i] * slope)
                grad_x[t, first + i] = grad
                v[i] = d * grad
