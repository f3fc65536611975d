"""MVSEC's layout from the command line: simulate it, infer on it."""

import json

from reference.commands import call, check_refusal


def test_simulate_and_infer_mvsec(tiny_run, tmp_path):
    size = ("--width", 64, "--height", 48)
    arguments = ("--layout", "mvsec", "--scene", "room", "--seed", 3, "--duration", 0.2)
    result = call("simulate", tmp_path / "new", *arguments, *size, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["layout"] == "mvsec"
    assert document["path"] == str(tmp_path / "new")
    assert document["events"]["left"] > 0
    assert (tmp_path / "new" / "generated_room1_data.hdf5").is_file()
    check_refusal(call("simulate", tmp_path / "new", *arguments), "exists already")

    arguments = ("--run", tiny_run, "--out", tmp_path / "out", "--max-windows", 2, "--json")
    result = call("infer", tmp_path / "new", *arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["layout"], document["note"]) == ("mvsec", "generated data")
    assert (document["width"], document["height"]) == (64, 48)
    assert document["accuracy"]["valid_pixels"] > 100
    assert document["dropped_events"] == {"left": 0, "right": 0}


def test_the_size_follows_the_layout(tmp_path):
    """Without a size, each layout has that of its data set."""
    arguments = ("--layout", "mvsec", "--scene", "room", "--duration", 0.1)
    result = call("simulate", tmp_path / "new", *arguments)
    assert result.exit_code == 0, result.output
    maps = next((tmp_path / "new").rglob("*_left_x_map.txt")).read_text().splitlines()
    assert (len(maps), len(maps[0].split())) == (260, 346)
