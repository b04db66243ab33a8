"""What the figures of a profile say about names, providers and runs that they did not choose."""

from __future__ import annotations

from typing import Any

import pytest

from ortlab.analysis.reading.derived import derive
from ortlab.analysis.threads import threads as pool_report
from ortlab.charts import operators, placement, threads
from ortlab.domain.placement import Placement
from ortlab.ui import trust_panel
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
