"""The edges of a node as rows of a table: what one spike does, laid out for the kernel."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nas.fused.group_kernels import I64
from nas.sparse import node_kernels as k
from nas.sparse.tables import CurrentMap, Size, SpikeMap, Store
from nas.sparse.vector_kernels import padded


def taps(store: Store, source: SpikeMap, weight: Tensor, dilation: int = 1) -> I64:
    """Return the edge of a convolution that keeps the size.

    Args:
        store: keeps the weights.
        source: spikes of the input.
        weight: ``[C_out, C_in, K, K]`` or ``[C_out, C_in, K, K, K]``, K odd.
        dilation: from one tap to the next.
    """
    values = _volume(weight)
    outputs, inputs, depth, height, width = values.shape
    mirrored = values[..., ::-1].transpose(2, 3, 1, 4, 0)  # [z, y, C_in, x, C_out]
    if dilation == 1:
        runs = _filled(mirrored.reshape(depth, height, inputs, 1, width * outputs))
    else:
        runs = _filled(mirrored)
    row = _edge(k.TAPS, source)
    row[k.DEPTH], row[k.HEIGHT], row[k.DILATION] = depth, height, dilation
    row[k.RUNS], row[k.SPACING] = runs.shape[3], dilation * outputs
    row[k.REACH] = dilation * (width // 2)
    row[k.WEIGHTS], row[k.RUN] = store.keep(runs), runs.shape[4]
    return row


def tiles(store: Store, source: SpikeMap, weight: Tensor) -> I64:
    """Return the edge of a convolution whose kernel is as large as its stride."""
    values = _volume(weight)
    runs = _filled(values.transpose(2, 3, 4, 1, 0))  # [z, y, x, C_in, C_out]
    row = _edge(k.TILES, source)
    row[k.DEPTH], row[k.HEIGHT] = values.shape[2], values.shape[3]
    row[k.WEIGHTS], row[k.RUN] = store.keep(runs), runs.shape[4]
    return row


def repeated(store: Store, source: SpikeMap, weight: Tensor, dilation: int = 1) -> I64:
    """Return the edge of a convolution whose input is ``source`` repeated twice along every axis.

    Planes of images, which are no axis of space, are not repeated.

    Args:
        store: keeps the weights.
        source: spikes of the input, at half the size of the output, rounded up.
        weight: ``[C_out, C_in, K, K]`` or ``[C_out, C_in, K, K, K]``, K odd.
        dilation: from one tap to the next.
    """
    values = _volume(weight)
    outputs, inputs, _, height, width = values.shape
    both = [_merging(height, dilation, copies) for copies in (2, 1)]
    through = [np.ones((1, 1), np.float32)] * 2 if weight.ndim == 4 else both
    variants = [
        np.einsum("oczyx,zZ,yY,xX->ZYcXo", values, along_z, along_y, along_x)
        for along_z in through
        for along_y in both
        for along_x in both
    ]
    taps_z, taps_y, _, taps_x, _ = variants[0].shape
    runs = _filled(np.stack(variants).reshape(8, taps_z, taps_y, inputs, taps_x * outputs))
    row = _edge(k.REPEATED, source)
    row[k.DEPTH], row[k.HEIGHT], row[k.FACTOR_Z] = taps_z, taps_y, 1 if weight.ndim == 4 else 2
    row[k.REACH] = dilation * (width // 2)
    row[k.WEIGHTS], row[k.RUN] = store.keep(runs), runs.shape[-1]
    return row


def _merging(taps: int, dilation: int, copies: int) -> npt.NDArray[np.float32]:
    """Return ``[taps, places]``: which tap reaches which place from a spike and its copies.

    Places are counted from the first that a tap reaches, ``2 x - dilation (taps // 2)``.
    """
    reach = dilation * (taps // 2)
    merging = np.zeros((taps, 2 * reach + 2), np.float32)
    for tap in range(taps):
        for copy in range(copies):
            merging[tap, reach + copy - (tap - taps // 2) * dilation] += 1
    return merging


def same(source: SpikeMap, first: int = 0) -> I64:
    """Return the edge that passes spikes on as currents of one, to channels from ``first`` on."""
    row = _edge(k.SAME, source)
    row[k.OFFSET] = first
    return row


def currents(store: Store, source: CurrentMap, size: Size) -> I64:
    """Return the edge that adds currents, repeated up to ``size``."""
    row = np.zeros(k.EDGE_FIELDS, np.int64)
    row[k.KIND], row[k.FROM_CURRENT] = k.CURRENTS, source.numbers
    row[k.FROM_PLANES], row[k.FROM_ROWS], row[k.FROM_COLUMNS] = source.size
    row[k.MAPS] = store.keep_maps(source.size, size)
    return row


def table(edges: Sequence[I64]) -> npt.NDArray[np.int64]:
    """Return the edges of a node ``[E, EDGE_FIELDS]``."""
    return np.stack([*edges]) if edges else np.zeros((0, k.EDGE_FIELDS), np.int64)


def _edge(kind: int, source: SpikeMap) -> I64:
    row = np.zeros(k.EDGE_FIELDS, np.int64)
    row[k.KIND], row[k.INPUTS] = kind, source.channels
    row[k.FROM_PLACES], row[k.FROM_COUNTS], row[k.SLOT] = source.places, source.counts, source.slot
    row[k.FROM_PLANES], row[k.FROM_ROWS], row[k.FROM_COLUMNS] = source.size
    return row


def _volume(weight: Tensor) -> npt.NDArray[np.float32]:
    """Return a weight as ``[C_out, C_in, z, y, x]``."""
    values: npt.NDArray[np.float32] = weight.detach().float().cpu().numpy()
    return values[:, :, None] if values.ndim == 4 else values


def _filled(runs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return runs filled up with zeros to whole vectors."""
    length = runs.shape[-1]
    extra = padded(length) - length
    return np.pad(runs, [(0, 0)] * (runs.ndim - 1) + [(0, extra)])
