"""Single events of a trace: made plain one by one, saved where they are not valid."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from ortlab.worker.tracing.formats import (
    DEVICE_TEXTS,
    INDEXES,
    NUMBERS,
    ODD_KEY,
    TEXTS,
    UNREADABLE,
)

# ORT's clock starts with the session: ten years of µs are a broken number.
MAX_TIME_US = 10 * 365 * 86_400 * 10**6
# A name with line breaks is written over several lines; nobody names a node in more.
MAX_PENDING_LINES = 8
_MAX_NUMBER = 1 << 62

Event: TypeAlias = dict[str, Any]
Found: TypeAlias = tuple[Event | None, int, bool]
"""An event or None for a damaged one, its line, and whether it had to be recovered."""

_ANYTHING = msgspec.json.Decoder()


class Salvage:
    """Reads a block event by event, when it cannot be read as a whole."""

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
        several = _several(line)
        if several:
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


def plain(event: Event) -> Event | None:
    """The event with its times as whole numbers; None for one that is unsound.

    An event of another phase than X needs no times.
    """
    phase, category = event.get("ph", "X"), event.get("cat", "")
    if not (isinstance(phase, str) and phase and isinstance(category, str)):
        return None
    arguments = event.get("args")
    if not isinstance(arguments, dict):
        arguments = {} if arguments is None else {ODD_KEY: {"args": arguments}}
    result = {**event, "cat": category, "ph": phase, "args": arguments}
    if phase != "X":
        return result
    ts, dur, name = _time(event.get("ts")), _time(event.get("dur")), event.get("name")
    if ts is None or dur is None or dur < 0 or not (isinstance(name, str) and name):
        return None
    return {**result, "ts": ts, "dur": dur}


def whole(value: Any) -> int | None:
    """The whole number that this is, or that ORT wrote as text; None when it is none."""
    try:
        number: int = msgspec.convert(value, int, strict=False)
    except UNREADABLE:
        return None
    return number if abs(number) < _MAX_NUMBER else None


def _time(value: Any) -> int | None:
    if isinstance(value, float) and abs(value) <= MAX_TIME_US:
        return round(value)
    number = whole(value)
    return number if number is not None and abs(number) <= MAX_TIME_US else None


def plain_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments in the types of their fields; others go under `ODD_KEY`, null is left out."""
    kept: dict[str, Any] = {}
    odd: dict[str, Any] = {}
    for key, value in arguments.items():
        fitting = _fitting(key, value)
        if fitting is not None:
            kept[key] = fitting
        elif value is not None and value != "":
            odd[key] = value
    return {**kept, ODD_KEY: odd} if odd else kept


def _fitting(key: str, value: Any) -> Any:
    """The value in the type of its field, None if it has no place there."""
    if key in _WHOLE:
        return whole(value)
    if key in _TEXT:
        return value if isinstance(value, str) else None
    if key in _TEXT_OF_NUMBER:
        return str(value) if isinstance(value, (str, int, float)) else None
    return value


_WHOLE = frozenset({*INDEXES, *NUMBERS})
_TEXT = frozenset(TEXTS)
_TEXT_OF_NUMBER = frozenset(DEVICE_TEXTS)


def _decoded(body: bytes) -> Event | None:
    """The event, if this is valid JSON in valid UTF-8 and an object."""
    found = _anything(body)
    return found if isinstance(found, dict) else None


def _anything(body: bytes) -> Any:
    """What this JSON holds; None if it is not valid.

    A number that is none, or too large for any type, is null.
    """
    try:
        return _ANYTHING.decode(body)
    except UNREADABLE:
        try:
            return _TOLERANT.decode(body.decode())
        except (ValueError, RecursionError):
            return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_TOLERANT = json.JSONDecoder(parse_float=_finite, parse_constant=lambda _: None)


def _several(line: bytes) -> list[Event]:
    """All events of a line that has more than one."""
    body = line.removeprefix(b"[").removesuffix(b"]").rstrip(b", \t")
    found = _anything(b"[" + body + b"]") or []
    return [event if isinstance(event, dict) else {} for event in found]


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


def _recovered(body: bytes) -> Event | None:
    """What a line says that is ORT's but not valid JSON or not valid UTF-8."""
    match = _ORT_LINE.match(body.decode("utf-8", "replace"))
    if match is None:
        return None
    arguments = _recovered_arguments(match["args"])
    if arguments is None:
        return None
    times = {key: int(match[key]) for key in ("ts", "dur", "pid", "tid")}
    return {"cat": match["cat"], "name": match["name"], "ph": "X", **times, "args": arguments}


def _recovered_arguments(text: str) -> dict[str, Any] | None:
    """The arguments as far as they can be read; None where the event is cut off in them."""
    found = _decoded(text.encode())
    if found is None and text.count("{") == text.count("}"):
        return dict(_TEXT_ARGUMENT.findall(text))
    return found
