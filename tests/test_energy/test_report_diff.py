"""Two reports side by side: what was added, removed and changed, and when that cannot be said."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from reference.reports import INT8, layer, neuron, parts_by_chance, report, report_by_chance
from rich.console import Console

from energy import EnergyError
from energy.reports.diff import Delta, diff

BEFORE = report(
    layer("stem", mac=1_000_000),
    layer("gone", ac=200_000),
    layer("same", ac=50_000),
    layer("fewer", ac=400_000, dense=1_000_000),
    neuron("fire", ops=100),
)
AFTER = report(
    layer("new", mac=3000),
    layer("stem", mac=1_000_000),
    layer("same", ac=50_000),
    layer("fewer", ac=100_000, dense=1_000_000),
    layer("stem", mac=70_000),
    neuron("fire", ops=300),
)


def printed(table):
    console = Console(width=300, file=io.StringIO(), color_system=None)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_rows_are_matched_by_name_kind_and_occurrence():
    rows = [(row.name, row.status) for row in diff(BEFORE, AFTER).rows]
    assert rows == [
        ("new", "added"), ("stem", "same"), ("gone", "removed"), ("same", "same"),
        ("fewer", "changed"), ("stem", "added"), ("fire", "changed"),
    ]  # fmt: skip
    other_kind = report(layer("stem", mac=1_000_000, kind="linear"))
    statuses = [row.status for row in diff(report(layer("stem", mac=1_000_000)), other_kind).rows]
    assert sorted(statuses) == ["added", "removed"]


def test_deltas_and_ratios():
    found = diff(BEFORE, AFTER)
    fewer = next(row for row in found.rows if row.name == "fewer")
    assert (fewer.ac.before, fewer.ac.after, fewer.ac.change) == (400_000, 100_000, -300_000)
    assert fewer.ac.ratio == fewer.energy_uj.ratio == 0.25
    assert fewer.mac == Delta(before=0, after=0)
    assert fewer.mac.ratio is None
    assert found.total_mj.before == BEFORE.total_mj
    assert found.total_mj.after == AFTER.total_mj
    assert found.everything_mj.change == pytest.approx(AFTER.everything_mj - BEFORE.everything_mj)
    fire = next(row for row in found.rows if row.name == "fire")
    assert fire.beside_uj.ratio == pytest.approx(3)
    assert not fire.has_synapses
    assert not found.repriced


@given(parts_by_chance(), parts_by_chance())
def test_changes_of_rows_add_up_to_the_change_of_the_totals(one, two):
    before, after = report_by_chance(one), report_by_chance(two)
    found = diff(before, after)
    assert len(found.rows) <= len(before.layers) + len(after.layers)
    for name in ("ac", "mac"):
        parts = [getattr(row, name) for row in found.rows]
        assert sum(p.before for p in parts) == pytest.approx(getattr(before, name))
        assert sum(p.after for p in parts) == pytest.approx(getattr(after, name))
    assert max(map(wide, printed(found.table()))) <= 100
    mirrored = {(row.name, row.kind): row.status for row in diff(after, before).rows}
    swap = {"added": "removed", "removed": "added"}
    forward = {(row.name, row.kind): row.status for row in found.rows}
    if len(forward) == len(found.rows) and len(mirrored) == len(found.rows):
        assert mirrored == {key: swap.get(status, status) for key, status in forward.items()}
    assert diff(before, before).differences == ()
    json.loads(found.to_json(), parse_constant=pytest.fail)


def wide(line):
    from rich.cells import cell_len

    return cell_len(line)


def test_other_prices_need_counts():
    cheap = report(*(replace(row) for row in AFTER.layers), technology=INT8)
    found = diff(BEFORE, cheap)
    assert found.repriced
    assert found.technology == BEFORE.technology
    assert found.total_mj.after == pytest.approx(AFTER.total_mj)
    assert "priced again from the counts" in found.summary[-1]
    both = diff(BEFORE, AFTER, INT8)
    assert both.technology == INT8
    assert both.total_mj.before == pytest.approx((650_000 * 0.03 + 1_000_000 * 0.23) * 1e-9)
    with pytest.raises(EnergyError, match=r"cannot be compared: one is priced with test-int8"):
        diff(BEFORE, replace(cheap, counts=()))
    with pytest.raises(EnergyError, match=r"cannot be compared with test-int8: one .* test-fp32"):
        diff(replace(BEFORE, counts=()), AFTER, INT8)
    assert not diff(replace(BEFORE, counts=()), AFTER).repriced


def test_memory_counts_only_where_both_have_a_model():
    modeled = report(layer("a", ac=1000, memory_uj=5.0))
    plain = report(layer("a", ac=1000))
    assert diff(plain, modeled).everything_mj.change == pytest.approx(0, abs=1e-15)
    assert diff(modeled, modeled).everything_mj.after == pytest.approx(0.005 + 0.9e-6)


def test_forms(tmp_path):
    found = diff(BEFORE, AFTER)
    lines = printed(found.table())
    text = "\n".join(lines)
    assert any(line.split()[:2] == ["+", "new"] for line in lines)
    assert any(line.split()[:2] == ["-", "gone"] for line in lines)
    assert "400 k -> 100 k" in text
    assert "0.25x" in text
    assert "same" not in text
    assert "2 added, 1 removed, 1 changed, 2 same layers" in found.summary
    document = json.loads(found.write(tmp_path / "d.json").read_text())
    assert document["rows"][0]["status"] == "added"
    assert document["rows"][0]["ac"] == {"before": 0, "after": 0, "change": 0, "ratio": None}
    markdown = found.write(tmp_path / "d.md").read_text()
    assert markdown.startswith("# Change of energy\n")
    assert "gone" in markdown
    with pytest.raises(EnergyError, match=r"must be one of .json, .md"):
        found.write(tmp_path / "d.csv")
