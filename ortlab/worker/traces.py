"""Task `trace`: an ORT profile, however old, cut off or hostile, as one columnar file of events.

The file is read once, in blocks cut at line ends, because ORT writes one event per line:
memory stays the same whatever the size, and a damaged line costs only itself. Files in
another shape (pretty-printed, all on one line) are cut between their events.
The file is read rather than mapped: a map of a file that shrinks kills the process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from msgspec import Struct

from ortlab.domain.trace import Signature, TraceFacts
from ortlab.errors import TraceError
from ortlab.worker.protocol import Context, Message
from ortlab.worker.tracing import source as trace_source
from ortlab.worker.tracing.columns import Group
from ortlab.worker.tracing.facts import NODE
from ortlab.worker.tracing.formats import BRIEF, PLAIN
from ortlab.worker.tracing.reader import Reader
from ortlab.worker.tracing.table import EventTable

# An ORT session stops at 1 M events; ten sessions in one file are more than anybody has shown.
MAX_EVENTS = 10_000_000

__all__ = ["PLAIN", "Table", "aggregate", "decode", "read", "table"]

Sums: TypeAlias = dict[tuple[str | None, str | None], tuple[int, int]]


class Table(Struct, frozen=True):
    """All events of a trace in memory."""

    facts: TraceFacts
    signatures: list[Signature]
    lanes: list[list[int | str | None]]
    groups: list[Group]


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
        with _readable(path), EventTable(out) as table:
            reader = Reader(table.add, room=MAX_EVENTS)
            _consume(path, reader)
            columns = reader.columns
            return table.close(
                reader.facts(), signatures=columns.signatures.all, lanes=columns.lanes.names()
            )
    except (TraceError, OSError):
        out.unlink(missing_ok=True)
        raise


def table(path: Path, *, wanted: frozenset[str] | None = None) -> Table:
    """All events of the profile at `path`, in memory.

    Args:
        wanted: arguments to read, such as `PLAIN`; all of them by default.

    Raises:
        TraceError: as `decode`.
    """
    groups: list[Group] = []
    reader = Reader(groups.append, room=MAX_EVENTS, wanted=wanted)
    with _readable(path):
        _consume(path, reader)
    columns = reader.columns
    return Table(reader.facts(), columns.signatures.all, columns.lanes.names(), groups)


def aggregate(path: Path) -> Sums:
    """Calls and µs of all node events at `path`, by operator and provider.

    Raises:
        TraceError: as `decode`.
    """
    calls = np.zeros(0, np.int64)
    times = np.zeros(0, np.int64)

    def add(group: Group) -> None:
        nonlocal calls, times
        count = group.count
        size = len(reader.columns.signatures.all)
        calls, times = (np.pad(one, (0, size - len(one))) for one in (calls, times))
        np.add.at(calls, group.sig[:count], 1)
        np.add.at(times, group.sig[:count], group.column("dur"))

    reader = Reader(add, room=MAX_EVENTS, wanted=BRIEF)
    with _readable(path):
        _consume(path, reader)
    sums: Sums = {}
    for signature, count, us in zip(
        reader.columns.signatures.all, calls.tolist(), times.tolist(), strict=True
    ):
        if signature.category == NODE and count:
            key = (signature.op_type, signature.provider)
            before = sums.get(key, (0, 0))
            sums[key] = (before[0] + count, before[1] + us)
    return sums


def _consume(path: Path, reader: Reader) -> None:
    with trace_source.open_trace(path) as stream, _no_collection():
        reader.consume(stream)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Tells in a sentence why the trace cannot be read, if it is the trace."""
    try:
        yield
    except OSError as error:
        if trace_source.is_write_error(error):
            raise
        raise TraceError(
            f"The trace '{path.name}' cannot be read: {error.strerror or error}."
        ) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector: what is decoded holds no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
