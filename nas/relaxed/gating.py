"""What an account of the expected energy reads off a relaxed network, as attributes of modules.

``gate``: probability that the module is in the decoded network, given that what it lies in is.
``spiking``: probability that what a module emits is spikes. ``once``: probability that it runs once
instead of at every time step. All are tensors with gradients to the architecture.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nas.genotype import CELL_INPUTS
from nas.relaxed.architecture import Choices, PartArchitecture, decide_parts
from nas.relaxed.ends import PerLevel
from nas.relaxed.fan import Fan, MixedOp
from nas.relaxed.hybrid import HybridNeuron, Readout
from nas.relaxed.path import RelaxedCell, RelaxedFire, RelaxedPath
from nas.relaxed.tied import untied_numel
from nas.temporal import SearchedNeuron

Marks = list[tuple[nn.Module, str, Tensor]]
"""Modules, names of attributes and their values."""


class Gates:
    """The probabilities of a relaxed network and who shows them; a space has thousands of modules.

    Args:
        model: relaxed network; its attribute ``behind`` names modules that run as often as the
            last stage.
    """

    def __init__(self, model: nn.Module) -> None:
        kinds = RelaxedPath | RelaxedFire | PerLevel
        modules = list(model.modules())
        self._parts = [module for module in modules if isinstance(module, PartArchitecture)]
        self._fans = [module for module in modules if isinstance(module, Fan)]
        self._readouts = [module for module in modules if isinstance(module, Readout)]
        self._showing = [module for module in modules if isinstance(module, kinds)]
        self._behind = [model.get_submodule(name) for name in getattr(model, "behind", ())]

    def marks(self) -> Marks:
        """Decide, without chance, and return all probabilities, always in the same order."""
        decide_parts(self._parts, sampled=False)
        marks: Marks = []
        for module in self._showing:
            if isinstance(module, RelaxedPath):
                _mark_path(module, marks)
            elif isinstance(module, RelaxedFire):
                _mark_fire(module, marks)
            elif isinstance(module, PerLevel):
                _mark_ends(module, marks)
        for once in (part.now.once["end"] for part in self._parts[-1:] if part.now.once):
            marks += [(module, "once", once) for module in self._behind]
        return marks

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show all probabilities as attributes while the block runs.

        Every candidate runs by itself meanwhile, so that its work can be told from that of others.
        """
        marks = self.marks()
        try:
            for module, attribute, value in marks:
                vars(module)[attribute] = value  # past nn.Module's own checks, which take time
            for fan in self._fans:
                fan.together = False
            for readout in self._readouts:
                readout.counting = True
            yield
        finally:
            for readout in self._readouts:
                readout.counting = False
            for fan in self._fans:
                fan.together = True
            for module, attribute, _ in marks:
                vars(module).pop(attribute, None)


@contextmanager
def gated(model: nn.Module) -> Iterator[None]:
    """Decide, and show all probabilities of a model as attributes while the block runs."""
    with Gates(model).shown():
        yield


def expected_parameters(model: nn.Module) -> Tensor:
    """Return the expected number of weights of the decoded network; within ``gated``."""
    total = torch.zeros((), dtype=torch.float64)
    gates = {"": torch.ones((), dtype=torch.float64)}
    for name, module in model.named_modules():
        if name:
            own = getattr(module, "gate", None)
            outer = gates[name.rpartition(".")[0]]
            gates[name] = outer if own is None else outer * own
        searched = isinstance(module, PartArchitecture | nn.ParameterDict | nn.ParameterList)
        if not searched and not isinstance(module, SearchedNeuron):
            total = total + gates[name] * untied_numel(module)
    return total


def _mark_path(path: RelaxedPath, marks: Marks) -> None:
    choices = path.architecture.now
    for cell in path.cells.values():
        assert isinstance(cell, RelaxedCell)
        _mark_cell(cell, choices, marks)


def _mark_cell(cell: RelaxedCell, choices: Choices, marks: Marks) -> None:
    place = cell.place.layer, cell.place.level
    stage = f"layer{cell.place.layer}"
    marks.append((cell, "gate", choices.reach[place]))
    if choices.once:
        marks.append((cell, "once", choices.once[stage]))
    came_previous, came_before = choices.arrivals[place]
    for source, came in zip(CELL_INPUTS, (came_before, came_previous), strict=True):
        levels = cell.inputs[source]
        assert isinstance(levels, nn.ModuleDict)
        for level, fan in levels.items():
            marks.append((fan, "gate", came[int(level)]))
            _mark_fan(fan, source, choices, marks)
    for source, fan in cell.fans.items():
        _mark_fan(fan, source, choices, marks)
    _mark_neurons(cell.neurons, choices.spiking.get(stage), marks)


def _mark_fan(fan: nn.Module, source: str, choices: Choices, marks: Marks) -> None:
    assert isinstance(fan, Fan)
    for node, mixed in fan.nodes.items():
        assert isinstance(mixed, MixedOp)
        marks.append((mixed, "gate", choices.edges[int(node), source]))
        shares = choices.each_op[int(node), source]
        for op, share in zip(mixed.ops.values(), shares, strict=True):
            marks.append((op, "gate", share))


def _mark_fire(fire: RelaxedFire, marks: Marks) -> None:
    choices = fire.architecture.now
    if choices.once:
        marks.append((fire, "once", choices.once[fire.stage]))
    _mark_neurons([fire.neuron], choices.spiking.get(fire.stage), marks)


def _mark_ends(ends: PerLevel, marks: Marks) -> None:
    last = ends.architecture.space.layers - 1
    for level, module in ends.levels.items():
        marks.append((module, "gate", ends.architecture.now.reach[last, int(level)]))


def _mark_neurons(
    neurons: Iterable[nn.Module], spiking: Tensor | None, marks: Marks
) -> None:  # fmt: skip
    for neuron in neurons:
        if isinstance(neuron, HybridNeuron) and spiking is not None:
            marks.append((neuron, "spiking", spiking))
