"""Time by operator, by operator and shapes, and by provider, from node events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Flags, Floats, Ints, combined, dense
from ortlab.analysis.reading.derived import Derived
from ortlab.analysis.reading.quantiles import groups, sums
from ortlab.analysis.reading.stored_events import UNKNOWN, Events
from ortlab.domain.trace import Copies, NodeRow, OperatorRow, ProviderRow, ShapeRow

COPY_OPERATORS = frozenset({"MemcpyToHost", "MemcpyFromHost"})
# A model has hundreds of them; a trace of ever new shapes has one for each event.
MAX_SHAPE_ROWS = 20_000


class Counted(Struct, frozen=True, kw_only=True):
    """The node events that count, all of them or those of steady runs."""

    derived: Derived
    events: Events
    self_us: Ints
    node: Ints
    run_of: Ints


def counted(derived: Derived, keep: Flags) -> Counted:
    """The node events that are marked."""
    return Counted(
        derived=derived,
        events=derived.events.where(keep),
        self_us=derived.nested.self_us[keep],
        node=derived.node[keep],
        run_of=derived.table.run_of[keep],
    )


class Totals(Struct, frozen=True):
    """Per key that occurs: one of its events, calls, total µs, own µs, nodes, median call."""

    at: Ints
    calls: Ints
    total: Ints
    own: Ints
    nodes: Ints
    middle: Floats


def totals(key: Ints, of: Counted) -> Totals:
    """Sums over all events with the same key."""
    key = dense(key)
    count = int(key.max(initial=-1)) + 1
    at = np.zeros(count, np.int64)
    # Written backwards, so that the first event of each key stays.
    at[key[::-1]] = np.arange(len(key))[::-1]
    pairs = np.unique(key * (int(of.node.max(initial=0)) + 1) + of.node)
    nodes = np.bincount(pairs // (int(of.node.max(initial=0)) + 1), minlength=count)
    return Totals(
        at=at,
        calls=np.bincount(key, minlength=count),
        total=sums(key, of.events.duration, count),
        own=sums(key, of.self_us, count),
        nodes=nodes,
        middle=groups(key, of.events.duration, count).quantile(0.5),
    )


def operator_rows(of: Counted) -> tuple[OperatorRow, ...]:
    """One row per operator and provider, most own time first; shares add up to 1."""
    events = of.events
    found = totals(combined(events.op_type.codes, events.provider.codes), of)
    whole = int(of.self_us.sum())
    rows = [
        OperatorRow(
            op_type=events.op_type.texts[events.op_type.codes[at]],
            provider=events.provider.texts[events.provider.codes[at]],
            calls=int(found.calls[i]),
            total_us=int(found.total[i]),
            self_us=int(found.own[i]),
            share=_share(int(found.own[i]), whole, int(found.calls[i]), len(events)),
            mean_us=int(found.total[i]) / int(found.calls[i]),
            node_count=int(found.nodes[i]),
            p50_us=float(found.middle[i]),
        )
        for i, at in enumerate(found.at.tolist())
    ]
    return tuple(sorted(rows, key=lambda row: (-row.self_us, row.op_type, row.provider)))


def shape_rows(of: Counted) -> tuple[ShapeRow, ...]:
    """One row per operator, provider, types and shapes, most own time first."""
    events = of.events
    operator = combined(events.op_type.codes, events.provider.codes)
    shapes = combined(events.input_shapes.codes, events.output_shapes.codes)
    found = totals(combined(operator, shapes), of)
    whole = int(of.self_us.sum())
    longest = np.lexsort((found.at, -found.own))[:MAX_SHAPE_ROWS]
    return tuple(
        ShapeRow(
            op_type=events.op_type.texts[events.op_type.codes[at]],
            provider=events.provider.texts[events.provider.codes[at]],
            input_shapes=_told_text(events.input_shapes.texts[events.input_shapes.codes[at]]),
            output_shapes=_told_text(events.output_shapes.texts[events.output_shapes.codes[at]]),
            calls=int(found.calls[i]),
            total_us=int(found.total[i]),
            self_us=int(found.own[i]),
            share=_share(int(found.own[i]), whole, int(found.calls[i]), len(events)),
            mean_us=int(found.total[i]) / int(found.calls[i]),
            p50_us=float(found.middle[i]),
            node_count=int(found.nodes[i]),
        )
        for i, at in zip(longest.tolist(), found.at[longest].tolist(), strict=True)
    )


def provider_rows(of: Counted) -> tuple[ProviderRow, ...]:
    """One row per provider, most own time first; shares add up to 1."""
    events = of.events
    found = totals(events.provider.codes, of)
    whole = int(of.self_us.sum())
    rows = [
        ProviderRow(
            provider=events.provider.texts[events.provider.codes[at]],
            node_count=int(found.nodes[i]),
            total_us=int(found.total[i]),
            share=_share(int(found.own[i]), whole, int(found.calls[i]), len(events)),
            self_us=int(found.own[i]),
            calls=int(found.calls[i]),
        )
        for i, at in enumerate(found.at.tolist())
    ]
    return tuple(sorted(rows, key=lambda row: (-row.self_us, row.provider)))


def copies(nodes: Sequence[NodeRow]) -> Copies:
    """Memcpy nodes: calls, time, and bytes where every one of them tells its size."""
    rows = [row for row in nodes if row.is_copy]
    sizes = [None if row.output_bytes is None else row.output_bytes * row.calls for row in rows]
    known = [size for size in sizes if size is not None]
    return Copies(
        count=sum(row.calls for row in rows),
        total_us=sum(row.total_us for row in rows),
        bytes=sum(known) if rows and len(known) == len(rows) else None,
    )


def is_copy(name: str, op_type: str) -> bool:
    """Whether this node copies between host and device."""
    if op_type == UNKNOWN:
        return name.startswith("Memcpy")
    return op_type in COPY_OPERATORS


def _share(own: int, total: int, calls: int, all_calls: int) -> float:
    """Part of all own time; where no event took any time, part of the calls."""
    return own / total if total else calls / all_calls


def _told_text(text: str) -> str:
    return "" if text == UNKNOWN else text
