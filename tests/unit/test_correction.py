"""What the profiler adds is subtracted where it is proven, and only told where it is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.trusting.correction import ESTIMATE_HIGH_US, ESTIMATE_LOW_US
from ortlab.domain.trace import Profile
from tests.trace_text import node, profile, session, text

# 20 nodes of 10 µs and 1 µs in turns, a pause after each; the profiler adds to all of them.
TRUE_US = [10, 1] * 10


def profiled(inside_us: int, between_us: int, *, runs: int = 12) -> list[dict[str, Any]]:
    """Runs of a model whose nodes take `TRUE_US`, with what a profiler adds in and between."""
    events, at = [], 0
    for _ in range(runs):
        begin = at
        for number, true in enumerate(TRUE_US):
            events.append(node(f"n{number}", at, true + inside_us, op="A" if true > 1 else "B"))
            at += true + inside_us + between_us
        events.append(session("model_run", begin, at - begin))
        at += 50
    return events


def corrected(found: Profile) -> dict[str, float | None]:
    return {row.op_type: row.corrected_self_us for row in found.operators}


def test_against_the_twin_node_times_become_what_they_were() -> None:
    found = profile(text(profiled(2, 3)), twin_p50_us=float(sum(TRUE_US)))
    assert found.correction is not None
    assert found.correction.basis == "measured"
    assert found.correction.per_event_us == pytest.approx(5)
    assert found.correction.inside_us == pytest.approx(2)
    assert corrected(found) == pytest.approx({"A": 12 * 100, "B": 12 * 10})
    assert found.correction.removed_us == pytest.approx(2 * 20 * 12)
    assert found.correction.withheld_us == pytest.approx(0)


def test_corrected_node_times_of_a_run_are_no_longer_than_the_unprofiled_run() -> None:
    twin = 100.0
    found = profile(text(profiled(3, 1)), twin_p50_us=twin)
    assert sum(row.corrected_self_us or 0 for row in found.nodes) == pytest.approx(12 * twin)


def test_nothing_is_subtracted_from_nodes_that_fit_into_the_unprofiled_run() -> None:
    found = profile(text(profiled(0, 5)), twin_p50_us=150.0)
    assert found.correction is not None
    assert found.correction.per_event_us > 0
    assert found.correction.inside_us == 0
    assert corrected(found) == {"A": None, "B": None}
    assert found.correction.removed_us == 0


def test_no_time_becomes_negative_and_what_is_withheld_is_told() -> None:
    events = profiled(0, 6)
    for event in events:
        if event["name"].startswith("n1_"):
            event["dur"] = 6
    found = profile(text(events), twin_p50_us=30.0)
    assert found.correction is not None
    assert all(row.corrected_self_us is not None for row in found.nodes)
    assert min(row.corrected_self_us or 0 for row in found.nodes) == 0
    assert found.correction.withheld_us > 0
    told = sum(row.self_us - (row.corrected_self_us or 0) for row in found.nodes)
    assert found.correction.removed_us == pytest.approx(told)


def test_a_node_that_is_mostly_the_profilers_is_doubted_and_a_long_one_is_not() -> None:
    found = profile(text(profiled(2, 3)), twin_p50_us=float(sum(TRUE_US)))
    assert {row.op_type: row.doubt for row in found.operators} == {"A": None, "B": "profiler"}


def test_without_a_twin_it_is_an_estimate_and_nothing_is_subtracted() -> None:
    found = profile(text(profiled(1, 3)))
    assert found.correction is not None
    assert found.correction.basis == "estimated"
    assert found.correction.low_us == ESTIMATE_LOW_US < ESTIMATE_HIGH_US == found.correction.high_us
    assert corrected(found) == {"A": None, "B": None}
    assert {row.op_type: row.doubt for row in found.operators} == {"A": None, "B": "profiler"}


def test_two_runs_are_no_measurement_even_with_a_twin() -> None:
    found = profile(text(profiled(2, 3, runs=2)), twin_p50_us=110.0)
    assert found.correction is not None
    assert found.correction.basis == "estimated"


def test_nodes_in_parallel_may_add_up_to_more_than_a_run() -> None:
    events = profiled(0, 0)
    for number, event in enumerate(events):
        if event["cat"] == "Node":
            event["tid"] = 1 + number % 2
    found = profile(text(events), twin_p50_us=60.0)
    assert found.correction is not None
    assert found.correction.inside_us == 0


def test_launches_are_not_corrected() -> None:
    events = profiled(2, 3)
    for event in events:
        if event["cat"] == "Node":
            event["args"]["provider"] = "CUDAExecutionProvider"
    found = profile(text(events), twin_p50_us=110.0)
    assert corrected(found) == {"A": None, "B": None}
    assert {row.doubt for row in found.nodes} == {"launch"}


def test_a_twin_that_is_slower_than_the_profile_leaves_times_alone() -> None:
    found = profile(text(profiled(0, 1)), twin_p50_us=900.0)
    assert found.correction is not None
    assert found.correction.per_event_us == 0
    assert corrected(found) == {"A": None, "B": None}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.floats(1, 500))
def test_operators_hold_the_corrected_times_of_their_nodes(
    inside: int, between: int, twin: float
) -> None:
    found = profile(text(profiled(inside, between)), twin_p50_us=twin)
    for row in found.operators:
        own = [n.corrected_self_us for n in found.nodes if n.op_type == row.op_type]
        if row.corrected_self_us is None:
            assert own == [None] * len(own)
        else:
            assert row.corrected_self_us == pytest.approx(sum(us or 0 for us in own))
            assert 0 <= row.corrected_self_us <= row.self_us
