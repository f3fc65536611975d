"""Choosing the reader, and saying why there is none."""

import shutil

import numpy as np
import pytest

from data import RecordingError
from data.dsec import DsecRecording
from data.formats import LAYOUTS, open_recording
from data.npz import NpzRecording
from data.recording import GENERATED_MARK, is_generated


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "pair.npz"
    table = np.array([[0, 1, 2, 1], [9, 3, 4, 0]])
    np.savez(path, left=table, right=table)
    return path


def refuse(path, message):
    with pytest.raises(RecordingError, match=message) as caught:
        open_recording(path)
    assert "\n" not in str(caught.value)


# ---- choosing


def test_each_layout_is_found(npz, sequence):
    with open_recording(str(npz)) as recording:
        assert isinstance(recording, NpzRecording)
    with open_recording(sequence) as recording:
        assert isinstance(recording, DsecRecording)
    names = [layout.name for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    assert {NpzRecording.layout, DsecRecording.layout, "mvsec", "pair"} <= set(names)


def test_the_home_folder(npz, monkeypatch):
    monkeypatch.setenv("HOME", str(npz.parent))
    monkeypatch.setenv("USERPROFILE", str(npz.parent))
    assert open_recording("~/pair.npz").name == "pair"


@pytest.mark.parametrize("place", ["hall_00_a", "train/hall_00_a"])
def test_the_only_sequence_of_a_folder(tmp_path, sequence, place):
    root = tmp_path / "root"
    (root / place).parent.mkdir(parents=True)
    sequence.rename(root / place)
    assert open_recording(root).name == "hall_00_a"


# ---- errors


def test_nothing_there(tmp_path):
    refuse(tmp_path / "gone", r"nothing at .*gone. Give the path of a recording: a file \*.npz")


def test_a_folder_that_is_no_recording(tmp_path):
    refuse(tmp_path, r"is no recording. Looked for a file .*the folder holds nothing")
    for n in range(15):
        (tmp_path / f"note{n:02d}.txt").touch()
    refuse(tmp_path, r"events/left/events.h5 .*holds note00.txt, .*note11.txt and 3 more")


def test_a_file_of_an_unknown_kind(tmp_path, sequence):
    (tmp_path / "sample.raw").write_bytes(b"%evt 3.0")
    refuse(tmp_path / "sample.raw", r"sample.raw is a file of an unknown kind. Expected a file")
    inside = sequence / "events" / "left" / "events.h5"
    refuse(inside, r"one part of a DSEC sequence: give the folder .*hall_00_a\.")


def test_a_root_with_several_sequences(tmp_path, sequence):
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    shutil.copytree(sequence, root / "train" / "hall_00_b")
    shutil.copytree(sequence, root / "train" / "hall_00_c")
    message = "holds 2 sequences. Choose one of them, for example .*hall_00_b"
    refuse(root, rf"{message}: train/hall_00_b, train/hall_00_c\.")
    refuse(root / "train", rf"{message}: hall_00_b, hall_00_c\.")


def test_one_camera_is_recognized_and_refused_by_the_reader(sequence):
    shutil.rmtree(sequence / "events" / "left")
    refuse(sequence, r"There is no .*left/events.h5.*stereo needs both cameras")


def test_generated_data_is_known_by_its_mark_wherever_one_points(tmp_path):
    folder = tmp_path / "root" / "scene"
    (folder / "events").mkdir(parents=True)
    places = [folder, tmp_path / "root", folder / "scene1_data.hdf5"]
    assert not any(is_generated(place) for place in places)
    (folder / GENERATED_MARK).write_text("{}")
    assert all(is_generated(place) for place in places)
    (tmp_path / "root" / "other").mkdir()
    assert not is_generated(tmp_path / "root"), "one of two says nothing of the other"
