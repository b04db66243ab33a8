"""The stored events between two moments, without holding the others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ortlab.analysis.reading import stored_events
from ortlab.analysis.reading.arrays import Flags, Ints, numbers
from ortlab.analysis.reading.stored_events import FACTS_KEY, LANES_KEY, SIGNATURES_KEY, StoredTrace
from ortlab.domain.trace import (
    CORRELATION_COLUMN,
    MEMORY_COLUMNS,
    Signature,
    TraceFacts,
)
from ortlab.errors import TraceError

HOT = ("sig", "ts", "dur", "lane")
KEPT_NUMBERS = (*MEMORY_COLUMNS, CORRELATION_COLUMN)


class Window(Struct, frozen=True, kw_only=True):
    """Events that lie in a span of time, as a trace of their own."""

    stored: StoredTrace
    numbers: dict[str, Ints]
    """`KEPT_NUMBERS` of every event of `stored`, by its `order`; `NOT_TOLD` where absent."""
    shortest_left_out: int
    """Events beyond the limit: the shortest of them are not here."""


def window(path: Path, *, start_us: int, end_us: int, limit: int) -> Window:
    """The stored events that are open at some moment from `start_us` to `end_us`.

    The file is read group by group, so that memory is bounded by `limit`, not by the trace.

    Raises:
        TraceError: the file is not one that the worker wrote.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if SIGNATURES_KEY not in file.metadata.metadata:
                return _of_first_layout(path, start_us, end_us, limit)
            return _gathered(path, file, start_us, end_us, limit)
    except (OSError, KeyError, TypeError, zlib.error, pa.ArrowInvalid, msgspec.MsgspecError) as e:
        raise TraceError(
            f"The stored events of this trace cannot be read: {e}", hint="Open the trace again."
        ) from None


def _gathered(path: Path, file: Any, start_us: int, end_us: int, limit: int) -> Window:
    notes = file.metadata.metadata
    names = [n for n in KEPT_NUMBERS if n in file.schema_arrow.names]
    kept: dict[str, Ints] = {name: np.empty(0, np.int64) for name in (*HOT, *names)}
    left_out = 0
    for group in _groups(file, names, start_us, end_us):
        kept = {name: np.concatenate((kept[name], group[name])) for name in kept}
        over = len(kept["ts"]) - limit
        if over > 0:
            left_out += over
            keep = _longest(kept["dur"], limit)
            kept = {name: values[keep] for name, values in kept.items()}
    stored = StoredTrace(
        path,
        facts=msgspec.json.decode(notes[FACTS_KEY], type=TraceFacts),
        signatures=msgspec.msgpack.decode(
            zlib.decompress(notes[SIGNATURES_KEY]), type=tuple[Signature, ...]
        ),
        lanes=msgspec.json.decode(notes[LANES_KEY]),
        columns={name: kept[name] for name in HOT},
    )
    told = {name: kept[name] for name in names}
    return Window(stored=stored, numbers=told, shortest_left_out=left_out)


def _groups(file: Any, names: list[str], start_us: int, end_us: int) -> Iterator[dict[str, Ints]]:
    """Of each group of rows those in the window; other columns are read only where some are."""
    for number in range(file.num_row_groups):
        times = file.read_row_group(number, columns=["ts", "dur"])
        ts, dur = numbers(times["ts"]), numbers(times["dur"])
        keep = _open(ts, dur, start_us, end_us)
        if keep.any():
            rest = file.read_row_group(number, columns=["sig", "lane", *names])
            found = {name: numbers(rest[name])[keep] for name in ("sig", "lane", *names)}
            yield {**found, "ts": ts[keep], "dur": dur[keep]}


def _of_first_layout(path: Path, start_us: int, end_us: int, limit: int) -> Window:
    """Stored before there were signatures: such files are small enough to be read whole."""
    whole = stored_events.read(path)
    parts = (whole.session, whole.nodes, whole.device, whole.others)
    rows = np.sort(np.concatenate([part.order for part in parts]))
    columns = {name: np.empty(len(rows), np.int64) for name in HOT}
    for part in parts:
        at = np.searchsorted(rows, part.order)
        for name, values in zip(HOT, (part.sig, part.start, part.duration, part.lane), strict=True):
            columns[name][at] = values
    keep = np.flatnonzero(_open(columns["ts"], columns["dur"], start_us, end_us))
    longest = keep[_longest(columns["dur"][keep], limit)]
    stored = StoredTrace(
        path,
        facts=whole.facts,
        signatures=whole.signatures,
        lanes=whole.lanes,
        columns={name: values[longest] for name, values in columns.items()},
    )
    return Window(stored=stored, numbers={}, shortest_left_out=len(keep) - len(longest))


def _open(ts: Ints, dur: Ints, start_us: int, end_us: int) -> Flags:
    inside: Flags = (ts <= end_us) & (ts + dur >= start_us)
    return inside


def _longest(duration: Ints, limit: int) -> Ints:
    """Positions of the longest, in their order; what holds others is longer than they are."""
    if len(duration) <= limit:
        return np.arange(len(duration))
    chosen: Ints = np.sort(np.argsort(-duration, kind="stable")[:limit])
    return chosen
