"""The network: sizes, symmetries, volumes, estimator and losses."""

import math

import pytest
import torch
from torch import nn

from nas.genotype import Genotype
from nas.rates import firing_rates, unhealthy
from stereo.config import StereoConfig, load_genotype
from stereo.cost_volume import coincidence_volume, concat_volume
from stereo.disparity import running_mean, soft_argmax
from stereo.errors import StereoError
from stereo.losses import masked_mean, plane_cross_entropy, smooth_l1
from stereo.network import STRIDE, HybridStereo
from stereo.presets import PRESETS


def spikes(*shape, rate=0.3, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_builds_and_runs_one_step(name):
    config = PRESETS[name]()
    assert StereoConfig.from_dict(config.to_dict()) == config
    network = HybridStereo(config)
    shape = (config.encoding.steps, 1, network.encoding.channels, 24, 36)
    with firing_rates(network) as rates:
        scores = network.scores(spikes(*shape), spikes(*shape, seed=1), 12)
    assert scores.shape == (1, 5, 24, 36)
    scores.square().mean().backward()
    trained = {n for n, p in network.named_parameters() if p.grad is not None}
    assert trained == {n for n, _ in network.named_parameters()}
    assert not unhealthy({n: float(r.detach()) for n, r in rates.items()}), "no layer starts dead"


def test_spikes_of_the_cost_volume_are_paid_for():
    network = HybridStereo(PRESETS["tiny"]())
    x = spikes(2, 1, 2, 24, 36)
    with torch.no_grad(), firing_rates(network) as rates:
        network.scores(x, x, 12)
    assert "volume" not in rates, "it is no layer of neurons"
    assert rates.places["volume"] == 2 * network.features.out_channels * 5 * 8 * 12
    assert 0 < float(rates.spikes["volume"]) < rates.places["volume"]
    assert set(rates.places) == {*rates, "volume"}
    assert all(float(rates[n]) * rates.places[n] == pytest.approx(float(rates.spikes[n]))
               for n in rates)  # fmt: skip


@pytest.mark.parametrize("size", [(24, 36), (25, 37), (11, 16), (3, 3), (1, 2)])
@pytest.mark.parametrize("steps", [1, 3])
def test_any_size_and_number_of_steps(size, steps):
    network = HybridStereo(PRESETS["tiny"]()).eval()
    x = spikes(steps, 2, 2, *size)
    disparity = network(x, x)
    assert disparity.shape == (2, *size)
    assert bool(((disparity >= 0) & (disparity <= 15)).all())


def test_scores_after_each_step_are_those_of_a_shorter_window():
    network = HybridStereo(PRESETS["tiny"]()).double().eval()
    left, right = spikes(3, 2, 2, 20, 31).double(), spikes(3, 2, 2, 20, 31, seed=1).double()
    steps = network.scores_by_step(left, right)
    for count in (1, 2, 3):
        torch.testing.assert_close(
            steps[count - 1], network.scores(left[:count], right[:count]), rtol=0, atol=1e-12
        )
    torch.testing.assert_close(network.scores_by_step(left, right, last=True)[0], steps[-1])


def test_running_means():
    values = torch.tensor([[2.0, 0.0], [4.0, 6.0], [0.0, 3.0]])
    expected = torch.tensor([[2.0, 0.0], [3.0, 3.0], [2.0, 3.0]])
    torch.testing.assert_close(running_mean(values), expected)
    assert running_mean(values[:0]).shape == (0, 2)


def test_samples_of_a_batch_do_not_see_each_other():
    network = HybridStereo(PRESETS["tiny"]()).eval()
    left, right = spikes(2, 3, 2, 24, 36), spikes(2, 3, 2, 24, 36, seed=1)
    together = network(left, right)
    alone = torch.cat([network(left[:, i : i + 1], right[:, i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_binary_features_make_binary_volumes():
    left, right = spikes(2, 1, 3, 4, 6), spikes(2, 1, 3, 4, 6, seed=1)
    both, match = concat_volume(left, right, 8), coincidence_volume(left, right, 8)
    assert both.shape == (2, 1, 6, 8, 4, 6)
    assert match.shape == (2, 1, 3, 8, 4, 6)
    for d in range(8):
        for x in range(6):
            if x >= d:
                here, there = left[..., x], right[..., x - d]
                assert torch.equal(both[..., d, :, x], torch.cat([here, there], dim=2))
                assert torch.equal(match[..., d, :, x], here * there)
            else:
                assert not both[..., d, :, x].any()
                assert not match[..., d, :, x].any()


def test_soft_argmax_finds_a_peak_and_keeps_two_apart():
    scores = torch.zeros(1, 9, 1, 2)
    scores[0, 4] = 20.0
    scores[0, 5, 0, 1] = 20.0
    scores[0, 0] = 15.0
    found = soft_argmax(scores, 3.0)
    assert found[0, 0].tolist() == pytest.approx([12.0, 13.5], abs=0.01)
    edge = torch.zeros(1, 9, 1, 1)
    edge[0, 0] = 30.0
    assert float(soft_argmax(edge, 3.0)) == pytest.approx(0.0, abs=1e-4)
    assert float(soft_argmax(torch.zeros(1, 1, 1, 1), 3.0)) == 0.0


@pytest.mark.parametrize(("spacing", "floor"), [(1, 1.694), (2, 1.022), (3, 0.675)])
def test_cross_entropy_has_the_published_floor(spacing, floor):
    """Mean entropy of a Laplace target over all sub-plane offsets."""
    truth = torch.linspace(30, 30 + spacing, 201)[:-1].view(1, 1, -1)
    planes = torch.arange(0, 96, spacing).view(1, -1, 1, 1)
    perfect = -(planes - truth.unsqueeze(1)).abs()
    valid = torch.ones_like(truth, dtype=torch.bool)
    loss = plane_cross_entropy(perfect.float(), truth, valid, float(spacing))
    assert float(loss) == pytest.approx(floor, abs=0.002)
    worse = plane_cross_entropy(perfect.float() * 0.5, truth, valid, float(spacing))
    assert float(worse) > float(loss)


def test_losses_look_at_valid_pixels_only():
    truth, guess = torch.zeros(1, 2, 2), torch.tensor([[[3.0, math.nan], [1.0, 9.0]]])
    valid = torch.tensor([[[True, False], [True, False]]])
    assert float(smooth_l1(guess, truth, valid)) == pytest.approx((2.5 + 0.5) / 2)
    assert float(masked_mean(guess, torch.zeros_like(valid))) == 0.0


def test_a_genotype_without_matching_is_refused():
    part = {"feature": load_genotype("spikedhs").parts["feature"]}
    with pytest.raises(StereoError, match=r"needs the genotype parts \['matching'\]"):
        HybridStereo(PRESETS["tiny"](), Genotype(space="x", parts=part))


def test_overrides_are_typed_and_named():
    config = PRESETS["tiny"]().override(
        {"train.steps": "7", "train.ema": "1", "encoding.name": "voxel"}
    )
    assert config.train.steps == 7
    assert config.train.ema == 1.0
    assert not HybridStereo(config).encoding.emits_spikes
    assert isinstance(HybridStereo(config).entry, nn.Identity)
    for path, value, message in (
        ("train.nothing", "1", "No configuration field 'train.nothing'"),
        ("steps", "1", "No configuration field 'steps'"),
        ("train.steps", "1.5", "must be of type int"),
        ("train.steps", "x", "must be of type int"),
        ("encoding.name", "x", "Unknown encoding 'x'"),
        ("encoding.steps", "0", "at least one step"),
        ("network.volume_channels", "0", "must be positive"),
        ("network.volume", "x", "Unknown cost volume 'x'"),
    ):
        with pytest.raises(StereoError, match=message):
            config.override({path: value})


def test_max_disparity_sets_the_number_of_planes():
    network = HybridStereo(PRESETS["tiny"]()).eval()
    x = spikes(2, 1, 2, 12, 48)
    assert network.scores(x, x).shape[1] == -(-15 // STRIDE) + 1
    assert network.scores(x, x, 30).shape[1] == 11
