"""The three arrangements of DSEC on disk: found, read alike, and what lies beside the events."""

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from reference.pairs import OFFSET_US

from data import RecordingError
from data.dsec import DsecRecording, find_sequences, write_dsec
from data.dsec.layout import is_sequence, sequence_paths
from data.formats import open_recording
from data.recording import CAMERAS

NAME = "zurich_city_04_a"
FAR_US = OFFSET_US + 10**9


def add_extras(sequence):
    """Add what the writer does not make: frames' folders, their stamps, the LiDAR's place."""
    for camera in CAMERAS:
        (sequence / "images" / camera / "rectified").mkdir(parents=True)
    stamps = [OFFSET_US + 50_000 * n for n in range(5)]
    (sequence / "images" / "timestamps.txt").write_text("\n".join(map(str, stamps)) + "\n")
    turn = np.eye(4)
    turn[:3, 3] = 0.448, 0.255, -0.215
    text = yaml.safe_dump({"T_lidar_camRect1": turn.tolist()})
    (sequence / "calibration" / "cam_to_lidar.yaml").write_text(text)


def loader(source, root):
    target = root / "train" / NAME
    shutil.copytree(source, target)
    return target


def zips(source, root, inner=True):
    for kind in ("events", "calibration", "images", "disparity"):
        target = root / f"train_{kind}" / NAME
        shutil.copytree(source / kind, target / kind if inner else target)
    return root / "train_events" / NAME


def bare_zips(source, root):
    return zips(source, root, inner=False)


def tonic(source, root, prefix=""):
    target = root / "DSEC" / NAME
    for camera in CAMERAS:
        shutil.copytree(source / "events" / camera, target / f"{prefix}events_{camera}")
        images = source / "images" / camera / "rectified"
        shutil.copytree(images, target / f"{prefix}images_rectified_{camera}")
    shutil.copytree(source / "disparity" / "event", target / f"{prefix}disparity_event")
    shutil.copytree(source / "calibration", target / f"{prefix}calibration")
    for kind, file in (("disparity", "disparity"), ("image", "images")):
        place = target if prefix else target / f"{kind}_timestamps"
        place.mkdir(exist_ok=True)
        stamps = source / file / "timestamps.txt"
        shutil.copy(stamps, place / f"{NAME}_{kind}_timestamps.txt")
    return target


def archives(source, root):
    return tonic(source, root, prefix=f"{NAME}_")


ARRANGEMENTS = {
    loader: "loader", zips: "zips", bare_zips: "zips", tonic: "tonic", archives: "tonic",
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory, pair):
    path = tmp_path_factory.mktemp("layouts") / NAME
    write_dsec(path, **pair)
    add_extras(path)
    return path


@pytest.fixture(params=ARRANGEMENTS, ids=lambda make: make.__name__)
def arranged(request, tmp_path, source):
    """Give the arrangement's name, the root and the folder of the sequence."""
    root = tmp_path / "data set"
    return ARRANGEMENTS[request.param], root, request.param(source, root)


# ---- reading


def test_every_arrangement_reads_the_same(arranged, source):
    arrangement, _, folder = arranged
    expected = DsecRecording(source)
    with open_recording(folder) as recording:
        assert isinstance(recording, DsecRecording)
        assert recording.paths.arrangement == arrangement
        assert (recording.name, recording.layout) == (NAME, "dsec")
        for name in ("width", "height", "span_us", "calibration", "total"):
            assert getattr(recording, name) == getattr(expected, name)
        for camera in CAMERAS:
            ours = recording.events(camera, OFFSET_US, FAR_US)
            theirs = expected.events(camera, OFFSET_US, FAR_US)
            for name in "txyp":
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            np.testing.assert_array_equal(
                recording.rectify_map(camera), expected.rectify_map(camera)
            )
            assert recording.paths.images[camera].is_dir()
        np.testing.assert_array_equal(recording.disparity_t_us, expected.disparity_t_us)
        assert [p.name for p in recording.disparity_files] == [
            "000000.png", "000002.png", "000004.png"
        ]  # fmt: skip
        np.testing.assert_array_equal(recording.disparity(2), expected.disparity(2))
        assert recording.image_t_us.tolist() == [OFFSET_US + 50_000 * n for n in range(5)]
        frames = [int(path.stem) for path in recording.disparity_files]
        np.testing.assert_array_equal(recording.image_t_us[frames], recording.disparity_t_us)
        assert recording.cam_to_lidar[:3, 3].tolist() == [0.448, 0.255, -0.215]
        assert recording.submission is None


def test_sequences_are_found_from_any_folder_above(arranged):
    arrangement, root, folder = arranged
    for start in (root.parent, root, folder.parent, folder):
        (found,) = find_sequences(start)
        assert (found.name, found.folder, found.arrangement) == (NAME, folder, arrangement)
    (found,) = find_sequences(str(root), "secff-train")
    with DsecRecording(found) as recording:
        assert recording.path == folder


def test_a_record_of_paths_is_frozen_and_names_what_is_missing(arranged):
    _, _, folder = arranged
    paths = sequence_paths(folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        paths.name = "x"
    paths.maps["left"].unlink()
    paths.events["right"].unlink()
    again = sequence_paths(folder)
    assert (again.maps, again.events) == (paths.maps, paths.events)
    with pytest.raises(RecordingError, match=r"There is no .*events.h5. .*both cameras"):
        DsecRecording(folder)


def test_one_missing_thing_at_a_time(arranged):
    _, _, folder = arranged
    for kind, attribute, none in [
        ("cam_to_lidar", "cam_to_lidar", None),
        ("calibration", "calibration", None),
        ("image_timestamps", "image_t_us", []),
    ]:
        getattr(sequence_paths(folder), kind).unlink()
        value = getattr(DsecRecording(folder), attribute)
        assert (value if none is None else value.tolist()) == none
    shutil.rmtree(sequence_paths(folder).disparity)
    with pytest.raises(RecordingError, match="0 images in a folder disparity/event that is"):
        DsecRecording(folder)
    sequence_paths(folder).disparity_timestamps.unlink()
    assert DsecRecording(folder).disparity_t_us.tolist() == []


def test_the_folder_may_be_here_or_a_link(arranged, monkeypatch, tmp_path):
    _, _, folder = arranged
    monkeypatch.chdir(folder)
    for path in (".", "../" + NAME, "./"):
        assert DsecRecording(path).name == NAME
    (tmp_path / "interlaken_00_c").symlink_to(folder)
    linked = DsecRecording(tmp_path / "interlaken_00_c")
    assert linked.name == "interlaken_00_c"
    assert linked.disparity_t_us.size == 3
    assert linked.calibration == DsecRecording(folder).calibration


def test_what_is_no_sequence(tmp_path):
    (tmp_path / "train_disparity" / NAME / "disparity" / "event").mkdir(parents=True)
    folder = tmp_path / "train_disparity" / NAME
    assert not is_sequence(folder)
    assert sequence_paths(folder) is None
    with pytest.raises(RecordingError, match=f"{NAME} is no DSEC sequence. Expected events/left"):
        DsecRecording(folder)
    with pytest.raises(RecordingError, match="does not hold a DSEC sequence. Looked for"):
        find_sequences(tmp_path)
    with pytest.raises(RecordingError, match="There is no folder .*gone"):
        find_sequences(tmp_path / "gone")


# ---- test sequences


@pytest.mark.parametrize(
    "place",
    [
        "test/{0}/{0}.csv",
        "test_disparity_timestamps/{0}.csv",
        "test/test_disparity_timestamps/{0}.csv",
        "test/{0}.csv",
    ],
)
def test_the_csv_of_a_test_sequence_is_found(tmp_path, sequence, place):
    name = "interlaken_00_a"
    shutil.rmtree(sequence / "disparity")
    (tmp_path / "root" / "test").mkdir(parents=True)
    folder = sequence.rename(tmp_path / "root" / "test" / name)
    assert DsecRecording(folder).submission is None
    csv = tmp_path / "root" / place.format(name)
    csv.parent.mkdir(exist_ok=True)
    csv.write_text("# timestamp_us, file_index\n53193302164, 20\n53194302164, 40\n")
    recording = DsecRecording(folder)
    assert recording.paths.part == "test"
    assert recording.submission.t_us.tolist() == [53193302164, 53194302164]
    assert recording.submission.file_index.tolist() == [20, 40]
    assert recording.disparity_t_us.size == 0


def test_the_csv_beside_unpacked_archives(tmp_path, sequence):
    shutil.rmtree(sequence / "disparity")
    root = tmp_path / "root"
    shutil.copytree(sequence / "events", root / "test_events" / "thun_01_a" / "events")
    (root / "test_disparity_timestamps").mkdir()
    (root / "test_disparity_timestamps" / "thun_01_a.csv").write_text("5, 20\n")
    (found,) = find_sequences(root, "test")
    assert DsecRecording(found).submission.file_index.tolist() == [20]
