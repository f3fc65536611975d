"""The task stereo on recordings: what a folder is, what a step sees, halves, accuracy, refusals."""

import json
from dataclasses import replace
from itertools import islice

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.commands import call, check_refusal
from reference.mvsec import small_scene
from reference.pairs import random_events, small_pair
from rich.console import Console
from torch import nn

from data import Calibration, Events, RecordingError, mvsec
from data.camera import Lens
from data.dsec import write_dsec
from data.dsec.splits import TES_VALIDATION
from data.mvsec import Split, write_mvsec
from data.simulator import suite as suites
from data.simulator.suite import Suite, make_suite
from stereo.checkpoint import load_state, save_network, save_state
from stereo.classical import MATCHERS
from stereo.classifier import SpikingClassifier
from stereo.cli.eval import sequence_table
from stereo.config import load_genotype
from stereo.errors import StereoError
from stereo.image_presets import IMAGE_PRESETS
from stereo.presets import PRESETS
from stereo.tasks.divide import divide
from stereo.tasks.roots import KINDS, find_root
from stereo.tasks.stereo import StereoTask
from stereo.tasks.stereo_data import StereoData
from stereo.tasks.task import Source, Task
from stereo.train import train

SMALL = Suite(
    name="small", revision=1, families=("planes", "boxes"), picture_families=(),
    sensors=("clean",), parts={"train": (2, 0.15), "validation": (1, 0.1), "test": (1, 0.15)},
)  # fmt: skip

TRAINED = ("thun_00_a", "zurich_city_04_a", "zurich_city_04_b", "zurich_city_05_a")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Make a small suite in MVSEC's geometry, with four recordings to train on."""
    root = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suites.GEOMETRIES, "mvsec", (48, 36))
        make_suite(root, SMALL, geometry="mvsec")
    return root


@pytest.fixture(scope="module")
def dsec(tmp_path_factory):
    """Write small sequences of both parts of the split tes; some are missing."""
    root = tmp_path_factory.mktemp("dsec")
    for seed, name in enumerate((*TRAINED, "zurich_city_06_a", "zurich_city_08_a")):
        write_dsec(root / "train" / name, **small_pair(seed))
    return root


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """Write two small MVSEC sequences and the file of their split."""
    root = tmp_path_factory.mktemp("mvsec")
    for number in (1, 2):
        scene = small_scene(number, images=6) | {"sequence": f"generated_hall{number}"}
        write_mvsec(root / f"hall{number}", **scene)
    held, trained = (mvsec.Part(sequence=f"generated_hall{n}", first=1, end=6) for n in (1, 2))
    split = Split(name="1", source="test", train=(trained,), held_out=held, validation=2)
    split.save(root / "hall_split.json")
    return root


FOLDERS = ("suite", "dsec", "mvsec")


@pytest.fixture
def folder_of(suite, dsec, hall):
    """Return what the task needs for each kind of folder."""
    return {
        "suite": (suite, {}),
        "dsec": (dsec, {"data.split": "tes", "data.partial": "true"}),
        "mvsec": (hall, {"data.split": str(hall / "hall_split.json"), "data.truth": "dense"}),
    }


def bind(folder, changes=None, *, cache=None, workers=0, **more):
    config = PRESETS["tiny"]().override(
        {"train.crop_height": "20", "train.crop_width": "32", "train.batch": "2"}
        | (changes or {})
        | {name.replace("__", "."): value for name, value in more.items()}
    )
    return StereoTask(config, Source(data=folder, cache=cache, workers=workers))


def tensors(batch):
    return batch.left, batch.right, batch.disparity, batch.valid


def equal(one, other):
    same = all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
    return same and one.t_us == other.t_us and one.meta == other.meta


class Constant(nn.Module):
    """Estimates one disparity everywhere."""

    def __init__(self, disparity=6.0):
        super().__init__()
        self.disparity = nn.Parameter(torch.tensor(disparity))

    def forward(self, left, right):
        return self.disparity.expand(left.shape[1], *left.shape[-2:])


# What a folder is


@pytest.mark.parametrize(
    ("name", "title", "parts", "windows"),
    [
        ("suite", "the suite small (mvsec)", ("validation", "test"), 4 * 3),
        ("dsec", "DSEC, split tes", ("validation",), 4 * 2),
        ("mvsec", "MVSEC, split 1 of test", ("validation", "test"), 5),
    ],
)
def test_what_a_folder_is_is_found_and_said(name, title, parts, windows, folder_of):
    task = bind(*folder_of[name])
    assert isinstance(task, Task)
    assert isinstance(task.data, StereoData)
    assert task.parts == parts
    first, second, halves = task.notes(halves=True)
    assert f"{folder_of[name][0]}: {title}. Training: " in first
    assert f"{windows} windows of 50 ms" in first
    assert "outside the sensor: left 0, right 0." in second
    assert halves.startswith("Halves by ")
    assert len(task.notes()) == 2
    other = folder_of["suite" if name != "suite" else "dsec"][0]
    for kind, signs in KINDS.items():
        assert signs.matches(folder_of[name][0]) == (kind == name)
        assert not (kind == name and signs.matches(other))


def test_every_kind_of_folder_is_tested():
    assert set(FOLDERS) == set(KINDS)


def test_generated_data_have_nothing_to_say():
    assert StereoTask(PRESETS["tiny"]()).notes() == []


def test_folders_that_are_nothing_say_what_was_looked_for(tmp_path, suite, dsec, hall):
    with pytest.raises(StereoError, match=r"does not exist. Give a folder .*manifest.json"):
        bind(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(StereoError, match=r"is a file. Give a folder"):
        bind(tmp_path / "notes.txt")
    words = (
        r"holds nothing that stereo .*manifest.json.*<sequence>/events/left.*_data.hdf5.*DDES.*"
        r"The folder holds notes.txt\..*data.kind=suite"
    )
    with pytest.raises(StereoError, match=words):
        bind(tmp_path)
    for name, place in (("dsec", dsec / "train"), ("mvsec", hall / "hall1")):
        (tmp_path / name).symlink_to(place, target_is_directory=True)
    with pytest.raises(StereoError, match="holds suite|holds dsec and mvsec.*data.kind=dsec"):
        bind(tmp_path)
    assert bind(tmp_path, data__kind="dsec", data__split="tes").parts == ("validation",)
    with pytest.raises(StereoError, match="Unknown data.kind 'kitti'; known: auto, suite, dsec"):
        bind(suite, data__kind="kitti")


def test_splits_that_do_not_exist(dsec, hall, suite):
    with pytest.raises(StereoError, match="no split '1' .* choose data.split from secff, tes"):
        bind(dsec, data__split="1")
    for name in ("4", "secff", "EMatch-9"):
        with pytest.raises(StereoError, match=f"no split '{name}'; choose data.split from 1, 2"):
            bind(hall, data__split=name)
    with pytest.raises(StereoError, match="divided already; leave data.split=tes out"):
        bind(suite, data__split="tes")
    setting = PRESETS["tiny"]().data
    assert find_root(hall, replace(setting, split="EMatch-2")).parts == ("test",)
    assert find_root(hall, setting).title == "MVSEC, split 1 of DDES"
    assert find_root(dsec, setting).title == "DSEC, split secff"
    held = find_root(dsec, replace(setting, split="tes")).protocol("validation")
    assert "TRAINED ON" not in held
    seen = find_root(dsec, replace(setting, split="all", partial=True)).protocol("validation")
    assert seen.endswith("; 10 of them TRAINED ON, so no measure of the network")


def test_missing_sequences_are_refused_unless_allowed(dsec, folder_of):
    with pytest.raises(StereoError, match="lacks 32 of the 36 .* and 24 more.*data.partial=true"):
        next(bind(dsec, data__split="tes").batches())
    protocol = bind(*folder_of["dsec"]).evaluate(Constant(), "validation").tables["protocol"]
    assert protocol.startswith("DSEC tes-validation: 5 sequences, of which only 2 are there")
    assert {"zurich_city_06_a", "zurich_city_08_a"} < set(TES_VALIDATION)


def test_a_suite_must_be_whole(suite, tmp_path):
    content = json.loads((suite / "mvsec" / "manifest.json").read_text())
    content["recordings"]["train/planes_clean_07"] = {}
    root = tmp_path / "mvsec"
    root.mkdir()
    (root / "manifest.json").write_text(json.dumps(content))
    for part in ("train", "validation", "test"):
        (root / part).symlink_to(suite / "mvsec" / part, target_is_directory=True)
    with pytest.raises(StereoError, match="lacks 1 of 5 recordings: planes_clean_07. Make"):
        bind(tmp_path)
    assert bind(tmp_path, data__partial="true").data.survey.sequences == 4
    content |= {"suite": "stereo-bench", "recordings": {"test/planes_clean_00": {}}}
    (root / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(StereoError, match="lacks 10 of 12 recordings: "):
        bind(root)
    (tmp_path / "dsec").mkdir()
    (tmp_path / "dsec" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(StereoError, match="holds the suite in 2 geometries; give one"):
        bind(tmp_path)
    (root / "manifest.json").unlink()
    mine = bind(root, data__kind="suite")
    assert "recordings in a folder per part" in mine.notes()[0]
    assert mine.data.survey.sequences == 4


# What a step sees


@pytest.mark.parametrize("name", FOLDERS)
def test_a_step_sees_the_same_whenever_training_starts(name, folder_of):
    task = bind(*folder_of[name])
    flat = list(task.batches())
    assert len(flat) == 4
    assert flat[0].left.shape == (2, 2, 2, 20, 32)
    assert flat[0].disparity.shape == (2, 20, 32)
    assert flat[0].left.any()
    for expected, got in zip(flat[2:], bind(*folder_of[name]).batches(2), strict=True):
        assert equal(expected, got)
    assert not equal(flat[0], next(bind(*folder_of[name], train__seed="5").batches()))
    pairs = list(islice(task.halves(), 3))
    for expected, got in zip(pairs[1:], task.halves(1), strict=False):
        assert all(equal(*both) for both in zip(expected, got, strict=True))


def test_processes_share_each_batch(folder_of):
    task = bind(*folder_of["dsec"])
    parts = [list(task.batches(rank=rank, ranks=2)) for rank in range(2)]
    for whole, *shares in zip(task.batches(), *parts, strict=True):
        assert torch.equal(torch.cat([part.left for part in shares], 1), whole.left)
        assert torch.equal(torch.cat([part.disparity for part in shares]), whole.disparity)
    with pytest.raises(StereoError, match="batch of 2 cannot be shared equally by 3 processes"):
        task.batches(ranks=3)


def test_workers_change_nothing(folder_of):
    task = bind(*folder_of["dsec"], train__steps="2")
    others = bind(*folder_of["dsec"], train__steps="2", workers=1)
    for one, other in zip(task.batches(), others.batches(), strict=True):
        assert equal(one, other)


def test_an_epoch_sees_every_window_once(folder_of):
    task = bind(*folder_of["mvsec"], train__steps="10", train__batch="1")
    seen = [batch.meta[0]["truth"] for batch in task.batches()]
    assert sorted(seen[:5]) == sorted(seen[5:]) == [1, 2, 3, 4, 5]
    assert seen[:5] != seen[5:]
    assert len({batch.left.numpy().tobytes() for batch in task.batches()}) == 10


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """Write sequences whose right events are the left ones, shifted by the ground truth."""
    root = tmp_path_factory.mktemp("exact")
    calibration = Calibration(focal_px=60.0, cx_px=32.0, cy_px=24.0, baseline_m=0.25)
    lens = Lens(camera_matrix=(60.0, 60.0, 32.0, 24.0), distortion=(0.0,) * 4, rotation=np.eye(3))
    for seed, name in enumerate(("zurich_city_04_a", "zurich_city_06_a")):
        events = random_events(seed, count=20_000)
        shift = 3 + 2 * (np.arange(48) // 12)
        there = events.x.astype(int) - shift[events.y]
        right = events.take(there >= 0)
        write_dsec(
            root / name, left=events,
            right=Events(t=right.t, x=there[there >= 0].astype(np.uint16), y=right.y, p=right.p),
            lenses={"left": lens, "right": lens}, calibration=calibration,
            disparity=np.repeat(np.repeat(shift[None, :, None], 64, 2), 3, 0).astype(np.float32),
            disparity_t_us=np.array([0, 100_000, 200_000]), t_offset_us=7, width=64, height=48,
        )  # fmt: skip
    return root


@pytest.mark.parametrize("augment", ["none", "pixels", "events"])
def test_the_ground_truth_stays_right(exact, augment):
    task = bind(exact, data__split="tes", data__partial="true", data__augment=augment,
                train__batch="1", train__steps="12")  # fmt: skip
    orders, same, compared = set(), 0, 0
    for batch in task.batches():
        truth = batch.disparity[0].numpy().astype(int)
        assert np.array_equal(batch.disparity[0].numpy(), truth)
        rows, columns = np.nonzero(batch.valid[0].numpy())
        there = columns - truth[rows, columns]
        seen = there >= 0
        rows, columns, there = rows[seen], columns[seen], there[seen]
        left = batch.left[:, 0].numpy()[..., rows, columns]
        right = batch.right[:, 0].numpy()[..., rows, there]
        fired = left.any((0, 1)) | right.any((0, 1))
        same += int((left == right).all((0, 1))[fired].sum())
        compared += int(fired.sum())
        first = truth[batch.valid[0].numpy()]
        orders.add(bool(first[0] < first[-1]))
    assert compared > 1_000
    if augment == "events":  # other events are lost and false in either camera
        assert 0.5 < same / compared < 1
    else:
        assert same == compared
    assert orders == ({False, True} if augment != "none" else {True})


def test_the_cache_changes_nothing_but_the_time(folder_of, tmp_path):
    folder, changes = folder_of["suite"]
    changes = changes | {"data.augment": "pixels"}
    plain, cached = bind(folder, changes), bind(folder, changes, cache=tmp_path)
    assert all(equal(*both) for both in zip(plain.batches(), cached.batches(), strict=True))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.sample")}
    assert len(files) == len({(str(b.meta), b.t_us) for b in plain.batches()}) or files
    assert all(equal(*both) for both in zip(plain.batches(), cached.batches(), strict=True))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.sample")} == files
    result = cached.evaluate(Constant(), "test")
    assert result == plain.evaluate(Constant(), "test")
    assert len(list(tmp_path.rglob("*.sample"))) == len(files) + result.samples
    words = "only frames of evaluations are cached; data.augment=pixels"
    assert words in bind(folder, cache=tmp_path).notes()[-1]


# Halves


@pytest.mark.parametrize(("name", "by"), [("suite", "sequence"), ("mvsec", "time")])
def test_halves_share_no_event(name, by, folder_of):
    folder, changes = folder_of[name]
    task = bind(folder, changes, train__batch="1")
    assert task.data.division(1).by == by
    halves = [set(), set()]
    for pair in islice(task.halves(), 12):
        for half, batch in zip(halves, pair, strict=True):
            half.add((batch.meta[0]["recording"], batch.t_us[0]))
    if by == "sequence":  # four recordings of two names
        assert [half.size for half in task.data.division(1).halves] == [6, 6]
    else:
        for one in halves[0]:
            assert all(abs(one[1] - other[1]) >= 50_000 for other in halves[1])
    assert all(halves)


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=7).filter(lambda n: sum(n) > 1),
    step=st.integers(1, 30),
    length=st.integers(1, 60),
    seed=st.integers(0, 9),
)
def test_divided_windows_never_overlap(sizes, step, length, seed):
    rng = np.random.default_rng(seed)
    sequence = np.repeat(np.arange(len(sizes)), sizes)
    ends = rng.integers(0, step * 40, sequence.size)
    try:
        found = divide(sequence, ends, length, seed)
    except StereoError:
        # Each recording then has a single window, or those at its ends overlap with all others.
        assert len(sizes) - sizes.count(0) < 4 or max(sizes) > 0.2 * sum(sizes)
        return
    first, second = found.halves
    assert min(first.size, second.size) > 0
    assert not set(first) & set(second)
    assert first.size + second.size + found.left_out == sequence.size
    for one in first:
        near = second[sequence[second] == sequence[one]]
        assert (np.abs(ends[near] - ends[one]) >= length).all()
    again = divide(sequence, ends, length, seed)
    assert all(map(np.array_equal, found.halves, again.halves))
    if found.by == "sequence":
        assert not set(sequence[first]) & set(sequence[second])
        assert min(first.size, second.size) >= 0.4 * sequence.size


def test_long_recordings_are_cut_into_blocks():
    found = divide(np.zeros(400, np.int64), 50 * np.arange(400), 100, 0)
    assert found.by == "time"
    assert found.left_out == 7, "one window at each of the seven borders"
    assert abs(found.halves[0].size - found.halves[1].size) <= 1
    ends = {i for i in range(1, 400) if (i in found.halves[0]) != (i - 1 in found.halves[0])}
    assert len(ends) >= 7


# Accuracy


@pytest.mark.parametrize("name", FOLDERS)
def test_accuracy_equals_a_count_by_hand(name, folder_of):
    task = bind(*folder_of[name])
    part = task.parts[-1]
    result = task.evaluate(Constant(), part)
    windows = task.data.windows(part)
    per_image, at_events = {}, []
    for item in range(len(windows)):
        recording, truth = windows.at(item)
        true = recording.disparity(truth)
        fb = recording.calibration.fb
        error = np.abs(6.0 - true[true > 0].astype(np.float64))
        sample = windows[item]
        busy = (sample.valid & (sample.left != 0).any(0).any(0)).numpy()
        if busy.any():
            at_events.append(np.abs(6.0 - true[busy].astype(np.float64)).mean())
        off = np.abs(fb / (6.0 + 1e-7) - fb / (true[true > 0].astype(np.float64) + 1e-7))
        sequence = windows.where(item)[0]
        per_image.setdefault(sequence, []).append(
            (error.mean(), 100 * (error > 1).mean(), 100 * (error > 2).mean(),
             np.sqrt((error**2).mean()), off.mean(), np.median(off))
        )  # fmt: skip
    names = ("mae_px", "one_pe_percent", "two_pe_percent", "rmse_px", "mean_depth_error_m",
             "median_depth_error_m")  # fmt: skip
    whole = np.mean([row for rows in per_image.values() for row in rows], axis=0)
    assert [result.metrics[n] for n in names] == pytest.approx(whole.tolist(), rel=1e-5)
    assert result.metrics["mean_disparity_error_px"] == result.metrics["mae_px"]
    assert at_events
    assert result.metrics["mae_at_events_px"] == pytest.approx(np.mean(at_events), rel=1e-5)
    accuracy = 100 - result.metrics["one_pe_percent"]
    assert result.metrics["one_pixel_accuracy_percent"] == pytest.approx(accuracy)
    rows = list(result.tables["per_sequence"].values())
    assert len(rows) == len(per_image)
    expected = sorted(np.mean(rows, axis=0).tolist() for rows in per_image.values())
    found = sorted([row[n] for n in names] for row in rows)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert sum(row["images"] for row in rows) == result.samples == len(windows)
    assert result.tables["generated"] == (name == "suite")
    json.dumps(result.tables)


def test_the_protocol_says_what_was_compared(folder_of):
    sparse = bind(*folder_of["mvsec"], data__truth="sparse").evaluate(Constant(), "test")
    assert "sparse ground truth (pixels of the last 15,000 left" in sparse.tables["protocol"]
    dense = bind(*folder_of["mvsec"]).evaluate(Constant(), "test")
    assert dense.tables["protocol"].startswith("MVSEC split 1 of test; test: 3 frames, gen")
    assert dense.metrics["valid_pixels"] > sparse.metrics["valid_pixels"]
    assert dense.tables["beyond_range_percent"] == pytest.approx(100 * 5 / 19.5, abs=2)
    near = bind(*folder_of["mvsec"], data__min_disparity="10").evaluate(Constant(), "test")
    assert near.tables["protocol"].endswith("; disparity from 10 px")
    assert near.metrics["mae_px"] > 4
    assert near.metrics["valid_pixels"] == pytest.approx(dense.metrics["valid_pixels"] / 2, rel=0.1)
    suite = bind(*folder_of["suite"]).evaluate(Constant(), "test")
    assert suite.tables["protocol"] == (
        "the suite small (mvsec), test: 2 recordings; whole image; generated data; 2 frames "
        "without a whole window of events left out"
    )
    assert set(suite.tables["per_sequence"]) == {"boxes_clean_00", "planes_clean_00"}


def test_some_frames_are_spread_over_the_part(folder_of):
    task = bind(*folder_of["dsec"])
    seen = []
    some = task.evaluate(Constant(), "validation", samples=2, progress=lambda *n: seen.append(n))
    assert (some.samples, seen) == (2, [(1, 2), (2, 2)])
    assert set(some.tables["per_sequence"]) == {"zurich_city_06_a", "zurich_city_08_a"}
    assert "2 of 4 frames" in some.tables["protocol"]
    limited = bind(*folder_of["dsec"], data__validation="3").evaluate(Constant(), "validation")
    assert limited.samples == 3
    left, right = task.example(3)
    assert left.shape == right.shape == (2, 3, 2, 48, 64), "whole frames"
    with pytest.raises(StereoError, match="has the parts validation here, got 'test'"):
        task.evaluate(Constant(), "test")
    with pytest.raises(StereoError, match="None of the 4 frames .* smaller data.min_disparity"):
        bind(*folder_of["dsec"], data__min_disparity="99").evaluate(Constant(), "validation")


# Training and its start


def test_a_network_is_trained_and_evaluated_on_recordings(suite, tmp_path):
    genotype = load_genotype("spikedhs")  # two layers are enough here
    parts = {n: replace(part, path=(0, 1)) for n, part in genotype.parts.items()}
    replace(genotype, parts=parts).save(tmp_path / "short.json")
    changes = {"network.genotype": str(tmp_path / "short.json"), "train.steps": "2"}
    task = bind(suite, changes, train__evaluate_every="2", train__checkpoint_every="1")
    best = train(task, tmp_path / "run")
    assert best["step"] == 2
    assert best["mean_depth_error_m"] > 0
    done = call("eval", "--run", tmp_path / "run", "--data", suite, "--samples", 2, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["part"], found["samples"], found["generated"]) == ("test", 2, True)
    assert found["protocol"].startswith("the suite small (mvsec), test: 2 recordings")
    assert set(found["per_sequence"]) == {"boxes_clean_00", "planes_clean_00"}
    console = Console(width=100)
    with console.capture() as shown:
        console.print(sequence_table(found["per_sequence"]))
    assert f"{found['per_sequence']['boxes_clean_00']['mae_px']:.4g}" in shown.get()
    drawn = sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir())
    assert [name.rpartition("_step_")[2] for name in drawn] == ["0000002.png"] * 4
    state = load_state(tmp_path / "run")
    config = json.loads(state["config"])
    del config["data"]  # as before recordings could be trained on
    save_state(tmp_path / "run", {**state, "config": json.dumps(config, sort_keys=True)})
    assert train(task, tmp_path / "run") == best
    other = bind(suite, changes, data__augment="none")
    with pytest.raises(StereoError, match="another configuration"):
        train(other, tmp_path / "run")


def test_methods_are_compared_on_the_same_samples(suite, tiny_run, tmp_path):
    pictures = tmp_path / "pictures"
    arguments = (
        "eval", "--run", tiny_run, "--data", suite, "--beside", tiny_run, "--baselines",
        "--pictures", pictures, "--worst", 2,
    )  # fmt: skip
    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    rows = found["beside"]
    names = [tiny_run.name, tiny_run.name, *MATCHERS]
    assert [row["name"] for row in rows][:-1] == names
    assert rows[-1]["name"].endswith("px everywhere (the best constant)")
    assert rows[-1]["metrics"] == {"mae_px": found["metrics"]["constant_mae_px"]}
    assert rows[0]["metrics"] == rows[1]["metrics"] == found["metrics"]
    twin = found["energy"]["analog_twin"]["total_mj"]
    assert rows[0]["analog_twin_mj"] == twin > found["metrics"]["energy_mj"]
    for row in rows[2:-1]:
        assert row["kind"] == "method"
        assert row["metrics"]["images"] == found["metrics"]["images"]
        assert row["metrics"]["valid_pixels"] == found["metrics"]["valid_pixels"]
    near = found["tables"]["by_distance"]
    assert sum(row["pixels"] for row in near) == found["metrics"]["valid_pixels"]
    assert sorted(found["pictures"]) == [str(path) for path in sorted(pictures.iterdir())]
    assert len(found["pictures"]) == 2
    shown = call(*arguments)
    for words in ("by distance", "semi-global matching", "analog mJ", "Worst frames:"):
        assert words in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_only_networks_for_one_task_are_compared(suite, tiny_run, tmp_path):
    save_network(tmp_path, SpikingClassifier(IMAGE_PRESETS["tiny_images"]()), {})
    refused = call("eval", "--run", tiny_run, "--data", suite, "--beside", tmp_path)
    check_refusal(refused, "for the task imagenet, .* one for stereo; only networks for one")


def test_pictures_need_a_folder(suite, tiny_run, tmp_path):
    (tmp_path / "file").touch()
    refused = call("eval", "--run", tiny_run, "--data", suite, "--pictures", tmp_path / "file")
    check_refusal(refused, "Pictures cannot be written to .*file .File exists")


def test_dropped_events_are_counted_at_the_start(tmp_path):
    for seed, name in enumerate(("zurich_city_04_a", "zurich_city_06_a")):
        write_dsec(tmp_path / name, **small_pair(seed))
    with h5py.File(tmp_path / "zurich_city_04_a/events/right/events.h5", "r+") as file:
        file["events/x"][100:117] = 640
    task = bind(tmp_path, data__split="tes", data__partial="true")
    assert "Events: left 3,000, right 3,000; dropped because" in task.notes()[1]
    assert task.notes()[1].endswith("outside the sensor: left 0, right 17.")
    assert task.data.dropped() == {"left": 0, "right": 17}


def test_too_many_events_are_not_counted_beforehand(dsec, folder_of, monkeypatch):
    monkeypatch.setattr("stereo.tasks.recordings.COUNTED_EVENTS", 100)
    task = bind(*folder_of["dsec"])
    assert task.data.dropped() is None
    assert "not counted beforehand (more than 100 events)" in task.notes()[1]


def test_settings_that_do_not_fit_are_refused(dsec, folder_of):
    folder, changes = folder_of["dsec"]
    with pytest.raises(StereoError, match="crop of 20 rows and 65 columns .* 48 x 64 pixels"):
        bind(folder, changes, train__crop_width="65").batches()
    for name, value, words in (
        ("truth", "half", "Unknown data.truth 'half'; known: sparse, dense"),
        ("augment", "all", "Unknown data.augment 'all'; known: none, pixels, events"),
        ("min_disparity", "-1", "cannot be negative"),
        ("validation", "-1", "cannot be negative"),
    ):
        with pytest.raises(StereoError, match=words):
            bind(folder, changes, **{f"data__{name}": value})
    run = ("--task", "stereo", "--data", folder, "--run", dsec / "run")
    lacking = "lacks 29 of the 31 sequences of secff-train: .*data.partial=true"
    check_refusal(call("train", *run), lacking)
    check_refusal(call("search", *run), lacking)
    one = bind(folder, changes | {"encoding.window_us": "100000"}, data__partial="true")
    assert one.data.division(0).by == "sequence"


# Real recordings


@pytest.mark.real
def test_real_events_in_the_layout_of_dsec(real_data, tmp_path):
    """Half a second each of the pendulum, with the ball's shift where events fell, as two parts."""
    content = np.load(real_data / "events_pendulum_dvs128" / "pendulum.npz")
    lens = Lens(camera_matrix=(120.0, 120.0, 64.0, 64.0), distortion=(0.0,) * 4, rotation=np.eye(3))
    ends = np.array([100_000, 200_000, 300_000, 400_000])
    for begin, name in ((4_000_000, "zurich_city_04_a"), (8_000_000, "zurich_city_06_a")):
        events = {}
        for camera in ("left", "right"):
            t, x, y, p = content[camera].T
            keep = (t >= begin) & (t < begin + 500_000) & (y < 128)
            events[camera] = Events(
                t=t[keep] - begin, x=x[keep].astype(np.uint16), y=y[keep].astype(np.uint16),
                p=p[keep] > 0,
            )  # fmt: skip
        truth = np.zeros((4, 128, 128), np.float32)
        for k, end in enumerate(ends):
            seen = events["left"].window(int(end) - 30_000, int(end))
            truth[k, seen.y, seen.x] = 30.0
        write_dsec(
            tmp_path / name, **events, lenses={"left": lens, "right": lens},
            calibration=Calibration(focal_px=120.0, cx_px=64.0, cy_px=64.0, baseline_m=0.1),
            disparity=truth, disparity_t_us=ends, t_offset_us=0, width=128, height=128,
        )  # fmt: skip
    task = bind(tmp_path, data__split="tes", data__partial="true", train__crop_width="96",
                train__crop_height="96")  # fmt: skip
    batch = next(task.batches())
    assert batch.left.any()
    assert set(batch.disparity[batch.valid].tolist()) <= {30.0}
    found = task.evaluate(Constant(28.5), "validation")
    assert found.samples == 4
    assert found.metrics["mae_px"] == pytest.approx(1.5)
    assert found.metrics["one_pe_percent"] == 100.0
    assert found.metrics["two_pe_percent"] == 0.0


@pytest.mark.real
def test_a_real_file_with_one_camera_is_refused_with_words(real_data, tmp_path):
    for number, path in enumerate(sorted((real_data / "mvsec_layout_tiny").glob("*.hdf5"))[:3], 1):
        (tmp_path / f"indoor_flying{number}_data.hdf5").symlink_to(path)
    task = bind(tmp_path)
    assert task.parts == ("validation", "test")
    with pytest.raises(RecordingError, match="no events of the right camera"):
        task.notes()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_generated_clips_among_recordings(share, suite):
    """Which window is which depends on its number alone; an epoch stays one of the recordings."""
    config = PRESETS["tiny"]().override({"data.generated": str(share)})
    task = StereoTask(config, Source(data=suite))
    plain = StereoTask(PRESETS["tiny"](), Source(data=suite))
    streams = (task.data.training(1), *task.data.halves(1))
    for stream, other in zip(streams, (plain.data.training(1), *plain.data.halves(1)), strict=True):
        items = [stream.item(number) for number in range(400)]
        assert items == [stream.item(number) for number in range(400)]
        generated = sum(item < 0 for item in items)
        assert abs(generated - 400 * share) < 50
        recorded = [(n, item) for n, item in enumerate(items) if item >= 0]
        assert all(int(item) == int(other.item(n)) for n, item in recorded)
        assert stream.length == other.length
    batch = next(iter(task.batches()))
    assert batch.left.shape[-2:] == (config.train.crop_height, config.train.crop_width)
    assert bool(batch.valid.any())
    told = " ".join(task.notes())
    assert ("generated" in told.split("Training:")[1]) == (share > 0)


def test_generated_clips_are_shifted_in_training_alone():
    plain, shifted = (
        StereoTask(PRESETS["tiny"]().override({"data.shift": shift})).data for shift in ("0", "7")
    )
    size = plain.config.train.crop_height, plain.config.train.crop_width
    for stream in (shifted.training(1), *shifted.halves(1)):
        crop = stream.samples.crop
        assert (crop.height, crop.width, crop.shift) == (*size, 7)
        assert crop.farthest_px == shifted.config.max_disparity
        sample = stream.samples[0]
        assert sample.disparity.shape == sample.left.shape[-2:] == size
    assert shifted.held("validation").samples == plain.held("validation").samples


def test_a_share_of_generated_clips_is_a_share():
    with pytest.raises(StereoError, match=r"data.generated"):
        PRESETS["tiny"]().override({"data.generated": "1.5"})
