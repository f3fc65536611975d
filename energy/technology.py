"""Prices: picojoules per operation, with the source of every number."""

from dataclasses import dataclass

from energy.errors import EnergyError

HOROWITZ = (
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, "
    "doi 10.1109/ISSCC.2014.6757323, 45 nm, 0.9 V"
)


@dataclass(frozen=True, kw_only=True)
class Technology:
    """Energy per operation.

    Attributes:
        name: how it is asked for.
        ac_pj: one accumulate (an addition), picojoules.
        mac_pj: one multiply-accumulate (a multiplication and an addition), picojoules.
        precision: of weights and sums.
        source: where the numbers stand.
    """

    name: str
    ac_pj: float
    mac_pj: float
    precision: str
    source: str


TECHNOLOGIES = {
    technology.name: technology
    for technology in (
        Technology(name="45nm-fp32", ac_pj=0.9, mac_pj=4.6, precision="fp32", source=HOROWITZ),
        Technology(name="45nm-fp16", ac_pj=0.4, mac_pj=1.5, precision="fp16", source=HOROWITZ),
        Technology(name="45nm-int32", ac_pj=0.1, mac_pj=3.2, precision="int32", source=HOROWITZ),
        Technology(name="45nm-int8", ac_pj=0.03, mac_pj=0.23, precision="int8", source=HOROWITZ),
    )
}


def technology(name: str) -> Technology:
    """Return the technology of that name.

    Raises:
        EnergyError: there is none; the message lists those there are.
    """
    if name not in TECHNOLOGIES:
        raise EnergyError(f"Unknown technology {name!r}; known: {', '.join(TECHNOLOGIES)}.")
    return TECHNOLOGIES[name]
