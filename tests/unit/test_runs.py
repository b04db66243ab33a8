"""Runs are told apart, warm-up ends where the times change, and what stands out is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.reading import slow_run
from ortlab.analysis.reading.levels import levels
from ortlab.domain.trace import Profile, TraceEvent
from tests.trace_text import node, profile, recorded, session, text


def around(count: int, *, middle: float = 1000, spread: float = 0.03, seed: int = 0) -> list[int]:
    """Durations like those of real runs: log-normal around a level."""
    noise = np.random.default_rng(seed).normal(0, spread, count)
    return np.rint(middle * np.exp(noise)).astype(int).tolist()


def found(durations: list[int]) -> dict[str, Any]:
    told = levels(np.array(durations, np.int64))
    return {
        "warmup": int(told.warmup.sum()),
        "outliers": np.flatnonzero(told.outlier).tolist(),
        "changes": list(told.changes),
        "drift": told.drift,
    }


@pytest.mark.parametrize(
    ("durations", "warmup"),
    [
        ([66_000, 87], 1),
        ([4_900_000, 1_000_000], 1),
        ([371_510, 248_082], 0),
        ([1000], 0),
        ([], 0),
        ([5000, *around(7)], 1),
        ([5000, *around(500)], 1),
        ([9000, 3000, 1600, *around(50)], 3),
        ([9000, 3000, 1600, *around(5000)], 3),
        ([*around(30, middle=2000), *around(970)], 30),
        ([*around(100, middle=2000), *around(24_900)], 100),
        (around(8), 0),
        (around(1000, spread=0.2), 0),
        (around(25_000, spread=0.1), 0),
        # Recorded: one OpenVINO session, whose later runs have two speeds.
        ([31134, 7743, 7558, 11463, 7813, 11696], 1),
        # Recorded on a busy machine: no run stands out from the others.
        ([6060, 2500, 8458, 4990, 1601, 1575, 4402, 6663], 0),
    ],
)
def test_warm_up_ends_where_times_change(durations: list[int], warmup: int) -> None:
    assert found(durations)["warmup"] == warmup
    assert found(durations)["changes"] == []


@pytest.mark.parametrize("factor", [1.3, 1 / 1.3])
def test_a_step_in_the_middle_is_a_change_and_no_warm_up(factor: float) -> None:
    told = found([*around(50), *around(50, middle=1000 * factor, seed=1)])
    assert told["changes"] == [50]
    assert told["warmup"] == 0


def test_a_step_among_many_runs_is_placed_to_a_few_runs() -> None:
    told = found([*around(12_000, spread=0.1), *around(13_000, middle=1250, spread=0.1, seed=1)])
    assert len(told["changes"]) == 1
    assert abs(told["changes"][0] - 12_000) <= 20


def test_there_and_back_are_two_changes() -> None:
    told = found([*around(40), *around(20, middle=1500, seed=1), *around(40, seed=2)])
    assert told["changes"] == [40, 60]


def test_slow_drift_is_drift_and_neither_warm_up_nor_a_change() -> None:
    slope = np.linspace(1, 1.4, 300)
    told = found((np.array(around(300)) * slope).astype(int).tolist())
    assert told["drift"] == pytest.approx(0.4, abs=0.12)
    assert (told["warmup"], told["changes"]) == (0, [])
    back = found((np.array(around(300)) * slope[::-1]).astype(int).tolist())
    assert back["drift"] < -0.15
    assert back["warmup"] == 0


def test_a_slow_first_run_before_a_drift_is_warm_up_still() -> None:
    told = found([9000, *(np.array(around(300)) * np.linspace(1, 1.4, 300)).astype(int).tolist()])
    assert told["warmup"] == 1
    assert told["drift"] > 0.15


def test_single_slow_runs_are_outliers_and_change_no_level() -> None:
    durations = around(200)
    durations[50] *= 3
    durations[120] *= 3
    assert found(durations) == {"warmup": 0, "outliers": [50, 120], "changes": [], "drift": 0.0}


def test_noise_alone_is_hardly_ever_taken_for_anything() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for seed in range(100):
        told = found(around(int(rng.integers(6, 300)), spread=float(rng.choice([0.01, 0.2])),
                            seed=seed))  # fmt: skip
        wrong += bool(told["warmup"] or told["changes"] or told["drift"])
    assert wrong <= 2


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 10**9), max_size=400))
def test_whatever_the_durations_warm_up_leads_and_leaves_half(durations: list[int]) -> None:
    told = levels(np.array(durations, np.int64))
    warm = told.warmup.tolist()
    assert warm == sorted(warm, reverse=True)
    assert sum(warm) <= len(warm) // 2
    assert not (told.warmup & told.outlier).any()
    assert all(0 < at < len(durations) for at in told.changes)


def trace(durations: list[int], *, nodes: tuple[str, ...] = ("a", "b")) -> list[dict[str, Any]]:
    """A session's runs one after the other, each of nodes that share it."""
    events, at = [session("model_loading_uri", 0, 5), session("session_initialization", 6, 9)], 100
    for duration in durations:
        each = (duration - 6) // len(nodes)
        events += [node(n, at + 2 + i * each, each) for i, n in enumerate(nodes)]
        events.append(session("SequentialExecutor::Execute", at + 1, duration - 3))
        events.append(session("model_run", at, duration))
        at += duration + 10
    return events


def codes(of: Profile) -> set[str]:
    return {reason.code for reason in of.trust.reasons}


def test_executor_time_tells_the_framework_around_it() -> None:
    runs = profile(text(trace([60, 50]))).runs
    assert [run.duration_us - (run.executor_us or 0) for run in runs] == [3, 3]
    assert [run.executor_count for run in runs] == [1, 1]


def test_graphs_that_nodes_run_are_counted_and_the_longest_executor_is_the_runs_own() -> None:
    runs = profile(recorded("cpu_control_flow")).runs
    assert [(run.executor_us, run.executor_count) for run in runs] == [(164, 7), (72, 7)]


def test_a_run_that_misses_nodes_is_told_and_left_out_of_steady_figures() -> None:
    events = trace([100] * 12)
    failed = next(i for i, e in enumerate(events) if e["name"] == "b_kernel_time" and i > 20)
    del events[failed]
    whole, steady = profile(text(events)), profile(text(events), steady=True)
    assert [run.index for run in whole.runs if run.partial] == [5]
    assert "partial_runs" in codes(whole)
    assert steady.counted_runs == 11
    assert {row.run_count for row in steady.nodes} == {11}


def test_a_run_without_an_end_is_told_and_no_run() -> None:
    events = trace([100] * 4)
    cut = profile(text(events[:-2]))
    assert len(cut.runs) == 3
    assert "partial_run" in codes(cut)
    assert "outside_runs" not in codes(cut)
    assert cut.node_event_count == 8


def test_runs_of_a_file_without_run_events_are_told_by_their_executors() -> None:
    events = [e for e in trace([100, 90, 80]) if e["name"] != "model_run"]
    told = profile(text(events))
    assert [run.duration_us for run in told.runs] == [97, 87, 77]
    assert [run.node_count for run in told.runs] == [2, 2, 2]
    assert "runs_from_executors" in codes(told)


def test_one_executor_without_a_run_is_a_run_cut_off_and_no_run() -> None:
    events = [e for e in trace([100]) if e["name"] != "model_run"]
    assert profile(text(events)).runs == ()


def test_sessions_joined_into_one_file_keep_their_clocks_and_warm_up_apart() -> None:
    # Both begin at 0 on the same thread, as two sessions of one process do.
    first, second = trace([400, 100, 100, 100]), trace([900, 200, 200, 200])
    told = profile(text(first + second))
    assert [run.session for run in told.runs] == [0] * 4 + [1] * 4
    assert [run.duration_us for run in told.runs] == [400, 100, 100, 100, 900, 200, 200, 200]
    assert [run.node_count for run in told.runs] == [2] * 8
    assert [run.index for run in told.runs if run.warmup] == [0, 4]
    assert {"several_sessions"} <= codes(told)
    assert "concurrent_runs" not in codes(told)
    assert "overlapping_events" not in codes(told)
    alone = [profile(text(part)) for part in (first, second)]
    assert told.toplevel_us == sum(p.toplevel_us for p in alone)


def test_sessions_of_several_processes_may_be_interleaved() -> None:
    first, second = trace([400, 100, 100]), trace([300, 90, 90])
    for event in second:
        event["pid"] = 2
    mixed = [e for pair in zip(first, second, strict=True) for e in pair]
    told = profile(text(mixed))
    assert [(r.session, r.duration_us) for r in told.runs] == [
        (0, 400), (0, 100), (0, 100), (1, 300), (1, 90), (1, 90)
    ]  # fmt: skip
    assert [run.node_count for run in told.runs] == [2] * 6


def test_one_session_is_session_zero_whatever_it_recorded() -> None:
    for name in ("cpu_mlp_24runs", "cpu_concurrent_runs", "webgpu_tail"):
        told = profile(recorded(name))
        assert {run.session for run in told.runs} == {0}
        assert "several_sessions" not in codes(told)


def test_recorded_warm_up_and_outlier_are_found() -> None:
    runs = profile(recorded("cpu_mlp_24runs")).runs
    assert [run.index for run in runs if run.warmup] == [0, 1]
    assert [run.index for run in runs if run.outlier] == [21]
    assert runs[21].duration_us == 48


def test_every_recorded_run_has_its_nodes_inside_its_executor(shared_folder: Path) -> None:
    for path in sorted((shared_folder / "traces" / "own").glob("cpu_seq*.json")):
        for run in profile(path.read_bytes()).runs:
            assert run.executor_us is not None
            assert run.node_time_us <= run.executor_us + run.node_count
            assert run.executor_us <= run.duration_us


def test_a_slow_run_is_set_beside_the_median_run_node_by_node() -> None:
    told = profile(text(trace([500, *[100 + i for i in range(9)], 900])))
    slow = told.runs[-1]
    usual = slow_run.usual_run(told.runs, slow)
    steady = sorted(r.duration_us for r in told.runs if not r.warmup)
    assert usual.duration_us == steady[(len(steady) - 1) // 2]
    made = slow_run.beside(slow, usual, events=_events(10, 5), usual_events=_events(1, 2))
    assert [(row.name, row.more_us) for row in made.nodes] == [("x", 9), ("y", 3)]
    assert made.nodes_more_us == 12
    assert made.more_us == slow.duration_us - usual.duration_us


def test_work_of_a_device_is_not_counted_twice_beside_its_node() -> None:
    told = profile(text(trace([100] * 4)))
    layer = msgspec.structs.replace(_events(8, 0)[0], name="layer", is_device=True)
    made = slow_run.beside(told.runs[3], told.runs[1], events=[*_events(10, 5), layer],
                           usual_events=_events(1, 2))  # fmt: skip
    assert made.nodes_more_us == 12
    assert [row.name for row in made.nodes if row.is_device] == ["layer"]


def _events(*durations: int) -> list[TraceEvent]:
    return [
        TraceEvent(name=name, op_type="Op", provider="P", thread=0, start_us=0, duration_us=us,
                   self_us=us, depth=0)
        for name, us in zip("xy", durations, strict=True)
    ]  # fmt: skip
