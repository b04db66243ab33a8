"""The events of a trace as a Parquet file, written beside the reading in a second thread."""

from __future__ import annotations

import queue
import threading
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortlab.domain.trace import NUMBER_COLUMNS, Signature, TraceFacts
from ortlab.worker.tracing.columns import Group

FACTS_KEY = b"ortlab.trace"
SIGNATURES_KEY = b"ortlab.signatures"
LANES_KEY = b"ortlab.lanes"

_NUMBERS = ("ts", "dur", *NUMBER_COLUMNS)
SCHEMA = pa.schema(
    [("sig", pa.int32()), ("ts", pa.int64()), ("dur", pa.int64()), ("lane", pa.int32())]
    + [(name, pa.int64()) for name in NUMBER_COLUMNS]
    + [("extra", pa.dictionary(pa.int32(), pa.string()))]
)
"""One row per kept event, in file order. `sig` is the number of its signature and `lane` of its
process and thread, both in the file's metadata; µs since the profiler started in `ts` and `dur`."""


class EventTable:
    """A Parquet file that groups of events are added to; closed with the facts about the trace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._groups: queue.Queue[Group | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="trace-table")
        self._writer: Any = None

    def __enter__(self) -> EventTable:
        self._writer = pq.ParquetWriter(
            self._path,
            SCHEMA,
            compression="zstd",
            compression_level=1,
            use_dictionary=["lane", "extra"],
            # What every view reads opens twice as fast; the rest is packed as small by zstd alone.
            column_encoding=dict.fromkeys(("sig", "ts", "dur"), "DELTA_BINARY_PACKED"),
            write_statistics=["ts"],
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish()
        self._writer.close()

    def add(self, group: Group) -> None:
        """Hand over the next rows.

        Raises:
            OSError: those before could not be written.
        """
        self._check()
        self._groups.put(group)

    def close(
        self,
        facts: TraceFacts,
        *,
        signatures: list[Signature],
        lanes: list[list[int | str | None]],
    ) -> TraceFacts:
        """Wait for what is being written, and add the facts; returns them.

        Raises:
            OSError: the rows could not be written.
        """
        self._finish()
        self._check()
        self._writer.add_key_value_metadata(
            {
                FACTS_KEY: msgspec.json.encode(facts),
                SIGNATURES_KEY: zlib.compress(msgspec.msgpack.encode(signatures), 1),
                LANES_KEY: msgspec.json.encode(lanes),
            }
        )
        return facts

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._groups.put(None)
            self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        while (group := self._groups.get()) is not None:
            try:
                if self._error is None:
                    self._writer.write_batch(_batch(group))
            except Exception as error:  # handed to the reading thread, which raises it
                self._error = error


def _batch(group: Group) -> pa.RecordBatch:
    """The rows as Arrow's columns."""
    count = group.count
    columns = {
        "sig": _column(group.sig[:count]),
        "lane": _column(group.column("lane").astype(np.int32)),
        "extra": _extra(group),
        **{name: _column(group.column(name)) for name in _NUMBERS},
    }
    return pa.record_batch([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def _column(values: NDArray[Any], told: NDArray[np.bool_] | None = None) -> pa.Array:
    """The numbers where they lie, null where not `told`.

    `pa.array` would import pandas, if it is there, to see whether it was given one of its
    series: 45 MB and a quarter of a second.
    """
    bits = None if told is None else pa.py_buffer(np.packbits(told, bitorder="little"))
    kind = pa.int32() if values.dtype == np.int32 else pa.int64()
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(values)])


def _extra(group: Group) -> pa.DictionaryArray:
    """The text of each row that has one, null elsewhere."""
    numbers = np.zeros(group.count, np.int32)
    told = np.zeros(group.count, bool)
    known: dict[bytes, int] = {}
    for row, text in group.extra.items():
        if row < group.count:
            key = text.encode("utf-8", "replace")
            numbers[row], told[row] = known.setdefault(key, len(known)), True
    ends = np.cumsum([0, *map(len, known)], dtype=np.int32)
    texts = pa.StringArray.from_buffers(
        len(known), pa.py_buffer(ends), pa.py_buffer(b"".join(known))
    )
    return pa.DictionaryArray.from_arrays(_column(numbers, told), texts)
