"""What the figures of a profile say about names, providers and runs that they did not choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ortlab.analysis.reading.derived import derive
from ortlab.analysis.threads import threads as pool_report
from ortlab.charts import operators, placement, threads
from ortlab.domain.placement import Placement
from ortlab.lab import Lab
from ortlab.ui import trust_panel
from ortlab.ui.table_view import fitting
from tests.app.conftest import page
from tests.conftest import ROOT
from tests.trace_text import decoded, node, profile, session, text

EVIL = "<a href='http://evil.example'>x</a>ExecutionProvider"


def _shown(figure: Any) -> str:
    return str(figure.to_plotly_json())


def test_a_foreign_provider_is_no_markup_in_the_figure_of_operators() -> None:
    found = profile(text([
        node("a", 0, 50, op="Conv"), node("b", 60, 40, op="Conv", provider=EVIL),
        session("model_run", 0, 120),
    ]))  # fmt: skip
    shown = _shown(operators.bars(found))
    assert "&lt;a href" in shown
    assert "<a href" not in shown


def test_a_foreign_provider_is_no_markup_in_the_figure_of_threads() -> None:
    stats = {
        "main_thread": {"thread_pool_name": "p", "thread_id": "1", "block_size": [4], "core": 0,
                        "Distribution": 0, "DistributionEnqueue": 0, "Run": 9, "Wait": 1,
                        "WaitRevoke": 0},
        "sub_threads": {"100": {"num_run": 1, "core": 1}},
    }  # fmt: skip
    _, path = decoded(text([
        node("a", 0, 50, op="Conv", thread_scheduling_stats=stats),
        node("b", 60, 40, op="Conv", provider=EVIL, thread_scheduling_stats=stats),
        session("model_run", 0, 120),
    ]))  # fmt: skip
    report = pool_report(derive(path))
    assert report is not None
    shown = _shown(threads.by_operator(report))
    assert "&lt;a href" in shown
    assert "<a href" not in shown


def test_a_provider_that_ran_everything_is_named_in_its_bar() -> None:
    whole = {"CPUExecutionProvider": 1.0}
    figure = placement.shares(Placement(
        requested=(), active=(), node_share_by_provider=whole, time_share_by_provider=whole
    ))  # fmt: skip
    assert all(told.startswith("CPU ") for told in figure.data[0].text)


@pytest.mark.parametrize(("runs", "told"), [(1, "1 run, "), (2, "2 runs, ")])
def test_one_run_is_no_runs(runs: int, told: str) -> None:
    events = []
    for i in range(runs):
        events += [node("a", 100 * i, 50), session("model_run", 100 * i, 60)]
    facts = trust_panel.facts(profile(text(events)))
    assert facts.startswith(told)
    assert f"{runs} node event{'s' * (runs > 1)} " in facts + " "


def test_a_table_of_a_few_rows_is_no_higher_than_they_are() -> None:
    assert fitting(420, 3) == "auto"
    assert fitting(420, 40) == 420
    assert fitting("auto", 40) == "auto"


def test_the_headline_of_memory_names_the_run_it_speaks_of(own_home: Path) -> None:
    trace = Lab.open(own_home).open_trace(ROOT / "tests" / "data" / "cpu_mlp_24runs.json")
    app = page("profile", trace=trace, view="memory")
    told = [m.value for m in app.markdown if "in use after a node" in m.value]
    assert len(told) == 1
    assert told[0].startswith("In run ")


def test_the_timeline_of_launches_says_what_its_blocks_are(own_home: Path) -> None:
    lab, said = Lab.open(own_home), "not the work itself"
    for name, launches in (("detector_webgpu.json", True), ("digits_cnn_cpu.json", False)):
        trace = lab.open_trace(ROOT / "sample_models" / "traces" / name)
        app = page("profile", trace=trace, view="timeline")
        assert any(said in c.value for c in app.caption) is launches
