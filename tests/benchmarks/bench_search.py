"""One step of the stereo search beside the same relaxed network run as the published code runs it.

    python tests/benchmarks/bench_search.py [--height 96 --width 128 --steps 4] [--rounds 5]
                                            [--batch 1] [--cases mixture checkpoints ...]
                                            [--no-memory] [--threads 2] [--profile CASE] [--json]

The larger size: --height 200 --width 280 --steps 5 --rounds 1 --alone --cases mixture checkpoints
(the peer would need some 50 GB).

A step is ``nas.bilevel.bilevel_step``, first order: forward and backward for the architecture on
one batch, forward and backward for the weights on another, and both optimizers; the loss is that of
the task `stereo`. Preset `spikedhs` with filter multiplier ``--multiplier`` in both nets, random
events and disparities, so no data are read.

The peer, `step by step`, has the same parameters and computes the same scores, in the published
manner: the whole network once per time step, every candidate convolution by itself, neurons of
plain torch operations that hand their membrane from step to step, and autograd's graph over all of
it. Like ours it sees both cameras in one batch and takes every softmax once per forward pass,
which the published code does not do. Of a batch of 1, torch 2.13 computes most 3-D convolutions on
the CPU by a slow path, from 2 on by oneDNN; one time step of one pair is a batch of 1, all steps
together are not. `--batch 2` shows what is left of the ratio without that.

That the scores are equal is checked first, with norms at their running statistics: in training,
ours normalize over all time steps together and the peer over each by itself. Times and memory are
of training mode. `sampled` and `portion 4` compute less on purpose, so equal nothing.

Cases run in turn, and a ratio is the median over rounds of ratios within a round. Memory is that of
a new process per case: the largest resident set in the first step beyond the resident set before
it, so code that is loaded on the way counts too, in all cases alike (a smaller step before would
leave freed memory behind, which then would not be counted). `--profile` prints where the time of
one step of a case goes.
"""

import argparse
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import side_by_side
import torch
import torch.nn.functional as F
from torch import nn

from data.sample import StereoBatch
from nas.bilevel import bilevel_step, others
from nas.neurons import Neuron
from nas.relaxed.architecture import architectures, decide
from nas.relaxed.fan import Fan
from nas.relaxed.path import Computed
from nas.space import SPACES
from stereo.disparity import upsample_scores
from stereo.network import STRIDE
from stereo.presets import spikedhs
from stereo.supernet import RelaxedStereo
from stereo.tasks.stereo import StereoTask

PEER = "step by step"
OPTIONS = {
    PEER: {},
    "mixture": {},
    "checkpoints": {"checkpoints": True},
    "sampled": {"sampled": True},
    "portion 4": {"portion": 4},
}
DENSITY = 0.1
"""Events per pixel, channel and time step, over all its sub-bins."""

LESS = ("sampled", "portion 4")
"""Cases that compute less on purpose."""

CLOSE = 1e-5
"""Largest difference of scores, relative to the largest score."""


class OneStep(nn.Module):
    """A neuron that is called once per time step and keeps its membrane in between.

    Args:
        neuron: whose equation is computed, in plain torch.
    """

    emits_spikes = True

    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron
        self.neuron.backend = "reference"
        self.state = None

    def forward(self, x):
        """Return ``[1, B, ...]`` spikes from currents of this shape."""
        spikes, self.state = self.neuron.scan(x, self.state)
        return spikes


class StepByStep(nn.Module):
    """A relaxed stereo network run time step by time step.

    Args:
        network: taken over, parameters and all; of no use by itself afterwards.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network
        for module in list(network.modules()):
            if isinstance(module, Fan):
                module.together = False
            for name, child in list(module.named_children()):
                if isinstance(child, Neuron):
                    setattr(module, name, OneStep(child))
        self.neurons = [m for m in network.modules() if isinstance(m, OneStep)]

    def scores_by_step(self, left, right, *, last=True):
        """Return the scores after the last step ``[1, B, D, H, W]``, what the task's loss sees."""
        assert last
        return self.scores(left, right)[None]

    def scores(self, left, right):
        """Return what ``HybridStereo.scores`` returns."""
        network, (height, width) = self.network, left.shape[-2:]
        planes = -(-network.config.max_disparity // STRIDE) + 1
        total = 0
        for neuron in self.neurons:
            neuron.state = None
        for now in torch.cat([left, right], dim=1).split(1):
            padded = F.pad(now, (0, -width % STRIDE, 0, -height % STRIDE))
            total = total + network.matching(network.compare(padded, planes))[0]
        for neuron in self.neurons:
            neuron.state = None
        readout = total / len(left)
        h, w = readout.shape[-2:]
        return upsample_scores(readout, (h * STRIDE, w * STRIDE))[..., :height, :width]


class Search:
    """A network of a case, with what a step of the search needs.

    Args:
        case: in ``OPTIONS``.
        options: of the command line.
    """

    def __init__(self, case, options):
        torch.manual_seed(1)
        preset = spikedhs()
        widths = dict.fromkeys(("feature_channels", "matching_channels"), options.multiplier)
        config = replace(
            preset, encoding=replace(preset.encoding, steps=options.steps),
            network=replace(preset.network, **widths),
        )  # fmt: skip
        self.task = StereoTask(config)
        computed = Computed(**OPTIONS[case])
        self.relaxed = RelaxedStereo(config, SPACES["spikedhs"](), computed).train()
        self.model = StepByStep(self.relaxed) if case == PEER else self.relaxed
        logits = [p for _, part in architectures(self.relaxed) for p in part.parameters()]
        self.architecture = torch.optim.Adam(logits, 3e-4)
        self.weights = torch.optim.SGD(others(self.relaxed, logits), 1e-2, momentum=0.9)
        self.sizes, self.pairs = (options.steps, preset.encoding.bins), options.batch

    def batch(self, height, width, seed):
        """Return random events, and a disparity at every pixel."""
        generator = torch.Generator().manual_seed(seed)
        steps, bins = self.sizes
        channels = self.relaxed.encoding.channels
        shape = 2, steps, self.pairs, channels, height, width
        left, right = (torch.rand(shape, generator=generator) < DENSITY / bins).float()
        disparity = 40.0 * torch.rand(self.pairs, height, width, generator=generator)
        return StereoBatch(
            left=left, right=right, disparity=disparity, valid=torch.ones_like(disparity).bool()
        )

    def loss(self, model, batch):
        """Return the task's loss, of a network that has just decided."""
        decide(self.relaxed)
        return self.task.loss(model, batch)[0]

    def stepper(self, height, width):
        """Return a call that makes one step of the search."""
        training, held_out = (self.batch(height, width, seed) for seed in (1, 2))

        def step():
            bilevel_step(
                self.model, self.loss, training=training, held_out=held_out, weights=self.weights,
                architecture=self.architecture,
            )  # fmt: skip

        return step


def check(options, cases):
    """Compare the scores of the cases that compute everything with those of the peer.

    In float64 and at a quarter of the size: in float32 a rounding flips a spike now and then, and
    all that lies behind it is another picture.

    Returns:
        The largest difference relative to the largest score, by case.
    """
    searches = {case: Search(case, options) for case in cases if case not in LESS}
    donor = Search("mixture", options)
    batch = donor.batch(options.height // 4, options.width // 4, 3)
    left, right = batch.left.double(), batch.right.double()
    for search in (donor, *searches.values()):
        search.relaxed.double()
    for module in donor.relaxed.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # statistics of this one batch
    with torch.no_grad():
        decide(donor.relaxed)
        donor.model.scores(left, right)
        found = {}
        for case, search in searches.items():
            own, given = (s.relaxed.state_dict().values() for s in (search, donor))
            for old, new in zip(own, given, strict=True):
                old.copy_(new)
            decide(search.relaxed.eval())
            found[case] = search.model.scores(left, right)
    expected = found[PEER]
    apart = {c: float((s - expected).abs().max() / expected.abs().max()) for c, s in found.items()}
    if not expected.std() > 0 or max(apart.values()) > CLOSE:
        raise AssertionError(f"Scores differ by {apart} of the largest; std {expected.std()}.")
    return apart


def resident_mib():
    """Return the resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def own_memory(case, options):
    """Return what a step of a case takes in this process, MiB."""
    search = Search(case, options)
    step, before = search.stepper(options.height, options.width), resident_mib()
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before


def memory(options):
    """Return the memory of each case, each in a new process, MiB."""
    sizes = ("height", "width", "steps", "batch", "multiplier", "threads")
    given = [word for name in sizes for word in (f"--{name}", str(getattr(options, name)))]
    found = {}
    for case in options.cases:
        done = subprocess.run(
            [sys.executable, __file__, *given, "--child", case],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found[case] = float(done.stdout)
    return found


def profile(case, options):
    """Print where the time of one step goes."""
    search = Search(case, options)
    step = search.stepper(options.height, options.width)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def measure(options):
    """Return the tables."""
    size = f"{options.height} x {options.width}, T = {options.steps}, batch {options.batch}"
    title = f"a step of the search, {size}, multiplier {options.multiplier}"
    documents = []
    if not options.alone:
        apart = check(options, options.cases)
        documents.append({"title": "largest difference of scores from the peer's", "rows": apart})
    if not options.no_memory:
        taken = memory(options)
        peer = taken.get(PEER, float("nan"))
        rows = {c: {"mib": mib, "of_peer": mib / peer} for c, mib in taken.items()}
        documents.append({"title": f"memory of {title}", "rows": rows})
    if options.rounds:
        steps = {c: Search(c, options).stepper(options.height, options.width)
                 for c in options.cases}  # fmt: skip
        timings = side_by_side.run(
            steps, options.rounds, once=options.cases if options.cold else ()
        )
        title = f"{title}, {options.threads} threads"
        peers = [] if options.alone else [PEER]
        documents.append(side_by_side.report(title, timings, peers, as_json=options.json))
    return documents


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"height": 96, "width": 128, "steps": 4, "batch": 1, "multiplier": 4,
                        "threads": os.cpu_count() or 1, "rounds": 5}.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--cases", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--cold", action="store_true", help="no round before the first that counts")
    parser.add_argument("--profile", choices=list(OPTIONS))
    parser.add_argument("--alone", action="store_true", help="no peer: it may not fit into memory")
    parser.add_argument("--child", choices=list(OPTIONS), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        print(own_memory(options.child, options))
        return
    if options.profile:
        profile(options.profile, options)
        return
    others = [case for case in options.cases if case != PEER]
    options.cases = others if options.alone else [PEER, *others]
    documents = measure(options)
    if not options.json:
        for document in (d for d in documents if isinstance(d["rows"], dict)):
            print(f"\n{document['title']}")
            for case, value in document["rows"].items():
                shown = (
                    f"{value['mib']:9.0f} MiB"
                    + ("" if options.alone else f" {value['of_peer']:6.2f} of {PEER}")
                    if isinstance(value, dict)
                    else f"{value:.1e}"
                )
                print(f"  {case:<34}{shown}")
    side_by_side.finish(documents, side_by_side.machine("torch", "numba"), options.json)


if __name__ == "__main__":
    main()
