"""Counts kept while a trace is read, and what they say about the file."""

from __future__ import annotations

from typing import NoReturn

from ortlab.domain.trace import TraceFacts
from ortlab.errors import TraceError
from ortlab.worker.tracing.events import NO_ARGUMENTS, Event, Scalar

KERNEL_SUFFIX = "_kernel_time"
_FENCE_SUFFIXES = ("_fence_before", "_fence_after")
_ORT_SESSION_NAMES = frozenset({
    "model_loading_uri", "model_loading_array", "model_loading_from_saved_proto",
    "model_loading_proto", "model_loading_istream", "session_initialization", "model_run",
    "SequentialExecutor::Execute", "ParallelExecutor::Execute", "profile_truncated",
})  # fmt: skip

SESSION, NODE, KERNEL, API, OTHER_NODE = range(5)
CATEGORIES = ("Session", "Node", "Kernel", "Api", "Node (other)")
"""Categories by their code in the stored events; unknown ones follow."""
_CODES = {"Session": SESSION, "Node": NODE, "Kernel": KERNEL, "Api": API}
# A hostile file may name each event's category differently.
MAX_CATEGORIES = 100
MAX_DAMAGED_LINES = 20
_MAX_TEXT = 80

Kept = tuple[Event, int, int]
"""An event, its category code, and its rank in the file."""


class Tally:
    """What was seen so far."""

    def __init__(self) -> None:
        self.seen = 0
        self.ort_events = 0
        self.damaged = 0
        self.last_damaged = -1
        self.recovered = 0
        self._bytes_read = 0
        self._stored = 0
        self._capped = 0
        self._fences = 0
        self._categories = list(CATEGORIES)
        self._counts: dict[str, int] = {}
        self._damaged_lines: list[int] = []
        self._dropped: int | None = None
        self._max_events: int | None = None
        self._truncated_by_ort = False
        self._producer = ""
        self._marks: set[str] = set()

    def sort(self, events: list[Event], *, room: int) -> list[Kept]:
        """Count these events; those to keep, at most `room`, with their category."""
        kept: list[Kept] = []
        for event in events:
            rank, self.seen = self.seen, self.seen + 1
            category = event.cat
            if category not in self._counts and len(self._counts) >= MAX_CATEGORIES:
                category = "(more)"
            self._counts[category] = self._counts.get(category, 0) + 1
            code = self._code(event, category)
            if code is not None:
                kept.append((event, code, rank))
        if len(kept) > room:
            self._capped += len(kept) - room
            del kept[room:]
        self._stored += len(kept)
        return kept

    def damage(self, line: int) -> None:
        """Count one event that could not be read."""
        self.damaged += 1
        self.last_damaged = line
        if len(self._damaged_lines) < MAX_DAMAGED_LINES:
            self._damaged_lines.append(line)

    def check(self, head: bytes, *, bytes_read: int) -> None:
        """Refuse a file in which nothing was found.

        Raises:
            TraceError: it holds no event of ONNX Runtime.
        """
        self._bytes_read = bytes_read
        if self.ort_events:
            return
        if self.seen or self.damaged > MAX_DAMAGED_LINES:
            self.refuse()
        begins = " ".join(head[:60].decode("utf-8", "replace").split())
        if not head.lstrip().startswith((b"[", b"{")):
            raise TraceError(
                f"This is not a trace: it begins with '{begins}', where a list of events "
                "begins with '['.",
                hint="An ORT profile is a JSON file with a name like onnxruntime_profile__….json.",
                kind="not_a_trace",
            )
        what = "only broken events" if self.damaged else "no events"
        raise TraceError(
            f"The trace holds {what}; it begins with '{begins}'.",
            hint="Profile again with at least one run; ONNX Runtime writes at end_profiling().",
            kind="not_a_trace" if head.lstrip().startswith(b"{") else "empty_trace",
        )

    def refuse(self) -> NoReturn:
        """Say what a file without events of ONNX Runtime looks like.

        Raises:
            TraceError: always, of kind `not_ort_trace`.
        """
        if self.damaged > self.seen:
            raise TraceError(
                f"{self.damaged:,} of the first {self.damaged + self.seen:,} entries are no "
                "events: this is not an ONNX Runtime profile, or it is damaged throughout.",
                hint=f"The first bad line is line {self._damaged_lines[0]}.",
                kind="not_ort_trace",
            )
        names = sorted(self._counts, key=lambda name: -self._counts[name])[:5]
        categories = ", ".join(f"'{_short(name)}'" for name in names)
        producer = f" Its producer calls itself '{self._producer}'." if self._producer else ""
        raise TraceError(
            "This is a Chrome trace, but not an ONNX Runtime profile: it has no event of "
            f"category Session or Node; its categories are {categories}.{producer}",
            hint="Open it in Perfetto. For a profile of ONNX Runtime set "
            "SessionOptions.enable_profiling = True.",
            kind="not_ort_trace",
        )

    def facts(self, *, truncated: bool) -> TraceFacts:
        """Everything that was counted."""
        return TraceFacts(
            events=self._stored,
            categories=tuple(self._categories),
            category_counts=dict(self._counts),
            fence_count=self._fences,
            damaged_count=self.damaged,
            damaged_lines=tuple(self._damaged_lines),
            recovered_count=self.recovered,
            truncated=truncated,
            capped_count=self._capped,
            dropped_count=self._dropped,
            max_events=self._max_events,
            marks=tuple(sorted(self._marks)),
            ort_version=version_range(self._marks),
            bytes_read=self._bytes_read,
        )

    def _code(self, event: Event, category: str) -> int | None:
        """Code under which the event is kept; None for one that is only counted."""
        code = _CODES.get(category)
        if event.ph != "X":
            self._note_metadata(event)
            return None
        if code == NODE:
            return self._node_code(event)
        if code == SESSION:
            self._note_session(event)
        if code is None:
            code = self._unknown_code(category)
        return code

    def _node_code(self, event: Event) -> int | None:
        name = event.name
        if name.endswith(KERNEL_SUFFIX):
            self.ort_events += 1
            self._note_format(event)
            return NODE
        if name.endswith(_FENCE_SUFFIXES):
            self.ort_events += 1
            self._fences += 1
            self._marks.add("fences")
            return None
        return OTHER_NODE

    def _unknown_code(self, category: str) -> int:
        if category not in self._categories:
            self._categories.append(_short(category))
        return self._categories.index(_short(category))

    def _note_session(self, event: Event) -> None:
        name = event.name
        if name not in _ORT_SESSION_NAMES:
            return
        self.ort_events += 1
        if name == "model_run":
            self._marks.add("runs")
        elif name == "profile_truncated" and event.args is not None:
            self._marks.add("profile_truncated")
            self._dropped = whole(event.args.dropped_event_count)
            self._max_events = whole(event.args.max_num_events)

    def _note_metadata(self, event: Event) -> None:
        if event.name == "process_name" and event.args is not None:
            self._producer = self._producer or _short(str(event.args.name or ""))

    def _note_format(self, event: Event) -> None:
        arguments, marks = event.args or NO_ARGUMENTS, self._marks
        if marks >= _NODE_MARKS:
            return
        marks.add("nodes")
        for mark, present in (
            ("provider", arguments.provider),
            ("node_index", arguments.node_index),
            ("exec_plan_index", arguments.exec_plan_index),
            ("shapes", bytes(arguments.input_type_shape)),
            ("sizes", arguments.output_size),
            ("memory", arguments.mem_bytes_in_use),
        ):
            if present:
                marks.add(mark)
        if arguments.thread_scheduling_stats is not None:
            marks.add("thread_stats")


# Once these are there, no further node event adds a mark.
_NODE_MARKS = {"nodes", "provider", "node_index", "shapes", "sizes", "memory", "thread_stats"}


def version_range(marks: set[str]) -> str | None:
    """ORT versions that write a trace with these marks, in words; None when any might.

    Source: traces of 20 versions; ORT writes no version into its profiles.
    """
    oldest = [v for mark, v in _SINCE.items() if mark in marks]
    newest = [v for mark, v in _UNTIL.items() if mark in marks]
    if {"runs", "nodes"} <= marks and "fences" not in marks:
        oldest.append((1, 21))
    if {"node_index", "shapes", "runs"} <= marks and "memory" not in marks:
        newest.append((1, 27))
    if "fences" in marks and not marks & {"provider", "sizes"} and "runs" in marks:
        newest.append((0, 5))
    return _in_words(max(oldest, default=None), min(newest, default=None))


_SINCE = {
    "profile_truncated": (1, 31),
    "memory": (1, 28),
    "node_index": (1, 14),
    "shapes": (1, 12),
    "thread_stats": (1, 10),
    "exec_plan_index": (1, 4),
}
_UNTIL = {"fences": (1, 20), "exec_plan_index": (1, 13)}


def _in_words(oldest: tuple[int, int] | None, newest: tuple[int, int] | None) -> str | None:
    low = ".".join(map(str, oldest or ()))
    high = ".".join(map(str, newest or ()))
    if oldest and newest:
        # Edited or joined files can contradict themselves.
        return None if oldest > newest else low if oldest == newest else f"{low} to {high}"
    return f"{low} or newer" if low else f"{high} or older" if high else None


def whole(value: Scalar) -> int | None:
    """The number that ORT wrote as text, or None when it is none that fits 64 bits."""
    try:
        number = int(value) if isinstance(value, (str, int)) else int(value or 0)
    except (ValueError, OverflowError):
        return None
    return number if value is not None and abs(number) < 1 << 62 else None


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
