"""Nodes on lists of spikes: laid out once, run step after step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nas.fused.group_kernels import I64
from nas.fused.step_kernels import ADAPTED, CURRENT, RESETS, VOLTAGE, advance_of
from nas.fused.threads import share
from nas.neurons.modules import Neuron
from nas.sparse import node_kernels as k
from nas.sparse.edges import table
from nas.sparse.node_kernels import run_node
from nas.sparse.tables import Arrays, CurrentMap, Size, SpikeMap, Store

CONSTANTS = (
    "decay", "threshold", "current_decay", "adaptation", "adaptation_decay", "temperature", "scale",
)  # fmt: skip
"""In the order of the rows of ``nas.fused.step_kernels``."""

ROWS = {"membrane": VOLTAGE, "current": CURRENT, "adaptation": ADAPTED}
STATES = len(ROWS)
"""Rows of a neuron's state there, and how many."""


@runtime_checkable
class Work(Protocol):
    """One piece of a laid-out network."""

    def run(self, arrays: Arrays) -> None:
        """Do it, for one time step."""
        ...


@dataclass(kw_only=True, eq=False)
class NodeWork:
    """One node, or the currents of one.

    Attributes:
        node: its table.
        edges: those of its edges.
        step: address of its neuron's step; 0 for what does not fire.
        values: by which threads are chosen: neurons, more of them where spikes reach many rows.
        before: what must be done first: currents of analog inputs.
        other: what computes its currents densely, and the edges that read them; None for nothing.
        densely: whether that is what is done.
    """

    node: I64
    edges: npt.NDArray[np.int64]
    step: int
    values: int
    before: tuple[Work, ...] = ()
    other: tuple[Work, npt.NDArray[np.int64]] | None = None
    densely: bool = False

    def run(self, arrays: Arrays) -> None:
        """Compute the node at one time step; its state goes on from the one before."""
        edges = self.edges
        for work in self.before:
            work.run(arrays)
        if self.densely and self.other is not None:
            dense, edges = self.other
            dense.run(arrays)
        share(
            lambda tickets: run_node(
                self.node, edges, self.step, arrays.places, arrays.counts, arrays.numbers,
                arrays.maps, arrays.clock, tickets,
            ),
            self.values,
        )  # fmt: skip


def run_step(every: Sequence[Work], arrays: Arrays) -> None:
    """Do all work of one time step."""
    for work in every:
        work.run(arrays)
    arrays.clock[0] += 1


def at_rest(arrays: Arrays) -> None:
    """Let all neurons rest, so that the next step is the first."""
    arrays.clock[:] = 0


def fire(
    store: Store, size: Size, channels: int, edges: Sequence[I64], bias: Tensor | None,
    neuron: Neuron,
) -> tuple[NodeWork, SpikeMap]:  # fmt: skip
    """Lay out a node that fires: its work, and what it emits.

    Args:
        store: gets its map and state.
        size: of the map.
        channels: of it.
        edges: rows of its table (``nas.sparse.edges``).
        bias: ``[C]`` current without spikes; None for none.
        neuron: with constants of one value or one per channel.

    Raises:
        ValueError: a neuron that does not fire, or constants of another shape.
    """
    if not neuron.emits_spikes:
        raise ValueError(f"{type(neuron).__name__} does not fire; its values are currents.")
    spikes = store.spikes(size, channels)
    node, found = _node(store, size, channels, edges, bias)
    node[k.FIRES], node[k.PLACES], node[k.COUNTS] = 1, spikes.places, spikes.counts
    constants = _constants(neuron, channels, size[2])
    node[k.CONST], node[k.CONST_WIDTH] = store.keep(constants), constants.shape[1]
    neurons = spikes.lines * spikes.slot
    node[k.STATES] = 1 + max(ROWS[name] for name in neuron.states)
    node[k.STATE] = store.keep(np.zeros(STATES * neurons, np.float32))
    params = neuron.constants()
    step = advance_of(
        "adaptation" in neuron.states, "current" in neuron.states, True, RESETS[params.reset],
        params.scale_input, constants.shape[1] == 1, False, False,
    )  # fmt: skip
    return NodeWork(node=node, edges=found, step=step, values=_worth(neurons, found)), spikes


def sum_currents(
    store: Store, size: Size, channels: int, edges: Sequence[I64], bias: Tensor | None,
    *, adds: bool = False, rectifies: bool = False,
) -> tuple[NodeWork, CurrentMap]:  # fmt: skip
    """Lay out currents that nothing fires on here.

    Args:
        store: gets their map.
        size: of the map.
        channels: of it.
        edges: rows of its table.
        bias: ``[C]``; None for none.
        adds: whether they are added to what is there, step after step.
        rectifies: whether what is negative becomes zero: an analog node.
    """
    found = store.currents(size, channels)
    node, rows = _node(store, size, channels, edges, bias)
    node[k.CURRENT_OUT], node[k.ADDS], node[k.RECTIFIES] = found.numbers, adds, rectifies
    values = size[0] * size[1] * size[2] * channels
    return NodeWork(node=node, edges=rows, step=0, values=_worth(values, rows)), found


def _node(
    store: Store, size: Size, channels: int, edges: Sequence[I64], bias: Tensor | None
) -> tuple[I64, npt.NDArray[np.int64]]:
    rows = table(edges)
    node = np.zeros(k.NODE_FIELDS, np.int64)
    node[k.PLANES], node[k.ROWS], node[k.COLUMNS] = size
    node[k.CHANNELS] = channels
    node[k.PAD] = rows[:, k.REACH].max(initial=0) + 1  # of a repeated input one more to the right
    flow = torch.zeros(channels) if bias is None else bias.detach().float().cpu()
    node[k.BIAS] = store.keep(np.tile(flow.numpy(), size[2]))
    return node, rows


def _worth(neurons: int, edges: npt.NDArray[np.int64]) -> int:
    """Return how many neurons without inputs a node is worth; at usual rates about these."""
    return neurons * max(1, int((edges[:, k.DEPTH] * edges[:, k.HEIGHT]).sum()) // 4)


def _constants(neuron: Neuron, channels: int, columns: int) -> npt.NDArray[np.float32]:
    """Return ``[7, 1]`` constants, or ``[7, columns * channels]`` where channels differ."""
    params = neuron.constants()
    rows = []
    for name in CONSTANTS:
        value = getattr(params, name, 0.0)
        found = value.detach().float().cpu().numpy() if isinstance(value, Tensor) else value
        flat = np.asarray(found, np.float32).reshape(-1)
        if flat.size not in (1, channels):
            raise ValueError(
                f"The {name} of a neuron is one value or one per channel ({channels}) here, got "
                f"{flat.size} values."
            )
        rows.append(flat)
    if all(row.size == 1 for row in rows):
        return np.stack(rows)
    return np.stack([np.tile(np.broadcast_to(row, channels), columns) for row in rows])
