"""Memory models: every row of their tables by hand, and cost that never falls with size."""

from dataclasses import replace
from math import log2, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy.errors import EnergyError
from energy.layers import LayerCounts
from energy.memory import MODELS, lemaire, memory_model, memory_uj, reuse
from energy.memory.registry import register
from energy.technology import technology

INT8 = technology("45nm-int8")
FP32 = technology("45nm-fp32")
KIB = 8192  # bits

# conv2d(2, 4, 3, padding=1) with bias on 4x4, stride 1: 32 inputs and 64 outputs per sample and
# step; 2 * 4 * 9 * 16 = 1152 taps with padding, 2 * 4 * (3 * 4 - 2) ** 2 = 800 without.
SHAPE = {"weights": 72, "biases": 4, "taps": (3, 3), "strides": (1, 1), "fan_in": 18, "fan_out": 4}
ANALOG = LayerCounts(
    name="a", kind="conv2d", mac=1600, dense=1600, padded=2304, inputs=64, outputs=128, **SHAPE
)
EVENT = LayerCounts(
    name="e", kind="conv2d", ac=500, dense=4800, padded=6912, spikes=30, inputs=192,
    spiking_inputs=192, outputs=384, **SHAPE,
)  # fmt: skip
NEURON = LayerCounts(
    name="n", kind="LIF", updates=384, states=1, fired=40, mul=384, inputs=384, outputs=384
)


def rows(model, counts, tech=INT8, **run):
    found = memory_model(model)(counts, tech, **run)
    assert len({row.what for row in found}) == len(found)
    return {row.what: (row.count, pytest.approx(row.pj)) for row in found if row.count}


def by_operation(counts, samples):
    return {row.what: row.count for row in lemaire.operations(counts, samples=samples)}


# reuse


def test_reuse_of_an_analog_layer_moves_everything_once():
    # everything is below 8 KiB: 10 pJ per 64 bits, 8 bits of them
    word = 10 * 8 / 64
    assert rows("reuse", ANALOG, samples=2, steps=1) == {
        "analog: read weights": (72, word),
        "analog: read inputs": (32, word),
        "analog: write outputs": (64, word),
        "read biases": (4, word),
    }
    total = memory_uj("reuse", ANALOG, INT8, samples=2, steps=1)
    assert total == pytest.approx((72 + 32 + 64 + 4) * 1.25e-6)


def test_reuse_of_an_analog_layer_reads_weights_anew_in_every_step():
    found = rows("reuse", ANALOG, samples=1, steps=2)
    assert found["analog: read weights"][0] == 2 * 72
    assert found["read biases"][0] == 2 * 4
    assert found["analog: read inputs"][0] == 64


def test_reuse_of_an_event_layer_has_one_row_per_spike_and_two_potentials_per_accumulate():
    word = 10 * 8 / 64
    assert rows("reuse", EVENT, samples=2, steps=3) == {
        "event: read spikes": (15, 10 * 5 / 64),  # 32 places: 5 bits
        "event: read weight rows": (250, word),
        "event: read potentials": (250, word),
        "event: write potentials": (250, word),
        "read biases": (3 * 4, word),
    }


def test_reuse_of_a_neuron_reads_and_writes_its_states():
    found = rows("reuse", replace(NEURON, states=2), samples=2, steps=3)
    assert found == {
        "neuron: read states": (2 * 192, 1.25),
        "neuron: write states": (2 * 192, 1.25),
        "neuron: write spikes": (20, 10 * 6 / 64),  # 64 neurons: 6 bits
    }


@pytest.mark.parametrize(("places", "bits"), [(1, 1), (2, 1), (3, 2), (32, 5), (33, 6), (64, 6)])
def test_reuse_addresses_have_as_many_bits_as_places_need(places, bits):
    counts = replace(EVENT, inputs=6 * places, spiking_inputs=6 * places, spikes=6)
    found = rows("reuse", counts, samples=2, steps=3)
    assert found["event: read spikes"] == (3, 10 * bits / 64)


def test_reuse_of_a_mixed_layer_splits_it_by_its_dense_work():
    mixed = replace(EVENT, ac=500, mac=2400, inputs=192, spiking_inputs=96, spikes=30, outputs=384)
    found = rows("reuse", mixed, samples=2, steps=3)
    assert found["analog: read inputs"][0] == 48
    assert found["analog: write outputs"][0] == 96
    assert found["event: read weight rows"][0] == 250
    assert found["event: read spikes"] == (15, 10 * 4 / 64)


def test_reuse_of_other_arithmetic_and_of_a_folded_layer():
    pool = LayerCounts(name="p", kind="avg_pool2d", add=96, inputs=128, outputs=32)
    assert rows("reuse", pool, samples=2, steps=1) == {
        "other: read inputs": (64, 1.25),
        "other: write outputs": (16, 1.25),
    }
    spikes = replace(pool, spiking_inputs=128, spikes=9)
    assert rows("reuse", spikes, samples=2, steps=1) == {
        "other: read inputs, spikes": (64, 10 / 64),
        "other: write outputs": (16, 1.25),
    }
    assert rows("reuse", replace(pool, add=0), samples=2, steps=1) == {}
    assert rows("reuse", replace(pool, folded_into="conv"), samples=2, steps=1) == {}


@pytest.mark.parametrize(
    ("kib", "pj_per_64_bits"),
    [
        (0.01, 10),
        (8, 10),
        (16, 10 * 2 ** (log2(2) / log2(4))),  # half-way between 8 and 32 KiB, in octaves
        (32, 20),
        (181.0193359837562, 20 * 5**0.5),  # the same between 32 and 1024 KiB
        (1024, 100),
        (1024.1, 1300),
    ],
)
def test_reuse_prices_a_word_by_the_size_of_its_memory_and_its_width(kib, pj_per_64_bits):
    memory = INT8.memory
    assert reuse.access_pj(memory, kib * KIB, 64) == pytest.approx(pj_per_64_bits)
    assert reuse.access_pj(memory, kib * KIB, 32) == pytest.approx(pj_per_64_bits / 2)


def test_reuse_puts_weights_that_do_not_fit_the_chip_into_dram():
    large = replace(ANALOG, weights=2**20, biases=0)
    assert rows("reuse", large, samples=2, steps=1)["analog: read weights"][1] == 12.5
    larger = replace(large, weights=2**20 + 1)
    assert rows("reuse", larger, samples=2, steps=1)["analog: read weights"][1] == 1300 / 8
    # the same numbers of 32 bits are 4 MiB
    assert rows("reuse", large, FP32, samples=2, steps=1)["analog: read weights"][1] == 650


# lemaire: memories hold 32 (inputs), 64 (outputs), 72, 4 words of 32 bits; below 8 KiB = 2048
# words the price is 10 pJ times their share of it.


def small(words):
    return 10 * words / 2048


def test_lemaire_formal_rows():
    assert rows("lemaire", ANALOG, samples=2, steps=1) == {
        "read inputs": (1152, small(32)),
        "read weights": (1152, small(72)),
        "read biases": (64, small(4)),
        "write outputs": (64, small(64)),
        "addressing, ACC": (32 + 64 + 4 * 9, 0.1),
    }
    assert by_operation(ANALOG, 2) == {"MAC": 1152, "ACC, synapses": 0, "ACC, biases": 64}


def test_lemaire_spiking_rows():
    assert rows("lemaire", EVENT, samples=2, steps=3) == {
        "read inputs": (15, small(32)),
        "read weights": (15 * 4 * 9, small(72)),
        "read biases": (3 * 64, small(4)),
        "read potentials": (15 * 4 * 9, small(64)),
        "write potentials": (15 * 4 * 9, small(64)),
        "addressing, MAC": (2 * 15, 3.2),
        "addressing, ACC": (15 * 4 * 9, 0.1),
    }
    assert by_operation(EVENT, 2) == {"MAC": 0, "ACC, synapses": 540, "ACC, biases": 192}
    assert rows("lemaire", NEURON, samples=2, steps=3) == {
        "read potentials": (192, small(64)),
        "write potentials": (192, small(64)),
        "write outputs": (20, small(64)),
    }
    assert by_operation(NEURON, 2) == {"MAC, leak": 192, "ACC, reset": 20}
    assert by_operation(replace(NEURON, mul=0), 2)["MAC, leak"] == 0


def test_lemaire_rows_of_layer_and_neuron_sum_to_the_published_table():
    steps, c_out, pixels, kernel, theta_in, theta_out = 3, 4, 16, 9, 15, 20
    found = {}
    for counts in (EVENT, NEURON):
        for row in memory_model("lemaire")(counts, INT8, samples=2, steps=steps):
            found[row.what] = found.get(row.what, 0) + row.count
    potentials = theta_in * c_out * kernel + steps * c_out * pixels
    assert found["read potentials"] == found["write potentials"] == potentials
    assert found["write outputs"] == theta_out
    work = by_operation(EVENT, 2) | by_operation(NEURON, 2)
    accumulates = sum(count for what, count in work.items() if what.startswith("ACC"))
    assert accumulates == theta_in * c_out * kernel + steps * c_out * pixels + theta_out
    assert work["MAC, leak"] == steps * c_out * pixels


def test_lemaire_is_in_integers_of_32_bits_whatever_the_technology():
    assert rows("lemaire", EVENT, FP32, samples=2, steps=3) == rows(
        "lemaire", EVENT, INT8, samples=2, steps=3
    )


def test_lemaire_fully_connected():
    fc = LayerCounts(
        name="f", kind="linear", mac=30, dense=30, padded=30, inputs=6, outputs=5, weights=30,
        fan_in=6, fan_out=5,
    )  # fmt: skip
    assert rows("lemaire", fc, samples=1, steps=1) == {
        "read inputs": (30, small(6)),
        "read weights": (30, small(30)),
        "write outputs": (5, small(5)),
        "addressing, ACC": (30, 0.1),
    }
    spiking = replace(fc, mac=0, ac=10, spikes=2, spiking_inputs=6)
    found = rows("lemaire", spiking, samples=1, steps=1)
    # without the factor N_in of the printed equation, and without multiplications for addresses
    assert by_operation(spiking, 1)["ACC, synapses"] == 10
    assert found["addressing, ACC"] == (10, 0.1)
    assert "addressing, MAC" not in found


@pytest.mark.parametrize(
    ("taps", "strides", "reach"),
    [((3, 3), (1, 1), 9), ((3, 3), (2, 2), 4), ((1, 1), (2, 2), 1), ((4, 3), (2, 1), 6),
     ((3, 3, 3), (2, 2, 2), 8), ((5,), (3,), 2)],
)  # fmt: skip
def test_lemaire_reaches_the_taps_over_the_stride_rounded_up(taps, strides, reach):
    layer = replace(EVENT, taps=taps, strides=strides, weights=8 * prod(taps))
    assert by_operation(layer, 1)["ACC, synapses"] == 30 * reach * 4
    transposed = replace(layer, transposed=True)
    assert by_operation(transposed, 1)["ACC, synapses"] == 30 * prod(taps) * 4


def test_lemaire_addresses_the_kernels_of_all_groups():
    depthwise = LayerCounts(
        name="d", kind="conv2d", mac=200, dense=200, padded=288, inputs=32, outputs=32, weights=18,
        taps=(3, 3), strides=(1, 1), fan_in=9, fan_out=1,
    )  # fmt: skip
    found = rows("lemaire", depthwise, samples=1, steps=1)
    assert found["addressing, ACC"][0] == 32 + 32 + 2 * 9


@pytest.mark.parametrize(
    ("kib", "pj"),
    [(0, 0), (4, 5), (8, 10), (9, 10.416667), (32, 20), (64, 22.580645), (256, 38.064516),
     (1024, 100), (4096, 347.741935)],
)  # fmt: skip
def test_lemaire_prices_are_linear_between_the_published_ones(kib, pj):
    assert lemaire.access_pj(INT8.memory, kib * 256) == pytest.approx(pj)


def test_lemaire_leaves_out_what_is_neither_synapse_nor_neuron():
    pool = LayerCounts(name="p", kind="avg_pool2d", add=96, inputs=128, outputs=32)
    assert rows("lemaire", pool, samples=1, steps=1) == {}
    assert lemaire.operations(pool, samples=1) == ()


# both


SIZES = st.floats(0, 1e9, allow_nan=False)


@given(a=SIZES, b=SIZES)
def test_a_larger_memory_never_costs_less_per_access(a, b):
    a, b = sorted((a, b))
    for tech in (INT8, FP32):
        assert reuse.access_pj(tech.memory, a, 8) <= reuse.access_pj(tech.memory, b, 8)
        assert lemaire.access_pj(tech.memory, a) <= lemaire.access_pj(tech.memory, b)


@pytest.mark.parametrize("model", sorted(MODELS))
@given(few=st.integers(1, 10**7), more=st.integers(0, 10**7))
def test_a_layer_with_more_weights_never_costs_less(model, few, more):
    for counts in (ANALOG, EVENT):
        small_one, large = (replace(counts, weights=n) for n in (few, few + more))
        assert memory_uj(model, small_one, INT8, samples=2, steps=3) <= memory_uj(
            model, large, INT8, samples=2, steps=3
        ) * (1 + 1e-12)


@pytest.mark.parametrize("model", sorted(MODELS))
@given(spikes=st.integers(0, 192))
def test_an_event_layer_costs_a_straight_line_over_its_spikes(model, spikes):
    def cost(n):
        counts = replace(EVENT, spikes=n, ac=20 * n)
        return memory_uj(model, counts, INT8, samples=2, steps=3)

    assert cost(spikes) == pytest.approx(cost(0) + spikes * (cost(192) - cost(0)) / 192)


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("counts", [ANALOG, EVENT, NEURON], ids=lambda c: c.name)
def test_energy_is_per_inference_and_counts_are_left_alone(model, counts):
    before = replace(counts)
    doubled = replace(
        counts,
        **{
            name: 2 * getattr(counts, name)
            for name in ("ac", "mac", "dense", "padded", "spikes", "inputs", "spiking_inputs",
                         "outputs", "updates", "fired", "mul")
        },
    )  # fmt: skip
    one = memory_uj(model, counts, INT8, samples=2, steps=3)
    assert one > 0
    assert memory_uj(model, doubled, INT8, samples=4, steps=3) == pytest.approx(one)
    assert counts == before


@pytest.mark.parametrize("model", sorted(MODELS))
def test_technologies_without_prices_of_memory_are_refused(model):
    assert {"reuse", "lemaire"} <= set(MODELS)
    with pytest.raises(EnergyError, match=r"'loihi' has no prices of memory: .* contains them"):
        memory_uj(model, EVENT, technology("loihi"), samples=2, steps=3)
    with pytest.raises(EnergyError, match=r"'22nm-int8' has no prices of memory\. Choose"):
        memory_uj(model, EVENT, technology("22nm-int8"), samples=2, steps=3)


def test_names_are_taken_once():
    with pytest.raises(ValueError, match="'reuse' already"):
        register("reuse")(MODELS["lemaire"])
    with pytest.raises(EnergyError, match="Unknown memory model 'x'; known: lemaire, reuse"):
        memory_model("x")
