"""The node events of one run, in their lanes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ortlab.analysis import stored_events
from ortlab.analysis.nesting import nesting
from ortlab.analysis.runs import runs
from ortlab.analysis.stored_events import Events, Ints
from ortlab.domain.trace import TraceEvent
from ortlab.errors import RequestError

MAX_EVENTS = 20_000


class Timeline(list[TraceEvent]):
    """Events by start; `dropped_count` tells how many shorter ones were left out."""

    def __init__(self, events: list[TraceEvent], *, dropped_count: int) -> None:
        super().__init__(events)
        self.dropped_count = dropped_count


def timeline(parquet_path: Path, *, run: int) -> Timeline:
    """The node events of run number `run`, with their thread (from 0) and nesting depth.

    At most `MAX_EVENTS`: beyond that the shortest are left out, and `dropped_count` says how
    many. A trace without runs has all its node events in run 0.

    Raises:
        RequestError: the trace has no such run.
        TraceError: the stored events cannot be read.
    """
    stored = stored_events.read(parquet_path)
    nodes = stored.nodes
    table = runs(nodes, stored.session)
    count = max(1, len(table))
    if not 0 <= run < count:
        raise RequestError(
            f"There is no run {run} in this trace; it has {count}, counted from 0.",
            hint=f"Choose a run from 0 to {count - 1}.",
        )
    nested = nesting(nodes)
    inside = np.flatnonzero(table.run_of == run) if len(table) else np.arange(len(nodes))
    longest = inside[np.argsort(-nodes.duration[inside], kind="stable")[:MAX_EVENTS]]
    shown = longest[np.lexsort((nested.depth[longest], nodes.start[longest]))]
    events = _events(nodes, shown, depth=nested.depth, self_us=nested.self_us)
    return Timeline(events, dropped_count=len(inside) - len(shown))


def _events(nodes: Events, shown: Ints, *, depth: Ints, self_us: Ints) -> list[TraceEvent]:
    lanes = {lane: number for number, lane in enumerate(dict.fromkeys(nodes.lane[shown].tolist()))}
    return [
        TraceEvent(
            name=nodes.name.texts[nodes.name.codes[at]],
            op_type=nodes.op_type.texts[nodes.op_type.codes[at]],
            provider=nodes.provider.texts[nodes.provider.codes[at]],
            thread=lanes[int(nodes.lane[at])],
            start_us=int(nodes.start[at]),
            duration_us=int(nodes.duration[at]),
            self_us=int(self_us[at]),
            depth=int(depth[at]),
        )
        for at in shown.tolist()
    ]
