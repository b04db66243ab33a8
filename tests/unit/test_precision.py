"""How the time of a study is spent."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ortlab.domain.study import StopRule
from ortlab.measure.precision import BLOCK_US, block_plan, precise_enough, schedule

run_times = st.lists(st.floats(5, 5e6), min_size=2, max_size=12)


@given(run_times, st.floats(1, 300), st.floats(0.01, 20))
def test_a_schedule_always_has_processes_sessions_and_time(
    run_us: list[float], seconds: float, open_s: float
) -> None:
    plan = schedule(StopRule(seconds=seconds), run_us=run_us, open_s=[open_s] * len(run_us))
    assert plan.process_sets >= 4
    assert plan.process_sets % 2 == 0
    assert plan.sessions_each >= 1
    assert math.isclose(plan.set_seconds * plan.process_sets, seconds)


def test_short_runs_get_more_sessions() -> None:
    stop = StopRule(seconds=10)
    short = schedule(stop, run_us=[14, 14], open_s=[0.01, 0.01])
    long = schedule(stop, run_us=[8_000, 8_000], open_s=[0.01, 0.01])
    assert short.process_sets * short.sessions_each >= 40
    assert 12 <= long.process_sets * long.sessions_each < 40


def test_dear_sessions_are_opened_less_often() -> None:
    plan = schedule(StopRule(seconds=4), run_us=[50_000, 50_000], open_s=[8.0, 8.0])
    assert (plan.process_sets, plan.sessions_each) == (4, 1)


@given(st.integers(1, 100_000), st.floats(5, 1e6))
def test_asking_for_a_count_bounds_the_sessions_by_it(runs: int, run_us: float) -> None:
    plan = schedule(StopRule(runs=runs), run_us=[run_us, run_us], open_s=[0.1, 0.1])
    assert plan.runs_each == runs
    assert plan.process_sets >= 4


@given(run_times)
def test_a_search_for_precision_respects_its_time_limit(run_us: list[float]) -> None:
    stop = StopRule(seconds=20, precision=0.01)
    plan = schedule(stop, run_us=run_us, open_s=[0.1] * len(run_us))
    assert plan.precision == 0.01
    assert plan.process_sets % 2 == 0
    assert plan.set_seconds * plan.process_sets <= 20.001 or plan.process_sets == 4


@given(st.floats(0.1, 1e7))
def test_a_turn_is_short_and_never_empty(run_us: float) -> None:
    plan = block_plan(run_us)
    assert plan.runs >= 1
    assert plan.runs * run_us <= max(BLOCK_US + run_us, run_us * 1.001) * 1.5 or plan.runs == 1


def test_precise_enough_looks_at_every_interval() -> None:
    assert precise_enough([(0.995, 1.005)], precision=0.01)
    assert not precise_enough([(0.995, 1.005), (0.9, 1.1)], precision=0.01)
    assert not precise_enough([(0.0, math.inf)], precision=0.01)
    assert precise_enough([], precision=0.01)
