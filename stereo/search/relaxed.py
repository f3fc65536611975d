"""A relaxed network of a task with all that the search asks of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from nas.decode import beliefs_of, decode, decode_within
from nas.genotype import Genotype
from nas.rates import firing_rates
from nas.rectifiers import rectifiers
from nas.relaxed.architecture import PartArchitecture, architectures, decide
from nas.relaxed.beliefs import PartBeliefs, entropy
from nas.relaxed.inherit import inherit
from nas.relaxed.path import RelaxedCell, RelaxedPath
from nas.relaxed.score import compared
from nas.space import SearchSpace
from nas.temporal import SearchedNeuron, searched_neurons
from stereo.checkpoint import channels_last
from stereo.devices import Device
from stereo.errors import StereoError
from stereo.search.costs import ExpectedCost, measured_cost
from stereo.search.setting import Relaxation
from stereo.tasks.task import Batch, Task

CALIBRATION = 20
"""Batches from which the norms of a decoded network learn their statistics."""

ROUNDS = 6
"""Times that a genotype is decoded anew, as the measured cost differs from the expected one."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a search decided for.

    Attributes:
        genotype: itself.
        network: with the weights of the relaxed one, its norms calibrated.
        expected: cost that the search expected of it, in the unit of the budget.
        measured: cost as measured on data.
        fits: whether the measured cost is in the band below the budget.
        looked: genotypes whose expected cost was looked at.
    """

    genotype: Genotype
    network: nn.Module
    expected: float
    measured: float
    fits: bool
    looked: int


@dataclass
class Relaxed:
    """A relaxed network, its expected cost, and the way to a genotype.

    Args:
        task: configuration and data.
        setting: what is open.
        unit: of costs, as of a budget.
        device: where it runs.
    """

    task: Task
    setting: Relaxation
    unit: str
    device: Device
    space: SearchSpace = field(init=False)
    network: nn.Module = field(init=False)
    expected: ExpectedCost = field(init=False)
    batches: list[Batch] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Build the network.

        Raises:
            StereoError: a batch that cannot be cut into heats.
        """
        size = self.task.config.train.batch
        if size % self.setting.heats:
            raise StereoError(
                f"relaxed.heats cuts the batch into equal pieces; {size} samples (train.batch) do "
                f"not make {self.setting.heats}."
            )
        self.space = self.setting.build()
        network = self.task.relaxed(self.space, self.setting.computed)
        self.network = channels_last(network).train()
        self.device.place(self.network)
        example = self.device.move(self.task.example(self.setting.samples))
        self.expected = ExpectedCost(self.network, example, self.unit, self.setting.technology)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The architecture; neurons that are searched belong to it."""
        parts = [p for _, part in architectures(self.network) for p in part.parameters()]
        neurons = searched_neurons(self.network).values()
        return parts + [p for neuron in neurons for p in neuron.parameters()]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the task's loss with new decisions and the price of spikes, as in training.

        So what is counted while searching fires about as much as a network that is trained.
        """
        decide(network)
        setting = self.task.config.train
        with firing_rates(network) as rates:
            loss = self._decided_loss(network, batch)
        return loss + rates.cost(setting.rate_weight, setting.spike_weight)

    def early_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the same of the network with rectifiers for neurons."""
        with rectifiers(network):
            return self.loss(network, batch)

    def judge(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss that the architecture is moved by."""
        if not self.setting.draws:
            decide(network)
            return self._decided_loss(network, batch)
        heats = [
            compared(network, partial(self._decided_loss, network, piece), self.setting.draws)
            for piece in self.task.pieces(batch, self.setting.heats)
        ]
        return torch.stack(heats).mean()

    def _decided_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return self.task.loss(network, batch)[0]

    def entropy(self) -> dict[str, Tensor]:
        """Return the mean entropy of a decision in nats, by kind, at the present softness.

        Of what is drawn and compared it has no gradient: such beliefs sharpen by themselves, and
        pushed they would decide for whatever chance or a budget set ahead at first.
        """
        found: dict[str, list[Tensor]] = {}
        for _, part in architectures(self.network):
            for kind, value in entropy(part.space, part.sharpened()).items():
                kept = value.detach() if self.setting.draws else value
                found.setdefault(kind, []).append(kept)
        neurons = [n.entropy() for n in searched_neurons(self.network).values()]
        if neurons:
            found["neurons"] = [torch.stack(neurons).mean()]
        return {kind: torch.stack(values).mean() for kind, values in found.items()}

    def anneal(self, softness: float) -> None:
        """Set how soft all mixtures are; what is drawn is none."""
        for _, part in architectures(self.network):
            part.softness = 1.0 if self.setting.draws else softness
        for neuron in searched_neurons(self.network).values():
            neuron.softness = softness

    def beliefs(self, *, with_neurons: bool = False) -> dict[str, PartBeliefs]:
        """Return the logits of all parts by name."""
        found = {}
        for name, path in self._paths().items():
            part = path.architecture
            dynamics = _dynamics(path) if with_neurons else {}
            found[name] = part.beliefs(dynamics)
        return found

    def likeliest(self) -> Genotype:
        """Return what would be decoded now, whatever it costs."""
        with torch.no_grad():
            return decode(self.space, self.beliefs(with_neurons=True))

    def decode(self, limit: float | None, slack: float) -> Decoded:
        """Return the likeliest genotype, of those within the budget if there is one.

        The expected cost comes from the activity of the whole relaxed network; a decoded one fires
        otherwise. So the found genotype is measured, and if it missed, the next is sought at an
        expected cost corrected by their ratio.

        Args:
            limit: of the cost; None for none.
            slack: share of the limit below it in which the cost shall lie.
        """
        beliefs = self.beliefs(with_neurons=True)
        if limit is None:
            return self.built(decode(self.space, beliefs), None, slack)
        found: list[Decoded] = []
        ratio, looked = 1.0, 0
        for _ in range(ROUNDS):
            low, high = (1.0 - slack) * limit / ratio, limit / ratio
            fit = decode_within(self.space, beliefs, self.cost_of, low, high, tries=60, walk=600)
            looked += fit.looked
            built = replace(self.built(fit.genotype, limit, slack), looked=looked)
            found.append(built)
            if built.fits or not fit.fits:
                break
            ratio = built.measured / max(built.expected, 1e-12)
        return min(found, key=lambda d: (not d.fits, d.measured > limit, abs(d.measured - limit)))

    def built(self, genotype: Genotype, limit: float | None, slack: float) -> Decoded:
        """Return a genotype as a network with inherited weights, and what it costs.

        Args:
            genotype: of the space.
            limit: of the cost; None for none, which every genotype fits.
            slack: as of ``decode``.
        """
        network = self.inherited(genotype, CALIBRATION)
        measured = measured_cost(
            network, self.expected.example, self.unit, self.setting.technology
        )  # fmt: skip
        return Decoded(
            genotype=genotype, network=network, expected=self.cost_of(genotype), measured=measured,
            fits=limit is None or (1.0 - slack) * limit <= measured <= limit, looked=1,
        )  # fmt: skip

    def inherited(self, genotype: Genotype, batches: int) -> nn.Module:
        """Return the network of a genotype with weights from here, in eval mode.

        Args:
            genotype: of the space.
            batches: of the first half of the data, from which its norms learn.
        """
        network = channels_last(self.task.network(genotype))
        self.device.place(network)
        inherit(self.network, network)
        calibrate(network, islice(self._calibration(), batches), self.task)
        return network

    def _calibration(self) -> Iterator[Batch]:
        """Yield the batches from which norms learn; made once, as many networks are calibrated."""
        if not self.batches:
            self.batches = [batch for batch, _ in islice(self.task.halves(), CALIBRATION)]
        yield from (self.device.move(batch) for batch in self.batches)

    def cost_of(self, genotype: Genotype) -> float:
        """Return the expected cost of a genotype from the running counts."""
        sure = beliefs_of(self.space, genotype)
        with torch.no_grad(), _at(self._paths(), sure):
            return float(self.expected.now())

    def _paths(self) -> dict[str, RelaxedPath]:
        """Return the paths by the name of their part, in order."""
        paths = [m for m in self.network.modules() if isinstance(m, RelaxedPath)]
        return dict(zip(self.space.parts, paths, strict=True))


def calibrate(network: nn.Module, batches: Iterator[Batch], task: Task) -> None:
    """Let the norms of a network learn their statistics anew; it is in eval mode afterwards."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    with torch.no_grad():
        for batch in batches:
            task.loss(network, batch)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    network.eval()


def _dynamics(path: RelaxedPath) -> dict[tuple[int, int, int], Any]:
    """Return what the searched neurons of all places have come to."""
    found = {}
    for cell in path.cells.values():
        assert isinstance(cell, RelaxedCell)
        for n, outer in enumerate(cell.neurons):
            for neuron in outer.modules():
                if isinstance(neuron, SearchedNeuron):
                    found[cell.place.layer, cell.place.level, n] = neuron.decoded()
    return found


@contextmanager
def _at(paths: Mapping[str, RelaxedPath], beliefs: Mapping[str, PartBeliefs]) -> Iterator[None]:
    """Believe something else while the block runs."""
    parts: dict[str, PartArchitecture] = {n: path.architecture for n, path in paths.items()}
    before = {
        n: ({k: v.clone() for k, v in part.state_dict().items()}, part.softness)
        for n, part in parts.items()
    }
    try:
        for name, part in parts.items():
            part.load(replace(beliefs[name], dynamics={}) if not _searches(part) else beliefs[name])
            part.softness = 1.0
        yield
    finally:
        for name, part in parts.items():
            state, part.softness = before[name]
            part.load_state_dict(state)


def _searches(part: PartArchitecture) -> bool:
    return len(part.space.neurons) > 1
