"""Tables say what the records hold, and never let a stranger's name draw on the terminal."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType

from ortlab.analysis.diagnosing.diagnoses import findings
from ortlab.cli import tables
from tests import records
from tests.records import configuration, row, study


def shown(part: RenderableType) -> str:
    """What a pipe would get."""
    stream = io.StringIO()
    Console(file=stream, width=200, markup=False, highlight=False, emoji=False).print(part)
    return stream.getvalue().replace("\u2009", " ")


def test_the_study_table_has_a_row_each_and_the_reasons_of_failed_ones():
    failed = row(configuration(threads=2), p50_us=None)
    fast = row(configuration(level="basic"), p50_us=500.0, ratio=2.0)
    text = shown(tables.study(study(row(), fast, failed, best=fast.id)))
    assert "500 µs" in text
    assert "2.00×" in text
    assert "The process crashed." in text
    assert "Control pair: 1.001" in text


def test_the_verdict_names_the_fastest_with_its_interval():
    fast = row(configuration(level="basic"), p50_us=500.0, ratio=2.0)
    text = tables.verdict(study(row(), fast, best=fast.id))
    assert "row basic" in text
    assert "1.98 to 2.02" in text


def test_the_verdict_does_not_crown_a_row_that_cannot_be_told_apart():
    base = row()
    other = row(configuration(level="basic"), ratio=0.999)
    assert "Nothing is clearly faster" in tables.verdict(study(base, other, best=base.id))


def test_the_verdict_does_not_call_a_row_fastest_that_cannot_be_told_from_the_baseline():
    faster = row(configuration(level="basic"), p50_us=990.0, ratio=1.01, half_width=0.1)
    text = tables.verdict(study(row(), faster, best=faster.id))
    assert "fastest" not in text
    assert "cannot be told apart" in text


def test_findings_are_listed_with_their_evidence():
    slow = study(row(configuration(threads=8)))
    found = findings(slow, machine=records.machine(), model=records.model(),
                     profiles={}, placements={})  # fmt: skip
    assert "8 intra-op threads on 4 usable cores" in shown(tables.study(slow, found))


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    hostile = records.model(name="a\x1b[2J\x07b [red]x[/red]")
    text = shown(tables.model(hostile))
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


def test_profile_placement_and_machine_tables_show_their_figures():
    profile = shown(tables.profile(records.profile({"MatMul": (2, 3000), "Relu": (2, 1000)})))
    assert "75.0 %" in profile
    assert "MatMul_0" in profile
    placement = shown(tables.placement(records.fallen_back(costly=2)))
    assert "NonZero" in placement
    assert "no kernel" in placement
    assert "4 usable of 8" in shown(tables.machine(records.machine()))


def test_an_empty_history_says_what_to_do():
    assert "ortlab bench MODEL" in shown(tables.history([]))
