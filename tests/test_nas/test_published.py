"""Published genotypes from their NumPy files, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

import nas
from nas.errors import GenotypeError
from nas.genotype import Genotype
from nas.published import OPERATIONS, read_published

# The numbers of the published logs: rows [edge, operation], then levels.
FEATURE = [[1, 1], [0, 1], [3, 2], [2, 1], [7, 1], [8, 1]]
MATCHING = [[0, 1], [1, 2], [4, 2], [3, 2], [8, 1], [6, 1]]


def shipped(name):
    return Genotype.load(Path(nas.__file__).parent / "genotypes" / f"{name}.json")


@pytest.fixture
def save(tmp_path):
    def write(name, numbers, dtype=np.int64):
        np.save(tmp_path / f"{name}.npy", np.array(numbers, dtype=dtype))
        return tmp_path / f"{name}.npy"

    return write


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float64])
def test_the_published_numbers_give_the_published_genotype(save, dtype):
    known = shipped("spikedhs")
    read = read_published(
        save("f", FEATURE, dtype), save("fp", [1, 0], dtype),
        save("m", MATCHING, dtype), save("mp", [1, 2, 2, 1], dtype),
        provenance=known.provenance,
    )  # fmt: skip
    assert read == known


def test_a_network_without_matching(save):
    read = read_published(save("f", FEATURE), save("fp", [0, 0, 1, 1, 1, 2, 2, 2]))
    assert read.parts == shipped("spikedhs_cifar").parts


def test_the_operations_of_leastereo_are_others(save):
    rows = [[0, 1], [1, 0], [3, 1], [2, 0], [6, 1], [5, 1]]
    read = read_published(save("f", rows), save("fp", [1, 1]), family="leastereo", neuron="relu")
    named = [[(e.source, e.op) for e in node.edges] for node in read.parts["feature"].nodes]
    assert named == [
        [("before", "conv3"), ("previous", "skip")],
        [("previous", "conv3"), ("before", "skip")],
        [("previous", "conv3"), ("before", "conv3")],
    ]
    assert {node.neuron for node in read.parts["feature"].nodes} == {"relu"}
    assert set(OPERATIONS) == {"spikedhs", "leastereo"}


def test_rows_in_any_order_and_cells_of_any_size(save):
    """Edge 9 is the first into node3, from ``before``; 13 the last, from ``node2``."""
    read = read_published(save("f", [[13, 2], [9, 0], [5, 1], [2, 1], [0, 1]]), save("fp", [0]))
    named = [[e.source for e in node.edges] for node in read.parts["feature"].nodes]
    assert named == [["before"], ["before"], ["before"], ["node2", "before"]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 2], "rows"), ([[1, 2, 3]], "rows"), (np.zeros((0, 2)), "rows"),
        ([[0, 3]], "operation 3; known: 0 skip, 1 snn_b3, 2 snn_b5"), ([[-1, 1]], "edge -1"),
        ([[0, 1], [0, 2]], "edge 0 twice"), ([[0, 1], [5, 1]], "no edge into node1"),
        ([[0.5, 1]], "no whole numbers"), ([[np.nan, 1]], "no whole numbers"),
        ([["a", "b"]], "no whole numbers"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_refused(tmp_path, save, rows, message):
    np.save(tmp_path / "cell.npy", np.array(rows))
    with pytest.raises(GenotypeError, match=message):
        read_published(tmp_path / "cell.npy", save("fp", [0]))


@pytest.mark.parametrize(
    ("levels", "message"),
    [([4], "levels are 0 to 3"), ([-1], "levels are"), ([[0]], "list of levels"), ([], "levels"),
     ([0, 2], "differ by at most one")],
)  # fmt: skip
def test_what_is_no_path_is_refused(save, levels, message):
    with pytest.raises(GenotypeError, match=message):
        read_published(save("f", FEATURE), save("fp", levels))


def test_nothing_is_unpickled(tmp_path, save):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harmed").touch, ())

    path = tmp_path / "pickled.npy"
    np.save(path, np.array([Harm()], dtype=object), allow_pickle=True)
    with pytest.raises(GenotypeError, match="Cannot read numbers"):
        read_published(path, save("fp", [0]))
    assert not (tmp_path / "harmed").exists()


def test_files_that_cannot_be_read_are_named(tmp_path, save):
    good = save("fp", [0])
    cut = tmp_path / "cut.npy"
    cut.write_bytes(save("f", FEATURE).read_bytes()[:-8])
    text = tmp_path / "text.npy"
    text.write_text("not numbers")
    large = tmp_path / "large.npy"
    np.save(large, np.zeros(1 << 18))
    for path in (cut, text, large, tmp_path / "missing.npy", tmp_path):
        with pytest.raises(GenotypeError, match=path.name):
            read_published(path, good)


def test_arguments_are_checked(save):
    cell, path = save("f", FEATURE), save("fp", [0])
    with pytest.raises(GenotypeError, match="Unknown family"):
        read_published(cell, path, family="darts")
    with pytest.raises(GenotypeError, match="only one"):
        read_published(cell, path, cell)
