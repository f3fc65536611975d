"""Genotypes drawn from beliefs within a budget."""

from collections import Counter

import numpy as np
import pytest
import torch

from nas.decisions import decisions_of
from nas.finalists import drawn_within
from nas.methods.choices import key, read_all
from nas.relaxed.architecture import PartArchitecture
from nas.relaxed.beliefs import spiking_probability
from nas.space import SPACES


def beliefs_in(space, seed=0, spread=1.0):
    torch.manual_seed(seed)
    found = {}
    for name, part in space.parts.items():
        architecture = PartArchitecture(part)
        for parameter in architecture.parameters():
            parameter.data.normal_(std=spread)
        found[name] = architecture.beliefs()
    return found


def depth(genotype):
    return float(sum(sum(part.path) for part in genotype.parts.values()))


@pytest.mark.parametrize("name", ["hybrid_images", "hybrid_stereo", "spikedhs_cifar"])
def test_all_are_different_and_within_the_bounds(name):
    space = SPACES[name]()
    found = drawn_within(
        space, beliefs_in(space), depth, 3.0, 9.0, wanted=12, tries=400, seed=1
    ) if name != "spikedhs_cifar" else drawn_within(
        space, beliefs_in(space), depth, 0.0, 99.0, wanted=12, tries=400, seed=1
    )  # fmt: skip
    assert len({key(genotype) for genotype in found}) == len(found) == 12
    for genotype in found:
        read_all(space, genotype)  # refuses what is not of the space
        assert name == "spikedhs_cifar" or 3.0 <= depth(genotype) <= 9.0


def test_the_same_seed_draws_the_same():
    space = SPACES["hybrid_images"]()
    draws = [
        [key(g) for g in drawn_within(space, beliefs_in(space), depth, 0.0, 99.0, wanted=5,
                                      tries=50, seed=seed)]
        for seed in (3, 3, 4)
    ]  # fmt: skip
    assert draws[0] == draws[1] != draws[2]


def test_tries_end_a_search_for_what_there_is_not():
    asked = []

    def cost(genotype):
        asked.append(genotype)
        return 1.0

    space = SPACES["hybrid_images"]()
    found = drawn_within(space, beliefs_in(space), cost, 2.0, 3.0, wanted=4, tries=30, seed=0)
    assert found == []
    assert 0 < len(asked) <= 30


def test_decisions_are_drawn_with_their_probabilities():
    space = SPACES["tiny_images"]()
    beliefs = beliefs_in(space)
    (decisions,) = decisions_of(space, beliefs).values()
    chance, count = np.random.default_rng(0), 3000
    drawn = [decisions.draw(chance) for _ in range(count)]
    for at, logit in enumerate(beliefs["feature"].spiking.values()):
        p = float(spiking_probability(logit).detach())
        share = sum(choice.spiking[at] for choice in drawn) / count
        assert abs(share - p) < 5 * (p * (1 - p) / count) ** 0.5
    paths = Counter(choice.path for choice in drawn)
    steps = torch.softmax(beliefs["feature"].steps[0, 0].detach(), 0)
    below = sum(n for path, n in paths.items() if path[0] == 1) / count
    p = float(steps[1])
    assert abs(below - p) < 5 * (p * (1 - p) / count) ** 0.5
