"""The runs of a profile: where each begins, which events are its own, which are warm-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Flags, Ints
from ortlab.analysis.reading.levels import levels
from ortlab.analysis.reading.nesting import Nesting
from ortlab.analysis.reading.stored_events import Events
from ortlab.domain.trace import NOT_TOLD, Run

OUTSIDE = -1
_MODEL_RUN = "model_run"
_EXECUTORS = frozenset({"SequentialExecutor::Execute", "ParallelExecutor::Execute"})

# Start and length of an event are cut to whole µs one by one; see `nesting`.
_LATE_US = 1
# Runs that one process has in flight at the same time; more threads than that share cores.
_MAX_OPEN_RUNS = 64
# Where more runs than this miss a node or two, lines are damaged: that is no reason to leave
# those runs out. A run that failed, or was replayed from a captured graph, misses many.
_MAX_PARTIAL_SHARE = 0.1
_MAX_INT = 1 << 62


class RunTable(Struct, frozen=True, kw_only=True):
    """Runs by session and start, and for each node event the position of its run or `OUTSIDE`."""

    start: Ints
    duration: Ints
    lane: Ints
    run_of: Ints
    warmup: Flags
    ambiguous_count: int
    """Events that lie in several runs at once; they count for the one that began last."""
    session: Ints
    """Number of the session that the run belongs to."""
    outlier: Flags
    """Steady runs far above the level of their neighbours."""
    partial: Flags
    """Runs with fewer top nodes than the others: failed, replayed, or damaged in the file."""
    executor_us: Ints
    """Time of the run's own executor; `NOT_TOLD` where the file has none."""
    executor_count: Ints
    """Executors in the run: its own, and one for each graph that a node ran."""
    changes: tuple[int, ...] = ()
    """Runs, after warm-up, where a new level of duration begins."""
    drift: float = 0.0
    """Last level ÷ first - 1 where runs kept getting slower or faster; else 0."""
    tail_count: int = 0
    """Node events after the last run: one that the recording did not see the end of."""
    from_executors: bool = False
    """The file has no `model_run`; a run is its outermost executor."""
    overlap: bool = False
    """Whether runs went on at the same time."""

    def __len__(self) -> int:
        return len(self.start)

    def counted(self) -> Flags:
        """Per run: whether it is whole and no warm-up."""
        return ~self.warmup & ~self.partial

    def steady(self) -> Flags:
        """Per node event: whether it is part of a whole run that is no warm-up."""
        if not len(self):
            return np.ones(len(self.run_of), bool)
        steady: Flags = (self.run_of != OUTSIDE) & self.counted()[self.run_of]
        return steady


def runs(
    nodes: Events,
    session: Events,
    *,
    nested: Nesting | None = None,
    session_of_lane: Ints | None = None,
) -> RunTable:
    """The runs of a trace, and the run of every node event.

    An event belongs to the run on its own thread that holds it in time, else (parallel
    executor) to the run of its session that holds it in time on whichever thread.

    Args:
        nodes: node events.
        session: events of category Session.
        nested: of the node events; without it every node event counts as a top node.
        session_of_lane: see `sessions`; without it the file is of one session.
    """
    found, from_executors = _run_events(session)
    of_lane = _zeros_for(nodes, session) if session_of_lane is None else session_of_lane
    by_start = np.lexsort((found.order, found.start, of_lane[found.lane]))
    spans = _Spans(found.start[by_start], found.duration[by_start], found.lane[by_start], of_lane)
    run_of = spans.holders(nodes)
    if nested is not None:
        _follow(nested, run_of)
    executors = session.where(_named(session, _EXECUTORS))
    own, counts = _executors(executors, spans)
    partial = _partial(spans, run_of, nodes, nested)
    told = _told_by_durations(spans, whole=~partial)
    return RunTable(
        start=spans.start,
        duration=spans.duration,
        lane=spans.lane,
        run_of=run_of,
        ambiguous_count=spans.ambiguous(nodes, run_of),
        session=spans.session,
        executor_us=own,
        executor_count=counts,
        partial=partial,
        tail_count=_tail(nodes, run_of, spans),
        from_executors=from_executors,
        overlap=spans.overlap(),
        warmup=told.warmup,
        outlier=told.outlier,
        changes=told.changes,
        drift=told.drift,
    )


def run_rows(nodes: Events, table: RunTable, nested: Nesting) -> tuple[Run, ...]:
    """One record per run, by session and start."""
    inside = table.run_of != OUTSIDE
    of = table.run_of[inside]
    counts = np.bincount(of, minlength=len(table))
    own = np.bincount(of, weights=nested.self_us[inside], minlength=len(table))
    columns = {
        "start_us": table.start, "duration_us": table.duration, "node_count": counts,
        "warmup": table.warmup, "node_time_us": np.rint(own).astype(np.int64),
        "outlier": table.outlier, "session": table.session,
        "partial": table.partial, "executor_us": table.executor_us,
        "executor_count": table.executor_count,
        "changed": np.isin(np.arange(len(table)), table.changes),
    }  # fmt: skip
    told = {key: values.tolist() for key, values in columns.items()}
    told["executor_us"] = [None if us == NOT_TOLD else us for us in told["executor_us"]]
    rows = zip(*told.values(), strict=True)
    return tuple(
        Run(index=index, **dict(zip(told, row, strict=True))) for index, row in enumerate(rows)
    )


def _follow(nested: Nesting, run_of: Ints) -> None:
    """Give every event in a body the run of the node around it, whatever the clock says."""
    for depth in range(1, int(nested.depth.max(initial=0)) + 1):
        here = np.flatnonzero(nested.depth == depth)
        run_of[here] = run_of[nested.parent[here]]


def _run_events(session: Events) -> tuple[Events, bool]:
    """The events that are runs; outermost executors where a file has several and no run."""
    found = session.where(_named(session, {_MODEL_RUN}))
    if len(found):
        return found, False
    executors = session.where(_named(session, _EXECUTORS))
    by_start = np.lexsort((-executors.duration, executors.start, executors.lane))
    lane, start, end = (a[by_start] for a in (executors.lane, executors.start, executors.end))
    times = lifted(np.concatenate((start, end)), np.concatenate((lane, lane)))
    outer = np.ones(len(start), bool)
    latest = np.maximum.accumulate(times[len(start) :])
    outer[1:] = times[1 : len(start)] >= latest[:-1]
    # One alone is a run cut off before its end was written: its length is not known.
    again = np.bincount(lane[outer], minlength=1) > 1 if len(lane) else np.zeros(1, bool)
    chosen = np.zeros(len(executors), bool)
    chosen[by_start[outer]] = again[lane[outer]] if len(lane) else False
    return executors.where(chosen), bool(chosen.any())


def _named(session: Events, names: frozenset[str] | set[str]) -> Flags:
    marks = np.array([text in names for text in session.name.texts] or [False])
    found: Flags = marks[session.name.codes]
    return found


def _zeros_for(nodes: Events, session: Events) -> Ints:
    lanes = max(int(nodes.lane.max(initial=0)), int(session.lane.max(initial=0))) + 1
    return np.zeros(lanes, np.int64)


def lifted(times: Ints, group: Ints) -> Ints:
    """Times such that those of each group lie above all of the groups before it."""
    if not len(times):
        return times
    low, span = int(times.min()), int(times.max()) - int(times.min()) + 1
    if span * (int(group.max()) + 1) < _MAX_INT:
        return times - low + group * span
    # Absurd times on many threads do not fit 64 bits; their ranks do.
    known, ranks = np.unique(times, return_inverse=True)
    above: Ints = ranks.reshape(-1) + group * len(known)
    return above


class _Spans:
    """Runs by session and start, and which of them holds an event."""

    def __init__(self, start: Ints, duration: Ints, lane: Ints, of_lane: Ints) -> None:
        self.start, self.duration, self.lane = start, duration, lane
        self.end = start + duration
        self.session = of_lane[lane]
        self._of_lane = of_lane

    def holders(self, events: Events) -> Ints:
        """For each event the position of the run that holds it, or `OUTSIDE`."""
        run_of = np.full(len(events), OUTSIDE, np.int64)
        if not len(self.start) or not len(events):
            return run_of
        count, session = len(self.start), self.session_of(events)
        start = np.concatenate((self.start, events.start))

        def late(run: Ints, event: Ints) -> Flags:
            fits: Flags = self.end[run] + _LATE_US >= events.end[event]
            return fits

        on_thread = lifted(start, np.concatenate((self.lane, events.lane)))
        by_thread = np.argsort(on_thread[:count], kind="stable")
        _fill(
            run_of,
            at=np.searchsorted(on_thread[by_thread], on_thread[count:], side="right") - 1,
            fits=lambda run, event: (self.lane[run] == events.lane[event]) & late(run, event),
            numbers=by_thread,
        )
        if (run_of != OUTSIDE).all():
            return run_of
        in_session = lifted(start, np.concatenate((self.session, session)))
        _fill(
            run_of,
            at=np.searchsorted(in_session[:count], in_session[count:], side="right") - 1,
            fits=lambda run, event: (self.session[run] == session[event]) & late(run, event),
            numbers=np.arange(count),
        )
        return run_of

    def session_of(self, events: Events) -> Ints:
        """The session of each event."""
        return self._of_lane[events.lane]

    def ambiguous(self, events: Events, run_of: Ints) -> int:
        """How many events of other threads than their run's lie in several runs."""
        placed = run_of != OUTSIDE
        away = placed.copy()
        away[placed] = self.lane[run_of[placed]] != events.lane[placed]
        if not away.any():
            return 0
        count, session = len(self.start), self.session[run_of[away]]
        times = lifted(
            np.concatenate((self.start, self.end, events.start[away])),
            np.concatenate((self.session, self.session, session)),
        )
        begun = np.searchsorted(times[:count], times[2 * count :], side="right")
        ended = np.searchsorted(np.sort(times[count : 2 * count]), times[2 * count :], side="left")
        return int((begun - ended > 1).sum())

    def by_session(self) -> Iterator[tuple[int, int, int]]:
        """Each session with the positions of its first run and of the first one after it."""
        numbers, begin = np.unique(self.session, return_index=True)
        end = np.concatenate((begin, [len(self.session)]))[1:]
        yield from zip(numbers.tolist(), begin.tolist(), end.tolist(), strict=True)

    def overlap(self) -> bool:
        """Whether a run begins before another of its session has ended."""
        if not len(self.start):
            return False
        times = lifted(np.concatenate((self.start, self.end)), np.tile(self.session, 2))
        latest = np.maximum.accumulate(times[len(self.start) :])
        return bool((times[1 : len(self.start)] < latest[:-1]).any())


def _fill(run_of: Ints, *, at: Ints, fits: Callable[[Ints, Ints], Flags], numbers: Ints) -> None:
    """Give events without a run the last one, from `at` backwards, that fits."""
    waiting = np.flatnonzero((run_of == OUTSIDE) & (at >= 0))
    at = at[waiting]
    for _ in range(_MAX_OPEN_RUNS):
        good = fits(numbers[at], waiting)
        run_of[waiting[good]] = numbers[at[good]]
        on = ~good & (at > 0)
        waiting, at = waiting[on], at[on] - 1
        if not len(waiting):
            break


class _Told(Struct, frozen=True):
    """What the durations say, over all sessions."""

    warmup: Flags
    outlier: Flags
    changes: tuple[int, ...]
    drift: float


def _told_by_durations(spans: _Spans, *, whole: Flags) -> _Told:
    """Each session warms up on its own; runs that miss nodes tell nothing."""
    count = len(spans.start)
    warm, far = np.zeros(count, bool), np.zeros(count, bool)
    changes: list[int] = []
    drifts = [0.0]
    for _, begin, end in spans.by_session():
        mine = begin + np.flatnonzero(whole[begin:end])
        found = levels(spans.duration[mine])
        warm[mine], far[mine] = found.warmup, found.outlier
        changes += mine[list(found.changes)].tolist()
        drifts.append(found.drift)
    return _Told(warm, far, tuple(changes), max(drifts, key=abs))


def _executors(executors: Events, spans: _Spans) -> tuple[Ints, Ints]:
    """Per run the time of its own executor, the longest, and how many there are in it."""
    run_of = spans.holders(executors)
    inside = run_of != OUTSIDE
    own = np.full(len(spans.start), NOT_TOLD, np.int64)
    np.maximum.at(own, run_of[inside], executors.duration[inside])
    return own, np.bincount(run_of[inside], minlength=len(spans.start)).astype(np.int64)


def _partial(spans: _Spans, run_of: Ints, nodes: Events, nested: Nesting | None) -> Flags:
    """Runs that miss nodes; none where nodes of a run are on other threads than the run.

    There the bodies of loops cannot be told from the graph around them.
    """
    none = np.zeros(len(spans.start), bool)
    inside = run_of != OUTSIDE
    if not inside.any() or (spans.lane[run_of[inside]] != nodes.lane[inside]).any():
        return none
    top = inside if nested is None else inside & nested.top
    counts = np.bincount(run_of[top], minlength=len(none))
    fewer = none.copy()
    for _, begin, end in spans.by_session():
        mine = counts[begin:end]
        usual = float(np.median(mine))
        less = mine < usual
        if less.mean() > _MAX_PARTIAL_SHARE:
            less &= mine < usual * (1 - _MAX_PARTIAL_SHARE)
        fewer[begin:end] = less
    return fewer


def _tail(nodes: Events, run_of: Ints, spans: _Spans) -> int:
    """Node events after the end of the last run of their session."""
    outside = np.flatnonzero(run_of == OUTSIDE)
    if not len(outside) or not len(spans.start):
        return 0
    last = np.full(int(spans.session.max()) + 2, np.iinfo(np.int64).max)
    for number, begin, end in spans.by_session():
        last[number] = int(spans.end[begin:end].max())
    session = np.minimum(spans.session_of(nodes)[outside], len(last) - 1)
    return int((nodes.end[outside] > last[session]).sum())
