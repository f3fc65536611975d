"""The last convolution of a network that ends in spikes: once, on their sum over time steps."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nas.fused.group_kernels import I64
from nas.fused.threads import share
from nas.sparse.dense import Linear, Signal, part_table
from nas.sparse.readout_kernels import TAPS, add_spikes, read_out
from nas.sparse.tables import Arrays, CurrentMap, SpikeMap


@dataclass(eq=False)
class SpikeSums:
    """Adds up the spikes of every time step; work of a step.

    Attributes:
        signal: spikes, seen at their own size.
        steps: added up since ``begin``.
    """

    signal: Signal
    steps: int = 0
    total: npt.NDArray[np.float32] = field(init=False)
    marks: npt.NDArray[np.uint8] = field(init=False)
    tables: list[I64] = field(init=False)

    def __post_init__(self) -> None:
        """Make room."""
        planes, rows, columns = self.signal.size
        self.total = np.zeros(planes * rows * columns * self.signal.channels, np.float32)
        self.marks = np.zeros(planes * rows * self.signal.channels, np.uint8)
        self.tables, first = [], 0
        for part in self.signal.parts:
            assert isinstance(part, SpikeMap)
            self.tables.append(part_table(part, self.signal.channels, first))
            first += part.channels

    def begin(self) -> None:
        """Forget what was added up."""
        self.steps, self.total[:], self.marks[:] = 0, 0, 0

    def run(self, arrays: Arrays) -> None:
        """Add the spikes of the present step."""
        self.steps += 1
        for table in self.tables:

            def some(tickets: I64, table: I64 = table) -> None:
                add_spikes(table, arrays.places, arrays.counts, self.total, self.marks, tickets)

            share(some, self.total.size)


class SummedReadout:
    """A convolution of 3 x 3 x 3 taps to one channel, summed over time steps; work after the last.

    Args:
        sums: of its input.
        op: its weights ``[1, C, 3, 3, 3]`` and bias.
        to: gets the result.

    Raises:
        ValueError: a convolution of another kind.
    """

    def __init__(self, sums: SpikeSums, op: Linear, to: CurrentMap) -> None:
        wanted = 1, sums.signal.channels, *[TAPS] * 3
        if op.weight is None or tuple(op.weight.shape) != wanted or op.stride * op.dilation != 1:
            raise ValueError(f"A readout has weights {wanted} without strides or dilation.")
        self.sums, self.to = sums, to
        flat = op.weight.detach().float()[0].permute(1, 2, 0, 3).reshape(-1)  # [z, y, C, x]
        self._weights = np.ascontiguousarray(flat.numpy())
        self._bias = 0.0 if op.bias is None else float(op.bias.detach())
        self._size = np.array([*sums.signal.size, sums.signal.channels])

    def run(self, arrays: Arrays) -> None:
        """Write the sum over all time steps."""
        sums, out, bias = self.sums, self.to.view(arrays).reshape(-1), self._bias * self.sums.steps
        share(
            lambda tickets: read_out(
                self._size, sums.total, sums.marks, self._weights, bias, out, tickets
            ),
            sums.total.size,
        )
