"""Task `trace`: an ORT profile, however old, cut off or hostile, as one columnar file of events.

The file is read once, in blocks cut at line ends, because ORT writes one event per line:
memory stays the same whatever the size, and a damaged line costs only itself. Files in
another shape (pretty-printed, all on one line) are cut into events by matching brackets.
The file is read rather than mapped: a map of a file that shrinks kills the process.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from ortlab.domain.trace import TraceFacts
from ortlab.errors import TraceError
from ortlab.worker.protocol import Context, Message
from ortlab.worker.tracing import source as trace_source
from ortlab.worker.tracing.events import Event, Salvage, event_array
from ortlab.worker.tracing.facts import Tally
from ortlab.worker.tracing.table import EventTable

# An ORT session stops at 1 M events; ten sessions in one file are more than anybody has shown.
MAX_EVENTS = 10_000_000
# Without one event of ONNX Runtime among this many, a file is not an ORT profile.
PATIENCE_EVENTS = 100_000
# Reading goes on past damage, but not when there are this many broken events for a sound one.
HOPELESS_SHARE = 100


def read(request: Message, context: Context) -> Message:
    """What `decode` found in `path`, after writing its events to `out`.

    Request: `path` of the profile, `out` for the Parquet file.
    Reply: `TraceFacts` as plain data.
    """
    context.phase("trace")
    facts = decode(Path(request["path"]), Path(request["out"]))
    reply: Message = msgspec.to_builtins(facts)
    return reply


def decode(path: Path, out: Path) -> TraceFacts:
    """Facts about the profile at `path`; its events are then in the Parquet file `out`.

    Raises:
        TraceError: nothing to read, not a list of events, or not from ONNX Runtime
            (kind `not_ort_trace`).
    """
    try:
        with trace_source.open_trace(path) as stream, EventTable(out) as table:
            reader = _Reader(table)
            reader.consume(stream)
            return table.close(reader.facts())
    except TraceError:
        out.unlink(missing_ok=True)
        raise
    except OSError as error:
        out.unlink(missing_ok=True)
        if trace_source.is_write_error(error):
            raise
        raise TraceError(
            f"The trace '{path.name}' cannot be read: {error.strerror or error}."
        ) from None


class _Reader:
    """Turns a stream of bytes into rows of the table, and keeps the tally."""

    def __init__(self, table: EventTable) -> None:
        self._table = table
        self._tally = Tally()
        self._salvage = Salvage()
        self._truncated = False

    def consume(self, stream: BinaryIO) -> None:
        """Read the stream to its end.

        Raises:
            TraceError: what the whole of it turned out to be.
        """
        tail = trace_source.Tail()
        pieces = tail.pieces(stream)
        head = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
        trace_source.check_head(head)
        shape = trace_source.shape(head)
        read = self._lines if shape.one_per_line else self._objects
        whole = read(itertools.chain([head[shape.start :]], pieces), shape)
        # What follows the list in an object does not matter.
        self._truncated = not (whole and (shape.wrapped or tail.ends_list))
        self._tally.check(head, bytes_read=tail.bytes_read)

    def facts(self) -> TraceFacts:
        """Everything but the events."""
        return self._tally.facts(truncated=self._truncated)

    def _lines(self, pieces: Iterable[bytes], shape: trace_source.Shape) -> bool:
        """Read one event per line; whether the last line was whole."""
        last_line = 0
        for block, line in trace_source.line_blocks(pieces, first_line=shape.first_line):
            events = None if self._salvage.pending else event_array(block)
            if events is None or not self._take(events):
                self._salvaged(block, line)
            last_line = line + block.rstrip().count(b"\n")
        self._damaged(self._salvage.flush())
        return self._tally.last_damaged != last_line

    def _objects(self, pieces: Iterable[bytes], shape: trace_source.Shape) -> bool:
        """Read one object after the other; whether the last one was whole."""
        cutter = trace_source.Objects(first_line=shape.first_line)
        for piece in pieces:
            for body, line in cutter.feed(piece):
                self._salvaged(body, line, whole=True)
            if shape.wrapped and cutter.list_ended:
                return True
        for body, line in cutter.rest():
            self._salvaged(body, line, whole=True)
        return not cutter.open and not shape.wrapped

    def _salvaged(self, block: bytes, line: int, *, whole: bool = False) -> None:
        """Take the events of one block, one by one."""
        salvage = self._salvage
        found = salvage.whole(block, line) if whole else salvage.lines(block, line)
        for event, at, recovered in found:
            if event is None or not self._take([event]):
                self._damaged([at])
            elif recovered:
                self._tally.recovered += 1

    def _take(self, events: list[Event]) -> bool:
        """Whether all of these are sound; then they are counted and kept."""
        if not all(map(Event.is_sound, events)):
            return False
        kept = self._tally.sort(events, room=MAX_EVENTS - self._table.count)
        self._table.add(kept)
        if self._tally.seen > PATIENCE_EVENTS and not self._tally.ort_events:
            self._tally.refuse()
        return True

    def _damaged(self, lines: Iterable[int]) -> None:
        for line in lines:
            self._tally.damage(line)
        hopeless = self._tally.damaged > HOPELESS_SHARE * self._tally.ort_events
        if hopeless and self._tally.damaged > PATIENCE_EVENTS:
            self._tally.refuse()
