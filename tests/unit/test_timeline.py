"""Windows of a stored timeline: nothing lost, nothing invented, never too large."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis import lanes, timeline, timeline_layout
from ortlab.analysis.derived import derive
from ortlab.analysis.timeline_layout import Drawn, Items, Runs
from ortlab.domain.timeline import DEVICE_CLOCK, Buckets, Lane, Spans, Window
from ortlab.errors import RequestError, TraceError
from tests.trace_text import decoded, node, recorded, session, text

KINDS = ("MatMul", "Add", "Relu", "Conv")
NOTHING = np.empty(0, np.int64)


def stored(content: str | bytes) -> Path:
    """The timeline of a trace with this content."""
    _, events = decoded(content)
    lanes.write(derive(events), events.parent)
    return events.parent / "timeline.bin"


def laid(
    spans: list[tuple[int, int]],
    folder: Path,
    *,
    item: list[int] | None = None,
    names: list[str] | None = None,
    lane: list[int] | None = None,
) -> Path:
    """A timeline of bare (start, duration) pairs."""
    names = names or list(KINDS)
    count = len(spans)
    start, duration = (np.array([s[i] for s in spans], np.int64) for i in (0, 1))
    of_lane = np.array(lane or [0] * count, np.int64)
    drawn = Drawn(
        start=start,
        duration=duration,
        self_us=duration,
        lane=of_lane,
        depth=np.zeros(count, np.int64),
        item=np.array(item or [i % len(names) for i in range(count)], np.int64),
        run=np.full(count, -1, np.int64),
    )
    pairs = [(KINDS[i % len(KINDS)], "CPUExecutionProvider") for i in range(len(names))]
    path = folder / "timeline.bin"
    timeline_layout.store(
        path,
        drawn=drawn,
        lanes=[Lane(name=f"thread {i + 1}") for i in range(int(of_lane.max(initial=0)) + 1)],
        items=Items(names, pairs, np.arange(len(names))),
        runs=Runs(NOTHING, NOTHING, np.empty(0, bool), NOTHING),
    )
    return path


def told(found: Window) -> list[tuple[str, int, int]]:
    """Name, start and duration of every event of a window."""
    assert found.bucket_count == 0
    return sorted(
        (found.items[item].name, start, duration)
        for row in found.rows
        if isinstance(row, Spans)
        for item, start, duration in zip(
            row.item, row.starts_us(found.start_us), row.duration_us, strict=True
        )
    )


def borders(found: Window) -> list[int]:
    """Where the parts of a window begin, and where the last ends."""
    length, count = found.end_us - found.start_us, found.bucket_count
    return [found.start_us + part * length // count for part in range(count + 1)]


def clipped(spans: list[tuple[int, int]], low: int, high: int) -> int:
    """Time of the spans between two moments."""
    return sum(max(0, min(s + d, high) - max(s, low)) for s, d in spans)


def parts(row: Buckets) -> list[int]:
    """The numbers of the parts that are not empty."""
    return list(itertools.accumulate(row.steps))


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Events of one thread, one after the other."""
    steps = draw(
        st.lists(st.tuples(st.integers(0, 40), st.integers(0, 90)), min_size=1, max_size=250)
    )
    at, found = draw(st.integers(0, 1000)), []
    for gap, duration in steps:
        found.append((at + gap, duration))
        at += gap + duration
    return found


@given(sequences(), st.data())
@settings(deadline=None, max_examples=60)
def test_sums_of_any_window_are_those_of_its_events(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], data: st.DataObject
) -> None:
    path = laid(spans, tmp_path_factory.mktemp("t"))
    end = max((s + d for s, d in spans), default=1)
    low = data.draw(st.integers(0, end))
    high = data.draw(st.integers(low + 1, end + 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "EVENT_LIMIT", -1)
        found = timeline.window(
            path, start_us=low, end_us=high, buckets=data.draw(st.integers(1, 60))
        )
    edges = borders(found)
    assert sum(sum(row.busy_us) for row in found.rows) == clipped(spans, low, high)
    for row in found.rows:
        assert isinstance(row, Buckets)
        for i, part in enumerate(parts(row)):
            begin, stop = edges[part], edges[part + 1]
            by_kind = [clipped(spans[k :: len(KINDS)], begin, stop) for k in range(len(KINDS))]
            names = [found.kinds[k][0] for k in range(len(found.kinds))]
            assert row.busy_us[i] == sum(by_kind)
            assert row.calls[i] == sum(begin <= s < stop for s, _ in spans)
            assert by_kind[KINDS.index(names[row.kind[i]])] == max(by_kind)


@given(sequences(), st.data())
@settings(deadline=None, max_examples=60)
def test_events_of_any_window_are_those_that_touch_it(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]], data: st.DataObject
) -> None:
    path = laid(spans, tmp_path_factory.mktemp("t"))
    end = max((s + d for s, d in spans), default=1)
    low = data.draw(st.integers(0, end))
    high = data.draw(st.integers(low + 1, end + 5))
    expected = sorted(
        (KINDS[i % len(KINDS)], s, d)
        for i, (s, d) in enumerate(spans)
        if s < high and (s + d > low or s >= low)
    )
    assert told(timeline.window(path, start_us=low, end_us=high)) == expected


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 200)), min_size=1, max_size=120))
@settings(deadline=None, max_examples=40)
def test_events_that_overlap_are_all_there_and_share_no_row(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]]
) -> None:
    path = laid(spans, tmp_path_factory.mktemp("t"))
    found = timeline.window(path, start_us=0, end_us=10_000)
    assert sorted((s, d) for _, s, d in told(found)) == sorted(spans)
    for row in found.rows[: timeline_layout.MAX_OVERLAPS - 1]:
        assert isinstance(row, Spans)
        ends = [s + d for s, d in zip(row.starts_us(0), row.duration_us, strict=True)]
        assert all(e <= s for e, s in zip(ends, list(row.starts_us(0))[1:], strict=False))


def test_more_overlaps_than_rows_lose_no_event_and_fill_no_part_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [(i, 100) for i in range(40)]
    path = laid(spans, tmp_path)
    assert len(told(timeline.window(path, start_us=0, end_us=200))) == 40
    assert len(told(timeline.window(path, start_us=60, end_us=61))) == 40
    monkeypatch.setattr(timeline, "EVENT_LIMIT", -1)
    found = timeline.window(path, start_us=0, end_us=200, buckets=10)
    assert all(max(row.busy_us) <= 20 for row in found.rows)


def test_an_event_longer_than_the_window_is_in_it(tmp_path: Path) -> None:
    path = laid([(0, 10), (10, 1000), (1010, 5)], tmp_path)
    assert told(timeline.window(path, start_us=500, end_us=510)) == [("Add", 10, 1000)]


def test_an_event_of_no_length_is_seen_once(tmp_path: Path) -> None:
    path = laid([(10, 0), (20, 5)], tmp_path)
    assert told(timeline.window(path, start_us=10, end_us=20)) == [("MatMul", 10, 0)]
    assert told(timeline.window(path, start_us=0, end_us=10)) == []


def test_the_longest_call_of_each_part_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    duration = random.permutation(np.arange(1, 3001))
    start = np.cumsum(duration) - duration
    spans = list(zip(start.tolist(), duration.tolist(), strict=True))
    path = laid(spans, tmp_path, names=[f"n{i}" for i in range(3000)], item=list(range(3000)))
    monkeypatch.setattr(timeline, "EVENT_LIMIT", -1)
    end = int(duration.sum())
    found = timeline.window(path, start_us=0, end_us=end, buckets=7)
    edges = borders(found)
    row = found.rows[0]
    for i, part in enumerate(parts(row)):
        inside = (start >= edges[part]) & (start < edges[part + 1])
        longest = np.flatnonzero(inside)[np.argmax(duration[inside])]
        assert found.items[row.item[i]].node == longest


def test_parts_with_a_call_of_the_selected_node_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [(i * 10, 10) for i in range(1000)]
    path = laid(spans, tmp_path, item=[2 if i in (3, 500, 501) else 0 for i in range(1000)])
    monkeypatch.setattr(timeline, "EVENT_LIMIT", -1)
    found = timeline.window(path, start_us=0, end_us=10_000, buckets=100, node=2)
    assert found.rows[0].selected == [0, 50]
    assert timeline.window(path, start_us=0, end_us=10_000, buckets=100).rows[0].selected == []


@pytest.mark.parametrize("name", ["x" * 5000, "\u4e2d" * 400, '\x01\x02"\\' * 90, "<img src=x>"])
def test_an_answer_has_at_most_100_kilobytes_whatever_names_are(tmp_path: Path, name: str) -> None:
    count = 3000
    path = laid(
        [(i * 1000, 999) for i in range(count)], tmp_path,
        names=[f"{name}{i}" for i in range(count)], item=list(range(count)),
    )  # fmt: skip
    for end in (count * 1000, count * 100, 5000):
        found = timeline.window(path, start_us=0, end_us=end)
        assert len(timeline.encoded(found)) <= timeline.LIMIT_BYTES
        assert found.event_count == min(count, -(-end // 1000))


def test_an_answer_has_at_most_100_kilobytes_however_many_threads_there_are(
    tmp_path: Path,
) -> None:
    count = 60_000
    path = laid([(i // 300 * 10, 9) for i in range(count)], tmp_path,
                lane=[i % 300 for i in range(count)])  # fmt: skip
    found = timeline.window(path, start_us=0, end_us=2000)
    assert len(timeline.encoded(found)) <= timeline.LIMIT_BYTES
    assert len(found.lanes) + found.hidden_lane_count == 300
    one = timeline.window(path, start_us=0, end_us=2000, lanes=(299,))
    assert one.event_count == 200


def test_absurd_times_do_not_leave_their_type(tmp_path: Path) -> None:
    far = 2**60
    path = laid([(0, 5), (7, far), (far + 20, 3)], tmp_path)
    found = timeline.window(path, start_us=0, end_us=far + 100)
    assert [s for _, s, _ in told(found)] == [7, 0, far + 20]
    assert len(told(timeline.window(path, start_us=2**40, end_us=2**41))) == 1


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


@pytest.mark.parametrize(("start", "end", "clock"), [(5, 5, "host"), (9, 1, "host"), (0, 9, "x")])
def test_a_window_of_nothing_is_refused(tmp_path: Path, start: int, end: int, clock: str) -> None:
    path = laid([(0, 10)], tmp_path)
    with pytest.raises(RequestError, match="shows nothing"):
        timeline.window(path, start_us=start, end_us=end, clock=clock)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"ortlab timeline\n" + b"\xff" * 99])
def test_a_file_that_is_no_timeline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "timeline.bin"
    path.write_bytes(content)
    with pytest.raises(TraceError, match="timeline"):
        timeline.contents(path)


def test_a_trace_without_events_has_an_empty_timeline(tmp_path: Path) -> None:
    path = laid([], tmp_path)
    assert timeline.contents(path).event_count == 0


def many(count: int, folder: Path) -> tuple[Path, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A long recording: 250 nodes, run after run."""
    random = np.random.default_rng(0)
    duration = random.integers(2, 30, count)
    end = np.cumsum(duration + random.integers(0, 3, count))
    start = end - duration
    at = np.arange(count)
    zero = np.zeros(count, np.int64)
    drawn = Drawn(start=start, duration=duration, self_us=duration, lane=zero, depth=zero,
                  item=at % 250, run=at // 250)  # fmt: skip
    names = [f"/encoder/layer.{i // 20}/attention/self/query/MatMul_{i}" for i in range(250)]
    pairs = [(f"Op{i % 24}", "CPUExecutionProvider") for i in range(250)]
    first, last = start[::250], end[249::250]
    runs = Runs(first, last - first, np.zeros(len(first), bool), np.zeros(len(first), np.int64))
    path = folder / "timeline.bin"
    timeline_layout.store(path, drawn=drawn, lanes=[Lane(name="thread 1")],
                          items=Items(names, pairs, np.arange(250)), runs=runs)  # fmt: skip
    return path, start, duration


@pytest.mark.parametrize("count", [100_000, pytest.param(5_000_000, marks=pytest.mark.slow)])
def test_every_zoom_of_a_long_trace_is_exact_and_small(tmp_path: Path, count: int) -> None:
    path, start, duration = many(count, tmp_path)
    assert path.stat().st_size <= 24 * count
    whole = int(start[-1] + duration[-1])
    for zoom in (1, 3, 30, 300, 3000):
        low = (whole - whole // zoom) // 2
        high = low + whole // zoom
        found = timeline.window(path, start_us=low, end_us=high, node=17)
        assert len(timeline.encoded(found)) <= timeline.LIMIT_BYTES
        expected = np.maximum(np.minimum(start + duration, high) - np.maximum(start, low), 0).sum()
        if found.bucket_count:
            assert sum(found.rows[0].busy_us) == expected
        else:
            assert sum(min(s + d, high) - max(s, low) for _, s, d in told(found)) == expected
