"""The report: totals, how they are averaged, and the doors to its forms (``energy.reports``)."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from energy.conventions import CONVENTIONS, DEFAULT, Convention, conventions
from energy.errors import EnergyError
from energy.estimate import Uncounted
from energy.layers import LayerCounts, LayerEnergy
from energy.reports import document as documents
from energy.reports.mean import mean_convention, mean_layer, summed_counts
from energy.reports.rows import has_synapses, total_memory
from energy.reports.summary import lines
from energy.reports.text import number, percent, quotient, shorten, si
from energy.technology import Technology

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "EnergyReport",
    "environment",
    "mean_report",
    "number",
    "percent",
    "reprice",
    "shorten",
    "si",
]


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """Energy of one inference.

    ``total_mj`` is that of the synapses in the ``event`` convention, which the literature compares;
    neurons, other arithmetic and memory stand beside it and never in it.

    Attributes:
        technology: prices.
        samples: inferences that were averaged.
        steps: time steps of one inference.
        layers: those with synapses, in the order of the first call.
        others: neurons and arithmetic without weights, likewise.
        uncounted: work without a rule.
        warnings: contradictions between structure and values.
        counts: of every layer over the whole run, for pricing again; empty if not kept.
        conventions: the total in every convention, the default first; empty if not known.
        memory: name of the memory model; None without one.
        environment: versions, platform and date of the run.
        spread_mj: standard deviation of ``total_mj`` over the reports that were averaged; None if
            there was one only.
    """

    technology: Technology
    samples: int
    steps: int
    layers: tuple[LayerEnergy, ...]
    uncounted: tuple[Uncounted, ...]
    others: tuple[LayerEnergy, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: tuple[LayerCounts, ...] = ()
    conventions: tuple[Convention, ...] = ()
    memory: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    spread_mj: float | None = None

    @property
    def rows(self) -> tuple[LayerEnergy, ...]:
        """The layers and the others."""
        return self.layers + self.others

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
        """Millijoules of the synapses per inference: the sum of the rows."""
        return sum(layer.energy_uj for layer in self.layers) * 1e-3

    @property
    def neurons_mj(self) -> float:
        """Millijoules of neuron updates per inference."""
        return sum(layer.neuron_uj for layer in self.rows) * 1e-3

    @property
    def other_mj(self) -> float:
        """Millijoules of other arithmetic per inference."""
        return sum(layer.other_uj for layer in self.rows) * 1e-3

    @property
    def memory_mj(self) -> float | None:
        """Millijoules of memory accesses per inference; None without a memory model."""
        memory_uj = total_memory(self.rows)
        return None if memory_uj is None else memory_uj * 1e-3

    @property
    def everything_mj(self) -> float:
        """Synapses, neurons, other arithmetic and, with a memory model, memory."""
        return self.total_mj + self.neurons_mj + self.other_mj + (self.memory_mj or 0.0)

    @property
    def shares(self) -> tuple[float | None, ...]:
        """Share of every row in the total; None if the total is zero."""
        total_uj = self.total_mj * 1e3
        return tuple(quotient(row.energy_uj, total_uj) for row in self.rows)

    @property
    def convention(self) -> str:
        """Name and meaning of the default convention, and what is not in it."""
        return (
            f"{DEFAULT}: {CONVENTIONS[DEFAULT][0]}; bias, neuron updates, other arithmetic and "
            "memory beside the total, not in it"
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """What the numbers mean, a line each; warnings come last."""
        return lines(self)

    def ratio(self, total_mj: float | None) -> float | None:
        """Return another total over this report's; None if it is unknown or this one is zero."""
        return None if total_mj is None else quotient(total_mj, self.total_mj)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document; absent values are None."""
        rows = zip(self.layers, self.shares, strict=False)
        return {
            "technology": self.technology.name,
            "precision": self.technology.precision,
            "prices": documents.plain(self.technology),
            "convention": self.convention,
            "samples": self.samples,
            "steps": self.steps,
            "total_mj": self.total_mj,
            "spread_mj": self.spread_mj,
            "neurons_mj": self.neurons_mj,
            "other_mj": self.other_mj,
            "memory_mj": self.memory_mj,
            "everything_mj": self.everything_mj,
            "ac": self.ac,
            "mac": self.mac,
            "memory": self.memory,
            "conventions": [
                documents.plain(c) | {"ratio": self.ratio(c.total_mj)} for c in self.conventions
            ],
            "layers": [documents.plain(layer) | {"share": share} for layer, share in rows],
            "others": documents.plain(self.others),
            "uncounted": documents.plain(self.uncounted),
            "warnings": list(self.warnings),
            "counts": documents.plain(self.counts),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "EnergyReport":
        """Return the report that ``to_dict`` wrote.

        Raises:
            EnergyError: the document is something else; the message names the place.
        """
        if not isinstance(document, dict):
            raise EnergyError(f"A report must be an object, got {type(document).__name__}.")
        if "prices" not in document:
            raise EnergyError(
                "The report has no 'prices'; it is no energy report, or one of an earlier version."
            )
        fields_of_report = document | {"technology": document["prices"]}
        report: EnergyReport = documents.build(cls, fields_of_report, "report")
        return report

    @classmethod
    def load(cls, path: Path | str) -> "EnergyReport":
        """Read a report written by ``write`` with the suffix ``.json``.

        Raises:
            EnergyError: the file cannot be read or holds something else.
        """
        path = Path(path)
        try:
            return cls.from_dict(documents.read(path))
        except EnergyError as error:
            raise error if str(path) in str(error) else EnergyError(f"{path}: {error}") from error

    def to_json(self) -> str:
        """Return the JSON document as text.

        Raises:
            EnergyError: a number is not finite.
        """
        return documents.to_text(self.to_dict())

    def to_csv(self) -> str:
        """Return a row per layer with every field as comma-separated values."""
        from energy.reports.csv import to_csv

        return to_csv(self)

    def to_markdown(self) -> str:
        """Return totals, conventions and the table as Markdown."""
        from energy.reports.markdown import to_markdown

        return to_markdown(self)

    def to_html(self, title: str = "Energy of one inference") -> str:
        """Return one page with charts that needs nothing from anywhere else."""
        from energy.reports.html import to_html

        return to_html(self, title)

    def table(self) -> "Table":
        """Return a rich table of at most 100 columns."""
        from energy.reports.table import table

        return table(self)

    def write(self, path: Path | str) -> Path:
        """Write the form that the suffix names: .json, .csv, .md or .html.

        A reader never sees half a file: a temporary one beside it takes its place when complete.

        Raises:
            EnergyError: another suffix, or a place that cannot be written.
        """
        from energy.reports.files import write

        forms = {
            ".json": self.to_json,
            ".csv": self.to_csv,
            ".md": self.to_markdown,
            ".html": self.to_html,
        }
        return write(Path(path), forms)


def environment() -> dict[str, str]:
    """Return the versions, the platform and the date (UTC) that belong to a measurement."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numba": _version("numba"),
        "platform": platform.platform(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def split(
    rows: Sequence[LayerEnergy],
) -> tuple[tuple[LayerEnergy, ...], tuple[LayerEnergy, ...]]:
    """Return the layers with synapses, and the others."""
    layers = tuple(row for row in rows if has_synapses(row))
    return layers, tuple(row for row in rows if not has_synapses(row))


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def reprice(report: EnergyReport, technology: Technology) -> EnergyReport:
    """Return the report with other prices, from its counts, without running the model.

    Memory is priced by the same model if the technology has prices of memory, and left out if not.

    Raises:
        EnergyError: the report holds no counts, or the technology has no price for a layer.
    """
    from energy.estimate import price

    if not report.counts:
        raise EnergyError("The report holds no counts, so it cannot be priced again.")
    steps = {(layer.name, layer.kind): layer.steps for layer in report.rows}
    memory = report.memory if technology.memory is not None else None
    priced = [
        price(
            counts,
            technology,
            samples=report.samples,
            steps=steps.get((counts.name, counts.kind), report.steps),
            memory=memory,
        )
        for counts in report.counts
    ]
    layers, others = split(priced)
    return replace(
        report,
        technology=technology,
        layers=layers,
        others=others,
        conventions=conventions(report.counts, technology, report.samples),
        memory=memory,
        spread_mj=None,
    )


def mean_report(reports: Sequence[EnergyReport]) -> EnergyReport:
    """Return the mean of reports of one model, as if it were one batch.

    ``spread_mj`` becomes the standard deviation of their totals (n - 1 in the denominator, every
    report one value); what was not counted and the environment are those of the first.

    Raises:
        EnergyError: no report, or reports of different models, technologies or time steps.
    """
    if not reports:
        raise EnergyError("There is no report to average.")
    first = reports[0]
    if any(_identity(report) != _identity(first) for report in reports):
        raise EnergyError("Reports of different models or technologies cannot be averaged.")
    if len(reports) == 1:
        return first
    samples = sum(report.samples for report in reports)
    weights = [report.samples / samples for report in reports]
    kept = all(len(report.counts) == len(first.counts) for report in reports)
    rows = list(zip(*(report.rows for report in reports), strict=True))
    layers, others = split([mean_layer(row, weights) for row in rows])
    counted = list(zip(*(report.counts for report in reports), strict=True)) if kept else []
    totals = zip(*(report.conventions for report in reports), strict=False)
    return replace(
        first,
        samples=samples,
        layers=layers,
        others=others,
        warnings=tuple(dict.fromkeys(w for report in reports for w in report.warnings)),
        counts=tuple(summed_counts(row) for row in counted),
        conventions=tuple(mean_convention(row, weights) for row in totals),
        spread_mj=stdev(report.total_mj for report in reports),
    )


def _identity(report: EnergyReport) -> tuple[Any, ...]:
    rows = [(row.name, row.kind) for row in report.rows]
    return report.technology, report.memory, report.steps, rows
