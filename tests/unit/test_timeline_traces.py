"""Timelines of whole traces: threads, devices, sessions and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.timelines import timeline, timeline_file
from ortlab.domain.timeline import DEVICE_CLOCK
from ortlab.errors import RequestError
from tests.timelines import stored, told
from tests.trace_text import node, recorded, session, text


def test_a_recorded_trace_is_drawn_as_its_file_tells() -> None:
    content = recorded("cpu_control_flow")
    expected = sorted(
        (event["name"].removesuffix("_kernel_time"), event["ts"], event["dur"])
        for event in json.loads(content)
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time")
    )
    found = timeline.window(stored(content), start_us=0, end_us=10**7)
    assert told(found) == expected
    assert found.lanes[0].depths == (0, 1, 2)


def test_own_time_is_told_where_other_events_are_nested() -> None:
    path = stored(text([node("inner", 2, 6), node("loop", 0, 10, op="Loop")]))
    found = timeline.window(path, start_us=0, end_us=10)
    outer = next(row for row in found.rows if found.items[row.item[0]].name == "loop")
    assert outer.self_us == {0: 4}


def test_times_of_the_devices_own_clock_are_on_an_axis_of_their_own(shared_folder: Path) -> None:
    path = stored((shared_folder / "traces/own/webgpu127_swiftshader_t.json").read_bytes())
    extents = timeline.contents(path).extents
    assert set(extents) == {"host", DEVICE_CLOCK}
    host = timeline.window(path, start_us=0, end_us=10**8)
    device = timeline.window(path, start_us=0, end_us=10**8, clock=DEVICE_CLOCK)
    assert not any(lane.is_device for lane in host.lanes)
    assert all(lane.is_device for lane in device.lanes)
    assert (host.event_count, device.event_count) == (22, 16)
    assert device.runs == ()


def test_the_thread_that_calls_the_model_comes_first() -> None:
    path = stored(text([
        node("pool", 1, 2, tid=9), node("mine", 4, 2, tid=5), session("model_run", 0, 10, tid=5),
    ]))  # fmt: skip
    first, second = timeline.contents(path).lanes
    assert "thread 5" in first.detail
    assert "calls the model" in first.detail
    assert "thread 9" in second.detail


def test_sessions_of_one_file_have_clocks_of_their_own() -> None:
    def one(name: str) -> list[dict[str, Any]]:
        return [
            session("model_loading_uri", 0, 5), session("session_initialization", 5, 5),
            node(name, 20, 7), session("model_run", 18, 12),
        ]  # fmt: skip

    path = stored(text([*one("first"), *one("second")]))
    assert set(timeline.contents(path).extents) == {"host", "host 2"}
    for run, (clock, name) in enumerate((("host", "first"), ("host 2", "second"))):
        found = timeline.run_window(path, run)
        assert (found.clock, found.runs[0][0]) == (clock, run)
        assert told(found) == [(name, 20, 7)]


def test_operators_beyond_the_colours_there_are_keep_their_name_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = text([node(f"n{i}", i * 10, 1 + i % 9, op=f"Op{i}") for i in range(60)])
    path = stored(content)
    contents = timeline.contents(path)
    assert len(contents.kinds) == timeline_file.MAX_KINDS
    assert contents.kinds[-1][0] == "other operators"
    assert {e.op_type for e in timeline.run_events(path, run=0)} == {f"Op{i}" for i in range(60)}
    monkeypatch.setattr(timeline, "EVENT_LIMIT", -1)
    found = timeline.window(path, start_us=0, end_us=1000, buckets=3)
    assert sum(found.rows[0].busy_us) == sum(1 + i % 9 for i in range(60))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300), st.integers(1, 3)), min_size=1,
                max_size=40), st.randoms())  # fmt: skip
@settings(deadline=None, max_examples=25)
def test_every_event_of_any_trace_is_drawn_once(
    events: list[tuple[int, int, int]], random: Any
) -> None:
    lines = [node(f"n{i % 7}", ts, dur, tid=tid) for i, (ts, dur, tid) in enumerate(events)]
    random.shuffle(lines)
    found = timeline.window(stored(text(lines)), start_us=0, end_us=2000)
    assert sorted((s, d) for _, s, d in told(found)) == sorted((ts, dur) for ts, dur, _ in events)
    assert sum(lane.event_count for lane in found.lanes) == len(events)


def test_the_window_of_a_run_holds_what_ran_in_it() -> None:
    path = stored(recorded("cpu_control_flow"))
    found = timeline.run_window(path, 1)
    number, start, duration, _ = found.runs[0]
    assert (number, found.start_us, found.end_us) == (1, start, start + duration)
    assert found.event_count == len(timeline.run_events(path, run=1))


def test_events_of_a_run_have_threads_depths_and_own_times() -> None:
    content = recorded("cpu_control_flow")
    events = timeline.run_events(stored(content), run=1)
    starts = sorted(e["ts"] for e in json.loads(content) if e["name"] == "model_run")
    inside = [e for e in json.loads(content)
              if e["name"].endswith("_kernel_time") and e["ts"] >= starts[1]]  # fmt: skip
    assert len(events) == len(inside)
    tops = sum(e.duration_us for e in events if e.depth == 0)
    assert sum(event.self_us for event in events) == tops
    assert {event.depth for event in events} == {0, 1, 2}
    assert {event.op_type for event in events} == {e["args"]["op_name"] for e in inside}
    assert [e.start_us for e in events] == sorted(e.start_us for e in events)


def test_events_of_concurrent_runs_are_kept_apart() -> None:
    path = stored(text([
        node("a", 1, 5, tid=1), node("b", 2, 5, tid=2),
        session("model_run", 0, 10, tid=1), session("model_run", 1, 10, tid=2),
    ]))  # fmt: skip
    assert [e.name for e in timeline.run_events(path, run=0)] == ["a"]
    assert [e.name for e in timeline.run_events(path, run=1)] == ["b"]


def test_the_shortest_events_of_a_run_are_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeline, "MAX_EVENTS", 3)
    events = timeline.run_events(
        stored(text([node(f"n{i}", i * 100, i) for i in range(10)])), run=0
    )
    assert [event.duration_us for event in events] == [7, 8, 9]
    assert events.dropped_count == 7


def test_a_run_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RequestError, match="no run 2"):
        timeline.run_events(stored(recorded("cpu_control_flow")), run=2)
