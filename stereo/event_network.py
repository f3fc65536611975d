"""The stereo network on lists of spikes: windows in, disparity out, work for what fires alone.

It computes what ``HybridStereo`` computes; only sums are taken in another order.
"""

from time import perf_counter
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from nas.cell import CellPath, Fire
from nas.fused.group_kernels import I64
from nas.fused.threads import share
from nas.sparse import list_kernels as lists
from nas.sparse.dense import Linear, Signal
from nas.sparse.layout import Layout, NotSpikingError, at_rest
from nas.sparse.nodes import NodeWork
from nas.sparse.tables import Arrays, Size, SpikeMap
from stereo.disparity import soft_argmax, upsample_scores
from stereo.errors import StereoError
from stereo.network import STRIDE, HybridStereo

CALIBRATIONS = 3
"""Runs of each way, the fastest of which counts."""


class EventNetwork:
    """A decoded network laid out on lists of spikes, for frames of one size.

    Sums are taken in another order than by ``HybridStereo``, so a membrane that comes within a
    rounding error of its threshold may fall to the other side of it.

    Args:
        network: whose stages all spike, with a coincidence volume; norms folded or not.
        height: rows of a frame.
        width: columns.
        max_disparity: largest disparity searched, pixels; the configuration's unless given.

    Raises:
        StereoError: a network with analog stages, another volume, or an encoding that is not
            binary.
    """

    def __init__(
        self, network: HybridStereo, height: int, width: int, max_disparity: int | None = None
    ) -> None:
        volume = network.config.network.volume
        if not network.encoding.emits_spikes or volume != "coincidence":
            raise StereoError(
                "Lists of spikes need a binary encoding and the cost volume 'coincidence'; this "
                f"network has {network.config.encoding.name!r} and {volume!r}."
            )
        self.height, self.width = height, width
        self.planes = -(-(max_disparity or network.config.max_disparity) // STRIDE) + 1
        self.layout = Layout()
        try:
            self._lay_out(network)
        except NotSpikingError as error:
            raise StereoError(f"This network does not run on lists of spikes: {error}") from error
        self.arrays = self.layout.store.arrays()

    def _lay_out(self, network: HybridStereo) -> None:
        """Lay out ``HybridStereo.scores_by_step``."""
        layout, features, matching = self.layout, network.features, network.matching
        size = 2, -(-self.height // STRIDE) * STRIDE, -(-self.width // STRIDE) * STRIDE
        self.entry = layout.store.spikes(size, network.encoding.channels)
        both = fine = Signal((self.entry,))
        for fire in features.stem:
            fine = layout.fire(cast("Fire", fire), fine)
        coarse = layout.path(cast("CellPath", features.cells), fine)
        learned = layout.fire(features.project, fine, coarse)
        events = layout.pool(both, 1, STRIDE)
        volume = coincidences(layout, Signal((*learned.parts, *events.parts)), self.planes)
        fine = layout.fire(matching.stem, volume)
        coarse = layout.path(cast("CellPath", matching.cells), fine)
        fused = layout.fire(matching.fuse, fine, coarse)
        score = Linear(matching.score.weight, matching.score.bias)
        self.scores = layout.currents(score, fused, 1, adds=True)

    def calibrate(self, left: Float[Tensor, "T 1 C H W"], right: Float[Tensor, "T 1 C H W"]) -> int:
        """Choose for every node, by time on these frames, between its list and a dense convolution.

        Args:
            left: as of a call.
            right: likewise.

        Returns:
            How many nodes are computed densely from now on.
        """
        nodes = [
            (number, work)
            for number, work in enumerate(self.layout.work)
            if isinstance(work, NodeWork) and work.other is not None
        ]
        best = {way: np.full(len(self.layout.work), np.inf) for way in (False, True)}
        for way in (False, True) * CALIBRATIONS:
            for _, work in nodes:
                work.densely = way
            best[way] = np.minimum(best[way], self._run(left, right))
        for number, work in nodes:
            work.densely = bool(best[True][number] < best[False][number])
        return sum(work.densely for _, work in nodes)

    def __call__(
        self, left: Float[Tensor, "T 1 C H W"], right: Float[Tensor, "T 1 C H W"]
    ) -> Float[Tensor, "1 H W"]:
        """Return the disparity of the left view in pixels, as ``HybridStereo.forward``.

        Raises:
            StereoError: frames of another size, or values that are no spikes.
        """
        if left.shape != right.shape or tuple(left.shape[-2:]) != (self.height, self.width):
            raise StereoError(
                f"This network is laid out for frames of {self.height} x {self.width} pixels, got "
                f"{tuple(left.shape)} and {tuple(right.shape)}."
            )
        self._run(left, right)
        planes, h, w = self.scores.size
        mean = torch.from_numpy(self._total().reshape(1, planes, h, w) / max(1, len(left)))
        large = upsample_scores(mean, (h * STRIDE, w * STRIDE))
        return soft_argmax(large[..., : self.height, : self.width], STRIDE)

    def _total(self) -> Float32[np.ndarray, " N"]:
        """Return the scores, added up over time steps, as they lie."""
        first = self.scores.numbers
        return self.arrays.numbers[first : first + int(np.prod(self.scores.size))]

    def _run(
        self, left: Float[Tensor, "T 1 C H W"], right: Float[Tensor, "T 1 C H W"]
    ) -> Float64[np.ndarray, " works"]:
        """Add up the scores of all time steps; return the seconds that every work took."""
        seconds = np.zeros(len(self.layout.work))
        self._total()[:] = 0
        at_rest(self.arrays, self.layout.states)
        for views in torch.cat([left, right], dim=1).contiguous():
            self._enter(views)
            for number, work in enumerate(self.layout.work):
                began = perf_counter()
                work.run(self.arrays)
                seconds[number] += perf_counter() - began
        return seconds

    def _enter(self, views: Float[Tensor, "2 C H W"]) -> None:
        """List the spikes of both views at one time step."""
        entry = self.entry
        wrong = lists.pack(
            views.numpy().reshape(-1), np.array(views.shape),
            np.array([entry.places, entry.counts, *entry.size[1:]]),
            self.arrays.places, self.arrays.counts,
        )  # fmt: skip
        if wrong:
            raise StereoError(f"{wrong:,} values of the frames are neither 0 nor 1: no spikes.")


class CoincidenceWork:
    """The cost volume of one time step: ``stereo.cost_volume.coincidence_volume`` of lists.

    Args:
        features: of both views; the cameras are planes.
        volume: gets the coincidences.
    """

    def __init__(self, features: Signal, volume: SpikeMap) -> None:
        self.volume = volume
        self.tables: list[I64] = []
        first = 0
        for part in features.parts:
            self.tables.append(_coincidence_table(part, volume, first))
            first += part.channels

    def run(self, arrays: Arrays) -> None:
        """Write the lists of the present step, the channels of one part after another's."""
        volume = self.volume
        arrays.counts[volume.counts : volume.counts + volume.lines] = 0
        for table in self.tables:

            def some(tickets: I64, table: I64 = table) -> None:
                lists.coincide(table, arrays.places, arrays.counts, tickets)

            share(some, volume.lines * volume.slot)


def coincidences(layout: Layout, features: Signal, planes: int) -> Signal:
    """Lay out the cost volume; return it."""
    size: Size = (planes, *features.size[1:])
    volume = layout.store.spikes(size, features.channels)
    layout.work.append(CoincidenceWork(features, volume))
    return Signal((volume,))


def _coincidence_table(part: SpikeMap, volume: SpikeMap, first: int) -> I64:
    table = np.zeros(lists.RESIZE_FIELDS, np.int64)
    table[lists.FROM_PLACES], table[lists.FROM_COUNTS] = part.places, part.counts
    table[lists.FROM_PLANES], table[lists.FROM_ROWS], table[lists.FROM_COLUMNS] = part.size
    table[lists.TO_PLACES], table[lists.TO_COUNTS] = volume.places, volume.counts
    table[lists.TO_PLANES], table[lists.TO_ROWS], table[lists.TO_COLUMNS] = volume.size
    table[lists.CHANNELS] = part.channels
    table[lists.FACTOR], table[lists.FACTOR_Z] = first, volume.channels
    return table
