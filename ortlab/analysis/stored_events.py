"""The stored events of a trace as arrays: the one place that knows the Parquet layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from ortlab.domain.trace import TraceFacts
from ortlab.errors import TraceError

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

FACTS_KEY = b"ortlab.trace"
SESSION, NODE, KERNEL, API, OTHER_NODE = range(5)
UNKNOWN = "?"
"""Provider or operator where the file names none (ORT before 1.0, some EPs)."""
ABSENT = -1
"""A number that the event does not have."""

_WORDS = ("name", "op_type", "provider", "input_shapes", "output_shapes")
_NUMBERS = ("node_index", "output_size", "pool_run_us", "pool_wait_us")


class Words(Struct, frozen=True):
    """A text column as codes into its distinct texts."""

    codes: Ints
    texts: tuple[str, ...]


class Events(Struct, frozen=True, kw_only=True):
    """Events of one kind, in file order; every array has one entry per event."""

    start: Ints
    duration: Ints
    order: Ints
    lane: Ints
    """Thread, as a code: equal lanes are the same thread of the same process."""
    name: Words
    op_type: Words
    provider: Words
    input_shapes: Words
    output_shapes: Words
    numbers: dict[str, Ints]
    """node_index, output_size, pool_run_us, pool_wait_us; `ABSENT` where not told."""

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
            numbers={key: values[keep] for key, values in self.numbers.items()},
            **{word: _where(getattr(self, word), keep) for word in _WORDS},
        )


class StoredTrace(Struct, frozen=True, kw_only=True):
    """Node events, runs and the rest of one trace."""

    facts: TraceFacts
    nodes: Events
    session: Events
    device_count: int
    device_us: int


def read(path: Path) -> StoredTrace:
    """The stored events of one trace.

    Raises:
        TraceError: the file is not one that the worker wrote.
    """
    # Imported here: 140 ms that a page without a profile does not need.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=list(_WORDS)) as file:
            facts = msgspec.json.decode(file.metadata.metadata[FACTS_KEY], type=TraceFacts)
            category, events = _ints(_column(file, "cat")), _events(file)
    except (OSError, KeyError, TypeError, pa.ArrowInvalid, msgspec.MsgspecError) as error:
        raise TraceError(
            f"The stored events of this trace cannot be read: {error}", hint="Open the trace again."
        ) from None
    device = (category == KERNEL) | (category == API)
    return StoredTrace(
        facts=facts,
        nodes=events.where(category == NODE),
        session=events.where(category == SESSION),
        device_count=int(device.sum()),
        device_us=int(events.duration[device].sum()),
    )


def combined(first: Ints, second: Ints) -> Ints:
    """Codes from 0 for pairs of codes: equal exactly where both are equal."""
    width = int(second.max(initial=0)) + 1
    return dense(first * width + second)


def dense(codes: Ints) -> Ints:
    """The same codes, numbered from 0 without gaps, in their order."""
    numbered: Ints = np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbered


def _column(file: Any, name: str) -> Any:
    """One column; one at a time, because Arrow's form of all takes as much again."""
    return file.read(columns=[name])[name]


def _events(file: Any) -> Events:
    process, thread = (dense(_ints(_column(file, name))) for name in ("pid", "tid"))
    return Events(
        start=_ints(_column(file, "ts")),
        duration=_ints(_column(file, "dur")),
        order=_ints(_column(file, "order")),
        # The same codes in all categories: runs and nodes of a thread have one lane.
        lane=combined(process, thread),
        numbers={name: _ints(_column(file, name)) for name in _NUMBERS},
        **{name: _words(_column(file, name)) for name in _WORDS},
    )


def _ints(column: Any) -> Ints:
    filled = column.fill_null(ABSENT) if column.null_count else column
    return np.asarray(filled.to_numpy(), dtype=np.int64)


def _words(column: Any) -> Words:
    array = column.unify_dictionaries().combine_chunks()
    array = array.chunk(0) if hasattr(array, "chunk") and array.num_chunks else array
    if not len(array):
        return Words(np.empty(0, np.int64), ())
    texts = [text if text is not None else UNKNOWN for text in array.dictionary.to_pylist()]
    codes = np.asarray(array.indices.fill_null(len(texts)).to_numpy(), dtype=np.int64)
    return Words(codes, (*texts, UNKNOWN))


def _where(words: Words, keep: Flags) -> Words:
    return Words(words.codes[keep], words.texts)
