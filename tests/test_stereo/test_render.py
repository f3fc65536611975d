"""Pictures: sizes, what each panel shows, purity."""

from dataclasses import replace

import numpy as np
import pytest

from data import Calibration, Events
from stereo.color import ABSENT, NO_VALUE, OFF, ON, PAPER, color_table, colorize
from stereo.render import ERROR_TOP_PX, View, render

WIDTH, HEIGHT = 520, 400
VIEW = View(
    title="a recording",
    subtitle="a network",
    width=WIDTH,
    height=HEIGHT,
    start_us=1_000_000,
    top_px=40.0,
    calibration=Calibration(focal_px=200.0, cx_px=10.0, cy_px=10.0, baseline_m=0.5),
    has_truth=True,
)
TURBO, MAGMA = color_table("turbo"), color_table("magma")


def events(x=(3.0,), y=(5.0,), p=(True,)):
    return Events(
        t=np.arange(len(x), dtype=np.int64),
        x=np.array(x, np.float32),
        y=np.array(y, np.float32),
        p=np.array(p, np.bool_),
    )


def flat(value):
    return np.full((HEIGHT, WIDTH), value, np.float32)


def draw(view=VIEW, **changes):
    given = {"t_us": 1_250_000, "events": events(), "disparity": flat(20), "truth": flat(22)}
    return render(view, **(given | changes))


def panels(frame, view=VIEW):
    """Cut the four panels out: find them by the fixed margins of the layout."""
    height, width = view.height * view.scale, view.width * view.scale
    rows = 78, 78 + height + 38
    columns = 12, 24 + width
    return [frame[y : y + height, x : x + width] for y in rows for x in columns]


# Shapes


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(128, 128, 3), (346, 260, 2), (641, 481, 1)]
)
@pytest.mark.parametrize("has_truth", [True, False])
def test_frames_are_even_and_legible(width, height, scale, has_truth):
    view = replace(VIEW, width=width, height=height, has_truth=has_truth)
    assert view.scale == scale
    frame = render(
        view, t_us=0, events=events(), disparity=np.ones((height, width), np.float32), truth=None
    )
    assert frame.dtype == np.uint8
    assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
    assert frame.shape[0] >= (1 + has_truth) * height * scale >= (1 + has_truth) * 384


# What the panels show


def test_events_have_the_color_of_the_last_polarity():
    seen = events(x=(3, 3, 7.4, 9), y=(5, 5, 2.6, 9), p=(True, False, True, False))
    panel = panels(draw(events=seen))[0]
    assert tuple(panel[5, 3]) == OFF
    assert tuple(panel[3, 7]) == ON
    assert tuple(panel[9, 9]) == OFF
    assert tuple(panel[0, 0]) == PAPER


def test_events_outside_the_image_are_not_drawn():
    panel = panels(draw(events=events(x=(-3, WIDTH), y=(5, 5), p=(True, True))))[0]
    assert (panel == PAPER).all()


def test_disparity_and_truth_share_their_colors():
    _, estimate, truth, _ = panels(draw(disparity=flat(10), truth=flat(30)))
    assert (estimate == TURBO[round(255 * 10 / 40)]).all()
    assert (truth == TURBO[round(255 * 30 / 40)]).all()


def test_error_panel_shows_the_error():
    _, _, _, error = panels(draw(disparity=flat(20), truth=flat(22)))
    assert (error == MAGMA[round(255 * 2 / ERROR_TOP_PX)]).all()


def test_pixels_without_a_value_are_gray():
    truth, disparity = flat(0), flat(20)
    truth[4, 4] = 20
    disparity[0, 0] = np.nan
    _, estimate, true, error = panels(draw(truth=truth, disparity=disparity))
    assert tuple(estimate[0, 0]) == NO_VALUE
    assert (true.reshape(-1, 3) == NO_VALUE).all(axis=1).sum() == HEIGHT * WIDTH - 1
    assert (error.reshape(-1, 3) == NO_VALUE).all(axis=1).sum() == HEIGHT * WIDTH - 1


def test_no_truth_now_is_said_and_not_replaced():
    _, _, true, error = panels(draw(truth=None))
    for panel in (true, error):
        assert tuple(panel[0, 0]) == ABSENT
        assert (panel != ABSENT).any()  # the words
    assert not np.array_equal(draw(truth=None), draw(truth=flat(0)))


def test_time_depth_and_names_are_written():
    base = draw()
    assert not np.array_equal(base, draw(t_us=1_300_000))
    assert not np.array_equal(base, draw(replace(VIEW, calibration=None)))
    assert not np.array_equal(base, draw(replace(VIEW, title="another")))


def test_long_titles_and_foreign_letters_fit():
    frame = draw(replace(VIEW, title="Übung " * 200, subtitle="x" * 900))
    assert frame.shape == draw().shape
    assert (frame[:, -10:] == frame[-1, -1]).all()  # nothing runs over the margin


# Invariants


def test_same_input_same_bytes_and_inputs_unchanged():
    disparity, truth = flat(20), flat(22)
    disparity.flags.writeable = truth.flags.writeable = False
    first = draw(disparity=disparity, truth=truth)
    assert np.array_equal(first, draw(disparity=disparity, truth=truth))


def test_range_belongs_to_the_view_not_to_the_picture():
    few, many = flat(10), flat(10)
    many[0, 0] = 39
    _, first, _, _ = panels(draw(disparity=few))
    _, second, _, _ = panels(draw(disparity=many))
    assert np.array_equal(first[1:], second[1:])


@pytest.mark.parametrize("name", ["turbo", "viridis", "magma"])
def test_no_map_holds_the_gray_of_no_value(name):
    table = color_table(name)
    assert table.shape == (256, 3)
    assert (np.abs(table.astype(int) - NO_VALUE).max(axis=1) > 10).all()


def test_values_beyond_the_range_take_the_end_colors():
    values = np.array([[-5.0, 0.0, 50.0, 40.0]], np.float32)
    picture = colorize(values, np.ones((1, 4), bool), top=40.0, name="turbo")
    assert np.array_equal(picture[0], TURBO[[0, 0, 255, 255]])
