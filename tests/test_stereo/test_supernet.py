"""Expected energy of relaxed networks, and the stereo network while it is searched."""

import pytest
import torch

from energy import profile
from energy.expected import ExpectedEnergy
from nas.cell import CellPath
from nas.decode import beliefs_of, decode
from nas.genotype import Part
from nas.relaxed.architecture import PartArchitecture, architectures, decide
from nas.relaxed.gating import expected_parameters, gated
from nas.relaxed.inherit import inherit
from nas.relaxed.path import Computed
from nas.space import SPACES, PartSpace, SearchSpace
from stereo.classifier import SpikingClassifier
from stereo.classifier_config import ClassifierConfig, ClassifierNetwork
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.relaxed_classifier import RelaxedClassifier
from stereo.supernet import RelaxedStereo

TINY = SearchSpace(
    name="tiny",
    parts={
        "feature": PartSpace(dimension=2, layers=2, candidates=("skip", "conv3", "conv1"),
                             nodes=2, levels=2, analog=True),
        "matching": PartSpace(dimension=3, layers=2, candidates=("skip", "conv3"), nodes=2,
                              levels=2, analog=True),
    },
)  # fmt: skip


def events(seed=0, steps=2, channels=2):
    generator = torch.Generator().manual_seed(seed)
    size = steps, 1, channels, 24, 36
    return [(torch.rand(size, generator=generator) < 0.3).float() for _ in range(2)]


def pair(space=TINY, seed=0, spiking=None, shared=False):
    """Return a relaxed network at a vertex and the network built from its genotype."""
    torch.manual_seed(seed)
    config = PRESETS["tiny"]()
    relaxed = RelaxedStereo(config, space, Computed(shared=shared))
    beliefs = {}
    for name, part in space.parts.items():
        drawn = PartArchitecture(part)
        for parameter in drawn.parameters():
            parameter.data.normal_()
        beliefs[name] = drawn.beliefs()
    for stages, pattern in zip((b.spiking for b in beliefs.values()), spiking or (), strict=False):
        for logit, spikes in zip(stages.values(), pattern, strict=True):
            logit.data.fill_(1.0 if spikes else -1.0)
    genotype = decode(space, beliefs, {})
    left, right = events(channels=2 * config.encoding.bins)
    relaxed.train()
    for _ in range(3):  # so that norms know their statistics, and something fires
        decide(relaxed)
        relaxed(left, right)
    built = HybridStereo(config, genotype)
    inherit(relaxed.eval(), built.eval())
    sure = beliefs_of(space, genotype)
    for (_, architecture), name in zip(architectures(relaxed), space.parts, strict=True):
        architecture.load(sure[name])
    return relaxed, built, (left, right)


PATTERNS = {
    "spiking": ([1, 1, 1, 1], [1, 1, 1, 1]),
    "analog": ([0, 0, 0, 0], [0, 0, 0, 0]),
    "analog at the end": ([1, 1, 1, 1], [1, 1, 0, 0]),
    "analog first": ([0, 0, 1, 1], [1, 1, 1, 1]),
    "one spiking stage": ([0, 0, 0, 1], [0, 0, 0, 0]),
    "drawn": None,
}


@pytest.mark.parametrize(
    ("name", "shared"), [*((name, False) for name in PATTERNS), ("drawn", True), ("analog", True)]
)
def test_at_a_vertex_outputs_and_energy_are_those_of_the_decoded_network(name, shared):
    relaxed, built, inputs = pair(seed=len(name), spiking=PATTERNS[name], shared=shared)
    with torch.no_grad():
        decide(relaxed)
        torch.testing.assert_close(relaxed(*inputs), built(*inputs), rtol=0, atol=1e-4)
    report = profile(built, *inputs)
    assert report.total_mj > 0
    expected = ExpectedEnergy(momentum=0.0)
    with gated(relaxed):
        expected.measure(relaxed, *inputs)
        found = expected.expected_mj(relaxed)
    assert found.item() == pytest.approx(report.total_mj, rel=1e-6)


@pytest.mark.parametrize("stages", ["drawn", "1000", "1100", "0000", "0110", "1111"])
@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("pool", ["spiking", "average"])
def test_a_classifier_at_a_vertex_is_the_decoded_one(pool, frames, stages):
    torch.manual_seed(len(pool) + frames)
    space = SPACES["tiny_images"]()
    network = ClassifierNetwork(steps=3, channels=2, classes=4, height=12, width=12, pool=pool,
                                inputs=2 if frames else 3, frames=frames)  # fmt: skip
    config = ClassifierConfig(name="tiny", task="imagenet", network=network)
    relaxed = RelaxedClassifier(config, space, Computed(shared=stages > "1")).train()
    x = (torch.rand(*((3,) if frames else ()), 6, network.inputs, 12, 12) < 0.5).float()
    for _ in range(3):
        decide(relaxed)
        relaxed(x)
    drawn = PartArchitecture(space.parts["feature"])
    for parameter in drawn.parameters():
        parameter.data.normal_()
    if stages != "drawn":
        for logit, spikes in zip(drawn.beliefs().spiking.values(), stages, strict=True):
            logit.data.fill_(1.0 if spikes == "1" else -1.0)
    genotype = decode(space, {"feature": drawn.beliefs()}, {})
    built = SpikingClassifier(config, genotype).eval()
    inherit(relaxed.eval(), built)
    next(iter(architectures(relaxed)))[1].load(beliefs_of(space, genotype)["feature"])
    expected = ExpectedEnergy(momentum=0.0)
    with torch.no_grad():
        with gated(relaxed):  # before any other pass here: nothing depends on the last one
            expected.measure(relaxed, x)
            found = expected.expected_mj(relaxed)
            assert expected_parameters(relaxed) == sum(p.numel() for p in built.parameters())
        decide(relaxed)
        torch.testing.assert_close(relaxed(x), built(x), rtol=0, atol=1e-5)
    # A head that averages spikes reads counts of them. Built, it adds them up; while it is searched
    # all that is behind a rectifier multiplies.
    *_, last, end = genotype.parts["feature"].stages.values()
    exact = end[0].spikes or not any(node.spikes for node in last)
    total = profile(built, x).total_mj
    assert found.item() == pytest.approx(total, rel=1e-6 if exact else 5e-3)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_open_does_not_make_spikes_analog(seed):
    """A chance, however small, that a stage sees the mean over time makes no events analog."""
    torch.manual_seed(seed)
    relaxed = RelaxedStereo(PRESETS["tiny"](), TINY)
    drawn = {name: PartArchitecture(part) for name, part in TINY.parts.items()}
    for parameter in (p for part in drawn.values() for p in part.parameters()):
        parameter.data.normal_()
    genotype = decode(TINY, {name: part.beliefs() for name, part in drawn.items()}, {})
    inputs = events(seed)
    for _ in range(3):  # so that norms know their statistics, and something fires
        decide(relaxed.train())
        relaxed(*inputs)
    expected = ExpectedEnergy()
    with gated(relaxed.eval()):
        expected.measure(relaxed, *inputs)
    rows = {row["path"]: row for row in expected.state_dict()["layers"]}
    first, volume = rows["features.stem.0.edges.0.0"], rows["matching.stem.edges.0.0"]
    assert first["analog"] == volume["analog"] == 0
    built = HybridStereo(PRESETS["tiny"](), genotype).eval()
    layers = {layer.name: layer for layer in profile(built, *inputs).layers}
    seen = layers["features.stem.0.edges.0.0"]
    assert (first["ac"], first["dense"]) == (seen.ac, seen.dense)
    assert volume["ac"] < volume["dense"]


def test_expected_energy_has_a_gradient_to_every_decision():
    torch.manual_seed(0)
    relaxed = RelaxedStereo(PRESETS["tiny"](), TINY)
    inputs = events(channels=2)
    expected = ExpectedEnergy()
    with gated(relaxed):
        expected.measure(relaxed, *inputs)
        expected.expected_mj(relaxed).backward()
    for _, part in architectures(relaxed):
        for name, parameter in part.named_parameters():
            decided = parameter.numel() == 1 and not name.startswith("spiking")
            kept = name.startswith("edges.0")  # two of two
            assert decided or kept or float(parameter.grad.abs().sum()) > 0, name


@pytest.mark.parametrize("name", ["spikedhs", "hybrid_stereo"])
def test_the_spaces_for_stereo_build_and_run(name):
    torch.manual_seed(0)
    relaxed = RelaxedStereo(PRESETS["tiny"](), SPACES[name](), Computed(sampled=True)).train()
    decide(relaxed)
    scores = relaxed.scores(*events(channels=2))
    scores.square().mean().backward()
    assert scores.shape[-2:] == (24, 36)
    assert any(p.grad is not None for _, a in architectures(relaxed) for p in a.parameters())


def test_the_published_path_is_one_of_the_space():
    genotype = PRESETS["tiny"]().network.genotype
    assert genotype == "spikedhs"
    network = HybridStereo(PRESETS["tiny"]())
    for name, part in network.genotype.parts.items():
        assert isinstance(part, Part)
        assert part.path in set(SPACES["spikedhs"]().parts[name].paths())
    assert isinstance(network.features.cells, CellPath)
