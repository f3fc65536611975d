"""The account of a network: its energy, that of its analog twin, and networks of the field."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor, nn

from energy import EnergyError, EnergyReport, mean_report, profile
from stereo.accounting.beside import PricedBaseline, Published, over, price_baselines
from stereo.accounting.inputs import Inputs
from stereo.accounting.models import Subject, settled, told
from stereo.accounting.shapes import describe
from stereo.analog_twin import analog_twin, one_step
from stereo.errors import StereoError
from stereo.network import HybridStereo

ANY_PRICES = "45nm-fp32"
"""Where only counts are wanted."""

Progress = Callable[[int, int], None]

TWIN_NOTE = (
    "analog twin: same layers and widths, rectifiers for neurons, 1 time step on the input's mean "
    "over time; its work is dense, so values do not matter"
)


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """How work is counted and priced.

    Attributes:
        technology: name of a price table, or a file of one.
        memory: name of a memory model; None for none.
        strict: fail where declared spikes are none.
        batch_dim: axis of the samples in the inputs of a user's model; None for what the model
            says, else 0. Time comes first if it is 1.
    """

    technology: str = "45nm-fp32"
    memory: str | None = None
    strict: bool = False
    batch_dim: int | None = None

    def profile(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> EnergyReport:
        """Count one run of a network.

        Raises:
            EnergyError: unknown technology or memory model, or (strict) false spikes.
        """
        named: dict[str, Any] = {"technology": self.technology, "strict": self.strict}
        if self.memory is not None:
            named["memory"] = self.memory
        if self.batch_dim is not None:
            named |= self._axes(inputs)
        return profile(module, *inputs, **named)

    def _axes(self, inputs: tuple[Tensor, ...]) -> dict[str, int]:
        first, axis = inputs[0], self.batch_dim or 0
        if not 0 <= axis < first.ndim:
            raise StereoError(
                f"--batch-dim {axis} is no axis of the first input, {describe(tuple(first.shape))}."
            )
        return {"samples": first.shape[axis], "steps": first.shape[0] if axis == 1 else 1}


@dataclass(frozen=True, kw_only=True)
class Twin:
    """What the analog twin costs.

    Attributes:
        ac: accumulates; those of what spikes remain, normally none.
        mac: multiply-accumulates.
        steps: time steps.
        total_mj: None where the technology has no price of a multiply-accumulate.
    """

    ac: float
    mac: float
    steps: int
    total_mj: float | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one inference costs, and beside what.

    Attributes:
        network: what was accounted for, in words.
        inputs: on what, in words.
        generated: whether the input is generated data.
        report: mean over the inputs.
        totals_mj: of every input.
        twin: of the analog twin; None for a user's model.
        baselines: networks of the field; empty unless asked for.
        notes: what a reader must know.
    """

    network: str
    inputs: str
    generated: bool
    report: EnergyReport
    totals_mj: tuple[float, ...]
    twin: Twin | None
    baselines: tuple[PricedBaseline, ...]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """The twin's energy over that of the network."""
        return None if self.twin is None else over(self.twin.total_mj, self.report.total_mj)

    @property
    def spread(self) -> dict[str, float | int | None]:
        """How the total varies over the inputs; the deviation of a single one is unknown."""
        values = self.totals_mj
        return {
            "inputs": len(values),
            "mean_mj": statistics.fmean(values),
            "std_mj": statistics.stdev(values) if len(values) > 1 else None,
            "min_mj": min(values),
            "max_mj": max(values),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document: that of the report, and what stands beside it."""
        return {
            **self.report.to_dict(),
            "network": self.network,
            "input": self.inputs,
            "note": "generated data" if self.generated else None,
            "notes": list(self.notes),
            "spread": self.spread,
            "analog_twin": None if self.twin is None else asdict(self.twin),
            "ratio": self.ratio,
            "baselines": [asdict(baseline) for baseline in self.baselines],
            "published": Published().to_dict(self.report.technology.mac_pj)
            if self.baselines
            else None,
        }


def account(
    subject: Subject,
    inputs: Inputs,
    pricing: Pricing,
    *,
    baselines: bool = True,
    progress: Progress = lambda _done, _all: None,
) -> Account:
    """Count a network on every input, its twin on the first, and networks of the field beside.

    Args:
        subject: the network.
        inputs: at least one.
        pricing: how.
        baselines: whether to add networks of the field (of stereo networks only).
        progress: called with the runs done and all runs.

    Raises:
        EnergyError: what ``energy.profile`` refuses.
        StereoError: a user's model fails on the input.
    """
    subject = settled(subject, inputs.draw) if subject.fresh else subject
    network = subject.stereo
    runs = inputs.count + (network is not None)
    reports = []
    for index in range(inputs.count):
        reports.append(_profiled(subject, inputs.draw(index), pricing))
        progress(index + 1, runs)
    report = mean_report(reports)
    twin: Twin | None = None
    beside: tuple[PricedBaseline, ...] = ()
    notes = subject.notes
    if network is not None:
        first = inputs.draw(0)
        twin = _twin(network, first, pricing, report)
        notes = (*notes, TWIN_NOTE)
        progress(runs, runs)
        if baselines:
            height, width = first[0].shape[-2:]
            beside = price_baselines(height, width, report)
    return Account(
        network=subject.name,
        inputs=inputs.about,
        generated=inputs.generated,
        report=report,
        totals_mj=tuple(each.total_mj for each in reports),
        twin=twin,
        baselines=beside,
        notes=notes,
    )


def _twin(
    network: HybridStereo, inputs: tuple[Tensor, ...], pricing: Pricing, report: EnergyReport
) -> Twin:
    """Count the analog twin; in a technology without a price for it, count without one."""
    priced = report.technology.mac_pj is not None
    plain = replace(pricing, memory=None)
    found = (plain if priced else replace(plain, technology=ANY_PRICES)).profile(
        analog_twin(network), tuple(one_step(x) for x in inputs)
    )
    return Twin(
        ac=found.ac, mac=found.mac, steps=found.steps, total_mj=found.total_mj if priced else None
    )


def _profiled(subject: Subject, inputs: tuple[Tensor, ...], pricing: Pricing) -> EnergyReport:
    """Count one run; what a user's model does wrong is the user's to mend, ours is ours."""
    if subject.stereo is not None:
        return pricing.profile(subject.module, inputs)
    try:
        return pricing.profile(subject.module, inputs)
    except (EnergyError, StereoError):
        raise
    except Exception as error:
        given = ", ".join(describe(tuple(x.shape)) for x in inputs)
        raise StereoError(
            f"{subject.name} failed on an input of shape {given}: {told(error)}. Give --input the "
            "shapes that its forward takes, separated by commas."
        ) from error
