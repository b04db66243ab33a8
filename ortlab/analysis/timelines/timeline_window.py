"""One window cut out of a stored timeline: its rows, its events or their sums, its names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Ints
from ortlab.analysis.timelines.timeline_file import TimelineFile
from ortlab.analysis.timelines.timeline_sums import before, cells
from ortlab.domain.timeline import Buckets, Item, Lane, Spans, Window, host_clock

ROW_LIMIT = 48
RUN_LIMIT = 200
# Shorter than this a name cannot be told from its neighbours'.
LEAST_NAME_BYTES = 12


class Draft(Struct, frozen=True):
    """A window without the names of its items yet."""

    window: Window
    items: Ints
    """Their numbers in the file."""


class View:
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
        shown = set(self.lanes)
        self.rows = [row for row, lane in enumerate(head.row_lane) if lane in shown]
        self.slices = [self._touching(row) for row in self.rows]
        self.event_count = sum(end - begin for begin, end in self.slices)
        self.busy_rows = sum(end > begin for begin, end in self.slices)

    def events(self) -> Draft:
        """Every event."""
        file, origin = self.file, self.file.header.origin_us
        slices = [slice(*bounds) for bounds in self.slices]
        items, position = _numbered([file["item"][part] for part in slices])
        rows = []
        for i, (part, item) in enumerate(zip(slices, position, strict=True)):
            starts = file["start"][part].astype(np.int64) + (origin - self.start_us)
            rows.append(Spans(
                row=i, steps_us=np.diff(starts, prepend=0).tolist(),
                duration_us=file["duration"][part].tolist(), item=item.tolist(),
                self_us=self._nested(part),
            ))  # fmt: skip
        return Draft(self._window(tuple(row for row in rows if row.item), bucket_count=0), items)

    def sums(self, parts: int, node: int | None) -> Draft:
        """The window cut into equal parts, with what each row did in each."""
        shown = [i for i, (begin, end) in enumerate(self.slices) if end > begin]
        if not shown:
            return Draft(self._window((), bucket_count=parts), np.empty(0, np.int64))
        bounds = [self._bounds(self.rows[i]) for i in shown]
        found = cells(self.file, bounds, self._edges(parts), node)
        ends = np.searchsorted(found.row, np.arange(len(shown) + 1)).tolist()
        slices = [slice(begin, end) for begin, end in pairwise(ends)]
        items, position = _numbered([found.item[part] for part in slices])
        rows = tuple(
            Buckets(
                row=i, steps=np.diff(found.at[part], prepend=0).tolist(),
                busy_us=found.busy_us[part].tolist(), kind=found.kind[part].tolist(),
                calls=found.calls[part].tolist(), item=item.tolist(),
                selected=found.selected[number] if found.selected else [],
            )
            for number, (i, part, item) in enumerate(zip(shown, slices, position, strict=True))
        )  # fmt: skip
        return Draft(self._window(rows, bucket_count=parts), items)

    def fitted(self, draft: Draft, limit_bytes: int) -> Window | None:
        """The draft with as much of each name as the limit leaves room for; None if too little.

        One part without names always fits: then there is nothing left to leave out.
        """
        kinds = self.file["item_kind"][draft.items].tolist()
        nodes = self.file["item_node"][draft.items].tolist()
        owners = [node if node >= 0 else None for node in nodes]

        def with_names(names: Sequence[str]) -> Window:
            items = tuple(map(Item, names, kinds, owners))
            return msgspec.structs.replace(draft.window, items=items)

        names = self.file.texts("name", draft.items)
        bare = with_names([""] * len(names))
        room = limit_bytes - len(msgspec.json.encode(bare))
        each = _share(np.array(list(map(_written_bytes, names)), np.int64), room)
        if each >= LEAST_NAME_BYTES:
            return with_names([_shortened(name, each) for name in names])
        return bare if draft.window.bucket_count == 1 else None

    def _edges(self, parts: int) -> Ints:
        """Borders of equal parts of the window, µs after the file's origin."""
        length, at = self.end_us - self.start_us, np.arange(parts + 1)
        # Not at × length ÷ parts, which leaves 64 bits where a hostile file is years long.
        edges = at * (length // parts) + at * (length % parts) // parts
        return edges + (self.start_us - self.file.header.origin_us)

    def _window(self, rows: tuple[Spans | Buckets, ...], *, bucket_count: int) -> Window:
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


def _numbered(parts: list[Ints]) -> tuple[Ints, list[Ints]]:
    """The distinct numbers of all parts, and for each part where its numbers are among them."""
    joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
    distinct, position = np.unique(joined, return_inverse=True)
    ends = np.cumsum([0, *map(len, parts)]).tolist()
    found = position.reshape(-1)
    return distinct.astype(np.int64), [found[begin:end] for begin, end in pairwise(ends)]


def _that_fit(wanted: list[int], lanes: tuple[Lane, ...], row_limit: int | None) -> list[int]:
    """The lanes from the top whose rows fit; always the first."""
    if row_limit is None:
        return wanted
    rows = np.cumsum([len(lanes[lane].depths) for lane in wanted])
    return wanted[: max(1, int(np.searchsorted(rows, row_limit, side="right")))]


def _share(lengths: Ints, room: int) -> int:
    """The greatest length to cut texts to so that all together fit into `room`."""
    ordered = np.sort(lengths)
    count = len(ordered)
    if int(ordered.sum()) <= room:
        return max(LEAST_NAME_BYTES, int(ordered[-1]) if count else 0)
    # What is left for those that are longer than each text in turn, when it is written whole.
    kept = np.concatenate(([0], np.cumsum(ordered)[:-1]))
    each = (room - kept) // np.arange(count, 0, -1)
    return int(each[np.argmax(each < ordered)])


def _written_bytes(text: str) -> int:
    """Bytes of the text in JSON, without its quotes."""
    return len(msgspec.json.encode(text)) - 2


def _shortened(name: str, limit_bytes: int) -> str:
    """The name in at most so many bytes of JSON; what is cut out is the middle."""
    length = _written_bytes(name)
    if length <= limit_bytes:
        return name
    # Names of nodes say most at their end: `/encoder/layer.11/attention/MatMul`.
    keep = (limit_bytes - len("…".encode())) * len(name) // length
    while True:
        short = f"{name[: keep // 3]}…{name[len(name) - (keep - keep // 3) :]}"
        if keep <= 0 or _written_bytes(short) <= limit_bytes:
            return short
        keep -= 1
