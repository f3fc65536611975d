"""What random search and regularized evolution find at equal evaluations, where that is cheap.

    python tests/benchmarks/bench_methods.py [--seeds 20] [--first-seed 0] [--evaluations 500]
                                             [--interaction 0.3] [--json]

The objective is **synthetic**: no network is trained. The error of a genotype is a sum of one
number for each of its decisions (a level, an edge with its operation, how a stage fires) and of
one for each pair of them, all drawn once per seed from normal distributions; the pairs together
have ``--interaction`` times the deviation that the decisions have. Its cost is a sum of one
exponential number for each decision, the limit what three of ten random genotypes keep. So this
says how well a method uses its evaluations on objectives that single decisions determine more or
less, and nothing about the objective of a real search.

Errors are in deviations of random genotypes from their mean, within the limit or not: -2 is two
deviations better than the mean.
"""

import argparse
import json
import random
import statistics
import time
from itertools import combinations

import numpy as np

from nas.methods import Evolution, RandomSearch, Trials, random_genotype, size
from nas.methods.choices import read_all
from nas.space import SPACES

SAMPLE = 400
"""Random genotypes from which mean, deviation and limit are taken."""

SPACE_NAMES = ("spikedhs", "hybrid_images", "hybrid_stereo")
SETTINGS = {"evolution 100/25": (100, 25), "evolution 20/5": (20, 5)}


def decisions(space, genotype):
    """Return the names of everything that a genotype decides."""
    found = []
    for name, part in read_all(space, genotype).items():
        found += [f"{name} layer{n} level {level}" for n, level in enumerate(part.path)]
        for n, edges in enumerate(part.edges):
            found += [f"{name} node{n} {edge.source} {edge.op}" for edge in edges]
        for stage, own in part.stages.items():
            found.append(f"{name} {stage} {' '.join(node.neuron for node in own)}")
    return found


class Table:
    """Numbers for decisions and pairs of them, the same whenever they are asked for."""

    def __init__(self, space, seed, interaction):
        self.space, self.seed, self.interaction, self.known = space, seed, interaction, {}

    def number(self, name, draw):
        """Return the number of a name."""
        if name not in self.known:
            self.known[name] = draw(random.Random(f"{self.seed} {name}"))
        return self.known[name]

    def error(self, genotype):
        """Return the synthetic error."""
        names = decisions(self.space, genotype)
        pairs = list(combinations(names, 2))
        alone = sum(self.number(name, lambda r: r.gauss(0, 1)) for name in names)
        together = sum(self.number(pair, lambda r: r.gauss(0, 1)) for pair in pairs)
        return alone + self.interaction * (len(names) / len(pairs)) ** 0.5 * together

    def cost(self, genotype):
        """Return the synthetic cost."""
        names = decisions(self.space, genotype)
        return sum(self.number(("cost", name), lambda r: r.expovariate(1)) for name in names)


def measure(space, seed, evaluations, interaction):
    """Return the best errors so far of each method, and how many proposals were too costly."""
    table = Table(space, seed, interaction)
    chance = np.random.default_rng((seed, 1))
    drawn = [random_genotype(space, chance) for _ in range(SAMPLE)]
    errors = [table.error(genotype) for genotype in drawn]
    mean, deviation = statistics.mean(errors), statistics.stdev(errors)
    limit = float(np.quantile([table.cost(genotype) for genotype in drawn], 0.3))
    methods = {"random": RandomSearch(space=space)}
    for name, (population, sample) in SETTINGS.items():
        methods[name] = Evolution(space=space, population=population, sample=sample)
    found = {}
    for name, method in methods.items():
        search = Trials(method, table.error, seed=seed, cost=table.cost, limit=limit)
        rows = list(search.run(evaluations=evaluations))
        found[name] = {
            "best": [(row.best - mean) / deviation for row in rows],
            "too_costly": sum(row.too_costly for row in rows),
            "repeated": sum(row.repeated for row in rows),
            "seconds": search.seconds,
        }
    return found


def spread(values):
    """Return mean and deviation as text."""
    return f"{statistics.mean(values):.2f} +- {statistics.stdev(values):.2f}"


def main():
    """Measure all spaces and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--interaction", type=float, default=0.3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    marks = [n for n in (50, 100, 200, 500, 1000, 2000) if n <= given.evaluations]
    began, document = time.perf_counter(), []
    for space_name in SPACE_NAMES:
        space = SPACES[space_name]()
        runs = [measure(space, seed, given.evaluations, given.interaction) for seed in seeds]
        for method in runs[0]:
            best = {n: [run[method]["best"][n - 1] for run in runs] for n in marks}
            wins = sum(run[method]["best"][-1] < run["random"]["best"][-1] for run in runs)
            seconds = sum(run[method]["seconds"] for run in runs)
            document.append({
                "space": space_name, "size": size(space), "method": method, "best": best,
                "wins": wins,
                "too_costly": statistics.mean(run[method]["too_costly"] for run in runs),
                "repeated": statistics.mean(run[method]["repeated"] for run in runs),
                "ms_per_evaluation": 1e3 * seconds / len(seeds) / given.evaluations,
            })  # fmt: skip
    if given.json:
        print(json.dumps(document, indent=1))
        return
    heads = " | ".join(f"after {n}" for n in marks)
    print(f"| space | method | {heads} | better than random | too costly | repeated |")
    print("|---" * (len(marks) + 5) + "|")
    for row in document:
        best = " | ".join(spread(row["best"][n]) for n in marks)
        wins = "" if row["method"] == "random" else f"{row['wins']} of {len(seeds)}"
        print(
            f"| {row['space']} | {row['method']} | {best} | {wins} | {row['too_costly']:.0f} | "
            f"{row['repeated']:.0f} |"
        )
    print(f"\n{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
