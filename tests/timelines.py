"""Timelines for tests: of a trace's text or of bare spans, and what a window of one holds."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from ortlab.analysis.reading.derived import derive
from ortlab.analysis.timelines import lanes, timeline_layout
from ortlab.analysis.timelines.timeline_layout import Drawn, Items, Runs
from ortlab.domain.timeline import Buckets, Lane, Spans, Window
from tests.trace_text import decoded

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
