"""Reads the bytes of a trace, fast where they are as expected and with care where not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from ortlab.domain.trace import TraceFacts
from ortlab.worker.tracing import source
from ortlab.worker.tracing.columns import Columns, Sink
from ortlab.worker.tracing.events import Event, Found, Salvage, plain, plain_arguments
from ortlab.worker.tracing.facts import Tally
from ortlab.worker.tracing.formats import EVENT_KEYS, ODD_KEY, UNREADABLE, Format
from ortlab.worker.tracing.lanes import Ints
from ortlab.worker.tracing.objects import Objects

# Without one event of ONNX Runtime among this many, a file is not an ORT profile.
PATIENCE_EVENTS = 100_000
# Reading goes on past damage, but not when there are this many broken events for a sound one.
HOPELESS_SHARE = 100
# Enough to meet a node event behind those of loading; further keys are learned when they come.
_FIRST_LINES = 20
# In a file in which something else is odd throughout, no more blocks are searched for keys.
_MAX_VAIN = 3
# Where one line is broken, its neighbours are read together all the same.
_FEW_LINES = 32

_ANYTHING = msgspec.json.Decoder()
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = json.JSONDecoder()


class Reader:
    """Turns a stream of bytes into groups of rows, and keeps the tally.

    Args:
        sink: takes every full group, and the last one.
        room: events to keep; further ones are only counted.
        wanted: arguments to read; all of them by default.
    """

    def __init__(self, sink: Sink, *, room: int, wanted: frozenset[str] | None = None) -> None:
        self.tally = Tally()
        self._format = Format(wanted)
        self.columns = Columns(self.tally, sink, room=room, form=self._format)
        self._salvage = Salvage()
        self._truncated = False
        self._commas = True
        self._vain = 0

    def consume(self, stream: BinaryIO) -> None:
        """Read the stream to its end.

        Raises:
            TraceError: what the whole of it turned out to be.
        """
        blocks = source.Blocks(stream)
        head = blocks.head()
        source.check_head(head)
        shape = source.shape(head)
        blocks.skip(shape.start)
        self._commas = shape.commas
        if self._format.takes_all:
            self._learn(_first_events(head[shape.start :]))
        read = self._lines if shape.one_per_line else self._objects
        whole = read(blocks, shape)
        self.columns.flush()
        # What follows the list in an object does not matter; bare lines end anywhere.
        bare = not shape.commas and head.lstrip().startswith(b"{")
        self._truncated = not (whole and (shape.wrapped or bare or blocks.ends_list))
        self.tally.check(head, bytes_read=blocks.bytes_read)

    def facts(self) -> TraceFacts:
        """Everything but the events."""
        facts = self.tally.facts(events=self.columns.kept, truncated=self._truncated)
        return msgspec.structs.replace(facts, **self.columns.facts())

    def _lines(self, blocks: source.Blocks, shape: source.Shape) -> bool:
        """Read one event per line; whether the last line was whole."""
        block, ended = None, False
        for block in blocks.each(source.line_end, first_line=shape.first_line):
            if self._salvage.pending or not self._block(block):
                ended = self._carefully(block, wrapped=shape.wrapped)
                if ended:
                    break
        self._damaged(self._salvage.flush())
        if ended or shape.wrapped or not (self.tally.damaged and block):
            return ended or not shape.wrapped
        return self.tally.last_damaged != block.line + block.line_count

    def _objects(self, blocks: source.Blocks, shape: source.Shape) -> bool:
        """Read one object after the other; whether the last one was whole."""
        cutter = Objects(first_line=shape.first_line)
        for block in blocks.each(source.object_end(shape.first_key), first_line=shape.first_line):
            if not cutter.open and self._block(block):
                cutter.skip(block.line_count)
                continue
            for body, line in cutter.feed(block.text()):
                self._keep(self._salvage.whole(body, line))
            if shape.wrapped and cutter.list_ended:
                return True
        for body, line in cutter.rest():
            self._keep(self._salvage.whole(body, line))
        return not cutter.open and not shape.wrapped

    def _block(self, block: source.Block) -> bool:
        """Whether the block could be read as a whole; then its events are taken."""
        listed = block.listed()
        if listed is None:
            return not block.text().strip(b" \t\r\n,[]")
        if not self._commas:
            # A list of lines without commas: in place of the line end there is room for one.
            listed = memoryview(bytes(listed).replace(b"}\n{", b"},{").replace(b"}\r\n{", b"}\r,{"))
        try:
            unsound = self.columns.take(self._decoded(listed))
        except (*UNREADABLE, OverflowError):
            return False
        if len(unsound):
            self._damaged(_lines_of(block, unsound))
        if self.tally.seen > PATIENCE_EVENTS and not self.tally.ort_seen:
            self._refuse()
        return True

    def _decoded(self, listed: memoryview) -> list[Any]:
        """The events of the list, after learning keys that were not seen before."""
        try:
            return self._format.decode(listed)
        except msgspec.ValidationError:
            if self._vain > _MAX_VAIN:
                raise
            found = _ANYTHING.decode(listed)
            if not self._learn(event for event in found if isinstance(event, dict)):
                self._vain += 1
                raise
            return self._format.decode(listed)

    def _carefully(self, block: source.Block, *, wrapped: bool) -> bool:
        """Read a block of lines a few at a time; whether the list ends in it."""
        text, ended = _up_to_end(block.text()) if wrapped else (block.text(), False)
        lines = text.split(b"\n")
        for at in range(0, len(lines), _FEW_LINES):
            part = b"\n".join(lines[at : at + _FEW_LINES])
            few = source.Block.of(part, line=block.line + at)
            if self._salvage.pending or not self._block(few):
                self._keep(self._salvage.lines(part, block.line + at))
        return ended

    def _keep(self, found: Iterable[Found]) -> None:
        """Take what was found one by one."""
        batch: list[Event] = []
        for event, line, recovered in found:
            sound = plain(event) if event is not None else None
            if sound is None:
                self._damaged([line])
            elif sound["ph"] == "X":
                batch.append(sound)
                self.tally.recovered += recovered
            else:
                self._other_phase(sound)
        if batch:
            self._take_plain(batch)
        if self.tally.seen > PATIENCE_EVENTS and not self.tally.ort_seen:
            self._refuse()

    def _take_plain(self, batch: list[Event]) -> None:
        lanes = self.columns.lanes
        for event in batch:
            event["pid"], event["tid"] = (
                lanes.number(event.get("pid")),
                lanes.number(event.get("tid")),
            )
        self._learn(batch)
        try:
            events = self._format.decode(_encoded(batch))
            self.columns.take(events)
        except (*UNREADABLE, OverflowError):
            # Some argument is not what it should be, or has no field.
            for event in batch:
                event["args"] = plain_arguments(event["args"])
            self._learn(batch)
            self._learn([event for event in batch if self._lump(event)])
            self.columns.take(self._format.decode(_encoded(batch)))

    def _lump(self, event: Event) -> bool:
        """Whether arguments of the event had to be put together, for want of a field."""
        arguments: dict[str, Any] = event["args"]
        lost = {key: event.pop(key) for key in event.keys() - set(EVENT_KEYS)
                if not self._format.takes(key, top=True)}  # fmt: skip
        lost |= {key: arguments.pop(key) for key in list(arguments)
                 if key != ODD_KEY and not self._format.takes(key)}  # fmt: skip
        if lost and self._format.takes_all:
            arguments[ODD_KEY] = {**arguments.get(ODD_KEY, {}), **lost}
        return bool(lost)

    def _learn(self, events: Iterable[Event]) -> bool:
        learned = self._format.learn(events)
        if learned:
            self.columns.use(self._format)
        return learned

    def _other_phase(self, event: Event) -> None:
        producer = event["args"].get("name")
        self.tally.other_phase(event["cat"], str(event.get("name")), producer)

    def _damaged(self, lines: Iterable[int]) -> None:
        for line in lines:
            self.tally.damage(line)
            if self.tally.damaged > max(PATIENCE_EVENTS, HOPELESS_SHARE * self.columns.kept):
                self._refuse()

    def _refuse(self) -> None:
        self.columns.flush()
        self.tally.refuse()


def _first_events(head: bytes) -> Iterator[Event]:
    """Events on the first lines, to learn their keys from."""
    for line in head.split(b"\n", _FIRST_LINES)[:_FIRST_LINES]:
        try:
            event = _ANYTHING.decode(line.strip(b" \t\r,[]"))
        except UNREADABLE:
            continue
        if isinstance(event, dict) and isinstance(event.get("args", {}), dict):
            yield event


def _up_to_end(text: bytes) -> tuple[bytes, bool]:
    """The lines up to the end of the list, and whether it ends in them."""
    at = 0
    for line in text.splitlines(keepends=True):
        body = line.strip(b" \t\r\n,")
        if body.startswith(b"]"):
            return text[:at], True
        if b"]" in body and body.startswith(b"{"):
            length = _closing(body)
            if length:
                return text[:at] + body[:length], True
        at += len(line)
    return text, False


def _closing(line: bytes) -> int:
    """Length of the event that the line begins with, if the list ends behind it, else 0."""
    try:
        text = line.decode()
        _, end = _OBJECT.raw_decode(text)
    except (ValueError, RecursionError):
        return 0
    return len(text[:end].encode()) if text[end:].lstrip().startswith("]") else 0


def _lines_of(block: source.Block, places: Ints) -> list[int]:
    """The lines on which these events of the block begin."""
    text = block.text()
    starts, at = [], 0
    for part in _PARTS.decode(b"[" + text.strip(b" \t\r\n,[]") + b"]"):
        starts.append(text.index(bytes(part), at))
        at = starts[-1] + len(bytes(part))
    return [block.line + text.count(b"\n", 0, starts[place]) for place in places.tolist()]


def _encoded(events: list[Event]) -> bytes:
    try:
        return msgspec.json.encode(events)
    except (OverflowError, UnicodeEncodeError, msgspec.MsgspecError):
        # Numbers of more than 64 bits and halves of letters, in arguments that nobody knows.
        return json.dumps(events, ensure_ascii=False).encode("utf-8", "replace")
