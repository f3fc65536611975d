"""Totals in every convention, against the definitions of the counts."""

from dataclasses import fields

import pytest

from energy import EnergyError, Technology
from energy.conventions import CONVENTIONS, DEFAULT, Convention, convention, conventions
from energy.layers import LayerCounts

PRICES = Technology(name="t", ac_pj=2.0, mac_pj=10.0, precision="p", source="s")

SPIKING = LayerCounts(
    name="a", kind="conv2d", ac=30, dense=100, padded=120, rate=36.0, zero_skip=30,
    spikes=3, inputs=10, spiking_inputs=10,
)  # fmt: skip
ANALOG = LayerCounts(
    name="b", kind="conv2d", mac=400, dense=400, padded=500, zero_skip=150, inputs=20
)
COUNT_VALUED = LayerCounts(
    name="c", kind="linear", ac=80, dense=100, padded=100, rate=50.0, zero_skip=50,
    spikes=5, inputs=10, spiking_inputs=10,
)  # fmt: skip
MIXED = LayerCounts(
    name="d", kind="conv2d", ac=30, mac=100, dense=200, padded=240, rate=36.0, zero_skip=70,
    spikes=3, inputs=20, spiking_inputs=10,
)  # fmt: skip


def totals(*counts, samples=1, technology=PRICES):
    found = conventions(counts, technology, samples)
    return {c.name: (c.ac, c.mac) for c in found}


def test_the_default_comes_first_and_every_convention_says_what_it_means():
    found = conventions([SPIKING], PRICES, 1)
    assert found[0].name == DEFAULT == "event"
    assert [c.name for c in found] == list(CONVENTIONS)
    assert {"event", "dense", "rate", "zero-skip"} <= set(CONVENTIONS)
    assert len({c.meaning for c in found}) == len(found)
    assert all(c.meaning and not c.meaning.endswith(".") for c in found)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (SPIKING, {"event": (30, 0), "dense": (0, 100), "dense-padded": (0, 120),
                   "rate": (36, 0), "zero-skip": (30, 0)}),
        (ANALOG, {"event": (0, 400), "dense": (0, 400), "dense-padded": (0, 500),
                  "rate": (0, 500), "zero-skip": (0, 150)}),
        # five inputs that are not zero stand for eight spikes
        (COUNT_VALUED, {"event": (80, 0), "dense": (0, 100), "dense-padded": (0, 100),
                        "rate": (50, 0), "zero-skip": (50, 0)}),
        # the calls of SPIKING and as many analog ones, in which 40 of 100 synapses see no zero
        (MIXED, {"event": (30, 100), "dense": (0, 200), "dense-padded": (0, 240),
                 "rate": (36, 120), "zero-skip": (30, 40)}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_one_layer(counts, expected):
    assert totals(counts) == expected


def test_layers_add_up_and_samples_divide():
    together = conventions([SPIKING, ANALOG, COUNT_VALUED], PRICES, 4)
    for found in together:
        alone = [totals(c)[found.name] for c in (SPIKING, ANALOG, COUNT_VALUED)]
        assert found.ac == sum(ac for ac, _ in alone) / 4
        assert found.mac == sum(mac for _, mac in alone) / 4
        assert found.total_mj == pytest.approx((found.ac * 2 + found.mac * 10) * 1e-9)
    assert together[0].total_mj == pytest.approx((110 * 2 + 400 * 10) / 4 * 1e-9)


def test_nothing_counted_costs_nothing():
    empty = LayerCounts(name="x", kind="add", add=7)
    assert all(c.total_mj == 0 for c in conventions([empty], PRICES, 1))
    assert all(c.total_mj == 0 for c in conventions([], PRICES, 1))


def test_without_a_price_of_a_mac_only_what_has_none_has_a_total():
    chip = Technology(name="chip", ac_pj=2.0, precision="p", source="s")
    known = {c.name for c in conventions([SPIKING], chip, 1) if c.total_mj is not None}
    assert known == {"event", "rate", "zero-skip"}
    assert all(c.total_mj is None for c in conventions([ANALOG], chip, 1))


def test_a_convention_is_added_in_one_place():
    @convention("half", "half of the accumulates")
    def half(counts):
        return counts.ac / 2, 0

    try:
        assert totals(SPIKING)["half"] == (15, 0)
        with pytest.raises(EnergyError, match="a convention 'half' already"):
            convention("half", "again")
    finally:
        del CONVENTIONS["half"]


def test_errors_and_fields():
    with pytest.raises(EnergyError, match="at least one sample, got 0"):
        conventions([SPIKING], PRICES, 0)
    assert [f.name for f in fields(Convention)] == ["name", "meaning", "ac", "mac", "total_mj"]
