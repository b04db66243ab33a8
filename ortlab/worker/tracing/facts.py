"""Counts kept while a trace is read, and what they say about the file."""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

from ortlab.domain.trace import NOT_TOLD, TraceFacts
from ortlab.errors import TraceError
from ortlab.worker.tracing.formats import NOTHING, STATS

KERNEL_SUFFIX = "_kernel_time"
_FENCE_SUFFIXES = ("_fence_before", "_fence_after")
ORT_SESSION_NAMES = frozenset({
    "model_loading_uri", "model_loading_array", "model_loading_from_saved_proto",
    "model_loading_proto", "model_loading_istream", "session_initialization", "model_run",
    "SequentialExecutor::Execute", "ParallelExecutor::Execute", "profile_truncated",
})  # fmt: skip

SESSION, NODE, KERNEL, API, OTHER_NODE = range(5)
CATEGORIES = ("Session", "Node", "Kernel", "Api", "Node (other)")
"""Categories by their code in the stored events; unknown ones follow."""
_CODES = {"Session": SESSION, "Node": NODE, "Kernel": KERNEL, "Api": API}
_PRODUCERS = (
    ("onnxruntime-mlx-ep", "the MLX execution provider's own tracer"),
    ("onnxruntime-ep-vulkan", "the Vulkan execution provider's own tracer"),
    ("cpu_op", "PyTorch's profiler"),
    ("devtools.timeline", "a Chrome browser"),
)
"""What shows who wrote a foreign trace: part of the producer's name, or one of its categories."""
# A hostile file may name each event's category differently.
MAX_CATEGORIES = 100
MORE = "(more)"
MAX_DAMAGED_LINES = 20
_MAX_TEXT = 80


class Tally:
    """What was seen so far."""

    def __init__(self) -> None:
        self.ort_seen = False
        """Whether anything showed that ONNX Runtime wrote this."""
        self.counted = 0
        """Sound events, kept or not."""
        self.fences = 0
        self.damaged = 0
        self.last_damaged = -1
        self.recovered = 0
        self.unknown_fields: Counter[str] = Counter()
        self._bytes_read = 0
        self._categories = list(CATEGORIES)
        self._counts: Counter[str] = Counter()
        self._damaged_lines: list[int] = []
        self._dropped: int | None = None
        self._max_events: int | None = None
        self._producer = ""
        self._marks: set[str] = set()

    @property
    def seen(self) -> int:
        """Events found, damaged ones aside."""
        return self.counted + self.fences

    def kind(self, category: str, name: str, arguments: Any) -> int | None:
        """Code under which such events are kept; None for a fence, which is only counted.

        Called once for each signature; takes note of what it shows about the file.
        """
        code = _CODES.get(category)
        if code == NODE:
            return self._node_code(name, arguments)
        if code == SESSION:
            self._note_session(name, arguments)
        return self._unknown_code(category) if code is None else code

    def other_phase(self, category: str, name: str, producer: object) -> None:
        """Count an event that is no span: a name of a process, a counter, a flow."""
        self.counted += 1
        self._count(category, 1)
        if name == "process_name" and isinstance(producer, str):
            self._producer = self._producer or _short(producer)

    def count_kind(self, code: int, events: int) -> None:
        """Count events of one category."""
        self._count("Node" if code == OTHER_NODE else self._categories[code], events)

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
        if self.ort_seen:
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
        if head.lstrip().startswith(b"{") and b'"traceEvents"' not in head:
            raise TraceError(
                "This is JSON, but not a trace: it has no list of events; it begins with "
                f"'{begins}'.",
                hint="An ORT profile is a JSON file with a name like onnxruntime_profile__….json.",
                kind="not_a_trace",
            )
        what = "only broken events" if self.damaged else "no events"
        raise TraceError(
            f"The trace holds {what}; it begins with '{begins}'.",
            hint="Profile again with at least one run; ONNX Runtime writes at end_profiling().",
            kind="empty_trace",
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
        raise TraceError(
            "This is a Chrome trace, but not an ONNX Runtime profile: it has no event of "
            f"category Session or Node; its categories are {categories}.{self._writer()}",
            hint="Open it in Perfetto. For a profile of ONNX Runtime set "
            "SessionOptions.enable_profiling = True.",
            kind="not_ort_trace",
        )

    def _writer(self) -> str:
        """Who wrote the file, in a sentence, as far as it shows."""
        producer = self._producer
        calls = f" Its producer calls itself '{producer}'." if producer else ""
        for sign, writer in _PRODUCERS:
            if sign in producer.lower() or sign in self._counts:
                return f" It was written by {writer}.{calls}"
        return calls

    def facts(self, *, events: int, truncated: bool) -> TraceFacts:
        """Everything that was counted; `events` were kept."""
        if self.fences:
            self._count("Node", self.fences)
        return TraceFacts(
            events=events,
            categories=tuple(self._categories),
            category_counts=dict(self._counts),
            fence_count=self.fences,
            damaged_count=self.damaged,
            damaged_lines=tuple(self._damaged_lines),
            recovered_count=self.recovered,
            truncated=truncated,
            dropped_count=self._dropped,
            max_events=self._max_events,
            marks=tuple(sorted(self._marks)),
            ort_version=version_range(self._marks),
            bytes_read=self._bytes_read,
            unknown_fields=dict(self.unknown_fields),
        )

    def _count(self, category: str, events: int) -> None:
        name = _short(category)
        if name not in self._counts and len(self._counts) >= MAX_CATEGORIES:
            name = MORE
        self._counts[name] += events

    def _node_code(self, name: str, arguments: Any) -> int | None:
        if name.endswith(KERNEL_SUFFIX):
            self.ort_seen = True
            self._note_format(arguments)
            return NODE
        if name.endswith(_FENCE_SUFFIXES):
            self.ort_seen = True
            self._marks.add("fences")
            return None
        return OTHER_NODE

    def _unknown_code(self, category: str) -> int:
        name = _short(category)
        if name not in self._categories:
            if len(self._categories) >= MAX_CATEGORIES:
                name = MORE
            if name not in self._categories:
                self._categories.append(name)
        return self._categories.index(name)

    def _note_session(self, name: str, arguments: Any) -> None:
        if name not in ORT_SESSION_NAMES:
            return
        self.ort_seen = True
        if name == "model_run":
            self._marks.add("runs")
        elif name == "profile_truncated":
            self._marks.add("profile_truncated")
            self._dropped = getattr(arguments, "dropped_event_count", None)
            self._max_events = getattr(arguments, "max_num_events", None)

    def _note_format(self, arguments: Any) -> None:
        marks = self._marks
        if marks >= _NODE_MARKS:
            return
        marks.add("nodes")
        for mark, key, absent in _SHOWN_BY:
            if getattr(arguments, key, absent) != absent:
                marks.add(mark)


_SHOWN_BY: tuple[tuple[str, str, Any], ...] = (
    ("provider", "provider", None),
    ("node_index", "node_index", None),
    ("exec_plan_index", "exec_plan_index", None),
    ("shapes", "input_type_shape", NOTHING),
    ("sizes", "output_size", None),
    ("memory", "mem_bytes_in_use", NOT_TOLD),
    ("thread_stats", STATS, NOTHING),
)
"""Mark, the argument that shows it, and its value where it is absent."""
# Once these are there, no further node event adds a mark.
_NODE_MARKS = {"nodes", "provider", "node_index", "shapes", "sizes", "memory", "thread_stats"}


def version_range(marks: set[str]) -> str | None:
    """ORT versions that write a trace with these marks, in words; None when any might.

    Missing memory fields date nothing: ORT writes none without its arena, in any version.

    Source: traces of 20 versions; ORT writes no version into its profiles.
    """
    oldest = [v for mark, v in _SINCE.items() if mark in marks]
    newest = [v for mark, v in _UNTIL.items() if mark in marks]
    if {"runs", "nodes"} <= marks and "fences" not in marks:
        oldest.append((1, 21))
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


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
