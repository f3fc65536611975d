"""How the kernels cut their work: blocks of a layer, or of one sample where constants repeat."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.fused import op
from nas.fused.group_kernels import GROUPS, done, take
from nas.fused.threads import share
from nas.neurons import ALIF, LIF, CurrentLIF, LIFParams

OWN = {LIF: (), CurrentLIF: ("current_decay",), ALIF: ("adaptation", "adaptation_decay")}
LARGE = GROUPS * op.LEAST_NEURONS + 1000


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("neurons", [LARGE, 700])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_constants_per_neuron_and_per_layer_together(kind, neurons, samples, threads):
    generator = torch.Generator().manual_seed(neurons + samples)
    x = torch.randn(6, samples, neurons, generator=generator)
    weight = torch.randn(x.shape, generator=generator)
    own = kind.default()
    decay = torch.rand(neurons, generator=generator)
    learn = {"threshold": (), "temperature": ()} | dict.fromkeys(OWN[kind], (neurons,))
    found = {}
    torch.set_num_threads(threads)
    for backend in ("kernel", "reference"):
        given, leaf = decay.clone().requires_grad_(), x.clone().requires_grad_()
        neuron = kind(replace(own, decay=given), learn=learn, backend=backend)
        out, state = neuron.scan(leaf, None)
        last = state[0] if isinstance(state, tuple) else state
        ((out * weight).sum() + (last * weight[0]).sum()).backward()
        slopes = [p.grad for p in neuron.parameters()]
        found[backend] = out.detach(), last.detach(), leaf.grad, given.grad, slopes
    torch.set_num_threads(1)
    ours, theirs = found["kernel"], found["reference"]
    assert torch.equal(ours[0], theirs[0])
    for one, other in zip([*ours[1:4], *ours[4]], [*theirs[1:4], *theirs[4]], strict=True):
        scale = float(other.abs().max())
        # A sum over all neurons is less exact than its terms, in float32 by the reference too.
        far = 2e-4 if other.numel() == 1 else 2e-5
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=far)


@pytest.mark.parametrize("period", [1, 63, 1000, 8192, 100_000, 262_144])
@pytest.mark.parametrize("steps", [1, 8, 500])
def test_groups_get_equal_work(period, steps):
    block = op._block(steps, period, 1)
    assert 64 <= block <= op.MOST_NEURONS
    span = -(-period // (GROUPS * block)) * block
    per_group = np.diff(np.minimum(np.arange(GROUPS + 1) * span, period))
    assert per_group.sum() == period
    if period >= GROUPS * 64:
        assert per_group.max() <= 1.05 * period / GROUPS + 16 * span / block


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_each_group_is_worked_on_once(threads):
    torch.set_num_threads(threads)
    taken = []

    def work(tickets):
        while (group := take(tickets)) < GROUPS:
            taken.append(group)
            done(tickets)

    for _ in range(20):
        taken.clear()
        share(work, 1 << 30)
        assert sorted(taken) == list(range(GROUPS))
    torch.set_num_threads(1)


@pytest.mark.parametrize("where", ["here", "in a helper"])
def test_errors_are_told(where):
    torch.set_num_threads(3)
    here = threading.get_ident()

    def fail(tickets):
        if (threading.get_ident() == here) == (where == "here"):
            raise RuntimeError("out of memory")
        while take(tickets) < GROUPS - 1:  # leaves the last to whoever fails
            done(tickets)

    with pytest.raises(RuntimeError, match="out of memory"):
        share(fail, 1 << 30)
    torch.set_num_threads(1)


def test_a_large_learned_constant_costs_little_memory():
    """One sum for each value of it, not one for each group and value."""
    x = torch.randn(2, 3, LARGE)
    decay = torch.rand(LARGE).requires_grad_()
    made = []
    zeros = np.zeros

    def count(shape, *args):
        made.append(np.prod(shape))
        return zeros(shape, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op.np, "zeros", count)
        LIF(LIFParams(decay=decay), backend="kernel")(x).sum().backward()
    assert sum(made) <= LARGE + 5 * GROUPS + 100
    assert decay.grad.abs().sum() > 0
