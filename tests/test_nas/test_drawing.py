"""Drawings: well-formed, complete, the same every time, and nothing runs through anything."""

import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
import torch

from nas.drawing import FILL, svg, svg_of_search
from nas.errors import GenotypeError
from nas.genotype import Dynamics, Edge, Genotype, Node, Part
from nas.ops import OPS
from nas.relaxed.beliefs import PartBeliefs, reachable, stages
from nas.space import SPACES, PartSpace, SearchSpace

SVG = "{http://www.w3.org/2000/svg}"
RELU = Dynamics(neuron="relu")


def part(nodes=3, path=(0, 1, 1), ops=("conv3", "skip"), **more):
    """Return a part whose nodes read the two cells before and the node before."""
    sources = ["before", "previous", *(f"node{n}" for n in range(nodes))]
    named = [ops[i % len(ops)] for i in range(len(sources))]
    edges = [Edge(source=source, op=op) for source, op in zip(sources, named)]
    cell = tuple(Node(edges=tuple(edges[n : n + 2])) for n in range(nodes))
    return Part(dimension=2, path=path, nodes=cell, **more)


def drawn(part, space="some"):
    return ElementTree.fromstring(svg(Genotype(space=space, parts={"feature": part})))


def words(tree):
    return [element.text for element in tree.iter(f"{SVG}text")]


def boxes(tree):
    """Return ``(x, y, right, bottom)`` of all rectangles but the paper."""
    found = [r for r in tree.iter(f"{SVG}rect") if "x" in r.attrib]
    corners = [[float(r.attrib[k]) for k in ("x", "y", "width", "height")] for r in found]
    return [(x, y, x + width, y + height) for x, y, width, height in corners]


@pytest.mark.parametrize("nodes", [1, 2, 3, 6])
def test_everything_is_named_and_nothing_overlaps(nodes):
    tree = drawn(part(nodes, ops=tuple(sorted(OPS))))
    written = words(tree)
    ops = [edge.op for node in part(nodes, ops=tuple(sorted(OPS))).nodes for edge in node.edges]
    assert [word for word in written if word in OPS] == ops
    for name in ("before", "previous", "concat", "stem", "layer0", "layer2", "end", "feature, 2-D"):
        assert written.count(name) == 1
    for n in range(nodes):
        assert f"node{n}: lif" in written
    for (x, y, right, bottom), (u, v, right_2, bottom_2) in combinations(boxes(tree), 2):
        assert right <= u or right_2 <= x or bottom <= v or bottom_2 <= y
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    assert width == (800 if nodes <= 3 else 800 + 172 * (nodes - 3))
    assert all(x >= 0 and r <= width and b <= height for x, _, r, b in boxes(tree))


def test_lines_do_not_run_through_boxes():
    """Edges go down at one place and right at one height; both are outside of every node."""
    tree = drawn(part(3))
    nodes = [box for box in boxes(tree) if box[2] - box[0] == 160]
    assert len(nodes) == 3
    ways = [p.attrib["d"] for p in tree.iter(f"{SVG}path") if " V " in p.attrib["d"]]
    edges = [re.fullmatch(r"M (\S+) (\S+) V \S+ Q \S+ (\S+) \S+ \S+ H (\S+)", way) for way in ways]
    edges = [[float(value) for value in edge.groups()] for edge in edges if edge]
    assert len(edges) == 6
    for x, y, y_end, x_end in edges:
        for left, top, right, bottom in nodes:
            assert not (left < x < right and y < bottom and y_end > top)
            assert not (top < y_end < bottom and x < right and x_end > left)


def test_analog_stages_have_another_color():
    layers = ((Dynamics(),) * 3, (RELU,) * 3, (Dynamics(decay=0.25),) * 3)
    tree = drawn(part(stem=RELU, dynamics=layers))
    circles = [c for c in tree.iter(f"{SVG}circle") if c.attrib["r"] == "9.0"]
    spiking, analog, _ = FILL.values()
    assert [c.attrib["fill"] for c in circles] == [analog, spiking, analog, spiking, spiking]
    assert circles[2].find(f"{SVG}title").text == "layer1: relu; relu; relu"
    written = words(tree)
    assert "node0: lif / relu" in written
    assert written.count("lif, decay 0.2, threshold 0.5, b 3") == 3
    assert written.count("lif, decay 0.25, threshold 0.5, b 3") == 3
    assert written.count("relu") == 3


def test_constants_of_channels_and_of_types_are_drawn():
    own = Dynamics(neuron="current", decay=(0.1, 0.3), constants={"current_decay": 0.75})
    written = words(drawn(part(1, path=(0,), dynamics=((own,),))))
    assert written.count("decay 0.1..0.3, threshold 0.5, b 3") == 1
    assert written.count("current, decay 0.1..0.3, threshold 0.5, b 3") == 1
    assert written.count("current_decay 0.75") == 2


def test_names_cannot_break_the_drawing():
    name = "</text><script>alert(1)</script> & \"'"
    tree = ElementTree.fromstring(svg(Genotype(space=name, parts={name: part()})))
    assert f"Genotype of space {name}" in words(tree)
    assert not list(tree.iter(f"{SVG}script"))


def test_a_small_drawing_line_by_line():
    """One node, one layer: the path goes from (94, 136) over (415, 170) to (736, 170)."""
    node = Node(edges=(Edge(source="previous", op="conv3"),), neuron="relu")
    text = svg(
        Genotype(space="tiny", parts={"feature": Part(dimension=2, path=(1,), nodes=(node,))})
    )
    lines = text.splitlines()
    assert lines[0] == (
        '<svg xmlns="http://www.w3.org/2000/svg" width="800" height="424" '
        'viewBox="0 0 800 424" font-family="sans-serif">'
    )
    pen = 'stroke="#24292f" stroke-width="2.50"></line>'
    assert [line for line in lines if line.startswith("<line")] == [
        f'<line x1="94.0" y1="136.0" x2="415.0" y2="170.0" {pen}',
        f'<line x1="415.0" y1="170.0" x2="736.0" y2="170.0" {pen}',
    ]
    # previous is at (80, 252) and 28 high, so its edge leaves at (119, 280); node0 is at (211, 298)
    # and 46 high, so the only edge arrives at 298 + 23.
    assert any(
        'd="M 119.0 280.0 V 313.0 Q 119.0 321.0 127.0 321.0 H 207.0"' in line for line in lines
    )
    assert any('<rect x="211.0" y="298.0" width="160.0" height="46.0" rx="7" fill="#fdeadb"' in line
               for line in lines)  # fmt: skip


# ---- a search


def beliefs_of(space, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return PartBeliefs(
        edges=tuple(torch.zeros(len(space.sources(node))) for node in range(space.nodes)),
        ops=torch.zeros(len(space.pairs), len(space.candidates)),
        steps={step: torch.randn(len(levels), generator=generator, requires_grad=True)
               for step, levels in reachable(space).items()},
        spiking={stage: torch.randn((), generator=generator, requires_grad=True)
                 for stage in stages(space)} if space.analog else {},
    )  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_searches_of_all_spaces_are_drawn(name):
    space = SPACES[name]()
    text = svg_of_search(space, {part: beliefs_of(own) for part, own in space.parts.items()})
    tree = ElementTree.fromstring(text)
    places = sum(len(row) for own in space.parts.values() for row in own.places)
    steps = sum(len(list(own.steps)) + len(own.places[-1]) for own in space.parts.values())
    assert len(list(tree.iter(f"{SVG}circle"))) == 2 + places + 2 * len(space.parts)
    assert len(list(tree.iter(f"{SVG}line"))) == steps
    shares = [w for w in words(tree) if w.endswith("% spiking")]
    assert len(shares) == sum(own.layers + 2 for own in space.parts.values() if own.analog)


def test_lines_of_a_search_are_as_wide_as_they_are_likely():
    """From the stem with odds 3 : 1; then 1 : 1 from level 0 and 0 : 1 : 0 from level 1."""
    space = PartSpace(dimension=2, layers=2, candidates=("skip",), levels=3)
    sure = torch.tensor([-100.0, 0.0, -100.0])
    steps = {(0, 0): torch.tensor([3.0, 1.0]).log(), (1, 0): torch.zeros(2), (1, 1): sure}
    own = replace(beliefs_of(space), steps=steps)
    tree = ElementTree.fromstring(
        svg_of_search(SearchSpace(name="s", parts={"one": space}), {"one": own})
    )
    lines = list(tree.iter(f"{SVG}line"))
    expected = [0.75, 0.25, 0.375, 0.375, 0.0, 0.25, 0.0, 0.375, 0.625, 0.0]
    assert [line.find(f"{SVG}title").text for line in lines] == [f"{p:.3f}" for p in expected]
    widths = [float(line.attrib["stroke-width"]) for line in lines]
    assert widths == pytest.approx([0.6 + 7 * p for p in expected], abs=0.006)


def test_beliefs_of_another_space_are_not_drawn():
    space = SPACES["spikedhs"]()
    wrong = beliefs_of(PartSpace(dimension=2, layers=1, candidates=("skip",)))
    with pytest.raises(GenotypeError, match="logits of"):
        svg_of_search(space, dict.fromkeys(space.parts, wrong))
