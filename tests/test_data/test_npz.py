"""The .npz reader: numbers, sensor size, real recordings, errors."""

import pickle
import zipfile

import numpy as np
import pytest

from data import Events, RecordingError
from data.cameras.memory import KNOWN_SENSORS
from data.npz import NpzRecording

LEFT = np.array([[100, 3, 4, 1], [150, 5, 6, 0], [150, 127, 127, 1], [900, 0, 0, 1]])
RIGHT = np.array([[50, 1, 4, 0], [400, 2, 6, 1], [950, 7, 8, 0]])


def save(folder, **arrays):
    path = folder / "pair.npz"
    np.savez(path, **arrays)
    return path


def split(camera, table):
    return {f"{camera}_{name}": table[:, i] for i, name in enumerate("txyp")}


def as_table(events):
    return np.stack([events.t, events.x, events.y, events.p], axis=1)


# ---- numbers


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float64])
def test_tables_are_read_exactly(tmp_path, dtype):
    path = save(tmp_path, left=LEFT.astype(dtype), right=RIGHT.astype(dtype))
    with NpzRecording(path) as recording:
        np.testing.assert_array_equal(as_table(recording.events("left", 0, 1_000)), LEFT)
        np.testing.assert_array_equal(as_table(recording.events("right", 0, 1_000)), RIGHT)
        assert recording.events("left", 150, 900).t.tolist() == [150, 150]
        assert len(recording.events("left", 901, 9_999)) == 0
        assert (recording.name, recording.layout) == ("pair", "npz")
        assert (recording.width, recording.height) == (128, 128)
        assert recording.span_us == (100, 900)
        assert recording.dropped == {"left": 0, "right": 0}
        assert recording.calibration is None
        assert recording.disparity_t_us.size == 0


def test_split_columns_and_signed_polarity(tmp_path):
    signed = RIGHT.copy()
    signed[:, 3] = 2 * RIGHT[:, 3] - 1
    recording = NpzRecording(save(tmp_path, **split("left", LEFT), **split("right", signed)))
    np.testing.assert_array_equal(as_table(recording.events("left", 0, 1_000)), LEFT)
    np.testing.assert_array_equal(as_table(recording.events("right", 0, 1_000)), RIGHT)


def test_rectify_changes_the_type_only(tmp_path):
    recording = NpzRecording(save(tmp_path, left=LEFT, right=RIGHT))
    raw = recording.events("left", 0, 1_000)
    rectified = recording.rectify("left", raw)
    assert rectified.x.dtype == rectified.y.dtype == np.float32
    np.testing.assert_array_equal(as_table(rectified), as_table(raw))


def test_events_are_usable_without_the_file(tmp_path):
    path = save(tmp_path, left=LEFT, right=RIGHT)
    recording = pickle.loads(pickle.dumps(NpzRecording(path)))
    path.unlink()
    assert isinstance(recording.events("left", 0, 1_000), Events)


# ---- sensor size


@pytest.mark.parametrize("size", KNOWN_SENSORS)
def test_the_smallest_sensor_that_holds_all_is_guessed(tmp_path, size):
    left = np.array([[0, size[0] - 1, size[1] - 1, 1], [100, 0, 0, 1]])
    recording = NpzRecording(save(tmp_path, left=left, right=RIGHT))
    assert (recording.width, recording.height) == size


def strays(count, of=1_000):
    table = np.zeros((of, 4), np.int64)
    table[:, 0] = np.arange(of)
    table[:count, 2] = 200
    return table


def test_few_strays_of_one_camera_do_not_enlarge_the_sensor(tmp_path):
    recording = NpzRecording(save(tmp_path, left=LEFT, right=strays(10)))
    assert (recording.width, recording.height) == (128, 128)
    assert recording.dropped == {"left": 0, "right": 10}
    assert len(recording.events("right", 0, 1_000)) == 990


def test_many_strays_or_strays_of_both_cameras_do(tmp_path):
    assert NpzRecording(save(tmp_path, left=LEFT, right=strays(11))).height == 260
    assert NpzRecording(save(tmp_path, left=strays(1), right=strays(1))).height == 260


def test_a_given_size_wins_over_a_stored_one(tmp_path):
    path = save(tmp_path, left=LEFT, right=RIGHT, width=150, height=140)
    stored, given = NpzRecording(path), NpzRecording(path, width=100, height=90)
    assert (stored.width, stored.height) == (150, 140)
    assert (given.width, given.height) == (100, 90)
    assert given.dropped == {"left": 1, "right": 0}


@pytest.mark.parametrize(("column", "value"), [(1, 8), (2, 9)])
def test_the_first_pixel_beyond_the_border_is_dropped(tmp_path, column, value):
    right = RIGHT.copy()
    right[0, column] = value
    recording = NpzRecording(save(tmp_path, left=LEFT, right=right), width=8, height=9)
    assert recording.dropped == {"left": 1, "right": 1}
    assert as_table(recording.events("right", 0, 1_000)).tolist() == RIGHT[1:].tolist()


def test_a_far_column_is_dropped_and_does_not_wrap_around(tmp_path):
    left = np.vstack([LEFT, [950, 65_536 + 3, 0, 1]])
    path = save(tmp_path, left=left, right=RIGHT)
    recording = NpzRecording(path, width=128, height=128)
    assert recording.dropped["left"] == 1
    assert len(recording.events("left", 901, 1_000)) == 0


# ---- real recordings


@pytest.mark.real
def test_the_real_pendulum(real_data):
    recording = NpzRecording(real_data / "events_pendulum_dvs128" / "pendulum.npz")
    assert (recording.width, recording.height) == (128, 128)
    assert recording.dropped == {"left": 0, "right": 1_233}
    first, last = recording.span_us
    assert (last - first) / 1e6 == pytest.approx(13.687, abs=1e-3)
    assert len(recording.events("right", 0, last + 10**6)) == 261_307 - 1_233


@pytest.mark.real
def test_the_real_spheres(real_data):
    recording = NpzRecording(real_data / "events_spheres_gen31" / "spheres.npz")
    assert (recording.width, recording.height) == (640, 480)
    assert recording.dropped == {"left": 0, "right": 0}
    assert len(recording.events("left", 0, 10**7)) == 1_216_905
    assert len(recording.events("right", 0, 10**7)) == 358_284


# ---- errors


def broken(tmp_path, message, **arrays):
    with pytest.raises(RecordingError, match=message) as caught:
        NpzRecording(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_missing_and_empty_file(tmp_path):
    with pytest.raises(RecordingError, match=r"There is no file .*gone\.npz\. Give the path"):
        NpzRecording(tmp_path / "gone.npz")
    (tmp_path / "empty.npz").touch()
    with pytest.raises(RecordingError, match=r"empty\.npz is empty \(0 bytes\)"):
        NpzRecording(tmp_path / "empty.npz")


@pytest.mark.parametrize("share", [0.3, 0.97])
def test_truncated_file(tmp_path, share):
    path = save(tmp_path, left=LEFT, right=RIGHT)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RecordingError, match=r"cannot be read as an .npz archive.*truncated"):
        NpzRecording(path)


def test_damaged_bytes_inside_the_archive(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez_compressed(path, left=np.tile(LEFT, (500, 1)), right=RIGHT)
    data = bytearray(path.read_bytes())
    data[150:190] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"cannot be read as an .npz archive"):
        NpzRecording(path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("these are notes")
    with pytest.raises(RecordingError, match=r"cannot be read as an .npz archive"):
        NpzRecording(path)


def test_pickles_are_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    bombs = np.array([Bomb()] * 2, object)
    broken(tmp_path, "cannot be read as an .npz archive.*allow_pickle", left=bombs, right=RIGHT)


def test_missing_cameras_and_columns(tmp_path):
    broken(tmp_path, "has no right camera: its keys are left. Expected either", left=LEFT)
    broken(tmp_path, "has no left camera: its keys are events", events=LEFT)
    pieces = split("left", LEFT) | split("right", RIGHT)
    del pieces["right_p"], pieces["right_y"]
    broken(tmp_path, "lacks right_y, right_p. Expected either", **pieces)


def test_an_archive_without_arrays(tmp_path):
    path = tmp_path / "other.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(RecordingError, match="has no left camera: its keys are none"):
        NpzRecording(path)


def test_wrong_shapes(tmp_path):
    broken(
        tmp_path, r"'right' .* has shape \(3, 3\). Expected N x 4", left=LEFT, right=RIGHT[:, :3]
    )
    pieces = split("left", LEFT) | split("right", RIGHT) | {"right_x": np.arange(2)}
    broken(tmp_path, "right columns .* have shapes .*one length", **pieces)


def test_unsorted_times(tmp_path):
    message = "times of the left camera .* not sorted: event 2 has t=150 us after t=900 us. Sort"
    broken(tmp_path, message, left=LEFT[[0, 3, 1]], right=RIGHT)


def changed(table, row, column, value):
    table = table.astype(np.float64)
    table[row, column] = value
    return table


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (1, np.nan, "'x' of the right camera .* is NaN or infinite in 1 of 3 events"),
        (2, np.inf, "'y' of the right camera .* is NaN or infinite in 1 of 3"),
        (1, -2, r"'x' of the right camera .* is negative \(-2\)"),
        (2, 1.5, "'y' of the right camera .* not whole.*raw pixels"),
        (0, 400.25, "'t' of the right camera .* not whole.*seconds must be multiplied by 1e6"),
        (0, 1e30, "'t' of the right camera .* not whole"),
        (3, 7, r"polarity of the right camera .* values \[0, 7\]. Expected 0 and 1, or -1"),
    ],
)
def test_impossible_numbers(tmp_path, column, value, message):
    broken(tmp_path, message, left=LEFT, right=changed(RIGHT, 1, column, value))


def test_times_too_large_and_words(tmp_path):
    late = RIGHT.astype(np.uint64)
    late[:, 0] += np.uint64(2**63)
    broken(tmp_path, "'t' of the right camera .* reaches .* below 2", left=LEFT, right=late)
    broken(tmp_path, "has type <U1. Expected integers", left=LEFT, right=np.full((2, 4), "a"))


def test_polarity_of_three_values(tmp_path):
    three = changed(RIGHT, 0, 3, -1)
    broken(tmp_path, r"takes the values \[-1, 0, 1\]", left=LEFT, right=three)


def test_cameras_without_events(tmp_path):
    broken(tmp_path, "The right camera .* has no events", left=LEFT, right=RIGHT[:0])
    far = changed(RIGHT, slice(None), 1, 500)
    broken(
        tmp_path,
        r"right camera .* no event on its 10 x 10 sensor \(3 events in the file\)",
        left=LEFT,
        right=far,
        width=10,
        height=10,
    )


def test_cameras_on_two_clocks(tmp_path):
    late = RIGHT + np.array([10_000, 0, 0, 0])
    broken(tmp_path, "share no time: left 100 to 900 us, right 10050 to", left=LEFT, right=late)


def test_sensor_sizes_that_cannot_be(tmp_path):
    far = changed(LEFT, 0, 1, 3_000)
    message = r"fit no known sensor: they reach .*'left': \(3001, 128\).*Store the scalars 'width'"
    broken(tmp_path, message, left=far, right=RIGHT)
    broken(tmp_path, "must be one whole number", left=LEFT, right=RIGHT, width=1.5, height=3)
    broken(tmp_path, "sensor of 0 x 3 pixels is not", left=LEFT, right=RIGHT, width=0, height=3)
    path = save(tmp_path, left=LEFT, right=RIGHT)
    with pytest.raises(RecordingError, match="width and height of the sensor together"):
        NpzRecording(path, width=128)


def test_there_is_no_ground_truth(tmp_path):
    recording = NpzRecording(save(tmp_path, left=LEFT, right=RIGHT))
    with pytest.raises(IndexError, match="pair has no ground truth, so no disparity 0"):
        recording.disparity(0)
