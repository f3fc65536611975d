"""Break-even: published values, and the point where both sides cost the same."""

from dataclasses import replace
from math import ceil, log2
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy.breakeven import (
    DAMPFHOFFER,
    ac_only,
    breakeven,
    memory_aware,
    memory_aware_rate,
    verdict,
)
from energy.errors import EnergyError
from energy.estimate import price
from energy.layers import LayerCounts
from energy.memory import MODELS
from energy.technology import TECHNOLOGIES, technology

PRICED = sorted(n for n, t in TECHNOLOGIES.items() if t.mac_pj is not None)
IN_MEMORY = sorted(n for n in PRICED if TECHNOLOGIES[n].memory is not None)


def layer(steps, spikes=0.25, samples=1, biases=0, side=64):
    """Return conv2d(16, 32, 3, padding=1), each input firing ``spikes`` times in all steps."""
    runs = steps * samples
    dense = 16 * 32 * (3 * side - 2) ** 2
    inputs = 16 * side**2
    return LayerCounts(
        name="conv", kind="conv2d", ac=round(spikes * dense) * samples, dense=dense * runs,
        padded=16 * 32 * 9 * side**2 * runs, spikes=round(spikes * inputs) * samples,
        inputs=inputs * runs, spiking_inputs=inputs * runs, outputs=32 * side**2 * runs,
        weights=16 * 32 * 9, biases=biases, taps=(3, 3), strides=(1, 1), fan_in=144, fan_out=32,
    )  # fmt: skip


def twin(counts, steps):
    """Return the same layer run once on analog input."""
    assert counts.dense % steps == 0
    return replace(
        counts, ac=0, spikes=0, spiking_inputs=0, mac=counts.dense // steps,
        **{n: getattr(counts, n) // steps for n in ("dense", "padded", "inputs", "outputs")},
    )  # fmt: skip


def total_uj(row):
    return row.energy_uj + (row.memory_uj or 0)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("45nm-fp32", 46 / 9), ("45nm-fp16", 3.75), ("45nm-int32", 32), ("45nm-int8", 23 / 3)],
)
def test_arithmetic_alone_breaks_even_at_mac_over_ac(name, ratio):
    assert ac_only(technology(name)) == pytest.approx(ratio)
    assert breakeven(layer(4), technology(name), samples=1, steps=4) == pytest.approx(ratio)


def test_there_is_no_break_even_without_both_prices():
    for name in ("loihi", "22nm-int8"):
        assert ac_only(technology(name)) is None
        assert breakeven(layer(4), technology(name), samples=1, steps=4) is None
    free = replace(technology("45nm-int8"), add_pj=0.0, ac_pj=0.0, mul_pj=1.0, mac_pj=1.0)
    assert ac_only(free) is None
    assert breakeven(layer(4), free, samples=1, steps=4) is None


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7, 8, 10, 31, 32, 1000])
def test_the_memory_aware_rule_of_yan(steps):
    bits = ceil(log2(steps + 1))
    assert memory_aware(steps) == bits / 8
    assert memory_aware_rate(steps) == bits / (8 * steps)
    assert memory_aware(steps, weight_bits=4) == bits / 4


def test_the_memory_aware_rule_gives_the_published_mean_rate():
    rates = [memory_aware_rate(steps) for steps in range(5, 11)]
    assert round(100 * mean(rates), 2) == 5.99


@pytest.mark.parametrize(("steps", "bits"), [(0, 8), (-1, 8), (4, 0)])
def test_the_memory_aware_rule_needs_steps_and_bits(steps, bits):
    with pytest.raises(EnergyError, match=f"got {steps} and {bits}"):
        memory_aware(steps, weight_bits=bits)


def test_the_range_of_reference_is_quoted_with_its_source():
    assert (DAMPFHOFFER.low, DAMPFHOFFER.high) == (0.15, 1.38)
    assert "TETCI 7(3):731-741" in DAMPFHOFFER.source


@pytest.mark.parametrize("memory", [None, *sorted(MODELS)])
@pytest.mark.parametrize("name", IN_MEMORY)
@pytest.mark.parametrize(("steps", "samples", "biases"), [(1, 1, 0), (4, 1, 0), (5, 3, 32)])
def test_at_break_even_both_sides_cost_the_same(memory, name, steps, samples, biases):
    tech = technology(name)
    run = {"samples": samples, "steps": steps, "memory": memory}
    point = breakeven(layer(steps, samples=samples, biases=biases), tech, **run)
    assert point > 0
    there = layer(steps, point, samples, biases)
    row = price(there, tech, **run)
    assert row.breakeven == pytest.approx(point)
    assert row.spikes_per_synapse == pytest.approx(point, rel=1e-5)
    analog = price(twin(there, steps), tech, samples=samples, steps=1, memory=memory)
    assert total_uj(row) == pytest.approx(total_uj(analog), rel=1e-4)


@given(spikes=st.floats(0.01, 12), steps=st.integers(1, 6))
def test_the_cheaper_side_is_the_one_that_break_even_says(spikes, steps):
    tech = technology("45nm-int8")
    counts = layer(steps, spikes)
    for memory in (None, "reuse"):
        row = price(counts, tech, samples=1, steps=steps, memory=memory)
        analog = price(twin(counts, steps), tech, samples=1, steps=1, memory=memory)
        if abs(row.spikes_per_synapse / row.breakeven - 1) > 1e-3:
            below = row.spikes_per_synapse < row.breakeven
            assert (total_uj(row) < total_uj(analog)) == below


@pytest.mark.parametrize("name", IN_MEMORY)
def test_memory_moves_break_even_down(name):
    tech = technology(name)
    aware = breakeven(layer(4), tech, samples=1, steps=4, memory="reuse")
    assert aware < ac_only(tech) / 5


def test_rows_without_a_comparison_have_no_break_even():
    tech = technology("45nm-int8")
    assert breakeven(twin(layer(4), 4), tech, samples=1, steps=1) is None
    assert breakeven(replace(layer(4), mac=5), tech, samples=1, steps=4) is None
    neuron = LayerCounts(name="n", kind="LIF", updates=10, states=1, spiking_inputs=10, inputs=10)
    assert breakeven(neuron, tech, samples=1, steps=1, memory="reuse") is None


def test_a_layer_that_is_dear_when_silent_never_breaks_even():
    # So few outputs and so many biases read per step that a silent run beats no analog one.
    counts = replace(layer(200), biases=10**9)
    assert breakeven(counts, technology("45nm-int8"), samples=1, steps=200, memory="reuse") == 0


@pytest.mark.parametrize(
    ("spikes", "words"),
    [
        (0, "silent"),
        (1.5, "spiking pays 2.5x"),
        (0.03, "spiking pays 125x"),
        (3.75, "break-even"),
        (3.8, "break-even"),
        (7.5, "analog pays 2.0x"),
        (75, "analog pays 20x"),
    ],
)
def test_the_verdict_is_in_words_and_in_the_ratio_of_energies(spikes, words):
    tech = technology("45nm-fp16")
    row = price(layer(100, spikes), tech, samples=1, steps=100)
    assert verdict(row) == words


def test_the_verdict_where_nothing_can_be_compared():
    tech = technology("45nm-fp16")
    counts = layer(4)
    row = price(counts, tech, samples=1, steps=4)
    assert verdict(price(twin(counts, 4), tech, samples=1, steps=1)) == "analog"
    mixed = price(replace(counts, mac=5), tech, samples=1, steps=4)
    assert verdict(mixed) == "partly analog: no twin"
    chip = price(counts, technology("loihi"), samples=1, steps=4)
    assert verdict(chip) == "no price of an analog twin"
    assert verdict(replace(row, breakeven=0.0)) == "analog pays at any rate"
    pool = LayerCounts(name="p", kind="avg_pool2d", add=4, inputs=4, outputs=1)
    assert verdict(price(pool, tech, samples=1, steps=1)) == ""
