"""MVSEC splits: the published ranges and numbers of frames, the shuffle, files of own splits."""

import json
import random

import pytest

from data import RecordingError
from data.mvsec import SOURCES, Part, Split, published_split
from data.mvsec.splits import ROLES


@pytest.mark.parametrize(
    ("number", "train", "test"), [(1, 3110, 861), (2, 2870, 1101), (3, 2600, 1343)]
)
def test_the_published_numbers_of_frames(number, train, test):
    split = published_split(number)
    assert [len(split.frames(role)) for role in ROLES] == [train, 200, test]


@pytest.mark.parametrize(
    ("number", "test", "train"),
    [
        (1, range(140, 1201), {2: range(160, 1580), 3: range(125, 1815)}),
        (2, range(120, 1421), {1: range(80, 1260), 3: range(125, 1815)}),
        (3, range(73, 1616), {1: range(80, 1260), 2: range(160, 1580)}),
    ],
)
def test_the_published_ranges_and_shuffle(number, test, train):
    split = published_split(number)
    assert split.frames("train") == [
        (f"indoor_flying{k}", index) for k, frames in train.items() for index in frames
    ]
    # As the published code does it, on Python's global generator.
    held_out = [(f"indoor_flying{number}", index) for index in test]
    random.seed(0)
    random.shuffle(held_out)
    assert split.frames("validation") == held_out[:200]
    assert split.frames("test") == held_out[200:]


def test_the_shuffle_is_that_of_every_python():
    """The first frames, pinned: another order would make another test set."""
    first = [index for _, index in published_split(1).frames("validation")[:8]]
    assert first == FIRST_OF_SPLIT_1


FIRST_OF_SPLIT_1 = [194, 1061, 877, 165, 419, 539, 588, 308]


def test_the_global_generator_is_left_alone(without_shape_checks):
    # The run-time checker of the tests draws from it, hence the fixture.
    random.seed(5)
    expected = random.random()
    random.seed(5)
    published_split(3).frames("test")
    assert random.random() == expected


@pytest.mark.parametrize("source", sorted(SOURCES))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_frame_is_in_two_roles(source, number):
    split = published_split(number, source)
    frames = [frame for role in ROLES for frame in split.frames(role)]
    assert len(frames) == len(set(frames))
    assert {name for name, _ in split.frames("test")} == {f"indoor_flying{number}"}


def test_ranges_of_the_variants():
    one = published_split(1, "StereoSpike")
    assert (str(one.held_out), [str(p) for p in one.train]) == (
        "indoor_flying1[139:1201]",
        ["indoor_flying2[159:1581]", "indoor_flying3[124:1816]"],
    )
    three = published_split(3, "StereoSpike")
    assert str(three.held_out) == "indoor_flying3[72:1816]"
    assert "not reproduced" in three.note
    for number, last in ((1, 1201), (2, 1421), (3, 1616)):
        frames = published_split(number, "EMatch").frames("test")
        assert frames[-1] == (f"indoor_flying{number}", last), "both ends included"
        assert len(frames) == published_split(number).held_out.end - frames[0][1] + 1


@pytest.mark.parametrize(("number", "source"), [(4, "DDES"), (0, "EMatch"), (1, "Nobody")])
def test_unknown_splits(number, source):
    with pytest.raises(RecordingError, match="Known are 1, 2 and 3 of DDES, StereoSpike, EMatch"):
        published_split(number, source)


# ---- own splits


def own(**changes):
    setting = {
        "name": "mine",
        "source": "test",
        "train": (Part(sequence="a1", first=1, end=9), Part(sequence="b2", first=0, end=3)),
        "held_out": Part(sequence="a1", first=9, end=20),
        "validation": 3,
    }
    return Split(**(setting | changes))


def test_a_split_survives_its_file(tmp_path):
    for split in (own(), own(validation=0, note="by time"), published_split(2)):
        split.save(tmp_path / "s.json")
        assert Split.load(tmp_path / "s.json") == split


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("train"), "is no split .*train"),
        (lambda c: c.update(validation=11), "at least one to be left"),
        (lambda c: c.update(validation=-1), "at least one to be left"),
        (lambda c: c.update(validation=True), "no whole number"),
        (lambda c: c.update(held_out=["a", 5, 5]), "0 <= first < end"),
        (lambda c: c.update(held_out=["a", 5.5, 9]), "no whole number"),
        (lambda c: c.update(held_out=["a", 5]), "is no split"),
        (lambda c: c.update(name="two\nlines"), "no line of text"),
    ],
)
def test_files_that_are_no_split(tmp_path, change, message):
    path = tmp_path / "s.json"
    own().save(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecordingError, match=message):
        Split.load(path)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, "\udcff"])
def test_files_that_are_no_json(tmp_path, text):
    path = tmp_path / "s.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RecordingError, match="is no split"):
        Split.load(path)
    with pytest.raises(RecordingError, match="is no split"):
        Split.load(tmp_path / "gone.json")
