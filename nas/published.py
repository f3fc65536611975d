"""Published genotypes of SpikeDHS and LEAStereo, as their code writes them with NumPy.

A cell is an array of rows ``[edge, operation]``. Edges are numbered node by node, sources in the
order ``before``, ``previous``, ``node0``, ...: 0 and 1 lead into node0, 2 to 4 into node1, 5 to 8
into node2. Operations are numbered in the order of the list that the cell was searched with. A path
is an array with the level of each layer. Nothing in such a file is ever unpickled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import GenotypeError
from nas.genotype import CELL_INPUTS, LEVELS, Edge, Genotype, Node, Part

OPERATIONS = {
    "spikedhs": ("skip", "snn_b3", "snn_b5"),
    "leastereo": ("skip", "conv3"),
}
"""Operations by number, of each family of files."""

LARGEST = 1 << 20
"""Bytes of a file beyond which it is no genotype."""


def read_published(
    feature_cell: str | Path,
    feature_path: str | Path,
    matching_cell: str | Path | None = None,
    matching_path: str | Path | None = None,
    *,
    family: str = "spikedhs",
    neuron: str = "lif",
    provenance: Mapping[str, Any] | None = None,
) -> Genotype:
    """Read a genotype from two ``.npy`` files per part.

    Args:
        feature_cell: cell of the feature network.
        feature_path: its path.
        matching_cell: cell of the matching network; None for a network without one.
        matching_path: its path.
        family: whose list of operations the numbers mean, a name in ``OPERATIONS``; the space of
            the genotype has this name.
        neuron: of all nodes, with the published constants; LEAStereo's own is ``relu``.
        provenance: for the genotype.

    Raises:
        GenotypeError: a file that cannot be read, or that holds no cell or path.
    """
    if family not in OPERATIONS:
        raise GenotypeError(
            f"Unknown family {family!r} of published genotypes; known: {', '.join(OPERATIONS)}."
        )
    if (matching_cell is None) != (matching_path is None):
        raise GenotypeError("A matching network has a cell and a path; only one of them was given.")
    files = {"feature": (2, feature_cell, feature_path)}
    if matching_cell is not None and matching_path is not None:
        files["matching"] = (3, matching_cell, matching_path)
    parts = {
        name: Part(
            dimension=dimension,
            path=_path(path),
            nodes=_cell(cell, OPERATIONS[family], neuron),
        )
        for name, (dimension, cell, path) in files.items()
    }
    return Genotype(space=family, parts=parts, provenance=dict(provenance or {}))


def _cell(path: str | Path, operations: tuple[str, ...], neuron: str) -> tuple[Node, ...]:
    """Return the nodes of a cell, edges in the order of the rows."""
    rows = _numbers(path, "a cell is a list of rows [edge, operation]")
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
        raise GenotypeError(
            f"{path} holds an array {list(rows.shape)}; a cell is a list of rows [edge, operation]."
        )
    edges: dict[int, list[Edge]] = {}
    for number, operation in rows.tolist():
        if operation not in range(len(operations)):
            named = ", ".join(f"{n} {name}" for n, name in enumerate(operations))
            raise GenotypeError(f"{path} has operation {operation}; known: {named}.")
        node, source = _ends(path, number)
        own = edges.setdefault(node, [])
        if source in (edge.source for edge in own):
            raise GenotypeError(f"{path} has edge {number} twice.")
        own.append(Edge(source=source, op=operations[operation]))
    missing = sorted(set(range(max(edges) + 1)) - set(edges))
    if missing:
        raise GenotypeError(f"{path} has no edge into " + ", ".join(f"node{n}" for n in missing))
    return tuple(Node(neuron=neuron, edges=tuple(edges[node])) for node in sorted(edges))


def _ends(path: str | Path, number: int) -> tuple[int, str]:
    """Return the node that an edge leads into, and its source, from its number."""
    if not 0 <= number < LARGEST:
        raise GenotypeError(f"{path} has edge {number}; edges are numbered from 0.")
    node, first = 0, 0
    while number >= first + len(CELL_INPUTS) + node:
        first += len(CELL_INPUTS) + node
        node += 1
    sources = (*CELL_INPUTS, *(f"node{n}" for n in range(node)))
    return node, sources[number - first]


def _path(path: str | Path) -> tuple[int, ...]:
    levels = _numbers(path, "a path is a list of levels")
    if levels.ndim != 1 or not len(levels):
        raise GenotypeError(
            f"{path} holds an array {list(levels.shape)}; a path is a list of levels."
        )
    found = tuple(int(level) for level in levels.tolist())
    if any(level not in range(LEVELS) for level in found):
        raise GenotypeError(f"{path} holds {list(found)}; levels are 0 to {LEVELS - 1}.")
    return found


def _numbers(path: str | Path, expected: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return whole numbers from a ``.npy`` file, without ever unpickling."""
    try:
        size = Path(path).stat().st_size
        if size > LARGEST:
            raise GenotypeError(f"{path} has {size} bytes, too many for a genotype; {expected}.")
        with Path(path).open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except GenotypeError:
        raise
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise GenotypeError(f"Cannot read numbers from {path}: {error}; {expected}.") from error
    if found.dtype.kind not in "iuf" or not np.array_equal(found, np.trunc(found)):
        raise GenotypeError(f"{path} holds {found.dtype} that are no whole numbers; {expected}.")
    return found.astype(np.int64)
