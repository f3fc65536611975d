"""Streams that are hard to keep up with: nothing is lost, both executors agree, all is finite."""

import numpy as np
import pytest
from reference.hard_streams import CASES, endless
from reference.networks import exact_network
from reference.recordings import random_events

from stereo.executors import Executor
from stereo.stream import StereoStream
from stereo.windows import endless_windows

WINDOW_US, WIDTH, HEIGHT = 50_000, 36, 30


def ordinary(seed, count=300):
    return random_events(np.random.default_rng(seed), count, WINDOW_US, WIDTH, HEIGHT)


def windows(case, count):
    pairs = [(ordinary(2 * n), ordinary(2 * n + 1)) for n in range(5)]
    return endless(pairs, CASES[case], window_us=WINDOW_US, width=WIDTH, height=HEIGHT, count=count)


@pytest.fixture(scope="module")
def network():
    return exact_network()


@pytest.mark.parametrize("case", sorted(CASES))
def test_nothing_is_lost_and_both_executors_agree(case, network):
    count = 94 if case == "burst" else 24
    found, pushed = {}, {"left": 0, "right": 0}
    for asked in ("dense", "auto", "event"):
        every = endless_windows(0, window_us=WINDOW_US, step_us=WINDOW_US)
        live = StereoStream(Executor(network, asked), every, width=WIDTH, height=HEIGHT)
        pushed = {"left": 0, "right": 0}
        found[asked] = []
        for left, right, until_us in windows(case, count):
            pushed["left"] += len(left)
            pushed["right"] += len(right)
            found[asked] += live.push(left, right, until_us)
        assert len(found[asked]) == count
        assert found[asked][-1].read == pushed
        assert found[asked][-1].late == {"left": 0, "right": 0}
    assert max(result.disparity.std() for result in found["dense"]) > 0.1
    for one, other in zip(found["dense"], found["event"], strict=True):
        assert np.isfinite(one.disparity).all()
        off = np.abs(one.disparity - other.disparity) > 0.01
        assert off.mean() < 0.03


def test_cases_are_what_they_say():
    counts = {
        case: np.array([[len(left), len(right)] for left, right, _ in windows(case, 100)])
        for case in CASES
    }
    assert (counts["steady"] == 300).all()
    assert (counts["burst"][90:] == 3000).all()
    assert (counts["burst"][:90] == 300).all()
    assert (counts["flicker"][20:40] > 300 + 0.1 * 10 * WIDTH * HEIGHT).all()
    assert (counts["empty"][20:40] == 0).all()
    assert (counts["dead"] == [300, 0]).all()
    assert (counts["hot"] == 300 + 10 * 50).all()
