"""Atomic writes: contents, what a failure leaves, no litter."""

import json

import cv2
import numpy as np
import pytest

from stereo.atomic import replacing, write_bytes, write_json, write_png


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, failure):
    with replacing(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise failure


def test_json_round_trip(tmp_path):
    document = {"a": [1, 2.5, None], "b": "text"}
    write_json(tmp_path / "x.json", document)
    assert json.loads((tmp_path / "x.json").read_text()) == document
    assert files(tmp_path) == ["x.json"]


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert (tmp_path / "x.json").read_text() == "1\n"
    assert files(tmp_path) == ["x.json"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_leaves_no_litter(tmp_path, failure):
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")
    with pytest.raises(failure):
        write_half(path, failure)
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["x.bin"]


def test_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.suffix == ".bin"
    assert path.read_bytes() == b"new"


def test_png_holds_16_bits(tmp_path):
    image = np.array([[0, 1], [256, 65535]], np.uint16)
    write_png(tmp_path / "x.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED), image)


def test_png_is_rgb(tmp_path):
    image = np.array([[[255, 0, 1]]], np.uint8)
    write_png(tmp_path / "x.png", image)
    assert cv2.imread(str(tmp_path / "x.png"))[0, 0].tolist() == [1, 0, 255]


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_bytes(tmp_path / "no" / "x.bin", b"")
