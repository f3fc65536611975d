"""The stereo network on lists of spikes: windows in, disparity out, work for what fires alone.

It computes what ``HybridStereo`` computes; only sums are taken in another order.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from nas.cell import CellPath, Fire
from nas.fused.threads import share
from nas.sparse import list_kernels as lists
from nas.sparse.dense import Linear, Signal
from nas.sparse.layout import Layout, NotSpikingError
from nas.sparse.nodes import NodeWork, Work, at_rest
from nas.sparse.readout import SpikeSums, SummedReadout
from stereo.disparity import WINDOW
from stereo.disparity_kernels import estimate
from stereo.errors import StereoError
from stereo.event_volume import coincidences, concatenated
from stereo.network import STRIDE, HybridStereo

TRIED = (False, True, False)
"""Runs that times are taken from, densely or not; in the first one kernels are loaded."""


class EventNetwork:
    """A decoded network laid out on lists of spikes, for frames of one size.

    Sums are taken in another order than by ``HybridStereo``, so a membrane that comes within a
    rounding error of its threshold may fall to the other side of it.

    Args:
        network: with any cost volume; norms folded or not. Analog stages are dense.
        height: rows of a frame.
        width: columns.
        max_disparity: largest disparity searched, pixels; the configuration's unless given.
        remembers: whether every call goes on where the neurons were after the last one; they
            rest before each call otherwise.

    Raises:
        StereoError: an encoding that is not binary, or an operation that lists do not have.
    """

    def __init__(
        self,
        network: HybridStereo,
        height: int,
        width: int,
        max_disparity: int | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        if type(network).forward is not HybridStereo.forward:
            raise StereoError(
                f"{type(network).__name__} has a forward pass of its own, which lists of spikes do "
                "not follow."
            )
        if not network.encoding.emits_spikes:
            raise StereoError(
                "Lists of spikes need a binary encoding; this network has "
                f"{network.config.encoding.name!r}."
            )
        self.height, self.width, self.remembers = height, width, remembers
        self.planes = -(-(max_disparity or network.config.max_disparity) // STRIDE) + 1
        self.layout = Layout()
        try:
            self._lay_out(network)
        except NotSpikingError as error:
            raise StereoError(f"This network does not run on lists of spikes: {error}") from error
        self.arrays = self.layout.store.arrays()
        self._disparity = np.zeros((height, width), np.float32)

    def _lay_out(self, network: HybridStereo) -> None:
        """Lay out ``HybridStereo.scores_by_step``."""
        layout, features, matching = self.layout, network.features, network.matching
        size = 2, -(-self.height // STRIDE) * STRIDE, -(-self.width // STRIDE) * STRIDE
        self.entry = layout.store.spikes(size, network.encoding.channels)
        both = Signal((self.entry,))
        path = cast("CellPath", features.cells)
        ends = partial(layout.enter, path, "end")
        fine = layout.enter(path, "stem", both)
        for fire in features.stem:
            fine = layout.fire(cast("Fire", fire), fine)
        learned = layout.fire(features.project, ends(fine), ends(layout.path(path, fine)))
        events = ends(layout.pool(both, 1, STRIDE))
        found = Signal((*learned.parts, *events.parts), once=learned.once)
        path = cast("CellPath", matching.cells)
        ends = partial(layout.enter, path, "end")
        if network.config.network.volume == "coincidence":
            volume = coincidences(layout, found, self.planes)
            fine = layout.fire(matching.stem, layout.enter(path, "stem", volume))
        else:
            # The mean of volumes over time is the volume of the means: here it may be taken first.
            fine = concatenated(
                layout, matching.stem, layout.enter(path, "stem", found), self.planes
            )
        fused = layout.fire(matching.fuse, ends(fine), ends(layout.path(path, fine)))
        score = Linear(matching.score.weight, matching.score.bias)
        self._sums = None if fused.once or not fused.spikes else SpikeSums(fused)
        if self._sums is None:
            self.scores = layout.currents(score, fused, 1, adds=not fused.once)
        else:
            self.scores = layout.store.currents(fused.size, 1)
            layout.add(self._sums, once=False)
            layout.add(SummedReadout(self._sums, score, self.scores), once=True)
        self._once = fused.once

    @property
    def nodes(self) -> list[NodeWork]:
        """All nodes, and currents that are computed by themselves."""
        every = (*self.layout.work, *self.layout.last)
        return [work for work in every if isinstance(work, NodeWork)]

    def calibrate(self, left: Float[Tensor, "T 1 C H W"], right: Float[Tensor, "T 1 C H W"]) -> int:
        """Choose for every node, by time on these frames, between its list and a dense convolution.

        Args:
            left: as of a call.
            right: likewise.

        Neurons keep what they remember.

        Returns:
            How many nodes are computed densely from now on.
        """
        every = [*self.layout.work, *self.layout.last]
        nodes = [
            (number, work)
            for number, work in enumerate(every)
            if isinstance(work, NodeWork) and work.other is not None
        ]
        best = {way: np.full(len(every), np.inf) for way in (False, True)}
        with self.set_aside():
            for way in TRIED:
                for _, work in nodes:
                    work.densely = way
                best[way] = np.minimum(best[way], self._run(left, right))
        for number, work in nodes:
            work.densely = bool(best[True][number] < best[False][number])
        return sum(work.densely for _, work in nodes)

    def rest(self) -> None:
        """Forget what neurons remember."""
        at_rest(self.arrays)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Begin at rest and remember nothing within; go on from the memory of before afterwards."""
        remembers, arrays = self.remembers, self.arrays
        before = (arrays.numbers.copy(), arrays.clock.copy()) if remembers else None
        self.remembers = False
        try:
            yield
        finally:
            self.remembers = remembers
            if before is not None:
                arrays.numbers[:], arrays.clock[:] = before

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
        scores, found = self.scores.view(self.arrays)[..., 0], self._disparity
        scale = 1.0 if self._once else 1.0 / max(1, len(left))
        share(
            lambda tickets: estimate(scores, scale, STRIDE, WINDOW, found, tickets),
            scores.size * STRIDE * STRIDE,
        )
        return torch.from_numpy(found[None].copy())

    def _run(
        self, left: Float[Tensor, "T 1 C H W"], right: Float[Tensor, "T 1 C H W"]
    ) -> Float64[np.ndarray, " works"]:
        """Add up the scores of all time steps; return the seconds that every work took."""
        layout, arrays = self.layout, self.arrays
        seconds = np.zeros(len(layout.work) + len(layout.last))
        if not self.remembers:
            at_rest(arrays)
        for sums in (self.scores, *layout.sums):
            sums.view(arrays)[...] = 0
        if self._sums is not None:
            self._sums.begin()
        for views in torch.cat([left, right], dim=1).contiguous():
            self._enter(views)
            self._work(layout.work, seconds)
            arrays.clock[0] += 1
        for sums in layout.sums:
            sums.view(arrays)[...] /= max(1, len(left))
        self._work(layout.last, seconds[len(layout.work) :])
        return seconds

    def _work(self, every: list[Work], seconds: Float64[np.ndarray, " works"]) -> None:
        """Do work, and add up the seconds that each piece takes."""
        for number, work in enumerate(every):
            began = perf_counter()
            work.run(self.arrays)
            seconds[number] += perf_counter() - began

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
