"""Checks of neurons and networks that are compiled, run by test_compile.py in a process of its own.

Under pytest the annotations of our modules are checked while they run, by code that the compiler
cannot read; nobody else has that code around their modules.
"""

import json
import sys
import traceback
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from reference.networks import exact_network

from nas.neurons import ALIF, LIF, CurrentLIF
from nas.neurons.memory import neurons, remember
from stereo.device_network import DeviceNetwork
from stereo.executors import Executor


class Block(nn.Module):
    """Convolution, norm, neuron, readout."""

    def __init__(self, neuron):
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.neuron = neuron
        self.readout = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        current = self.norm(self.convolution(x.flatten(0, 1)))
        spikes = self.neuron(current.unflatten(0, x.shape[:2]))
        return torch.tanh(self.readout(spikes.flatten(0, 1))), spikes


def result(block, x):
    """Return outputs, and gradients of input and parameters."""
    leaf = x.clone().requires_grad_()
    out, spikes = block(leaf)
    loss = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum() + spikes.square().mean()
    named = {name.removeprefix("_orig_mod."): p for name, p in block.named_parameters()}
    grads = torch.autograd.grad(loss, [leaf, *named.values()])
    return out.detach(), spikes.detach(), dict(zip(["x", *named], grads, strict=True))


def compare(make, backend, shape=(4, 2, 2, 9, 11)):
    torch.manual_seed(0)
    block = Block(make())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    out, spikes, grads = result(block, x)
    compiled = torch.compile(block, backend=backend, fullgraph=True)
    found, fired, slopes = result(compiled, x)
    assert 0.02 < spikes.mean() < 0.98
    assert torch.equal(fired, spikes)
    torch.testing.assert_close(found, out)
    for name, grad in grads.items():
        torch.testing.assert_close(slopes[name], grad, rtol=1e-4, atol=1e-5)
    return grads


def compiled_block(backend):
    """Constants learned per channel and per layer, and the surrogate's temperature."""
    grads = compare(lambda: LIF(learn={"decay": (4, 1, 1), "temperature": ()}), backend)
    for name, grad in grads.items():
        assert grad.abs().sum() > 0, name


def other_neurons():
    compare(lambda: ALIF(learn={"adaptation": ()}), "aot_eager")
    compare(CurrentLIF, "aot_eager")


def other_shapes():
    """A second shape makes the compiler treat sizes as symbols."""
    neuron = LIF()
    compiled = torch.compile(neuron, backend="aot_eager", fullgraph=True)
    for shape in ((3, 2, 5), (3, 2, 6), (6, 4, 8), (2, 4, 5, 8, 3), (2, 3, 4, 9, 5)):
        x = torch.randn(shape)
        assert torch.equal(compiled(x), neuron(x))
    turned = x.transpose(2, -1).contiguous().transpose(2, -1)
    assert torch.equal(compiled(turned), neuron(x))


def stream():
    neuron, x = LIF(), torch.randn(6, 2, 50)
    compiled = torch.compile(neuron.scan, backend="aot_eager", fullgraph=True)
    first, state = compiled(x[:2], None)
    second, end = compiled(x[2:], state)
    whole, last = neuron.scan(x, None)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(end, last)


def one_node():
    """The kernel is one operation of the graph; its insides are not traced."""
    seen = []

    def look(graph, inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    torch.compile(LIF(), backend=look, fullgraph=True)(torch.randn(3, 2, 5))
    assert sum("stereo_nas" in name for name in seen) == 1, seen


def frames(network, seed, size):
    shape = network.config.encoding.steps, 1, network.encoding.channels, *size
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(shape, generator=generator) < 0.2).float() for _ in range(2)]


def off(found, wanted, tolerance=1e-3):
    """Return the share of pixels that differ: a spike may fall to the other side of a threshold."""
    return float(((found - wanted).abs() > tolerance).float().mean())


def stereo_executor():
    """Frames of any size, the network is left as it is."""
    network, runs = exact_network(), Executor(exact_network(), "compiled")
    for size in ((24, 36), (20, 31)):
        for limit in (None, 9):
            left, right = frames(network, 0, size)
            with torch.inference_mode():
                assert off(runs(left, right, limit), network(left, right, limit)) < 0.02
    assert runs.about["used"] == "compiled"
    assert not any(neuron.remembers for neuron in neurons(runs.network))


def stereo_device(half):
    """Memory goes on from call to call."""
    network = exact_network()
    placed = DeviceNetwork(network, torch.device("cpu"), half=half, remembers=True)
    assert not any(neuron.remembers for neuron in neurons(network))
    remember(network)
    for seed in range(3):
        left, right = frames(network, seed, (24, 36))
        with torch.inference_mode():
            found, wanted = placed(left, right, 9), network(left, right, 9)
        assert found.dtype == torch.float32
        assert off(found, wanted, 0.05 if half else 1e-3) < 0.02


@contextmanager
def eagerly():
    """Compile to graphs that run eagerly: without C++, in a second."""
    compiler = torch.compile
    torch.compile = partial(compiler, backend="eager")
    try:
        yield
    finally:
        torch.compile = compiler


CHECKS = {
    "block with aot_eager": lambda: compiled_block("aot_eager"),
    "block with inductor": lambda: compiled_block("inductor"),
    "other neurons": other_neurons,
    "other shapes": other_shapes,
    "stream": stream,
    "one node": one_node,
    "stereo executor": eagerly()(stereo_executor),
    "stereo on a device": eagerly()(lambda: stereo_device(half=False)),
    "stereo in half precision": eagerly()(lambda: stereo_device(half=True)),
}


def main():
    """Print, as JSON, the traceback of each check that was named, empty if it holds."""
    torch.set_num_threads(1)
    found = {}
    for name in sys.argv[1:]:
        torch.manual_seed(0)
        torch.compiler.reset()
        try:
            CHECKS[name]()
        except Exception:  # noqa: BLE001  (it is reported, and the other checks go on)
            found[name] = traceback.format_exc()
        else:
            found[name] = ""
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
