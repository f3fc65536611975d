"""The classifier: published size, inputs of both kinds, what runs once, energy per image."""

import json
from dataclasses import replace

import pytest
import torch

from energy import profile
from nas.fold import fold_norms
from nas.genotype import Genotype
from nas.rates import firing_rates, unhealthy
from nas.relaxed.architecture import decide
from nas.space import SPACES, SearchSpace
from stereo.checkpoint import load_network, load_run, save_network
from stereo.classifier import SpikingClassifier
from stereo.classifier_config import ClassifierConfig
from stereo.config import load_genotype
from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.relaxed_classifier import RelaxedClassifier


def small(**network):
    config = IMAGE_PRESETS["tiny_images"]()
    return replace(config, network=replace(config.network, **network))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_published_network_has_its_published_size():
    assert count(SpikingClassifier(IMAGE_PRESETS["cifar10_spikedhs"]())) == 14_293_758


@pytest.mark.parametrize("name", sorted(IMAGE_PRESETS))
def test_every_preset_survives_json_and_no_layer_starts_dead(name):
    config = IMAGE_PRESETS[name]()
    assert ClassifierConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    narrow = replace(config, network=replace(config.network, channels=2, steps=3))
    network = SpikingClassifier(narrow, auxiliary=True)
    shape = (4, config.network.inputs, 24, 24)
    x = torch.randn(3, *shape) if config.network.frames else torch.randn(shape)
    with firing_rates(network) as rates:
        scores, second = network.both(x)
    assert scores.shape == (4, config.network.classes)
    assert (second is not None) == (config.network.auxiliary >= 0)
    assert not unhealthy({n: float(rate.detach()) for n, rate in rates.items()})
    (scores.square().sum() + (0 if second is None else second.square().sum())).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_still_picture_is_the_same_frame_at_every_step():
    """Direct coding: what the stem computes once equals what it would compute T times."""
    still = SpikingClassifier(small(steps=3)).eval()
    frames = SpikingClassifier(small(steps=3, frames=True)).eval()
    frames.load_state_dict(still.state_dict())
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(still(x), frames(x.expand(3, *x.shape)))


def test_the_stem_multiplies_once_and_the_rest_accumulates():
    config = small(steps=4)
    network = SpikingClassifier(config).eval()
    report = profile(network, torch.randn(5, 3, 16, 16), steps=4)
    layers = {layer.name: layer for layer in report.layers}
    width = config.network.stem_widths[-1]
    # three rows and columns of taps, but for those that lie outside the picture
    assert layers["stem.convolutions.0.0"].mac == 3 * width * (3 * 16 - 2) ** 2
    assert sum(layer.mac for layer in report.layers) == layers["stem.convolutions.0.0"].mac
    assert sum(layer.ac for layer in report.layers) > 0
    assert not report.uncounted


def test_energy_is_that_of_one_image():
    network = SpikingClassifier(small()).eval()
    x = torch.randn(2, 3, 16, 16)
    each = [profile(network, x[n : n + 1]).total_mj for n in range(2)]
    assert each[0] != each[1]
    assert profile(network, x).total_mj == pytest.approx(sum(each) / 2)


def test_an_average_pool_runs_its_linear_layer_once():
    network = SpikingClassifier(small(pool="average", steps=3)).eval()
    calls = []
    network.head.linear.register_forward_hook(lambda _m, inputs, _o: calls.append(inputs[0].shape))
    network(torch.randn(2, 3, 16, 16))
    assert calls == [torch.Size([2, network.cells.out_channels])]


def test_strides_of_the_stem_shrink_the_cells():
    network = SpikingClassifier(small(stem_strides=(2, 2)))
    spikes = network.stem(torch.randn(1, 3, 33, 17))
    assert spikes.shape == (2, 1, 6, 9, 5)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    assert network.stem.convolutions[0][0].out_channels == 3


def test_a_run_folder_leaves_out_what_only_training_needs(tmp_path):
    network = SpikingClassifier(small(auxiliary=2), auxiliary=True).eval()
    save_network(tmp_path, network, {})
    loaded = load_run(tmp_path, fold=False)
    assert loaded.auxiliary is None
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(x), network(x))
    torch.testing.assert_close(fold_norms(network)(x), network(x))
    with pytest.raises(StereoError, match="for the task imagenet, which sees no depth"):
        load_network(tmp_path)


def test_what_is_no_classifier_is_refused():
    parts = {"matching": load_genotype("spikedhs").parts["matching"]}
    with pytest.raises(StereoError, match="2-D part 'feature'"):
        SpikingClassifier(small(), Genotype(space="x", parts=parts))
    with pytest.raises(StereoError, match="auxiliary is 8, but the genotype has 8 layers"):
        SpikingClassifier(small(auxiliary=8), auxiliary=True)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("network.pool", "max", "spiking or average"),
        ("network.stem_strides", "[2, 0]", "at least 1 for each"),
        ("network.stem_strides", "2", "must be of type tuple"),
        ("network.classes", "1", "two classes"),
        ("augment.cutout", "-1", "augment.cutout cannot be -1: .*0 or more"),
        ("dgs.judge", "who", "dgs.judge cannot be who"),
        ("train.optimizer", "lion", "known: adamw, sgd"),
        ("train.accumulate", "3", "do not make 3"),
        ("train.steps", "true", "must be of type int"),
        ("train", "1", "network.*, augment.*, train.*, dgs.*"),
    ],
)
def test_values_without_meaning_are_refused(path, value, words):
    with pytest.raises(StereoError, match=words):
        small().override({path: value})


def test_a_configuration_with_unknown_parts_is_refused():
    document = small().to_dict()
    with pytest.raises(StereoError, match=r"unknown \['more'\]"):
        ClassifierConfig.from_dict(document | {"more": 1})
    with pytest.raises(StereoError, match="malformed"):
        ClassifierConfig.from_dict(document | {"network": {"width": 3, "tall": 1}})


@pytest.mark.parametrize("pool", ["average", "spiking"])
def test_a_searched_classifier_sends_gradients_to_all_that_is_open(pool):
    network = RelaxedClassifier(small(pool=pool), SPACES["spikedhs_cifar"]())
    decide(network)
    scores = network(torch.randn(4, 3, 16, 16))
    assert scores.shape == (4, 2)
    scores.square().sum().backward()
    assert all(p.grad is not None for p in network.cells.architecture.parameters())
    with pytest.raises(StereoError, match="2-D part 'feature'"):
        RelaxedClassifier(small(), SearchSpace(name="x", parts={}))
