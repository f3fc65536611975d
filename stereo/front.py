"""Error over energy of several networks, as a picture (SVG) and as a table.

The picture stands alone: one file, its own style, nothing from anywhere else. Networks that no
other beats in both error and energy are filled and joined by the line of the front, a staircase:
to its upper right lies what they dominate. Budgets are upright lines.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from energy.reports.text import clean, joules, shorten
from nas.pareto import front
from stereo.errors import StereoError

if TYPE_CHECKING:
    from rich.table import Table

WIDTH, HEIGHT = 800, 480
LEFT, RIGHT, TOP, BOTTOM = 70.0, 776.0, 74.0, 424.0
LOG_FROM = 20.0
"""Ratio of the largest to the smallest energy from which on the axis is logarithmic."""

NAME_CHARS = 30
COLORS = ("#17788a", "#cf7420", "#6d54a3", "#7d9c45", "#c24d5e", "#4a72c9")
STYLE = (
    "text{font:12px system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:#1c1d21}"
    ".title{font-size:17px;font-weight:600}.soft{fill:#63666d}"
    ".grid{stroke:#e2e0da}.axis{stroke:#9699a1}.budget{stroke:#b3362c;stroke-dasharray:5 4}"
    ".limit{fill:#b3362c}.front{fill:none;stroke:#1c1d21;stroke-width:1.5}"
    ".halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}"
)
_CHAR, _LINE = 6.9, 14.0  # of the letters: mean width, height


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One network.

    Attributes:
        name: as it is shown.
        error: lower is better; unit as the label of the axis says.
        mj: energy of an inference in millijoules, positive.
        method: how it was found; networks of one method share a color.
        spread: deviation of the error over seeds; None for one run.
    """

    name: str
    error: float
    mj: float
    method: str = ""
    spread: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not (math.isfinite(self.error) and math.isfinite(self.mj) and self.mj > 0):
            raise StereoError(
                f"{self.name}: a front shows finite errors over positive energies; got "
                f"{self.error} at {self.mj} mJ. Leave out networks that failed."
            )
        if self.spread is not None and not (math.isfinite(self.spread) and self.spread >= 0):
            raise StereoError(f"{self.name}: a spread is 0 or more, got {self.spread}.")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: values to pixels.

    Attributes:
        low: value at its beginning.
        high: value at its end.
        start: pixel of its beginning.
        end: pixel of its end.
        log: whether equal lengths are equal ratios.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, here = (
            math.log(v) if self.log else v for v in (self.low, self.high, value)
        )  # fmt: skip
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Round values on the axis: 1, 2, 5 times powers of ten, evenly spaced unless log."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low < 1e3 else (1,)
            values = [step * 10.0**power for power in powers for step in steps]
        else:
            step = _round_step((self.high - self.low) / 8)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            values = [number * step for number in range(first, last + 1)]
        return [
            value for value in values if self.low <= value * (1 + 1e-9) <= self.high * (1 + 2e-9)
        ]


def front_table(
    points: Sequence[FrontPoint], budgets: Sequence[float] = (), *, error: str = "error"
) -> "Table":
    """Return a table of the networks in the order of their energy, those of the front marked.

    Args:
        points: networks.
        budgets: in millijoules; each network is shown with the smallest that it keeps.
        error: heading of the errors, with their unit.
    """
    from rich.table import Table
    from rich.text import Text

    kept = set(_front(points))
    table = Table(title="Error over energy", caption="* no other is better in both")
    for heading in ("", "network", "method"):
        table.add_column(heading, no_wrap=True)
    for heading in (error, "energy", *(["within"] if budgets else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, point in sorted(enumerate(points), key=lambda pair: (pair[1].mj, pair[1].error)):
        spread = "" if point.spread is None else f" +- {point.spread:.2g}"
        within = min((b for b in budgets if point.mj <= b), default=None)
        table.add_row(
            "*" if index in kept else "",
            Text(shorten(clean(point.name), NAME_CHARS)),
            Text(shorten(clean(point.method), 16)),
            f"{point.error:#.4g}{spread}",
            joules(point.mj),
            *([joules(within)] if budgets else []),
            style="bold" if index in kept else "",
        )
    return table


def front_svg(
    points: Sequence[FrontPoint],
    *,
    title: str = "Error over energy",
    error: str = "error",
    budgets: Sequence[float] = (),
) -> str:
    """Return the picture as an SVG document.

    Args:
        points: networks, at least one.
        title: above the picture.
        error: label of the upright axis, with its unit.
        budgets: in millijoules, positive.

    Raises:
        StereoError: there is nothing to draw, or a budget is not positive.
    """
    if not points:
        raise StereoError("A front needs at least one network with its error and energy.")
    if any(not (math.isfinite(budget) and budget > 0) for budget in budgets):
        raise StereoError(f"Budgets are positive numbers of millijoules, got {list(budgets)}.")
    across, upright = _axes(points, budgets)
    methods = list(dict.fromkeys(point.method for point in points))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{_text(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="20" y="30">{_text(shorten(clean(title), 80))}</text>',
        *_legend(methods),
        *_frame(across, upright, error),
        *_budgets(across, budgets),
        _staircase(points, across, upright),
        *_points(points, methods, across, upright),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _front(points: Sequence[FrontPoint]) -> list[int]:
    return front([(point.error, point.mj) for point in points])


def _axes(points: Sequence[FrontPoint], budgets: Sequence[float]) -> tuple[Axis, Axis]:
    """Return the axes of energy and error, with some room around what they show."""
    energies = [*(point.mj for point in points), *budgets]
    low, high = min(energies), max(energies)
    if high / low >= LOG_FROM:
        room = (high / low) ** 0.07
        across = Axis(low=low / room, high=high * room, start=LEFT, end=RIGHT, log=True)
    else:
        across = Axis(low=0.0, high=1.12 * high, start=LEFT, end=RIGHT)
    ends = [point.error + side * (point.spread or 0.0) for point in points for side in (-1.0, 1.0)]
    room = 0.12 * (max(ends) - min(ends)) or 0.1 * abs(ends[0]) or 1.0
    lowest = min(ends) - room
    # Errors that are all positive do not get an axis below zero.
    lowest = max(lowest, 0.0) if min(ends) >= 0 else lowest
    return across, Axis(low=lowest, high=max(ends) + room, start=BOTTOM, end=TOP)


def _round_step(least: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _frame(across: Axis, upright: Axis, error: str) -> Iterator[str]:
    """Yield grid, axes and their labels."""
    for value in upright.ticks:
        y = upright.at(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield (
            f'<text class="soft" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{_number(value)}</text>"
        )
    for value in across.ticks:
        x = across.at(value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
        yield (
            f'<text class="soft" x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">'
            f"{_number(value)}</text>"
        )
    yield f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
    scale = ", logarithmic" if across.log else ""
    middle = (LEFT + RIGHT) / 2
    yield (
        f'<text class="soft" x="{middle}" y="{BOTTOM + 40}" text-anchor="middle">'
        f"energy of an inference, mJ{scale}</text>"
    )
    middle = (TOP + BOTTOM) / 2
    yield (
        f'<text class="soft" transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">'
        f"{_text(error)}</text>"
    )


def _legend(methods: Sequence[str]) -> Iterator[str]:
    """Yield a dot and a name for each method, where there are several."""
    x = 20.0
    for index, method in enumerate(methods if len(methods) > 1 else ()):
        words = shorten(clean(method or "other"), 20)
        yield f'<circle cx="{x + 5:.1f}" cy="50" r="5" fill="{_color(index)}"/>'
        yield f'<text x="{x + 15:.1f}" y="54">{_text(words)}</text>'
        x += 35 + _CHAR * len(words)


def _budgets(across: Axis, budgets: Sequence[float]) -> Iterator[str]:
    last, y = -math.inf, TOP - 5
    for budget in sorted(set(budgets)):
        x = across.at(budget)
        # Where labels would touch, every other one stands below the border of the plot.
        y = TOP + 13 if x - last < _CHAR * len(f"{_number(budget)} mJ") and y < TOP else TOP - 5
        last = x
        yield f'<line class="budget" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
        yield (
            f'<text class="limit halo" x="{x:.1f}" y="{y}" text-anchor="middle">'
            f"{_number(budget)} mJ</text>"
        )


def _staircase(points: Sequence[FrontPoint], across: Axis, upright: Axis) -> str:
    """Return the border of what the front dominates."""
    corners = [
        (across.at(points[index].mj), upright.at(points[index].error)) for index in _front(points)
    ]
    steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners[1:])
    return (
        f'<path class="front" d="M{corners[0][0]:.1f} {TOP}V{corners[0][1]:.1f}{steps}H{RIGHT}"/>'
    )


def _points(
    points: Sequence[FrontPoint], methods: Sequence[str], across: Axis, upright: Axis
) -> Iterator[str]:
    """Yield every network: its spread, a dot and its name."""
    kept = set(_front(points))
    places = [(across.at(point.mj), upright.at(point.error)) for point in points]
    labels = _labels([shorten(clean(point.name), NAME_CHARS) for point in points], places)
    for index, (point, (x, y), (name, left, base)) in enumerate(
        zip(points, places, labels, strict=True)
    ):
        color = _color(methods.index(point.method))
        spread = "" if point.spread is None else f" +- {point.spread:.2g}"
        told = f"{clean(point.name)}: {point.error:.4g}{spread}, {joules(point.mj)}"
        yield f"<g><title>{_text(told)}</title>"
        if point.spread:
            high, low = (upright.at(point.error + s * point.spread) for s in (1, -1))
            yield (
                f'<path stroke="{color}" stroke-width="2" d="M{x - 4:.1f} {high:.1f}h8m-4 0'
                f'V{low:.1f}m-4 0h8"/>'
            )
        fill = color if index in kept else "#fff"
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{color}" '
            'stroke-width="2"/>'
        )
        yield f'<text class="halo" x="{left:.1f}" y="{base:.1f}">{_text(name)}</text></g>'


def _labels(
    names: Sequence[str], places: Sequence[tuple[float, float]]
) -> list[tuple[str, float, float]]:
    """Return each name with its left end and baseline: where it covers least of what is there."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    found = []
    for name, (x, y) in zip(names, places, strict=True):
        width = _CHAR * len(name)
        spots = [
            (x + 10, y - 7), (x - 10 - width, y - 7), (x + 10, y + 16), (x - 10 - width, y + 16),
            (x - width / 2, y - 12), (x - width / 2, y + 21),
            (x - width / 2, y - 28), (x - width / 2, y + 37),
        ]  # fmt: skip
        boxes = [(left, base - _LINE + 3, left + width, base + 3) for left, base in spots]
        costs = [_outside(box) + sum(_shared(box, other) for other in taken) for box in boxes]
        best = min(range(len(spots)), key=costs.__getitem__)
        taken.append(boxes[best])
        found.append((name, *spots[best]))
    return found


Box = tuple[float, float, float, float]


def _shared(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box) -> float:
    """Return the area of a box that lies outside of the plot, which weighs more than overlap."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return 10 * (area - _shared(box, (LEFT, TOP, WIDTH, BOTTOM)))


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _text(text: str) -> str:
    return escape(clean(text))
