"""Lists of spikes against torch: every work on them gives the spikes that dense tensors give.

Weights and constants are multiples of 1/64, so sums are exact in any order and nothing needs a
tolerance; what rounding does to spikes is no matter of layout.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.cell import CellPath, Fire
from nas.dims import ConvNorm, resize
from nas.fold import fold_norms
from nas.genotype import Edge, Node, Part
from nas.neurons import NEURONS, LIFParams
from nas.neurons.modules import LIF, Integrator
from nas.ops import OPS
from nas.sparse import list_kernels as lists
from nas.sparse.dense import Linear, Signal
from nas.sparse.edges import taps
from nas.sparse.layout import Layout, NotSpikingError, linear
from nas.sparse.nodes import NodeWork, at_rest, run_step, sum_currents
from nas.sparse.readout import SpikeSums, SummedReadout
from nas.sparse.tables import MOST, Store
from nas.sparse.vector_kernels import padded

SIZES = [(1, 1, 1), (2, 7, 9), (5, 6, 1), (3, 1, 8), (4, 8, 6)]
DENSITIES = [0.0, 0.1, 0.5, 1.0]


def dyadic(module, times=1):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((times * parameter * 64).round() / 64)
    return module


def edge(op, dimension, inputs, outputs):
    """Return an operation whose norm is folded away, with exact weights."""
    module = OPS[op](dimension, inputs, outputs)
    if isinstance(module, ConvNorm):
        module[1] = nn.Identity()
    return dyadic(module)


def spikes(dimension, steps, channels, size, density, generator):
    """Return ``[T, B, C, *S]``; planes of images are the batch."""
    shape = (1, channels, *size) if dimension == 3 else (size[0], channels, *size[1:])
    return (torch.rand((steps, *shape), generator=generator) < density).float()


def planes_first(x, dimension):
    """Return one time step ``[B, C, *S]`` as ``[planes, C, rows, columns]``."""
    return x[0].transpose(0, 1) if dimension == 3 else x


def enter(arrays, found, x):
    """List the spikes ``[planes, C, rows, columns]``; return how many values are none."""
    values = np.ascontiguousarray(x.numpy())
    to = np.array([found.places, found.counts, *found.size[1:]])
    return lists.pack(values.reshape(-1), np.array(values.shape), to, arrays.places, arrays.counts)


def read(arrays, signal):
    """Return a signal as ``[planes, C, rows, columns]``; an entry that is there twice counts."""
    parts = []
    for part in signal.parts:
        planes, rows, columns = part.size
        dense = torch.zeros(planes, part.channels, rows, columns)
        for line in range(part.lines):
            first = part.places + line * part.slot
            for entry in arrays.places[first : first + arrays.counts[part.counts + line]].tolist():
                dense[line // rows, entry & MOST, line % rows, entry >> 16] += 1
        parts.append(dense)
    return torch.cat(parts, dim=1)


def run_fire(fire, inputs, dimension, *, densely=False):
    """Return what a node emits at every step, from lists, and the layout."""
    layout = Layout()
    signals = []
    for x in inputs:
        first = planes_first(x[0], dimension)
        size = first.shape[0], *first.shape[2:]
        signals.append(Signal((layout.store.spikes(size, first.shape[1]),)))
    out = layout.fire(fire, *signals)
    choose(layout, densely=densely)
    arrays = layout.store.arrays()
    found = []
    for step in range(len(inputs[0])):
        for signal, x in zip(signals, inputs, strict=True):
            assert enter(arrays, signal.parts[0], planes_first(x[step], dimension)) == 0
        run_step(layout.work, arrays)
        found.append(read(arrays, out))
    return torch.stack(found), layout, arrays


def choose(layout, *, densely):
    for work in layout.work:
        if isinstance(work, NodeWork):
            work.densely = densely


def agree(fire, inputs, dimension):
    with torch.no_grad():
        wanted = fire(*inputs)
    for densely in (False, True):
        found, *_ = run_fire(fire, inputs, dimension, densely=densely)
        for step, frame in enumerate(wanted):
            assert torch.equal(found[step], planes_first(frame, dimension)), (densely, step)
    return wanted


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("op", ["skip", "snn_b3", "conv1", "conv3", "conv5", "dilated3", "none"])
def test_every_operation_is_that_of_the_dense_node(op, dimension):
    generator = torch.Generator().manual_seed(len(op) + dimension)
    torch.manual_seed(len(op))
    fired = 0.0
    for size in SIZES:
        for density in DENSITIES:
            x = spikes(dimension, 3, 5, size, density, generator)
            fire = Fire([edge(op, dimension, 5, 5), edge("conv1", dimension, 5, 5)], LIF())
            fired += float(agree(fire, [x, x], dimension).sum())
    assert fired > 0


@pytest.mark.parametrize("channels", [(1, 1), (3, 4), (9, 16), (4, 21)])
def test_runs_of_any_length(channels):
    """Also those that do not fill whole vectors."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    x = spikes(3, 2, channels[0], (3, 5, 7), 0.4, generator)
    assert agree(Fire([edge("conv3", 3, *channels)], LIF()), [x], 3).sum() > 0


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_kernel_that_tiles_its_input(dimension):
    generator = torch.Generator().manual_seed(dimension)
    torch.manual_seed(0)
    module = ConvNorm(dimension, 4, 6, kernel=3, stride=3)
    module[1] = nn.Identity()
    for size in ((2, 6, 9), (3, 9, 3)):
        whole = (size[0] * 3, *size[1:]) if dimension == 3 else size
        x = spikes(dimension, 2, 4, whole, 0.4, generator)
        assert agree(Fire([dyadic(module)], LIF()), [x], dimension).sum() > 0


@pytest.mark.parametrize("name", [n for n in NEURONS if n not in ("relu", "integrator")])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_every_neuron_that_fires(name, reset):
    torch.manual_seed(3)
    params = LIFParams(decay=0.25, threshold=0.5)
    named = {"alif": {"adaptation": 0.125, "adaptation_decay": 0.5},
             "current": {"current_decay": 0.5}}.get(name, {})  # fmt: skip
    neuron = NEURONS[name](params, **named, reset=reset)
    x = spikes(3, 5, 3, (2, 5, 6), 0.3, torch.Generator().manual_seed(0))
    assert agree(Fire([edge("conv3", 3, 3, 4)], neuron), [x], 3).sum() > 0


def test_constants_of_channels():
    torch.manual_seed(0)
    decay = torch.tensor([0.25, 0.5, 0.125, 0.75]).view(4, 1, 1)
    x = spikes(2, 4, 3, (2, 5, 6), 0.3, torch.Generator().manual_seed(0))
    fire = Fire([edge("conv3", 2, 3, 4)], LIF(LIFParams(decay=decay)))
    assert agree(fire, [x], 2).sum() > 0
    wrong = Fire([edge("conv3", 2, 3, 4)], LIF(LIFParams(decay=torch.full((4, 5, 6), 0.5))))
    with pytest.raises(ValueError, match="one per channel"):
        run_fire(wrong, [x], 2)


@pytest.mark.parametrize("dimension", [2, 3])
def test_coarser_inputs_are_repeated(dimension):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(dimension)
    fine = spikes(dimension, 2, 3, (5, 7, 9) if dimension == 3 else (2, 7, 9), 0.3, generator)
    coarse = spikes(dimension, 2, 6, (3, 4, 5) if dimension == 3 else (2, 4, 5), 0.3, generator)
    fire = Fire([edge("conv3", dimension, 3, 4), edge("conv3", dimension, 6, 4)], LIF())
    assert agree(fire, [fine, coarse], dimension).sum() > 0


@pytest.mark.parametrize("to", [(2, 7, 9), (2, 4, 5), (2, 2, 3), (2, 13, 18), (2, 14, 17)])
def test_images_are_resized_as_dense_ones(to):
    check_resize((2, 7, 9), to, 2)


@pytest.mark.parametrize("to", [(5, 7, 9), (3, 4, 5), (2, 2, 3), (9, 13, 18), (10, 14, 17)])
def test_volumes_are_resized_as_dense_ones(to):
    check_resize((5, 7, 9), to, 3)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("op", ["skip", "conv1", "conv3", "conv5", "dilated3", "none"])
@pytest.mark.parametrize("size", [(4, 6, 8), (3, 7, 9), (1, 1, 1), (2, 5, 6), (3, 4, 1)])
def test_operations_on_an_input_of_half_the_size(size, op, dimension):
    """The repetition is in the weights; at the end of an odd axis one of two copies is missing."""
    torch.manual_seed(0)
    half = [-(-length // 2) for length in size]
    there = tuple(half) if dimension == 3 else (size[0], *half[1:])
    fire = Fire([edge(op, dimension, 4, 4), edge("conv1", dimension, 4, 4)], LIF())
    for density in (0.3, 1.0):
        x = spikes(dimension, 1, 4, there, density, torch.Generator().manual_seed(1))
        layout = Layout()
        source = layout.store.spikes(there, 4)
        seen = layout.resize(Signal((source,)), size)
        out = layout.fire(fire, seen, seen)
        arrays = layout.store.arrays()
        enter(arrays, source, planes_first(x[0], dimension))
        large = resize(x[0], size if dimension == 3 else size[1:])[None]
        with torch.no_grad():
            wanted = planes_first(fire(large, large)[0], dimension)
        for densely in (False, True):
            choose(layout, densely=densely)
            at_rest(arrays)
            run_step(layout.work, arrays)
            assert torch.equal(read(arrays, out), wanted)


def check_resize(size, to, dimension):
    for density in DENSITIES:
        x = spikes(dimension, 1, 3, size, density, torch.Generator().manual_seed(to[1]))[0]
        layout = Layout()
        source = Signal((layout.store.spikes(size, 3),))
        found = layout.resize(source, to)
        if found.twice is not None:
            found = layout.repeated(found.parts, to)
        arrays = layout.store.arrays()
        enter(arrays, source.parts[0], planes_first(x, dimension))
        run_step(layout.work, arrays)
        wanted = resize(x, to if dimension == 3 else to[1:])
        assert torch.equal(read(arrays, found), planes_first(wanted, dimension))


def part(dimension, path):
    nodes = (
        Node(edges=(Edge(source="before", op="conv3"), Edge(source="previous", op="conv1"))),
        Node(edges=(Edge(source="previous", op="dilated3"), Edge(source="node0", op="skip"))),
        Node(edges=(Edge(source="node0", op="conv5"), Edge(source="node1", op="conv3"))),
    )
    return Part(dimension=dimension, path=path, nodes=nodes)


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("path", [(0,), (1, 0), (1, 2, 2, 1)])
def test_a_path_emits_what_the_dense_one_emits(dimension, path):
    torch.manual_seed(sum(path))
    module = dyadic(fold_norms(CellPath(part(dimension, path), 6, 2)), times=4)
    size = (5, 7, 9) if dimension == 3 else (2, 7, 9)
    x = spikes(dimension, 3, 6, size, 0.3, torch.Generator().manual_seed(0))
    layout = Layout()
    entry = layout.store.spikes(size, 6)
    out = layout.path(module, Signal((entry,)))
    arrays = layout.store.arrays()
    with torch.no_grad():
        wanted = module(x)
    assert wanted.sum() > 0
    for densely in (False, True):  # the second time, all neurons rest again
        choose(layout, densely=densely)
        at_rest(arrays)
        for step in range(len(x)):
            enter(arrays, entry, planes_first(x[step], dimension))
            run_step(layout.work, arrays)
            assert torch.equal(read(arrays, out), planes_first(wanted[step], dimension))


@pytest.mark.parametrize("dimension", [2, 3])
def test_separable_and_unfolded_layers_are_one_convolution(dimension):
    torch.manual_seed(0)
    x = torch.rand(2, 3, *(5,) * dimension)
    for module in (OPS["separable3"](dimension, 3, 4), ConvNorm(dimension, 3, 4)):
        for _ in range(3):
            module.train()(torch.randn_like(x))
        found = linear(module.eval())
        conv = F.conv3d if dimension == 3 else F.conv2d
        with torch.no_grad():
            torch.testing.assert_close(
                conv(x, found.weight, found.bias, padding=1), module(x), rtol=1e-4, atol=1e-5
            )


def test_currents_add_up_over_steps():
    torch.manual_seed(0)
    store = Store()
    source = store.spikes((3, 4, 5), 2)
    conv = dyadic(nn.Conv3d(2, 1, 3, padding=1))
    work, found = sum_currents(
        store, source.size, 1, [taps(store, source, conv.weight)], conv.bias, adds=True
    )
    arrays = store.arrays()
    x = spikes(3, 3, 2, (3, 4, 5), 0.4, torch.Generator().manual_seed(0))
    for step in x:
        enter(arrays, source, planes_first(step, 3))
        work.run(arrays)
    total = arrays.numbers[found.numbers : found.numbers + 60].reshape(3, 4, 5)
    with torch.no_grad():
        assert np.array_equal(total, conv(x[:, 0]).sum(0)[0].numpy())


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("size", SIZES)
def test_the_last_convolution_is_that_of_every_step_summed(size, density):
    """Of signals of one part and of two, of one window after the other."""
    torch.manual_seed(0)
    conv = dyadic(nn.Conv3d(5, 1, 3, padding=1))
    store = Store()
    parts = tuple(store.spikes(size, channels) for channels in (2, 3))
    sums = SpikeSums(Signal(parts))
    work = SummedReadout(sums, Linear(conv.weight, conv.bias), store.currents(size, 1))
    arrays = store.arrays()
    for seed in range(2):
        x = spikes(3, 3, 5, size, density, torch.Generator().manual_seed(seed))
        sums.begin()
        for step in x:
            for part, channels in zip(parts, (slice(2), slice(2, None)), strict=True):
                enter(arrays, part, planes_first(step[:, channels], 3))
            sums.run(arrays)
        work.run(arrays)
        with torch.no_grad():
            assert np.array_equal(work.to.view(arrays)[..., 0], conv(x[:, 0]).sum(0)[0].numpy())


@pytest.mark.parametrize(
    "op",
    [
        Linear(torch.zeros(2, 4, 3, 3, 3)), Linear(torch.zeros(1, 3, 3, 3, 3)), Linear(),
        Linear(torch.zeros(1, 4, 1, 1, 1)), Linear(torch.zeros(1, 4, 3, 3, 3), dilation=2),
    ],
)  # fmt: skip
def test_other_last_convolutions_are_refused(op):
    store = Store()
    sums = SpikeSums(Signal((store.spikes((2, 3, 4), 4),)))
    with pytest.raises(ValueError, match="A readout has weights"):
        SummedReadout(sums, op, store.currents((2, 3, 4), 1))


@pytest.mark.parametrize("op", ["conv3", "dilated3"])
@pytest.mark.parametrize("density", [0.004, 0.02, 0.06, 0.3])
@pytest.mark.parametrize("columns", [39, 120])
def test_lists_with_few_spikes_and_with_many(columns, density, op):
    """Every second run of a crowded list goes to another row, which must be added and emptied."""
    torch.manual_seed(0)
    x = spikes(3, 3, 4, (3, 4, columns), density, torch.Generator().manual_seed(0))
    agree(Fire([edge(op, 3, 4, 8), edge("conv1", 3, 4, 8)], LIF()), [x, x], 3)


def test_what_is_no_spike_is_counted():
    store = Store()
    found = store.spikes((1, 3, 3), 2)
    x = torch.zeros(1, 2, 3, 3)
    x[0, 0, 0, 0], x[0, 1, 2, 1] = 0.5, 2.0
    assert enter(store.arrays(), found, x) == 2


def test_threads_change_nothing():
    torch.manual_seed(0)
    x = spikes(3, 2, 8, (9, 60, 80), 0.2, torch.Generator().manual_seed(0))
    fire = Fire([edge("conv3", 3, 8, 8)], LIF())
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(run_fire(fire, [x], 3)[2])
    finally:
        torch.set_num_threads(before)
    one, other = found
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.places, other.places)


@pytest.mark.parametrize("length", range(1, 40))
def test_runs_are_whole_vectors(length):
    assert padded(length) >= length
    assert padded(length) % 8 == 0
    assert padded(length) < length + 8


def test_what_neither_fires_nor_rectifies_is_refused():
    layout = Layout()
    x = Signal((layout.store.spikes((1, 3, 3), 2),))
    with pytest.raises(NotSpikingError, match="Integrator"):
        layout.fire(Fire([edge("conv3", 2, 2, 2)], Integrator()), x)
    with pytest.raises(NotSpikingError, match="Linear"):
        layout.fire(Fire([nn.Linear(2, 2)], LIF()), x)


@pytest.mark.parametrize("dimension", [2, 3])
def test_analog_nodes(dimension):
    """Spikes to analog values, both of them to analog values, all of it to spikes."""
    torch.manual_seed(0)
    size = (5, 7, 9) if dimension == 3 else (2, 7, 9)
    x = spikes(dimension, 3, 4, size, 0.3, torch.Generator().manual_seed(0))
    ops = [["conv3", "skip"], ["dilated3", "conv1"], ["conv3", "skip"]]
    neurons = [NEURONS["relu"](LIFParams()), NEURONS["relu"](LIFParams()), LIF()]
    first, second, third = (
        Fire([edge(op, dimension, 4, 4) for op in names], neuron)
        for names, neuron in zip(ops, neurons, strict=True)
    )
    with torch.no_grad():
        one = first(x, x)
        two = second(x, one)
        wanted = third(two, one), two
    layout = Layout()
    entry = Signal((layout.store.spikes(size, 4),))
    one = layout.fire(first, entry, entry)
    two = layout.fire(second, entry, one)
    out = layout.fire(third, two, one)
    arrays = layout.store.arrays()
    assert wanted[0].sum() > 0
    for densely in (False, True):
        choose(layout, densely=densely)
        at_rest(arrays)
        for step, frame in enumerate(x):
            enter(arrays, entry.parts[0], planes_first(frame, dimension))
            run_step(layout.work, arrays)
            values = torch.from_numpy(two.parts[0].view(arrays)).permute(0, 3, 1, 2)
            assert torch.equal(values, planes_first(wanted[1][step], dimension))
            assert torch.equal(read(arrays, out), planes_first(wanted[0][step], dimension))


def test_maps_too_large_for_an_entry_are_refused():
    with pytest.raises(ValueError, match="65,535"):
        Store().spikes((1, 1, MOST + 1), 1)
