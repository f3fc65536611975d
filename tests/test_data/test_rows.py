"""The row offset between two cameras, measured from generated and real events."""

import numpy as np
import pytest
from reference.recordings import FakeRecording

from data import Events
from data.formats import open_recording
from data.rectified import identity_map, shifted_rows
from data.rows import estimate_row_offset, without_calibration


class Edges(FakeRecording):
    """Generated data: textured boards that move sideways and up, at three disparities.

    The right camera sees every event ``rows`` lower (chance decides over parts of a row), with
    noise of its own.
    """

    width, height = 160, 120

    def __init__(self, rows, *, seed=0, noise=0.3, last_us=600_000):
        super().__init__(last_us=last_us, stamps=())
        rng = np.random.default_rng(seed)
        boards = [
            (rng.uniform(0, 160, 500), rng.uniform(40 * k - 4, 40 * k + 44, 500), 6.0 + 9 * k)
            for k in range(3)
        ]
        t = np.sort(rng.integers(0, last_us, 60_000))
        self._events = {}
        for camera in ("left", "right"):
            board, point = rng.integers(0, 3, t.size), rng.integers(0, 500, t.size)
            x, y, shift = (np.empty(t.size) for _ in range(3))
            for k, (column, row, disparity) in enumerate(boards):
                here = board == k
                x[here], y[here], shift[here] = column[point[here]], row[point[here]], disparity
            x = (x + t * 30e-6) % 160
            y += t * 8e-6
            if camera == "right":
                x, y = x - shift, np.floor(y + rows + rng.random(t.size))
            stray = rng.random(t.size) < noise
            x[stray], y[stray] = rng.uniform(0, 160, stray.sum()), rng.uniform(0, 120, stray.sum())
            x, y = np.floor(x + 0.5), np.floor(y + 0.5) if camera == "left" else y
            keep = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
            self._events[camera] = Events(
                t=t[keep],
                x=x[keep].astype(np.uint16),
                y=y[keep].astype(np.uint16),
                p=rng.random(keep.sum()) < 0.5,
            )

    def rectify(self, camera, events):
        return Events(
            t=events.t,
            x=events.x.astype(np.float32),
            y=events.y.astype(np.float32),
            p=events.p,
        )


@pytest.mark.parametrize("rows", [-9, -2, -1, 0, 1, 3, 8, -1.5, 2.25])
def test_known_offsets_of_generated_data(rows):
    found = estimate_row_offset(Edges(rows))
    assert found.offset_px == pytest.approx(rows, abs=0.35)
    assert found.reliable
    assert found.windows == 32


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_cameras_are_not_corrected(seed):
    noise = Edges(0, seed=seed, noise=1.0)
    recording, found = without_calibration(noise)
    assert not found.reliable
    assert found.confidence < 0.15
    assert recording.rectify_map("right") is None


def test_different_scenes_are_not_corrected():
    mixed = Edges(2, seed=1)
    mixed._events["right"] = Edges(2, seed=2)._events["right"]
    assert not estimate_row_offset(mixed).reliable


def test_too_few_events_give_no_answer():
    few = FakeRecording(count=50, stamps=())
    found = estimate_row_offset(few)
    assert (found.offset_px, found.confidence, found.windows) == (0.0, 0.0, 0)
    assert not found.reliable


def test_an_offset_beyond_the_search_is_not_reported_as_its_border():
    assert not estimate_row_offset(Edges(20)).reliable


def test_correction_moves_the_rows_of_the_right_view():
    inner = Edges(3)
    recording, found = without_calibration(inner)
    assert found.reliable
    assert recording.calibration is None
    assert recording.rectify_map("left") is None
    raw = recording.events("right", 0, 50_000)
    moved = recording.rectify("right", raw)
    np.testing.assert_allclose(moved.y, raw.y - found.offset_px, atol=1e-3)
    np.testing.assert_array_equal(moved.x, raw.x)
    assert abs(estimate_row_offset(recording).offset_px) < 0.6
    shown = found.to_dict()
    assert shown["reliable"] is True
    assert shown["offset_px"] == found.offset_px


def test_shifting_keeps_what_the_recording_is():
    inner = FakeRecording()
    shifted = shifted_rows(inner, 1.5)
    assert (shifted.name, shifted.layout, shifted.span_us) == ("fake", "npz", inner.span_us)
    assert shifted.dropped is inner.dropped
    assert shifted.disparity_t_us.size == 0  # its ground truth belongs to another view
    np.testing.assert_array_equal(
        shifted.rectify_map("right"), identity_map(40, 32) - np.float32([0, 1.5])
    )
    with pytest.raises(IndexError):
        shifted.disparity(0)


@pytest.mark.parametrize(
    ("file", "low", "high"),
    [
        ("events_pendulum_dvs128/pendulum.npz", -1.0, 0.0),
        ("events_spheres_gen31/spheres.npz", -2.0, -1.0),
    ],
)
def test_real_recordings(real_data, file, low, high):
    with open_recording(real_data / file) as recording:
        found = estimate_row_offset(recording)
        assert low <= found.offset_px <= high
        assert found.confidence > 0.5
        assert abs(estimate_row_offset(without_calibration(recording)[0]).offset_px) < 0.75
