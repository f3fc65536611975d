"""Weights of a relaxed network for the network that was decoded from it."""

from torch import nn

from nas.cell import Cell, CellPath, Fire
from nas.errors import GenotypeError
from nas.genotype import CELL_INPUTS
from nas.relaxed.ends import PerLevel
from nas.relaxed.fan import Fan, MixedOp
from nas.relaxed.path import RelaxedCell, RelaxedPath
from nas.relaxed.tied import weights_of
from nas.space import ENTRY


def inherit(relaxed: nn.Module, fixed: nn.Module) -> None:
    """Copy weights and norms of a relaxed network into one of a genotype of its space, in place.

    Args:
        relaxed: network with ``RelaxedPath`` where the other has ``CellPath``.
        fixed: network of the same widths.

    Raises:
        GenotypeError: the two do not belong together.
    """
    done: set[str] = set()
    try:
        paths = [(n, m) for n, m in fixed.named_modules() if isinstance(m, CellPath)]
        for name, path in paths:
            source = relaxed.get_submodule(name)
            assert isinstance(source, RelaxedPath)
            _inherit_path(source, path)
            _inherit_ends(relaxed, fixed, source, path, done)
            done |= {n for n, _ in fixed.named_modules() if n.startswith(f"{name}.")}
        for name, module in fixed.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if name not in done and own and not _in_neuron(fixed, name):
                module.load_state_dict(relaxed.get_submodule(name).state_dict())
    except (AttributeError, KeyError, RuntimeError) as error:
        raise GenotypeError(
            f"The network is none of the relaxed one's: {error}. Build it with the same widths "
            "and from a genotype of the same space."
        ) from error


def _inherit_path(source: RelaxedPath, path: CellPath) -> None:
    if source.space.path and tuple(path.path) != source.space.path:
        raise KeyError(f"path {list(path.path)}")
    levels = (ENTRY, ENTRY, *path.path)
    for layer, (cell, level) in enumerate(zip(path.cells, path.path, strict=True)):
        place = source.cells[f"{layer}_{level}"]
        assert isinstance(place, RelaxedCell)
        assert isinstance(cell, Cell)
        came = dict(zip(CELL_INPUTS, levels[layer : layer + 2], strict=True))
        for n, (node, edges) in enumerate(zip(cell.nodes, path.ops, strict=True)):
            assert isinstance(node, Fire)
            for edge, name, op in zip(node.edges, cell.sources[n], edges, strict=True):
                if name in came:
                    levels_of = place.inputs[name]
                    assert isinstance(levels_of, nn.ModuleDict)
                    fan = levels_of[str(came[name])]
                else:
                    fan = place.fans[name]
                _copy(_candidate(fan, n, op), edge)


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copy a state, that of shared weights too."""
    target.load_state_dict(weights_of(source, target.state_dict()))


def _candidate(fan: nn.Module, node: int, op: str) -> nn.Module:
    assert isinstance(fan, Fan)
    mixed = fan.nodes[str(node)]
    assert isinstance(mixed, MixedOp)
    return mixed.ops[op]


def _inherit_ends(
    relaxed: nn.Module, fixed: nn.Module, source: RelaxedPath, path: CellPath, done: set[str]
) -> None:
    """Copy what stands behind a path, of the level at which it ends."""
    for name, ends in relaxed.named_modules():
        if isinstance(ends, PerLevel) and ends.architecture is source.architecture:
            target = fixed.get_submodule(name)
            chosen = ends.levels[str(path.path[-1])]
            for inner, module in target.named_modules():
                here = ".".join(part for part in (name, inner) if part)
                own = dict(module.named_parameters(recurse=False))
                if own and not _in_neuron(fixed, here):
                    _copy(chosen.get_submodule(inner), module)
                done.add(here)


def _in_neuron(network: nn.Module, name: str) -> bool:
    """Whether a module belongs to a neuron: its constants come with the genotype."""
    parents = name.split(".")
    return any(
        getattr(network.get_submodule(".".join(parents[: n + 1])), "update_ops", None) is not None
        for n in range(len(parents))
        if name
    )
