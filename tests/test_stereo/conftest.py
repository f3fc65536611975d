"""Fixtures of the tests of the product: a run folder and a recording, both tiny."""

import pytest
import torch

from data.simulator import simulate_dsec
from stereo.checkpoint import save_network
from stereo.network import HybridStereo
from stereo.presets import PRESETS


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Make a run folder of an untrained tiny network."""
    torch.manual_seed(0)
    run = tmp_path_factory.mktemp("run")
    save_network(run, HybridStereo(PRESETS["tiny"]()), {})
    return run


@pytest.fixture(scope="session")
def dsec(tmp_path_factory):
    """Simulate a small recording in DSEC layout."""
    folder = tmp_path_factory.mktemp("dsec") / "sequence"
    simulate_dsec(folder, scene="room", seed=3, duration_s=0.2, width=64, height=48)
    return folder
