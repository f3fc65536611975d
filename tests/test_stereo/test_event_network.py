"""The network on lists of spikes beside the network itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference.networks import exact_network

from nas.fused.threads import share
from nas.methods.sampling import random_genotype
from nas.sparse.nodes import NodeWork
from stereo.analog_twin import analog_genotype
from stereo.checkpoint import SHIPPED, load_run
from stereo.config import load_genotype
from stereo.disparity import WINDOW, soft_argmax, upsample_scores
from stereo.disparity_kernels import estimate
from stereo.errors import StereoError
from stereo.event_network import EventNetwork
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.search.setting import Relaxation


def views(network, size, density, seed=0):
    shape = network.config.encoding.steps, 1, network.encoding.channels, *size
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(shape, generator=generator) < density).float() for _ in range(2)]


@torch.no_grad()
def settled(network, left, right):
    """Let norms learn their statistics, so that layers fire; return what is estimated then."""
    for _ in range(20):
        network.train()(left, right)
    return network.eval()(left, right)


def close(found, wanted):
    """Whether estimates agree, but for a few pixels.

    A membrane within a rounding error of its threshold may fall to the other side of it, and of two
    planes with the same score the other may be taken.
    """
    return float(((found - wanted).abs() > 1e-3).float().mean()) < 0.01


@pytest.mark.parametrize("size", [(24, 36), (25, 37), (7, 50), (1, 1)])
@pytest.mark.parametrize("steps", [1, 3])
def test_it_estimates_what_the_network_estimates(size, steps):
    network = exact_network(steps=steps)
    events = EventNetwork(network, *size)
    for density in (0.3, 0.0, 1.0, 0.05):
        left, right = views(network, size, density)
        with torch.no_grad():
            wanted = network(left, right)
        assert close(events(left, right), wanted)


@pytest.mark.parametrize("density", [0.01, 0.9])
def test_whatever_is_chosen_gives_the_same(density):
    network = exact_network(steps=2)
    left, right = views(network, (48, 72), density)
    events = EventNetwork(network, 48, 72)
    before = events(left, right)
    nodes = [work for work in events.layout.work if isinstance(work, NodeWork)]
    assert 0 <= events.calibrate(left, right) <= len(nodes)
    assert close(events(left, right), before)
    for chosen in (False, True):
        for node in nodes:
            node.densely = chosen
        assert close(events(left, right), before)


def test_the_layers_fire():
    """Otherwise there would be nothing to agree on."""
    network = exact_network(steps=3)
    rates = []
    for module in network.modules():
        if getattr(module, "emits_spikes", False):
            module.register_forward_hook(lambda *found: rates.append(float(found[2].mean())))
    with torch.no_grad():
        network(*views(network, (24, 36), 0.3))
    assert sum(rate > 0 for rate in rates) > len(rates) // 2


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (7, 11), (24, 36), (50, 80)])
@pytest.mark.parametrize("planes", [1, 2, 17])
def test_the_estimate_of_scores_is_that_of_the_two_steps(size, planes):
    """Upsampling and soft argmax in one pass, beside both of them in torch."""
    coarse = [-(-length // 3) for length in size]
    scores = 3 * torch.randn(planes, *coarse, generator=torch.Generator().manual_seed(planes))
    for values in (scores, torch.zeros_like(scores)):
        large = upsample_scores(values[None] / 4, (3 * coarse[0], 3 * coarse[1]))
        wanted = soft_argmax(large[..., : size[0], : size[1]], 3)[0]
        found = np.zeros(size, np.float32)
        share(
            lambda tickets, v=values, f=found: estimate(v.numpy(), 0.25, 3, WINDOW, f, tickets),
            found.size,
        )
        torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("planes", [3, 30, 90])
def test_disparities_up_to_any_limit(planes):
    network = exact_network()
    left, right = views(network, (12, 33), 0.3)
    with torch.no_grad():
        wanted = network(left, right, planes)
    found = EventNetwork(network, 12, 33, planes)(left, right)
    assert close(found, wanted)


def test_the_shipped_network():
    network = load_run(SHIPPED)
    left, right = views(network, (60, 81), 0.05)
    found = EventNetwork(network, 60, 81)(left, right)
    with torch.no_grad():
        wanted = network(left, right)
    assert close(found, wanted)


def test_a_dead_camera():
    network = exact_network()
    left, right = views(network, (24, 36), 0.3)
    right = torch.zeros_like(right)
    with torch.no_grad():
        wanted = network(left, right)
    found = EventNetwork(network, 24, 36)(left, right)
    assert close(found, wanted)


def test_a_forward_pass_of_its_own_is_refused():
    class Other(HybridStereo):
        def forward(self, left, right, max_disparity=None):
            return left

    with pytest.raises(StereoError, match="Other has a forward pass of its own"):
        EventNetwork(Other(PRESETS["tiny"]()), 12, 12)


def test_other_encodings_are_refused():
    with pytest.raises(StereoError, match="binary encoding"):
        EventNetwork(exact_network(**{"encoding.name": "voxel"}), 12, 12)


@pytest.mark.parametrize("size", [(24, 36), (7, 50), (1, 1)])
@pytest.mark.parametrize("planes", [1, 4, 40])
def test_a_concatenation_volume_is_never_built(size, planes):
    network = exact_network(**{"network.volume": "concatenation"})
    events = EventNetwork(network, *size, planes)
    for density in (0.3, 0.0, 1.0):
        left, right = views(network, size, density)
        with torch.no_grad():
            wanted = network(left, right, planes)
        assert close(events(left, right), wanted)


@pytest.mark.parametrize("seed", range(12))
def test_networks_of_spiking_and_analog_stages(seed):
    """Whatever the search may find: any wiring, path and neurons, analog stages that run once."""
    space = Relaxation(space="hybrid_stereo", neurons=("lif", "alif", "plif")).build()
    genotype = random_genotype(space, np.random.default_rng(seed))
    torch.manual_seed(seed)
    network = HybridStereo(PRESETS["tiny"]().override({"encoding.steps": "3"}), genotype)
    left, right = views(network, (24, 36), 0.3, seed)
    wanted = settled(network, left, right)
    events = EventNetwork(network, 24, 36)
    nodes = [w for w in (*events.layout.work, *events.layout.last) if isinstance(w, NodeWork)]
    for chosen in (False, True):
        for node in nodes:
            node.densely = chosen
        found = events(left, right)
        assert close(found, wanted)


@pytest.mark.parametrize("volume", ["coincidence", "concatenation"])
@pytest.mark.parametrize("parts", [(), ("feature",), ("matching",), ("feature", "matching")])
def test_analog_stages_run_once_behind_the_last_spike(parts, volume):
    config = PRESETS["tiny"]().override({"network.volume": volume})
    spiking = load_genotype(config.network.genotype)
    analog = analog_genotype(spiking)
    mixed = {name: (analog if name in parts else spiking).parts[name] for name in spiking.parts}
    torch.manual_seed(0)
    network = HybridStereo(config, replace(spiking, parts=mixed))
    left, right = views(network, (24, 36), 0.3)
    wanted = settled(network, left, right)
    events = EventNetwork(network, 24, 36)
    assert any(isinstance(work, NodeWork) for work in events.layout.last) == ("matching" in parts)
    found = events(left, right)
    assert close(found, wanted)


def test_frames_that_it_was_not_laid_out_for_are_refused():
    network = exact_network()
    events = EventNetwork(network, 12, 15)
    left, right = views(network, (12, 18), 0.3)
    with pytest.raises(StereoError, match="12 x 15"):
        events(left, right)
    left, right = views(network, (12, 15), 0.3)
    with pytest.raises(StereoError, match="no spikes"):
        events(left * 0.5, right)
