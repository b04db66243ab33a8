"""Time by node, by operator and by provider, from node events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from ortlab.analysis.nesting import Nesting
from ortlab.analysis.runs import OUTSIDE
from ortlab.analysis.stored_events import (
    ABSENT,
    UNKNOWN,
    Events,
    Flags,
    Floats,
    Ints,
    Words,
    combined,
    dense,
)
from ortlab.domain.trace import Copies, NodeRow, OperatorRow, ProviderRow

COPY_OPERATORS = frozenset({"MemcpyToHost", "MemcpyFromHost"})
# Below this many runs the 95th percentile is the slowest run, which says nothing about a tail.
MIN_RUNS_FOR_P95 = 20
_SCOPE_MARK = "/"
_MAX_SCOPE_CHARACTERS = 500


class Grouped(Struct, frozen=True, kw_only=True):
    """Node events with the number of their node; nodes are numbered by their first call."""

    events: Events
    self_us: Ints
    run_of: Ints
    node: Ints
    first: Ints
    """Per node: position of its first event, by start."""
    scope: Words


def grouped(events: Events, nested: Nesting, *, run_of: Ints, keep: Flags) -> Grouped:
    """The events to keep, as nodes: same scope, name, operator and provider are one node."""
    around = scopes(events, nested)
    scope = Words(around.codes[keep], around.texts)
    events, self_us, run_of = events.where(keep), nested.self_us[keep], run_of[keep]
    key = combined(
        combined(scope.codes, events.name.codes),
        combined(events.op_type.codes, events.provider.codes),
    )
    by_start = np.lexsort((events.order, events.start))
    _, first, inverse = np.unique(key[by_start], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    node = np.empty(len(events), np.int64)
    node[by_start] = rank[inverse.reshape(-1)]
    return Grouped(
        events=events,
        self_us=self_us,
        run_of=run_of,
        node=node,
        first=by_start[np.sort(first)],
        scope=scope,
    )


def scopes(events: Events, nested: Nesting) -> Words:
    """For each event the names of the nodes around it, outermost first; empty at the top."""
    texts = [""]
    codes = np.zeros(len(events), np.int64)
    known: dict[tuple[int, int], int] = {}
    for depth in range(1, int(nested.depth.max(initial=0)) + 1):
        here = np.flatnonzero(nested.depth == depth)
        around = nested.parent[here]
        pairs = np.stack([codes[around], events.name.codes[around]], axis=1)
        distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
        numbers = []
        for outer, name in distinct.tolist():
            if (outer, name) not in known:
                known[outer, name] = len(texts)
                texts.append(_inside(texts[outer], events.name.texts[name]))
            numbers.append(known[outer, name])
        codes[here] = np.array(numbers, np.int64)[inverse.reshape(-1)]
    return Words(codes, tuple(texts))


def _inside(scope: str, name: str) -> str:
    path = f"{scope}{_SCOPE_MARK}{name}" if scope else name
    # Deep nesting of giant names must not grow with its square.
    return path if len(path) <= _MAX_SCOPE_CHARACTERS else "…" + path[-_MAX_SCOPE_CHARACTERS:]


def node_rows(group: Grouped) -> tuple[NodeRow, ...]:
    """One row per node, most own time first.

    `p50_us` and `p95_us` are observed values over runs: a node's time in a run is the sum of
    its calls there (a loop body has many), bodies inside included. In a trace without runs
    every call stands for itself.
    """
    events, first = group.events, group.first
    count = len(first)
    calls = np.bincount(group.node, minlength=count)
    totals = _sums(group.node, events.duration, count)
    own = _sums(group.node, group.self_us, count)
    middle, high, _ = _percentiles(group, count)
    inputs = _shape_texts(group, events.input_shapes)
    outputs = _shape_texts(group, events.output_shapes)
    largest = _largest(group.node, events.numbers["output_size"], count)
    pool = [_pool(group, key, count) for key in ("pool_run_us", "pool_wait_us")]
    index = events.numbers["node_index"][first].tolist()
    rows = [
        NodeRow(
            name=events.name.texts[events.name.codes[at]],
            op_type=events.op_type.texts[events.op_type.codes[at]],
            provider=events.provider.texts[events.provider.codes[at]],
            calls=int(calls[i]),
            total_us=int(totals[i]),
            self_us=int(own[i]),
            p50_us=float(middle[i]),
            p95_us=None if np.isnan(high[i]) else float(high[i]),
            input_shapes=inputs[i],
            output_shapes=outputs[i],
            output_bytes=_told(int(largest[i])),
            scope=group.scope.texts[group.scope.codes[at]],
            node_index=_told(index[i]),
            is_copy=_is_copy(events, at),
            order=i,
            pool_run_us=_told(int(pool[0][i])),
            pool_wait_us=_told(int(pool[1][i])),
        )
        for i, at in enumerate(first.tolist())
    ]
    return tuple(sorted(rows, key=lambda row: (-row.self_us, row.order)))


def operator_rows(group: Grouped) -> tuple[OperatorRow, ...]:
    """One row per operator and provider, most own time first; shares add up to 1."""
    events = group.events
    key = combined(events.op_type.codes, events.provider.codes)
    total_self = int(group.self_us.sum())
    rows = []
    for sums, at in _by(key, group):
        calls, total, own, nodes = sums
        rows.append(
            OperatorRow(
                op_type=events.op_type.texts[events.op_type.codes[at]],
                provider=events.provider.texts[events.provider.codes[at]],
                calls=calls,
                total_us=total,
                self_us=own,
                share=_share(own, total_self, calls, len(events)),
                mean_us=total / calls,
                node_count=nodes,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.self_us, row.op_type, row.provider)))


def provider_rows(group: Grouped) -> tuple[ProviderRow, ...]:
    """One row per provider, most own time first; shares add up to 1."""
    events = group.events
    total_self = int(group.self_us.sum())
    rows = [
        ProviderRow(
            provider=events.provider.texts[events.provider.codes[at]],
            node_count=nodes,
            total_us=total,
            share=_share(own, total_self, calls, len(events)),
            self_us=own,
            calls=calls,
        )
        for (calls, total, own, nodes), at in _by(dense(events.provider.codes), group)
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


def _pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The first code of every distinct pair, and for each event the number of its pair."""
    width = int(second.max(initial=0)) + 1
    distinct, inverse = np.unique(first * width + second, return_inverse=True)
    return distinct // width, inverse.reshape(-1)


def _share(own: int, total: int, calls: int, all_calls: int) -> float:
    """Part of all own time; where no event took any time, part of the calls."""
    return own / total if total else calls / all_calls


def _by(key: Ints, group: Grouped) -> list[tuple[tuple[int, int, int, int], int]]:
    """Per key: calls, total µs, own µs, nodes; and the position of one of its events."""
    if not len(key):
        return []
    _, at = np.unique(key, return_index=True)
    count = len(at)
    keys_of_nodes, _ = _pairs(key, group.node)
    columns = (
        np.bincount(key, minlength=count),
        _sums(key, group.events.duration, count),
        _sums(key, group.self_us, count),
        np.bincount(keys_of_nodes, minlength=count),
    )
    return [
        ((int(a), int(b), int(c), int(d)), int(position))
        for a, b, c, d, position in zip(*columns, at, strict=True)
    ]


def _sums(key: Ints, values: Ints, count: int) -> Ints:
    # bincount adds in floating point; this stays exact for sums beyond 2**53.
    sums = np.zeros(count, np.int64)
    np.add.at(sums, key, values)
    return sums


def _percentiles(group: Grouped, count: int) -> tuple[Floats, Floats, Ints]:
    """Per node: 50th and 95th percentile of its time per run (nan: too few), and its runs."""
    node, value = group.node, group.events.duration
    inside = group.run_of != OUTSIDE
    if inside.any():
        # A node seen only outside runs keeps its calls.
        inside |= ~np.isin(node, node[inside])
        run = np.where(group.run_of == OUTSIDE, np.arange(len(node)) + len(node), group.run_of)
        nodes_of_runs, pair = _pairs(node[inside], dense(run[inside]))
        value = _sums(pair, value[inside], len(nodes_of_runs))
        node = nodes_of_runs
    order = np.lexsort((value, node))
    value, runs_of = value[order], np.bincount(node, minlength=count)
    begin = np.concatenate(([0], np.cumsum(runs_of)[:-1])) if count else runs_of
    middle = value[begin + _nearest_rank(0.50, runs_of)] if count else value
    high = (value[begin + _nearest_rank(0.95, runs_of)] if count else value).astype(np.float64)
    high[runs_of < MIN_RUNS_FOR_P95] = np.nan
    return middle.astype(np.float64), high, runs_of


def _nearest_rank(quantile: float, counts: Ints) -> Ints:
    rank: Ints = np.maximum(np.ceil(quantile * counts).astype(np.int64) - 1, 0)
    return rank


def _largest(key: Ints, values: Ints, count: int) -> Ints:
    largest = np.full(count, ABSENT, np.int64)
    np.maximum.at(largest, key, values)
    return largest


def _pool(group: Grouped, key: str, count: int) -> Ints:
    values = group.events.numbers[key]
    sums = _sums(group.node, np.maximum(values, 0), count)
    told: Ints = np.where(_largest(group.node, values, count) < 0, ABSENT, sums)
    return told


def _told(number: int) -> int | None:
    return number if number != ABSENT else None


def _is_copy(events: Events, at: int) -> bool:
    operator: str = events.op_type.texts[events.op_type.codes[at]]
    if operator == UNKNOWN:
        name: str = events.name.texts[events.name.codes[at]]
        return name.startswith("Memcpy")
    return operator in COPY_OPERATORS


def _shape_texts(group: Grouped, shapes: Words) -> list[str]:
    """Per node the shapes of its first call, and how many others it had."""
    if not len(shapes.codes):
        return []
    nodes_of_shapes, _ = _pairs(group.node, shapes.codes)
    others = np.bincount(nodes_of_shapes, minlength=len(group.first)) - 1
    texts = ["" if t == UNKNOWN else t for t in shapes.texts]
    return [
        texts[code] + (f" and {more} other shapes" if more else "")
        for code, more in zip(shapes.codes[group.first].tolist(), others.tolist(), strict=True)
    ]
