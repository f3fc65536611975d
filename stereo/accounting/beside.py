"""Networks of the field beside one of ours, and the published claim examined."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from energy import EnergyReport
from stereo.baselines import BASELINES, count


@dataclass(frozen=True, kw_only=True)
class PricedBaseline:
    """A network of the field at the size of the input.

    Attributes:
        name: short name.
        width: columns that it runs at, padding included.
        height: rows.
        steps: time steps of its own.
        mac: dense multiply-accumulates, taps on padding left out, as for our networks.
        mac_with_padding: the same with those taps, as papers count.
        total_mj: ``mac`` in the technology of the report; None where that has no price for it.
        ratio: ``total_mj`` over that of the network accounted for; None where that is 0.
        published_ratio: ``total_mj`` over the published 6.7 mJ.
        spiking: whether its authors run it on spikes; the dense count is then an upper bound.
        complete: what the count holds.
        source: where the layers were read.
    """

    name: str
    width: int
    height: int
    steps: int
    mac: int
    mac_with_padding: int
    total_mj: float | None
    ratio: float | None
    published_ratio: float | None
    spiking: bool
    complete: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the abstracts claim: millijoules, and how often that fits into an unnamed network."""

    total_mj: float = 6.7
    ratio: float = 26.0
    source: str = (
        "abstracts of SpikeDHS (NeurIPS 2022) and arXiv 2410.18580; neither says pJ per operation, "
        "size, time steps or which network was compared with"
    )

    def to_dict(self, mac_pj: float | None) -> dict[str, Any]:
        """Return the claim and what it would mean at ``mac_pj`` picojoules per operation."""
        implied_mj = self.total_mj * self.ratio
        return {
            **asdict(self),
            "implied_baseline_mj": implied_mj,
            "implied_baseline_gmac": over(implied_mj, mac_pj),
            "mac_pj": mac_pj,
        }


def price_baselines(height: int, width: int, report: EnergyReport) -> tuple[PricedBaseline, ...]:
    """Return the networks of the field at a size, in the technology of a report."""
    mac_pj = report.technology.mac_pj
    priced = []
    for name in BASELINES:
        found = count(name, height, width)
        total_mj = None if mac_pj is None else found.macs * mac_pj * 1e-9
        priced.append(
            PricedBaseline(
                name=name, width=found.size[1], height=found.size[0], steps=found.steps,
                mac=found.macs, mac_with_padding=found.padded_macs, total_mj=total_mj,
                ratio=over(total_mj, report.total_mj),
                published_ratio=over(total_mj, Published().total_mj), spiking=found.spiking,
                complete=found.complete, source=found.source,
            )
        )  # fmt: skip
    return tuple(priced)


def over(large: float | None, small: float | None) -> float | None:
    """Return a ratio; None where a number is missing or it would be infinite."""
    if large is None or not small:
        return None
    ratio = large / small
    return ratio if math.isfinite(ratio) else None
