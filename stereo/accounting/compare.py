"""One table: a network, the published genotype, their analog twins and networks of the field."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from stereo.accounting.account import Account, Pricing, account
from stereo.accounting.beside import over
from stereo.accounting.inputs import Inputs
from stereo.accounting.models import Subject, stereo_subject
from stereo.errors import StereoError
from stereo.network import HybridStereo

SIZES = ((260, 346), (480, 640))
"""Rows and columns of MVSEC's and of DSEC's cameras."""

PUBLISHED_PRESET = "spikedhs"

Source = Callable[[HybridStereo, tuple[int, int]], Inputs]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network.

    Attributes:
        name: what it is.
        steps: time steps.
        ac: accumulates.
        mac: multiply-accumulates.
        total_mj: None where the technology has no price for it.
        ratio: ``total_mj`` over that of the first row.
    """

    name: str
    steps: int
    ac: float
    mac: float
    total_mj: float | None
    ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All networks at one size.

    Attributes:
        height: rows of the image.
        width: columns.
        subject: account of the network asked for, with the networks of the field.
        published: account of the published genotype.
    """

    height: int
    width: int
    subject: Account
    published: Account

    @property
    def rows(self) -> tuple[Row, ...]:
        """The network asked for, the published genotype, both twins, the field."""
        first = self.subject.report.total_mj
        rows: list[tuple[str, int, float, float, float | None]] = []
        for found in (self.subject, self.published):
            report, twin = found.report, found.twin
            rows.append((found.network, report.steps, report.ac, report.mac, report.total_mj))
            if twin is not None:
                name = f"analog twin of {found.network}"
                rows.append((name, twin.steps, twin.ac, twin.mac, twin.total_mj))
        for each in self.subject.baselines:
            name = each.name + (" (an SNN, as if dense)" if each.spiking else "")
            rows.append((name, each.steps, 0, each.mac, each.total_mj))
        return tuple(
            Row(name=name, steps=steps, ac=ac, mac=mac, total_mj=mj, ratio=over(mj, first))
            for name, steps, ac, mac, mj in rows
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "width": self.width,
            "height": self.height,
            "input": self.subject.inputs,
            "rows": [asdict(row) for row in self.rows],
        }


def compare(
    subject: Subject,
    source: Source,
    pricing: Pricing,
    *,
    seed: int = 0,
    progress: Progress = lambda _done, _all: None,
) -> tuple[Comparison, ...]:
    """Account for a stereo network and the published genotype at ``SIZES``.

    Args:
        subject: a stereo network.
        source: inputs of a network at a size ``(height, width)``.
        pricing: how work is counted and priced.
        seed: of the fresh weights of the published genotype, for which no trained ones exist.
        progress: called with the networks done and all of them.

    Raises:
        EnergyError, StereoError: what ``account`` refuses.
    """
    published = stereo_subject(preset=PUBLISHED_PRESET, seed=seed)
    found: list[Comparison] = []
    for index, size in enumerate(SIZES):
        accounts = []
        for number, each in enumerate((subject, published)):
            network = each.stereo
            if network is None:
                raise StereoError("Only stereo networks can be compared, got a model.")
            accounts.append(account(each, source(network, size), pricing, baselines=number == 0))
            progress(2 * index + number + 1, 2 * len(SIZES))
        found.append(
            Comparison(height=size[0], width=size[1], subject=accounts[0], published=accounts[1])
        )
    return tuple(found)
