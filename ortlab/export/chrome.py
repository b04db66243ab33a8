"""A run as a Chrome trace: for Perfetto, chrome://tracing and speedscope, and for ortlab again.

Names and categories are ORT's own, so what reads an ORT profile reads this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

import ortlab
from ortlab.analysis.reading.stored_events import NODE, OTHER_NODE
from ortlab.domain.trace import NOT_TOLD, Signature
from ortlab.export.spans import Cut, Row

HOST, DEVICE = 1, 2
"""Process numbers of the export; names tell those of the trace."""
_TENSOR = re.compile(r"(?P<dtype>[^\s\[\]]+)\[(?P<dims>-?\d*(?:,-?\d+)*)\]")
# Viewers order what begins in the same µs by its place in the file; ORT writes what ends first.
# A ns later, the inner event is the inner one everywhere, and rounds to the same µs.
_NUDGE_US = 0.001
_BLOCK_EVENTS = 2_000


def blocks(cut: Cut, *, source: str) -> Iterator[bytes]:
    """The trace as UTF-8 JSON, piece by piece, one event per line.

    Args:
        cut: what to show.
        source: name of the trace it comes from.
    """
    yield b'{"displayTimeUnit":"ms",\n"otherData":' + _json(other_data(cut, source)) + b",\n"
    yield b'"traceEvents":[\n' + b",\n".join(_json(event) for event in _names(cut))
    heads = [_head(signature, _category(signature, cut)) for signature in cut.signatures]
    ties = _ties(cut)
    for begin in range(0, len(cut.start), _BLOCK_EVENTS):
        end = min(begin + _BLOCK_EVENTS, len(cut.start))
        yield b"".join(b",\n" + _event(cut, heads, ties, at) for at in range(begin, end))
    yield b"\n]}\n"


def other_data(cut: Cut, source: str) -> dict[str, str]:
    """What the file is, and what it leaves out, for whoever opens it later."""
    told = {
        "exporter": f"ortlab {ortlab.__version__}",
        "source": source,
        "shows": cut.title,
        "time 0 in the source, us": str(cut.start_us),
        "events": str(len(cut.start)),
        "left out": "; ".join(cut.left_out) or "nothing",
    }
    if cut.moved_count:
        told["moved"] = (
            f"{cut.moved_count} events, by {cut.moved_most_us} us at most, into what holds them"
        )
    return told


def row_names(cut: Cut) -> list[str]:
    """A name for each row of the cut."""
    return [_row_name(row) for row in cut.rows]


def _names(cut: Cut) -> Iterator[dict[str, Any]]:
    """Metadata events: who the processes and threads are, and in which order."""
    processes = sorted({str(row.process) for row in cut.rows if not row.is_device})
    yield _named("process_name", HOST, 0, name=f"ONNX Runtime, process {', '.join(processes)}")
    if any(row.is_device for row in cut.rows):
        yield _named("process_name", DEVICE, 0, name="Device")
        yield _named("process_sort_index", DEVICE, 0, sort_index=1)
    for number, (row, name) in enumerate(zip(cut.rows, row_names(cut), strict=True), 1):
        yield _named("thread_name", _process(row), number, name=name)
        yield _named("thread_sort_index", _process(row), number, sort_index=_rank(row) + number)


def _named(what: str, pid: int, tid: int, **arguments: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": arguments}


def _process(row: Row) -> int:
    return DEVICE if row.is_device else HOST


def _rank(row: Row) -> int:
    """Threads that call `run` come first, as they hold the runs."""
    return 0 if row.has_runs else 1_000_000


def _row_name(row: Row) -> str:
    if row.is_device:
        name = f"stream {row.thread}"
    else:
        name = f"thread {row.thread}, {'calls run' if row.has_runs else 'pool'}"
    return f"{name} ({row.part + 1})" if row.part else name


def _head(signature: Signature, category: str) -> tuple[bytes, bytes]:
    """What all events of a signature have in common: before the times, and the arguments."""
    is_node = signature.category == NODE
    name = f"{signature.name}_kernel_time" if is_node else signature.name
    arguments = _json(_arguments(signature))
    head = b'{"cat":' + _json(category) + b',"name":' + _json(name) + b',"ph":"X",'
    return head, arguments


def _category(signature: Signature, cut: Cut) -> str:
    """The category as the source has it."""
    code = NODE if signature.category == OTHER_NODE else signature.category
    return cut.categories[code] if code < len(cut.categories) else "Other"


def _arguments(signature: Signature) -> dict[str, Any]:
    """Arguments as ORT writes them: numbers as text, shapes as lists."""
    told: dict[str, Any] = {
        "op_name": signature.op_type,
        "provider": signature.provider,
        "node_index": signature.node_index,
        "parameter_size": signature.parameter_bytes,
        "activation_size": signature.activation_bytes,
        "output_size": signature.output_bytes,
        "parent_ort_event_name": signature.parent,
    }
    arguments = {key: str(value) for key, value in told.items() if value is not None}
    shapes = {
        "input_type_shape": signature.input_shapes, "output_type_shape": signature.output_shapes,
    }  # fmt: skip
    for key, text in shapes.items():
        if text is not None:
            arguments[key] = shape_list(text)  # type: ignore[assignment]
    return {**(signature.device or {}), **arguments}


def shape_list(text: str) -> list[dict[str, list[int]]] | str:
    """`float[1,3] int64[2]` as ORT's list; the text itself where it is nothing like that."""
    found = [_TENSOR.fullmatch(part) for part in text.split()]
    if not all(found):
        return text
    return [
        {tensor["dtype"]: [int(size) for size in tensor["dims"].split(",") if size]}
        for tensor in found
        if tensor
    ]


def _ties(cut: Cut) -> list[int]:
    """For each event how many of those around it begin in the same µs."""
    ties = [0] * len(cut.start)
    for at, parent in sorted(enumerate(cut.parent), key=lambda pair: -cut.duration[pair[0]]):
        # What holds an event is as long or longer, and of equals the later one in the file.
        if parent >= 0 and cut.start[parent] == cut.start[at]:
            ties[at] = ties[parent] + 1
    return ties


def _event(cut: Cut, heads: list[tuple[bytes, bytes]], ties: list[int], at: int) -> bytes:
    head, arguments = heads[cut.signature[at]]
    start, duration = cut.start[at], cut.duration[at]
    row = cut.row[at]
    times = f'"ts":{start},"dur":{duration}'
    if ties[at]:
        nudge = ties[at] * _NUDGE_US
        times = f'"ts":{start + nudge:.3f},"dur":{max(0, duration - nudge):.3f}'
    place = f'"pid":{_process(cut.rows[row])},"tid":{row + 1},{times},"args":'
    own = _own_arguments(cut, at)
    if own:
        both = arguments[:-1] + (b"," if len(arguments) > 2 else b"") + own[1:]
        return head + place.encode() + both + b"}"
    return head + place.encode() + arguments + b"}"


def _own_arguments(cut: Cut, at: int) -> bytes:
    """Arguments of this event alone."""
    own = {name: str(values[at]) for name, values in cut.numbers.items() if values[at] != NOT_TOLD}
    self_us = cut.self_us[at]
    if self_us is not None:
        own["self_us"] = str(self_us)
    return _json(own) if own else b""


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
