"""Neurons over time: the kernels beside SpikingJelly 2, a compiled loop and the reference.

    python tests/benchmarks/bench_neurons.py [--rounds 9] [--threads 1 2] [--slow-rounds 5] [--json]

Input: T = 8, 4 x 64 x 64 x 64 float32, normal with mean 0.2 and deviation 0.7 (about one spike in
four). The surrogate is the arctangent for all, which is SpikingJelly's fastest on the CPU together
with `step_mode="m"`, `decay_input=False` and no record of membranes; `--peers` times its other
settings. The compiled loop is our reference step under torch.compile (inductor), the whole loop
over T in one graph. What is compared gives the same spikes and gradients: that is checked first.

Cases run in turn, and a ratio is the median over rounds of ratios within a round. Forward is
without gradients. Results are dropped at once, as those of a layer are.

torch's idle threads wait passively (OMP_WAIT_POLICY): spinning, those of one case take a processor
from the next.

The table of memory says what autograd keeps from forward to backward beyond the input, by storage.
`first call` is a new process: import, and then the first forward and backward of one LIF layer,
with the compiled kernels on disk (warm) and without (cold).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import side_by_side
import torch

from nas.neurons import (
    ALIF,
    IF,
    LIF,
    PLIF,
    ALIFParams,
    CurrentLIF,
    CurrentLIFParams,
    Integrator,
    LeakyIntegratorLIF,
    LIFParams,
    lif_step,
    scan,
)
from nas.surrogate import Arctan

SHAPE = (8, 4, 64, 64, 64)
DECAY, THRESHOLD = 0.5, 0.5
FIRST_CALL = """
import time
began = time.perf_counter()
import torch
from nas.neurons import LIF
x = torch.randn(8, 1, 32, 32, requires_grad=True)
imported = time.perf_counter()
out = LIF()(x)
forward = time.perf_counter()
out.sum().backward()
print(imported - began, forward - imported, time.perf_counter() - forward)
"""


def constants(kind=LIFParams, **more):
    return kind(**({"decay": DECAY, "threshold": THRESHOLD, "surrogate": Arctan(2.0)} | more))


OURS = {
    "LIF": lambda: LIF(constants()),
    "LIF soft": lambda: LIF(constants(reset="soft")),
    "LIF detached": lambda: LIF(constants(detach_reset=True)),
    "IF": lambda: IF(constants(decay=1.0)),
    "leaky": lambda: LeakyIntegratorLIF(constants(reset="soft", scale_input=True)),
    "PLIF": lambda: PLIF(constants(scale_input=True)),
    "LIF per channel": lambda: LIF(
        constants(), learn=dict.fromkeys(("decay", "threshold", "temperature"), (64, 1, 1))
    ),
    "ALIF": lambda: ALIF(constants(ALIFParams)),
    "current": lambda: CurrentLIF(constants(CurrentLIFParams)),
    "integrator": lambda: Integrator(constants()),
    "LIF dspike": lambda: LIF(LIFParams(decay=DECAY)),
}


def spikingjelly(surrogate="ATan", alpha=2.0, single=False, **options):
    """Return a LIF layer of SpikingJelly that starts anew with every call, or None."""
    try:
        from spikingjelly.activation_based import functional, neuron
        from spikingjelly.activation_based import surrogate as surrogates
    except ImportError:
        return None
    node = neuron.LIFNode(
        tau=1.0 / (1.0 - DECAY), v_threshold=THRESHOLD, step_mode="s" if single else "m",
        surrogate_function=getattr(surrogates, surrogate)(alpha),
        **({"decay_input": False} | options),
    )  # fmt: skip

    def run(x):
        functional.reset_net(node)
        return torch.stack([node(now) for now in x]) if single else node(x)

    return run


def loop(x):
    """The reference: the step in a loop."""
    return scan(lif_step, x, None, constants())[0]


def compiled_loop():
    """Return the loop compiled as one graph, or None where there is no C++ compiler."""
    run = torch.compile(loop, fullgraph=True, dynamic=False)
    try:
        run(torch.zeros(2, 1, 4))
    except Exception as error:  # noqa: BLE001  (whatever the compiler stumbles over)
        print(f"no compiled loop: {type(error).__name__}: {str(error).splitlines()[0]}",
              file=sys.stderr)  # fmt: skip
        return None
    return run


class Passes:
    """Forward, and forward with backward, of layers on one input."""

    def __init__(self, shape=SHAPE, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.x = 0.2 + 0.7 * torch.randn(shape, generator=generator)
        self.leaf = self.x.clone().requires_grad_()
        self.given = torch.randn(shape, generator=generator)

    def forward(self, layer):
        def run():
            with torch.no_grad():
                return layer(self.x)

        return run

    def both(self, layer):
        def run():
            self.leaf.grad = None
            layer(self.leaf).backward(self.given)

        return run

    def result(self, layer):
        out = layer(self.leaf)
        return out.detach(), torch.autograd.grad(out, self.leaf, self.given)[0]


def check(passes, layers):
    """Compare spikes and gradients of the layers with those of the first."""
    expected, slopes = None, None
    for name, layer in layers.items():
        out, grad = passes.result(layer)
        if expected is None:
            expected, slopes = out, grad
            continue
        # tau = 2 and sums of few terms: no rounding differs before the threshold.
        apart = (out != expected).double().mean().item()
        far = ((grad - slopes).abs() > 1e-4 + 1e-3 * slopes.abs()).double().mean().item()
        if apart > 1e-5 or far > 1e-4:
            raise AssertionError(f"{name}: {apart:.1e} of spikes, {far:.1e} of gradients differ")


def kept_bytes_per_element(passes, layer):
    """Return what autograd keeps beyond the input, in bytes per element of the input."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = layer(passes.leaf)
    storages.pop(passes.leaf.untyped_storage().data_ptr(), None)
    del out
    return sum(storages.values()) / passes.leaf.numel()


def first_call():
    """Return seconds of import, first forward and first backward, cold and warm."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True,
                env=os.environ | {"NUMBA_CACHE_DIR": folder},
            )  # fmt: skip
            seconds = map(float, done.stdout.split())
            found[name] = dict(zip(("import_s", "forward_s", "backward_s"), seconds, strict=True))
    return found


def peers():
    """Return SpikingJelly's settings beside each other; the first is the one compared with."""
    found = {
        "SpikingJelly": spikingjelly(),
        "detached reset": spikingjelly(detach_reset=True),
        "sigmoid": spikingjelly(surrogate="Sigmoid", alpha=4.0),
        "decays its input": spikingjelly(decay_input=True),
        "soft reset": spikingjelly(v_reset=None),
        "single steps": spikingjelly(single=True),
    }
    return {name: layer for name, layer in found.items() if layer is not None}


def table(title, passes, cases, rivals, rounds, as_json):
    """Time cases in turn; print their table or return it."""
    timings = side_by_side.run(cases, rounds, pause=side_by_side.stay_awake)
    return side_by_side.report(title, timings, rivals, as_json=as_json)


def measure(options):
    """Return all tables."""
    passes, documents = Passes(), []
    sizes = f"T = {SHAPE[0]}, {' x '.join(map(str, SHAPE[1:]))} float32"
    target = torch.empty_like(passes.x)
    lif = {"ours": OURS["LIF"](), "SpikingJelly": spikingjelly(), "compiled loop": compiled_loop(),
           "loop": loop}  # fmt: skip
    lif = {name: layer for name, layer in lif.items() if layer is not None}
    types = {name: make() for name, make in OURS.items()}
    torch.set_num_threads(max(options.threads))
    check(passes, lif)
    for threads in options.threads:
        torch.set_num_threads(threads)
        where = f"{sizes}, {threads} thread{'s' * (threads > 1)}"
        copies = {"copy into memory in use": lambda: target.copy_(passes.x),
                  "copy into new memory": passes.x.clone}  # fmt: skip
        for title, run in (("forward", passes.forward), ("forward and backward", passes.both)):
            cases = {name: run(layer) for name, layer in lif.items()}
            documents.append(table(f"LIF {title}, {where}", passes, copies | cases, list(lif)[:1],
                                   options.slow_rounds, options.json))  # fmt: skip
            cases = {name: run(layer) for name, layer in types.items()}
            documents.append(table(f"types of neuron, {title}, {where}", passes, cases, ["LIF"],
                                   options.rounds, options.json))  # fmt: skip
            if options.peers:
                cases = {name: run(layer) for name, layer in peers().items()}
                documents.append(table(f"SpikingJelly's settings, {title}, {where}", passes, cases,
                                       list(cases)[:1], options.slow_rounds,
                                       options.json))  # fmt: skip
    memory = {name: kept_bytes_per_element(passes, layer) for name, layer in (types | lif).items()}
    documents.append({"title": "bytes kept beyond the input, per element", "rows": memory})
    began = time.perf_counter()
    documents.append({"title": "first call, seconds", "rows": first_call(),
                      "took_s": time.perf_counter() - began})  # fmt: skip
    return documents


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slow-rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    documents = measure(options)
    if not options.json:
        for document in documents[-2:]:
            print(f"\n{document['title']}")
            for name, value in document["rows"].items():
                shown = value if isinstance(value, dict) else {"": value}
                print(f"  {name:<34}" + "  ".join(f"{k} {v:8.3f}" for k, v in shown.items()))
    facts = side_by_side.machine("torch", "numba", "spikingjelly")
    side_by_side.finish(documents, facts, options.json)


if __name__ == "__main__":
    main()
