"""What changed between two reports: rows matched by name and kind, and the totals."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energy.errors import EnergyError
from energy.layers import LayerEnergy
from energy.report import EnergyReport, reprice
from energy.reports import document as documents
from energy.reports.files import write
from energy.reports.markdown import escape, markdown_table
from energy.reports.rows import clean_kind
from energy.reports.text import clean, joules, price, quotient, shorten, si, times
from energy.technology import Technology

if TYPE_CHECKING:
    from rich.table import Table

ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"
SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "~", SAME: "="}

WIDTH = 100
HEADINGS = ("", "layer", "kind", "AC", "MAC", "energy", "ratio")


@dataclass(frozen=True, kw_only=True)
class Delta:
    """One quantity before and after.

    Attributes:
        before: 0 where the row is new.
        after: 0 where the row is gone.
    """

    before: float
    after: float

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After over before; None if there was nothing before."""
        return quotient(self.after, self.before)

    def to_dict(self) -> dict[str, float | None]:
        """Return the JSON object."""
        return {
            "before": self.before,
            "after": self.after,
            "change": self.change,
            "ratio": self.ratio,
        }


@dataclass(frozen=True, kw_only=True)
class RowChange:
    """One layer of either report.

    Attributes:
        name: of the layer.
        kind: of the layer.
        status: added, removed, changed or same.
        ac: accumulates.
        mac: multiply-accumulates.
        energy_uj: of the synapses, microjoules.
        beside_uj: of neurons and other arithmetic, microjoules.
    """

    name: str
    kind: str
    status: str
    ac: Delta
    mac: Delta
    energy_uj: Delta
    beside_uj: Delta

    @property
    def has_synapses(self) -> bool:
        """Whether it did AC or MAC in either report."""
        return any((self.ac.before, self.ac.after, self.mac.before, self.mac.after))


@dataclass(frozen=True, kw_only=True)
class ReportDiff:
    """Two reports side by side.

    Attributes:
        technology: prices of both.
        rows: in the order of the later report, each removed row behind the one it followed.
        ac: accumulates.
        mac: multiply-accumulates.
        total_mj: of the synapses.
        everything_mj: with neurons, other arithmetic and memory where both have a model.
        repriced: whether the prices are others than those in the reports.
    """

    technology: Technology
    rows: tuple[RowChange, ...]
    ac: Delta
    mac: Delta
    total_mj: Delta
    everything_mj: Delta
    repriced: bool

    @property
    def differences(self) -> tuple[RowChange, ...]:
        """The rows with synapses that are not the same."""
        return tuple(row for row in self.rows if row.status != SAME and row.has_synapses)

    @property
    def summary(self) -> tuple[str, ...]:
        """The totals in words, a line each."""
        counts = Counter(row.status for row in self.rows if row.has_synapses)
        beside_mj = [
            sum(getattr(row.beside_uj, when) for row in self.rows) * 1e-3
            for when in ("before", "after")
        ]
        prices = self.technology
        again = ", priced again from the counts" if self.repriced else ""
        return (
            f"{joules(self.total_mj.before)} -> {joules(self.total_mj.after)} "
            f"({times(self.total_mj.ratio)}), with everything "
            f"{joules(self.everything_mj.before)} -> {joules(self.everything_mj.after)} "
            f"({times(self.everything_mj.ratio)})",
            f"neurons and other arithmetic: {joules(beside_mj[0])} -> {joules(beside_mj[1])}",
            ", ".join(f"{counts[status]} {status}" for status in SIGNS) + " layers",
            f"technology: {prices.name}, AC {price(prices.ac_pj)}, MAC {price(prices.mac_pj)} "
            f"({prices.precision}){again}",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "technology": self.technology.name,
            "precision": self.technology.precision,
            "repriced": self.repriced,
            "ac": self.ac.to_dict(),
            "mac": self.mac.to_dict(),
            "total_mj": self.total_mj.to_dict(),
            "everything_mj": self.everything_mj.to_dict(),
            "rows": [
                {"name": row.name, "kind": row.kind, "status": row.status}
                | {
                    name: getattr(row, name).to_dict()
                    for name in ("ac", "mac", "energy_uj", "beside_uj")
                }
                for row in self.rows
            ],
        }

    def to_json(self) -> str:
        """Return the JSON document as text."""
        return documents.to_text(self.to_dict())

    def to_markdown(self) -> str:
        """Return the changed rows and the totals as Markdown."""
        cells = [[escape(cell) for cell in _cells(row)] for row in self.differences]
        table = markdown_table(HEADINGS, [*cells, [escape(cell) for cell in self._footer()]])
        lines = "\n".join(f"* {escape(line)}" for line in self.summary)
        return f"# Change of energy\n\n{lines}\n\n{table}\n"

    def table(self) -> "Table":
        """Return a rich table of the changed rows, of at most 100 columns."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        rows = [_cells(row) for row in self.differences]
        columns = zip(HEADINGS, self._footer(), *rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        widths[1] = WIDTH - (sum(widths) - widths[1]) - len(widths) + 1
        result = Table(
            title="Change of energy", box=box.SIMPLE, padding=0, show_edge=False, show_footer=True
        )
        for index, (header, footer) in enumerate(zip(HEADINGS, self._footer(), strict=True)):
            result.add_column(
                header, footer=footer, justify="left" if index < 3 else "right",
                no_wrap=True, max_width=widths[index],
            )  # fmt: skip
        for change, cells in zip(self.differences, rows, strict=True):
            cells[1] = shorten(cells[1], widths[1])
            style = {ADDED: "green", REMOVED: "red"}.get(change.status, "")
            result.add_row(*map(Text, cells), style=style)
        return result

    def write(self, path: Path | str) -> Path:
        """Write the form that the suffix names: .json or .md.

        Raises:
            EnergyError: another suffix, or a place that cannot be written.
        """
        return write(Path(path), {".json": self.to_json, ".md": self.to_markdown})

    def _footer(self) -> list[str]:
        energy = f"{joules(self.total_mj.before)} -> {joules(self.total_mj.after)}"
        return ["", "total", "", _arrow(self.ac), _arrow(self.mac), energy,
                times(self.total_mj.ratio)]  # fmt: skip


def diff(
    before: EnergyReport, after: EnergyReport, technology: Technology | None = None
) -> ReportDiff:
    """Compare two reports row by row.

    Args:
        before: the earlier.
        after: the later.
        technology: prices for both; by default those in the reports.

    Raises:
        EnergyError: the reports have different prices and none are given, or prices are given and
            one of the reports holds no counts.
    """
    wanted = technology or before.technology
    repriced = not before.technology == after.technology == wanted
    if repriced:
        before, after = (_priced(report, wanted, technology) for report in (before, after))
    old, new = _keyed(before), _keyed(after)
    everything = [report.everything_mj for report in (before, after)]
    if (before.memory_mj is None) != (after.memory_mj is None):
        everything = [r.everything_mj - (r.memory_mj or 0.0) for r in (before, after)]
    return ReportDiff(
        technology=wanted,
        rows=tuple(_row(key, old.get(key), new.get(key)) for key in _order(list(old), list(new))),
        ac=Delta(before=before.ac, after=after.ac),
        mac=Delta(before=before.mac, after=after.mac),
        total_mj=Delta(before=before.total_mj, after=after.total_mj),
        everything_mj=Delta(before=everything[0], after=everything[1]),
        repriced=repriced,
    )


Key = tuple[str, str, int]


def _priced(report: EnergyReport, wanted: Technology, given: Technology | None) -> EnergyReport:
    if report.technology == wanted:
        return report
    if not report.counts:
        asked = "" if given is None else f" with {wanted.name}"
        raise EnergyError(
            f"The reports cannot be compared{asked}: one is priced with {report.technology.name} "
            f"({report.technology.precision}), and it holds no counts to price again."
        )
    return reprice(report, wanted)


def _keyed(report: EnergyReport) -> dict[Key, LayerEnergy]:
    """Return the rows by name, kind and how many such rows came before."""
    seen: Counter[tuple[str, str]] = Counter()
    rows = {}
    for layer in report.rows:
        key = (layer.name, layer.kind)
        rows[(*key, seen[key])] = layer
        seen[key] += 1
    return rows


def _order(old: list[Key], new: list[Key]) -> list[Key]:
    """Return the keys of ``new``, each key that is gone behind the one it followed."""
    ordered = list(new)
    present = set(new)
    place = 0
    for key in old:
        if key in present:
            place = ordered.index(key) + 1
        else:
            ordered.insert(place, key)
            place += 1
    return ordered


def _row(key: Key, before: LayerEnergy | None, after: LayerEnergy | None) -> RowChange:
    def delta(value: Callable[[LayerEnergy], float]) -> Delta:
        return Delta(before=value(before) if before else 0, after=value(after) if after else 0)

    parts = {
        "ac": delta(lambda layer: layer.ac),
        "mac": delta(lambda layer: layer.mac),
        "energy_uj": delta(lambda layer: layer.energy_uj),
        "beside_uj": delta(lambda layer: layer.neuron_uj + layer.other_uj),
    }
    status = ADDED if before is None else REMOVED
    if before is not None and after is not None:
        status = CHANGED if any(part.change for part in parts.values()) else SAME
    return RowChange(name=key[0], kind=key[1], status=status, **parts)


def _cells(row: RowChange) -> list[str]:
    energy = " -> ".join(
        joules(value_uj * 1e-3) if value_uj else "0"
        for value_uj in (row.energy_uj.before, row.energy_uj.after)
    )
    return [
        SIGNS[row.status], clean(row.name),
        shorten(clean_kind(clean(row.kind)), 10), _arrow(row.ac), _arrow(row.mac), energy,
        times(row.energy_uj.ratio) if row.status == CHANGED else "-",
    ]  # fmt: skip


def _arrow(delta: Delta) -> str:
    return f"{si(delta.before)} -> {si(delta.after)}" if delta.change else si(delta.after)
