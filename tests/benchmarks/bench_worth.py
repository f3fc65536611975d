"""Is the search worth it: searched genotypes beside random, evolved and published ones.

    python tests/benchmarks/bench_worth.py run EXPERIMENT --root DIR [--data PATH] [--arms A,B]
                                               [--seeds 1,2,3]
    python tests/benchmarks/bench_worth.py table EXPERIMENT --root DIR [--json]

Every arm gives genotypes under one energy budget, all of them are trained alike from scratch and
evaluated on data that neither search nor training saw:

    searched    the differentiable search
    evolution   regularized evolution in the wall time that a search took
    random      genotypes drawn from the space at 90 to 100 % of the budget, several for each seed
    published   the genotype that SpikeDHS published, as wide as the budget allows
    spatial, temporal, dgs, hybrid   the ablation: the search of cells and paths alone, with types
                and time constants of neurons, with temperatures searched while training, and with
                stages that may be analog; each has what stands before it too

Several processes may run beside each other on one root: each takes what no other has taken. All of
it goes on where it was stopped.
"""

import argparse
import fcntl
import json
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from nas.budget import Budget
from nas.genotype import Genotype
from nas.methods.sampling import random_genotype
from stereo.checkpoint import channels_last, load_run
from stereo.config import load_genotype
from stereo.search.costs import measured_cost
from stereo.search.relaxed import calibrate
from stereo.search.run import SEEN, run_search
from stereo.search.setting import find_search
from stereo.tasks import bind_task, find_config
from stereo.tasks.task import Source
from stereo.train import train

RANDOM = 5
SPIKING = ("lif", "alif", "plif")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One comparison.

    Attributes:
        task: name of the task.
        search: preset of its search.
        budget: of an inference, mJ.
        part: of the data to evaluate on.
        metric: what is compared, and whether more of it is better.
        config: changes of the task's configuration, for search and training alike.
        training: changes for the training from scratch alone.
        searching: changes of the search.
        published: name of the published genotype, and the fields that make it wider.
        samples: of the part to evaluate on; None for all.
        priced: samples that an energy is the mean of.
        trials: of evolution, as many as its first seed made in the wall time of a search when
            nothing disturbed either; 0 to give every seed that wall time.
    """

    task: str
    search: str
    budget: float
    part: str
    metric: tuple[str, bool]
    config: dict[str, str] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)
    searching: dict[str, str] = field(default_factory=dict)
    published: tuple[str, tuple[str, ...]] = ("", ())
    samples: int | None = None
    priced: int = 16
    trials: int = 0


EXPERIMENTS = {
    "cifar10": Experiment(
        task="cifar10", search="cifar10_cpu", budget=0.020, part="test",
        metric=("top1_percent", True),
        config={"network.channels": "8", "train.batch": "64"},
        training={"train.steps": "800", "train.warmup": "80", "train.checkpoint_every": "100"},
        searching={
            "search.steps": "550", "search.warmup": "200", "trials.steps": "120",
            "trials.batches": "10", "trials.population": "6",
        },
        published=("spikedhs_cifar", ("network.channels",)), trials=21,
    ),
    "stereo": Experiment(
        task="stereo", search="stereo_cpu", budget=3.0, part="test", metric=("mae_px", False),
        config={
            "encoding.bins": "1", "network.feature_channels": "4", "network.matching_channels": "4",
            "network.stem_channels": "6", "network.volume_channels": "6", "train.batch": "2",
            "train.crop_height": "60", "train.crop_width": "231", "train.rate_weight": "0",
            "data.shift": "36",
        },
        training={
            "train.steps": "900", "train.warmup": "50", "train.checkpoint_every": "50",
            "train.analog_share": "0.6", "train.synapse_weight": "3", "train.ema": "0.99",
        },
        searching={
            "relaxed.neurons": json.dumps(SPIKING), "relaxed.finalists": "16",
            "search.steps": "520", "search.warmup": "260", "search.rectified": "160",
            "search.measure_every": "100",
            "trials.steps": "150", "trials.batches": "24", "trials.population": "6",
        },
        published=("spikedhs", ("network.feature_channels", "network.matching_channels")),
        samples=96, priced=4,
    ),
}  # fmt: skip

ABLATION = {
    "spatial": ({"relaxed.analog": "no", "relaxed.neurons": json.dumps(["lif"])}, {}),
    "temporal": ({"relaxed.analog": "no", "relaxed.neurons": json.dumps(SPIKING)}, {}),
    "dgs": ({}, {"train.dgs": "true"}),
    "hybrid": ({}, {"train.dgs": "true"}),
}  # fmt: skip
"""Changes of the search and of the training, by arm."""

SAME_SEARCH = {"dgs": "temporal", "hybrid": "searched"}
"""Arms that only train differently what another arm found."""


class Bench:
    """One experiment in a root folder."""

    def __init__(self, name, root, data, count=RANDOM):
        self.count = count
        self.name, self.plan, self.root = name, EXPERIMENTS[name], Path(root) / name
        self.source = Source(data=data, cache=self.root / "clips")
        self.seen = self.example = self.one_example = None

    def task(self, changes=None):
        preset = find_search(self.plan.task, self.plan.search).config
        config = find_config(self.plan.task, preset)
        return bind_task(config.override({**self.plan.config, **(changes or {})}), self.source)

    def setting(self, changes=None):
        setting = find_search(self.plan.task, self.plan.search)
        return setting.override({**self.plan.searching, **(changes or {})})

    def items(self, arms, seeds):
        for seed in seeds:
            for arm in arms:
                for number in range(self.count if arm == "random" else 1):
                    yield arm, seed, number

    def run(self, arms, seeds):
        left = list(self.items(arms, seeds))
        while left:
            rest = []
            for item in left:
                folder = self.root / "-".join(str(part) for part in item)
                if (folder / "result.json").exists():
                    continue
                with claimed(folder) as own:
                    if not own or not self.ready(item):
                        rest.append(item)
                        continue
                    self.one(folder, *item)
            left = rest
            if left:
                time.sleep(10)

    def ready(self, item):
        """Evolution waits for the seconds of the search, an arm for the search it shares."""
        arm, seed, number = item
        needs = "searched" if arm == "evolution" else SAME_SEARCH.get(arm)
        return needs is None or (self.root / f"{needs}-{seed}-{number}" / "found.json").exists()

    def one(self, folder, arm, seed, number):
        told = {"arm": arm, "seed": seed, "number": number}
        print(f"{time.strftime('%H:%M:%S')} {folder.name} begins", flush=True)
        found = folder / "found.json"
        if not found.exists():
            busy = time.process_time()
            genotype, about = self.genotype(folder, arm, seed, number)
            genotype.save(folder / "genotype.json")
            write(found, {"search_s": 0.0, "cpu_s": time.process_time() - busy, **about})
        about = json.loads(found.read_text())
        changes = {
            **self.plan.training, **ABLATION.get(arm, ({}, {}))[1], **about["wider"],
            "train.seed": str(100 * seed),  # one order of the data for all that is compared
            "network.genotype": str(folder / "genotype.json"),
        }  # fmt: skip
        task = self.task(changes)
        began = time.perf_counter()
        train(task, folder / "trained")
        network = load_run(folder / "trained")
        evaluation = task.evaluate(network.eval(), self.plan.part, samples=self.plan.samples)
        example = task.example(self.plan.priced)
        write(folder / "result.json", {
            **told, **about, "train_s": time.perf_counter() - began, **evaluation.metrics,
            "trained_mj": measured_cost(network, example, "mJ", "45nm-fp32"),
            "dense_gmac": measured_cost(network, example, "GMAC", "45nm-fp32"),
            "parameters": sum(p.numel() for p in network.parameters()),
        })  # fmt: skip
        print(f"{time.strftime('%H:%M:%S')} {folder.name} "
              f"{evaluation.metrics[self.plan.metric[0]]:.2f}", flush=True)  # fmt: skip

    def genotype(self, folder, arm, seed, number):
        if arm == "published":
            return self.published()
        if arm == "random":
            return self.random(seed, number)
        if arm in SAME_SEARCH:
            other = self.root / f"{SAME_SEARCH[arm]}-{seed}-{number}"
            return Genotype.load(other / "genotype.json"), json.loads(
                (other / "found.json").read_text()
            )
        return self.search(folder, arm, seed)

    def search(self, folder, arm, seed):
        setting = self.setting({"search.seed": str(seed), **ABLATION.get(arm, ({}, {}))[0]})
        method = "differentiable"
        setting = replace(setting, trials=replace(setting.trials, steps=1, batches=1))
        if arm == "evolution":
            method = "evolution"
            count = self.plan.trials
            seconds = 0.0 if count else self.search_seconds()
            trials = replace(self.setting().trials, evaluations=count, seconds=seconds)
            setting = replace(setting, trials=trials)
        task = self.task({**setting.changes, **self.plan.config, "train.seed": str(seed)})
        found = run_search(
            task, setting, folder / "search", method=method, budget=Budget(self.plan.budget)
        )  # fmt: skip
        return Genotype.load(found.genotype), {
            "untrained_mj": found.measured, "fits": found.fits, "steps": found.steps, "wider": {},
            "search_s": found.wall_s,
        }  # fmt: skip

    def search_seconds(self):
        """Return the wall time of the least disturbed search; all have as many steps."""
        every = self.root.glob("searched-*/found.json")
        return min(json.loads(path.read_text())["search_s"] for path in every)

    def cost(self, task, genotype, near=None):
        """Return the energy of an untrained network; all are priced on the same samples.

        One sample is enough where its energy is nowhere near the range that is given.
        """
        if self.seen is None:
            self.seen = [batch for batch, _ in islice(task.halves(), SEEN)]
            self.example, self.one_example = task.example(self.plan.priced), task.example(1)
        torch.manual_seed(0)
        network = channels_last(task.network(genotype))
        calibrate(network, iter(self.seen), task)
        if near is not None:
            rough = measured_cost(network, self.one_example, "mJ", "45nm-fp32")
            if not 0.7 * near[0] <= rough <= 1.4 * near[1]:
                return rough
        return measured_cost(network, self.example, "mJ", "45nm-fp32")

    def random(self, seed, number):
        generator = np.random.default_rng((seed, number))
        task, space = self.task(), self.setting().relaxed.build()
        low, high = 0.9 * self.plan.budget, self.plan.budget
        drawn = 0
        while True:
            drawn += 1
            genotype = random_genotype(space, generator)
            cost = self.cost(task, genotype, near=(low, high))
            if low <= cost <= high:
                return genotype, {"untrained_mj": cost, "drawn": drawn, "wider": {}}

    def published(self):
        name, fields = self.plan.published
        genotype = load_genotype(name)
        best = None
        for width in range(1, 200):
            wider = {field: str(width) for field in fields}
            cost = self.cost(self.task(wider), genotype)
            if cost > self.plan.budget and best is not None:
                return genotype, best
            best = {"untrained_mj": cost, "wider": wider}
        raise RuntimeError("The published genotype never reaches the budget.")

    def table(self):
        rows = [json.loads(p.read_text()) for p in sorted(self.root.glob("*/result.json"))]
        name, more = self.plan.metric
        table = {}
        for arm in dict.fromkeys(row["arm"] for row in rows):
            own = [row for row in rows if row["arm"] == arm]
            by_seed = [
                statistics.fmean(r[name] for r in own if r["seed"] == seed)
                for seed in sorted({r["seed"] for r in own})
            ]
            table[arm] = {
                name: statistics.fmean(by_seed),
                "spread": statistics.stdev(by_seed) if len(by_seed) > 1 else None,
                "all": [round(r[name], 3) for r in own],
                "seeds": len(by_seed), "networks": len(own),
                **{key: statistics.fmean(r[key] for r in own)
                   for key in ("untrained_mj", "trained_mj", "dense_gmac", "parameters", "search_s",
                               "train_s")},
            }  # fmt: skip
        return dict(sorted(table.items(), key=lambda pair: pair[1][name], reverse=more))


@contextmanager
def claimed(folder):
    """Whether a folder is this process's own; a killed process lets go of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield not (folder / "result.json").exists()


def write(path, document):
    """Write JSON atomically."""
    path.with_suffix(".part").write_text(json.dumps(document, indent=1))
    path.with_suffix(".part").replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--arms", default="random,published,searched,evolution")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--random", type=int, default=RANDOM, help="random genotypes per seed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    bench = Bench(asked.experiment, asked.root, asked.data, asked.random)
    if asked.what == "run":
        bench.run(asked.arms.split(","), [int(seed) for seed in asked.seeds.split(",")])
    table = bench.table()
    if asked.json:
        print(json.dumps(table, indent=1))
        return
    name = bench.plan.metric[0]
    print(f"| arm | {name} | spread over seeds | networks | uJ before / after training | "
          "M synapses | search s |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for arm, row in table.items():
        spread = "" if row["spread"] is None else f"{row['spread']:.2f}"
        print(f"| {arm} | {row[name]:.2f} | {spread} | {row['networks']} | "
              f"{1e3 * row['untrained_mj']:.1f} / {1e3 * row['trained_mj']:.1f} | "
              f"{1e3 * row['dense_gmac']:.1f} | {row['search_s']:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
