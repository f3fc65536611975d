"""Event recordings with classes, written as Tonic expects them and read back through it."""

import pickle
import struct
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data import RecordingError
from data.event_classes import KINDS, EventAugment, EventClasses, split
from data.images import BatchOrder, event_batches, event_evaluation_batches

STREAM = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/">
<attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/">
<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>
</node></node></node></dv>"""

SECOND = 1_000_000


def aedat4(events):
    """Return an uncompressed AEDAT4 file: a header and one packet, both in FlatBuffers' layout."""
    stream = STREAM.encode()
    header = struct.pack("<I4s6x5HiiIq", 24, b"IOHE", 10, 20, 4, 12, 8, 10, 0, 12, -1)
    header += struct.pack("<I", len(stream)) + stream + b"\0"
    packet = struct.pack("<I4s2x3HiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(events))
    packet += b"".join(struct.pack("<qhh?3x", t, x, y, p) for x, y, t, p in events)
    packet = struct.pack("<I", len(packet)) + packet
    return b"".join((
        b"#!AER-DAT4.0\r\n", struct.pack("<I", len(header)), header,
        struct.pack("<ii", 0, len(packet)), packet,
    ))  # fmt: skip


def events_of(count=400, seed=0):
    """Return x, y, t in microseconds (whole milliseconds) and polarity, from 0 to one second."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 1000, count)) * 1000
    t[[0, -1]] = 0, SECOND
    x, y = rng.integers(0, 128, (2, count))
    return [tuple(map(int, row)) for row in zip(x, y, t, rng.integers(0, 2, count))]


def counts(events, steps):
    """Count events pixel by pixel; as with Tonic, the last microsecond belongs to no step."""
    out = np.zeros((steps, 2, 128, 128), np.float32)
    for x, y, t, p in events:
        step = (t - events[0][2]) // (SECOND // steps)
        if step < steps:
            out[step, p, y, x] += 1
    return out


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Write ten recordings of each class."""
    root = tmp_path_factory.mktemp("cifar")
    for number, name in enumerate(KINDS["cifar10-dvs"].classes):
        folder = root / "CIFAR10DVS" / name
        folder.mkdir(parents=True)
        for take in range(10):
            path = folder / f"cifar10_{name}_{take}.aedat4"
            path.write_bytes(aedat4(events_of(50, 10 * number + take)))
    return root


@pytest.fixture
def gestures(tmp_path):
    for part, users in (("Train", (1, 2)), ("Test", (24,))):
        for user in users:
            folder = (
                tmp_path / "DVSGesture" / f"ibmGesture{part}" / f"user{user:02}_fluorescent_led"
            )
            folder.mkdir(parents=True)
            for label in range(11):
                rows = np.array(events_of(50, 11 * user + label))
                rows = rows[:, [0, 1, 3, 2]] // (1, 1, 1, 1000)  # x, y, polarity, milliseconds
                np.save(folder / f"{label}.npy", rows)
    return tmp_path


def build(name, root, part="train", steps=4, size=128, **options):
    return EventClasses(name, root, part, steps, size, **options)


# Reading


def test_cifar10_dvs_is_read_back(cifar):
    for part, count in (("train", 90), ("test", 10)):
        found = build("cifar10-dvs", cifar, part)
        assert len(found) == count
        assert np.bincount(found.labels).tolist() == [count // 10] * 10
        for index in (0, count - 1):
            frames, label = found[index]
            path = found.path(index)
            assert found.classes[label] == path.parent.name
            take = int(path.stem.rsplit("_", 1)[1])
            assert frames.dtype == np.float32
            assert np.array_equal(frames, counts(events_of(50, 10 * label + take), 4))


def test_dvs_gesture_is_read_back(gestures):
    for part, users in (("train", (1, 2)), ("test", (24,))):
        for root in (gestures, gestures / "DVSGesture"):
            found = build("dvs-gesture", root, part, steps=5)
            assert found.labels.tolist() == [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9] * len(users)
            for index, user in ((0, users[0]), (len(found) - 1, users[-1])):
                frames, label = found[index]
                assert np.array_equal(frames, counts(events_of(50, 11 * user + label), 5))


def test_parts_of_cifar10_dvs_are_disjoint_and_seeded(cifar):
    def paths(part, seed):
        found = build("cifar10-dvs", cifar, part, split_seed=seed)
        return {found.path(index) for index in range(len(found))}

    assert len(paths("train", 0) | paths("test", 0)) == 100
    assert not paths("train", 0) & paths("test", 0)
    assert paths("test", 0) == paths("test", 0) != paths("test", 1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=90), st.integers(0, 9))
def test_a_split_is_stratified(labels, seed):
    labels = np.array(labels)
    train, test = (split(labels, part, seed) for part in ("train", "test"))
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label in range(4):
        assert (labels[test] == label).sum() == round((labels == label).sum() / 10)


def test_frames_are_resized(gestures):
    full, small = (build("dvs-gesture", gestures, size=size)[3][0] for size in (128, 48))
    assert small.shape == (4, 2, 48, 48)
    assert small.min() >= 0
    # An average over each pixel's surroundings keeps the mean, but for the edges.
    assert small.mean() == pytest.approx(full.mean(), rel=0.05)
    half = build("dvs-gesture", gestures, size=64)[3][0]
    brute = torch.nn.functional.interpolate(
        torch.from_numpy(full), size=(64, 64), mode="bilinear", antialias=True
    )
    assert np.array_equal(half, brute.numpy())


def test_items_can_be_taken_out_and_travel(gestures):
    whole = build("dvs-gesture", gestures)
    part = pickle.loads(pickle.dumps(whole.take(np.array([5, 2]))))
    assert part.labels.tolist() == [4, 10]
    assert np.array_equal(part[1][0], whole[2][0])
    with pytest.raises(IndexError, match="Recording 2 of 2"):
        part[2]


# Augmentation


def test_augmented_frames_are_rolled_and_mirrored_with_their_label(gestures):
    found = build("dvs-gesture", gestures, size=32)
    plain, label = found[4]
    assert found.classes[label] == "right arm clockwise"
    kinds = set()
    for seed in range(40):
        frames, new = found.view(4, np.random.default_rng(seed))
        again, _ = found.view(4, np.random.default_rng(seed))
        assert np.array_equal(frames, again)
        source = plain if new == label else plain[..., ::-1]
        moves = [
            (down, across)
            for down in range(-5, 6)
            for across in range(-5, 6)
            if np.array_equal(frames, np.roll(source, (down, across), (-2, -1)))
        ]
        assert len(moves) == 1
        kinds.add((new, *moves[0]))
    assert {kind[0] for kind in kinds} == {label, 6}
    assert found.classes[6] == "left arm counter-clockwise"
    assert {-5, 5} <= {kind[1] for kind in kinds} | {kind[2] for kind in kinds}
    still = build("dvs-gesture", gestures, size=32, augment=EventAugment(flip=False, roll=0))
    assert np.array_equal(still.view(4, np.random.default_rng(0))[0], plain)


@pytest.mark.parametrize("name", KINDS)
def test_a_mirror_twice_is_the_same_class(name):
    kind = KINDS[name]
    assert [kind.mirrored[label] for label in kind.mirrored] == list(range(len(kind.classes)))
    swapped = {"left": "right", "right": "left", "clockwise": "counter-clockwise",
               "counter-clockwise": "clockwise"}  # fmt: skip
    for label, text in enumerate(kind.classes):
        mirrored = " ".join(swapped.get(word, word) for word in text.split())
        assert kind.classes[kind.mirrored[label]] == mirrored


def test_batches_of_events_resume_and_do_not_depend_on_workers(gestures):
    source = build("dvs-gesture", gestures, size=16)
    order = BatchOrder(length=len(source), batch=6, seed=1)
    options = {"seed": 2, "label_smoothing": 0.1}
    whole = list(islice(event_batches(source, order, **options), 6))
    assert whole[0][0].shape == (4, 6, 2, 16, 16)
    assert torch.allclose(whole[0][1].sum(1), torch.ones(6))
    later = event_batches(source, order, 3, workers=1, start_method="fork", **options)
    for one, other in zip(whole[3:], islice(later, 3), strict=True):
        assert all(map(torch.equal, one, other))
    later.close()
    found = list(event_evaluation_batches(source, 6))
    assert [len(labels) for _, labels in found] == [6, 6, 6, 4]
    assert torch.cat([labels for _, labels in found]).tolist() == source.labels.tolist()
    assert np.array_equal(found[0][0][:, 2].numpy(), source[2][0])


# What is refused


@pytest.fixture
def no_download(monkeypatch):
    """Fail where Tonic would fetch anything."""

    def fetch(*args, **kwargs):
        raise AssertionError("fetched")

    monkeypatch.setattr("tonic.dataset.download_and_extract_archive", fetch)


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_fetched_unless_asked_for(tmp_path, name, no_download):
    with pytest.raises(RecordingError, match=f"no recordings in .*{KINDS[name].tonic}.*download=T"):
        build(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AssertionError, match="fetched"):
        build(name, tmp_path, download=True)


def test_what_is_there_is_not_fetched_again(gestures, no_download):
    assert len(build("dvs-gesture", gestures, download=True)) == 22


def test_damaged_recordings_are_refused_by_name(gestures, cifar, tmp_path):
    found = build("dvs-gesture", gestures)
    good = np.load(found.path(0))

    def refuse(words, source=found):
        with pytest.raises(RecordingError, match=words):
            source[0]

    for content, words in (
        (good[:0], r"0.npy has 0 events in 0 microseconds"),
        (good[:1], "1 events in 0 microseconds, which cannot be cut into 4"),
        (good - (0, -100, 0, 0), r"events from y = 1\d\d to 2\d\d. The camera has pixels 0 to 127"),
        (good - (100, 0, 0, 0), "events from x = -"),
        (good[:, :3], "cannot be read"),
        (np.array([{}]), r"cannot be read \(Object arrays cannot be loaded"),
    ):
        np.save(found.path(0), content)
        refuse(words)
    found.path(0).write_bytes(b"")
    refuse("0.npy cannot be read")
    copy = tmp_path / "CIFAR10DVS" / "cat"
    copy.mkdir(parents=True)
    whole = next((cifar / "CIFAR10DVS" / "cat").iterdir()).read_bytes()
    (copy / "a.aedat4").write_bytes(whole[:-100])
    refuse(r"a.aedat4 cannot be read .*truncated", build("cifar10-dvs", tmp_path))


def test_events_out_of_order_are_sorted(gestures):
    found = build("dvs-gesture", gestures)
    frames, _ = found[0]
    np.save(found.path(0), np.load(found.path(0))[::-1])
    assert np.array_equal(found[0][0], frames)


def test_other_folders_are_refused(gestures, tmp_path):
    place = gestures / "DVSGesture" / "ibmGestureTrain"
    (place / "more").mkdir()
    with pytest.raises(RecordingError, match="has a folder or file that DVSGesture does not have"):
        build("dvs-gesture", gestures)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "n-mnist"}, "cifar10-dvs and dvs-gesture with the parts"),
        ({"part": "val"}, "'val'"),
        ({"steps": 0}, "steps and a size of at least 1"),
        ({"size": 0}, "at least 1"),
        ({"split_seed": -1}, "split_seed of at least 0"),
    ],
)
def test_arguments_without_meaning_are_refused(tmp_path, options, words, without_shape_checks):
    with pytest.raises(ValueError, match=words):
        build(**({"name": "dvs-gesture", "root": tmp_path} | options))
    with pytest.raises(ValueError, match="roll must be 0"):
        EventAugment(roll=-1)
