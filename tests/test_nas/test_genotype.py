"""Genotypes: round trip, checks, and the parameter counts that published settings give."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.cell import CellPath
from nas.dims import ConvNorm
from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype, Node, Part
from nas.ops import OPS
from stereo.config import load_genotype


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_published_stereo_genotype():
    genotype = load_genotype("spikedhs")
    feature, matching = genotype.parts["feature"], genotype.parts["matching"]
    assert (feature.dimension, feature.path) == (2, (1, 0))
    assert (matching.dimension, matching.path) == (3, (1, 2, 2, 1))
    # rows [edge, op] as published; op 1 is b3, op 2 is b5
    named = [[(e.source, e.op) for e in node.edges] for node in matching.nodes]
    assert named == [
        [("before", "snn_b3"), ("previous", "snn_b5")],
        [("node0", "snn_b5"), ("previous", "snn_b5")],
        [("node1", "snn_b3"), ("previous", "snn_b3")],
    ]


def test_parameter_counts_of_the_cells_at_published_settings():
    """30,384 and 782,784 parameters at filter multiplier 8, without stem and head."""
    parts = load_genotype("spikedhs").parts
    assert count(CellPath(parts["feature"], 24, 8)) == 30_384
    assert count(CellPath(parts["matching"], 24, 8)) == 782_784


def test_parameter_count_of_the_published_cifar_network():
    """14,293,758: stem 3 -> 144, eight cells at multiplier 48, linear and norm 576 -> 10."""
    cells = CellPath(load_genotype("spikedhs_cifar").parts["feature"], 144, 48)
    head = nn.Sequential(nn.Linear(cells.out_channels, 10), nn.BatchNorm1d(10))
    assert count(ConvNorm(2, 3, 144)) + count(cells) + count(head) == 14_293_758


def test_round_trip_through_json(tmp_path):
    genotype = load_genotype("spikedhs")
    genotype.save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == genotype
    names = {e["op"] for e in json.loads((tmp_path / "g.json").read_text())["parts"]["feature"][
        "nodes"][0]["edges"]}  # fmt: skip
    assert names <= set(OPS)


def test_drawing_shows_path_and_edges():
    text = load_genotype("spikedhs").drawing()
    assert "matching (3-D), path 1 2 2 1" in text
    assert "  x1/4   .  o  o  ." in text
    assert "snn_b5(node0)" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=7), "version 1, found 7"),
        (lambda d: d.pop("parts"), "malformed"),
        (lambda d: d["parts"]["feature"].update(path=[0, 2]), "differ by at most one level"),
        (lambda d: d["parts"]["feature"].update(path=[4]), "between 0 and 3"),
        (lambda d: d["parts"]["feature"].update(path=[]), "at least one layer"),
        (lambda d: d["parts"]["feature"].update(dimension=1), "dimension 2 or 3"),
        (lambda d: d["parts"]["feature"]["nodes"][0].update(edges=[]), "at least one edge"),
        (lambda d: d["parts"]["feature"]["nodes"][0].update(neuron="x"), "Unknown neuron 'x'"),
        (lambda d: d["parts"]["feature"]["nodes"][0]["edges"][0].update(op="x"), "operation 'x'"),
        (
            lambda d: d["parts"]["feature"]["nodes"][0]["edges"][0].update(source="node2"),
            "node0 has an edge from 'node2'",
        ),
        (lambda d: d["parts"]["feature"]["nodes"][0].update(extra=1), "malformed"),
    ],
)
def test_bad_genotypes_are_refused(change, message):
    document = json.loads(json.dumps(load_genotype("spikedhs").to_dict()))
    change(document)
    with pytest.raises(GenotypeError, match=message):
        Genotype.from_dict(document)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "\xff"])
def test_unreadable_files_are_refused(tmp_path, content):
    path = tmp_path / "g.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(GenotypeError):
        Genotype.load(path)


@pytest.mark.parametrize("name", sorted(OPS))
@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("path", [(0,), (1, 0), (0, 1, 2, 3)])
def test_every_op_builds_in_both_dimensions_at_odd_sizes(name, dimension, path):
    nodes = (
        Node(edges=(Edge(source="before", op=name), Edge(source="previous", op=name))),
        Node(edges=(Edge(source="node0", op=name),)),
    )
    cells = CellPath(Part(dimension=dimension, path=path, nodes=nodes), 4, 2, outputs=2)
    size = (11, 7) if dimension == 2 else (5, 9, 7)
    out = cells((torch.rand(2, 3, 4, *size) < 0.4).float())
    shrunk = tuple(-(-n // 2 ** path[-1]) for n in size)
    assert out.shape == (2, 3, 2 * 2 * 2 ** path[-1], *shrunk)
    assert bool(((out == 0) | (out == 1)).all()), "cells pass on spikes only"
    if name == "none":  # no current: nothing fires, and there is nothing to learn
        assert not out.any()
        assert not list(cells.parameters())
        return
    out.sum().backward()
    assert all(p.grad is not None for p in cells.parameters())


# ---- dynamics


def with_dynamics(channels=2):
    edges = (Edge(source="before", op="snn_b3"),)
    own = (
        (Dynamics(neuron="alif", decay=0.4, constants={"adaptation": 0.2}),),
        (Dynamics(neuron="current", decay=(0.1, 0.9) * channels, temperature=2.0,
                  constants={"current_decay": (0.3, 0.6) * channels}),),
    )  # fmt: skip
    part = Part(dimension=2, path=(0, 1), nodes=(Node(edges=edges),), dynamics=own)
    return Genotype(space="test", parts={"feature": part})


def test_dynamics_of_each_layer_survive_the_file(tmp_path):
    genotype = with_dynamics()
    genotype.save(tmp_path / "g.json")
    assert Genotype.load(tmp_path / "g.json") == genotype
    drawing = genotype.drawing()
    assert "layer 0: alif[decay 0.4" in drawing
    assert "layer 1: current[decay 0.1..0.9, threshold 0.5, b 2, current_decay 0.3..0.6]" in drawing


def test_what_does_not_fire_is_drawn_without_constants():
    part = with_dynamics().parts["feature"]
    analog = (Dynamics(neuron="relu", decay=0.4),)
    nodes = part.nodes * 2
    layers = ((*analog, *analog), (*analog, Dynamics()))
    mixed = replace(part, nodes=nodes, dynamics=layers)
    drawing = Genotype(space="test", parts={"feature": mixed}).drawing()
    assert "layer 0: relu\n" in drawing
    assert "layer 1: relu, lif[" in drawing


def test_layers_fire_by_their_own_dynamics():
    path = CellPath(with_dynamics().parts["feature"], inputs=3, channels=2, outputs=1)
    first, second = (cell.nodes[0].neuron for cell in path.cells)
    assert (type(first).__name__, type(second).__name__) == ("ALIF", "CurrentLIF")
    assert first.constants().adaptation == 0.2
    assert second.constants().decay.shape == (4, 1, 1)
    assert second.constants().surrogate.temperature == 2.0
    out = path((torch.randn(3, 1, 3, 8, 8) > 0).float())
    assert out.shape == (3, 1, 4, 4, 4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"decay": 1.2}, "decay lies between 0 and 1, got 1.2"),
        ({"decay": (0.2, float("nan"))}, "decay lies between"),
        ({"decay": ()}, "decay is a number, or one per channel"),
        ({"temperature": 0.0}, "temperature lies between 1e-06"),
        ({"constants": {"current_decay": 0.5}}, "No neuron 'lif' with these constants"),
        ({"neuron": "what"}, "Unknown neuron"),
    ],
)
def test_constants_without_meaning_are_refused(wrong, words):
    with pytest.raises(GenotypeError, match=words):
        Dynamics(**wrong)


@pytest.mark.parametrize("decay", ["fast", None, [0.1, "x"], [], {"a": 1}, True])
def test_a_file_with_odd_constants_is_refused(decay):
    document = with_dynamics().to_dict()
    document["parts"]["feature"]["dynamics"] = [[{"decay": 0.1}], [{"decay": decay}]]
    with pytest.raises(GenotypeError):
        Genotype.from_dict(document)


def test_dynamics_must_fit_the_part():
    edges = (Edge(source="before", op="skip"),)
    with pytest.raises(GenotypeError, match=r"expected \[1, 1\]"):
        Part(dimension=2, path=(0, 1), nodes=(Node(edges=edges),), dynamics=((Dynamics(),),))
    with pytest.raises(GenotypeError, match="belong to one layer"):
        Part(dimension=2, path=(0,), nodes=(Node(edges=edges, decay=(0.1, 0.2)),))
