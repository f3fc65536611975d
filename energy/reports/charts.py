"""Charts as inline SVG.

Lengths along x are percent and those along y pixels, without a view box: a chart takes the width of
the page while its letters keep their size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from energy.reports.text import clean, shorten, si

ROW_PX = 21
LABEL_CHARS = 34
LEFT_PERCENT, BARS_PERCENT = 31.0, 52.0
COLORS = 8
"""Colors of a stack; the last is for all that have none of their own."""


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: name; its middle is left out where it is long.
        value: length, in the unit of the others, not negative.
        text: the value as it is shown.
        color: name of a color of the page.
    """

    label: str
    value: float
    text: str
    color: str


def bars(rows: Sequence[Bar], title: str) -> str:
    """Return horizontal bars from zero, each with its name before it and its value behind."""
    top = max((row.value for row in rows), default=0.0) or 1.0
    parts = [f'<svg height="{ROW_PX * len(rows) + 4}" role="img" aria-label="{_text(title)}">']
    for index, row in enumerate(rows):
        y = ROW_PX * index
        width = BARS_PERCENT * row.value / top
        parts.append(
            f"<g><title>{_text(row.label)}: {_text(row.text)}</title>"
            f'<text x="{LEFT_PERCENT - 1}%" y="{y + 15}" text-anchor="end">'
            f"{_text(shorten(clean(row.label), LABEL_CHARS))}</text>"
            f'<rect x="{LEFT_PERCENT}%" y="{y + 3}" width="{width:.3f}%" height="{ROW_PX - 6}" '
            f'rx="2" fill="var(--{row.color})"/>'
            f'<text class="soft" x="{LEFT_PERCENT + width + 0.7:.3f}%" y="{y + 15}">'
            f"{_text(row.text)}</text></g>"
        )
    return "".join([*parts, "</svg>"])


def meter(value: float, top: float, color: str) -> str:
    """Return a bar for a cell of a table."""
    width = 100 * value / top if top else 0.0
    return (
        '<svg height="16" aria-hidden="true">'
        f'<rect x="0" y="2" width="{width:.3f}%" height="12" rx="2" fill="var(--{color})"/></svg>'
    )


def stack_of(series: Sequence[tuple[str, Sequence[float]]]) -> list[tuple[str, list[float]]]:
    """Return the largest series, and the sum of the others as one, all of the same length."""
    length = max((len(values) for _, values in series), default=0)
    filled = [(name, [*values, *[0.0] * (length - len(values))]) for name, values in series]
    ordered = sorted(filled, key=lambda item: -sum(item[1]))
    if len(ordered) <= COLORS:
        return ordered
    rest = ordered[COLORS - 1 :]
    summed = [sum(step) for step in zip(*(values for _, values in rest), strict=True)]
    return [*ordered[: COLORS - 1], (f"{len(rest)} other layers", summed)]


def columns(series: Sequence[tuple[str, Sequence[float]]], title: str) -> str:
    """Return stacked columns, one per time step, with their sums above them.

    Args:
        series: at most ``COLORS``, of the same length, from the foot of the stack upwards.
        title: for those who cannot see it.
    """
    plot_px, top_px, left = 220, 24, 7.0
    sums = [sum(step) for step in zip(*(values for _, values in series), strict=True)]
    top = _round_up(max(sums, default=0.0))
    parts = [f'<svg height="{plot_px + top_px + 40}" role="img" aria-label="{_text(title)}">']
    for part in range(5):
        y = top_px + plot_px * (1 - part / 4)
        parts.append(
            f'<line x1="{left}%" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="soft" x="{left - 0.8}%" y="{y + 4:.1f}" text-anchor="end">'
            f"{si(top * part / 4)}</text>"
        )
    pitch = (100 - left) / max(len(sums), 1)
    width = min(0.7 * pitch, 9.0)
    every = math.ceil(len(sums) / 12)
    for step, total in enumerate(sums):
        middle = left + pitch * (step + 0.5)
        parts.append(_column(series, step, (middle - width / 2, width), (top_px, plot_px), top))
        if step % every == 0:
            y = top_px + plot_px * (1 - total / top)
            parts.append(
                f'<text x="{middle:.3f}%" y="{y - 6:.1f}" text-anchor="middle">{si(total)}</text>'
                f'<text class="soft" x="{middle:.3f}%" y="{top_px + plot_px + 17}" '
                f'text-anchor="middle">{step + 1}</text>'
            )
    parts.append(
        f'<text class="soft" x="{left + (100 - left) / 2}%" y="{top_px + plot_px + 36}" '
        'text-anchor="middle">time step</text></svg>'
    )
    return "".join(parts)


def _column(
    series: Sequence[tuple[str, Sequence[float]]],
    step: int,
    across: tuple[float, float],
    down: tuple[int, int],
    top: float,
) -> str:
    """Return one stack.

    Args:
        series: names and values.
        step: index of the time step.
        across: left end and width, percent.
        down: upper end and height of the plot, pixels.
        top: value at the upper end.
    """
    parts, foot = [], 0.0
    for color, (name, values) in enumerate(series):
        height = down[1] * values[step] / top
        y = down[0] + down[1] * (1 - foot / top) - height
        parts.append(
            f'<rect x="{across[0]:.3f}%" width="{across[1]:.3f}%" y="{y:.2f}" '
            f'height="{height:.2f}" fill="var(--c{color})">'
            f"<title>{_text(name)}, step {step + 1}: {si(values[step])}</title></rect>"
        )
        foot += values[step]
    return "".join(parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 8 times a power of ten, which four parts divide well."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        f * power for f in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 20) if f * power >= value
    )


def _text(text: str) -> str:
    return escape(clean(text))
