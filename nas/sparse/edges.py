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
