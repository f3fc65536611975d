"""What a network costs in the unit of a budget: built, or expected while it is searched."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from energy import profile
from energy.expected import ExpectedEnergy
from energy.probabilities import Shown, shown_by
from nas.relaxed.gating import Gates, expected_parameters


def measured_cost(
    network: nn.Module, example: Sequence[Tensor], unit: str, technology: str
) -> float:
    """Return what one inference of a network costs.

    Args:
        network: built.
        example: inputs.
        unit: ``mJ``; ``GMAC``, all synapses of a dense run, spiking ones too; or ``Mparam``.
        technology: prices.
    """
    if unit == "Mparam":
        return sum(p.numel() for p in network.parameters()) * 1e-6
    report = profile(network, *example, technology=technology)
    if unit == "GMAC":
        return float(sum(layer.dense for layer in report.layers)) * 1e-9
    return float(report.total_mj)


class ExpectedCost:
    """The expected cost of a relaxed network, and the running counts that it comes from.

    Args:
        network: relaxed.
        example: inputs to count on.
        unit: of a budget.
        technology: prices.
    """

    def __init__(
        self, network: nn.Module, example: Sequence[Tensor], unit: str, technology: str
    ) -> None:
        self.network, self.example, self.unit = network, tuple(example), unit
        # The inputs are always the same, so older counts say nothing but how it fired before.
        self.counts = ExpectedEnergy(technology, momentum=0.0)
        self._gates = Gates(network)
        self._first: Shown | None = None
        self._numbers: list[int] = []

    def measure(self) -> None:
        """Refresh the running counts."""
        mode = self.network.training
        try:
            self.network.eval()
            with torch.no_grad(), self._gates.shown():
                self.counts.measure(self.network, *self.example)
        finally:
            self.network.train(mode)

    def now(self) -> Tensor:
        """Return the expected cost at the present beliefs, with gradients to them."""
        if self.unit == "Mparam":
            with self._gates.shown():
                return expected_parameters(self.network) * 1e-6
        if self.unit == "GMAC":
            return self.counts.expected_dense(self.network, self._shown()) * 1e-9
        return self.counts.expected_mj(self.network, self._shown())

    def _shown(self) -> Shown:
        """Return all probabilities; where they stand is looked up once, as it never changes."""
        if self._first is None:
            with self._gates.shown():
                self._first = shown_by(self.network)
            number_of = dict(zip(self._first.names, self._first.numbers, strict=True))
            name_of = {id(module): name for name, module in self.network.named_modules()}
            self._numbers = [number_of[name_of[id(m)], a] for m, a, _ in self._gates.marks()]
        values = list(self._first.values.detach().unbind())
        for number, (*_, value) in zip(self._numbers, self._gates.marks(), strict=True):
            values[number] = value
        stacked = torch.stack([value.to("cpu", torch.float64) for value in values])
        return Shown(self._first.names, self._first.numbers, stacked)

    def state_dict(self) -> Mapping[str, object]:
        """Return the running counts."""
        return self.counts.state_dict()

    def load_state_dict(self, state: Mapping[str, object], /) -> None:
        """Go on from running counts."""
        self.counts.load_state_dict(state)
