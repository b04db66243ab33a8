"""What lies in a window of a stored timeline, in at most 100 kB whatever the window holds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from ortlab.analysis import timeline_file
from ortlab.analysis.arrays import Ints
from ortlab.analysis.timeline_file import TimelineFile
from ortlab.analysis.timeline_sums import before, cells
from ortlab.domain.timeline import (
    HOST_CLOCK,
    Buckets,
    Contents,
    Item,
    Lane,
    Spans,
    Window,
    host_clock,
)
from ortlab.domain.trace import TraceEvent
from ortlab.errors import RequestError

LIMIT_BYTES = 100_000
"""Of one answer as JSON: on a slow line (10 Mbit/s) 80 ms."""
EVENT_LIMIT = 3000
"""Above this many events a screen has less than a pixel for each."""
BUCKETS = 1500
# Sums of this many buckets fill the limit; with many rows a bucket is wider.
CELL_LIMIT = 3600
ROW_LIMIT = 48
RUN_LIMIT = 200
# Names of nodes say most at their end: `/encoder/layer.11/attention/MatMul`.
_NAME_BYTES = (120, 40, 20, 12)
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
    view = _View(file, start_us, end_us, lanes=lanes, clock=clock)
    if view.event_count <= EVENT_LIMIT:
        for name_bytes in _NAME_BYTES:
            found = view.events(name_bytes)
            if _fits(found):
                return found
    parts = max(1, min(buckets, end_us - start_us, CELL_LIMIT // max(1, view.busy_rows)))
    while True:
        for name_bytes in _NAME_BYTES[1:]:
            found = view.sums(parts, node, name_bytes)
            if parts == 1 or _fits(found):
                return found
        parts = max(1, parts * 2 // 3)


def run_events(path: Path, *, run: int) -> Timeline:
    """The node events of run number `run`, with their thread (from 0) and nesting depth.

    At most `MAX_EVENTS`: beyond that the shortest are left out, and `dropped_count` says how
    many. A trace without runs has all its node events in run 0.

    Raises:
        RequestError: the trace has no such run.
        TraceError: the timeline cannot be read.
    """
    file = timeline_file.opened(path)
    clock, start_us, end_us = run_extent(path, run)
    has_runs = bool(file.header.contents.run_count)
    view = _View(file, start_us, end_us + 1, lanes=None, clock=clock, row_limit=None)
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


def _fits(found: Window) -> bool:
    return len(encoded(found)) <= LIMIT_BYTES


class _Names:
    """The items of one answer, numbered as they come up."""

    def __init__(self, file: TimelineFile, name_bytes: int) -> None:
        self._file, self._name_bytes = file, name_bytes

    def told(self, numbers: Ints) -> tuple[tuple[Item, ...], Ints]:
        """The items with these numbers, and for each number its position among them."""
        distinct, position = np.unique(numbers, return_inverse=True)
        kinds = self._file["item_kind"][distinct].tolist()
        nodes = self._file["item_node"][distinct].tolist()
        items = tuple(
            Item(_shortened(self._file.text("name", number), self._name_bytes), kind,
                 node if node >= 0 else None)
            for number, kind, node in zip(distinct.tolist(), kinds, nodes, strict=True)
        )  # fmt: skip
        return items, position.reshape(-1)


class _View:
    """One window on an open timeline: which rows it shows, and which events touch it."""

    def __init__(
        self,
        file: TimelineFile,
        start_us: int,
        end_us: int,
        *,
        lanes: tuple[int, ...] | None,
        clock: str,
        row_limit: int | None = ROW_LIMIT,
    ) -> None:
        self.file, self.clock = file, clock
        self.start_us, self.end_us = start_us, end_us
        head = file.header
        wanted = [
            lane for lane, told in enumerate(head.contents.lanes)
            if told.clock == clock and (lanes is None or lane in lanes)
        ]  # fmt: skip
        self.lanes = _that_fit(wanted, head.contents.lanes, row_limit)
        self.hidden = len(wanted) - len(self.lanes)
        self.rows = [row for row, lane in enumerate(head.row_lane) if lane in set(self.lanes)]
        self.slices = [self._touching(row) for row in self.rows]
        self.event_count = sum(end - begin for begin, end in self.slices)
        self.busy_rows = sum(end > begin for begin, end in self.slices)

    def events(self, name_bytes: int) -> Window:
        """Every event."""
        file, origin = self.file, self.file.header.origin_us
        slices = [slice(*bounds) for bounds in self.slices]
        numbers = [file["item"][part] for part in slices]
        items, position = _Names(file, name_bytes).told(_joined(numbers))
        rows = []
        for i, (part, item) in enumerate(zip(slices, _apart(position, numbers), strict=True)):
            starts = file["start"][part].astype(np.int64) + (origin - self.start_us)
            rows.append(Spans(
                row=i, steps_us=np.diff(starts, prepend=0).tolist(),
                duration_us=file["duration"][part].tolist(), item=item.tolist(),
                self_us=self._nested(part),
            ))  # fmt: skip
        return self._window(tuple(row for row in rows if row.item), items, bucket_count=0)

    def sums(self, parts: int, node: int | None, name_bytes: int) -> Window:
        """The window cut into equal parts, with what each row did in each."""
        length, at = self.end_us - self.start_us, np.arange(parts + 1)
        # Not at × length ÷ parts, which leaves 64 bits where a hostile file is years long.
        edges = at * (length // parts) + at * (length % parts) // parts
        edges += self.start_us - self.file.header.origin_us
        found = [
            cells(self.file, self._bounds(row), edges, node)
            for row, (begin, end) in zip(self.rows, self.slices, strict=True)
            if end > begin
        ]
        shown = [i for i, (begin, end) in enumerate(self.slices) if end > begin]
        numbers = [c.item for c in found]
        items, position = _Names(self.file, name_bytes).told(_joined(numbers))
        rows = tuple(
            Buckets(
                row=i, steps=np.diff(c.at, prepend=0).tolist(), busy_us=c.busy_us.tolist(),
                kind=c.kind.tolist(), calls=c.calls.tolist(), item=item.tolist(),
                selected=c.selected.tolist(),
            )
            for i, c, item in zip(shown, found, _apart(position, numbers), strict=True)
        )  # fmt: skip
        return self._window(rows, items, bucket_count=parts)

    def _window(
        self, rows: tuple[Spans | Buckets, ...], items: tuple[Item, ...], *, bucket_count: int
    ) -> Window:
        contents = self.file.header.contents
        runs, run_count = self._runs()
        return Window(
            start_us=self.start_us,
            end_us=self.end_us,
            clock=self.clock,
            bucket_count=bucket_count,
            event_count=self.event_count,
            lanes=tuple(contents.lanes[lane] for lane in self.lanes),
            hidden_lane_count=self.hidden,
            rows=rows,
            items=items,
            kinds=contents.kinds,
            runs=runs,
            run_count=run_count,
        )

    def _bounds(self, row: int) -> tuple[int, int]:
        begin, end = self.file.header.row_at[row : row + 2]
        return begin, end

    def _touching(self, row: int) -> tuple[int, int]:
        """The events of a row that touch the window: one slice, because none overlap."""
        begin, end = self._bounds(row)
        origin = self.file.header.origin_us
        starts = self.file["start"][begin:end]
        first, last = (
            begin + int(at) for at in before(
                starts, np.array([self.start_us - origin, self.end_us - origin])
            )
        )  # fmt: skip
        # Where events are drawn over each other, one that began long before may still last.
        back = first - begin if "covered" in self.file.arrays else min(1, first - begin)
        earlier = slice(first - back, first)
        ends = starts[earlier.start - begin : earlier.stop - begin].astype(np.int64)
        lasting = ends + self.file["duration"][earlier] > self.start_us - origin
        return first - back + int(np.argmax(lasting)) if lasting.any() else first, last

    def _nested(self, part: slice) -> dict[int, int]:
        """Own time of the events of a slice that hold others, by position in the slice."""
        nested = self.file["nested_at"]
        low, high = before(nested, np.array([part.start, part.stop])).tolist()
        return dict(zip(
            (nested[low:high].astype(np.int64) - part.start).tolist(),
            self.file["nested_self"][low:high].tolist(),
            strict=True,
        ))  # fmt: skip

    def _runs(self) -> tuple[tuple[tuple[int, int, int, bool], ...], int]:
        origin = self.file.header.origin_us
        session = self.file["run_session"]
        clocks = [host_clock(n) == self.clock for n in range(int(session.max(initial=0)) + 1)]
        start, duration = self.file["run_start"], self.file["run_duration"]
        found = np.flatnonzero(
            np.array(clocks)[session]
            & (start < self.end_us - origin)
            & (start + duration > self.start_us - origin)
        )
        if len(found) > RUN_LIMIT:
            return (), len(found)
        rows = zip(
            found.tolist(), (start[found] + origin).tolist(), duration[found].tolist(),
            self.file["run_warmup"][found].tolist(), strict=True,
        )  # fmt: skip
        return tuple((a, b, c, bool(d)) for a, b, c, d in rows), len(found)


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _apart(joined: Ints, parts: list[Ints]) -> list[Ints]:
    """What `_joined` put together, in pieces as long as the parts."""
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    return [joined[begin:end] for begin, end in pairwise(ends)]


def _that_fit(wanted: list[int], lanes: tuple[Lane, ...], row_limit: int | None) -> list[int]:
    """The lanes from the top whose rows fit; always the first."""
    if row_limit is None:
        return wanted
    rows = np.cumsum([len(lanes[lane].depths) for lane in wanted])
    return wanted[: max(1, int(np.searchsorted(rows, row_limit, side="right")))]


def _shortened(name: str, limit_bytes: int) -> str:
    """The name in at most so many bytes; what is cut out is the middle, nearer the beginning."""
    if len(name) <= limit_bytes and len(name.encode()) <= limit_bytes:
        return name
    room = limit_bytes - len("…".encode())
    head = name.encode()[: room // 3].decode(errors="ignore")
    tail = name.encode()[-(room - room // 3) :].decode(errors="ignore")
    return f"{head}…{tail}"


def _records(file: TimelineFile, shown: Ints) -> list[TraceEvent]:
    """The events at these positions, by start."""
    header = file.header
    row = np.searchsorted(header.row_at, shown, side="right") - 1
    depths = [depth for lane in header.contents.lanes for depth in lane.depths]
    own = file["duration"][shown].astype(np.int64)
    _, here, there = np.intersect1d(shown, file["nested_at"], return_indices=True)
    own[here] = file["nested_self"][there]
    found = []
    for at, of, self_us in zip(shown.tolist(), row.tolist(), own.tolist(), strict=True):
        item = int(file["item"][at])
        op_type, _, provider = file.text("pair", item).partition("\n")
        found.append(TraceEvent(
            name=file.text("name", item), op_type=op_type, provider=provider,
            thread=header.row_lane[of], start_us=header.origin_us + int(file["start"][at]),
            duration_us=int(file["duration"][at]), self_us=self_us, depth=depths[of],
        ))  # fmt: skip
    return sorted(found, key=lambda event: (event.start_us, event.depth))
