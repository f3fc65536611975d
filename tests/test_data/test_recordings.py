"""Generated recordings on disk: true layout, determinism, the law of disparity, refusals."""

import hashlib
import json

import numpy as np
import pytest
from reference.slicer import Slicer

from data import RecordingError
from data.dsec import DsecRecording
from data.recording import GENERATED_MARK
from data.simulator import SCENES, builtin_recording, recordings, simulate_dsec
from data.simulator.mvsec import simulate_mvsec
from data.simulator.rays import kernels as rays
from data.simulator.tables import frame_table, solid_table
from data.simulator.take import like_lidar


def make(path, **changes):
    setting = {"scene": "studio", "seed": 4, "duration_s": 0.2, "width": 96, "height": 72}
    return simulate_dsec(path, **(setting | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("generated") / "scene"
    return path, make(path)


def test_it_reads_back_as_dsec(folder):
    path, counts = folder
    with DsecRecording(path) as recording:
        assert (recording.width, recording.height) == (96, 72)
        assert len(recording.disparity_t_us) == 3
        t0 = int(recording.disparity_t_us[0])
        assert t0 == recordings.T_OFFSET_US
        for camera in ("left", "right"):
            events = recording.events(camera, t0, t0 + 1_000_000)
            assert len(events) == counts[camera] > 1000
            assert recording.dropped[camera] == 0
            moved = recording.rectify(camera, events)
            assert np.abs(moved.x - events.x).max() > 0.5, "the lenses are bent"
        assert recording.calibration.baseline_m == pytest.approx(0.6)
    assert json.loads((path / "generated.json").read_text())["scene"] == "studio"


def test_windows_by_number_are_the_last_events_of_the_shared_span(folder):
    path, _ = folder
    with DsecRecording(path) as recording:
        t_us = recording.span_us[1] - 20_000
        everything = recording.events("left", recording.span_us[0], t_us)
        for count in (0, 1, 700, len(everything), len(everything) + 5):
            found = recording.last_events("left", t_us, count)
            expected = everything.take(slice(max(0, len(everything) - count), None))
            assert np.array_equal(found.t, expected.t)
            assert np.array_equal(found.x, expected.x)
        assert len(recording.last_events("left", recording.span_us[0] - 1, 10)) == 0


def test_truth_matches_the_events_better_than_a_wrong_disparity(folder):
    """Warp the right edges by the truth: they agree with the left ones; shifted truth does not."""
    path, _ = folder
    with DsecRecording(path) as recording:
        t1 = int(recording.disparity_t_us[2])
        truth = recording.disparity(2)
        images = {}
        for camera in ("left", "right"):
            events = recording.rectify(camera, recording.events(camera, t1 - 60_000, t1))
            events = events.inside(96, 72)
            image = np.zeros((72, 96))
            places = np.rint(events.y).astype(int), np.rint(events.x).astype(int)
            np.add.at(image, places, np.where(events.p, 1.0, -1.0))
            images[camera] = image
    y, x = np.nonzero(truth)

    def agreement(offset):
        column = np.rint(x - truth[y, x] + offset).astype(int)
        inside = (column >= 0) & (column < 96)
        left = images["left"][y[inside], x[inside]]
        right = images["right"][y[inside], column[inside]]
        return float(np.corrcoef(left, right)[0, 1])

    assert agreement(0) > 0.2
    assert agreement(0) > 2 * max(abs(agreement(offset)) for offset in (-6, -4, 4, 6))


# The self-tests of a generated recording, on new scenes and the noisy sensor.


@pytest.fixture(scope="module", params=["boxes", "spheres"])
def noisy(tmp_path_factory, request):
    path = tmp_path_factory.mktemp("noisy") / "scene"
    return path, make(path, scene=request.param, sensor="noisy", seed=8, duration_s=0.3, dense=True)


def test_an_independent_reader_finds_the_same_events(noisy):
    """The law of the millisecond table, and windows cut as DSEC's own loader cuts them."""
    path, counts = noisy
    rng = np.random.default_rng(0)
    with DsecRecording(path) as recording:
        for camera in ("left", "right"):
            slicer = Slicer(path / "events" / camera / "events.h5")
            slicer.check()
            assert len(slicer.t) == counts[camera]
            assert slicer.offset == recordings.T_OFFSET_US
            starts = slicer.offset + rng.integers(0, 280_000, 12)
            for t0 in (slicer.offset, *starts.tolist()):
                t1 = t0 + int(rng.integers(0, 15_000))
                mine, theirs = recording.events(camera, t0, t1), slicer.events(t0, t1)
                assert theirs is not None
                assert np.array_equal(mine.t, theirs["t"])
                for axis in "xyp":
                    assert np.array_equal(getattr(mine, axis), theirs[axis])
            assert slicer.events(slicer.offset, slicer.offset + 400_000) is None


def test_right_edges_warped_by_the_truth_match_the_left_ones(noisy):
    """Better than under the same disparities given to other pixels."""
    path, _ = noisy
    with DsecRecording(path) as recording:
        t1, truth = int(recording.disparity_t_us[2]), recording.disparity(2)
        edges = {}
        for camera in ("left", "right"):
            events = recording.rectify(camera, recording.events(camera, t1 - 90_000, t1))
            events = events.inside(96, 72)
            edges[camera] = np.zeros((72, 96))
            place = np.rint(events.y).astype(int), np.rint(events.x).astype(int)
            np.add.at(edges[camera], place, np.where(events.p, 1.0, -1.0))
    y, x = np.nonzero(truth)

    def agreement(disparity):
        column = np.rint(x - disparity).astype(int)
        inside = (column >= 0) & (column < 96)
        pair = edges["left"][y[inside], x[inside]], edges["right"][y[inside], column[inside]]
        return float(np.corrcoef(*pair)[0, 1])

    right = agreement(truth[y, x])
    rng = np.random.default_rng(0)
    shuffled = [agreement(rng.permutation(truth[y, x])) for _ in range(20)]
    assert right > 0.2
    assert right > 2 * max(abs(value) for value in shuffled)


def test_stored_truth_is_fb_over_depth_to_a_512th(noisy):
    path, _ = noisy
    mark = json.loads((path / "generated.json").read_text())
    rig = recordings.dsec_rig(96, 72)
    world = SCENES[mark["scene"]](np.random.default_rng(8).spawn(3)[0], rig)
    with DsecRecording(path) as recording:
        truth = recording.disparity(3)
        assert recording.calibration.fb == pytest.approx(rig.calibration.fb)
    solids, near = solid_table(world), np.arange(len(world.bodies))
    frames = frame_table(world, np.array([0.3]), 0.0)
    c = rig.calibration
    assert (truth > 0).mean() > 0.5
    for row, col in np.argwhere(truth > 0)[::31]:
        dx, dy = (col - c.cx_px) / c.focal_px, (row - c.cy_px) / c.focal_px
        z, *_ = rays.cast(frames, 0, near, near.size, solids, dx, dy)
        assert truth[row, col] == pytest.approx(c.fb / z, abs=1 / 512 + 1e-6)


def test_everything_says_that_it_is_generated(noisy, folder, tmp_path):
    for path, _ in (noisy, folder):
        mark = json.loads((path / GENERATED_MARK).read_text())
        assert {"scene", "seed", "sensor", "dense", "settings_hash", "events"} <= set(mark)
    simulate_mvsec(tmp_path / "m", scene="thin", seed=1, duration_s=0.1, width=48, height=36)
    assert json.loads((tmp_path / "m" / GENERATED_MARK).read_text())["scene"] == "thin"


def test_dense_truth_differs_from_sparse_truth_only_in_what_is_missing(tmp_path):
    for name in ("dense", "sparse"):
        make(tmp_path / name, scene="boxes", duration_s=0.1, dense=name == "dense")
    with DsecRecording(tmp_path / "dense") as dense, DsecRecording(tmp_path / "sparse") as sparse:
        full, part = dense.disparity(1), sparse.disparity(1)
        assert (part[part > 0] == full[part > 0]).all()
        assert 0.4 < (part > 0).sum() / (full > 0).sum() < 0.6
        one, other = (r.events("left", r.span_us[0], r.span_us[1] + 1) for r in (dense, sparse))
        assert np.array_equal(one.t, other.t)


def test_equal_arguments_give_equal_files(folder, tmp_path):
    path, _ = folder
    make(tmp_path / "again")

    def digest(root):
        files = sorted(f for f in root.rglob("*") if f.is_file())
        return [
            (str(f.relative_to(root)), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files
        ]

    assert digest(path) == digest(tmp_path / "again")
    make(tmp_path / "other", seed=5)
    assert digest(path) != digest(tmp_path / "other")


def test_about_half_of_the_truth_is_missing_as_in_a_lidar():
    full = np.ones((3, 300, 200), np.float32)
    kept = like_lidar(full, np.random.default_rng(0))
    assert kept.mean() == pytest.approx(0.5, abs=0.05)
    assert (kept.sum(axis=2) == 0).any(), "whole rows are missing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scene": "moon"}, "Unknown scene 'moon'; known: boxes, .*room.*thin"),
        ({"duration_s": 0.0}, "0.1 to 600 seconds"),
        ({"duration_s": float("nan")}, "0.1 to 600 seconds"),
        ({"width": 8}, "32 to 4096 pixels"),
        ({"sensor": "ideal"}, "Unknown sensor 'ideal'; known: clean, default, noisy"),
        ({"scene": "photos"}, "'photos' is painted with pictures"),
    ],
)
def test_senseless_wishes_are_refused(tmp_path, changes, message):
    with pytest.raises(RecordingError, match=message):
        make(tmp_path / "x", **changes)
    (tmp_path / "full").mkdir()
    with pytest.raises(RecordingError, match="exists already"):
        make(tmp_path / "full")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


@pytest.mark.parametrize("scene", sorted(n for n, f in SCENES.items() if not f.needs_pictures))
def test_every_scene_can_be_recorded(tmp_path, scene):
    counts = make(tmp_path / "s", scene=scene, duration_s=0.1, width=48, height=36)
    assert min(counts[camera] for camera in ("left", "right")) > 0


def test_the_builtin_recording_is_made_once(tmp_path, monkeypatch):
    calls = []

    def fake(folder, **setting):
        calls.append(setting)
        folder.mkdir(parents=True)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(recordings, "simulate_dsec", fake)
    first = builtin_recording()
    assert builtin_recording() == first
    assert first.is_relative_to(tmp_path)
    assert [c["seed"] for c in calls] == [recordings.BUILTIN_SEED]
