"""The front as a picture and as a table: what is drawn where, and what is refused."""

import io
import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from stereo.errors import StereoError
from stereo.front import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    FrontPoint,
    _labels,
    _shared,
    front_svg,
    front_table,
)

SVG = "{http://www.w3.org/2000/svg}"
POINTS = [
    FrontPoint(name="searched", error=15.0, mj=4.0, method="differentiable", spread=0.5),
    FrontPoint(name="small", error=18.0, mj=2.0, method="differentiable"),
    FrontPoint(name="random <1>", error=17.0, mj=5.0, method="random & co"),
]


def drawn(*args, **kwargs):
    return ET.fromstring(front_svg(*args, **kwargs))


def dots(root):
    """Return center and fill of each network's dot by the network's tooltip."""
    found = {}
    for group in root.iter(f"{SVG}g"):
        circle = group.find(f"{SVG}circle")
        place = float(circle.get("cx")), float(circle.get("cy"))
        found[group.find(f"{SVG}title").text] = (*place, circle.get("fill"))
    return found


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_networks_stand_at_their_numbers():
    found = dots(drawn(POINTS, error="error, %", budgets=(4.5,)))
    (x0, y0, fill0), (x1, y1, fill1), (x2, y2, fill2) = found.values()
    assert list(found) == [
        "searched: 15 +- 0.5, 4.00 mJ", "small: 18, 2.00 mJ", "random <1>: 17, 5.00 mJ",
    ]  # fmt: skip
    # The axis of energy begins at 0, that of errors rises upward; both are linear here.
    assert (x0 - LEFT) / (x1 - LEFT) == pytest.approx(2, abs=0.01)
    assert (x2 - LEFT) / (x1 - LEFT) == pytest.approx(2.5, abs=0.01)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(3 / 2, abs=0.01)
    assert y1 < y2 < y0
    assert fill0 == fill1 != "#fff", "both of one method, both on the front"
    assert fill2 == "#fff"


def test_the_picture_says_what_it_shows():
    root = drawn(POINTS, title="Images & events", error="error, %", budgets=(4.5, 3.0))
    told = texts(root)
    for words in ("Images & events", "error, %", "energy of an inference, mJ", "4.5 mJ", "3 mJ",
                  "searched", "small", "random <1>", "differentiable", "random & co"):  # fmt: skip
        assert words in told
    lines = [e for e in root.iter(f"{SVG}line") if e.get("class") == "budget"]
    assert len(lines) == 2
    (x0, _, _), (x1, _, _), _ = dots(root).values()
    at = sorted(float(line.get("x1")) for line in lines)
    assert at[0] == pytest.approx((x0 + x1) / 2, abs=0.2), "3 mJ lies between 2 and 4"


def test_the_staircase_goes_through_the_front():
    root = drawn(POINTS)
    (path,) = [e.get("d") for e in root.iter(f"{SVG}path") if e.get("class") == "front"]
    (x0, y0, _), (x1, y1, _), _ = dots(root).values()
    assert path == f"M{x1} {TOP}V{y1}H{x0}V{y0}H{RIGHT}"


def test_a_wide_range_has_a_logarithmic_axis():
    wide = [FrontPoint(name=str(n), error=5.0 - n, mj=0.5 * 10.0**n) for n in range(3)]
    root = drawn(wide)
    first, second, third = (x for x, _, _ in dots(root).values())
    assert second - first == pytest.approx(third - second, abs=0.2)
    assert "energy of an inference, mJ, logarithmic" in texts(root)


def test_the_picture_needs_nothing_from_elsewhere():
    text = front_svg(POINTS, budgets=(4.5,))
    assert text == front_svg(POINTS, budgets=(4.5,)), "same input, same bytes"
    assert text.count("http") == 1, "the name space alone"
    assert "url(" not in text
    assert "<script" not in text


@given(
    st.lists(
        st.tuples(st.floats(-50, 1e4), st.floats(1e-6, 1e4), st.floats(0, 10)),
        min_size=1, max_size=6,
    ),
    st.lists(st.floats(1e-6, 1e4), max_size=3),
)  # fmt: skip
def test_everything_lies_within_the_plot(values, budgets):
    points = [FrontPoint(name="n\u0000", error=e, mj=mj, spread=s) for e, mj, s in values]
    root = drawn(points, budgets=budgets)
    places = [
        (float(group.find(f"{SVG}circle").get("cx")), float(group.find(f"{SVG}circle").get("cy")))
        for group in root.iter(f"{SVG}g")
    ]
    assert len(places) == len(points)
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in places)
    for line in root.iter(f"{SVG}line"):
        assert all(LEFT - 0.1 <= float(line.get(k)) <= RIGHT + 0.1 for k in ("x1", "x2"))
        assert all(TOP - 0.1 <= float(line.get(k)) <= BOTTOM + 0.1 for k in ("y1", "y2"))


@given(st.floats(1e-3, 1e3), st.floats(1.05, 1e5), st.booleans())
def test_ticks_are_round_and_inside(low, ratio, log):
    axis = Axis(low=low, high=low * ratio, start=0.0, end=100.0, log=log)
    assert all(low * (1 - 1e-6) <= tick <= low * ratio * (1 + 1e-6) for tick in axis.ticks)
    assert len(axis.ticks) <= 12
    if not log or ratio > 20:
        assert len(axis.ticks) >= 2
    if log:
        assert all(f"{tick:e}"[0] in "125" for tick in axis.ticks)
    assert axis.at(low) == pytest.approx(0)
    assert axis.at(low * ratio) == pytest.approx(100)


def test_names_avoid_each_other():
    places = [(300.0, 200.0), (312.0, 203.0), (306.0, 190.0), (770.0, 200.0)]
    names = ["first network", "second network", "third network", "at the border"]
    boxes = [
        (left, base - 11, left + 6.9 * len(name), base + 3)
        for name, left, base in _labels(names, places)
    ]
    for index, box in enumerate(boxes):
        assert all(_shared(box, other) == 0 for other in boxes[:index])
        assert all(not (box[0] < x < box[2] and box[1] < y < box[3]) for x, y in places)
    assert boxes[3][2] <= WIDTH


def test_labels_of_close_budgets_do_not_touch():
    root = drawn(POINTS, budgets=(3.0, 3.1, 3.2))
    rows = [float(e.get("y")) for e in root.iter(f"{SVG}text") if "limit" in e.get("class", "")]
    assert rows[0] == rows[2] != rows[1]


def test_the_table_marks_the_front_and_fits():
    points = [
        *POINTS,
        FrontPoint(name="a name that is much longer than any column could be " * 3,
                   error=123456.789, mj=1e-4, method="a method of long name", spread=12.3456),
    ]  # fmt: skip
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(front_table(points, (2.0, 4.5), error="test error %"))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert [row[0] for row in rows] == ["*", "*", "*", ""]
    assert rows[1] == ["*", "small", "differentiable", "18.00", "2.00 mJ", "2.00 mJ"]
    assert rows[2] == ["*", "searched", "differentiable", "15.00 +- 0.5", "4.00 mJ", "4.50 mJ"]
    assert rows[3] == ["", "random <1>", "random & co", "17.00", "5.00 mJ", "-"]


@pytest.mark.parametrize(
    "wrong",
    [{"error": math.nan}, {"error": math.inf}, {"mj": 0.0}, {"mj": -1.0}, {"mj": math.inf}],
)
def test_networks_that_failed_are_refused(wrong):
    with pytest.raises(StereoError, match=r"net: .*Leave out networks that failed"):
        FrontPoint(**{"name": "net", "error": 1.0, "mj": 1.0, **wrong})


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(StereoError, match="spread is 0 or more, got -1"):
        FrontPoint(name="net", error=1.0, mj=1.0, spread=-1.0)
    with pytest.raises(StereoError, match="at least one network"):
        front_svg([])
    with pytest.raises(StereoError, match=r"positive numbers of millijoules, got \[0.0\]"):
        front_svg(POINTS, budgets=(0.0,))
