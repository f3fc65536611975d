"""One node on lists of spikes beside the same node densely: time against density.

    python tests/benchmarks/bench_sparse.py [--rounds 15] [--threads 2] [--json]
                        [--densities 0.01,0.02,0.05,0.1,0.2,0.3,0.5] [--plot curve.svg]

A node is a 3x3 (3x3x3) convolution and a LIF neuron, batch of one (the two cameras of an image are
two), one time step, batch norm folded. What comes in is random spikes at a density. Cases:

    list      ours: from the list of its input to the list of what fires
    oneDNN    torch's dense convolution called by its name, channels last, then our fused neuron
    torch     the same convolution as torch calls it by itself, channels last, then our fused neuron
    NCHW      likewise, channels first

Dense cases get dense inputs, so nothing is packed or unpacked for anybody. That all fire alike is
checked first. Cases run in turn, and a ratio is the median over rounds of ratios within a round.
The plot needs matplotlib.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import side_by_side
import torch
from torch import nn

from nas.cell import Fire
from nas.dims import ConvNorm
from nas.neurons.modules import LIF
from nas.sparse import list_kernels as lists
from nas.sparse.dense import Signal
from nas.sparse.layout import Layout
from nas.sparse.nodes import at_rest

SHAPES = {
    "24 to 24, 2 x 120 x 160": (2, 24, 24, (2, 120, 160)),
    "8 to 8, 2 x 260 x 346": (2, 8, 8, (2, 260, 346)),
    "12 to 8, 17 x 87 x 116": (3, 12, 8, (17, 87, 116)),
    "24 to 24, 9 x 44 x 58": (3, 24, 24, (9, 44, 58)),
}
"""Dimension, channels in and out, and planes, rows and columns: layers of stereo networks."""


def node(dimension, inputs, outputs):
    """Return a node whose sums are exact in any order."""
    torch.manual_seed(0)
    module = ConvNorm(dimension, inputs, outputs)
    module[1] = nn.Identity()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter * 64).round() / 64)
    return Fire([module], LIF()).eval()


def cases(dimension, inputs, outputs, size, density):
    """Return the callables, each of which gives what fires ``[planes, C, rows, columns]``."""
    fire = node(dimension, inputs, outputs)
    conv = fire.edges[0][0]
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(size[0], inputs, *size[1:], generator=generator) < density).float()
    layout = Layout()
    source = layout.store.spikes(size, inputs)
    layout.fire(fire, Signal((source,)))
    arrays = layout.store.arrays()
    lists.pack(
        x.numpy().reshape(-1), np.array(x.shape),
        np.array([source.places, source.counts, *size[1:]]), arrays.places, arrays.counts,
    )  # fmt: skip
    (work,) = layout.work

    def listed():
        at_rest(arrays)
        work.run(arrays)

    last = torch.channels_last_3d if dimension == 3 else torch.channels_last
    first = x if dimension == 2 else x.transpose(0, 1)[None].contiguous()
    dense = first.contiguous(memory_format=last)
    weight = conv.weight.detach().contiguous(memory_format=last)
    ones = [1] * dimension

    def named():
        y = torch.ops.aten.mkldnn_convolution(dense, weight, conv.bias, ones, ones, ones, 1)
        return fire.fire(y[None])

    function = nn.functional.conv3d if dimension == 3 else nn.functional.conv2d
    found = {
        "list": listed, "oneDNN": named,
        "torch": lambda: fire.fire(function(dense, weight, conv.bias, padding=1)[None]),
        "NCHW": lambda: fire.fire(function(first, conv.weight, conv.bias, padding=1)[None]),
    }  # fmt: skip
    listed()
    wanted = found["torch"]()[0]
    spikes = int(wanted.sum())
    assert int(arrays.counts[source.lines :].sum()) == spikes
    assert torch.equal(named()[0], wanted)
    return found, spikes


def plot(rows, path):
    """Draw time against density, a picture for each shape."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2).flat
    for panel, shape in zip(axes, SHAPES, strict=True):
        own = [row for row in rows if row["shape"] == shape]
        density = [100 * row["density"] for row in own]
        panel.loglog(density, [row["ms"] for row in own], "o-", label="list")
        for peer in ("oneDNN", "torch", "NCHW"):
            dense = [row["ms"] * row[f"times {peer}"] for row in own]
            panel.loglog(density, dense, "--", label=f"{peer}, dense")
        panel.set(title=shape, xlabel="density of the input, %", ylabel="ms")
        panel.grid(alpha=0.3, which="both")
        panel.legend()
    figure.suptitle("A 3x3 node and its neuron, one time step: time against density")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--densities", default="0.01,0.02,0.05,0.1,0.2,0.3,0.5")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = []
    for name, shape in SHAPES.items():
        for density in map(float, asked.densities.split(",")):
            with torch.inference_mode():
                found, _ = cases(*shape, density)
                timings = side_by_side.run(found, asked.rounds, pause=side_by_side.stay_awake)
            rows.append({
                "shape": name, "density": density, "ms": timings.median_ms("list"),
                **{f"times {peer}": timings.ratio("list", peer) for peer in list(found)[1:]},
                "foreign": max(timings.foreign),
            })  # fmt: skip
    if asked.plot:
        plot(rows, asked.plot)
    facts = side_by_side.machine("torch", "numba")
    if asked.json:
        print(json.dumps({"machine": facts, "threads": asked.threads, "rows": rows}, indent=1))
        return
    print(facts)
    print("| shape | density % | list ms | times oneDNN | times torch | times NCHW |\n"
          "|---|---|---|---|---|---|")  # fmt: skip
    for row in rows:
        print(f"| {row['shape']} | {100 * row['density']:g} | {row['ms']:.2f} | "
              f"{row['times oneDNN']:.1f} | {row['times torch']:.1f} | "
              f"{row['times NCHW']:.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
