"""What is worked out once per trace, for each of its node events; everything else builds on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct

from ortlab.analysis.devices.device import DeviceTimes, attribute
from ortlab.analysis.reading import stored_events
from ortlab.analysis.reading.arrays import Flags, Ints, combined
from ortlab.analysis.reading.clocks import clock_facts
from ortlab.analysis.reading.nesting import Nesting, nesting
from ortlab.analysis.reading.runs import RunTable, runs
from ortlab.analysis.reading.stored_events import Events, StoredTrace, Words
from ortlab.domain.trace import ClockFacts

_SCOPE_MARK = "/"
_MAX_SCOPE_CHARACTERS = 500


class Derived(Struct, frozen=True, kw_only=True):
    """The node events of one trace, nested, laid into runs, and numbered by node.

    Arrays have one entry per event of `stored.nodes`, in file order.
    """

    stored: StoredTrace
    nested: Nesting
    table: RunTable
    node: Ints
    """Number of the event's node, which is its `NodeRow.order`: nodes by their first call."""
    first: Ints
    """Per node: position of its first event, by start."""
    scope: Words
    """Names of the nodes around the event, outermost first, joined by `/`."""
    device: DeviceTimes | None
    """Device events and the nodes they belong to; None for a file without."""
    clock: ClockFacts
    """What the times contradict."""

    @property
    def events(self) -> Events:
        """The node events."""
        return self.stored.nodes

    @property
    def everything(self) -> Flags:
        """A mark for every node event."""
        return np.ones(len(self.node), bool)


def derive(path: Path) -> Derived:
    """The stored events at `path` with everything that is worked out once.

    Raises:
        TraceError: the stored events cannot be read.
    """
    stored = stored_events.read(path)
    events = stored.nodes
    nested = nesting(events)
    scope = scopes(events, nested)
    node, first = _numbered(events, scope, stored)
    table = runs(events, stored.session, nested=nested, session_of_lane=stored.session_of_lane)
    return Derived(
        stored=stored,
        nested=nested,
        table=table,
        node=node,
        first=first,
        scope=scope,
        device=attribute(stored, node=node),
        clock=clock_facts(events, nested, table),
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


def _numbered(events: Events, scope: Words, stored: StoredTrace) -> tuple[Ints, Ints]:
    """Nodes numbered by their first call: same scope, name, operator and provider are one."""
    if not len(events):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    key = _node_of_signature(stored)[events.sig]
    if len(scope.texts) > 1:
        key = combined(scope.codes, key)
    earliest = np.full(int(key.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, key, events.start)
    candidates = np.flatnonzero(events.start == earliest[key])
    first = np.full(len(earliest), -1, np.int64)
    # Written backwards, so that of several that begin together the first in the file stays.
    first[key[candidates[::-1]]] = candidates[::-1]
    present = np.flatnonzero(first >= 0)
    by_start = present[np.lexsort((first[present], earliest[present]))]
    number = np.zeros(len(earliest), np.int64)
    number[by_start] = np.arange(len(by_start))
    return number[key], first[by_start]


def _node_of_signature(stored: StoredTrace) -> Ints:
    """A code per signature: shapes and sizes of one node may differ from run to run."""
    known: dict[tuple[str, str | None, str | None], int] = {}
    codes = [
        known.setdefault((s.name, s.op_type, s.provider), len(known)) for s in stored.signatures
    ]
    return np.array(codes, np.int64)
