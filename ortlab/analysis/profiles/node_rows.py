"""One row per node of the executed graph, with its spread over runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from ortlab.analysis.profiles.operators import Counted, is_copy
from ortlab.analysis.reading.arrays import Floats, Ints
from ortlab.analysis.reading.quantiles import Groups, groups, sums
from ortlab.analysis.reading.runs import OUTSIDE
from ortlab.analysis.reading.stored_events import ABSENT, UNKNOWN, Words
from ortlab.domain.trace import NOT_TOLD, NodeRow

# Below this many runs the 95th percentile is the slowest run, which says nothing about a tail.
MIN_RUNS_FOR_P95 = 20
# The largest graphs have some ten thousand nodes; a hostile trace has a new one in each event.
MAX_NODE_ROWS = 50_000
# A table of runs by nodes with more empty cells than this is not worth filling.
_MAX_CELLS_PER_EVENT = 8


def node_rows(of: Counted) -> tuple[NodeRow, ...]:
    """One row per node, most own time first, at most `MAX_NODE_ROWS`.

    Per-run figures are observed values over runs: a node's time in a run is the sum of its
    calls there (a loop body has many), bodies inside included. In a trace without runs every
    call stands for itself.
    """
    columns = _columns(of)
    chosen = np.flatnonzero(columns["calls"] > 0)
    longest = chosen[np.argsort(-columns["own"][chosen], kind="stable")][:MAX_NODE_ROWS]
    inputs = _shape_texts(of, of.derived.events.input_shapes)
    outputs = _shape_texts(of, of.derived.events.output_shapes)
    texts = _NodeTexts(of)
    # Python's own numbers, once per column: reading arrays one by one takes ten times as long.
    told: dict[str, Any] = {key: values[longest].tolist() for key, values in columns.items()}
    return tuple(
        NodeRow(
            **texts.of(node),
            order=node,
            calls=told["calls"][i],
            total_us=told["total"][i],
            self_us=told["own"][i],
            p50_us=told["p50"][i],
            p95_us=_known(told["p95"][i]),
            run_count=told["runs"][i],
            min_us=told["min"][i],
            p25_us=told["p25"][i],
            p75_us=told["p75"][i],
            max_us=told["max"][i],
            ci95_us=_interval(told["low"][i], told["high"][i]),
            self_p50_us=told["self_p50"][i],
            input_shapes=inputs.get(node, ""),
            output_shapes=outputs.get(node, ""),
            output_bytes=_told(told["output_size"][i]),
            parameter_bytes=_told(told["parameter_size"][i]),
            activation_bytes=_told(told["activation_size"][i]),
            pool_run_us=_told(told["pool_run_us"][i]),
            pool_wait_us=_told(told["pool_wait_us"][i]),
        )
        for i, node in enumerate(longest.tolist())
    )


class _NodeTexts:
    """What a node is called: the same in every call."""

    def __init__(self, of: Counted) -> None:
        self._events = of.derived.events
        self._scope = of.derived.scope
        self._first = of.derived.first.tolist()

    def of(self, node: int) -> dict[str, Any]:
        """Fields of the row that its first event tells."""
        at, events = self._first[node], self._events
        name = events.name.texts[events.name.codes[at]]
        op_type = events.op_type.texts[events.op_type.codes[at]]
        return {
            "name": name,
            "op_type": op_type,
            "provider": events.provider.texts[events.provider.codes[at]],
            "scope": self._scope.texts[self._scope.codes[at]],
            "node_index": _told(int(events.numbers["node_index"][at])),
            "is_copy": is_copy(name, op_type),
        }


def _columns(of: Counted) -> dict[str, Ints | Floats]:
    """Per node of the trace, counted or not, one array for each figure."""
    count = len(of.derived.first)
    whole = _per_run(of, of.events.duration, count)
    low, high = whole.median_interval()
    p95 = whole.quantile(0.95)
    p95[whole.counts < MIN_RUNS_FOR_P95] = np.nan
    columns: dict[str, Ints | Floats] = {
        "calls": np.bincount(of.node, minlength=count),
        "total": sums(of.node, of.events.duration, count),
        "own": sums(of.node, of.self_us, count),
        "runs": whole.counts,
        "min": whole.smallest(),
        "p25": whole.quantile(0.25),
        "p50": whole.quantile(0.50),
        "p75": whole.quantile(0.75),
        "p95": p95,
        "max": whole.largest(),
        "low": low,
        "high": high,
        "self_p50": _per_run(of, of.self_us, count).quantile(0.50),
    }
    for key in ("output_size", "parameter_size", "activation_size"):
        columns[key] = _largest(of.node, of.events.numbers[key], count)
    for key in ("pool_run_us", "pool_wait_us"):
        columns[key] = _pool(of, key, count)
    return columns


class _Calls(Struct, frozen=True):
    """Calls by node: those inside runs, and those of nodes that are in no run at all."""

    inside: Any
    alone: Any


def _calls(of: Counted, count: int) -> _Calls:
    inside = of.run_of != OUTSIDE
    seen = np.zeros(count, bool)
    seen[of.node[inside]] = True
    return _Calls(inside, ~inside & ~seen[of.node])


def _per_run(of: Counted, values: Ints, count: int) -> Groups:
    """Per node its time in each run it took part in; outside runs each call by itself."""
    calls = _calls(of, count)
    node, value = _run_sums(of.node[calls.inside], of.run_of[calls.inside], values[calls.inside])
    node = np.concatenate((node, of.node[calls.alone]))
    return groups(node, np.concatenate((value, values[calls.alone])), count)


def _run_sums(node: Ints, run: Ints, value: Ints) -> tuple[Ints, Ints]:
    """Node and summed value of every pair of node and run that occurs."""
    width = int(run.max(initial=0)) + 1
    pair = node * width + run
    cells = int(pair.max(initial=-1)) + 1
    if cells <= _MAX_CELLS_PER_EVENT * len(pair):
        occurs = np.flatnonzero(np.bincount(pair, minlength=cells))
        return occurs // width, sums(pair, value, cells)[occurs]
    distinct, inverse = np.unique(pair, return_inverse=True)
    return distinct // width, sums(inverse.reshape(-1), value, len(distinct))


def _largest(key: Ints, values: Ints, count: int) -> Ints:
    largest = np.full(count, ABSENT, np.int64)
    np.maximum.at(largest, key, values)
    return largest


def _pool(of: Counted, key: str, count: int) -> Ints:
    values = of.derived.stored.column(key, of.events)
    told = values != NOT_TOLD
    total = sums(of.node[told], np.maximum(values[told], 0), count)
    heard = np.bincount(of.node[told], minlength=count) > 0
    return np.where(heard, total, ABSENT)


def _shape_texts(of: Counted, shapes: Words) -> dict[int, str]:
    """Per node the shapes of its first call, and how many others it had in what counts."""
    if not len(of.node):
        return {}
    codes = shapes.codes
    width = int(codes.max(initial=0)) + 1
    kept = codes[of.derived.first]
    pairs = np.unique(of.node * width + codes[_positions(of)])
    different = pairs[pairs % width != kept[pairs // width]] // width
    others = np.bincount(different, minlength=len(kept)).tolist()
    texts = ["" if t == UNKNOWN else t for t in shapes.texts]
    return {
        node: texts[code] + (f" and {others[node]} other shapes" if others[node] else "")
        for node, code in enumerate(kept.tolist())
    }


def _positions(of: Counted) -> Ints:
    """Positions of the counted events among all node events."""
    return np.searchsorted(of.derived.events.order, of.events.order)


def _told(number: int) -> int | None:
    return number if number != ABSENT else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _interval(low: float, high: float) -> tuple[float, float] | None:
    return None if np.isnan(low) else (low, high)
