"""Synaptic work counted one tap at a time, in plain Python loops over numpy arrays."""

from itertools import product

import numpy as np


def conv(x, weight_shape, stride, padding, dilation, groups):
    """Return ``(events, dense)`` of a convolution of ``x`` [N, C, *S]; any number of axes.

    ``padding`` is ``[(before, after)]`` per axis. Dense counts every tap that lies on the input,
    events those that lie on a non-zero.
    """
    outputs, per_group = weight_shape[:2]
    kernel, size = weight_shape[2:], x.shape[2:]
    out_size = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation)
    ]
    events = dense = 0
    for n, out_channel in product(range(x.shape[0]), range(outputs)):
        first = out_channel // (outputs // groups) * per_group
        for place in product(*map(range, out_size)):
            for tap in product(*map(range, kernel)):
                where = [
                    o * s - p[0] + k * d
                    for o, s, p, k, d in zip(place, stride, padding, tap, dilation)
                ]
                if all(0 <= w < length for w, length in zip(where, size)):
                    inputs = x[(n, slice(first, first + per_group), *where)]
                    dense += per_group
                    events += int(np.count_nonzero(inputs))
    return events, dense


def conv_transposed(x, weight_shape, stride, padding, output_padding, dilation, groups):
    """Return ``(events, dense)`` of a transposed convolution: taps cropped away do not count."""
    per_group, kernel, size = weight_shape[1], weight_shape[2:], x.shape[2:]
    out_size = [
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, k, s, p, extra, d in zip(size, kernel, stride, padding, output_padding, dilation)
    ]
    events = dense = 0
    for n, channel in product(range(x.shape[0]), range(x.shape[1])):
        for place in product(*map(range, size)):
            for tap in product(*map(range, kernel)):
                where = [
                    i * s - p + k * d
                    for i, s, p, k, d in zip(place, stride, padding, tap, dilation)
                ]
                if all(0 <= w < length for w, length in zip(where, out_size)):
                    dense += per_group
                    events += per_group * int(x[(n, channel, *place)] != 0)
    return events, dense


def linear(x, outputs):
    """Return ``(events, dense)`` of a fully connected layer."""
    events = dense = 0
    for value in x.reshape(-1):
        dense += outputs
        events += outputs * int(value != 0)
    return events, dense
