"""The report: totals, JSON, and a table that fits 100 columns."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from energy.errors import EnergyError
from energy.estimate import LayerEnergy, Uncounted
from energy.technology import Technology

if TYPE_CHECKING:
    from rich.table import Table

CONVENTION = (
    "event: one AC per spike and synapse, MAC dense on analog inputs, both without taps on "
    "padding; bias, neuron updates and memory not counted"
)


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """Energy of one inference.

    Attributes:
        technology: prices.
        samples: inferences that were averaged.
        steps: time steps of one inference.
        layers: in the order of the first call.
        uncounted: work without a rule.
        warnings: contradictions between structure and values.
    """

    technology: Technology
    samples: int
    steps: int
    layers: tuple[LayerEnergy, ...]
    uncounted: tuple[Uncounted, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ac(self) -> float:
        """Accumulates per inference."""
        return sum(layer.ac for layer in self.layers)

    @property
    def mac(self) -> float:
        """Multiply-accumulates per inference."""
        return sum(layer.mac for layer in self.layers)

    @property
    def total_mj(self) -> float:
        """Millijoules per inference: the sum of the rows."""
        return sum(layer.energy_uj for layer in self.layers) * 1e-3

    @property
    def summary(self) -> tuple[str, ...]:
        """What the numbers mean, a line each."""
        name, precision = self.technology.name, self.technology.precision
        by_op: dict[str, float] = {}
        for row in self.uncounted:
            by_op[row.op] = by_op.get(row.op, 0) + row.elements
        listed = ", ".join(f"{op} {si(n)}" for op, n in sorted(by_op.items(), key=lambda i: -i[1]))
        return (
            f"technology: {name}, AC {self.technology.ac_pj} pJ, MAC {self.technology.mac_pj} pJ "
            f"({precision}; {self.technology.source})",
            f"convention: {CONVENTION}",
            f"per inference of {self.steps} time steps, mean of {self.samples}",
            f"not counted (elements): {listed or 'nothing'}",
            *self.warnings,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document; absent values are None."""
        total_uj = self.total_mj * 1e3
        layers = [
            asdict(layer) | {"share": layer.energy_uj / total_uj if total_uj else None}
            for layer in self.layers
        ]
        return {
            "technology": self.technology.name,
            "precision": self.technology.precision,
            "convention": CONVENTION,
            "samples": self.samples,
            "steps": self.steps,
            "total_mj": self.total_mj,
            "ac": self.ac,
            "mac": self.mac,
            "layers": layers,
            "uncounted": [asdict(row) for row in self.uncounted],
            "warnings": list(self.warnings),
        }

    def to_json(self) -> str:
        """Return the JSON document as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def table(self) -> "Table":
        """Return a rich table of at most 100 columns."""
        from rich.table import Table

        table = Table(title=f"Energy of one inference, {self.technology.name}", show_footer=True)
        table.add_column("layer", footer="total", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        footers = (
            ("rate", ""),
            ("sp/syn", ""),
            ("AC", si(self.ac)),
            ("MAC", si(self.mac)),
            ("energy", f"{self.total_mj * 1e3:.2f} uJ"),
            ("share", "100 %" if self.total_mj else ""),
        )
        for header, footer in footers:
            table.add_column(header, footer=footer, justify="right", no_wrap=True)
        total_uj = self.total_mj * 1e3
        for layer in self.layers:
            share = f"{100 * layer.energy_uj / total_uj:.1f} %" if total_uj else ""
            table.add_row(
                shorten(layer.name, 33), layer.kind.replace("conv_transpose", "convT"),
                percent(layer.firing_rate), number(layer.spikes_per_synapse),
                si(layer.ac), si(layer.mac), f"{layer.energy_uj:.2f} uJ", share,
            )  # fmt: skip
        return table


def mean_report(reports: Sequence[EnergyReport]) -> EnergyReport:
    """Return the mean of reports of one model, as if it were one batch.

    Raises:
        EnergyError: no report, or reports of different models, technologies or time steps.
    """
    if not reports:
        raise EnergyError("There is no report to average.")
    keys = {(r.technology, r.steps, tuple((x.name, x.kind) for x in r.layers)) for r in reports}
    if len(keys) != 1:
        raise EnergyError("Reports of different models or technologies cannot be averaged.")
    weights = [r.samples / sum(r.samples for r in reports) for r in reports]
    layers = []
    for rows in zip(*(r.layers for r in reports), strict=True):
        values = {
            name: _mean([getattr(row, name) for row in rows], weights)
            for name in ("ac", "mac", "dense", "firing_rate", "spikes_per_synapse", "energy_uj")
        }
        layers.append(replace(rows[0], **values))
    return replace(
        reports[0],
        samples=sum(r.samples for r in reports),
        layers=tuple(layers),
        warnings=tuple(dict.fromkeys(w for r in reports for w in r.warnings)),
    )


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else None


def si(value: float) -> str:
    """Return a count with three digits and an SI prefix: 0, 12, 1.23 k, 45.6 M."""
    for limit, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:#.3g}".rstrip(".") + prefix
    return f"{value:.3g}"


def percent(value: float | None) -> str:
    """Return a share as percent, a dash if there is none."""
    return "-" if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """Return a number with two decimals, a dash if there is none."""
    return "-" if value is None else f"{value:.2f}"


def shorten(text: str, width: int) -> str:
    """Return ``text`` with its middle left out if it is longer than ``width``."""
    if len(text) <= width:
        return text
    tail = (width - 3) * 2 // 3
    return f"{text[: width - 3 - tail]}...{text[-tail:]}"
