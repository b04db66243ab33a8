"""The stored events of a trace as arrays: the one place that knows the Parquet layout."""

from __future__ import annotations

import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ortlab.analysis.reading import first_layout, sessions
from ortlab.analysis.reading.arrays import Flags, Floats, Ints, combined, dense, whole_column
from ortlab.domain.trace import NOT_TOLD, Signature, TraceFacts
from ortlab.errors import TraceError

__all__ = ["Events", "Flags", "Floats", "Ints", "StoredTrace", "Words", "combined", "dense", "read"]

FACTS_KEY = b"ortlab.trace"
SIGNATURES_KEY = b"ortlab.signatures"
LANES_KEY = b"ortlab.lanes"
SESSION, NODE, KERNEL, API, OTHER_NODE = range(5)
UNKNOWN = "?"
"""Provider or operator where the file names none (ORT before 1.0, some EPs)."""
ABSENT = -1
"""A number that a signature does not have."""


class Words(Struct, frozen=True):
    """A text column as codes into its distinct texts."""

    codes: Ints
    texts: tuple[str, ...]


class Events(Struct, frozen=True, kw_only=True):
    """Events of one kind, in file order; every array has one entry per event."""

    start: Ints
    duration: Ints
    order: Ints
    """Rank among all stored events: ORT writes an event when it ends."""
    lane: Ints
    """Thread, as a code: equal lanes are the same thread of the same process."""
    sig: Ints
    """Number of its `Signature`: everything that does not change from run to run."""
    name: Words
    op_type: Words
    provider: Words
    input_shapes: Words
    output_shapes: Words
    numbers: dict[str, Ints]
    """node_index, output_size, parameter_size, activation_size; `ABSENT` where not told."""

    @property
    def end(self) -> Ints:
        """End of each event, µs."""
        return self.start + self.duration

    def __len__(self) -> int:
        return len(self.start)

    def where(self, keep: Flags) -> Events:
        """Only the events that are marked."""
        if keep.all():
            return self
        return Events(
            start=self.start[keep],
            duration=self.duration[keep],
            order=self.order[keep],
            lane=self.lane[keep],
            sig=self.sig[keep],
            numbers={key: values[keep] for key, values in self.numbers.items()},
            **{word: _where(getattr(self, word), keep) for word in _WORDS},
        )


_HOT = ("sig", "ts", "dur", "lane")
_WORDS = ("name", "op_type", "provider", "input_shapes", "output_shapes")
_NUMBERS = {
    "node_index": "node_index",
    "output_size": "output_bytes",
    "parameter_size": "parameter_bytes",
    "activation_size": "activation_bytes",
}


class StoredTrace:
    """Node events, runs and the rest of one trace; number columns are read when asked for."""

    def __init__(
        self,
        path: Path,
        *,
        facts: TraceFacts,
        signatures: tuple[Signature, ...],
        lanes: list[list[Any]],
        columns: dict[str, Ints],
        session_of_lane: Ints | None = None,
    ) -> None:
        self.path = path
        self.facts = facts
        self.signatures = signatures
        self.lanes = lanes
        """Process and thread of each lane, as the file names them."""
        one = np.zeros(max(1, len(lanes)), np.int64)
        self.session_of_lane: Ints = one if session_of_lane is None else session_of_lane
        """Per lane the number of its session; no two sessions of a file share a lane."""
        self._columns = columns
        self._table = _Table(signatures)
        self._category = self._table.category[columns["sig"]]

    @cached_property
    def nodes(self) -> Events:
        """Node events: what ORT calls `_kernel_time`."""
        return self._events(self._category == NODE)

    @cached_property
    def session(self) -> Events:
        """Events of category Session: loading, initialization, runs, executors."""
        return self._events(self._category == SESSION)

    @cached_property
    def device(self) -> Events:
        """Events that a device reports: categories Kernel and Api."""
        return self._events((self._category == KERNEL) | (self._category == API))

    @cached_property
    def others(self) -> Events:
        """Events of categories that ORT does not write, and of nodes but of no kernel."""
        return self._events(self._category > API)

    @property
    def device_count(self) -> int:
        """How many device events there are."""
        return len(self.device)

    @property
    def device_us(self) -> int:
        """Time of all device events together, as the file has it."""
        return int(self.device.duration.sum())

    def column(self, name: str, of: Events | None = None) -> Ints:
        """One of `NUMBER_COLUMNS` for each node event, or for each event of `of`.

        `NOT_TOLD` where the event does not have it.
        """
        events = self.nodes if of is None else of
        if name not in self._columns:
            self._columns[name] = _number_column(self.path, name, len(self._category))
        return self._columns[name][events.order]

    def _events(self, wanted: Flags) -> Events:
        rows = np.flatnonzero(wanted)
        sig = self._columns["sig"][rows]
        table = self._table
        return Events(
            start=self._columns["ts"][rows],
            duration=self._columns["dur"][rows],
            order=rows,
            lane=self._columns["lane"][rows],
            sig=sig,
            numbers={key: values[sig] for key, values in table.numbers.items()},
            **{key: Words(words.codes[sig], words.texts) for key, words in table.words.items()},
        )


class _Table:
    """The signatures as columns, so that one look-up serves all events."""

    def __init__(self, signatures: tuple[Signature, ...]) -> None:
        self.category = np.array([s.category for s in signatures] or [NODE], np.int64)
        self.words = {word: _words([getattr(s, word) for s in signatures]) for word in _WORDS}
        self.numbers = {
            key: np.array([_or_absent(getattr(s, field)) for s in signatures] or [ABSENT], np.int64)
            for key, field in _NUMBERS.items()
        }


def read(path: Path) -> StoredTrace:
    """The stored events of one trace.

    Raises:
        TraceError: the file is not one that the worker wrote.
    """
    # Imported here: 140 ms that a page without a profile does not need.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            notes = file.metadata.metadata
            facts = msgspec.json.decode(notes[FACTS_KEY], type=TraceFacts)
            if SIGNATURES_KEY in notes:
                packed = zlib.decompress(notes[SIGNATURES_KEY])
                signatures = msgspec.msgpack.decode(packed, type=tuple[Signature, ...])
                lanes = msgspec.json.decode(notes[LANES_KEY])
                columns = {name: whole_column(file, name) for name in _HOT}
            else:
                signatures, lanes, columns = first_layout.columns(file)
    except (OSError, KeyError, TypeError, zlib.error, pa.ArrowInvalid, msgspec.MsgspecError) as e:
        raise _unreadable(e) from None
    apart = sessions.apart(columns["sig"], columns["lane"], signatures=signatures, lanes=lanes)
    return StoredTrace(
        path,
        facts=facts,
        signatures=signatures,
        lanes=apart.lanes,
        session_of_lane=apart.session_of_lane,
        columns=columns | {"lane": apart.lane},
    )


def _number_column(path: Path, name: str, count: int) -> Ints:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            # Stored before this column was.
            if name not in file.schema_arrow.names:
                return np.full(count, NOT_TOLD, np.int64)
            return whole_column(file, name)
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> TraceError:
    return TraceError(
        f"The stored events of this trace cannot be read: {error}", hint="Open the trace again."
    )


def _words(texts: list[str | None]) -> Words:
    known: dict[str, int] = {}
    codes = [known.setdefault(UNKNOWN if t is None else t, len(known)) for t in texts]
    return Words(np.array(codes or [0], np.int64), tuple(known) or (UNKNOWN,))


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else value


def _where(words: Words, keep: Flags) -> Words:
    return Words(words.codes[keep], words.texts)
