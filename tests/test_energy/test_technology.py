"""Technologies: published numbers, files of a user, and what a layer costs by them."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from energy.errors import EnergyError
from energy.estimate import price
from energy.layers import LayerCounts
from energy.technology import (
    FOLDER,
    TECHNOLOGIES,
    MemoryPrices,
    Technology,
    load_technology,
    technology,
)

MINE = """
name = "mine"
precision = "int4"
bits = 4
notes = "Made up."

[sources]
desk = "My desk, 2026"
bench = "My bench, 2026"

[prices]
add_pj = { value = 0.02, source = "desk" }
mul_pj = { value = 1, source = "bench" }

[memory]
sram_access_bits = 32
sram = [{ kib = 4, pj = 2.0, source = "desk" }, { kib = 64, pj = 8.0, source = "desk" }]
dram_access_bits = 64
dram = { pj = 640.0, source = "bench" }
"""

HOROWITZ = {
    "45nm-fp32": (32, 0.9, 3.7, 4.6),
    "45nm-fp16": (16, 0.4, 1.1, 1.5),
    "45nm-int32": (32, 0.1, 3.1, 3.2),
    "45nm-int8": (8, 0.03, 0.2, 0.23),
}


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("name", "numbers"), HOROWITZ.items())
def test_digital_prices_are_the_published_table(name, numbers):
    found = technology(name)
    assert (found.bits, found.add_pj, found.mul_pj, found.mac_pj) == numbers
    assert found.ac_pj == found.compare_pj == found.add_pj
    assert found.update_pj is None
    assert found.precision == name.removeprefix("45nm-")
    assert "10.1109/ISSCC.2014.6757323" in found.source
    memory = found.memory
    assert memory.sram == ((8, 10), (32, 20), (1024, 100))
    assert (memory.sram_access_bits, memory.dram_pj, memory.dram_access_bits) == (64, 1300, 64)


@pytest.mark.parametrize(
    ("name", "synop_pj", "update_pj"),
    [("loihi", 23.6 + 3.5, 81), ("spinnaker", 13.3e3, 26e3), ("spinnaker2", 450, 2.19e3)],
)
def test_chips_have_prices_per_synaptic_operation_and_per_update(name, synop_pj, update_pj):
    chip = technology(name)
    assert chip.ac_pj == pytest.approx(synop_pj)
    assert chip.update_pj == pytest.approx(update_pj)
    assert (chip.mac_pj, chip.add_pj, chip.mul_pj, chip.memory) == (None,) * 4
    assert "analog layers cannot be priced" in chip.notes


def test_22_nm_knows_additions_and_comparisons_only():
    found = technology("22nm-int8")
    assert found.ac_pj == found.add_pj == found.compare_pj == 0.05448
    assert found.mul_pj is None
    assert found.mac_pj is None


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_every_number_that_is_shipped_has_a_source(name):
    document = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    found = TECHNOLOGIES[name]
    sourced = dict(found.sources)
    assert set(document["prices"]) <= set(sourced)
    memory = document.get("memory", {})
    sizes = {f"sram {point['kib']} KiB" for point in memory.get("sram", [])}
    assert sizes | set(document["prices"]) | ({"dram"} if memory else set()) == set(sourced)
    assert all(len(text) > 20 for text in sourced.values())
    assert len(found.notes) > 20
    hash(found)


def test_the_files_are_named_after_what_they_hold_and_are_packaged():
    assert len(TECHNOLOGIES) >= 8
    assert {path.stem for path in FOLDER.iterdir()} == set(TECHNOLOGIES)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "technologies/*.toml" in project["tool"]["setuptools"]["package-data"]["energy"]


def test_a_file_of_the_user_is_a_technology(tmp_path):
    found = technology(written(tmp_path, MINE))
    assert found == Technology(
        name="mine", precision="int4", bits=4, notes="Made up.",
        ac_pj=0.02, mac_pj=1.02, add_pj=0.02, mul_pj=1.0, compare_pj=0.02,
        source="My desk, 2026; My bench, 2026",
        sources=(
            ("add_pj", "My desk, 2026"), ("mul_pj", "My bench, 2026"),
            ("sram 4 KiB", "My desk, 2026"), ("sram 64 KiB", "My desk, 2026"),
            ("dram", "My bench, 2026"),
        ),
        memory=MemoryPrices(
            sram=((4, 2), (64, 8)), sram_access_bits=32, dram_pj=640, dram_access_bits=64
        ),
    )  # fmt: skip
    assert "mine" not in TECHNOLOGIES


def test_a_shipped_file_can_be_given_by_its_path():
    path = FOLDER / "loihi.toml"
    assert technology(str(path)) == load_technology(path) == TECHNOLOGIES["loihi"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"', "", r"'name' is missing. Example: name = \"my-chip\""),
        ('name = "mine"', "name = 3", r"name is 3; expected text"),
        ("bits = 4", "bits = 4.5", r"bits is 4.5; expected a whole number. Example: bits = 8"),
        ("bits = 4", "bits = true", r"bits is True; expected a whole number"),
        ("bits = 4", "bits = 0", r"expected at least 1"),
        ("bits = 4", "", r"not the bits of a number"),
        ("bits = 4", "bit = 4", r"Unknown key 'bit' in file; expected one of name, precision"),
        ("add_pj = {", "plus_pj = {", r"Unknown key 'plus_pj' in prices; expected one of add_pj"),
        ("value = 0.02", "price = 0.02", r"Unknown key 'price' in add_pj"),
        ("value = 0.02, ", "", r"'value' is missing. Example: \{ value = 0.03"),
        ("value = 0.02", "value = -0.02", r"add_pj of 'mine' is -0.02; a price is a finite"),
        ("value = 0.02", "value = inf", r"add_pj of 'mine' is inf"),
        ("value = 0.02", "value = nan", r"add_pj of 'mine' is nan"),
        ("value = 0.02", 'value = "0.02"', r"add_pj.value is '0.02'; expected a number"),
        ("value = 0.02", "value = true", r"add_pj.value is True; expected a number"),
        ('{ value = 0.02, source = "desk" }', "0.02", r"add_pj is 0.02; expected a table"),
        ('0.02, source = "desk"', "0.02", r"'source' is missing"),
        ('0.02, source = "desk"', '0.02, source = "sofa"', r"'sofa', .* it has desk, bench"),
        ("add_pj = {", "mac_pj = {", r"neither add_pj nor ac_pj"),
        ("mul_pj = {", 'mac_pj = { value = 2, source = "desk" }\nmul_pj = {',
         r"mac_pj of 'mine' is 2.0, but its addition and multiplication make 1.02"),
        ("mul_pj = {", 'ac_pj = { value = 2, source = "desk" }\nmul_pj = {',
         r"ac_pj of 'mine' is 2.0, but .* make 0.02"),
        ("[prices]", "[price]", r"Unknown key 'price'"),
        ('desk = "My desk, 2026"', "desk = 3", r"desk is 3; expected text"),
        ("kib = 4, ", "", r"'kib' is missing. Example: sram"),
        ("kib = 64", "kib = 2", r"from small to large"),
        ("pj = 8.0", "pj = 1.0", r"a larger one costs no less"),
        ("pj = 8.0", "pj = 0", r"positive and finite, got 0"),
        ("pj = 640.0", "pj = 0.5", r"A bit from DRAM \(0.00781 pJ\) costs no less"),
        ("sram_access_bits = 32", "", r"'sram_access_bits' is missing"),
        ("sram_access_bits = 32", "sram_access_bits = 0", r"positive and finite, got 0"),
        ('dram = { pj = 640.0, source = "bench" }', "dram = 640.0",
         r"dram is 640.0; expected a table"),
        ("[prices]", "[prices", r"is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_words(tmp_path, old, new, message):
    assert old in MINE
    with pytest.raises(EnergyError, match=message) as caught:
        technology(written(tmp_path, MINE.replace(old, new, 1)))
    assert "mine.toml" in str(caught.value)


def test_missing_files_and_unknown_names_are_refused(tmp_path):
    with pytest.raises(EnergyError, match=r"Cannot read the technology file .*none\.toml"):
        technology(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(EnergyError, match=r"Cannot read"):
        technology(str(tmp_path / "folder.toml"))
    with pytest.raises(EnergyError, match=r"Unknown technology '7nm'; known: 22nm-int8, 45nm-fp16"):
        technology("7nm")


def test_prices_that_contradict_each_other_are_refused_in_code_too():
    good = Technology(name="x", precision="y", source="z", ac_pj=1.0, add_pj=1.0, mul_pj=2.0,
                      mac_pj=3.0)  # fmt: skip
    assert good.compare_pj == 1.0
    with pytest.raises(EnergyError, match="mac_pj of 'x' is None, but"):
        replace(good, mac_pj=None)
    with pytest.raises(EnergyError, match="update_pj of 'x' is -1"):
        replace(good, update_pj=-1.0)


# What layers cost.

CONV = LayerCounts(
    name="encoder.conv", kind="conv2d", shape=(6, 4, 4, 4), calls=1, ac=600, mac=0, dense=4800,
    padded=6912, spikes=48, inputs=192, spiking_inputs=192, outputs=384, add=384, weights=72,
    biases=4, taps=(3, 3), strides=(1, 1), fan_in=18, fan_out=4, ac_per_step=[100, 200, 300],
)  # fmt: skip
NEURON = LayerCounts(
    name="encoder.fire", kind="LIF", outputs=384, inputs=384, add=424, mul=384, compare=384,
    special=2, updates=384, states=1, fired=40,
)  # fmt: skip


def test_a_spiking_layer_costs_its_accumulates():
    row = price(CONV, technology("45nm-int8"), samples=2, steps=3)
    assert (row.name, row.kind, row.shape, row.steps) == (CONV.name, "conv2d", CONV.shape, 3)
    assert (row.ac, row.mac, row.dense) == (300, 0, 2400)
    assert row.firing_rate == 0.25
    assert row.spikes_per_synapse == 300 / 800
    assert row.energy_uj == pytest.approx(300 * 0.03e-6)
    # the biases
    assert (row.other_ops, row.neuron_ops, row.neuron_uj) == (192, 0, 0)
    assert row.other_uj == pytest.approx(192 * 0.03e-6)
    assert row.memory_uj is None
    assert row.breakeven == pytest.approx(0.23 / 0.03)
    assert row.ac_per_step == (50, 100, 150)
    assert row.unpriced_ops == 0


def test_neurons_cost_additions_multiplications_and_comparisons_and_never_special_ones():
    row = price(NEURON, technology("45nm-int8"), samples=2, steps=3)
    assert (row.neuron_ops, row.other_ops, row.special_ops) == (596, 0, 1)
    assert row.neuron_uj == pytest.approx((212 * 0.03 + 192 * 0.2 + 192 * 0.03) * 1e-6)
    assert (row.energy_uj, row.other_uj, row.breakeven) == (0, 0, None)
    free = price(replace(NEURON, special=0), technology("45nm-int8"), samples=2, steps=3)
    assert free.neuron_uj == row.neuron_uj


def test_counts_are_priced_again_without_a_run():
    before = replace(CONV)
    dear = price(CONV, technology("45nm-fp32"), samples=2, steps=3)
    cheap = price(CONV, technology("45nm-int8"), samples=2, steps=3)
    assert before == CONV
    assert dear.energy_uj / cheap.energy_uj == pytest.approx(0.9 / 0.03)
    assert replace(dear, energy_uj=0.0, other_uj=0.0, breakeven=0.0) == replace(
        cheap, energy_uj=0.0, other_uj=0.0, breakeven=0.0
    )


def test_an_analog_layer_costs_its_multiply_accumulates():
    analog = replace(CONV, ac=0, mac=4800, spikes=0, spiking_inputs=0, ac_per_step=[])
    row = price(analog, technology("45nm-fp32"), samples=2, steps=3)
    assert row.energy_uj == pytest.approx(2400 * 4.6e-6)
    assert (row.firing_rate, row.spikes_per_synapse, row.breakeven) == (None, None, None)


def test_a_chip_has_one_price_per_synapse_and_one_per_update():
    chip = technology("loihi")
    row = price(CONV, chip, samples=2, steps=3)
    assert row.energy_uj == pytest.approx(300 * 27.1e-6)
    # it has no price for the biases: they are shown as unpriced, not as free
    assert (row.other_uj, row.unpriced_ops, row.breakeven) == (0, 192, None)
    neuron = price(NEURON, chip, samples=2, steps=3)
    assert neuron.neuron_uj == pytest.approx(192 * 81e-6)
    assert (neuron.neuron_ops, neuron.unpriced_ops) == (596, 0)


def test_only_the_operations_without_a_price_are_unpriced():
    row = price(NEURON, technology("22nm-int8"), samples=2, steps=3)
    assert row.unpriced_ops == 192
    assert row.neuron_uj == pytest.approx((212 + 192) * 0.05448e-6)


@pytest.mark.parametrize("name", ["loihi", "spinnaker", "spinnaker2", "22nm-int8"])
def test_an_analog_layer_cannot_be_priced_without_a_price(name):
    analog = replace(CONV, ac=0, mac=4800, spikes=0, spiking_inputs=0)
    with pytest.raises(EnergyError, match=f"'{name}' has no published .* 'encoder.conv' is analog"):
        price(analog, technology(name), samples=2, steps=3)


def test_unknown_steps_leave_spikes_per_synapse_open():
    row = price(CONV, technology("45nm-int8"), samples=2, steps=None, memory="reuse")
    assert (row.steps, row.spikes_per_synapse) == (None, None)
    assert row.memory_uj > 0
    assert row.firing_rate == 0.25


def test_memory_is_a_number_of_its_own():
    plain = price(CONV, technology("45nm-int8"), samples=2, steps=3)
    aware = price(CONV, technology("45nm-int8"), samples=2, steps=3, memory="reuse")
    assert aware.energy_uj == plain.energy_uj
    assert aware.memory_uj > 10 * plain.energy_uj
    assert math.isfinite(aware.breakeven)
    assert aware.breakeven < plain.breakeven
    with pytest.raises(EnergyError, match="Unknown memory model 'ram'; known: lemaire, reuse"):
        price(CONV, technology("45nm-int8"), samples=2, steps=3, memory="ram")
