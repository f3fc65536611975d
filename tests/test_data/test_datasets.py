"""Recordings as indexable samples: which windows, what is in them, in which process."""

import multiprocessing
import pickle
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.mvsec import small_scene, write_ddes
from reference.pairs import OFFSET_US, small_pair
from reference.recordings import FakeRecording, write_npz

from data import RecordingError, mvsec
from data.augment import Crop, EventDrop, NoiseEvents, VerticalFlip
from data.datasets import DATASETS, Part, StereoWindows, build_dataset
from data.datasets.plan import Cut
from data.draws import Draw, generator_of
from data.dsec import DsecRecording, write_dsec
from data.encode import ENCODINGS
from data.mvsec import MvsecRecording, Protocol, Split, write_mvsec
from data.pair import encode_pair

VOXEL = ENCODINGS["voxel"](bins=2)
CHANGES = (VerticalFlip(), EventDrop(most_share=0.5), NoiseEvents(most_hz=20.0))


def windows(*recordings, **options):
    return StereoWindows(
        recordings=recordings, **({"encoding": VOXEL, "steps": 2, "window_us": 50_000} | options)
    )


def tensors(sample):
    return [sample.left, sample.right, sample.disparity, sample.valid]


def equal(first, second):
    return first.t_us == second.t_us and all(map(torch.equal, tensors(first), tensors(second)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write two small sequences."""
    root = tmp_path_factory.mktemp("dsec") / "train"
    write_dsec(root / "zurich_city_05_a", **small_pair(1))
    write_dsec(root / "thun_00_a", **small_pair(2))
    return root


# What is in an item


def test_an_item_is_the_window_that_ends_at_its_ground_truth(folder):
    dataset = windows(folder / "thun_00_a", folder / "zurich_city_05_a")
    assert len(dataset) == 4
    assert dataset.skipped == {"thun_00_a": 1, "zurich_city_05_a": 1}
    for index, (name, truth) in enumerate(
        [("thun_00_a", 1), ("thun_00_a", 2), ("zurich_city_05_a", 1), ("zurich_city_05_a", 2)]
    ):
        sample = dataset[index]
        with DsecRecording(folder / name) as recording:
            t_us = int(recording.disparity_t_us[truth])
            assert sample.t_us == t_us == OFFSET_US + 100_000 * truth
            left, right = encode_pair(recording, VOXEL, steps=2, t0_us=t_us - 50_000, t1_us=t_us)
            assert np.array_equal(sample.left.numpy(), left)
            assert np.array_equal(sample.right.numpy(), right)
            assert np.array_equal(sample.disparity.numpy(), recording.disparity(truth))
            assert np.array_equal(sample.valid.numpy(), recording.disparity(truth) > 0)
        assert sample.meta == {"recording": name, "truth": truth}
        assert sample.left.abs().sum() > 0


def test_augmenting_by_nothing_gives_the_same_tensors(folder):
    plain = windows(folder / "thun_00_a")
    path = windows(folder / "thun_00_a", augmentations=[VerticalFlip(probability=0.0)])
    assert all(equal(plain[i], path[i]) for i in range(len(plain)))


@pytest.mark.parametrize("augmentations", [(), (VerticalFlip(probability=0.0),)])
def test_frames_follow_one_another_oldest_first(folder, augmentations):
    path = folder / "thun_00_a"
    dataset = windows(path, frames=3, window_us=20_000, augmentations=augmentations)
    sample = dataset[0]
    assert sample.left.shape == (6, 2, 48, 64)
    with DsecRecording(path) as recording:
        end = sample.t_us
        for frame in range(3):
            t1 = end - (2 - frame) * 20_000
            left, right = encode_pair(recording, VOXEL, steps=2, t0_us=t1 - 20_000, t1_us=t1)
            assert np.array_equal(sample.left[2 * frame : 2 * frame + 2].numpy(), left)
            assert np.array_equal(sample.right[2 * frame : 2 * frame + 2].numpy(), right)


def test_windows_by_number_hold_what_both_cameras_cover():
    recording = FakeRecording(count=4_000, last_us=199_999)
    dataset = windows(recording, window_us=None, window_events=500, encoding=VOXEL, steps=1)
    assert len(dataset) == 2
    for index, sample in enumerate(dataset[i] for i in range(2)):
        t_us = int(recording.disparity_t_us[index])
        last = {c: recording.last_events(c, t_us, 500) for c in ("left", "right")}
        t0 = max(int(e.t[0]) for e in last.values())
        assert max(len(e.window(t0, t_us)) for e in last.values()) == 500
        left, right = (
            VOXEL(recording.rectify(c, e), steps=1, height=32, width=40, t0_us=t0, t1_us=t_us)
            for c, e in last.items()
        )
        assert np.array_equal(sample.left.numpy(), left)
        assert np.array_equal(sample.right.numpy(), right)


def test_frames_by_number_meet_without_gap_or_overlap():
    recording = FakeRecording(count=4_000)
    cut = Cut(window_events=300, frames=4)
    frames = cut.by_number(recording, 150_000)
    assert len(frames) == 4
    assert frames[-1][0][1] == 150_000
    for ((_, end), _), ((start, _), _) in pairwise(frames):
        assert end == start
    for (t0, t1), pair in frames:
        assert max(map(len, pair)) <= 300
        assert min(map(len, pair)) > 200
        for events in pair:
            assert t0 <= events.t[0]
            assert events.t[-1] < t1


# Which ground truths


@given(
    stamps=st.lists(st.integers(-50_000, 300_000), unique=True, max_size=8).map(sorted),
    window=st.integers(1, 150_000),
    frames=st.integers(1, 3),
)
@settings(max_examples=60)
def test_only_whole_windows_count(stamps, window, frames):
    recording = FakeRecording(stamps=tuple(stamps), count=50)
    slack = window // 10
    whole = [
        k for k, t in enumerate(stamps)
        if t - frames * window >= -slack and t <= 199_999 + slack
    ]  # fmt: skip
    if whole:
        dataset = windows(recording, window_us=window, frames=frames)
        assert [dataset.at(i)[1] for i in range(len(dataset))] == whole
        assert dataset.skipped == {"fake": len(stamps) - len(whole)}
    else:
        with pytest.raises(RecordingError, match="None of the 1 recordings"):
            windows(recording, window_us=window, frames=frames)


@given(
    stamps=st.lists(st.integers(1, 204_000), unique=True, min_size=1, max_size=9).map(sorted),
    count=st.integers(1, 90),
    frames=st.integers(1, 3),
    seed=st.integers(0, 50),
)
@settings(max_examples=80)
def test_only_whole_numbers_count(stamps, count, frames, seed):
    recording = FakeRecording(stamps=tuple(stamps), count=100, seed=seed)
    recording.total = {"left": 100, "right": 100}

    def full(t):
        sizes = [len(recording.events(c, 0, t)) for c in ("left", "right")]
        return min(sizes) >= count * frames

    whole = [k for k, t in enumerate(stamps) if full(t)]
    if whole:
        dataset = windows(recording, window_us=None, window_events=count, frames=frames)
        assert [dataset.at(i)[1] for i in range(len(dataset))] == whole
    else:
        with pytest.raises(RecordingError, match="None of the 1 recordings"):
            windows(recording, window_us=None, window_events=count, frames=frames)


def test_truths_are_taken_in_the_order_given():
    recording = FakeRecording(stamps=(60_000, 90_000, 120_000, 190_000))
    dataset = windows(Part(recording=recording, truths=(3, 0, 2)))
    assert [dataset.at(i)[1] for i in range(3)] == [3, 0, 2]
    with pytest.raises(RecordingError, match="has 4 ground truths, but 2 to 4 were asked for"):
        windows(Part(recording=recording, truths=(2, 4)))


class Sparse:
    """A protocol that takes every second column."""

    def mask(self, recording, index):
        mask = np.zeros((recording.height, recording.width), bool)
        mask[:, index % 2 :: 2] = True
        return mask


class Wrong:
    """A protocol of the wrong size."""

    def mask(self, recording, index):
        return np.ones((3, 3), bool)


@pytest.mark.parametrize("augmentations", [(), (Crop(height=32, width=40),)])
def test_validity_restricts_the_ground_truth(augmentations):
    dataset = windows(FakeRecording(), validity=Sparse(), augmentations=augmentations)
    valid = dataset[1].valid.numpy()
    assert not valid[:, ::2].any()
    assert valid[:, 1:20:2].all()
    assert not valid[:, 20:].any()
    with pytest.raises(RecordingError, match=r"is bool \(3, 3\). Expected bool \(32, 40\)"):
        windows(FakeRecording(), validity=Wrong())[0]


class Infinite(FakeRecording):
    """A recording whose ground truth has holes of every kind."""

    def disparity(self, index):
        truth = super().disparity(index)
        truth[0, :4] = np.nan, np.inf, -np.inf, -1.0
        return truth


def test_impossible_truth_is_unknown():
    sample = windows(Infinite())[0]
    assert not sample.valid[0, :4].any()
    assert torch.isfinite(sample.disparity).all()
    assert (sample.disparity[~sample.valid] == 0).all()


# Chance and processes


def test_chance_depends_on_seed_epoch_and_index_alone():
    dataset = windows(FakeRecording(), augmentations=CHANGES)
    assert equal(dataset[1], dataset[1])
    assert equal(dataset[1], dataset[Draw(1)])
    assert equal(dataset[Draw(1, 5)], dataset[Draw(1, 5)])
    assert not equal(dataset[Draw(1, 5)], dataset[Draw(1, 6)])
    other = windows(FakeRecording(), augmentations=CHANGES, seed=1)
    assert not equal(dataset[1], other[1])
    draws = [generator_of(s, Draw(i, e)).random() for s in (0, 1) for e in (0, 1) for i in (0, 1)]
    assert len(set(draws)) == 8


def test_a_draw_is_an_index_that_travels():
    draw = pickle.loads(pickle.dumps(Draw(3, epoch=7)))
    assert (draw, draw.epoch) == (3, 7)
    assert [10, 11, 12, 13][draw] == 13
    assert repr(draw) == "Draw(3, epoch=7)"


def read(dataset, queue):
    torch.set_num_threads(1)
    queue.put(pickle.dumps([dataset[Draw(i, 2)].left.numpy() for i in range(len(dataset))]))


def test_every_process_reads_the_same(folder):
    dataset = windows(folder / "thun_00_a", folder / "zurich_city_05_a", augmentations=CHANGES)
    here = [dataset[Draw(i, 2)].left.numpy() for i in range(len(dataset))]
    context = multiprocessing.get_context("fork")  # spawn: test_loading
    queue = context.Queue()
    child = context.Process(target=read, args=(dataset, queue))
    child.start()
    there = pickle.loads(queue.get(timeout=60))
    child.join(60)
    assert child.exitcode == 0
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
    assert np.array_equal(dataset[Draw(0, 2)].left.numpy(), here[0])


def test_a_copy_holds_no_open_recording(folder):
    dataset = windows(folder / "thun_00_a")
    first = dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert not copy._opened._open
    assert dataset._opened._open
    assert equal(copy[0], first)
    dataset.close()
    assert not dataset._opened._open
    assert equal(dataset[0], first)


def test_few_recordings_stay_open(folder, tmp_path):
    dataset = windows(folder / "thun_00_a", folder / "zurich_city_05_a", most_open=1)
    order = [0, 2, 1, 3, 0]
    names = [dataset[i].meta["recording"] for i in order]
    assert names == ["thun_00_a", "zurich_city_05_a", "thun_00_a", "zurich_city_05_a", "thun_00_a"]
    assert len(dataset._opened._open) == 1


def test_iteration_ends_and_wrong_indices_are_refused(folder):
    dataset = windows(folder / "thun_00_a")
    assert len(list(dataset)) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError, match=f"Window {index} of 2"):
            dataset[index]


# Names and errors


def test_the_registry_builds_what_it_names(folder):
    options = {"encoding": VOXEL, "steps": 2}
    assert {"dsec", "mvsec", "recordings", "generated"} <= set(DATASETS)
    assert len(build_dataset("recordings", folder / "thun_00_a", window_us=50_000, **options)) == 2
    with pytest.raises(RecordingError, match="lacks 8 of the 10 sequences of secff-validation"):
        build_dataset("dsec", folder.parent, split="secff-validation", **options)
    found = build_dataset("dsec", folder.parent, split="secff-validation", partial=True, **options)
    assert len(found) == 4
    assert found.window_us == 50_000
    by_number = build_dataset(
        "dsec", folder.parent, split="secff-validation", partial=True, window_events=50, **options
    )
    assert by_number.window_us is None
    made = build_dataset(
        "generated", window_us=40_000, width=32, height=32, clips=1, length=2, seed=0, **options
    )
    assert len(made) == 2


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """Write two small MVSEC sequences, and return their folder and a split of them."""
    root = tmp_path_factory.mktemp("mvsec")
    for number in (1, 2):
        scene = small_scene(number) | {"sequence": f"generated_hall{number}"}
        write_mvsec(root / f"hall{number}", **scene)
    parts = {n: mvsec.Part(sequence=f"generated_hall_{n}", first=1, end=4) for n in (1, 2)}
    split = Split(name="1", source="test", train=(parts[2],), held_out=parts[1], validation=1)
    return root, split


@pytest.mark.parametrize("sparse", [True, False])
def test_mvsec_takes_the_frames_and_pixels_of_the_protocol(hall, sparse):
    root, split = hall
    train = Protocol(split=split, role="train", sparse=sparse, sparse_events=50)
    dataset = build_dataset("mvsec", root, protocol=train, encoding=VOXEL, steps=2)
    assert [dataset[i].meta for i in range(3)] == [
        {"recording": "generated_hall2", "truth": k} for k in (1, 2, 3)
    ]
    assert dataset.window_us == 50_000
    for index in range(3):
        recording, truth = dataset.at(index)
        expected = train.mask(recording, truth)
        assert expected.any()
        assert np.array_equal(dataset[index].valid.numpy(), expected)
        assert (dataset[index].disparity > 0).sum() >= expected.sum()
    held_out = [
        build_dataset("mvsec", root, protocol=replace(train, role=role), encoding=VOXEL, steps=2)
        for role in ("validation", "test")
    ]
    frames = [[d.at(i)[1] for i in range(len(d))] for d in held_out]
    assert frames == [[k for _, k in split.frames(r)] for r in ("validation", "test")]
    assert sorted(frames[0] + frames[1]) == [1, 2, 3]


def test_mvsec_reads_the_preprocessed_layout(hall, tmp_path):
    folder = tmp_path / "native"
    scene = small_scene(2, width=346, height=260, count=300)
    write_mvsec(folder, **scene | {"sequence": "generated_hall2"})
    with MvsecRecording(folder) as native:
        maps = {camera: native.rectify_map(camera) for camera in ("left", "right")}
        fb = native.calibration.fb
    names = (folder / f"generated_hall2_{kind}.hdf5" for kind in ("data", "gt"))
    write_ddes(tmp_path / "preprocessed" / "generated_hall_2", *names, fb, maps)
    protocol = Protocol(split=hall[1], role="train", sparse=False)
    options = {"protocol": protocol, "encoding": VOXEL, "steps": 2}
    found = build_dataset("mvsec", tmp_path / "preprocessed", **options)
    assert [sample.meta["truth"] for sample in found] == [1, 2, 3]
    assert {found.at(i)[0].layout for i in range(3)} == {"ddes"}
    both = build_dataset("mvsec", tmp_path, **options)
    assert {both.at(i)[0].layout for i in range(3)} == {"mvsec"}


def test_mvsec_names_what_is_missing(hall, tmp_path):
    options = {"encoding": VOXEL, "steps": 2}
    with pytest.raises(RecordingError, match="lacks the sequences indoor_flying2, indoor_flying3"):
        build_dataset("mvsec", hall[0], **options)
    with pytest.raises(RecordingError, match="There is no folder"):
        build_dataset("mvsec", tmp_path / "nowhere", **options)
    long = replace(hall[1], train=(mvsec.Part(sequence="generated_hall2", first=0, end=9),))
    with pytest.raises(RecordingError, match="has 4 ground truths, but 0 to 8 were asked for"):
        build_dataset("mvsec", hall[0], protocol=Protocol(split=long, role="train"), **options)


def test_names_without_data_are_refused():
    with pytest.raises(RecordingError, match="There is no data set 'kitti'. Known: dsec"):
        build_dataset("kitti")
    with pytest.raises(RecordingError, match="at least one recording"):
        build_dataset("recordings", encoding=VOXEL, steps=1, window_us=1)


def test_recordings_without_ground_truth_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="Give recordings with ground truth"):
        windows(write_npz(tmp_path / "pair.npz"))
    with pytest.raises(RecordingError, match="There is nothing at"):
        windows(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window_us": None}, "either window_us or window_events"),
        ({"window_events": 5}, "either window_us or window_events"),
        ({"window_us": 0}, "each at least 1; got 0 us"),
        ({"frames": 0}, "0 frames"),
        ({"steps": 0}, "steps and most_open must be at least 1"),
        ({"seed": -1}, "seed at least 0"),
    ],
)
def test_descriptions_without_meaning_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        windows(FakeRecording(), **options)


def test_the_description_is_frozen_and_shows_itself(folder):
    dataset = windows(folder / "thun_00_a")
    with pytest.raises(AttributeError):
        dataset.steps = 3
    assert "thun_00_a" in repr(dataset)
    assert "window_us=50000" in repr(dataset)
    longer = windows(*dataset.recordings, window_us=80_000)
    assert longer[0].t_us == dataset[0].t_us
    assert replace(Part(recording=folder), truths=(1,)).truths == (1,)
