"""What a profile says of nodes, operators, runs and its own worth."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.profiles import traces
from ortlab.domain.trace import Profile
from ortlab.errors import TraceError
from tests.trace_text import node, profile, recorded, session, text

RECORDED = ("cpu_mlp_24runs", "cpu_control_flow", "cpu_parallel_executor", "cpu_concurrent_runs",
            "webgpu_tail", "webgpu_shapes")  # fmt: skip


@st.composite
def nested_runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Runs on up to three threads at once, of nodes that hold nodes, two levels deep."""
    events: list[dict[str, Any]] = []
    for tid in range(draw(st.integers(1, 3))):
        clock = draw(st.integers(0, 50))
        for _ in range(draw(st.integers(1, 4))):
            begin = clock
            for i in range(draw(st.integers(0, 4))):
                clock, own = _tree(draw, clock + 1, depth=0, name=f"n{i}", tid=tid)
                events += own
            clock += draw(st.integers(1, 20))
            events.append(session("model_run", begin, clock - begin, tid=tid))
            clock += 1
    return events


def _tree(
    draw: st.DrawFn, start: int, *, depth: int, name: str, tid: int
) -> tuple[int, list[dict[str, Any]]]:
    clock, inside = start + 1, []
    for i in range(draw(st.integers(0, 2 - depth))):
        clock, own = _tree(draw, clock, depth=depth + 1, name=f"b{i}", tid=tid)
        inside += own
    end = clock + draw(st.integers(1, 30))
    op = draw(st.sampled_from(["Conv", "Add", "Relu"])) if not inside else "Loop"
    provider = draw(st.sampled_from(["CPUExecutionProvider", "XnnpackExecutionProvider"]))
    return end + 1, [*inside, node(name, start, end - start, op=op, tid=tid, provider=provider)]


def check_laws(found: Profile) -> None:
    own = sum(row.self_us for row in found.nodes)
    assert own == found.toplevel_us
    assert own == sum(row.self_us for row in found.operators)
    assert own == sum(row.self_us for row in found.providers)
    assert found.node_time_us == sum(row.total_us for row in found.operators)
    assert found.node_event_count == sum(row.calls for row in found.nodes)
    assert all(row.self_us >= 0 for row in found.nodes)
    claimed = [row.share for row in (*found.operators, *found.providers) if row.share is not None]
    if found.node_event_count and not found.async_providers:
        assert sum(claimed) == pytest.approx(2)
    assert all(0 <= share <= 1 for share in claimed)


@settings(max_examples=80, deadline=None)
@given(nested_runs())
def test_own_times_add_up_to_top_times_and_stay_within_the_run(
    events: list[dict[str, Any]],
) -> None:
    found = profile(text(events))
    check_laws(found)
    for run in found.runs:
        assert run.node_time_us <= run.duration_us
    assert sum(run.node_time_us for run in found.runs) == found.toplevel_us
    assert sum(run.node_count for run in found.runs) == found.node_event_count


@settings(max_examples=50, deadline=None)
@given(nested_runs(), st.randoms())
def test_the_order_of_lines_changes_no_time(events: list[dict[str, Any]], random: Any) -> None:
    expected = profile(text(events))
    shuffled = list(events)
    random.shuffle(shuffled)
    found = profile(text(shuffled))
    assert (found.operators, found.providers) == (expected.operators, expected.providers)
    assert sorted(times_of_runs(found)) == sorted(times_of_runs(expected))


def times_of_runs(found: Profile) -> list[tuple[int, int, int]]:
    return [(run.start_us, run.duration_us, run.node_time_us) for run in found.runs]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2), st.booleans()),
        max_size=30,
    )
)
def test_laws_hold_for_any_overlap_and_no_time_is_invented(spans: list[Any]) -> None:
    events = [
        node(f"n{i % 4}", ts, dur, tid=tid, op="If" if holds else "Add")
        for i, (ts, dur, tid, holds) in enumerate(spans)
    ]
    found = profile(text([session("model_run", 0, 100), *events]))
    check_laws(found)
    assert found.node_time_us == sum(dur for _, dur, _, _ in spans)


@pytest.mark.parametrize("name", RECORDED)
def test_laws_hold_for_recorded_traces(name: str) -> None:
    found = profile(recorded(name))
    check_laws(found)
    assert found.runs
    assert found.damaged_event_count == 0


def test_bodies_of_loops_are_not_counted_twice() -> None:
    found = profile(recorded("cpu_control_flow"))
    assert found.toplevel_us < found.node_time_us
    assert {row.scope for row in found.nodes} == {"", "loop", "loop/branch"}
    # `same` is a MatMul in one branch and an Add in the other: two nodes, not one.
    assert sorted(row.op_type for row in found.nodes if row.name == "same") == ["Add", "MatMul"]
    loop = next(row for row in found.nodes if row.name == "loop")
    body = sum(row.self_us for row in found.nodes if row.scope)
    assert loop.self_us + body == loop.total_us


def scopes_of(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((row.scope, row.name) for row in profile(text(events)).nodes)


def test_equal_nodes_inside_and_outside_of_a_body_are_two_nodes() -> None:
    events = [node("same", 2, 3, op="Add"), node("loop", 1, 9, op="Loop"),
              node("same", 20, 3, op="Add")]  # fmt: skip
    assert scopes_of(events) == [("", "loop"), ("", "same"), ("loop", "same")]


def test_a_body_that_seems_to_end_a_microsecond_late_is_still_inside() -> None:
    # Start and length are cut to whole µs one by one; ORT writes the inner event first.
    events = [node("inner", 5, 6), node("branch", 1, 9, op="If")]
    assert scopes_of(events) == [("", "branch"), ("branch", "inner")]
    assert scopes_of(events[::-1]) == [("", "branch"), ("", "inner")]


def test_an_event_of_no_length_at_a_border_is_inside_only_of_what_runs_graphs() -> None:
    inner = node("inner", 10, 0)
    assert scopes_of([inner, node("branch", 1, 9, op="If")])[1] == ("branch", "inner")
    assert scopes_of([inner, node("add", 1, 9, op="Add")])[1] == ("", "inner")
    assert scopes_of([node("branch", 1, 9, op="If"), inner])[1] == ("", "inner")


def test_where_no_event_took_time_shares_are_of_calls() -> None:
    found = profile(text([node("a", 1, 0), node("b", 2, 0, op="Add"), node("b", 3, 0, op="Add")]))
    assert {row.op_type: row.share for row in found.operators} == {
        "Add": pytest.approx(2 / 3),
        "MatMul": pytest.approx(1 / 3),
    }


def test_time_of_a_loop_body_node_is_summed_over_the_turns_of_a_run() -> None:
    # Two runs; in each the Loop calls `step` three times: 3 × 2 µs, then 3 × 4 µs.
    events = []
    for start, step in ((0, 2), (100, 4)):
        events += [node("step", start + 10 + 10 * i, step, op="Add") for i in range(3)]
        events += [node("loop", start + 5, 50, op="Loop"), session("model_run", start, 60)]
    found = profile(text(events))
    row = next(row for row in found.nodes if row.name == "step")
    assert (row.calls, row.total_us, row.p50_us, row.scope) == (6, 18, 6.0, "loop")


def test_node_percentiles_are_observed_and_p95_is_withheld_below_20_runs() -> None:
    found = profile(recorded("cpu_mlp_24runs"))
    content = json.loads(recorded("cpu_mlp_24runs"))
    times = sorted(e["dur"] for e in content if e["name"] == "relu_kernel_time")
    row = next(row for row in found.nodes if row.name == "relu")
    assert (row.p50_us, row.p95_us) == (times[11], times[22])
    assert profile(recorded("cpu_control_flow")).nodes[0].p95_us is None


def test_steady_leaves_warmup_runs_out_of_every_total() -> None:
    durations = [900, 500, 100, 101, 99, 100, 102, 98]
    events, clock = [], 0
    for duration in durations:
        events += [node("a", clock, duration - 10), session("model_run", clock, duration)]
        clock += duration + 5
    steady, whole = profile(text(events), steady=True), profile(text(events))
    assert [run.warmup for run in whole.runs] == [True, True] + [False] * 6
    assert steady.node_time_us == sum(durations[2:]) - 60
    assert (steady.counted_runs, whole.counted_runs) == (6, 8)
    assert "warmup_mixed" in codes(whole)
    assert "warmup_mixed" not in codes(steady)


def test_nodes_of_a_parallel_executor_belong_to_the_run_that_holds_them_in_time() -> None:
    events = [node("a", 12, 5, tid=7), node("b", 13, 9, tid=8), session("model_run", 10, 20)]
    found = profile(text(events))
    assert found.runs[0].node_count == 2
    recorded_run = profile(recorded("cpu_parallel_executor"))
    assert [run.node_count for run in recorded_run.runs] == [4, 4, 4]


def test_concurrent_runs_keep_their_own_nodes_apart_by_thread() -> None:
    found = profile(recorded("cpu_concurrent_runs"))
    assert [run.node_count for run in found.runs] == [4] * 12
    assert "concurrent_runs" in codes(found)


def test_trace_without_runs_still_tells_nodes() -> None:
    found = profile(text([node("a", 0, 5), node("a", 9, 7), node("b", 30, 1)]))
    assert found.runs == ()
    assert found.nodes[0].p50_us == 5
    assert "no_runs" in codes(found)
    assert found.trust.grade == "D"


def test_trace_without_nodes_is_worth_nothing() -> None:
    found = profile(text([session("model_run", 0, 5)]))
    assert (found.trust.grade, found.operators, found.node_event_count) == ("F", (), 0)


def codes(found: Profile) -> set[str]:
    return {reason.code for reason in found.trust.reasons}


def test_launch_times_of_asynchronous_providers_are_called_that() -> None:
    found = profile(recorded("webgpu_tail"))
    assert found.async_providers == ("WebGpuExecutionProvider",)
    assert found.trust.grade == "D"
    assert "do not rank" in found.trust.reasons[0].cost


def test_overhead_is_measured_against_the_unprofiled_twin() -> None:
    found = profile(recorded("cpu_mlp_24runs"), steady=True, twin_p50_us=10.0)
    steady = sorted(run.duration_us for run in found.runs if not run.warmup)
    assert found.overhead_ratio == pytest.approx(
        (steady[(len(steady) - 1) // 2] + steady[len(steady) // 2]) / 2 / 10
    )
    assert "profiler_overhead" in codes(found)
    assert profile(recorded("cpu_mlp_24runs")).overhead_ratio is None


def test_a_cut_or_damaged_trace_says_so() -> None:
    content = recorded("cpu_mlp_24runs")
    cut = profile(content[: len(content) // 2])
    assert cut.truncated
    assert {"cut_off", "damaged"} <= codes(cut)


def test_nodes_that_exceed_their_run_on_one_thread_are_doubted() -> None:
    events = [node("a", 0, 50), node("b", 20, 60), session("model_run", 0, 81)]
    assert "nodes_exceed_run" in codes(profile(text(events)))


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(TraceError):
        traces.profile(path, source="a test")


def independent_facts(path: Path) -> dict[str, Any]:
    """The figures of a trace by the plainest possible loop, for comparison."""
    events = json.loads(path.read_text(encoding="utf-8"))
    kernels = [
        (order, event)
        for order, event in enumerate(events)
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    self_us = {order: event["dur"] for order, event in kernels}
    top = 0
    for order, event in kernels:
        begin, end = event["ts"], event["ts"] + event["dur"]
        around = [
            (other["dur"], number)
            for number, other in kernels
            if number > order
            and other["tid"] == event["tid"]
            and other["ts"] <= begin
            and end <= other["ts"] + other["dur"]
        ]
        if around:
            self_us[min(around)[1]] -= event["dur"]
        else:
            top += event["dur"]
    by_op, by_provider = Counter[str](), Counter[str]()
    for order, event in kernels:
        arguments = event.get("args", {})
        by_op[arguments.get("op_name", "?")] += self_us[order]
        by_provider[arguments.get("provider", "?")] += self_us[order]
    copies = [e["dur"] for _, e in kernels if "Memcpy" in e.get("args", {}).get("op_name", "")]
    return {
        "kernel_events": len(kernels),
        "kernel_sum_us": sum(event["dur"] for _, event in kernels),
        "toplevel_us": top,
        "by_op": dict(by_op),
        "by_provider": dict(by_provider),
        "copies": (len(copies), sum(copies)),
        "runs": sum(event["name"] == "model_run" for event in events),
    }


def own_facts(found: Profile) -> dict[str, Any]:
    by_op: dict[str, int] = defaultdict(int)
    for row in found.operators:
        by_op[row.op_type] += row.self_us
    return {
        "kernel_events": found.node_event_count,
        "kernel_sum_us": found.node_time_us,
        "toplevel_us": found.toplevel_us,
        "by_op": dict(by_op),
        "by_provider": {row.provider: row.self_us for row in found.providers},
        "copies": (found.copies.count, found.copies.total_us),
        "runs": len(found.runs),
    }


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_traces_mean_what_a_plain_loop_finds(name: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(recorded(name))
    assert own_facts(profile(recorded(name))) == independent_facts(path)


def test_foreign_traces_mean_what_a_plain_loop_finds(shared_folder: Path) -> None:
    own = sorted((shared_folder / "traces" / "own").glob("*.json"))
    assert own
    for path in own:
        found = profile(path.read_bytes())
        check_laws(found)
        assert own_facts(found) == independent_facts(path), path.name


def test_foreign_traces_have_the_figures_published_beside_them(shared_folder: Path) -> None:
    checked = 0
    for path in sorted((shared_folder / "traces" / "wild").glob("*.expect.json")):
        expected = json.loads(path.read_text())
        if not expected.get("kernel_events"):
            continue
        found = profile(path.with_name(path.name.replace(".expect", "")).read_bytes())
        check_laws(found)
        facts = own_facts(found)
        for key in ("kernel_events", "kernel_sum_us", "toplevel_us"):
            assert facts[key] == expected[key], (path.name, key)
        top = {row["key"]: row["us"] for row in expected["top_ops_by_self"]}
        assert top == {key: facts["by_op"][key] for key in top}, path.name
        providers = {row["key"]: row["us"] for row in expected["providers_by_self"]}
        assert facts["by_provider"] == providers, path.name
        assert facts["copies"] == (expected["memcpy_count"], expected["memcpy_us"]), path.name
        assert [r.node_count for r in found.runs] == expected["kernel_events_per_run"], path.name
        load = sum(us for k, us in expected["session"].items() if k.startswith("model_loading"))
        assert (found.session.load_us or 0) == load, path.name
        checked += 1
    assert checked >= 8
