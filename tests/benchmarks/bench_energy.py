"""What counting costs: a counted forward beside a plain one, peers, and the kernels alone.

    python tests/benchmarks/bench_energy.py [--rounds 9] [--threads 1] [--neurons loop|fused]
                                            [--part network|kernels|cold|all] [--json]

network: analog event frames of 96 x 128 (T = 4, two samples, two polarities), a convolution of
stride 2, a second one, their sum, a third of stride 2, a transposed one, each with batch norm and
integrate-and-fire neurons; then the mean over time and two analog convolutions. 32 channels, half
precision nowhere. The neurons are a loop over T in torch, so that every tool can look inside
(`fused` takes those of `nas.neurons`, which makes the plain forward faster). "plain again" is the
same as plain, to show what the machine adds by itself; "hooks" only calls `count_nonzero` on the
input of every layer with weights, which is what any counter has to do at the least.

kernels: one tensor [8, 32, 96, 128] with a tenth of spikes, eight rows. "ones" is the convolution
of the spikes with ones that other tools use, with one output channel and with all 32.

cold: a new process that has nothing compiled on disk: processor time of the first call of each
kind. The very first one also sets up Numba's compiler.

Peers are taken where they can be imported, for example from a folder that
`pip install --no-deps --target FOLDER spikingjelly==2.0.0 neurobench syops progress fvcore iopath
portalocker yacs tabulate termcolor` filled, by PYTHONPATH. syops 0.0.5 asks spikingjelly for three
names that 2.0 has no more; they are defined here so that it can be imported at all.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import numpy as np
import side_by_side
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from energy import profile
from energy.events import count_events, count_events_of_bits
from energy.fans import conv_fan

STEPS, SAMPLES, CHANNELS = 4, 2, 32
GOAL = 1.25
COLD = """
import time
import numpy as np, torch
from energy.events import count_events, count_events_of_bits
fans = np.ones(8, np.int64), np.ones(8, np.int64)
x = torch.zeros(2, 4, 8, 8)
for call in (lambda: count_events(x, fans, rows=1),
             lambda: count_events(x.bool(), fans, rows=1),
             lambda: count_events(x, fans, rows=1, most=3),
             lambda: count_events_of_bits(x.byte()[..., :1], fans, rows=1, width=8)):
    began = time.process_time()
    call()
    print(time.process_time() - began)
"""


class Fire(nn.Module):
    """Integrate and fire over [T, N, ...], hard reset."""

    emits_spikes = True

    def forward(self, x):
        membrane, out = torch.zeros_like(x[0]), []
        for current in x:
            membrane = membrane + current
            spikes = (membrane > 1.0).to(x.dtype)
            membrane = membrane * (1 - spikes)
            out.append(spikes)
        return torch.stack(out)


class Tiny(nn.Module):
    """The network; input [T, N, 2, H, W]."""

    batch_dim = 1

    def __init__(self, neuron):
        super().__init__()
        c = CHANNELS
        self.first = nn.Conv2d(2, c, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.third = nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (c, c, 2 * c, c))
        self.neurons = nn.ModuleList(neuron() for _ in range(4))
        self.head = nn.Conv2d(c, c, 3, padding=1)
        self.out = nn.Conv2d(c, 1, 3, padding=1)

    def layer(self, number, conv, x):
        y = self.norms[number](conv(x.flatten(0, 1)))
        return self.neurons[number](y.unflatten(0, x.shape[:2]))

    def forward(self, x):
        a = self.layer(0, self.first, x)
        b = self.layer(1, self.second, a)
        c = self.layer(2, self.third, a + b)
        return self.out(F.relu(self.head(self.layer(3, self.up, c).mean(0))))


def network(neurons):
    """Return the network with about a tenth of spikes, and its input."""
    torch.manual_seed(0)
    neuron = Fire
    if neurons == "fused":
        from nas.neurons import IF as neuron  # noqa: N811
    model = Tiny(neuron).eval()
    x = torch.rand(STEPS, SAMPLES, 2, 96, 128) * (torch.rand(STEPS, SAMPLES, 2, 96, 128) < 0.2)
    with torch.no_grad():
        model.train()
        for _ in range(20):  # so that norms know their statistics
            model(x)
        for norm in model.norms:
            norm.weight.fill_(1.2)
    return model.eval(), x


# ---- peers


def spikingjelly_ac_mac(model, x):
    from spikingjelly.activation_based.op_counter import ACCounter, DispatchCounterMode, MACCounter

    def count():
        counters = [ACCounter(), MACCounter()]
        with DispatchCounterMode(counters):
            model(x)
        return [counter.get_total() for counter in counters]

    return count


def spikingjelly_lemaire(model, x):
    from spikingjelly.activation_based.op_counter import (
        LemaireEnergyConfig,
        estimate_lemaire_energy,
    )

    # Not strict: it has no formula for transposed convolutions and leaves them out.
    config = LemaireEnergyConfig(strict=False)
    return lambda: estimate_lemaire_energy(model, (x,), config=config)


def spikingjelly_simple(model, x):
    from spikingjelly.activation_based.op_counter import estimate_simple_energy

    return lambda: estimate_simple_energy(model, (x,))


class Batches(list):
    """What NeuroBench and syops take for a data loader."""

    dataset = range(1)


def neurobench(model, x):
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload.synaptic_operations import SynapticOperations
    from neurobench.models import TorchModel

    loader = Batches([(x, torch.zeros(1))])

    def count():
        bench = Benchmark(TorchModel(model), loader, [], [], [[], [SynapticOperations]])
        return bench.run(quiet=True)

    return count


def syops(model, x):
    from spikingjelly.activation_based import neuron

    for name in ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode"):
        if not hasattr(neuron, name):
            setattr(neuron, name, type(name, (), {}))
    from syops import get_model_complexity_info

    def count():
        # It adds methods and hooks to the model, and leaves them.
        return get_model_complexity_info(
            copy.deepcopy(model), (1,), Batches([(x, None)]), as_strings=False,
            print_per_layer_stat=False,
        )  # fmt: skip

    return count


def fvcore(model, x):
    from fvcore.nn import FlopCountAnalysis

    def count():
        analysis = FlopCountAnalysis(model, x)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return analysis.total()

    return count


def torch_flops(model, x):
    def count():
        with FlopCounterMode(display=False) as counter:
            model(x)
        return counter.get_total_flops()

    return count


PEERS = {
    "torch FlopCounterMode": torch_flops,
    "fvcore": fvcore,
    "SpikingJelly AC and MAC": spikingjelly_ac_mac,
    "SpikingJelly Lemaire": spikingjelly_lemaire,
    "SpikingJelly simple energy": spikingjelly_simple,
    "NeuroBench": neurobench,
    "syops": syops,
}


def with_hooks(model, x):
    """Return a forward that counts the non-zero inputs of every layer with weights."""

    def count():
        found = []
        layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
        hooks = [
            layer.register_forward_pre_hook(
                lambda module, args: found.append(torch.count_nonzero(args[0]))
            )
            for layer in layers
        ]
        model(x)
        for hook in hooks:
            hook.remove()
        return [int(n) for n in found]

    return count


def measure_network(options):
    """Time a forward with each tool; return one table per number of threads."""
    model, x = network(options.neurons)
    report = profile(model, x)
    rates = {layer.name: layer.firing_rate for layer in report.layers}
    shown = ", ".join(f"{n} {r:.3f}" for n, r in rates.items() if r is not None)
    print(f"firing rates: {shown}", file=sys.stderr)
    cases = {
        "plain": lambda: model(x),
        "plain again": lambda: model(x),
        "hooks (count_nonzero)": with_hooks(model, x),
        "energy.profile": lambda: profile(model, x),
    }
    for name, make in PEERS.items():
        try:
            cases[name] = make(model, x)
            cases[name]()
        except Exception as error:  # noqa: BLE001  (what fails is named, and the others go on)
            cases.pop(name, None)
            print(f"left out {name}: {type(error).__name__}: {error}", file=sys.stderr)
    documents = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        timings = side_by_side.run(cases, options.rounds, pause=side_by_side.stay_awake)
        title = f"network, {options.neurons} neurons, {threads} threads; goal {GOAL} x plain"
        document = side_by_side.report(title, timings, [], as_json=options.json)
        for row in document["rows"]:
            row["times_plain"] = 1 / timings.ratio(row["case"], "plain")
            if not options.json:
                print(f"    {row['case']:<30}{row['times_plain']:6.2f} x plain")
        documents.append(document)
    return documents


def measure_kernels(options):
    """Time one tensor; return one table per number of threads."""
    shape = (STEPS * SAMPLES, CHANNELS, 96, 128)
    x = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    fans = conv_fan(96, 3, 1, (1, 1), 1), conv_fan(128, 3, 1, (1, 1), 1)
    rows, last, small = (
        shape[0],
        x.to(memory_format=torch.channels_last),
        x[:1, :, :24, :32].clone(),
    )
    small_fans = fans[0][:24].copy(), fans[1][:32].copy()
    spikes, packed = x.bool(), torch.from_numpy(np.packbits(x.bool().numpy(), axis=-1))
    counts = x + x.flip(0)
    ones = {n: torch.ones(n, CHANNELS, 3, 3) for n in (1, CHANNELS)}
    cases = {
        "(x != 0).sum()": lambda: (x != 0).sum(),
        "count_nonzero(x)": lambda: torch.count_nonzero(x),
        "x.sum(), reading alone": lambda: x.sum(),
        "ones, 1 output": lambda: F.conv2d((x != 0).float(), ones[1], padding=1).sum(),
        "ones, 32 outputs": lambda: F.conv2d((x != 0).float(), ones[CHANNELS], padding=1).sum(),
        "count_events float32": lambda: count_events(x, fans, rows=rows),
        "count_events channels last": lambda: count_events(last, fans, rows=rows),
        "count_events undeclared": lambda: count_events(x, fans, rows=rows, unit=None),
        "count_events counts": lambda: count_events(counts, fans, rows=rows, most=2),
        "count_events ternary": lambda: count_events(x, fans, rows=rows, signed=True),
        "count_events bool": lambda: count_events(spikes, fans, rows=rows),
        "count_events_of_bits": lambda: count_events_of_bits(packed, fans, rows=rows, width=128),
        "count_events [1, 32, 24, 32]": lambda: count_events(small, small_fans, rows=1),
        "count_nonzero [1, 32, 24, 32]": lambda: torch.count_nonzero(small),
    }
    documents = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        timings = side_by_side.run(cases, 3 * options.rounds, pause=side_by_side.stay_awake)
        title = f"kernels, {x.numel() / 1e6:.1f} M elements, {threads} threads"
        peers = ["count_events float32"]
        documents.append(side_by_side.report(title, timings, peers, as_json=options.json))
    return documents


def measure_cold(options):
    """Return processor seconds of first calls without and with compiled kernels on disk."""
    rows = {}
    names = "float32", "bytes", "counts", "bits"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        for state in ("nothing compiled", "compiled"):
            done = subprocess.run(
                [sys.executable, "-c", COLD], env=environment, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            seconds = map(float, done.stdout.split())
            rows[state] = dict(zip(names, seconds, strict=True))
    if not options.json:
        print("\nfirst calls, processor seconds")
        for state, row in rows.items():
            print(f"  {state:<20}" + "  ".join(f"{name} {s:.2f}" for name, s in row.items()))
    return [{"title": "first calls, processor seconds", "rows": rows}]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--neurons", choices=("loop", "fused"), default="loop")
    parser.add_argument("--part", choices=("network", "kernels", "cold", "all"), default="all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    documents = []
    parts = {"network": measure_network, "kernels": measure_kernels, "cold": measure_cold}
    for name, part in parts.items():
        if options.part in (name, "all"):
            with torch.no_grad():
                documents += part(options)
    packages = ("torch", "numba", "spikingjelly", "neurobench", "syops", "fvcore")
    side_by_side.finish(documents, side_by_side.machine(*packages), options.json)


if __name__ == "__main__":
    main()
