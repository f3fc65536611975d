"""Genotypes and searches as SVG: the trellis with its path, and the cell as a graph.

A drawing is text that stands for itself: no scripts, no fonts or styles from elsewhere, the same
bytes for the same genotype.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise

from nas.genotype import Constant, Dynamics, Genotype, Part
from nas.relaxed.beliefs import PartBeliefs, gates, reach, reachable, stages
from nas.space import ENTRY, PartSpace, SearchSpace

WIDTH = 800
MARGIN = 24
ROW = 34
INK, FAINT, PAPER = "#24292f", "#c3cad2", "#fcfcfa"
SPIKING, ANALOG, INPUT = "#2b6cb0", "#c05621", "#57606a"
FILL = {SPIKING: "#e3eefa", ANALOG: "#fdeadb", INPUT: "#eff1f3"}
BOX, BOX_HEIGHT = 160, 46
LABEL = 92
"""Room on the left of a node for the names of its operations."""

STEP = BOX / 2 + LABEL


def svg(genotype: Genotype) -> str:
    """Return a drawing of a genotype: of each part the path through the trellis, then the cell."""
    drawn: list[str] = []
    top = _heading(drawn, f"Genotype of space {genotype.space}")
    for name, part in genotype.parts.items():
        drawn.append(_text(MARGIN, top, f"{name}, {part.dimension}-D", size=15, bold=True))
        top = _path_of(drawn, part, top + 18)
        top = _layers(drawn, part, _cell(drawn, part, top + 22)) + 36
    widest = max(len(part.nodes) for part in genotype.parts.values())
    return _document(drawn, top, _width(widest))


def svg_of_search(space: SearchSpace, beliefs: Mapping[str, PartBeliefs]) -> str:
    """Return a drawing of what a search believes of the paths: the wider a line, the likelier.

    Args:
        space: of the search.
        beliefs: of each part.

    Raises:
        GenotypeError: beliefs that do not fit the space.
    """
    drawn: list[str] = []
    top = _heading(drawn, f"Search in space {space.name}: probabilities of steps and places")
    for name, own in space.parts.items():
        beliefs[name].check(own)
        drawn.append(_text(MARGIN, top, f"{name}, {own.dimension}-D", size=15, bold=True))
        top = _believed_paths(drawn, own, beliefs[name], top + 18) + 30
    return _document(drawn, top, WIDTH)


def _path_of(drawn: list[str], part: Part, top: float) -> float:
    """Draw the trellis of a genotype; return where it ends."""
    levels = range(max(part.path) + 1)
    colors = [_color(nodes) for nodes in part.stages.values()]
    at = _grid(drawn, list(part.stages), levels, top)
    walked = [(-1, ENTRY), *enumerate(part.path), (len(part.path), part.path[-1])]
    for place in ((layer, level) for layer in range(len(part.path)) for level in levels):
        drawn.append(_circle(*at[place], 4, FAINT, FAINT))
    for here, there in pairwise(walked):
        drawn.append(_line(*at[here], *at[there], INK, 2.5))
    for place, color in zip(walked, colors, strict=True):
        drawn.append(_circle(*at[place], 9, FILL[color], color, title=_fires(part, place[0])))
    return max(y for _, y in at.values()) + 20


def _believed_paths(drawn: list[str], space: PartSpace, beliefs: PartBeliefs, top: float) -> float:
    """Draw the trellis of a search; return where it ends."""
    found = gates(space, beliefs)
    visited = {place: float(p.detach()) for place, p in reach(space, found.transitions).items()}
    visited[-1, ENTRY] = 1.0
    deepest = max(level for _, level in visited)
    at = _grid(drawn, list(stages(space)), range(deepest + 1), top)
    end = at[space.layers, ENTRY]
    for (layer, level), levels in reachable(space).items():
        chances = found.transitions[layer, level].detach().tolist()
        for to_level, chance in zip(levels, chances, strict=True):
            went = chance * visited[layer - 1, level]
            ends = (*at[layer - 1, level], *at[layer, to_level])
            drawn.append(_line(*ends, _mix(went), 0.6 + 7 * went, title=f"{went:.3f}"))
    for level, p in ((pl.level, visited[pl.layer, pl.level]) for pl in space.places[-1]):
        ends = (*at[space.layers - 1, level], *end)
        drawn.append(_line(*ends, _mix(p), 0.6 + 7 * p, title=f"{p:.3f}"))
    visited[space.layers, ENTRY] = 1.0
    bottom = max(y for _, y in at.values()) + 20
    for (layer, level), p in visited.items():
        stage = stages(space)[layer + 1]
        spiking = float(found.spiking[stage].detach()) if stage in found.spiking else 1.0
        color = SPIKING if spiking >= 0.5 else ANALOG
        title = f"{stage}, level {level}: {p:.3f}, spiking {spiking:.3f}"
        drawn.append(_circle(*at[layer, level], 3 + 8 * p, FILL[color], color, title=title))
    for layer, stage in enumerate(stages(space) if found.spiking else (), start=-1):
        share = f"{100 * float(found.spiking[stage].detach()):.0f} % spiking"
        x = at[layer, ENTRY][0]
        drawn.append(_text(x, bottom + 10, share, size=10, anchor="middle", color=INPUT))
    return bottom + (22 if found.spiking else 0)


def _grid(
    drawn: list[str], names: Sequence[str], levels: range, top: float
) -> dict[tuple[int, int], tuple[float, float]]:
    """Label layers and levels; return the point of every layer (-1 is the stem) and level."""
    left, right = MARGIN + 70, WIDTH - MARGIN - 40
    step = (right - left) / (len(names) - 1)
    at = {
        (number - 1, level): (left + step * number, top + 26 + ROW * level)
        for number in range(len(names))
        for level in levels
    }
    for number, name in enumerate(names):
        short = name.removeprefix("layer") if step < 52 else name
        drawn.append(_text(left + step * number, top + 4, short, size=11, anchor="middle"))
    for level in levels:
        y = at[-1, level][1]
        scale = "size 1" if level == 0 else f"1/{2**level}"
        drawn.append(_text(MARGIN, y + 4, scale, size=11, color=INPUT))
    return at


def _cell(drawn: list[str], part: Part, top: float) -> float:
    """Draw a cell as a staircase; return where it ends.

    What leaves a box goes down from its middle and then right into later ones, so that lines cross
    at right angles only and never run through a box.
    """
    down = {"before": (MARGIN + 39.0, top + 28), "previous": (MARGIN + 95.0, top + 68)}
    for name, (x, y) in down.items():
        drawn.append(_box(x - 39, y - 28, 78, 28, INPUT, [name]))
    first = (down["previous"][0] + LABEL, top + 86)
    corners = [(first[0] + STEP * n, first[1] + 70 * n) for n in range(len(part.nodes))]
    bus = corners[-1][0] + BOX + 26
    end = corners[-1][1] + BOX_HEIGHT + 18
    labels, boxes = [], []
    for index, (node, (x, y)) in enumerate(zip(part.nodes, corners, strict=True)):
        for place, edge in enumerate(node.edges):
            port = (x, y + BOX_HEIGHT * (place + 1) / (len(node.edges) + 1))
            drawn.append(_elbow(down[edge.source], port))
            labels.append(_label(port, edge.op))
        drawn.append(_out((x + BOX, y + BOX_HEIGHT / 2), (bus, end)))
        down[f"node{index}"] = (x + BOX / 2, y + BOX_HEIGHT)
        own = [part.cell(layer)[index] for layer in range(len(part.path))]
        kinds = " / ".join(dict.fromkeys(fires.neuron for fires in own))
        alike = all(fires == own[0] for fires in own)
        lines = [f"node{index}: {kinds}", *(_constants(own[0]) if alike else ["by layer"])]
        boxes.append(_box(x, y, BOX, BOX_HEIGHT, _color(own), lines))
    drawn.extend([*boxes, *labels, _box(bus - 33, end, 62, 26, INPUT, ["concat"])])
    return end + 26


def _width(nodes: int) -> float:
    """Return the width that a cell needs."""
    return max(WIDTH, WIDTH + STEP * (nodes - 3))


def _layers(drawn: list[str], part: Part, top: float) -> float:
    """Write how the nodes of each layer fire, where layers have dynamics of their own."""
    column = (_width(len(part.nodes)) - 2 * MARGIN - 56) / len(part.nodes)
    for layer, own in enumerate(part.dynamics):
        top += 20 if layer else 34
        drawn.append(_text(MARGIN, top, f"layer{layer}", size=11))
        for number, fires in enumerate(own):
            x, color = MARGIN + 64 + column * number, _color([fires])
            drawn.append(_circle(x, top - 4, 4, FILL[color], color))
            first, *more = [
                ", ".join([fires.neuron, *_constants(fires)[:1]]),
                *_constants(fires)[1:],
            ]
            drawn.append(_text(x + 10, top, first, size=10))
            drawn.extend(_text(x + 10, top + 12, line, size=10) for line in more)
        top += 12 * any(fires.constants for fires in own)
    return top


def _constants(node: Dynamics) -> list[str]:
    """Return the constants of a neuron in short lines; an analog one has none."""
    if _color([node]) == ANALOG:
        return []
    named = {"decay": node.decay, "threshold": node.threshold, "b": node.temperature}
    lines = [named, node.constants] if node.constants else [named]
    return [", ".join(f"{name} {_short(value)}" for name, value in of.items()) for of in lines]


def _short(value: Constant) -> str:
    ends = sorted({min(value), max(value)}) if isinstance(value, tuple) else [value]
    return "..".join(f"{end:.3g}" for end in ends)


def _fires(part: Part, layer: int) -> str:
    """Return how the nodes of a stage fire, for a tooltip."""
    stage = ("stem", *(f"layer{n}" for n in range(len(part.path))), "end")[layer + 1]
    described = (" ".join([n.neuron, *_constants(n)]) for n in part.stages[stage])
    return f"{stage}: " + "; ".join(described)


def _color(nodes: Sequence[Dynamics]) -> str:
    return SPIKING if any(node.spikes for node in nodes) else ANALOG


def _mix(p: float) -> str:
    """Return a gray between faint and ink."""
    pairs = zip(*(_channels(color) for color in (FAINT, INK)), strict=True)
    return "#" + "".join(f"{round(low + p * (high - low)):02x}" for low, high in pairs)


def _channels(color: str) -> Iterator[int]:
    return (int(color[n : n + 2], 16) for n in (1, 3, 5))


# ---- shapes


def _document(drawn: Sequence[str], height: float, width: float) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return "\n".join([head, paper, *drawn, "</svg>"]) + "\n"


def _heading(drawn: list[str], title: str) -> float:
    """Draw the title and the legend; return where they end."""
    drawn.append(_text(MARGIN, 32, title, size=17, bold=True))
    for x, color, name in ((MARGIN + 6, SPIKING, "spiking"), (MARGIN + 86, ANALOG, "analog")):
        drawn.append(_circle(x, 51, 6, FILL[color], color))
        drawn.append(_text(x + 11, 55, name, size=11))
    return 92.0


def _text(
    x: float, y: float, words: str, *, size: int, anchor: str = "start", bold: bool = False,
    color: str = INK,
) -> str:  # fmt: skip
    weight = ' font-weight="bold"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}"'
    return f"<text {where}{weight}>{escape(words)}</text>"


def _circle(x: float, y: float, radius: float, fill: str, edge: str, *, title: str = "") -> str:
    shape = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{edge}"'
    return f'<circle {shape} stroke-width="2">{_title(title)}</circle>'


def _line(
    x: float, y: float, x_end: float, y_end: float, color: str, width: float, *, title: str = ""
) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{x_end:.1f}" y2="{y_end:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width:.2f}">{_title(title)}</line>'


def _elbow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a line down and then right, with an arrow at its end."""
    (x, y), (x_end, y_end) = start, end
    way = f"M {x:.1f} {y:.1f} V {y_end - 8:.1f} Q {x:.1f} {y_end:.1f} {x + 8:.1f} {y_end:.1f} "
    line = f'<path d="{way}H {x_end - 4:.1f}" fill="none" stroke="{INK}" stroke-width="1.4"/>'
    tip = f"M {x_end - 7:.1f} {y_end - 3.5:.1f} L {x_end:.1f} {y_end:.1f} "
    return f'{line}<path d="{tip}L {x_end - 7:.1f} {y_end + 3.5:.1f} Z" fill="{INK}"/>'


def _out(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a dashed line right and then down."""
    (x, y), (x_end, y_end) = start, end
    way = f"M {x:.1f} {y:.1f} H {x_end - 8:.1f} Q {x_end:.1f} {y:.1f} {x_end:.1f} {y + 8:.1f} "
    shape = f'd="{way}V {y_end:.1f}" fill="none" stroke="{INPUT}" stroke-dasharray="3 4"'
    return f'<path {shape} stroke-width="1.2"/>'


def _label(point: tuple[float, float], words: str) -> str:
    """Return a label at the end of an edge, on a piece of paper so that lines do not cross it."""
    x, y = point
    width = 6.2 * len(words) + 8
    paper = f'x="{x - width - 10:.1f}" y="{y - 7:.1f}" width="{width:.1f}" height="14" rx="3"'
    text = _text(x - width / 2 - 10, y + 3.5, words, size=10, anchor="middle")
    return f'<rect {paper} fill="{PAPER}" stroke="{FAINT}" stroke-width="0.6"/>{text}'


def _box(x: float, y: float, width: float, height: float, color: str, lines: Sequence[str]) -> str:
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="7"'
    parts = [f'<rect {shape} fill="{FILL[color]}" stroke="{color}" stroke-width="1.5"/>']
    gap = 13 if len(lines) > 2 else 15
    first = y + height / 2 - gap / 2 * (len(lines) - 1) + 4
    for number, words in enumerate(lines):
        size = 12 if number == 0 else 10
        where = x + width / 2, first + gap * number
        parts.append(_text(*where, words, size=size, anchor="middle", bold=number == 0))
    return "".join(parts)


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
