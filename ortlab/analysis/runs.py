"""The runs of a profile: where each begins, which events are its own, which are warm-up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from ortlab.analysis.nesting import Nesting
from ortlab.analysis.stored_events import Events, Flags, Ints
from ortlab.domain.trace import Run

OUTSIDE = -1
_MODEL_RUN = "model_run"

# A run is slower than steady ones when it lies this many (normal-scaled) median absolute
# deviations above their median: about one run in a million by chance.
WARMUP_MADS = 5.0
_MAD_TO_SIGMA = 1.4826
# Timer steps make the deviation of very even runs zero; a tenth is more than they jitter.
WARMUP_MIN_SHARE = 0.1
# With fewer runs their spread is not known, so only a large step counts.
FEW_RUNS = 6
WARMUP_MIN_SHARE_FEW = 0.5


class RunTable(Struct, frozen=True, kw_only=True):
    """Runs by start, and for each node event the position of its run or `OUTSIDE`."""

    start: Ints
    duration: Ints
    lane: Ints
    run_of: Ints
    warmup: Flags
    ambiguous_count: int
    """Events that lie in several runs at once; they count for the one that began last."""

    def __len__(self) -> int:
        return len(self.start)

    @property
    def overlap(self) -> bool:
        """Whether runs went on at the same time."""
        end = np.maximum.accumulate(self.start + self.duration) if len(self) else self.start
        return bool((self.start[1:] < end[:-1]).any())

    def steady(self) -> Flags:
        """Per node event: whether it is part of a run that is no warm-up."""
        if not len(self):
            return np.ones(len(self.run_of), bool)
        steady: Flags = (self.run_of != OUTSIDE) & ~self.warmup[self.run_of]
        return steady


def runs(nodes: Events, session: Events) -> RunTable:
    """The `model_run` events of a trace, and the run of every node event.

    An event belongs to the run on its own thread that holds it in time, else (parallel
    executor) to the run that holds it in time on whichever thread.
    """
    names = np.array([text == _MODEL_RUN for text in session.name.texts] or [False])
    found = session.where(names[session.name.codes]) if len(session) else session
    by_start = np.lexsort((found.order, found.start))
    start, duration, lane = (a[by_start] for a in (found.start, found.duration, found.lane))
    run_of = np.full(len(nodes), OUTSIDE, np.int64)
    ambiguous = _assign(nodes, start, start + duration, lane, run_of) if len(start) else 0
    return RunTable(
        start=start,
        duration=duration,
        lane=lane,
        run_of=run_of,
        warmup=warmup(duration),
        ambiguous_count=ambiguous,
    )


def warmup(durations: Ints) -> Flags:
    """Which of the runs are warm-up: the leading ones that are slower than steady ones.

    Steady is the second half of the runs. From the start on, runs above the median of those
    by `WARMUP_MADS` deviations (and by a tenth at least) are warm-up, until the first that
    is not; never more than half of them.
    """
    count = len(durations)
    flags = np.zeros(count, bool)
    if count < 2:
        return flags
    steady = durations[count // 2 :]
    median = float(np.median(steady))
    deviation = float(np.median(np.abs(steady - median))) * _MAD_TO_SIGMA
    share = WARMUP_MIN_SHARE if count >= FEW_RUNS else WARMUP_MIN_SHARE_FEW
    limit = median + max(WARMUP_MADS * deviation, share * median)
    slow = durations[: count // 2] > limit
    flags[: len(slow) if slow.all() else int(np.argmin(slow))] = True
    return flags


def run_rows(nodes: Events, table: RunTable, nested: Nesting) -> tuple[Run, ...]:
    """One record per run, in order of their start."""
    inside = table.run_of != OUTSIDE
    of = table.run_of[inside]
    counts = np.bincount(of, minlength=len(table))
    own = np.bincount(of, weights=nested.self_us[inside], minlength=len(table))
    return tuple(
        Run(
            index=index,
            start_us=int(table.start[index]),
            duration_us=int(table.duration[index]),
            node_count=int(counts[index]),
            warmup=bool(table.warmup[index]),
            node_time_us=round(own[index]),
        )
        for index in range(len(table))
    )


def _assign(nodes: Events, start: Ints, end: Ints, lane: Ints, run_of: Ints) -> int:
    """Fill `run_of`; returns how many events lie in several runs."""
    # Ranks stand for times, so that threads can be laid one after the other in 64 bits.
    times, ranks = np.unique(np.concatenate((start, nodes.start)), return_inverse=True)
    on_thread = ranks.reshape(-1) + np.concatenate((lane, nodes.lane)) * len(times)
    by_thread = np.argsort(on_thread[: len(start)], kind="stable")
    _fill(
        run_of,
        at=np.searchsorted(on_thread[by_thread], on_thread[len(start) :], side="right") - 1,
        fits=lambda run, node: (
            (lane[run] == nodes.lane[node]) & (end[run] + _LATE_US >= nodes.end[node])
        ),
        numbers=by_thread,
    )
    _fill(
        run_of,
        at=np.searchsorted(start, nodes.start, side="right") - 1,
        fits=lambda run, node: end[run] + _LATE_US >= nodes.end[node],
        numbers=np.arange(len(start)),
    )
    placed = run_of != OUTSIDE
    elsewhere = placed & (lane[run_of] != nodes.lane)
    return int((_open_runs(nodes.start[elsewhere], start, end) > 1).sum())


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


# Start and length of an event are cut to whole µs one by one; see `nesting`.
_LATE_US = 1
# Runs that one process has in flight at the same time; more threads than that share cores.
_MAX_OPEN_RUNS = 64


def _open_runs(moment: Ints, start: Ints, end: Ints) -> Ints:
    begun = np.searchsorted(start, moment, side="right")
    ended = np.searchsorted(np.sort(end), moment, side="left")
    return begun - ended
