"""Prophesee raw files: against a slow twin, real recordings and another library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.evt import SKIPPED, evt2_words, evt3_words, raw_bytes, slow_evt2, slow_evt3

from data import RecordingError
from data.cameras.evt import read_evt, read_header
from data.cameras.kernels import decode_evt2, decode_evt3

CASES = {2: (decode_evt2, slow_evt2, "<u4"), 3: (decode_evt3, slow_evt3, "<u2")}


def decode(words, kernel):
    def room(count):
        return (
            np.empty(count, np.int64),
            np.empty(count, np.uint16),
            np.empty(count, np.uint16),
            np.empty(count, np.bool_),
        )

    counts = kernel(words, *room(0))
    columns = room(int(counts[0]))
    np.testing.assert_array_equal(kernel(words, *columns), counts)
    return [tuple(event) for event in zip(*(c.tolist() for c in columns), strict=True)], counts


def assert_as_slow(words, evt):
    kernel, slow, _ = CASES[evt]
    events, counts = decode(words, kernel)
    expected, skipped = slow(words)
    assert events == expected
    assert dict(zip(SKIPPED, counts[1:].tolist(), strict=True)) == skipped


# Kinds are drawn apart from the rest of a word, so that vectors and time words are frequent.
SHORT = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 4095)), max_size=60)
LONG = st.lists(
    st.tuples(st.sampled_from([0, 1, 8, 8, 10, 14, 3, 15]), st.integers(0, 2**28 - 1)), max_size=60
)


@given(SHORT)
def test_evt3_is_what_the_slow_decoder_says(parts):
    assert_as_slow(np.array([kind << 12 | value for kind, value in parts], "<u2"), 3)


@given(LONG)
def test_evt2_is_what_the_slow_decoder_says(parts):
    assert_as_slow(np.array([kind << 28 | value for kind, value in parts], "<u4"), 2)


@pytest.mark.parametrize("evt", CASES)
def test_random_words_and_no_words(evt):
    rng = np.random.default_rng(evt)
    dtype = CASES[evt][2]
    for size in (0, 1, 5_000):
        assert_as_slow(
            rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), size).astype(dtype), evt
        )


def test_a_long_vector_run_saturates_instead_of_coming_back():
    words = np.array([0x8000, 0x6000, 0x0001, 0x3000] + [0x4800] * 5_600, "<u2")
    events, _ = decode(words, decode_evt3)
    columns = [x for _, x, _, _ in events]
    assert columns[:2] == [11, 23]
    assert columns == sorted(columns)
    assert columns[-1] == 65_535


events_in_time = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(0, 639), st.integers(0, 479), st.booleans()),
    min_size=1,
    max_size=50,
)


@pytest.mark.parametrize("evt", CASES)
@settings(max_examples=30)
@given(steps=events_in_time, start=st.integers(0, 2**35))
def test_times_go_on_over_every_wrap(tmp_path_factory, evt, steps, start):
    t = start + np.cumsum([step[0] for step in steps])
    _, x, y, p = (np.array(column) for column in zip(*steps, strict=True))
    words = {2: evt2_words, 3: evt3_words}[evt](t, x, y, p)
    path = tmp_path_factory.mktemp("raw") / "one.raw"
    path.write_bytes(raw_bytes(words, evt=evt))
    found = read_evt(path)
    # A stream has no beginning but its own: whole turns before it are not in the file.
    turn = 2 ** {2: 34, 3: 24}[evt]
    np.testing.assert_array_equal(found.t, t - t[0] // turn * turn)
    np.testing.assert_array_equal(found.x, x)
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(found.p, p)
    assert found.size == (640, 480)
    assert found.skipped == {}


# ---- files


def write(folder, content):
    path = folder / "one.raw"
    path.write_bytes(content)
    return path


ONE = evt3_words([5], [1], [2], [True])


def test_parts_that_are_no_events_are_counted(tmp_path):
    words = np.concatenate([[0x2001], ONE, [0xA001, 0xE019, 0x7000, 0xF123, 0x1000]]).astype("<u2")
    found = read_evt(write(tmp_path, raw_bytes(words, evt=3) + b"\x00"))
    assert len(found) == 1
    assert found.skipped == {
        "events before the first time": 1,
        "external triggers": 1,
        "vendor words": 3,
        "unknown words": 1,
        "bytes of a cut word": 1,
    }


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("% evt 3.0\n", None),
        ("% evt 3.0\n% Width 320\n% Height 240\n", (320, 240)),
        ("% evt 3.0\n% geometry 1280x720\n", (1280, 720)),
        ("% format EVT3;height=480;width=640\n% end\n", (640, 480)),
        ("% Date 2020-01-01 10:00:00\n% format EVT3\n% end\n", None),
    ],
)
def test_headers(tmp_path, lines, size):
    found = read_evt(write(tmp_path, lines.encode() + ONE.tobytes()))
    assert (found.format, found.size, found.t.tolist()) == ("evt3", size, [5])


def test_data_after_the_end_mark_may_look_like_a_header(tmp_path):
    path = tmp_path / "x.raw"
    fields, start = read_header(b"% evt 2.0\n% end\n% \x00\x01", path)
    assert (fields, start) == ({"evt": "2.0"}, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"% evt 3.0\n% end\n", "no data"),
        (b"% evt 3.0\n% end\n\x00", "no data"),
        (b"% evt 2.1\n% end\n" + ONE.tobytes(), "names 'evt 2.1'. Expected EVT2 or EVT3"),
        (b"% format EVT21\n% end\n" + ONE.tobytes(), "names 'EVT21'"),
        (b"% camera x\n% end\n" + ONE.tobytes(), "names 'no encoding'"),
        (b"% evt 2.0\n% format EVT3\n% end\n" + ONE.tobytes(), "contradicts itself"),
        (b"% evt 3.0\n% geometry big\n% end\n" + ONE.tobytes(), "states a sensor of big x"),
        (b"% evt 3.0\n% geometry 0x480\n% end\n" + ONE.tobytes(), "states a sensor of 0 x 480"),
        (b"% evt 3.0" + b"0" * 70_000, "no Prophesee header"),
        (b"no header", "no Prophesee header"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, content, message):
    with pytest.raises(RecordingError, match=message):
        read_evt(write(tmp_path, content))


# ---- real recordings


@pytest.mark.parametrize("camera", ["left", "right"])
def test_evt3_of_a_real_camera_bit_for_bit(real_data, camera):
    folder = real_data / "events_spheres_gen31"
    found = read_evt(folder / f"{camera}.raw")
    with np.load(folder / "spheres.npz") as expected:
        for name in "txyp":
            np.testing.assert_array_equal(getattr(found, name), expected[f"{camera}_{name}"])
        assert found.skipped["external triggers"] == len(expected[f"{camera}_triggers"])
    assert found.size == (640, 480)


def test_evt2_of_a_real_camera_is_what_expelliarmus_reads(real_data):
    wizard = pytest.importorskip("expelliarmus").Wizard
    path = real_data / "reader_samples" / "evt2_640x480.raw"
    found, expected = read_evt(path), wizard(encoding="evt2").read(path)
    assert len(found) == 521_252
    for name in "txyp":
        np.testing.assert_array_equal(getattr(found, name), expected[name])


def test_evt3_pixels_are_what_expelliarmus_reads(real_data, tmp_path):
    wizard = pytest.importorskip("expelliarmus").Wizard
    path = real_data / "events_spheres_gen31" / "right.raw"
    content = path.read_bytes()
    start = content.index(b"% end\n") + 6
    words = np.frombuffer(content[start:], "<u2")
    # It stops at triggers, so they are taken out; its times are wrong, so they are not compared.
    plain = write(tmp_path, content[:start] + words[words >> 12 != 0xA].tobytes())
    found, expected = read_evt(path), wizard(encoding="evt3").read(plain)
    for name in "xyp":
        np.testing.assert_array_equal(getattr(found, name), expected[name])
