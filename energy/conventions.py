"""Conventions: which synaptic operations are charged. One run, several totals, each with its name.

Published energies of spiking networks differ by what is counted before anything is priced, so a
total means nothing without the name of its convention. All of them are built from the same counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from energy.errors import EnergyError
from energy.layers import LayerCounts
from energy.technology import Technology

Operations = tuple[float, float]
"""Accumulates and multiply-accumulates of one layer, over a whole run."""

Rule = Callable[[LayerCounts], Operations]

DEFAULT = "event"
"""The convention of ``EnergyReport.total_mj``."""


@dataclass(frozen=True)
class Convention:
    """Operations and energy of one inference, counted in one way.

    Attributes:
        name: of the convention.
        meaning: what is counted, in a sentence without its full stop.
        ac: accumulates per inference.
        mac: multiply-accumulates per inference.
        total_mj: millijoules per inference; None where the technology has no price for a MAC.
    """

    name: str
    meaning: str
    ac: float
    mac: float
    total_mj: float | None


CONVENTIONS: dict[str, tuple[str, Rule]] = {}
"""Meaning and rule of every convention, by name, in the order in which they are shown."""


def convention(name: str, meaning: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule under ``name``.

    Raises:
        EnergyError: the name is taken.
    """
    if name in CONVENTIONS:
        raise EnergyError(f"There is a convention {name!r} already; choose another name.")

    def register(rule: Rule) -> Rule:
        CONVENTIONS[name] = (meaning, rule)
        return rule

    return register


@convention(
    "event",
    "one AC per spike and synapse it reaches, MAC dense on analog inputs, both without taps on "
    "padding",
)
def _event(counts: LayerCounts) -> Operations:
    return counts.ac, counts.mac


@convention("dense", "every layer as if analog: dense MAC at every step, without taps on padding")
def _dense(counts: LayerCounts) -> Operations:
    return 0, counts.dense


@convention(
    "dense-padded",
    "dense MAC of every layer with taps on padding, as counters of parameters and FLOPs do",
)
def _dense_padded(counts: LayerCounts) -> Operations:
    return 0, counts.padded


@convention(
    "rate",
    "the formula of most papers: mean firing rate x dense AC where spikes arrive, dense MAC "
    "elsewhere, both with taps on padding",
)
def _rate(counts: LayerCounts) -> Operations:
    # A shared layer may see spikes at one call and analog values at another; ``rate`` has the
    # former only, so the share of the latter must be taken from the dense counts.
    analog = counts.mac / counts.dense if counts.dense else 0.0
    return counts.rate, counts.padded * analog


@convention(
    "zero-skip",
    "synapses whose input is not zero: AC where spikes arrive, MAC elsewhere",
)
def _zero_skip(counts: LayerCounts) -> Operations:
    if not counts.spiking_inputs:
        return 0, counts.zero_skip
    if counts.spiking_inputs == counts.inputs:
        return counts.zero_skip, 0
    # Both kinds of call in one layer: what spikes reach is ``ac``, unless they are counts, of which
    # each stands for several accumulates.
    by_spikes = min(counts.ac, counts.zero_skip)
    return by_spikes, counts.zero_skip - by_spikes


def conventions(
    counts: Sequence[LayerCounts], technology: Technology, samples: int
) -> tuple[Convention, ...]:
    """Return the totals of one inference in every convention, the default first.

    Args:
        counts: of every layer, over the whole run.
        technology: prices of AC and MAC.
        samples: inferences in the run.

    Raises:
        EnergyError: no sample to average over.
    """
    if samples < 1:
        raise EnergyError(f"A total per inference needs at least one sample, got {samples}.")
    totals = []
    for name, (meaning, rule) in CONVENTIONS.items():
        pairs = [rule(layer) for layer in counts]
        ac, mac = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
        # A chip for spikes has no price for a MAC: then what needs one has no total either.
        mac_pj = technology.mac_pj if mac else 0.0
        total_mj = None
        if mac_pj is not None:
            total_mj = (ac * technology.ac_pj + mac * mac_pj) * 1e-9 / samples
        totals.append(Convention(name, meaning, ac / samples, mac / samples, total_mj))
    return tuple(totals)
