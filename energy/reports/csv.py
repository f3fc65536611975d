"""A report as comma-separated values: a row per layer, a column per field."""

import csv
import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from energy.breakeven import verdict
from energy.layers import LayerEnergy

if TYPE_CHECKING:
    from energy.report import EnergyReport


def to_csv(report: "EnergyReport") -> str:
    """Return RFC 4180 text with a header line and CRLF line ends.

    Values are not rounded; sizes and time steps are separated by spaces; absent values are empty.
    """
    names = [field.name for field in fields(LayerEnergy)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*names, "share", "verdict"])
    for layer, share in zip(report.rows, report.shares, strict=True):
        values = [_cell(getattr(layer, name)) for name in names]
        writer.writerow([*values, _cell(share), verdict(layer)])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
