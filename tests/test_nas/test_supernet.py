"""The relaxed path: at a vertex it is the decoded network; mixed, everything gets a gradient."""

import pytest
import torch
from torch import nn

from nas.cell import FixedPart, over_time, stages_run_once
from nas.decode import beliefs_of, decode
from nas.dims import ConvNorm
from nas.relaxed.architecture import PartArchitecture, architectures, decide
from nas.relaxed.beliefs import PartBeliefs
from nas.relaxed.fan import Fan
from nas.relaxed.gating import gated
from nas.relaxed.inherit import inherit
from nas.relaxed.path import Computed, RelaxedPart, RelaxedPath
from nas.space import PartSpace, SearchSpace

WIDE = ("skip", "conv1", "conv3", "separable3", "none")
SPACES = {
    "images": PartSpace(dimension=2, layers=3, candidates=WIDE, nodes=3, levels=3),
    "volumes": PartSpace(dimension=3, layers=2, candidates=("skip", "conv3"), nodes=2, levels=2),
    "hybrid": PartSpace(dimension=2, layers=2, candidates=("skip", "conv3", "conv1"), nodes=2,
                        levels=2, analog=True),
    "given": PartSpace(dimension=2, layers=3, candidates=("snn_b3", "snn_b5"), path=(0, 1, 1)),
}  # fmt: skip
SIZES = {2: (9, 13), 3: (5, 7, 6)}


class Net(nn.Module):
    """Stem, cells, end and a readout, of whatever makes them."""

    batch_dim = 1
    behind = ("score",)

    def __init__(self, make, dimension, inputs=2):
        super().__init__()
        self.stem = make.fire("stem", [ConvNorm(dimension, inputs, 6)])
        self.cells = make.path(6, 3, 2)
        self.end = make.fire("end", [ConvNorm(dimension, 6, 4), self.cells.exit(4)])
        self.score = (nn.Conv2d if dimension == 2 else nn.Conv3d)(4, 1, 3, padding=1)

    def forward(self, x):
        enter = self.cells.enter
        fine = self.stem(enter("stem", x))
        out = self.end(enter("end", fine), enter("end", self.cells(fine)))
        return over_time(self.score, out).mean(0)


def relaxed(space, seed=0, **options):
    torch.manual_seed(seed)
    sampled = options.pop("sampled", False)
    make = RelaxedPart(architecture=PartArchitecture(space, sampled=sampled),
                       computed=Computed(**options))  # fmt: skip
    return Net(make, space.dimension)


def spikes(space, seed=0, batch=2, steps=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(steps, batch, 2, *SIZES[space.dimension], generator=generator)
    return (x < 0.3).float()


def random_beliefs(space, seed):
    torch.manual_seed(seed)
    architecture = PartArchitecture(space)
    for parameter in architecture.parameters():
        parameter.data.normal_()
    return architecture.beliefs()


def vertex(space, seed):
    """Return a search space, a genotype drawn from it, and the beliefs that are sure of it."""
    whole = SearchSpace(name="test", parts={"feature": space})
    genotype = decode(whole, {"feature": random_beliefs(space, seed)}, {})
    return whole, genotype, beliefs_of(whole, genotype)["feature"]


def fixed(genotype):
    part = genotype.parts["feature"]
    once = stages_run_once(genotype.parts)["feature"]
    torch.manual_seed(1)
    return Net(FixedPart(part=part, once=once), part.dimension)


def trained(model, x, steps=3):
    """Make norms and weights differ from their beginnings."""
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    model.train()
    for _ in range(steps):
        decide(model)
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return model


# ---- a vertex


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shared", [False, True])
def test_at_a_vertex_it_is_the_decoded_network(name, seed, shared):
    space = SPACES[name]
    x = spikes(space, seed).double()  # single precision rounds by about as much as is allowed
    model = trained(relaxed(space, shared=shared).double(), x)
    _, genotype, beliefs = vertex(space, seed)
    built = fixed(genotype).double()
    inherit(model, built)
    next(model.architecture for model in model.modules() if isinstance(model, RelaxedPath)).load(
        beliefs
    )
    for training in (False, True):  # norms by their running statistics, then by those of the batch
        decide(model.train(training))
        expected = built.train(training)(x)
        assert expected.abs().sum() > 0
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
    if not space.analog:  # there, steps that are all the same count as samples of the variance
        decide(model.eval())
        torch.testing.assert_close(model(x), built.eval()(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pattern", [(1, 0, 0, 0), (1, 1, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0),
                                     (1, 0, 1, 0), (1, 1, 1, 1)])  # fmt: skip
def test_analog_stages_behind_the_last_spiking_one_run_once(pattern):
    space = SPACES["hybrid"]
    whole, genotype, beliefs = vertex(space, 0)
    for stage, spiking in zip(beliefs.spiking, pattern, strict=True):
        beliefs.spiking[stage].fill_(1e4 if spiking else -1e4)
    genotype = decode(whole, {"feature": beliefs}, {})
    x = spikes(space)
    model = trained(relaxed(space), x).eval()
    built = fixed(genotype).eval()
    inherit(model, built)
    next(iter(architectures(model)))[1].load(beliefs)
    decide(model)
    torch.testing.assert_close(model(x), built(x), rtol=0, atol=1e-6)
    seen = {}
    for part in ("stem", "end"):
        getattr(built, part).register_forward_hook(
            lambda module, args, out, part=part: seen.update({part: out.shape[0]})
        )
    built(x)
    last = max((n for n, spiking in enumerate(pattern) if spiking), default=-1)
    assert seen == {"stem": 3 if last >= 0 else 1, "end": 3 if last == 3 else 1}


def test_a_node_without_currents_still_has_readers():
    space = PartSpace(dimension=2, layers=2, candidates=("none", "conv3"), nodes=2, levels=1)
    whole, _, beliefs = vertex(space, 0)
    beliefs.ops.fill_(-1e4)
    first = [n for n, (node, _) in enumerate(space.pairs) if node == 0]
    for n in range(len(space.pairs)):
        beliefs.ops[n, 0 if n in first else 1] = 1e4  # node0 receives nothing
    beliefs.edges[1].copy_(torch.tensor([-1e4, 1e4, 1e4]))  # node1 reads previous and node0
    genotype = decode(whole, {"feature": beliefs}, {})
    assert [edge.op for edge in genotype.parts["feature"].nodes[0].edges] == ["none"]
    x = spikes(space)
    model = trained(relaxed(space), x).eval()
    built = fixed(genotype).eval()
    inherit(model, built)
    next(iter(architectures(model)))[1].load(beliefs)
    decide(model)
    torch.testing.assert_close(model(x), built(x), rtol=0, atol=1e-6)


# ---- mixed


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("options", [{}, {"checkpoints": True}, {"portion": 2},
                                     {"shared": True}])  # fmt: skip
def test_everything_gets_a_gradient(name, options):
    space = SPACES[name]
    model = relaxed(space, **options)
    decide(model)
    model(spikes(space)).square().sum().backward()
    silent = {
        name for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    }  # fmt: skip
    architecture = {name for name, _ in model.named_parameters() if ".architecture." in name}
    # Single outcomes have nothing to learn, and a norm cancels the bias before it in training.
    single = {name for name in architecture if model.get_parameter(name).numel() == 1
              and ".spiking." not in name}  # fmt: skip
    full = {f"cells.architecture.edges.{n}" for n in range(space.nodes)
            if space.kept(n) == len(space.sources(n))}  # fmt: skip
    assert silent & architecture <= single | full
    assert not {name for name in silent - architecture if not name.endswith("bias")}


@pytest.mark.parametrize("name", ["images", "volumes", "hybrid"])
def test_candidates_of_one_kind_run_as_one(name):
    space = SPACES[name]
    x = spikes(space).double()  # in float32 a rounding can flip a spike
    outcomes = []
    for together in (True, False):
        model = relaxed(space).double()
        for fan in (m for m in model.modules() if isinstance(m, Fan)):
            fan.together = together
        decide(model)
        y = model(x)
        y.square().sum().backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        outcomes.append((y.detach(), gradients, dict(model.named_buffers())))
    (one, g_one, b_one), (many, g_many, b_many) = outcomes
    torch.testing.assert_close(one, many, rtol=1e-9, atol=1e-9)
    for name_, value in b_many.items():
        torch.testing.assert_close(b_one[name_], value, rtol=1e-9, atol=1e-9)
    assert g_one.keys() == g_many.keys()
    scale = max(float(g.abs().max()) for g in g_many.values())
    for name_, value in g_many.items():
        torch.testing.assert_close(g_one[name_], value, rtol=1e-9, atol=1e-9 * scale)


def test_checkpoints_change_nothing_but_memory():
    space = SPACES["images"]
    x = spikes(space)
    outcomes = []
    for checkpoints in (False, True):
        model = relaxed(space, checkpoints=checkpoints)
        outcomes.append(trained(model, x).state_dict())
    for name, value in outcomes[0].items():
        assert torch.equal(value, outcomes[1][name]), name


def test_sampled_paths_compute_one_of_each():
    space = SPACES["images"]
    model = relaxed(space, sampled=True).train()
    x = spikes(space)
    calls = []
    for cell in model.cells.cells.values():
        cell.register_forward_hook(lambda cell, args, out: calls.append(cell.place))
    torch.manual_seed(3)
    gradients = 0.0
    visited = set()
    for _ in range(12):
        calls.clear()
        decide(model)
        model.zero_grad()
        model(x).square().sum().backward()
        assert [place.layer for place in calls] == [0, 1, 2], "one cell per layer"
        visited |= {(place.layer, place.level) for place in calls}
        gradients += sum(float(p.grad.abs().sum()) for p in model.cells.architecture.parameters()
                         if p.grad is not None)  # fmt: skip
    assert len(visited) > 5
    assert gradients > 0
    decide(model.eval())  # in eval mode everything is mixed again, and nothing is random
    assert torch.equal(model(x), model(x))


def test_signals_between_nodes_are_spikes_whatever_is_mixed():
    space = SPACES["images"]
    model = relaxed(space)
    decide(model)
    seen = []
    for cell in model.cells.cells.values():
        cell.register_forward_hook(lambda cell, args, out: seen.append(out.detach()))
    model(spikes(space))
    assert len(seen) == sum(len(row) for row in space.places)
    assert all(bool(((y == 0) | (y == 1)).all()) for y in seen)
    assert any(y.any() for y in seen)


def test_probabilities_are_shown_while_asked_for_and_gone_afterwards():
    space = SPACES["hybrid"]
    model = relaxed(space)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with gated(model):
        marked = [name for name, m in model.named_modules() if hasattr(m, "gate")]
        assert any(".ops.conv3" in name for name in marked)
        assert model.score.once.requires_grad
        assert all(0 <= float(model.get_submodule(name).gate.detach()) <= 1 for name in marked)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert all(fan.together for fan in model.modules() if isinstance(fan, Fan))


def test_a_forward_pass_without_a_decision_is_refused():
    space = SPACES["images"]
    with pytest.raises(RuntimeError, match=r"Call decide\(\) before"):
        relaxed(space)(spikes(space))


def test_beliefs_go_in_and_out():
    space = SPACES["hybrid"]
    given = random_beliefs(space, 5)
    architecture = PartArchitecture(space)
    architecture.load(given)
    found = architecture.beliefs()
    assert isinstance(found, PartBeliefs)
    assert torch.equal(found.ops, given.ops)
    assert all(torch.equal(found.steps[step], logits) for step, logits in given.steps.items())
