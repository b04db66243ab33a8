"""Windows of a stored timeline: nothing lost, nothing invented, never too large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.timelines import timeline, timeline_layout
from ortlab.analysis.timelines.timeline_layout import Drawn, Items, Runs
from ortlab.domain.timeline import Buckets, Lane, Spans
from ortlab.errors import RequestError, TraceError
from tests.timelines import KINDS, borders, clipped, laid, parts, told


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
