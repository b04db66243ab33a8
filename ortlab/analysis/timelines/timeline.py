"""What lies in a window of a stored timeline, in at most 100 kB whatever the window holds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ortlab.analysis.reading.arrays import Ints
from ortlab.analysis.timelines import timeline_file
from ortlab.analysis.timelines.timeline_file import TimelineFile
from ortlab.analysis.timelines.timeline_window import View
from ortlab.domain.timeline import HOST_CLOCK, Contents, Window, host_clock
from ortlab.domain.trace import TraceEvent
from ortlab.errors import RequestError

LIMIT_BYTES = 100_000
"""Of one answer as JSON: on a slow line (10 Mbit/s) 80 ms."""
EVENT_LIMIT = 3000
"""Above this many events a screen has less than a pixel for each."""
BUCKETS = 1500
# Sums of this many buckets fill the limit; with many rows a bucket is wider.
CELL_LIMIT = 2400
MAX_EVENTS = 20_000


class Timeline(list[TraceEvent]):
    """Events by start; `dropped_count` tells how many shorter ones were left out."""

    def __init__(self, events: list[TraceEvent], *, dropped_count: int) -> None:
        super().__init__(events)
        self.dropped_count = dropped_count


def contents(path: Path) -> Contents:
    """Lanes, kinds and extent of the stored timeline at `path`.

    Raises:
        TraceError: it cannot be read.
    """
    return timeline_file.opened(path).header.contents


def run_extent(path: Path, run: int) -> tuple[str, int, int]:
    """Clock of one run, its first µs, and the first after it.

    Raises:
        RequestError: the trace has no such run.
    """
    file = timeline_file.opened(path)
    count = file.header.contents.run_count
    if not count and run == 0:
        return HOST_CLOCK, *file.header.contents.extents.get(HOST_CLOCK, (0, 0))
    if not 0 <= run < count:
        raise RequestError(
            f"There is no run {run} in this trace; it has {max(1, count)}, counted from 0.",
            hint=f"Choose a run from 0 to {max(1, count) - 1}.",
        )
    start = file.header.origin_us + int(file["run_start"][run])
    clock = host_clock(int(file["run_session"][run]))
    return clock, start, start + int(file["run_duration"][run])


def run_window(path: Path, run: int, *, buckets: int = BUCKETS) -> Window:
    """The window that one run fills.

    Raises:
        RequestError: the trace has no such run.
    """
    clock, start_us, end_us = run_extent(path, run)
    end_us = max(end_us, start_us + 1)
    return window(path, start_us=start_us, end_us=end_us, buckets=buckets, clock=clock)


def window(
    path: Path,
    *,
    start_us: int,
    end_us: int,
    buckets: int = BUCKETS,
    lanes: tuple[int, ...] | None = None,
    clock: str = HOST_CLOCK,
    node: int | None = None,
) -> Window:
    """What happened from `start_us` to `end_us`: events if they are few, else sums.

    Args:
        path: the stored timeline.
        start_us, end_us: µs of the trace, `end_us` excluded.
        buckets: parts to sum over where there are too many events to show each.
        lanes: positions of the lanes to show; by default all of the clock, from the top.
        clock: whose time the window is of; lanes of other clocks are not in it.
        node: the selected node, whose calls are marked in sums too.

    Raises:
        TraceError: the timeline cannot be read.
        RequestError: the window is empty or the clock is unknown.
    """
    file = timeline_file.opened(path)
    known = file.header.contents.extents
    if end_us <= start_us or clock not in known:
        raise RequestError(
            f"A window from {start_us} to {end_us} µs of clock '{clock[:40]}' shows nothing.",
            hint="Ask for a later end and one of the clocks " + ", ".join(known) + ".",
            kind="bad_window",
        )
    view = View(file, start_us, end_us, lanes=lanes, clock=clock)
    if view.event_count <= EVENT_LIMIT:
        found = view.fitted(view.events(), LIMIT_BYTES)
        if found is not None:
            return found
    parts = max(1, min(buckets, end_us - start_us, CELL_LIMIT // max(1, view.busy_rows)))
    while True:
        found = view.fitted(view.sums(parts, node), LIMIT_BYTES)
        if found is not None:
            return found
        parts = parts * 2 // 3


def run_events(path: Path, *, run: int) -> Timeline:
    """The node events of run number `run`, with their thread (from 0) and nesting depth.

    Device events on the clock of the run are among them and marked.

    At most `MAX_EVENTS`: beyond that the shortest are left out, and `dropped_count` says how
    many. A trace without runs has all its node events in run 0.

    Raises:
        RequestError: the trace has no such run.
        TraceError: the timeline cannot be read.
    """
    file = timeline_file.opened(path)
    clock, start_us, end_us = run_extent(path, run)
    has_runs = bool(file.header.contents.run_count)
    view = View(file, start_us, end_us + 1, lanes=None, clock=clock, row_limit=None)
    slices = [np.arange(begin, end) for begin, end in view.slices]
    inside = np.concatenate(slices) if slices else np.empty(0, np.int64)
    if has_runs:
        inside = inside[file["run"][inside] == run + 1]
    else:
        inside = inside[file["item_node"][file["item"][inside]] >= 0]
    longest = np.argsort(-file["duration"][inside].astype(np.int64), kind="stable")[:MAX_EVENTS]
    shown = np.sort(inside[longest])
    events = _records(file, shown)
    return Timeline(events, dropped_count=len(inside) - len(shown))


def encoded(found: Window) -> bytes:
    """The window as JSON."""
    return msgspec.json.encode(found)


def _records(file: TimelineFile, shown: Ints) -> list[TraceEvent]:
    """The events at these positions, by start."""
    header = file.header
    row = np.searchsorted(header.row_at, shown, side="right") - 1
    depths = [depth for lane in header.contents.lanes for depth in lane.depths]
    own = file["duration"][shown].astype(np.int64)
    _, here, there = np.intersect1d(shown, file["nested_at"], return_indices=True)
    own[here] = file["nested_self"][there]
    items = file["item"][shown].astype(np.int64)
    starts = file["start"][shown].astype(np.int64) + header.origin_us
    columns = (
        file.texts("name", items), file.texts("pair", items), starts.tolist(),
        file["duration"][shown].tolist(), own.tolist(), row.tolist(),
    )  # fmt: skip
    found = []
    for name, pair, start_us, duration_us, self_us, of in zip(*columns, strict=True):
        op_type, _, provider = pair.partition("\n")
        found.append(TraceEvent(
            name=name, op_type=op_type, provider=provider, thread=header.row_lane[of],
            start_us=start_us, duration_us=duration_us, self_us=self_us, depth=depths[of],
            is_device=header.contents.lanes[header.row_lane[of]].is_device,
        ))  # fmt: skip
    return sorted(found, key=lambda event: (event.start_us, event.depth))
