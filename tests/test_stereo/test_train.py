"""Training: resuming equals not stopping, run folders, refusals."""

import json

import pytest
import torch

from nas.fold import fold_norms
from stereo.checkpoint import load_network, save_network
from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.presets import PRESETS
from stereo.tasks.stereo import StereoTask
from stereo.tasks.task import Source
from stereo.train import train


class Killed(Exception):
    """Stands for the death of the process."""


def task(config, folder=None):
    clips = None if folder is None else folder / "clips"
    return StereoTask(config, Source(cache=clips, workers=0))


def lines(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path):
    config = PRESETS["tiny"]()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(task(config, tmp_path), whole)

    def die(step, _metrics):
        if step == 3:  # one step after the last saved state
            raise Killed

    with pytest.raises(Killed):
        train(task(config, tmp_path), broken, report=die)
    assert json.loads((broken / "about.json").read_text())["step"] == 2
    train(task(config, tmp_path), broken)
    # The saved state is equal bit for bit; later sums inside the libraries may round differently.
    assert [row["step"] for row in lines(broken)] == [1, 2, 3, 4]
    for expected, got in zip(lines(whole), lines(broken), strict=True):
        assert got == pytest.approx(expected, rel=1e-3)
    first, second = load_network(whole), load_network(broken)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], rtol=1e-2, atol=1e-3)


def test_a_run_folder_explains_itself_and_loads_by_its_path(tmp_path):
    torch.manual_seed(0)
    network = HybridStereo(PRESETS["tiny"]()).eval()
    save_network(tmp_path / "run", network, {"seed": 5})
    about = json.loads((tmp_path / "run" / "about.json").read_text())
    assert about["seed"] == 5
    assert about["torch"] == torch.__version__
    x = (torch.rand(2, 1, 2, 15, 20) < 0.3).float()
    plain = load_network(tmp_path / "run", fold=False)
    assert plain.config == network.config
    assert torch.equal(plain(x, x), network(x, x))
    torch.testing.assert_close(
        load_network(tmp_path / "run").scores(x, x), fold_norms(network).scores(x, x)
    )


def test_run_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(StereoError, match="not a run folder: weights.safetensors, config.json"):
        load_network(tmp_path)
    run = tmp_path / "run"
    save_network(run, HybridStereo(PRESETS["tiny"]()), {})
    weights = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(StereoError, match="damaged"):
        load_network(run)
    save_network(run, HybridStereo(PRESETS["tiny"]()), {})
    (run / "config.json").write_text(json.dumps(PRESETS["small"]().to_dict()))
    with pytest.raises(StereoError, match="do not belong together"):
        load_network(run)
    (run / "config.json").write_text("{}")
    with pytest.raises(StereoError, match="configuration is malformed"):
        load_network(run)


def test_another_configuration_or_an_unwanted_resume_is_refused(tmp_path):
    config = PRESETS["tiny"]().override({"train.steps": "2"})
    train(task(config), tmp_path)
    with pytest.raises(StereoError, match="with another configuration"):
        train(task(config.override({"train.seed": "2"})), tmp_path)
    with pytest.raises(StereoError, match="already holds a training"):
        train(task(config), tmp_path, resume=False)
    (tmp_path / "state" / "latest.pt").write_bytes(b"no")
    with pytest.raises(StereoError, match="Cannot resume"):
        train(task(config), tmp_path)


def test_learning_lowers_the_loss(tmp_path):
    """Generated data, one clip: the loop must at least learn that by heart."""
    config = PRESETS["tiny"]().override(
        {"train.steps": "40", "train.clips": "1", "train.learning_rate": "0.01"}
    )
    train(task(config, tmp_path), tmp_path / "run")
    loss = [row["planes"] for row in lines(tmp_path / "run")]
    assert sum(loss[-8:]) < 0.9 * sum(loss[:8])
