"""Where every event of a cut is drawn: inside what holds it, crossing nothing.

Viewers drop an event that begins inside another and ends outside it. ONNX Runtime cuts start
and length of an event to whole µs one by one, so an inner event may end 1 µs late; such ones
are moved, with what lies before them as far as it has to be. Lengths never change.
"""

from __future__ import annotations

from collections import defaultdict

from ortlab.analysis.reading.nesting import NOBODY, Nesting
from ortlab.analysis.reading.stored_events import Events


class Layout:
    """For each event its start and its row; rows are numbered by lane and part.

    Whatever crosses other events of its thread without being held by one of them gets a
    further part of that lane.
    """

    def __init__(self, events: Events, nested: Nesting) -> None:
        self.start: list[int] = events.start.tolist()
        self.row = [0] * len(events)
        self.rows: list[tuple[int, int]] = []
        """Lane and part of each row."""
        self.moved_count = 0
        self.moved_most_us = 0
        self._duration: list[int] = events.duration.tolist()
        self._lane: list[int] = events.lane.tolist()
        inside: dict[int, list[int]] = defaultdict(list)
        longest_first = sorted(
            range(len(events)), key=lambda at: (self.start[at], -self._duration[at], -at)
        )
        parent: list[int] = nested.parent.tolist()
        for at in longest_first:
            inside[parent[at]].append(at)
        self._place_outermost(inside.pop(NOBODY, []))
        for at in sorted(inside, key=nested.depth.tolist().__getitem__):
            self._place_inside(at, inside[at])

    def _place_outermost(self, events: list[int]) -> None:
        """Each in the first part of its lane whose last event has ended."""
        ends: dict[int, list[int]] = defaultdict(list)
        numbers: dict[tuple[int, int], int] = {}
        for at in events:
            parts, start = ends[self._lane[at]], self.start[at]
            part = next((i for i, end in enumerate(parts) if end <= start), len(parts))
            parts[part : part + 1] = [start + self._duration[at]]
            self.row[at] = numbers.setdefault((self._lane[at], part), len(numbers))
        self.rows = list(numbers)

    def _place_inside(self, holder: int, events: list[int]) -> None:
        """One after the other; all of them together are no longer than what holds them."""
        begin = self.start[holder]
        limit = begin + self._duration[holder]
        moved = {}
        for at in reversed(events):
            moved[at] = min(self.start[at], limit - self._duration[at])
            limit = moved[at]
        # Those that crossed each other may have been pushed out on the left.
        for at in events:
            start = max(moved[at], begin)
            begin = start + self._duration[at]
            self._move(at, start)
            self.row[at] = self.row[holder]

    def _move(self, at: int, start: int) -> None:
        if start != self.start[at]:
            self.moved_count += 1
            self.moved_most_us = max(self.moved_most_us, abs(start - self.start[at]))
            self.start[at] = start
