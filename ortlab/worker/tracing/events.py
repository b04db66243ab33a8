"""One event of a trace, decoded by type, and what can be saved of one that is not valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

# ORT's clock starts with the session: ten years of µs are a broken number.
MAX_TIME_US = 10 * 365 * 86_400 * 10**6
# A name with line breaks is written over several lines; nobody names a node in more.
MAX_PENDING_LINES = 8
MAX_NAME_CHARACTERS = 500

Number: TypeAlias = int | float
Scalar: TypeAlias = str | int | float | None


class MainThread(Struct, gc=False):
    """What the calling thread did in ORT's thread pool during one node, µs."""

    Run: Number = 0
    Wait: Number = 0


class ThreadStats(Struct, gc=False):
    """`thread_scheduling_stats` of one node event."""

    main_thread: MainThread | None = None


class Arguments(Struct, gc=False):
    """What an event tells beside its times; all versions, every one optional."""

    op_name: str | None = None
    provider: str | None = None
    node_index: Scalar = None
    exec_plan_index: Scalar = None
    graph_index: Scalar = None
    parameter_size: Scalar = None
    activation_size: Scalar = None
    output_size: Scalar = None
    input_type_shape: msgspec.Raw = msgspec.Raw()
    output_type_shape: msgspec.Raw = msgspec.Raw()
    thread_scheduling_stats: ThreadStats | str | None = None
    mem_bytes_in_use: Scalar = None
    mem_in_use_delta: Scalar = None
    mem_bytes_requested_in_use: Scalar = None
    mem_requested_in_use_delta: Scalar = None
    mem_in_use_peak: Scalar = None
    mem_arena_held: Scalar = None
    mem_arena_held_delta: Scalar = None
    parent_ort_event_name: str | None = None
    ort_correlation_id: Scalar = None
    ep: str | None = None
    ov_node_type: str | None = None
    max_num_events: Scalar = None
    dropped_event_count: Scalar = None
    name: Scalar = None


NO_ARGUMENTS = Arguments()


class Event(Struct, gc=False):
    """One event as the file has it. `ph` X is a span; ORT writes nothing else."""

    cat: str = ""
    name: str = ""
    ph: str = "X"
    ts: Number | None = None
    dur: Number | None = None
    pid: Scalar = None
    tid: Scalar = None
    args: Arguments | None = None

    def is_sound(self) -> bool:
        """Whether this is an event with a place in time, if it is a span at all."""
        if self.ph != "X":
            return bool(self.ph)
        ts, dur = self.ts, self.dur
        return (
            ts is not None
            and dur is not None
            and -MAX_TIME_US <= ts <= MAX_TIME_US
            and 0 <= dur <= MAX_TIME_US
            and bool(self.name)
        )


_ARRAY = msgspec.json.Decoder(list[Event])
_ONE = msgspec.json.Decoder(Event)
_ANYTHING = msgspec.json.Decoder()
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Everything that decoding hostile JSON can raise."""


def event_array(block: bytes) -> list[Event] | None:
    """All events of a block of lines, or None when anything in it is not as it should be."""
    body = block.strip(b" \t\r\n,")
    body = body.removeprefix(b"[").removesuffix(b"]").strip(b" \t\r\n,")
    try:
        return _ARRAY.decode(b"[" + body + b"]")
    except UNREADABLE:
        return None


Found: TypeAlias = tuple[Event | None, int, bool]
"""An event or None for a damaged one, its line, and whether it had to be recovered."""


class Salvage:
    """Reads a damaged block event by event."""

    def __init__(self) -> None:
        self._pending: list[tuple[bytes, int]] = []

    @property
    def pending(self) -> bool:
        """Whether an event has begun that did not end with its line."""
        return bool(self._pending)

    def lines(self, block: bytes, first_line: int) -> Iterator[Found]:
        """Every event of the block, line by line."""
        for number, line in enumerate(block.split(b"\n"), first_line):
            body = line.strip(b" \t\r,")
            if body.strip(b"[]{} \t"):
                yield from self._line(body, number)
            elif body.startswith(b"{") or b"{}" in body:
                yield None, number, False

    def whole(self, body: bytes, line: int) -> Iterator[Found]:
        """The one event in `body`, which may span lines."""
        event = _decoded(body)
        yield (event, line, False) if event else (_recovered(body), line, True)

    def flush(self) -> list[int]:
        """Lines of events that began and never ended."""
        lost = [number for _, number in self._pending[:1]]
        self._pending.clear()
        return lost

    def _line(self, line: bytes, number: int) -> Iterator[Found]:
        bare = line.removeprefix(b"[") if line.startswith(b"[{") else line
        event = _decoded(bare.removesuffix(b"]").rstrip(b", \t"))
        if event is not None:
            yield from ((None, at, False) for at in self.flush())
            yield event, number, False
            return
        if self._pending and not bare.startswith(b'{"cat"'):
            yield from self._continued(bare, number)
            return
        yield from ((None, at, False) for at in self.flush())
        several = event_array(line)
        if several is not None:
            yield from ((event, number, False) for event in several)
            return
        yield from self._broken(bare, number)

    def _broken(self, line: bytes, number: int) -> Iterator[Found]:
        event = _recovered(line)
        if event is not None:
            yield event, number, True
        elif line.startswith(b'{"cat"') and b'"args"' not in line:
            self._pending.append((line, number))
        else:
            yield None, number, False

    def _continued(self, line: bytes, number: int) -> Iterator[Found]:
        """A name with a line break: the event goes on in this line."""
        self._pending.append((line, number))
        joined = b"\n".join(part for part, _ in self._pending)
        event = _recovered(joined)
        if event is not None:
            first = self._pending[0][1]
            self._pending.clear()
            yield event, first, True
        elif len(self._pending) >= MAX_PENDING_LINES:
            yield from ((None, at, False) for at in self.flush())


def _decoded(body: bytes) -> Event | None:
    """The event, if this is valid JSON in valid UTF-8; odd argument types are left out."""
    try:
        return _ONE.decode(body)
    except UNREADABLE:
        return _lenient(body)


def _lenient(body: bytes) -> Event | None:
    """The event of an object with unexpected types in its arguments."""
    try:
        found = _ANYTHING.decode(body)
    except UNREADABLE:
        return None
    if not isinstance(found, dict):
        return None
    arguments = found.get("args")
    known = _known(arguments) if isinstance(arguments, dict) else NO_ARGUMENTS
    try:
        event = msgspec.convert({**found, "args": None}, Event)
    except UNREADABLE:
        return None
    event.args = known
    return event


_TEXTS = frozenset({"op_name", "provider", "parent_ort_event_name", "ep", "ov_node_type"})
_SHAPES = frozenset({"input_type_shape", "output_type_shape"})


def _known(arguments: dict[str, Any]) -> Arguments:
    """The arguments whose types are as expected; thread statistics are all or nothing."""
    known = Arguments()
    for key in arguments.keys() & set(Arguments.__struct_fields__) - {"thread_scheduling_stats"}:
        value = arguments[key]
        if key in _SHAPES:
            setattr(known, key, msgspec.Raw(msgspec.json.encode(value)))
        elif isinstance(value, str if key in _TEXTS else (str, int, float)):
            setattr(known, key, value)
    return known


# ORT's own order of fields. Until 1.30 names were not escaped: a quote, a backslash or a
# line break in a node's name makes the line invalid JSON. The name is then what lies
# between the two texts that ORT always writes around it.
_ORT_LINE = re.compile(
    r'\{"cat" : "(?P<cat>\w+)","pid" :(?P<pid>-?\d{1,18}),"tid" :(?P<tid>-?\d{1,20}),'
    r'"dur" :(?P<dur>-?\d{1,18}),"ts" :(?P<ts>-?\d{1,18}),"ph" : "X",'
    r'"name" :"(?P<name>.{1,4000})","args" : (?P<args>\{.*\})\}[\s,\]]*$',
    re.DOTALL,
)
_TEXT_ARGUMENT = re.compile(r'"(op_name|provider|node_index|output_size)" : "([^"\\]{0,500})"')
_ARGUMENTS = msgspec.json.Decoder(Arguments)


def _recovered(body: bytes) -> Event | None:
    """What a line says that is ORT's but not valid JSON or not valid UTF-8."""
    match = _ORT_LINE.match(body.decode("utf-8", "replace"))
    if match is None:
        return None
    return Event(
        cat=match["cat"],
        name=match["name"],
        ts=int(match["ts"]),
        dur=int(match["dur"]),
        pid=int(match["pid"]),
        tid=int(match["tid"]),
        args=_recovered_arguments(match["args"]),
    )


def _recovered_arguments(text: str) -> Arguments:
    try:
        return _ARGUMENTS.decode(text)
    except UNREADABLE:
        return Arguments(**dict(_TEXT_ARGUMENT.findall(text)))
