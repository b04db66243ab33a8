"""A comparison as it is told: studies, documents, sentences, tables, figures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from rich.console import Console

from ortlab.analysis.comparing import compare_studies, compare_text
from ortlab.analysis.comparing.compare import compare
from ortlab.analysis.comparing.compare_blocks import MAX_BLOCKS, blocks
from ortlab.charts import difference
from ortlab.cli import compare_tables, documents
from ortlab.domain.compare import Difference
from ortlab.domain.study import AAControl
from ortlab.domain.trace import Profile
from ortlab.views import ComparisonView
from tests.compared import CUDA, PROFILES, node, profile
from tests.records import configuration, row, study

DOCS = Path(__file__).parents[2] / "docs"
HOSTILE = '<b>x</b>[red]y[/red]\x1b[2J"=cmd'


def example() -> Difference:
    """One of each: slower, faster, equal, added, removed."""
    return compare(
        profile(node("/a/m", us=500.0), node("/a/c", "Conv", us=900.0), node("/a/r", "Relu"),
                node("/b/gone", "Tanh", us=70.0), source="before.json"),
        profile(node("/a/m", us=900.0), node("/a/c", "Conv", us=300.0), node("/a/r", "Relu"),
                node("/c/new", "Erf", us=80.0), source="after.json"),
    )  # fmt: skip


def shown(part: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=220, markup=False, highlight=False, emoji=False).print(part)
    return stream.getvalue().replace("\u2009", " ")


# Two studies


def test_studies_are_matched_by_configuration_and_then_by_label() -> None:
    same, renamed = configuration(threads=2), configuration(level="basic")
    other = configuration(level="basic", threads=7)
    base = study(row(same, p50_us=1000.0), row(renamed, p50_us=500.0, label="basic"),
                 row(configuration(threads=3), label="gone"))  # fmt: skip
    later = study(row(same, p50_us=500.0), row(other, p50_us=500.0, label="basic"),
                  row(configuration(threads=4), label="new"), id="s2")  # fmt: skip
    found = compare_studies.study_change(base, later)
    assert [(r.match, r.verdict) for r in found.rows] == [
        ("configuration", "faster"), ("label", "same"),
    ]  # fmt: skip
    assert found.rows[0].ratio == pytest.approx(2.0)
    assert [r.label for r in found.removed] == ["gone"]
    assert [r.label for r in found.added] == ["new"]


def test_a_study_that_could_not_hold_its_own_control_tells_less() -> None:
    base = study(row(p50_us=1000.0))
    restless = study(row(p50_us=900.0), aa=AAControl(ratio=1.0, ci95=(0.8, 1.2)))
    assert compare_studies.study_change(base, restless).rows[0].verdict == "cannot tell"
    calm = study(row(p50_us=900.0))
    assert compare_studies.study_change(base, calm).rows[0].verdict == "faster"


def test_a_failed_row_is_no_figure() -> None:
    found = compare_studies.study_change(study(row()), study(row(p50_us=None)))
    assert (found.rows[0].ratio, found.rows[0].verdict) == (None, "cannot tell")


def test_what_is_not_the_same_in_two_studies_is_told() -> None:
    codes = {n.code for n in compare_studies.study_doubts(
        study(), study(id="s2", feeds=("other",), ortlab_version="9", status="cancelled")
    )}  # fmt: skip
    assert codes == {
        "unfinished_study", "different_inputs", "different_ortlab", "studies_not_interleaved",
    }  # fmt: skip
    assert [n.code for n in compare_studies.study_doubts(study(), study())] == ["same_study"]


def test_the_best_rows_speak_for_their_studies_where_both_are_recorded() -> None:
    rows = [row(configuration(threads=n), trace_artifact="t") for n in (1, 2)]
    both = study(*rows, best=rows[1].id)
    pair = compare_studies.profiled_pair(both, both)
    assert pair is not None
    assert {r.id for r in pair} == {rows[1].id}
    bare = study(rows[0], msgspec.structs.replace(rows[1], trace_artifact=None), best=rows[1].id)
    pair = compare_studies.profiled_pair(both, bare)
    assert pair is not None
    assert {r.id for r in pair} == {rows[0].id}
    assert compare_studies.profiled_pair(both, study()) is None


# Documents, sentences, tables


def test_the_document_has_the_keys_of_the_contract() -> None:
    value = json.loads(documents.text(documents.compare(example())))
    jsonschema.validate(value, json.loads((DOCS / "schema" / "compare.json").read_text()))
    assert value["schema"] == "ortlab.compare/1"
    assert set(value["run"]) >= {"ratio", "ci95", "verdict"}
    assert set(value["base"]) >= {"source", "run_count", "run_p50_us", "grade"}
    names = {n["name"]: n for n in value["nodes"]}
    assert names["/a/m"]["verdict"] == "slower"
    assert names["/a/c"]["verdict"] == "faster"
    assert names["/a/c"]["ratio"] == pytest.approx(3.0)
    assert set(names["/a/m"]) >= {"op_type", "match", "base_us", "other_us", "delta_us", "ci95"}
    assert [n["name"] for n in value["added"]] == ["/c/new"]
    assert [n["name"] for n in value["removed"]] == ["/b/gone"]
    assert {o["op_type"] for o in value["operators"]} == {"MatMul", "Conv", "Relu", "Tanh", "Erf"}
    assert all(set(c) == {"code", "message"} for c in value["caveats"])


def test_top_keeps_the_largest_changes() -> None:
    document = documents.compare(example(), top=1)
    assert [n.name for n in document.nodes] == ["/a/c"]


def test_the_summary_says_by_how_much_and_where() -> None:
    slower = compare(
        profile(node("a", us=100.0), durations=[100] * 20, source="one"),
        profile(node("a", us=150.0), durations=[150] * 20, source="two"),
    )
    text = compare_text.summary(slower).replace("\u2009", " ")
    assert "'two' takes 50 % more than one of 'one'" in text
    assert "MatMul +50.0 µs" in text
    assert "cannot be told" not in text


def test_the_summary_does_not_sell_chance_as_a_difference() -> None:
    close = compare(
        profile(node("a"), durations=[950, 1050] * 10),
        profile(node("a"), durations=[890, 990] * 10),
    )
    assert "cannot be told" in compare_text.summary(close)


def test_many_times_as_long_is_told_as_a_factor() -> None:
    found = compare(
        profile(node("a"), durations=[100] * 20), profile(node("a"), durations=[900] * 20)
    )
    assert "9.00× as long as" in compare_text.summary(found)


def test_tables_hold_every_kind_and_no_control_characters() -> None:
    hostile = compare(profile(node(HOSTILE)), profile(node(HOSTILE), node("/q/x", "Erf")))
    assert "\x1b" not in shown(compare_tables.difference(hostile))
    text = shown(compare_tables.difference(example()))
    for word in ("slower", "faster", "removed", "added", "before.json", "after.json"):
        assert word in text


def test_a_notebook_shows_names_as_text() -> None:
    found = compare(profile(node("a", "<b>Op</b>")), profile(node("a", "<b>Op</b>")))
    view = ComparisonView(found)
    assert "<b>Op" not in view._repr_html_()
    assert list(view.table("nodes")["match"]) == ["name"]
    assert len(view.plot("bars").data) in (0, 1)


# Figures


def test_no_change_is_told_by_colour_alone() -> None:
    bar = difference.bars(example()).data[0]
    for value, text, shape in zip(bar.x, bar.text, bar.marker.pattern.shape, strict=True):
        assert text.startswith("▲ +" if value > 0 else "▼ −")
        assert shape == ("/" if value > 0 else "")
    flame = difference.flame(example()).data[0]
    by_name = dict(zip((t.split("<br>")[0] for t in flame.hovertext), flame.hovertext, strict=True))
    assert "▲" in by_name["<b>/a/m</b>"]
    assert "▼" in by_name["<b>/a/c</b>"]
    assert "added" in by_name["<b>/c/new</b>"]
    assert "removed" in by_name["<b>/b/gone</b>"]


def test_launches_are_grey_and_called_so() -> None:
    launched = profile(node("/a/x", provider=CUDA, us=500.0), async_providers=(CUDA,))
    found = compare(launched, profile(node("/a/x", us=5.0)))
    flame = difference.flame(found).data[0]
    assert set(flame.marker.color) == {difference.LAUNCH_COLOR}
    assert difference.bars(found).data[0].y[0] == "MatMul, launches"


def test_a_figure_of_many_nodes_is_small() -> None:
    nodes = [
        node(f"/l.{i // 50}/p.{i // 5 % 10}/n{i}", ("Conv", "Relu")[i % 2], 50.0 + i % 9)
        for i in range(4000)
    ]
    halved = [msgspec.structs.replace(n, p50_us=25.0, p25_us=25.0, p75_us=25.0) for n in nodes]
    found = compare(profile(*nodes), profile(*halved))
    assert len(blocks(found)) <= MAX_BLOCKS
    sent = difference.flame(found).to_json() + difference.bars(found).to_json()
    assert len(sent) < 100_000


@given(base=PROFILES, other=PROFILES)
@settings(max_examples=40, deadline=None)
def test_whatever_differs_can_be_told(base: Profile, other: Profile) -> None:
    found = compare(base, other)
    assert compare_text.summary(found) or not found.run.ratio
    assert shown(compare_tables.difference(found))
    assert difference.flame(found).to_json()
    assert difference.bars(found).to_json()
    assert documents.text(documents.compare(found))


def test_names_are_no_markup_in_figures() -> None:
    found = compare(profile(node("<a href=x>y</a>", "<i>Op</i>", us=900.0)), profile())
    sent = difference.flame(found).to_json() + difference.bars(found).to_json()
    assert "<a href" not in sent
    assert "<i>Op" not in sent


def test_nothing_to_draw_gives_a_figure_that_says_so() -> None:
    nothing = compare(profile(), profile())
    assert difference.flame(nothing).layout.annotations
    assert difference.bars(nothing).layout.annotations
    assert shown(compare_tables.difference(nothing))


def test_the_order_of_execution_is_the_order_of_blocks() -> None:
    found = compare(
        profile(node("/a/x"), node("/b/y"), node("/d/z")),
        profile(node("/a/x"), node("/b/y"), node("/c/new", "Erf"), node("/d/z")),
    )
    top = [b.label for b in sorted(blocks(found), key=lambda b: b.start_us) if b.depth == 1]
    assert top == ["a", "b", "c", "d"]
