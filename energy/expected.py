"""Expected energy of a network that is still being searched, differentiable in what is searched.

A module of a relaxed network says with which probability it will be there, and one that may become
spiking or analog with which probability it spikes:

* ``gate``: a number or 0-dim tensor in [0, 1]; a layer is there with the product of the gates on
  its path. Expectation is linear, so the energies of layers times their probabilities add up to the
  expected energy of the decoded network, whatever depends on what.
* ``spiking``: likewise, on a module that declares ``emits_spikes``. While it lies between 0 and 1
  the output is a mixture, so the module also keeps ``firing_rate``, the share of its spikes.
  Modules that are decided together show one tensor, which then counts once.
* ``once``: likewise, the probability that a module runs once, on the mean over time, instead of at
  every time step. The relaxed network runs it at every step all the same.

Counts come from runs of the relaxed network; between runs the expectation costs next to nothing. At
a vertex, with all probabilities 0 or 1, it is the profiler's total of the decoded network on the
same data.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from energy.counter import run_counted
from energy.errors import EnergyError
from energy.layers import LayerCounts
from energy.probabilities import Layout, Shown, lay_out, shown_by
from energy.profiling import inference_size, steps_of
from energy.technology import technology as find_technology


@dataclass(kw_only=True)
class _Means:
    """Running means of one layer, per inference."""

    path: str
    sources: tuple[str, ...]
    ac: float
    dense: float
    analog: float
    steps: int


class ExpectedEnergy:
    """Running counts of a relaxed network, and the expectation that they give.

    Args:
        technology: prices, as for ``profile``.
        momentum: share of the past in the running means; 0 keeps the last run only.

    Raises:
        EnergyError: a momentum that is no share, an unknown technology.
    """

    def __init__(self, technology: str = "45nm-fp32", *, momentum: float = 0.9) -> None:
        if not 0.0 <= momentum < 1.0:
            raise EnergyError(f"A momentum lies in [0, 1), got {momentum}.")
        self.technology = find_technology(technology)
        self.momentum = momentum
        self._means: dict[tuple[str, str, int], _Means] = {}
        self._wiring: object = None
        self._layout: Layout

    def measure(
        self, model: nn.Module, *inputs: Any, samples: int | None = None, steps: int | None = None
    ) -> None:
        """Count what every layer does on these inputs; the model is left as it was.

        Args:
            model: relaxed network.
            inputs: what it is called with.
            samples: as for ``profile``.
            steps: as for ``profile``.

        Raises:
            EnergyError: a mixture of spikes and analog values whose firing rate is not known.
        """
        samples, steps = inference_size(model, inputs, samples, steps)
        counter = run_counted(model, inputs, strict=False, steps=steps, samples=samples)
        modules = dict(model.named_modules())
        numbers: dict[tuple[str, str], int] = {}
        for layer in counter.layers.values():
            if not layer.dense:
                continue
            place = numbers.setdefault((layer.path, layer.kind), 0)
            numbers[layer.path, layer.kind] += 1
            key = layer.path, layer.kind, place
            found = _means(layer, modules, samples, steps)
            before = self._means.get(key)
            self._means[key] = found if before is None else self._blend(before, found)

    def expected_mj(self, model: nn.Module, shown: Shown | None = None) -> Tensor:
        """Return the expected millijoules of one inference, with gradients to all probabilities.

        The synapses alone, as ``EnergyReport.total_mj``.

        Args:
            model: relaxed network.
            shown: the probabilities that it shows, where they are at hand.

        Raises:
            EnergyError: nothing was measured, or a probability outside [0, 1].
        """
        share, spikes = self._shares(shown or shown_by(model))
        mac_pj = [self.technology.need_mac_pj(m.path or "the model") for m in self._means.values()]
        prices = torch.tensor(mac_pj, dtype=torch.float64)
        fired = self._column("ac") * self.technology.ac_pj
        analog, dense = self._column("analog") * prices, self._column("dense") * prices
        energy = analog + spikes * fired + (1.0 - spikes) * (dense - analog)
        return (share * energy).sum() * 1e-9

    def expected_dense(self, model: nn.Module, shown: Shown | None = None) -> Tensor:
        """Return the expected synapses of a dense run of one inference, with gradients likewise.

        Raises:
            EnergyError: as ``expected_mj``.
        """
        share, _ = self._shares(shown or shown_by(model))
        return (share * self._column("dense")).sum()

    def _shares(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """Return ``[L]``: how much of each layer is expected, and whether its input is spikes."""
        if not self._means:
            raise EnergyError("Nothing was measured yet: call measure(model, inputs) first.")
        layers = [(layer.path, layer.sources) for layer in self._means.values()]
        wiring = (shown.names, shown.numbers, layers)
        if wiring != self._wiring:
            self._wiring, self._layout = wiring, lay_out(shown, layers)
        layout = self._layout
        once = layout.has_once * shown.values[layout.once].prod(1)
        runs = 1.0 - once + once / self._column("steps")
        return shown.values[layout.gates].prod(1) * runs, shown.values[layout.spiking].prod(1)

    def _column(self, name: str) -> Tensor:
        values = [float(getattr(layer, name)) for layer in self._means.values()]
        return torch.tensor(values, dtype=torch.float64)

    def state_dict(self) -> dict[str, Any]:
        """Return the running counts as JSON can hold them, to go on from."""
        rows = [
            {"kind": kind, "place": place, **asdict(means), "sources": list(means.sources)}
            for (_, kind, place), means in self._means.items()
        ]
        return {"layers": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from running counts.

        Raises:
            EnergyError: content that ``state_dict`` does not write.
        """
        try:
            means = {
                (row["path"], row["kind"], int(row["place"])): _Means(
                    path=row["path"], sources=tuple(row["sources"]), ac=float(row["ac"]),
                    dense=float(row["dense"]), analog=float(row["analog"]),
                    steps=int(row["steps"]),
                )
                for row in state["layers"]
            }  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise EnergyError(
                f"Running counts have a list of layers, each with what state_dict() writes; got "
                f"{type(state).__name__} without {error}. Measure again instead."
            ) from error
        self._means = means

    def _blend(self, old: _Means, new: _Means) -> _Means:
        keep = self.momentum
        mixed = {
            name: keep * getattr(old, name) + (1 - keep) * getattr(new, name)
            for name in ("ac", "dense", "analog")
        }
        return _Means(path=new.path, sources=new.sources, steps=new.steps, **mixed)


def _means(layer: LayerCounts, modules: dict[str, nn.Module], samples: int, steps: int) -> _Means:
    """Return a layer's counts per inference; the accumulates of a mixture come from its rate."""
    ac = float(layer.ac)
    if layer.contradictions:
        open_ = [s for s in layer.sources if getattr(modules[s], "spiking", None) is not None]
        rates = [getattr(modules[source], "firing_rate", None) for source in open_]
        if None in rates or not rates:
            raise EnergyError(
                f"The input of {layer.name} mixes spikes with analog values; its makers "
                f"({', '.join(layer.sources)}) must keep the share of their spikes as firing_rate."
            )
        # A layer behind several makers reads equal parts of them, for want of better knowledge.
        ac = sum(float(rate or 0.0) for rate in rates) / len(rates) * (layer.dense - layer.mac)
    return _Means(
        path=layer.path, sources=layer.sources, ac=ac / samples, dense=layer.dense / samples,
        analog=layer.mac / samples, steps=steps_of(layer, steps) or 1,
    )  # fmt: skip
