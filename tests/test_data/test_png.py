"""Grey PNG images: exact numbers, and damage that OpenCV alone would not notice or survive."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import RecordingError
from data.png import png_fault, read_png


def encoded(image):
    return cv2.imencode(".png", image)[1].tobytes()


def grey(rng, dtype, shape=(9, 14)):
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (260, 346)])
def test_numbers_come_back_exactly(tmp_path, dtype, shape):
    image = grey(np.random.default_rng(0), dtype, shape)
    (tmp_path / "a.png").write_bytes(encoded(image))
    found = read_png(tmp_path / "a.png", wanted="an image")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_noticed(data):
    content = bytearray(encoded(grey(np.random.default_rng(1), np.uint8)))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    assert png_fault(bytes(content)) is not None


@given(st.integers(0, 200))
def test_any_cut_is_noticed(length):
    content = encoded(grey(np.random.default_rng(2), np.uint16))
    assert png_fault(content) is None
    assert png_fault(content[: min(length, len(content) - 1)]) is not None


def with_header(columns, rows, depth=8, color=0):
    """Return an image whose header claims something else, with a right checksum."""
    content = bytearray(encoded(grey(np.random.default_rng(3), np.uint8)))
    content[16:26] = struct.pack(">IIBB", columns, rows, depth, color)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_header(1 << 30, 1 << 30), "1073741824 rows and 1073741824 columns"),
        (with_header(0, 5), "5 rows and 0 columns"),
        (with_header(14, 9, color=2), "8-bit color"),
        (with_header(14, 9, depth=1), "1-bit grey"),
        (b"", "0 bytes"),
        (b"GIF89a", "no PNG image"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
        (encoded(np.zeros((4, 4, 3), np.uint8)), "8-bit color"),
        (with_header(4_000, 4_000), "cannot be decoded"),
    ],
)
def test_files_that_are_no_such_image(tmp_path, content, message, capfd):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RecordingError, match=f"{message}.*Expected a map; copy or make"):
        read_png(tmp_path / "a.png", wanted="a map")


def test_no_file(tmp_path):
    with pytest.raises(RecordingError, match="cannot be read .*Expected a map"):
        read_png(tmp_path / "a.png", wanted="a map")
