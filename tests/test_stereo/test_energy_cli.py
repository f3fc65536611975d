"""``stereo energy``: networks, inputs, outputs, refusals."""

import json
import sys

import numpy as np
import pytest
import torch
from reference.commands import call, check_refusal
from reference.recordings import write_npz
from safetensors.numpy import save_file

from energy import profile
from nas.genotype import Genotype
from stereo.accounting import account, compare
from stereo.accounting.account import Pricing
from stereo.baselines import BASELINES, count
from stereo.config import load_genotype

QUICK = ("--preset", "tiny", "--samples", 1, "--no-baselines")

MODELS = """
import torch
from torch import nn
import shapes_beside_it

class Spikes(nn.Module):
    emits_spikes = True
    def forward(self, x):
        return (x > 0.5).float()

class Liar(nn.Module):
    emits_spikes = True
    def forward(self, x):
        return 2 * x + 1

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)
    def forward(self, left, right):
        return self.left(left) + self.right(right)

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(9, 4), nn.Linear(4, 2)
    def forward(self, x):
        return self.out(self.words(x))

def conv(): return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
def lazy():
    class Lazy(nn.Module):
        def forward(self, x):
            import imported_late
            return x
    return Lazy()
def hybrid(): return nn.Sequential(Spikes(), nn.Conv2d(2, 3, 1, bias=False))
def liar(): return nn.Sequential(Liar(), nn.Conv2d(2, 3, 1))
def timed():
    model = hybrid()
    model.batch_dim = 1
    return model
def fails(): raise RuntimeError("no weights today")
def stops(): raise KeyboardInterrupt
def number(): return 7
def wants(argument): return conv()
module = conv()
text = "hello"
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Change to a folder with a module of models, which is forgotten afterwards."""
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "shapes_beside_it.py").write_text("")
    (tmp_path / "imported_late.py").write_text("")
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("my_models", "shapes_beside_it", "imported_late", "broken_module", "needs_more"):
        sys.modules.pop(name, None)


def document(*arguments):
    result = call("energy", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def model(factory, *arguments):
    return document("--model", f"my_models:{factory}", *arguments)


# Contract


def test_json_keeps_what_outside_scripts_rely_on(tiny_run, dsec):
    found = document("--run", tiny_run, "--input", dsec)
    for key in ("technology", "convention", "total_mj", "ac", "mac", "steps", "uncounted"):
        assert found[key] is not None
    for layer in found["layers"]:
        assert set(layer) >= {"name", "kind", "ac", "mac", "firing_rate", "energy_uj"}
    assert sum(layer["energy_uj"] for layer in found["layers"]) * 1e-3 == pytest.approx(
        found["total_mj"]
    )
    assert set(found["analog_twin"]) >= {"mac", "total_mj"}
    assert found["ratio"] == pytest.approx(found["analog_twin"]["total_mj"] / found["total_mj"])
    assert found["analog_twin"]["total_mj"] == pytest.approx(found["analog_twin"]["mac"] * 4.6e-9)
    assert (found["steps"], found["analog_twin"]["steps"]) == (2, 1)
    assert found["note"] == "generated data"


def test_without_arguments_the_shipped_network_sees_the_built_in_recording(dsec, monkeypatch):
    monkeypatch.setattr("data.simulator.builtin_recording", lambda _progress: dsec)
    result = call("energy")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    for expected in ("the shipped network on sequence", "generated data", "Energy of one",
                     "its analog twin", "DTC-PDS", "Ratio", "convention", "4.6 pJ", "6.7 mJ",
                     "26 times"):  # fmt: skip
        assert expected in words
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_recordings_cost_what_infer_says(dsec, tiny_run, tmp_path):
    inferred = call("infer", dsec, "--run", tiny_run, "--out", tmp_path, "--json")
    assert inferred.exit_code == 0, inferred.output
    there = json.loads(inferred.stdout)["energy"]
    here = document("--run", tiny_run, "--input", dsec)
    for key in ("total_mj", "ac", "mac", "samples", "steps"):
        assert here[key] == pytest.approx(there[key])
    rates = [[layer["firing_rate"] for layer in found["layers"]] for found in (here, there)]
    assert rates[0] == pytest.approx(rates[1])


# Inputs of stereo networks


def test_random_events_vary_with_the_seed_alone():
    first, again = document(*QUICK, "--input", "36x24"), document(*QUICK, "--input", "36x24")
    other = document(*QUICK, "--input", "36x24", "--seed", 1)
    assert first["total_mj"] == again["total_mj"] != other["total_mj"]
    assert first["input"] == "random spikes of density 0.05, seed 0, 2x1x2x24x36 per camera"
    assert first["note"] is None


def test_spread_over_several_inputs():
    found = document("--preset", "tiny", "--input", "36x24", "--samples", 4, "--no-baselines")
    spread = found["spread"]
    assert (spread["inputs"], found["samples"]) == (4, 4)
    assert spread["min_mj"] < found["total_mj"] < spread["max_mj"]
    assert spread["mean_mj"] == pytest.approx(found["total_mj"])
    assert spread["std_mj"] > 0
    single = document(*QUICK, "--input", "36x24")["spread"]
    assert (single["std_mj"], single["inputs"]) == (None, 1)
    assert single["min_mj"] == single["max_mj"]


def test_shapes_with_time_and_batch(tiny_run):
    arguments = ("--run", tiny_run, "--samples", 1, "--no-baselines", "--density", 0.3)
    one = document(*arguments, "--input", "3x1x2x24x36")
    four = document(*arguments, "--input", "3x4x2x24x36")
    assert (one["steps"], one["samples"], four["samples"]) == (3, 1, 4)
    assert four["total_mj"] == pytest.approx(one["total_mj"], rel=0.3), "mean of the batch"
    assert four["analog_twin"] == one["analog_twin"]


def test_density_drives_the_first_layer(tiny_run):
    first = [
        document(
            "--run",
            tiny_run,
            "--input",
            "36x24",
            "--density",
            density,
            "--samples",
            1,
            "--no-baselines",
        )["layers"][0]
        for density in (0, 0.1, 1)
    ]
    assert [layer["firing_rate"] for layer in first] == pytest.approx([0, 0.1, 1], abs=0.02)
    assert first[2]["ac"] == first[2]["dense"]


def test_the_middle_of_a_recording(dsec, tiny_run):
    part = document("--run", tiny_run, "--input", dsec, "--width", 40, "--height", 30)
    whole = document("--run", tiny_run, "--input", dsec)
    assert 0 < part["total_mj"] < whole["total_mj"]
    assert "64x48, of it the middle 40x30" in part["input"]
    assert part["baselines"][0]["mac"] == count("DDES", 30, 40).macs


def test_recordings_of_other_layouts(tiny_run, tmp_path):
    path = write_npz(tmp_path / "mine.npz")
    found = document("--run", tiny_run, "--input", path, "--samples", 1, "--no-baselines")
    assert found["input"].startswith("mine (npz), 1 window of 50 ms, 128x128")
    assert found["note"] is None


@pytest.mark.parametrize("axes", [4, 5])
def test_arrays_for_both_cameras(axes, tiny_run, tmp_path):
    rng = np.random.default_rng(0)
    shape = (2, 2, 24, 36) if axes == 4 else (2, 1, 2, 24, 36)
    left, right = (rng.random((2, *shape)) < 0.2).astype(np.uint8)
    np.savez(tmp_path / "pair.npz", right=right, left=left)
    save_file({"left": left, "right": right}, tmp_path / "pair.safetensors")
    arguments = ("--run", tiny_run, "--no-baselines", "--input")
    found = [document(*arguments, tmp_path / f"pair.{s}") for s in ("npz", "safetensors")]
    assert found[0]["total_mj"] == found[1]["total_mj"] > 0
    assert found[0]["layers"][0]["firing_rate"] == pytest.approx(
        np.mean([left.mean(), right.mean()])
    )


BAD_INPUTS = {
    "several shapes": (["--input", "36x24,36x24"], "one shape for both cameras"),
    "three axes": (["--input", "2x24x36"], "one shape for both cameras"),
    "channels": (["--input", "2x1x3x24x36"], "takes 2 channels"),
    "empty axis": (["--input", "0x24"], "every axis needs at least 1"),
    "huge": (["--input", "99999x99999"], "at most 2,147,483,648"),
    "density": (["--input", "36x24", "--density", "1.5"], "between 0 and 1"),
    "analog": (["--input", "36x24", "--analog-input"], "takes spikes"),
    "samples": (["--input", "36x24", "--samples", "0"], "--samples must be at least 1"),
    "one side": (["--input", "36x24", "--width", "4"], "both --width and --height"),
    "two sizes": (
        ["--input", "36x24", "--width", "4", "--height", "4"],
        "with --input or with --width",
    ),
    "no file": (["--input", "nowhere.npz"], "nowhere.npz"),
    "no recording": (["--input", "nowhere"], "nowhere"),
    "technology": (["--input", "36x24", "--technology", "1nm"], "Unknown technology '1nm'"),
    "batch axis": (["--input", "36x24", "--batch-dim", "0"], "--batch-dim is for --model"),
    "spiking": (["--input", "36x24", "--spiking-input"], "--spiking-input is for --model"),
    "out": (["--input", "36x24", "--out", "report.pdf"], "report.pdf"),
    "run": (["--run", "nowhere", "--input", "36x24"], "not both"),
    "model": (["--model", "a:b", "--input", "36x24"], "not both"),
    "preset": (["--preset", "huge", "--input", "36x24"], "no preset 'huge'; known: .*tiny"),
    "genotype": (["--genotype", "nowhere.json", "--input", "36x24"], "Cannot read a genotype"),
    "no matching": (["--genotype", "spikedhs_cifar", "--input", "36x24"], "genotype parts"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, pattern = BAD_INPUTS[case]
    preset = [] if "--preset" in options else ["--preset", "tiny"]
    check_refusal(call("energy", *preset, *options), pattern)
    assert list(tmp_path.iterdir()) == []


def test_bad_parts_of_recordings(dsec, tiny_run):
    arguments = ("energy", "--run", tiny_run, "--input", dsec)
    check_refusal(call(*arguments, "--width", 65, "--height", 8), "64x48 pixels. Give --input 65x8")
    check_refusal(call(*arguments, "--samples", 999), "--samples 999 is more than that")


def test_bad_arrays_for_both_cameras(tiny_run, tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, np.zeros((2, 2, 8, 8)))
    arguments = ("energy", "--run", tiny_run, "--input", path)
    check_refusal(call(*arguments), "two equal arrays .* holds 2x2x8x8")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 2, 8, 8)), b=np.zeros((2, 2, 8, 9)))
    check_refusal(call(*arguments[:-1], tmp_path / "two.npz"), "a 2x2x8x8, b 2x2x8x9")


# Networks of ours


def test_fresh_networks_are_called_untrained_and_fire():
    found = document("--preset", "tiny", "--input", "48x36", "--density", 0.2, "--no-baselines")
    assert found["network"] == "preset tiny, untrained"
    assert "firing rates" in found["notes"][0]
    assert all(layer["firing_rate"] > 0 for layer in found["layers"] if layer["ac"])
    silent = [x["name"] for x in found["layers"] if x["dense"] and x["firing_rate"] == 0]
    assert silent == []


def test_fresh_networks_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    document(*QUICK, "--input", "36x24")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_genotype_files(tmp_path):
    """A genotype of rectifiers is all analog, and its own twin."""
    document_of = load_genotype("spikedhs").to_dict()
    for part in document_of["parts"].values():
        for node in part["nodes"]:
            node["neuron"] = "relu"
    path = tmp_path / "analog.json"
    Genotype.from_dict(document_of).save(path)
    found = document(*QUICK, "--genotype", path, "--input", "36x24")
    assert found["network"] == f"genotype {path} in preset tiny, untrained"
    assert found["analog_twin"]["mac"] > 0
    first, *rest = (x for x in found["layers"] if x["dense"])
    assert first["mac"] == 0, "the encoding is binary"
    assert all(x["ac"] == 0 for x in rest)
    # All of it runs once, as the twin does; only the first layer gains, by reading spikes.
    assert found["analog_twin"]["mac"] == first["dense"] + sum(x["mac"] for x in rest)
    assert found["ratio"] > 1


def test_too_small_for_a_fresh_network():
    result = call("energy", *QUICK, "--input", "1x1x2x1x1")
    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.stderr


# Baselines and comparison


def test_baselines_are_priced_at_the_size_of_the_input():
    found = document("--preset", "tiny", "--input", "70x50", "--technology", "45nm-int8")
    assert {each["name"] for each in found["baselines"]} == set(BASELINES)
    for each in found["baselines"]:
        expected = count(each["name"], 50, 70)
        assert each["mac"] == expected.macs
        assert each["total_mj"] == pytest.approx(expected.macs * 0.23e-9)
        assert each["ratio"] == pytest.approx(each["total_mj"] / found["total_mj"])
        assert each["published_ratio"] == pytest.approx(each["total_mj"] / 6.7)
        assert (each["height"], each["width"]) == expected.size
        assert each["source"]
    claim = found["published"]
    assert (claim["total_mj"], claim["ratio"]) == (6.7, 26)
    assert claim["implied_baseline_gmac"] == pytest.approx(174.2 / 0.23)
    without = document("--preset", "tiny", "--input", "70x50", "--no-baselines")
    assert (without["baselines"], without["published"]) == ([], None)


def test_a_chip_without_a_price_for_analog_work_leaves_blanks():
    found = document(
        "--preset", "tiny", "--samples", 1, "--input", "36x24", "--technology", "loihi"
    )
    assert found["total_mj"] == pytest.approx(found["ac"] * 27.1e-9)
    assert found["analog_twin"]["mac"] > 0
    assert found["analog_twin"]["total_mj"] is found["ratio"] is None
    assert {(b["total_mj"], b["ratio"]) for b in found["baselines"]} == {(None, None)}
    assert found["published"]["implied_baseline_gmac"] is None


def test_comparison(dsec, tiny_run, monkeypatch):
    monkeypatch.setattr(compare, "SIZES", ((24, 36), (50, 66)))
    found = document("--run", tiny_run, "--input", dsec, "--samples", 1, "--compare")["compare"]
    assert [(size["width"], size["height"]) for size in found] == [(36, 24), (66, 50)]
    assert "of it the middle 36x24" in found[0]["input"]
    assert found[1]["input"].startswith("random"), "the recording is smaller"
    for size in found:
        names = [row["name"] for row in size["rows"]]
        assert names[:4] == [
            str(tiny_run), f"analog twin of {tiny_run}", "preset spikedhs, untrained",
            "analog twin of preset spikedhs, untrained",
        ]  # fmt: skip
        assert len(names) == 4 + len(BASELINES)
        first = size["rows"][0]["total_mj"]
        for row in size["rows"]:
            assert row["ratio"] == pytest.approx(row["total_mj"] / first)
        assert [row["steps"] for row in size["rows"][:4]] == [2, 1, 5, 1]
    table = call("energy", "--run", tiny_run, "--input", dsec, "--samples", 1, "--compare").stdout
    assert "Comparison at 66x50" in table
    assert max(map(len, table.replace(str(tiny_run), "").splitlines())) <= 100


def test_memory_models_are_passed_on_only_if_named(monkeypatch):
    seen = []

    def profiled(*inputs, **named):
        seen.append(dict(named))
        named.pop("memory", None)
        return profile(*inputs, **named)

    monkeypatch.setattr(account, "profile", profiled)
    for pricing in (Pricing(), Pricing(memory="lemaire", strict=True)):
        pricing.profile(torch.nn.Identity(), (torch.zeros(1),))
    assert seen == [
        {"technology": "45nm-fp32", "strict": False},
        {"technology": "45nm-fp32", "strict": True, "memory": "lemaire"},
    ]


# Models of a user's own


def test_a_model_of_ones_own(models):
    found = model("conv", "--input", "1x2x6x7", "--samples", 2)
    assert found["network"] == "my_models:conv"
    assert (found["mac"], found["ac"]) == (3 * 2 * 9 * 4 * 5, 0)
    assert found["analog_twin"] is found["ratio"] is None
    assert found["baselines"] == []
    assert found["input"] == "random spikes of density 0.05, seed 0, 1x2x6x7"
    assert str(models) not in sys.path


def test_a_class_or_something_deeper_is_a_factory_too(models):
    assert model("Two", "--input", "2x4,2x5")["mac"] == 3 * (4 + 5)
    assert model("nn.Flatten", "--input", "2x4")["mac"] == 0


def test_declared_spikes_and_axes(models):
    plain = model("hybrid", "--input", "4x2x3x3", "--analog-input", "--samples", 1)
    rate = next(x["firing_rate"] for x in plain["layers"] if x["dense"])
    assert plain["ac"] == pytest.approx(3 * rate * 2 * 9)
    assert rate > 0
    assert (plain["samples"], plain["steps"]) == (4, 1)
    assert "uniform in [0, 1)" in plain["input"]
    steps = model("timed", "--input", "4x2x3x3", "--analog-input", "--samples", 1)
    assert (steps["samples"], steps["steps"]) == (2, 4)
    axis = model("hybrid", "--input", "4x2x3x3", "--analog-input", "--samples", 1,
                 "--batch-dim", 1)  # fmt: skip
    assert (axis["samples"], axis["steps"]) == (2, 4)
    assert axis["ac"] == pytest.approx(plain["ac"] * 2)


def test_inputs_declared_to_be_spikes_are_paid_in_accumulates(models):
    arguments = ("--input", "1x2x6x7", "--density", 0.5, "--samples", 1)
    dense, sparse = model("conv", *arguments), model("conv", *arguments, "--spiking-input")
    assert (dense["ac"], sparse["mac"]) == (0, 0)
    assert 0 < sparse["ac"] < dense["mac"]
    assert "declared to be spikes" in " ".join(sparse["notes"])


def test_modules_beside_the_model_can_be_imported_late(models):
    assert model("lazy", "--input", "1x2")["mac"] == 0


def test_files_of_arrays(models):
    x, y = np.ones((2, 4)), np.ones((2, 5))
    np.savez("both.npz", first=x, second=y)
    save_file({"a": x.astype(np.float16), "b": y.astype(np.float32)}, "both.safetensors")
    np.save("one.npy", np.ones((1, 2, 6, 7), bool))
    np.save("words.npy", np.array([[1, 2, 8]]))
    assert model("Two", "--input", "both.npz")["mac"] == 27
    assert model("Two", "--input", "both.safetensors")["mac"] == 27
    assert model("conv", "--input", "one.npy")["mac"] == 3 * 2 * 9 * 4 * 5
    assert model("Words", "--input", "words.npy")["mac"] == 3 * 4 * 2


BAD_MODELS = {
    "no colon": ("my_models", "PACKAGE.MODULE:FACTORY"),
    "no module": ("not_there:build", "no module 'not_there'.*current folder"),
    "no package": ("my_models.sub:build", "no module 'my_models"),
    "no attribute": ("my_models:nothing", "has no 'nothing'. It offers: .*Liar"),
    "module": ("my_models:module", "is a module already"),
    "text": ("my_models:text", "type str and cannot be called"),
    "raises": ("my_models:fails", r"fails\(\) failed: RuntimeError: no weights today, at .*my_"),
    "argument": ("my_models:wants", "missing 1 required positional argument"),
    "number": ("my_models:number", "returned int, not a torch module"),
    "broken": ("broken_module:build", "importing broken_module failed: ZeroDivisionError"),
    "missing": ("needs_more:build", "imports 'surely_not_installed', which is missing"),
    "relative": (".my_models:conv", "failed|no module"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_models(case, models):
    spec, pattern = BAD_MODELS[case]
    check_refusal(call("energy", "--model", spec, "--input", "1x2x6x7"), pattern)
    assert str(models) not in sys.path


BAD_MODEL_INPUTS = {
    "none": ([], "needs --input"),
    "shape": (["--input", "1x3x6x7"], "failed on an input of shape 1x3x6x7: .*channels"),
    "number": (["--input", "1x2x6x7,4"], "failed on an input of shape 1x2x6x7, 4: TypeError"),
    "no file": (["--input", "nowhere.npy"], "no file nowhere.npy"),
    "kind": (["--input", "my_models.py"], "no file of arrays"),
    "damaged": (["--input", "damaged.npz"], "damaged.npz cannot be read"),
    "objects": (["--input", "objects.npy"], "cannot be read"),
    "text": (["--input", "text.npy"], "expected plain real numbers"),
    "NaN": (["--input", "nan.npy"], "NaN or infinity"),
    "samples": (["--input", "good.npy", "--samples", "2"], "holds one input"),
    "axis": (["--input", "1x2x6x7", "--batch-dim", "4"], "no axis of the first input"),
    "size": (["--input", "1x2x6x7", "--width", "3", "--height", "3"], "for stereo networks"),
    "compare": (["--input", "1x2x6x7", "--compare"], "for stereo networks"),
    "both": (["--input", "1x2x6x7", "--spiking-input", "--analog-input"], "either spikes or"),
}


@pytest.mark.parametrize("case", BAD_MODEL_INPUTS)
def test_bad_inputs_of_models(case, models):
    (models / "damaged.npz").write_bytes(b"PK\x03\x04nothing")
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("text.npy", np.array(["a"]))
    np.save("nan.npy", np.full((1, 2, 6, 7), np.nan))
    np.save("good.npy", np.zeros((1, 2, 6, 7)))
    options, pattern = BAD_MODEL_INPUTS[case]
    check_refusal(call("energy", "--model", "my_models:conv", *options), pattern)


def test_strict_refuses_false_spikes(models):
    arguments = ("energy", "--model", "my_models:liar", "--input", "1x2x4x4", "--analog-input")
    assert call(*arguments).exit_code == 0
    check_refusal(call(*arguments, "--strict"), "emits_spikes")


def test_ctrl_c(models):
    result = call("energy", "--model", "my_models:stops", "--input", "1x2")
    assert result.exit_code == 130
    assert "Ctrl-C" in result.stderr


# Files


def test_out_writes_one_form_or_all(tmp_path):
    folder = tmp_path / "new" / "results"
    result = call("energy", *QUICK, "--input", "36x24", "--out", folder)
    assert result.exit_code == 0, result.output
    assert {p.name for p in folder.iterdir()} == {
        "energy.json", "energy.csv", "energy.md", "energy.html",
    }  # fmt: skip
    whole = json.loads((folder / "energy.json").read_text())
    assert whole["analog_twin"]["mac"] > 0
    assert f"Written  {folder / 'energy.html'}" in result.stdout
    assert "<html" in (folder / "energy.html").read_text()
    single = tmp_path / "report.csv"
    assert call("energy", *QUICK, "--input", "36x24", "--out", single).exit_code == 0
    assert "matching.score" in single.read_text()


def test_out_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    result = call("energy", *QUICK, "--input", "36x24", "--out", tmp_path / "file" / "x.json")
    check_refusal(result, "--out")


def test_diff_of_two_reports(tmp_path):
    paths = [tmp_path / "sparse.json", tmp_path / "dense.json"]
    for path, density in zip(paths, (0.05, 0.4)):
        arguments = (*QUICK, "--input", "36x24", "--density", density, "--out", path)
        assert call("energy", *arguments).exit_code == 0
    result = call("energy", "diff", *paths)
    assert result.exit_code == 0, result.output
    assert "features.stem.0" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    found = json.loads(call("energy", "diff", *paths, "--json").stdout)
    totals = [json.loads(path.read_text())["total_mj"] for path in paths]
    assert [found["total_mj"][k] for k in ("before", "after")] == pytest.approx(totals)
    check_refusal(call("energy", "diff", paths[0], tmp_path / "none.json"), "none.json")
