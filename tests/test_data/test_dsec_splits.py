"""The published splits of DSEC: counts, disjointness, and what is absent on disk."""

import shutil

import pytest

from data import RecordingError
from data.dsec import SPLITS, find_sequences


def test_counts_and_names():
    counts = {name: len(sequences) for name, sequences in SPLITS.items()}
    assert counts == {
        "train": 41, "test": 12, "secff-train": 31, "secff-validation": 10,
        "tes-train": 36, "tes-validation": 5, "all-train": 41, "all-validation": 10,
    }  # fmt: skip
    for name, sequences in SPLITS.items():
        assert len(set(sequences)) == len(sequences), name


def test_the_official_parts_are_the_whole_and_disjoint():
    assert not set(SPLITS["train"]) & set(SPLITS["test"])
    assert set(SPLITS["all-train"]) == set(SPLITS["train"]) >= set(SPLITS["all-validation"])
    assert set(SPLITS["test"]) == {
        "interlaken_00_a", "interlaken_00_b", "interlaken_01_a", "thun_01_a", "thun_01_b",
        "zurich_city_12_a", "zurich_city_13_a", "zurich_city_13_b", "zurich_city_14_a",
        "zurich_city_14_b", "zurich_city_14_c", "zurich_city_15_a",
    }  # fmt: skip
    # Within a place, letters of train and test together leave no gap.
    runs = {}
    for name in SPLITS["train"] + SPLITS["test"]:
        runs.setdefault(name[:-2], []).append(name[-1])
    for place, letters in runs.items():
        assert sorted(letters) == [chr(ord("a") + n) for n in range(len(letters))], place


@pytest.mark.parametrize("origin", ["secff", "tes"])
def test_validation_is_a_part_of_train(origin):
    train, validation = set(SPLITS[f"{origin}-train"]), set(SPLITS[f"{origin}-validation"])
    assert not train & validation
    assert train | validation == set(SPLITS["train"])


def test_the_published_validation_sets():
    assert set(SPLITS["secff-validation"]) == {
        "interlaken_00_f", "interlaken_00_g", "thun_00_a", "zurich_city_05_a", "zurich_city_05_b",
        "zurich_city_06_a", "zurich_city_07_a", "zurich_city_08_a", "zurich_city_09_d",
        "zurich_city_10_b",
    }  # fmt: skip
    assert set(SPLITS["tes-validation"]) == {
        "zurich_city_01_f", "zurich_city_06_a", "zurich_city_11_b", "zurich_city_09_c",
        "zurich_city_08_a",
    }  # fmt: skip


def test_the_names_are_those_of_tonic():
    dsec = pytest.importorskip("tonic.datasets.dsec").DSEC
    assert set(SPLITS["train"]) == set(dsec.recordings["train"])
    assert set(SPLITS["test"]) == set(dsec.recordings["test"])


# ---- on disk


def made(root, *places):
    for place in places:
        (root / place / "events" / "left").mkdir(parents=True)
    return root


def test_a_split_says_what_is_absent(tmp_path):
    root = made(
        tmp_path, "train/thun_00_a", "train/interlaken_00_f", "train/zurich_city_04_a",
        "test/thun_01_a", "train/my_own",
    )  # fmt: skip
    found = find_sequences(root, "secff-validation")
    assert [paths.name for paths in found] == ["interlaken_00_f", "thun_00_a"]
    assert (len(found), found[1].name, found.split) == (2, "thun_00_a", "secff-validation")
    assert set(found.absent) == set(SPLITS["secff-validation"]) - {"interlaken_00_f", "thun_00_a"}
    everything = find_sequences(root)
    assert sorted(paths.name for paths in everything) == [
        "interlaken_00_f", "my_own", "thun_00_a", "thun_01_a", "zurich_city_04_a"
    ]  # fmt: skip
    assert everything.absent == ()
    assert [paths.part for paths in everything] == ["test", "train", "train", "train", "train"]


def test_nothing_of_a_split(tmp_path):
    root = made(tmp_path, "train/zurich_city_04_a")
    with pytest.raises(RecordingError, match="does not hold any of the 5 sequences of tes-valid"):
        find_sequences(root, "tes-validation")
    with pytest.raises(RecordingError, match="no DSEC split 'val'. Known: train, test"):
        find_sequences(root, "val")


def test_a_sequence_that_is_there_twice(tmp_path):
    root = made(tmp_path, "train/zurich_city_04_a", "train_events/zurich_city_04_a")
    with pytest.raises(RecordingError, match="zurich_city_04_a is there twice: .*train_events"):
        find_sequences(root, "train")
    shutil.rmtree(root / "train_events")
    (root / "links").mkdir()
    (root / "links" / "zurich_city_04_a").symlink_to(root / "train" / "zurich_city_04_a")
    assert len(find_sequences(root, "train")) == 1


def test_hidden_and_deep_folders_are_not_entered(tmp_path):
    root = made(tmp_path, ".cache/zurich_city_04_a", "a/b/c/zurich_city_04_b")
    with pytest.raises(RecordingError, match="does not hold a DSEC sequence"):
        find_sequences(root)
    assert len(find_sequences(root / "a")) == 1
