"""The events of a trace as a Parquet file, written in groups so that memory stays bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ortlab.domain.trace import TraceFacts
from ortlab.worker.tracing.events import (
    MAX_NAME_CHARACTERS,
    NO_ARGUMENTS,
    UNREADABLE,
    Event,
    Scalar,
    ThreadStats,
)
from ortlab.worker.tracing.facts import KERNEL_SUFFIX, NODE, Kept, whole

FACTS_KEY = b"ortlab.trace"
# Large enough for Parquet to compress well, small enough for 30 MB of Python objects.
GROUP_EVENTS = 16_384
MAX_SHAPES_CHARACTERS = 2_000
# Distinct shape texts remembered; a model with dynamic shapes may have a new one in each run.
_MAX_CACHED_SHAPES = 20_000
_ABSENT = -1

_NUMBERS = (
    "parameter_size", "activation_size", "output_size",
    "mem_bytes_in_use", "mem_in_use_delta", "mem_bytes_requested_in_use",
    "mem_requested_in_use_delta", "mem_in_use_peak", "mem_arena_held", "mem_arena_held_delta",
    "ort_correlation_id",
)  # fmt: skip
_TEXTS = ("name", "op_type", "provider", "input_shapes", "output_shapes", "parent")

SCHEMA = pa.schema(
    [("cat", pa.int8()), ("order", pa.int64()), ("ts", pa.int64()), ("dur", pa.int64())]
    + [("pid", pa.int64()), ("tid", pa.int64()), ("node_index", pa.int32())]
    + [(name, pa.string()) for name in _TEXTS]
    + [(name, pa.int64()) for name in _NUMBERS]
    + [("pool_run_us", pa.int64()), ("pool_wait_us", pa.int64())]
)
"""`order` is the rank in the file, µs since the profiler started in `ts` and `dur`. Node names
come without ORT's `_kernel_time`. `parent` and `ort_correlation_id` belong to Kernel events."""


class EventTable:
    """A Parquet file that events are added to; closed with the facts about the trace."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._waiting: list[Kept] = []
        self._shapes: dict[bytes, str | None] = {}
        self._writer: Any = None

    def __enter__(self) -> EventTable:
        self._writer = pq.ParquetWriter(
            self._path,
            SCHEMA,
            compression="zstd",
            use_dictionary=[*_TEXTS, "cat", "tid", "pid", "parameter_size", "output_size"],
            column_encoding={"order": "DELTA_BINARY_PACKED", "ts": "DELTA_BINARY_PACKED",
                             "dur": "DELTA_BINARY_PACKED"},
        )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def add(self, events: list[Kept]) -> None:
        """Add events in file order."""
        self.count += len(events)
        self._waiting += events
        if len(self._waiting) >= GROUP_EVENTS:
            self._flush()

    def close(self, facts: TraceFacts) -> TraceFacts:
        """Write what is left, and the facts; returns them."""
        self._flush()
        self._writer.add_key_value_metadata({FACTS_KEY: msgspec.json.encode(facts)})
        return facts

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(self._batch(self._waiting))
            self._waiting = []

    def _batch(self, kept: list[Kept]) -> pa.RecordBatch:
        events = [event for event, _, _ in kept]
        arguments = [event.args or NO_ARGUMENTS for event in events]

        def each(field: str) -> list[Any]:
            return list(map(attrgetter(field), arguments))

        columns: dict[str, Any] = {
            "cat": [code for _, code, _ in kept],
            "order": [rank for _, _, rank in kept],
            "ts": [round(event.ts or 0) for event in events],
            "dur": [round(event.dur or 0) for event in events],
            "pid": _numbers([event.pid for event in events], _identity),
            "tid": _numbers([event.tid for event in events], _identity),
            "node_index": pa.array([_node_index(event) for event in events], pa.int32()),
            "name": [_name(event, code) for event, code, _ in kept],
            "op_type": _either(each("op_name"), each("ov_node_type")),
            "provider": _either(each("provider"), each("ep")),
            "parent": [_clipped(text) for text in each("parent_ort_event_name")],
            "input_shapes": [self._shape_text(raw) for raw in each("input_type_shape")],
            "output_shapes": [self._shape_text(raw) for raw in each("output_type_shape")],
        }
        columns |= {field: _numbers(each(field), whole) for field in _NUMBERS}
        columns |= _pool_columns(each("thread_scheduling_stats"))
        arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
        return pa.record_batch(arrays, schema=SCHEMA)

    def _shape_text(self, raw: msgspec.Raw | None) -> str | None:
        if not raw:
            return None
        key = bytes(raw)
        if key not in self._shapes:
            if len(self._shapes) >= _MAX_CACHED_SHAPES:
                self._shapes.clear()
            self._shapes[key] = _shapes(key)
        return self._shapes[key]


def _name(event: Event, code: int) -> str:
    return _clipped(event.name.removesuffix(KERNEL_SUFFIX) if code == NODE else event.name) or ""


def _clipped(text: str | None, limit: int = MAX_NAME_CHARACTERS) -> str | None:
    """The text, or its beginning and a checksum, so that different giant names stay different."""
    if text is None or len(text) <= limit:
        return text
    return f"{text[: limit - 12]}…{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def _either(first: list[str | None], second: list[str | None]) -> list[str | None]:
    return [_clipped(a if a is not None else b) for a, b in zip(first, second, strict=True)]


def _node_index(event: Event) -> int | None:
    """The index in whichever generation of the format this is: node_index since 1.14."""
    a = event.args
    if a is None:
        return None
    for value in (a.node_index, a.graph_index, a.exec_plan_index):
        if value is not None:
            index = whole(value)
            return index if index is not None and abs(index) < 1 << 31 else None
    return None


def _numbers(values: list[Scalar], convert: Callable[[Scalar], int | None]) -> pa.Array:
    """Text or numbers as 64-bit integers, null where they are none."""
    try:
        kind = pa.string() if any(isinstance(v, str) for v in values[:1]) else None
        return pa.array(values, kind).cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([convert(value) for value in values], pa.int64())


def _identity(value: Scalar) -> int | None:
    """A thread or process as a number; one named by text gets a checksum of it."""
    if value is None:
        return _ABSENT
    number = whole(value)
    return number if number is not None else zlib.crc32(str(value).encode("utf-8", "replace"))


def _pool_columns(stats: list[ThreadStats | str | None]) -> dict[str, pa.Array]:
    main = [s.main_thread if isinstance(s, ThreadStats) else None for s in stats]
    return {
        "pool_run_us": _numbers([m.Run if m else None for m in main], whole),
        "pool_wait_us": _numbers([m.Wait if m else None for m in main], whole),
    }


def _shapes(raw: bytes) -> str | None:
    """Types and shapes in one line: `float[1,3,224,224] int64[2]`; raw text if it is unusual."""
    try:
        tensors = msgspec.json.decode(raw, type=list[dict[str, list[int]]])
        parts = [f"{t}[{','.join(map(str, dims))}]" for pair in tensors for t, dims in pair.items()]
        text = " ".join(parts)
    except UNREADABLE:
        text = raw.decode("utf-8", "replace")
    return _clipped(text, MAX_SHAPES_CHARACTERS) or None
