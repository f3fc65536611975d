"""LIF neurons on a CUDA device: these kernels, SpikingJelly's, the loop, and a copy of the input.

    python tests/benchmarks/bench_neurons_cuda.py [--steps 8] [--shape 4 64 64 64] [--rounds 20]
                                                  [--dtype float32] [--peer auto] [--json]

Not run on a device yet: there are no figures of it in `results/`.

Forward needs at least one read of the input and one write of the spikes, which is what a copy of
the input does, so times are given in copies. Forward and backward need five such passes (input and
spikes; input, gradient of the spikes and gradient of the input) or 2.5 copies. Times are those of
the device, by its events: before each case a buffer larger than any cache is overwritten, often
enough that the device is still busy when the last kernel of the case is queued. Cases take turns;
ratios are medians over rounds. `host` is the time to queue a case, which is what a small network
sees.

SpikingJelly 2 picks its own kernels (compiled CUDA, Triton or torch); `--peer` forces one. Its
neuron fires at the threshold, this one above it, and it divides by tau where this one multiplies by
1 - 1/tau, so a few spikes differ; the share is told. Decay 0.5, threshold 1, hard reset, arctan
surrogate with temperature 2, gradient through the reset, in all cases.
"""

import argparse
import json
import os
import statistics
import sys
import time
from importlib.util import find_spec

import side_by_side
import torch

from nas.neurons import LIF, LIFParams
from nas.surrogate import Arctan

FLUSH_BYTES = 1 << 28
MOST_FLUSHES = 256
TAU = 2.0


def peer(choice):
    """Return SpikingJelly's neuron, or None where it is not installed.

    It reads the choice when it is imported.
    """
    if find_spec("spikingjelly") is None:
        return None
    os.environ["SJ_LIF_CUDA_IMPLEMENTATION"] = choice
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=TAU, decay_input=False, v_threshold=1.0, v_reset=0.0,
        surrogate_function=surrogate.ATan(alpha=2.0), step_mode="m",
    )  # fmt: skip

    def run(x):
        functional.reset_net(node)
        return node(x)

    return run


def neurons(choice):
    """Return what is compared, name to a function of ``[T, B, ...]``."""
    params = LIFParams(decay=1 - 1 / TAU, threshold=1.0, surrogate=Arctan(2.0))
    found = {
        "kernel": LIF(params, backend="kernel"),
        "loop": LIF(params, backend="reference"),
        "spikingjelly": peer(choice),
    }
    return {name: run for name, run in found.items() if run is not None}


def build_cases(runs, x, given):
    """Return the cases, name to a callable without arguments."""
    target = torch.empty_like(x)

    def forward(run):
        with torch.no_grad():
            run(x)

    def both(run):
        leaf = x.detach().requires_grad_()
        torch.autograd.grad(run(leaf), leaf, given)

    cases = {"copy": lambda: target.copy_(x)}
    for name, run in runs.items():
        cases[f"{name} forward"] = lambda run=run: forward(run)
        cases[f"{name} both"] = lambda run=run: both(run)
    return cases


def differences(runs, x, given):
    """Return the share of spikes and the largest part of a gradient that differ from the loop's."""
    results = {}
    for name, run in runs.items():
        leaf = x.detach().requires_grad_()
        out = run(leaf)
        results[name] = out.detach(), torch.autograd.grad(out, leaf, given)[0].float()
    spikes, grad = results["loop"]
    return {
        name: {
            "spikes": float((s != spikes).float().mean()),
            "gradient": float((g - grad).abs().max() / grad.abs().max()),
        }
        for name, (s, g) in results.items()
    }


class Clock:
    """Times of the device, with cold caches and without waits for the host."""

    def __init__(self, device):
        self.buffer = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)
        self.flushes = {}

    def time(self, name, case):
        """Return ms of the device, ms to queue, and whether the device waited for the host."""
        flushes = self.flushes.get(name, 1)
        while True:
            idle, start, end = (torch.cuda.Event(enable_timing=True) for _ in range(3))
            torch.cuda.synchronize()
            idle.record()
            began = time.perf_counter()
            for _ in range(flushes):
                self.buffer.zero_()
            start.record()
            queued_from = time.perf_counter()
            case()
            end.record()
            queued = time.perf_counter()
            torch.cuda.synchronize()
            ahead = idle.elapsed_time(start) >= 1e3 * (queued - began)
            if ahead or flushes >= MOST_FLUSHES:
                self.flushes[name] = flushes
                return start.elapsed_time(end), 1e3 * (queued - queued_from), not ahead
            flushes *= 2


def measure(cases, rounds, device):
    """Return name to lists of device and host times in ms, and to the rounds that the host held up.

    Everything is compiled, and the number of flushes found, in a first round that does not count.
    """
    clock = Clock(device)
    for name, case in cases.items():
        case()
        clock.time(name, case)
    found = {name: {"device": [], "host": [], "held_up": 0} for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            device_ms, host_ms, held_up = clock.time(name, case)
            found[name]["device"].append(device_ms)
            found[name]["host"].append(host_ms)
            found[name]["held_up"] += held_up
    return found


def summarize(found, x):
    """Return a row per case."""
    rows = {}
    for name, times in found.items():
        ratios = {
            other: statistics.median(
                a / b for a, b in zip(times["device"], found[other]["device"], strict=True)
            )
            for other in found
            if other == "copy" or other.split()[-1] == name.split()[-1]
        }
        rows[name] = {
            "median_ms": statistics.median(times["device"]), "best_ms": min(times["device"]),
            "host_ms": statistics.median(times["host"]), "held_up_rounds": times["held_up"],
            "times_as_long_as": ratios,
        }  # fmt: skip
    size = 2 * x.numel() * x.element_size()
    rows["copy"]["gb_per_s"] = size / rows["copy"]["median_ms"] / 1e6
    return rows


def first_call_s(x):
    """Return the seconds of the first forward and backward: kernels compiled, or loaded."""
    leaf = x.detach().requires_grad_()
    began = time.perf_counter()
    neuron = LIF(LIFParams(decay=1 - 1 / TAU, threshold=1.0, surrogate=Arctan(2.0)))
    neuron(leaf).sum().backward()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def show(report):
    """Print the report as text."""
    print(f"{report['device']}: T={report['steps']}, {report['shape']}, {report['dtype']}, "
          f"{report['rounds']} rounds; copy {report['cases']['copy']['gb_per_s']:.0f} GB/s; "
          f"first call {report['first_call_s']:.1f} s")  # fmt: skip
    for name, row in report["cases"].items():
        ratios = "  ".join(f"{r:6.2f}x {other}" for other, r in row["times_as_long_as"].items())
        held = "  held up by the host" if row["held_up_rounds"] else ""
        print(f"  {name:22s}{row['median_ms']:9.4f} ms [{row['best_ms']:9.4f}]  host "
              f"{row['host_ms']:7.3f} ms  {ratios}{held}")  # fmt: skip
    for name, apart in report["differences_from_loop"].items():
        print(f"  {name:22s}{apart['spikes']:.2e} of spikes, {apart['gradient']:.2e} of the "
              "largest gradient differ from the loop's")  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in report["machine"].items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--shape", type=int, nargs="+", default=[4, 64, 64, 64])
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--peer", choices=["auto", "cuda", "triton", "torch"], default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This measures kernels on a CUDA device, and torch sees none here.")
    if find_spec("triton") is None:
        sys.exit("This measures Triton kernels, and triton is not installed here.")
    device = torch.device("cuda")
    generator = torch.Generator(device).manual_seed(0)
    size, dtype = (options.steps, *options.shape), getattr(torch, options.dtype)
    x = torch.randn(size, device=device, generator=generator).to(dtype)
    given = torch.randn(size, device=device, generator=generator).to(dtype)
    first = first_call_s(x)
    runs = neurons(options.peer)
    apart = differences(runs, x, given)
    found = measure(build_cases(runs, x, given), options.rounds, device)
    report = {
        "device": torch.cuda.get_device_name(), "steps": options.steps, "shape": options.shape,
        "dtype": options.dtype, "rounds": options.rounds, "peer": options.peer,
        "first_call_s": first, "cases": summarize(found, x), "differences_from_loop": apart,
        "machine": side_by_side.machine("torch", "triton", "spikingjelly"),
    }  # fmt: skip
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
