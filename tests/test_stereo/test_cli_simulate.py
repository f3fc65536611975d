"""``stereo simulate``: scenes, sensors, pictures, layouts, suites, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from reference.commands import call, check_refusal

from data.simulator import suite as suites

SMALL = ("--seed", 1, "--duration", 0.1, "--width", 48, "--height", 36)


def test_a_recording_says_how_it_was_made(tmp_path):
    for layout in ("dsec", "mvsec"):
        result = call(
            "simulate", tmp_path / layout, "--scene", "boxes", "--sensor", "noisy", "--dense",
            "--layout", layout, *SMALL, "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert (document["scene"], document["sensor"], document["dense"]) == (
            "boxes",
            "noisy",
            True,
        )
        assert document["generated"] is True
        assert document["steps"]["floored"] == 0
        assert 0 < document["steps"]["largest_motion_px"] <= 0.5
        mark = json.loads((tmp_path / layout / "generated.json").read_text())
        assert mark["sensor"] == "noisy"
        assert mark["events"] == document["events"]


def test_without_json_it_prints_a_line(tmp_path):
    result = call("simulate", tmp_path / "a", "--scene", "planes", "--sensor", "clean", *SMALL)
    assert result.exit_code == 0, result.output
    assert "right events in 0.1 s" in result.stdout


def test_pictures_become_textures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    cv2.imwrite(str(folder / "a.png"), noise)
    wish = ("--scene", "photos", "--sensor", "clean", *SMALL)
    result = call("simulate", tmp_path / "a", *wish, "--textures", folder, "--json")
    assert result.exit_code == 0, result.output
    (folder / "a.png").write_bytes(b"no picture")
    check_refusal(
        call("simulate", tmp_path / "b", *wish, "--textures", folder), "a.png cannot be decoded"
    )
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (("--scene", "moon"), r"Unknown scene 'moon'; known: boxes, .*thin, toss"),
        (("--sensor", "x"), "Unknown sensor 'x'; known: clean, default, noisy"),
        (("--scene", "photos"), "'photos' is painted with pictures.*--textures"),
        (("--scene", "photos", "--textures", "nowhere"), "nowhere is no folder"),
        (("--duration", "0"), "0.1 to 600 seconds"),
        (("--part", "test"), "--part and --geometry belong to --suite"),
        (("--suite", "x"), "Unknown suite 'x'; known: stereo-bench"),
        (("--suite", "stereo-bench", "--part", "x"), "Unknown part .*train, validation, test"),
        (("--suite", "stereo-bench", "--geometry", "x"), "Unknown geometry 'x'; known: mvsec"),
    ],
)
def test_refusals_list_what_exists(tmp_path, wish, sentence):
    check_refusal(call("simulate", tmp_path / "new", *wish), sentence)
    assert not (tmp_path / "new").exists()


def test_textures_are_refused_by_scenes_that_paint_their_own(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9), np.uint8))
    check_refusal(
        call("simulate", tmp_path / "new", "--scene", "boxes", "--textures", tmp_path),
        "'boxes' paints its own textures.*photos",
    )


def test_a_suite_is_made_and_kept(tmp_path, monkeypatch):
    tiny = suites.Suite(
        name="tiny", revision=1, families=("planes",), picture_families=(), sensors=("clean",),
        parts={"train": (1, 0.1), "validation": (1, 0.1), "test": (1, 0.1)},
    )  # fmt: skip
    monkeypatch.setitem(suites.SUITES, "tiny", tiny)
    monkeypatch.setitem(suites.GEOMETRIES, "dsec", (48, 36))
    wish = ("--suite", "tiny", "--geometry", "dsec", "--part", "test", "--part", "train")
    first = call("simulate", tmp_path / "bench", *wish, "--json")
    assert first.exit_code == 0, first.output
    document = json.loads(first.stdout)
    recordings = document["geometries"]["dsec"]["recordings"]
    assert sorted(recordings) == ["test/planes_clean_00", "train/planes_clean_00"]
    again = json.loads(call("simulate", tmp_path / "bench", *wish, "--json").stdout)
    assert again["geometries"] == document["geometries"]
    shown = call("simulate", tmp_path / "bench", *wish)
    assert "2 recordings, 0.2 s of generated data" in shown.stdout
