"""Numbers and names as a person reads them."""

import math

UNITS_MJ = ((1e3, "J"), (1.0, "mJ"), (1e-3, "uJ"), (1e-6, "nJ"), (1e-9, "pJ"))
"""Millijoules in a unit, largest first."""

PREFIXES = ((1e18, " E"), (1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def si(value: float) -> str:
    """Return a count with three digits and an SI prefix: 0, 12, 1.23 k, 45.6 M."""
    if abs(value) >= 9.995e20:
        return f"{value:.1e}"
    for limit, prefix in PREFIXES:
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:#.3g}".rstrip(".") + prefix
    return f"{value:.3g}"


def quotient(part: float, whole: float) -> float | None:
    """Return ``part / whole``; None where that is no number, or one too large for a float."""
    ratio = part / whole if whole else math.inf
    return ratio if math.isfinite(ratio) else None


def price(value_pj: float | None) -> str:
    """Return a price with its unit."""
    return "without a price" if value_pj is None else f"{value_pj:g} pJ"


def joules(value_mj: float | None) -> str:
    """Return an energy given in millijoules with three digits: 1.23 mJ, 45.6 nJ."""
    if value_mj is None:
        return "-"
    if not value_mj:
        return "0 mJ"
    size, unit = unit_of(value_mj)
    amount = value_mj / size
    if abs(amount) < 999.5:
        return f"{amount:#.3g}".rstrip(".") + f" {unit}"
    # More than there is a unit for: the prefix of the number becomes that of the unit.
    text = si(amount)
    return f"{text}{unit}" if text[-1].isalpha() else f"{text} {unit}"


def unit_of(value_mj: float) -> tuple[float, str]:
    """Return the unit in which an energy reads best: its millijoules and its name."""
    fitting = (unit for unit in UNITS_MJ if abs(value_mj) >= 0.9995 * unit[0])
    return next(fitting, UNITS_MJ[-1] if value_mj else UNITS_MJ[1])


def column_unit(total_mj: float, beside_mj: float = 0.0) -> tuple[float, str]:
    """Return the unit of a column: small enough for its rows, and its total still readable.

    Rows are often a hundredth of the total, so that its own unit would show them as nothing.

    Args:
        total_mj: of the column of energies; at most four digits before the point.
        beside_mj: largest total of the columns beside it; at most six.
    """
    fitting = [
        unit for unit in UNITS_MJ if total_mj < 9999.5 * unit[0] and beside_mj < 999_999 * unit[0]
    ]
    return (fitting or [UNITS_MJ[0]])[-1] if total_mj or beside_mj else UNITS_MJ[1]


def fixed(value: float) -> str:
    """Return a number in at most seven characters, with two decimals where there is room.

    Meant for a column in one unit: what is not zero is not shown as zero.
    """
    if value and abs(value) < 0.005:
        return "<0.01" if value > 0 else ">-0.01"
    if abs(value) < 999.995:
        return f"{value:.2f}"
    return f"{value:.0f}" if abs(value) < 999_999.5 else f"{value:.1e}"


def percent(value: float | None) -> str:
    """Return a share as percent, a dash if there is none."""
    return "-" if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """Return a number with two decimals, a dash if there is none."""
    return "-" if value is None else f"{value:.2f}"


def times(value: float | None) -> str:
    """Return a ratio: 0.46x, 12.3x, 2e+03x; a dash if there is none."""
    return "-" if value is None else f"{value:.3g}x"


def clean(text: str) -> str:
    """Return ``text`` in one line: a name may hold line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shorten(text: str, width: int) -> str:
    """Return ``text`` with its middle left out if it is longer than ``width``."""
    if len(text) <= width:
        return text
    tail = (width - 3) * 2 // 3
    return f"{text[: width - 3 - tail]}...{text[-tail:]}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return sizes as 2x32x65x87."""
    return "x".join(map(str, shape))
