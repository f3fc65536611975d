"""Photographs as textures: what they become, and what is said of those that cannot be used."""

import cv2
import numpy as np
import pytest

from data import RecordingError
from data.dsec import DsecRecording
from data.simulator import simulate_dsec
from data.simulator.pictures import DARKEST, MIDDLE, SIZE, PictureFolder, load_picture


def save(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def test_gray_becomes_the_logarithm_of_linear_light(tmp_path):
    """sRGB 188 is half of white's light; the middle gray of 18 % is log radiance 0."""
    tile = load_picture(save(tmp_path / "a.png", np.full((40, 60), 188, np.uint8)))
    assert tile.shape == (SIZE, SIZE)
    assert tile.dtype == np.float32
    assert np.allclose(tile, np.log((0.5029 + DARKEST) / MIDDLE), atol=1e-3)
    black = load_picture(save(tmp_path / "b.png", np.zeros((8, 8), np.uint8)))
    assert np.allclose(black, np.log(DARKEST / MIDDLE))
    deep = load_picture(save(tmp_path / "c.png", np.full((8, 8), 188 * 257, np.uint16)))
    assert np.allclose(deep, tile[0, 0], atol=1e-3)


def test_color_becomes_luminance_and_alpha_is_ignored(tmp_path):
    green = np.zeros((9, 9, 3), np.uint8)
    green[..., 1] = 255
    tile = load_picture(save(tmp_path / "a.png", green))
    assert np.allclose(tile, np.log((0.7152 + DARKEST) / MIDDLE), atol=1e-3)
    clear = np.dstack([green, np.zeros((9, 9), np.uint8)])
    assert np.array_equal(load_picture(save(tmp_path / "b.png", clear)), tile)


def test_enlarging_leaves_no_steps_of_eight_bits(tmp_path):
    ramp = np.tile(np.linspace(100, 110, 16).astype(np.uint8), (16, 1))
    tile = load_picture(save(tmp_path / "a.png", ramp))
    assert len(np.unique(tile[SIZE // 2])) > 100


def test_the_middle_square_is_taken(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    tile = load_picture(save(tmp_path / "a.png", wide))
    assert tile[SIZE // 2, 30:-30].min() > 1.6


def test_damaged_pictures_are_named(tmp_path):
    good = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8)).read_bytes()
    rng = np.random.default_rng(0)
    for k in range(60):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        path = tmp_path / "b.png"
        path.write_bytes(
            bytes(damaged[: int(rng.integers(0, len(good) + 1))] if k % 2 else damaged)
        )
        said = ""
        try:
            assert np.isfinite(load_picture(path)).all()
        except RecordingError as error:
            said = str(error)
        assert not said or "b.png" in said
    (tmp_path / "c.png").write_bytes(b"")
    for name in ("c.png", "d.png"):
        with pytest.raises(RecordingError, match=rf"{name} cannot be"):
            load_picture(tmp_path / name)


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="is no folder"):
        PictureFolder(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(RecordingError, match=r"no pictures in .*\.png"):
        PictureFolder(tmp_path)


def test_draws_are_varied_and_reproducible(tmp_path):
    for k in range(4):
        save(tmp_path / f"{k}.png", np.full((8, 8), 50 * k + 10, np.uint8))
    folder = PictureFolder(tmp_path)
    drawn = folder(np.random.default_rng(3), 6)
    assert np.array_equal(drawn, folder(np.random.default_rng(3), 6))
    assert len(np.unique(drawn[:4, 0, 0])) == 4
    before = folder.digest
    save(tmp_path / "0.png", np.full((8, 8), 77, np.uint8))
    assert PictureFolder(tmp_path).digest != before


def test_a_recording_of_real_photographs(real_data, tmp_path):
    pictures = PictureFolder(real_data / "textures")
    counts = simulate_dsec(
        tmp_path / "r", scene="photos", seed=2, duration_s=0.1, width=96, height=72,
        sensor="clean", pictures=pictures, dense=True,
    )  # fmt: skip
    assert counts["left"] > 2000
    with DsecRecording(tmp_path / "r") as recording:
        assert (recording.disparity(1) > 0).mean() > 0.5
    for pair in sorted((real_data / "stereo_pairs").iterdir()):
        if pair.is_dir():
            assert np.isfinite(load_picture(pair / "im2.png")).all()
