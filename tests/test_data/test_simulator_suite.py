"""The benchmark suite: parts that share nothing, runs that go on, a manifest that tells all."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest

from data import RecordingError
from data.formats import open_recording
from data.simulator import suite as suites
from data.simulator.mvsec import mvsec_rig
from data.simulator.recordings import dsec_rig
from data.simulator.scenes import find_scene
from data.simulator.suite import PARTS, SUITES, Suite, entries, find_suite, make_suite

BENCH = SUITES["stereo-bench"]
SMALL = Suite(
    name="small", revision=1, families=("planes", "boxes"), picture_families=("photos",),
    sensors=("clean",), parts={"train": (1, 0.1), "validation": (1, 0.1), "test": (1, 0.1)},
)  # fmt: skip


@pytest.fixture
def small_sensors(monkeypatch):
    monkeypatch.setitem(suites.GEOMETRIES, "mvsec", (48, 36))
    monkeypatch.setitem(suites.GEOMETRIES, "dsec", (48, 36))


def fingerprints(entry, rig):
    """Return hashes of every texture, and every number that places or moves a body or the rig."""
    rng = np.random.default_rng(entry.take.seed).spawn(3)[0]
    world = find_scene(entry.take.scene)(rng, rig)
    tiles = {hashlib.sha256(tile.tobytes()).hexdigest() for tile in world.textures}
    geometry = set()
    for body in world.bodies:
        geometry |= {("center", *body.center), ("tilt", *body.tilt), ("path", repr(body.path))}
    geometry.add(("motion", repr(world.motion)))
    # A ground plane is placed by chance too, but zeros and absent paths are common to all.
    empty = {("path", "None"), ("tilt", 0.0, 0.0, 0.0)}
    return tiles, geometry - empty


@pytest.mark.parametrize("geometry", ["mvsec", pytest.param("dsec", marks=pytest.mark.slow)])
def test_parts_share_no_texture_and_no_geometry(geometry):
    rig = (mvsec_rig if geometry == "mvsec" else dsec_rig)(*suites.GEOMETRIES[geometry])
    tiles, places = {}, {}
    for part in PARTS:
        found = [fingerprints(entry, rig) for entry in entries(BENCH, geometry, [part])]
        tiles[part] = set().union(*(f[0] for f in found))
        places[part] = set().union(*(f[1] for f in found))
        assert len(tiles[part]) > 60 if part == "train" else len(tiles[part]) > 40
        assert sum(len(f[0]) for f in found) == len(tiles[part]), "nor do its recordings"
    for one, other in combinations(PARTS, 2):
        assert not tiles[one] & tiles[other]
        assert not places[one] & places[other]


def test_the_suite_is_what_it_says():
    for geometry, size in suites.GEOMETRIES.items():
        found = entries(BENCH, geometry)
        assert {(e.take.width, e.take.height) for e in found} == {size}
        assert {e.take.sensor for e in found} == {"clean", "noisy"}
        assert {e.take.scene for e in found} == {
            "planes", "boxes", "spheres", "ground", "thin", "repetitive",
        }  # fmt: skip
        assert len({e.take.seed for e in found}) == len(found) == 48
        assert len({(e.part, e.name) for e in found}) == len(found)
        assert all(e.take.dense for e in found)
    seeds = [{e.take.seed for e in entries(BENCH, g)} for g in suites.GEOMETRIES]
    assert len(set().union(*seeds)) == 48 * len(seeds)


def test_seeds_never_change():
    """Whoever changes these changes the suite: raise its revision."""
    first = entries(BENCH, "mvsec", ["test"])[0]
    assert (first.name, first.take.seed) == ("planes_clean_00", PINNED_SEED)


PINNED_SEED = 2519919958


def test_it_is_made_read_and_resumed(tmp_path, small_sensors, monkeypatch):
    seen = []
    made = make_suite(tmp_path, SMALL, geometry="dsec", progress=lambda *now: seen.append(now))
    assert sorted(made["recordings"]) == [f"{p}/{f}_clean_00" for p in sorted(PARTS)
                                          for f in ("boxes", "planes")]  # fmt: skip
    assert "generated data" in made["generated"]
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == pytest.approx(seen[-1][1]) == pytest.approx(0.6)
    for title, entry in made["recordings"].items():
        with open_recording(tmp_path / "dsec" / title) as recording:
            assert recording.total == entry["events"]
            assert recording.layout == "dsec"
        assert entry["steps"]["floored"] == 0
        assert entry["generated"] if "generated" in entry else entry["settings_hash"]
    assert json.loads((tmp_path / "dsec" / "manifest.json").read_text()) == made
    times = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("events.h5")}
    victim = tmp_path / "dsec" / "test" / "boxes_clean_00"
    for path in sorted(victim.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    victim.rmdir()
    (tmp_path / "dsec" / "manifest.json").unlink()
    assert make_suite(tmp_path, SMALL, geometry="dsec") == made
    changed = [f for f, t in times.items() if f.stat().st_mtime_ns != t]
    assert {f.parents[2] for f in changed} == {victim}


def test_mvsec_geometry_has_mvsec_layout(tmp_path, small_sensors):
    made = make_suite(tmp_path, SMALL, geometry="mvsec", parts=["validation"])
    assert sorted(made["recordings"]) == ["validation/boxes_clean_00", "validation/planes_clean_00"]
    with open_recording(tmp_path / "mvsec" / "validation" / "boxes_clean_00") as recording:
        assert recording.layout == "mvsec"


def test_pictures_are_shared_out_between_the_parts(tmp_path, small_sensors):
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(7):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((20, 30), 30 * k + 5, np.uint8))
    found = entries(SMALL, "dsec", PARTS, folder)
    files = {e.part: {f.name for f in e.take.pictures.files} for e in found if e.take.pictures}
    assert {e.take.scene for e in found} == {"planes", "boxes", "photos"}
    assert not files["train"] & files["test"]
    assert not files["validation"] & files["test"]
    assert set().union(*files.values()) == {f"{k}.png" for k in range(7)}
    for k in range(5):
        (folder / f"{k}.png").unlink()
    with pytest.raises(RecordingError, match="only 2 pictures.*3 parts"):
        entries(SMALL, "dsec", PARTS, folder)


def test_what_stands_in_the_way_is_not_touched(tmp_path, small_sensors):
    place = tmp_path / "dsec" / "train" / "planes_clean_00"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("keep")
    with pytest.raises(RecordingError, match="is not the recording that belongs there"):
        make_suite(tmp_path, SMALL, geometry="dsec")
    assert (place / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("damage", ["{", "[]", '{"recordings": 3}'])
def test_a_damaged_manifest_is_said(tmp_path, small_sensors, damage):
    (tmp_path / "dsec").mkdir()
    (tmp_path / "dsec" / "manifest.json").write_text(damage)
    with pytest.raises(RecordingError, match="manifest.json is missing or damaged"):
        make_suite(tmp_path, SMALL, geometry="dsec", parts=["test"])


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="Unknown suite 'x'; known: stereo-bench"):
        find_suite("x")
    with pytest.raises(RecordingError, match="Unknown geometry 'x'; known: mvsec, dsec"):
        entries(BENCH, "x")
    with pytest.raises(RecordingError, match=r"Unknown part \['x'\]; known: train, validation"):
        entries(BENCH, "dsec", ["test", "x"])
