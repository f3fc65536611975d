"""A whole stereo network by every executor, on windows of a recording.

    python tests/benchmarks/bench_infer.py RECORDING [--run RUN | --preset NAME] [--windows 4]
                        [--rounds 7] [--threads 2] [--max-disparity N] [--compiled] [--json]

Encoded windows in, disparity out, batch of one; reading and encoding are not counted. Cases:

    lists     every node on its list
    chosen    for each node the faster of its list and a dense convolution, as `--executor event`
    oneDNN    every node densely, oneDNN called by its name, channels last, as `--executor event`
    dense     the network as it is, norms folded, channels last
    NCHW      likewise, channels first
    compiled  dense, by torch.compile (--compiled; takes minutes at first)

Cases run in turn on each window, and a ratio is the median over rounds and windows. The estimates
are compared first. `density` is the share of synapses that a spike or analog value reaches. A
preset has weights at random: its times say something, its estimates nothing.
"""

import argparse
import copy
import json
import statistics
from functools import partial
from pathlib import Path

import side_by_side
import torch

from data.formats import open_recording
from energy import profile
from nas.fold import fold_norms
from stereo.checkpoint import channels_last, load_network
from stereo.event_network import EventNetwork
from stereo.infer import spread
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.stream import run_windows
from stereo.windows import plan_windows


def windows_of(recording, network, count):
    """Return encoded windows spread over a recording."""
    every = plan_windows(
        recording.span_us, recording.disparity_t_us, window_us=network.config.window_us,
        step_us=network.config.window_us,
    )  # fmt: skip
    picked = [window for n, window in enumerate(every) if n in spread(len(every), count)]
    return [(found.left, found.right) for found in run_windows(recording, network, picked)]


def choose(network, flags):
    for node, flag in zip(network.nodes, flags, strict=True):
        node.densely = flag


LISTED = ("lists", "chosen")


def compare(network, windows, limit, rounds, compiled):
    """Return one row for each window."""
    height, width = windows[0][0].shape[-2:]
    events = EventNetwork(network, height, width, limit)
    first = load_copy(network)
    last = channels_last(network)
    events.calibrate(*windows[0])
    chosen = [node.densely for node in events.nodes]
    every = {"lists": [False] * len(chosen), "chosen": chosen, "oneDNN": [True] * len(chosen)}
    faster = torch.compile(last, dynamic=False) if compiled else None
    rows = []
    for left, right in windows:

        def by(flags, left=left, right=right):
            choose(events, flags)
            return events(left, right)

        cases = {
            **{name: partial(by, flags) for name, flags in every.items()},
            "dense": lambda a=left, b=right: last(a, b, limit),
            "NCHW": lambda a=left, b=right: first(a, b, limit),
        }  # fmt: skip
        if faster is not None:
            cases["compiled"] = lambda a=left, b=right: faster(a, b, limit)
        with torch.inference_mode():
            wanted = cases["dense"]()
            off = [(case() - wanted).abs() > 0.01 for case in cases.values()]
            timings = side_by_side.run(cases, rounds)
            report = profile(network, left, right, limit or network.config.max_disparity)
        dense = sum(layer.dense for layer in report.layers)
        rows.append({
            "density": (report.ac + report.mac) / dense, "total_mj": report.total_mj,
            "gac": report.ac * 1e-9, "gmac": report.mac * 1e-9,
            "pixels off": max(float(o.float().mean()) for o in off),
            "ms": {name: timings.median_ms(name) for name in cases},
            "best_ms": {name: timings.best_ms(name) for name in cases},
            "times": {
                name: min(timings.ratio(name, peer) for peer in cases if peer not in LISTED)
                for name in LISTED
            },
            "foreign": max(timings.foreign),
        })  # fmt: skip
    return rows, sum(chosen), len(chosen)


def load_copy(network):
    """Return the same network with all weights channels first."""
    found = copy.deepcopy(network)
    for parameter in found.parameters():
        parameter.data = parameter.data.contiguous()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--preset")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-disparity", type=int)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.preset:
        torch.manual_seed(0)
        network = fold_norms(HybridStereo(PRESETS[asked.preset]()).eval())
    else:
        network = load_network(asked.run)
    with open_recording(asked.recording) as recording:
        windows = windows_of(recording, network, asked.windows)
    rows, dense, nodes = compare(
        network, windows, asked.max_disparity, asked.rounds, asked.compiled
    )
    document = {
        "machine": side_by_side.machine("torch", "numba"), "threads": asked.threads,
        "recording": asked.recording.name, "size": list(windows[0][0].shape[-2:]),
        "dense nodes": f"{dense} of {nodes}", "rows": rows,
    }  # fmt: skip
    if asked.json:
        print(json.dumps(document, indent=1))
        return
    print({key: value for key, value in document.items() if key != "rows"})
    names = list(rows[0]["ms"])
    print(f"| density % | mJ | {' ms | '.join(names)} ms | lists | chosen |\n"
          f"|{'---|' * (4 + len(names))}")  # fmt: skip
    for row in rows:
        ms = " | ".join(f"{row['ms'][name]:.1f}" for name in names)
        print(f"| {100 * row['density']:.1f} | {row['total_mj']:.2f} | {ms} | "
              f"{row['times']['lists']:.2f}x | {row['times']['chosen']:.2f}x |")  # fmt: skip
    off = 100 * max(row["pixels off"] for row in rows)
    times = statistics.median(row["times"]["chosen"] for row in rows)
    foreign = 100 * max(row["foreign"] for row in rows)
    print(f"chosen {times:.2f} times as fast as the best dense one; at most {off:.3f} % of pixels "
          f"differ by more than 0.01 px; others used {foreign:.0f} % of the machine")  # fmt: skip


if __name__ == "__main__":
    main()
