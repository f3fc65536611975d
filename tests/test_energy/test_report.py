"""Totals, forms and files of a report."""

import csv
import io
import json
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from reference.reports import (
    INT8,
    PRICES,
    Page,
    counts_of,
    layer,
    neuron,
    parts_by_chance,
    report,
    report_by_chance,
    typical,
)
from rich.console import Console

from energy import EnergyError, EnergyReport, mean_report
from energy.layers import LayerCounts, LayerEnergy
from energy.report import environment, number, percent, reprice, shorten, si
from energy.reports import charts, mean
from energy.reports.rows import grouped, pays
from energy.reports.text import clean, column_unit, fixed, joules, times


def printed(table, width=300):
    """Return the lines of a table on a console that is wide enough for any."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def cells_wide(line):
    from rich.cells import cell_len

    return cell_len(line)


SMALL = report(
    layer("first", mac=2_000_000),
    layer("second", ac=1_000_000, dense=4_000_000),
    neuron("fire", ops=5000),
    layer("add", kind="add", other_ops=300, other_uj=300 * 0.9e-6, special_ops=11),
    layer("norm", kind="batch_norm", folded_into="second"),
)

# Numbers


def test_totals_are_sums_of_rows_and_stand_apart():
    assert SMALL.total_mj == pytest.approx((2_000_000 * 4.6 + 1_000_000 * 0.9) * 1e-9)
    assert (SMALL.ac, SMALL.mac) == (1_000_000, 2_000_000)
    assert SMALL.neurons_mj == pytest.approx(5000 * 0.9e-9)
    assert SMALL.other_mj == pytest.approx(300 * 0.9e-9)
    assert SMALL.memory_mj is None
    assert SMALL.everything_mj == pytest.approx(SMALL.total_mj + 5300 * 0.9e-9)
    with_memory = replace(SMALL, layers=tuple(replace(x, memory_uj=2.0) for x in SMALL.layers))
    assert with_memory.memory_mj == pytest.approx(0.01)
    assert with_memory.total_mj == SMALL.total_mj
    assert with_memory.everything_mj == pytest.approx(SMALL.everything_mj + 0.01)


@given(parts_by_chance())
def test_document_is_strict_json_and_comes_back_equal(parts):
    made = report_by_chance(parts)
    text = made.to_json()
    document = json.loads(text, parse_constant=pytest.fail)
    assert EnergyReport.from_dict(document) == made
    rows = document["layers"]
    assert document["total_mj"] == pytest.approx(math.fsum(r["energy_uj"] for r in rows) / 1e3)
    assert document["ac"] == pytest.approx(sum(row["ac"] for row in rows))
    parts = [document[k] for k in ("total_mj", "neurons_mj", "other_mj", "memory_mj")]
    assert document["everything_mj"] == pytest.approx(math.fsum(part or 0 for part in parts))
    if document["total_mj"]:
        assert math.fsum(row["share"] for row in rows) == pytest.approx(1)
    assert (document["memory_mj"] is None) == all(row["memory_uj"] is None for row in rows)


def test_the_document_keeps_its_keys():
    document = SMALL.to_dict()
    assert {
        "technology", "precision", "convention", "samples", "steps", "total_mj", "ac", "mac",
        "layers", "uncounted", "warnings",
    } <= set(document)  # fmt: skip
    assert document["technology"] == "test-fp32"
    assert document["precision"] == "fp32"
    assert {
        "name", "kind", "shape", "ac", "mac", "dense", "firing_rate", "spikes_per_synapse",
        "energy_uj", "share",
    } <= set(document["layers"][0])  # fmt: skip
    assert document["conventions"][1]["ratio"] == pytest.approx(6_000_000 * 4.6 / 10.1e6)
    nothing = report().to_dict()
    assert nothing["total_mj"] == 0
    assert nothing["conventions"][0]["ratio"] is None


def test_a_number_that_is_not_finite_is_an_error_and_no_document():
    broken = report(replace(SMALL.layers[0], ac=math.nan), with_counts=False)
    with pytest.raises(EnergyError, match="not finite"):
        broken.to_json()


def test_reading_refuses_anything_else(tmp_path):
    path = SMALL.write(tmp_path / "report.json")
    assert EnergyReport.load(path) == SMALL
    good = json.loads(path.read_text())
    for change, message in (
        ({"prices": None}, r"prices|technology must be an object, got None"),
        ({"samples": "3"}, r"report.samples must be of type int, got '3'"),
        ({"samples": True}, r"report.samples must be of type int, got True"),
        ({"layers": {}}, r"report.layers must be a list, got \{\}"),
        ({"layers": [{"name": "x"}]}, r"report.layers\[0\] has no 'kind'"),
        ({"environment": {"date": 3}}, r"report.environment.date must be of type str"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(EnergyError, match=message) as caught:
            EnergyReport.load(path)
        assert str(path) in str(caught.value)
    for text, message in (
        ("[]", "a JSON object was expected"),
        ("{", "is no JSON document"),
        ('{"total_mj": NaN}', "NaN is no number of JSON"),
        ("{}", "has no 'prices'"),
    ):
        path.write_text(text)
        with pytest.raises(EnergyError, match=message):
            EnergyReport.load(path)
    with pytest.raises(EnergyError, match=r"Cannot read .*No such file"):
        EnergyReport.load(tmp_path / "none.json")


# Mean and prices


def test_mean_weighs_samples_sums_counts_and_knows_the_spread():
    one = report(layer("a", ac=100, dense=400), layer("b", mac=10))
    two = report(layer("a", ac=400, dense=400), layer("b", mac=10), samples=2)
    both = mean_report([one, two])
    assert both.samples == 3
    assert both.layers[0].ac == pytest.approx(300)
    assert both.layers[0].ac_per_step == pytest.approx((75,) * 4)
    assert both.layers[0].breakeven == pytest.approx(PRICES.mac_pj / PRICES.ac_pj)
    assert [c.ac for c in both.counts] == [100 + 2 * 400, 0]
    assert both.counts[0].ac_per_step == pytest.approx([225] * 4)
    assert both.conventions[0].total_mj == pytest.approx(both.total_mj)
    assert both.conventions[1].mac == pytest.approx(410)
    deviation = abs(one.total_mj - two.total_mj) / math.sqrt(2)
    assert both.spread_mj == pytest.approx(deviation)
    assert "standard deviation" in both.summary[2]
    assert mean_report([one]) == one


def test_mean_refuses_what_has_no_mean():
    with pytest.raises(EnergyError, match="no report"):
        mean_report([])
    for other in (
        report(layer("x", ac=1)),
        report(layer("a", ac=100), steps=3),
        report(layer("a", ac=100), technology=INT8),
        replace(report(layer("a", ac=100)), memory="m"),
    ):
        with pytest.raises(EnergyError, match="different models"):
            mean_report([report(layer("a", ac=100)), other])


def test_mean_knows_every_field():
    kept = {"name", "kind", "shape", "steps", "folded_into", "fan_in"}
    assert {f.name for f in fields(LayerEnergy)} == {*mean.AVERAGED, *mean.PER_STEP, *kept}
    whole = {f.name for f in fields(LayerCounts)} - set(mean.OF_THE_MODEL) - set(mean.PER_STEP)
    assert all(isinstance(getattr(LayerCounts(name="", kind=""), n), (int, float)) for n in whole)


def test_steps_of_unequal_length_have_no_mean():
    rows = [layer("a", ac=8, steps=4), layer("a", ac=8, steps=4, ac_per_step=(8.0,))]
    assert mean.mean_layer(rows, [0.5, 0.5]).ac_per_step == ()
    assert mean.summed_counts([counts_of(row) for row in rows]).ac_per_step == []


def test_prices_can_be_changed_afterwards():
    cheap = reprice(SMALL, INT8)
    assert cheap.technology == INT8
    assert cheap.total_mj == pytest.approx((2_000_000 * 0.23 + 1_000_000 * 0.03) * 1e-9)
    assert cheap.conventions[0].total_mj == pytest.approx(cheap.total_mj)
    assert {x.name: x.steps for x in cheap.rows} == {x.name: x.steps for x in SMALL.rows}
    with pytest.raises(EnergyError, match="holds no counts"):
        reprice(replace(SMALL, counts=()), INT8)


# Words


def test_summary_says_what_the_numbers_mean():
    lines = "\n".join(replace(SMALL, warnings=("mind the gap",)).summary)
    assert lines.endswith("mind the gap")
    for words in (
        "test-fp32, AC 0.9 pJ, MAC 4.6 pJ (fp32; A & B",
        "convention: event: one AC per spike",
        "per inference of 4 time steps, mean of 1",
        "dense 27.6 uJ (2.73x)",
        "neurons 4.50 nJ, other arithmetic 270 pJ, memory not modeled; everything 10.1 uJ",
        "11 operations without a price",
        "spiking pays in 1 of 1 layers",
        "at no cost: norm",
        "not counted (elements): grid_sample 12.3 k",
    ):
        assert words in lines
    bare = report(with_counts=False, uncounted=())
    assert bare.summary[-1] == "not counted (elements): nothing"


def test_summary_names_the_memory_model():
    modeled = replace(SMALL, memory="big", layers=(replace(SMALL.layers[0], memory_uj=5.0),))
    assert any("memory 5.00 uJ (big)" in line for line in modeled.summary)


def test_break_even():
    assert pays(layer("a", ac=1, dense=100)) is True
    assert pays(layer("a", ac=100, dense=10)) is False
    assert pays(layer("a", mac=100)) is None
    assert pays(layer("a", ac=100, breakeven=None)) is None


def test_groups_hold_all_that_is_no_synapse():
    made = typical(60)
    groups = grouped(made.layers)
    outside = [row for row in made.layers if not row.dense]
    assert sum(g.rows for g in groups) == sum(not row.folded_into for row in outside)
    assert sum(g.ops for g in groups) == sum(r.neuron_ops + r.other_ops for r in outside)
    assert groups[0].label == "neurons: LIF"
    assert groups[-1].label == "arithmetic: rest"


# Table


@given(parts_by_chance())
def test_the_table_fits_whatever_stands_in_it(parts):
    made = report_by_chance(parts)
    lines = printed(made.table())
    assert max(map(cells_wide, lines)) <= 100
    assert len(lines) <= 10 + len(made.layers) + len(grouped(made.layers))


def test_the_table_of_a_large_network():
    lines = printed(typical(60).table())
    assert max(map(len, lines)) <= 100
    assert len(lines) < 60 + 20, "pure arithmetic is grouped"
    text = "\n".join(lines)
    for words in ("neurons: LIF (51)", "arithmetic: rest (3)", "sp/syn", "share", "total"):
        assert words in text
    assert "memory" not in text


def test_the_table_shows_values_in_one_unit_and_marks_what_does_not_pay():
    costly = layer("costly", ac=3_000_000, dense=1_000_000)
    lines = printed(report(layer("cheap[red]", mac=1_000_000, memory_uj=7.0), costly).table())
    text = "\n".join(lines)
    cheap = next(line for line in lines if line.startswith("cheap[red]")).split()
    assert cheap[-4:] == ["7000", "4600", "63.0", "%"]
    row = next(line for line in lines if line.startswith("costly"))
    assert "12.00!" in row
    assert row.split()[-3:] == ["2700", "37.0", "%"]
    assert "(1 of 1 spiking layers)" in text


def test_time_steps_have_a_column_only_where_they_differ():
    rows = layer("a", ac=1000), layer("b", ac=1000)
    alike = "\n".join(printed(report(*rows).table()))
    assert "inference of 4 time steps" in alike
    assert " T " not in alike
    tail = layer("head", mac=1000, steps=1), layer("unknown", mac=1000, steps=None)
    lines = printed(report(*rows, *tail).table())
    assert any(" T " in line for line in lines)
    found = {line.split()[0]: line.split()[2] for line in lines if " conv2d " in line}
    assert found == {"a": "4", "b": "4", "head": "1", "unknown": "-"}


# Other forms


@given(parts_by_chance())
def test_csv_parses_back(parts):
    made = report_by_chance(parts)
    rows = list(csv.DictReader(io.StringIO(made.to_csv(), newline="")))
    assert [row["name"] for row in rows] == [x.name for x in made.layers]
    assert [row["kind"] for row in rows] == [x.kind for x in made.layers]
    names = {f.name for f in fields(LayerEnergy)} | {"share", "verdict"}
    for row, x in zip(rows, made.layers):
        assert set(row) == names
        assert float(row["ac"]) == x.ac
        assert (float(row["memory_uj"]) if row["memory_uj"] else None) == x.memory_uj
        assert tuple(map(int, row["shape"].split())) == x.shape
        assert tuple(map(float, row["ac_per_step"].split())) == x.ac_per_step


def test_csv_ends_lines_as_the_standard_says():
    text = SMALL.to_csv()
    assert text.count("\r\n") == text.count("\n") == 1 + len(SMALL.layers)


@given(parts_by_chance())
def test_markdown_tables_are_whole(parts):
    made = report_by_chance(parts)
    lines = made.to_markdown().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    start = lines.index("## Layers") + 2
    widths = {bars(line) for line in lines[start : lines.index("", start)]}
    assert len(widths) == 1, "every row has as many cells"


def bars(line):
    return line.replace("\\\\", "").replace("\\|", "").count("|")


@given(parts_by_chance())
def test_the_page_is_whole_and_loads_nothing(parts):
    made = report_by_chance(parts)
    page = Page(made.to_html())
    assert page.loads == []
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    assert page.tags.count("script") == 1, "a name is never a tag"
    assert page.tags.count("main") == 1


def test_the_page_shows_everything():
    odd = layer("<script>alert('x')</script>", ac=5_000_000)
    made = replace(
        typical(20, memory="big"), spread_mj=0.5, warnings=("a & b",)
    )  # fmt: skip
    made = replace(made, layers=(odd, *made.layers))
    text = made.to_html("My <network>")
    page = Page(text)
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == len(made.conventions) + 2
    for words in (
        "My <network>", "<script>alert('x')</script>", "The same run in other conventions",
        "Energy per layer", "Accumulates per time step", "zero-skip", "analog", "spiking pays",
        "grid_sample", "a & b", 'A & B, "Prices" <2014>', "2026-01-01", "norm3 into conv3",
        joules(made.total_mj), joules(made.everything_mj), "500 uJ",
    ):  # fmt: skip
        assert words in page.text, words


def test_a_chart_has_a_bar_per_row_as_long_as_its_value():
    text = charts.bars([charts.Bar("a", 4.0, "4", "c"), charts.Bar("b", 1.0, "1", "c")], "t")
    assert f'width="{charts.BARS_PERCENT:.3f}%"' in text
    assert f'width="{charts.BARS_PERCENT / 4:.3f}%"' in text
    assert charts.bars([charts.Bar("a", 0.0, "0", "c")], "t").count('width="0.000%"') == 1


def test_stacks_keep_the_sum_of_every_step():
    series = [(f"l{i}", [float(i), 2.0 * i, 1.0][: 2 + i % 2]) for i in range(20)]
    stack = charts.stack_of(series)
    assert len(stack) == charts.COLORS
    assert stack[-1][0] == "13 other layers"
    for step in range(3):
        whole = sum(values[step] for _, values in series if len(values) > step)
        assert sum(values[step] for _, values in stack) == pytest.approx(whole)
    assert charts.stack_of(series[:3])[0][0] == "l2"
    heights = charts.columns([("a", [1.0, 2.0]), ("b", [1.0, 0.0])], "t")
    assert heights.count("<rect") == 4
    assert heights.count('height="110.00"') == 2
    assert heights.count('height="220.00"') == 1


# Files


@pytest.mark.parametrize("suffix", [".json", ".csv", ".md", ".html", ".HTML"])
def test_the_suffix_chooses_the_form(suffix, tmp_path):
    path = tmp_path / "new" / f"report{suffix}"
    assert SMALL.write(str(path)) == path
    form = {".json": SMALL.to_json, ".csv": SMALL.to_csv, ".md": SMALL.to_markdown}
    with path.open(encoding="utf-8", newline="") as stream:
        assert stream.read() == form.get(suffix, SMALL.to_html)()
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing temporary is left"


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = SMALL.write(tmp_path / "report.md")
    before = path.read_bytes()
    with pytest.raises(EnergyError, match=r"suffix must be one of .json, .csv, .md, .html"):
        SMALL.write(tmp_path / "report.pdf")
    monkeypatch.setattr("os.fdopen", lambda *_, **__: raise_(OSError(28, "No space left")))
    with pytest.raises(EnergyError, match=r"Cannot write .*report.md: No space left"):
        typical(3).write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "folder.md").mkdir()
    monkeypatch.undo()
    with pytest.raises(EnergyError, match="Cannot write"):
        SMALL.write(tmp_path / "folder.md")


def raise_(error):
    raise error


def test_environment_names_versions_and_the_date():
    found = environment()
    assert set(found) == {"python", "torch", "numba", "platform", "date"}
    assert found["torch"].startswith("2.")
    assert len(found["date"]) == 10


# Small formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12, "12"), (999, "999"), (999.9, "1.00 k"), (1234, "1.23 k"),
     (45_600_000, "45.6 M"), (1e9, "1.00 G"), (2.5e12, "2.50 T"), (123_456, "123 k"),
     (1e15, "1.00 P"), (2e18, "2.00 E"), (1e25, "1.0e+25"), (-1234, "-1.23 k")],
)  # fmt: skip
def test_si(value, text):
    assert si(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 mJ"), (None, "-"), (1.5, "1.50 mJ"), (0.0123, "12.3 uJ"), (4.5e-6, "4.50 nJ"),
     (1e-12, "0.00100 pJ"), (2500, "2.50 J"), (0.9999, "1.00 mJ"), (123456789.0, "123 kJ")],
)  # fmt: skip
def test_joules(value, text):
    assert joules(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (0.004, "<0.01"), (-0.004, ">-0.01"), (1.005, "1.00"), (999.99, "999.99"),
     (999.999, "1000"), (12345.6, "12346"), (999_999, "999999"), (1e6, "1.0e+06")],
)  # fmt: skip
def test_fixed(value, text):
    assert fixed(value) == text
    assert len(text) <= 7


@pytest.mark.parametrize(
    ("total", "beside", "unit"),
    [(1.3, 0, "uJ"), (1.3, 456.0, "uJ"), (1.3, 4560.0, "mJ"), (33.6, 0, "mJ"), (9.99e-3, 0, "nJ"),
     (0, 0, "mJ"), (0, 1e-9, "pJ"), (1e9, 0, "J")],
)  # fmt: skip
def test_the_unit_of_a_column(total, beside, unit):
    assert column_unit(total, beside)[1] == unit


def test_other_small_formats():
    assert percent(None) == number(None) == times(None) == "-"
    assert percent(0.1234) == "12.3 %"
    assert times(0.4567) == "0.457x"
    assert shorten("a" * 50, 20).startswith("aaaaaa...")
    assert len(shorten("a" * 50, 20)) == 20
    assert clean("a\n\x07b\t c ") == "a b c"
