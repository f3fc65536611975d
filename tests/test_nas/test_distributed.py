"""Two gloo processes with halves of a batch are one process with the whole."""

import pytest
import torch
from reference.relaxed_toy import Toy
from reference.two_processes import everything, process
from torch import nn

from nas.synced import (
    average_gradients,
    is_writer,
    rank_and_ranks,
    share_state,
    synchronize_norms,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process finds, and what two find."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, (2, str(folder)), nprocs=2)
    two = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return everything(), two


# ---- numbers


@pytest.mark.parametrize("name", ["first", "second"])
def test_weights_architecture_and_statistics_are_those_of_one_process(found, name):
    one, two = found
    assert set(one[name]["model"]) == set(two[0][name]["model"]), "names of the state"
    for key, value in one[name]["model"].items():
        torch.testing.assert_close(two[0][name]["model"][key], value, rtol=1e-5, atol=1e-5, msg=key)
        assert torch.equal(two[0][name]["model"][key], two[1][name]["model"][key]), key
    torch.manual_seed(7)
    start = Toy().state_dict()
    for key, value in one[name]["model"].items():
        assert not torch.equal(value, start[key]), f"{key} has moved at all"


@pytest.mark.parametrize("name", ["first", "second"])
def test_losses_and_costs_are_those_of_one_process(found, name):
    one, two = found
    assert two[0][name]["rows"] == two[1][name]["rows"]
    for row, expected in zip(two[0][name]["rows"], one[name]["rows"], strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "flat", "volume", "bare", "average", "untracked"])
def test_norms_are_those_of_one_process(found, name):
    one, (first, second) = found
    whole, parts = one["norms"][name], (first["norms"][name], second["norms"][name])
    assert whole["changed"] == 0
    assert [part["changed"] for part in parts] == [1, 1]
    assert parts[0]["kind"] == whole["kind"].replace("Batch", "Synced")
    for key in ("y", "dx", "evaluated"):
        both = torch.cat([part[key] for part in parts])
        torch.testing.assert_close(both, whole[key], rtol=1e-4, atol=1e-5)
    assert set(parts[0]["state"]) == set(whole["state"])
    for key, value in whole["state"].items():
        torch.testing.assert_close(parts[0]["state"][key], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(parts[0]["state"][key], parts[1]["state"][key])
    for part, gradient in zip(parts[0]["gradients"], whole["gradients"], strict=True):
        torch.testing.assert_close(2 * part, gradient, rtol=1e-4, atol=1e-4)


def test_all_processes_stop_where_one_meets_a_loss_that_is_not_finite(found):
    for part in found[1]:
        assert "lower the step sizes" in part["fails"]


# ---- one process


def test_without_a_group_nothing_changes():
    model = Toy()
    kinds = [type(m) for m in model.modules()]
    before = {n: v.clone() for n, v in model.state_dict().items()}
    assert rank_and_ranks() == (0, 1)
    assert is_writer()
    assert synchronize_norms(model) == 0
    share_state(model)
    average_gradients(list(model.parameters()))
    assert [type(m) for m in model.modules()] == kinds
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_a_norm_of_a_type_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr("nas.synced.rank_and_ranks", lambda: (0, 2))

    class OwnNorm(nn.BatchNorm2d):
        pass

    model = nn.Sequential(nn.BatchNorm2d(2), OwnNorm(2))
    with pytest.raises(TypeError, match="1 is a OwnNorm; statistics can be shared by BatchNorm1d"):
        synchronize_norms(model)
    plain = nn.Sequential(nn.BatchNorm2d(2))
    assert synchronize_norms(plain) == 1
    assert synchronize_norms(plain) == 1, "again is no mistake"
    assert isinstance(plain[0], nn.BatchNorm2d)
