"""What a recording is: counts against a slow twin, faults that were put in, pictures."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cameras import some_events, write_evt3
from reference.inspection import slow_tally
from reference.recordings import FakeRecording

from data import Events
from data.cameras.columns import CameraEvents, from_columns
from data.dsec import DsecRecording
from data.errors import RecordingError
from stereo.inspection.findings import findings
from stereo.inspection.listing import recordings_in
from stereo.inspection.measure import inspect_recording, inspect_stored
from stereo.inspection.picture import draw
from stereo.inspection.tally import RATE_BINS, CameraTally, hot_pixels
from stereo.inspection.truth import look_at_truth

# ---- counts

event = st.tuples(st.integers(-50, 50), st.integers(0, 6), st.integers(0, 5), st.booleans())
blocks = st.lists(st.lists(event, max_size=12), max_size=5)


@settings(max_examples=150)
@given(blocks, st.booleans())
def test_counts_are_those_of_the_slow_twin(parts, ordered):
    if ordered:
        parts = [sorted(part) for part in sorted(parts, key=lambda part: min(part, default=(0,)))]
    columns = [tuple(zip(*part, strict=True)) if part else ((), (), (), ()) for part in parts]
    tally = CameraTally(5, 4, (-40, 300))
    for t, x, y, p in columns:
        tally.add(
            np.array(t, np.int64),
            np.array(x, np.uint16),
            np.array(y, np.uint16),
            np.array(p, np.bool_),
        )
    counts, image, rate = slow_tally(columns, 5, 4, (-40, 300), RATE_BINS, tally.bin_us)
    facts = tally.facts(events=sum(map(len, parts)))
    assert tally.seen == counts["seen"]
    assert facts.out_of_sensor == counts["outside"]
    assert facts.unsorted == counts["unsorted"]
    assert facts.duplicates == counts["duplicates"]
    assert facts.outside_overlap == 0
    assert facts.on_share == (counts["on"] / counts["seen"] if counts["seen"] else None)
    assert {(x, y): int(n) for (y, x), n in np.ndenumerate(tally.image) if n} == image
    assert tally.rate.tolist() == rate


def test_no_events_have_no_rates():
    facts = CameraTally(4, 3, (0, 9)).facts(events=0)
    assert facts.rate_per_s is facts.peak_rate_per_s is facts.on_share is facts.hot_share is None
    assert (facts.hot_pixels, facts.hottest) == (0, ())


# ---- hot pixels


def scene():
    """Return events per pixel of a scene: an edge, a wire of one pixel, and noise."""
    image = np.random.default_rng(0).poisson(0.3, (40, 50)).astype(np.uint32)
    image[:, 20:24] += 300
    image[:, 40] += 200
    np.fill_diagonal(image[:, :40], 250)
    return image


def test_edges_and_wires_are_not_hot():
    hot = hot_pixels(scene(), 1.0)
    hot[[0, -1]] = False  # a wire that ends at the border has one neighbor only
    hot[:, [0, -1]] = False
    assert not hot.any()


@pytest.mark.parametrize("place", [(5, 10), (0, 30), (39, 49), (12, 45)])
def test_a_lonely_pixel_is_hot(place):
    image = scene()
    image[place] = 100
    assert hot_pixels(image, 1.0)[place]
    assert not hot_pixels(image, 1_000.0)[place], "100 events in 1000 s are noise"


def test_two_hot_pixels_side_by_side_are_found():
    image = np.zeros((9, 9), np.uint32)
    image[4, 4:6] = 90
    assert hot_pixels(image, 1.0).sum() == 2


# ---- recordings


def test_a_recording_in_numbers(dsec):
    with DsecRecording(dsec) as recording:
        reported = []
        found = inspect_recording(recording, lambda *share: reported.append(share), source="x")
        document = found.document
        first, last = recording.span_us
        for camera in ("left", "right"):
            facts, events = document["cameras"][camera], recording.events(camera, first, last + 1)
            assert facts["events"] == recording.total[camera]
            assert facts["on_share"] == pytest.approx(events.p.mean())
            assert facts["rate_per_s"] == pytest.approx(len(events) / ((last - first + 1) / 1e6))
            assert facts["peak_rate_per_s"] >= facts["rate_per_s"]
            assert facts["outside_overlap"] == recording.total[camera] - len(events)
            assert (facts["width"], facts["height"]) == (64, 48)
            np.testing.assert_array_equal(
                found.tallies[camera].image,
                np.bincount(events.y.astype(int) * 64 + events.x, minlength=64 * 48).reshape(
                    48, 64
                ),
            )
            outside = recording.rectify(camera, events)
            share = 1 - len(outside.inside(64, 48)) / len(events)
            assert document["calibration"]["off_image_share"][camera] == pytest.approx(share)
        assert document["calibration"]["baseline_m"] == recording.calibration.baseline_m
        assert document["ground_truth"]["count"] == recording.disparity_t_us.size
        assert reported[-1][0] <= reported[-1][1] == sum(recording.total.values())
        assert document["overlap_s"] == (last - first) / 1e6
    json.dumps(document, allow_nan=False)


class Slow(FakeRecording):
    """Counts how long the windows are that are read."""

    def events(self, camera, t0_us, t1_us):
        found = super().events(camera, t0_us, t1_us)
        self.largest = max(getattr(self, "largest", 0), len(found))
        return found


def test_windows_follow_the_rate(monkeypatch):
    monkeypatch.setattr("stereo.inspection.measure.MANY_EVENTS", 400)
    monkeypatch.setattr("stereo.inspection.measure.FEW_EVENTS", 100)
    recording = Slow(last_us=9_999_999, count=40_000)
    found = inspect_recording(recording)
    assert sum(t.seen for t in found.tallies.values()) == 80_000
    assert recording.largest < 2_000


def test_ground_truth():
    truth = look_at_truth(FakeRecording())
    assert (truth.count, truth.read, truth.within_events) == (2, 2, 1)
    assert truth.valid_share == 0.5
    assert truth.disparity_px == (4.0, 4.125, 4.0)  # the median to a quarter of a pixel
    assert truth.depth_m[0] == pytest.approx(50.0 * 0.2 / 4)
    assert look_at_truth(FakeRecording(stamps=())) is None


# ---- what is stored


def stored(change=None, **given):
    return from_columns(some_events() | (change or {}), where="x", format_name="evt3", **given)


def describe(cameras, problem="It is so."):
    return inspect_stored(cameras, source="a", right="b", name="a", layout="evt3", problem=problem)


def test_unsorted_and_far_events_are_described_not_refused():
    order = np.random.default_rng(0).permutation(300)
    mixed = {name: column[order] for name, column in some_events().items()}
    mixed["x"][:3] = 9_999
    found = describe({"left": stored(mixed), "right": stored(size=(64, 48))})
    facts = found.document["cameras"]["left"]
    assert facts["unsorted"] == int((np.diff(mixed["t"]) < 0).sum())
    assert facts["out_of_sensor"] == 3
    assert (facts["width"], facts["height"]) == (128, 128)
    assert found.document["problem"] == "It is so."
    assert found.document["cameras"]["right"]["width"] == 64
    assert found.document["row_offset_px"] is None
    assert draw(found).shape[2] == 3


def test_one_camera():
    found = describe({"left": stored()}, problem=None)
    assert found.document["cameras"]["right"] is None
    assert found.document["overlap_s"] is None
    picture = draw(found)
    assert picture.shape[1] < draw(describe({"left": stored(), "right": stored()})).shape[1]


def test_no_events_at_all():
    empty = CameraEvents(
        format="evt3",
        t=np.empty(0, np.int64),
        x=np.empty(0, np.uint16),
        y=np.empty(0, np.uint16),
        p=np.empty(0, np.bool_),
    )
    with pytest.raises(RecordingError, match="has no events"):
        describe({"left": empty})
    assert describe({"left": empty, "right": stored()}).document["cameras"]["left"] is None


# ---- findings


def sentences(**changes):
    document = describe({"left": stored(), "right": stored()}).document | {
        "row_offset": {"offset_px": 0.1, "reliable": True},
    }
    for path, value in changes.items():
        place = document
        *folders, last = path.split("__")
        for folder in folders:
            place = place[folder]
        place[last] = value
    return findings(document)


def test_nothing_deserves_attention_where_all_is_well():
    assert sentences() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"row_offset__offset_px": -1.6}, "-1.6 rows off the left one: give a calibration"),
        ({"row_offset__offset_px": 2.0, "calibration": {}}, "does not fit these cameras"),
        ({"cameras__left__rate_per_s": 1e9}, "times the events of the other"),
        ({"overlap_s": 0}, "share no time"),
        ({"cameras__right__unsorted": 3}, "right: 3 events come before"),
        ({"cameras__left__out_of_sensor": 30}, r"30 events (10%) lie outside the 128 x 128"),
        ({"cameras__left__duplicates": 3}, "(1%) repeat an earlier event"),
        ({"cameras__left__outside_overlap": 300}, "(100%) lie outside the time"),
        ({"cameras__left__on_share": 0.999}, "left: 99.9% of the events are ON"),
        ({"cameras__left__on_share": 0.02}, "2.0% of the events are ON"),
        (
            {
                "cameras__left__hot_pixels": 2,
                "cameras__left__hot_share": 0.5,
                "cameras__left__hottest": [[1, 2, 99]],
            },
            "2 hot pixels make 50% of the events; the worst, (1, 2), 99",
        ),
        (
            {"ground_truth": {"count": 9, "within_events": 5, "disparity_px": {}}},
            "4 of 9 lie outside",
        ),
        (
            {"ground_truth": {"count": 9, "within_events": 9, "disparity_px": None}},
            "none of those read has a valid pixel",
        ),
    ],
)
def test_what_deserves_attention_is_said(changes, words):
    found = sentences(**changes)
    assert len(found) == 1
    assert words in found[0]


# ---- pictures


def test_the_picture_is_a_function_of_the_recording(dsec):
    with DsecRecording(dsec) as recording:
        found = inspect_recording(recording)
        first, second = draw(found, recording), draw(found, recording)
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.uint8
        # Small sensors are enlarged to be legible; both views stand side by side.
        assert first.shape[1] > 2 * 400


@pytest.mark.parametrize("size", [(1280, 720), (17, 900), (640, 480)])
def test_pictures_of_other_sensors(size):
    found = describe({"left": stored(size=size), "right": stored(size=size)})
    rows, columns, _ = draw(found).shape
    assert rows < 1400
    assert columns < 2100


class Rare(FakeRecording):
    def events(self, camera, t0_us, t1_us):
        return super().events(camera, t0_us, t1_us) if camera == "left" else Events.empty()


def test_a_camera_without_events_in_the_shared_time():
    recording = Rare(stamps=())
    found = inspect_recording(recording)
    assert found.document["cameras"]["right"]["rate_per_s"] is None
    assert found.document["row_offset"] is None
    assert draw(found, recording).any()


# ---- folders


def test_recordings_below_a_folder(tmp_path, dsec):
    for place in ("train/a", "train/b", "deep/er/test/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "sequence").symlink_to(dsec)
    assert list(recordings_in(tmp_path)) == [], "links to folders are not followed"
    (tmp_path / "train" / "d" / "events" / "left").mkdir(parents=True)
    (tmp_path / ".hidden" / "events" / "left").mkdir(parents=True)
    np.savez(tmp_path / "pair.npz", left=np.zeros((1, 4)))
    write_evt3(tmp_path / "one.raw", some_events())
    found = [str(path.relative_to(tmp_path)) for path in recordings_in(tmp_path)]
    assert found == ["pair.npz", "train/d"]
