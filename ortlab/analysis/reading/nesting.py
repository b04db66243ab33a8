"""Which node event happened inside which: bodies of If, Loop and Scan in their node."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.stored_events import Events, Flags, Ints

NOBODY = -1
# Nobody nests graphs deeper; a hostile file of overlapping events must not cost its square.
MAX_DEPTH = 64
# Only these run a graph of their own; an event of no length at the border of another
# operator is its neighbour.
_GRAPH_HOLDERS = frozenset({
    "If", "Loop", "Scan", "SequenceMap", "BeamSearch", "WhisperBeamSearch", "GreedySearch",
    "Sampling",
})  # fmt: skip


class Nesting(Struct, frozen=True):
    """For each event its parent's position or `NOBODY`, its depth, and its own time in µs."""

    parent: Ints
    depth: Ints
    self_us: Ints

    @property
    def top(self) -> Flags:
        """Events nested in no other."""
        nobody: Flags = self.parent == NOBODY
        return nobody


def nesting(events: Events) -> Nesting:
    """Parents by thread and interval; ties go to the event written later, as ORT ends it later.

    Nothing is nested beyond its parent's length, so own times are never negative and add up
    to the time of the top events exactly.
    """
    parent = np.full(len(events), NOBODY, np.int64)
    depth = np.zeros(len(events), np.int64)
    self_us = events.duration.copy()
    if len(events) and not _flat(events):
        _nest(events, parent, depth, self_us)
    return Nesting(parent, depth, self_us)


def _flat(events: Events) -> bool:
    """Whether no event of a thread begins before all earlier ones of it have ended.

    Most traces are like this, and seeing it takes a tenth of the time of nesting them.
    """
    for lane in np.unique(events.lane).tolist():
        mine = np.flatnonzero(events.lane == lane)
        start, end = events.start[mine], events.end[mine]
        if (start[1:] <= end[:-1]).any():
            # Touching ones may be nested where one of them has no length.
            touching = start[1:] == end[:-1]
            short = (start == end)[1:] | (start == end)[:-1]
            if (start[1:] < end[:-1]).any() or (touching & short).any():
                return False
    return True


def _nest(events: Events, parent: Ints, depth: Ints, self_us: Ints) -> None:
    """Fill the three arrays; only groups of events that overlap are walked one by one."""
    by_start = np.lexsort((-events.order, -events.duration, events.start, events.lane))
    bounds = _group_bounds(events, by_start)
    sizes = np.diff(bounds)
    several = sizes > 1
    walked = by_start[np.repeat(several, sizes)]
    walk = _Walk(events, walked)
    last = 0
    for size in sizes[several].tolist():
        walk.group(range(last, last + size))
        last += size
    inside = np.array(walk.parent, np.int64)
    parent[walked] = np.where(inside == NOBODY, NOBODY, walked[inside])
    depth[walked] = walk.depth
    self_us[walked] = walk.self_us


def _group_bounds(events: Events, by_start: Ints) -> Ints:
    """Where a new group begins: a thread's next event after all before it have ended."""
    start, end, lane = (a[by_start] for a in (events.start, events.end, events.lane))
    # One running maximum for all threads: lift each thread above the one before. Ranks stand
    # for times, because absurd times on many threads would not fit 64 bits.
    times, ranks = np.unique(np.concatenate((start, end)), return_inverse=True)
    lift = lane * len(times)
    lifted_start, lifted_end = ranks[: len(start)] + lift, ranks[len(start) :] + lift
    latest = np.maximum.accumulate(lifted_end)
    # Zero-length events may begin where another ends, so touching is not yet apart.
    fresh = np.flatnonzero(lifted_start[1:] > latest[:-1]) + 1
    return np.concatenate(([0], fresh, [len(by_start)])).astype(np.int64)


class _Walk:
    """Nests events, given by start and the longest first; positions are among those."""

    def __init__(self, events: Events, walked: Ints) -> None:
        holders = np.array([text in _GRAPH_HOLDERS for text in events.op_type.texts] or [False])
        self._start: list[int] = events.start[walked].tolist()
        self._end: list[int] = events.end[walked].tolist()
        self._order: list[int] = events.order[walked].tolist()
        self._holds: list[bool] = holders[events.op_type.codes[walked]].tolist()
        self.parent = [NOBODY] * len(walked)
        self.depth = [0] * len(walked)
        self.self_us: list[int] = events.duration[walked].tolist()

    def group(self, positions: range) -> None:
        """Nest events of one thread that overlap or touch."""
        stack: list[int] = []
        for at in positions:
            length = self._end[at] - self._start[at]
            # One of no length may belong to what ends just there.
            over = self._start[at] - (length == 0)
            while stack and self._end[stack[-1]] <= over:
                stack.pop()
            for outer in reversed(stack[-MAX_DEPTH:]):
                # What a node has left of its own time is all that it can still hold.
                if self.self_us[outer] >= length and self._holds_event(outer, at):
                    self.self_us[outer] -= length
                    self.parent[at] = outer
                    self.depth[at] = self.depth[outer] + 1
                    break
            stack.append(at)

    def _holds_event(self, outer: int, inner: int) -> bool:
        start, end = self._start[inner], self._end[inner]
        written_first = self._order[inner] < self._order[outer]
        if start == end and (start in (self._start[outer], self._end[outer])):
            return written_first and self._holds[outer]
        # Start and length are cut to whole µs one by one: an inner end may be 1 µs late.
        late = end - self._end[outer]
        return start < self._end[outer] and (late <= 0 or (late == 1 and written_first))
