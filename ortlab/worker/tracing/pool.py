"""What `thread_scheduling_stats` tells: the calling thread's and the pool's work per node.

The text is the same from node to node while the pool rests, so only those that differ from
the one before are decoded, a block of events at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter, ne

import msgspec
import numpy as np
from msgspec import Raw, Struct

from ortlab.domain.trace import NOT_TOLD, POOL_COLUMNS, PoolThread
from ortlab.worker.tracing.formats import NOTHING, UNREADABLE
from ortlab.worker.tracing.lanes import Ints

# A pool has as many threads as a machine has cores; sessions times cores bound this.
MAX_POOL_THREADS = 2_000

_MAX_ID = 100
# Sums of numbers below this fit a column.
_LIMIT = 1 << 62


class SubThread(Struct, gc=False):
    """One thread of the pool; `num_run` counts from the start of the session."""

    num_run: int = 0


class MainThread(Struct, gc=False):
    """What the calling thread did in ORT's thread pool during one node, µs."""

    thread_pool_name: str = ""
    thread_id: str = ""
    block_size: list[int] = []
    core: int = -1
    Distribution: int = 0
    Run: int = 0
    Wait: int = 0


class Stats(Struct, gc=False):
    """`thread_scheduling_stats` of one node event."""

    main_thread: MainThread
    sub_threads: dict[str, SubThread] = {}


_MANY = msgspec.json.Decoder(list[Stats | str], strict=False)
_ONE = msgspec.json.Decoder(Stats | str, strict=False)
_times_of = attrgetter("Run", "Wait", "Distribution", "core")
_runs_of = attrgetter("num_run")
_caller_of = attrgetter("thread_pool_name", "thread_id")


class Pool:
    """Turns the statistics of events into columns, and knows the threads that they name."""

    def __init__(self) -> None:
        self._text: Raw = NOTHING
        self._stats: Stats | str = ""
        self._values = _untold(1)
        self._threads: dict[str, PoolThread] = {}

    def columns(self, texts: list[Raw]) -> Ints:
        """One line for each of `POOL_COLUMNS`, one column for each event."""
        changed = np.fromiter(map(ne, texts, [self._text, *texts[:-1]]), np.bool_, len(texts))
        places = np.flatnonzero(changed)
        stats = [self._stats, *_decoded([texts[place] for place in places])]
        values = np.concatenate([self._values, _columns(stats[1:])], axis=1)
        self._count(stats, np.diff(places, prepend=0, append=len(texts)))
        # What is remembered must not lie in the buffer that the next block is read into.
        self._text, self._stats, self._values = texts[-1].copy(), stats[-1], values[:, -1:]
        return values[:, np.cumsum(changed)]

    def threads(self) -> dict[str, PoolThread]:
        """Every thread that the statistics name."""
        return dict(self._threads)

    def _count(self, stats: list[Stats | str], events: Ints) -> None:
        """Remember who worked; `events` is how many in a row each of the stats stands for."""
        told = [isinstance(one, Stats) for one in stats]
        known = [one for one in stats if isinstance(one, Stats)]
        callers = [_caller_of(one.main_thread) for one in known]
        counts = events[told]
        if not known:
            return
        if callers.count(callers[0]) == len(callers):
            self._add(callers[0], known[-1], int(counts.sum()))
            return
        for caller, one, count in zip(callers, known, counts.tolist(), strict=True):
            self._add(caller, one, count)

    def _add(self, caller: tuple[str, str], stats: Stats, events: int) -> None:
        """Count events of one calling thread; these are the last of its statistics."""
        pool, main = caller
        for thread, sub in {main: _IDLE, **stats.sub_threads}.items():
            before = self._threads.get(thread[:_MAX_ID], _NEW)
            if before is _NEW and len(self._threads) >= MAX_POOL_THREADS:
                continue
            self._threads[thread[:_MAX_ID]] = PoolThread(
                pool=before.pool or pool[:_MAX_ID],
                run_count=min(max(before.run_count, sub.num_run), _LIMIT),
                event_count=before.event_count + events,
            )


_IDLE = SubThread()
_NEW = PoolThread()


def _decoded(texts: list[Raw]) -> list[Stats | str]:
    told = [text for text in texts if text]
    try:
        found = iter(_MANY.decode(b"[" + b",".join(told) + b"]"))
    except UNREADABLE:
        return [_alone(text) for text in texts]
    return [next(found) if text else "" for text in texts]


def _alone(text: Raw) -> Stats | str:
    """The statistics, or nothing if they are not as ONNX Runtime writes them."""
    try:
        return _ONE.decode(text) if text else ""
    except UNREADABLE:
        return ""


def _columns(stats: list[Stats | str]) -> Ints:
    """One line for each of `POOL_COLUMNS`; `NOT_TOLD` where there are no statistics."""
    known = [one for one in stats if isinstance(one, Stats)]
    values = _untold(len(stats))
    if not known:
        return values
    told = np.fromiter((isinstance(one, Stats) for one in stats), np.bool_, len(stats))
    try:
        values[:, told] = _values(known)
    except OverflowError:
        # A number of more than 64 bits: its event has no statistics.
        if len(stats) > 1:
            return np.concatenate([_columns([one]) for one in stats], axis=1)
    return values


def _values(stats: list[Stats]) -> Ints:
    mains = [one.main_thread for one in stats]
    subs = [one.sub_threads for one in stats]
    run, wait, distribution, core = _numbers(
        chain.from_iterable(map(_times_of, mains)), (len(stats), 4)
    ).T
    blocks = [main.block_size for main in mains]
    counts = _numbers(map(len, subs), (len(subs),))
    runs = _numbers(
        map(_runs_of, chain.from_iterable(map(dict.values, subs))), (int(counts.sum()),)
    )
    ends = np.cumsum(counts)
    if counts.all():
        total, most = (one.reduceat(runs, ends - counts) for one in (np.add, np.maximum))
    else:
        parts = [part.tolist() for part in np.split(runs, ends[:-1])]
        total, most = (_numbers(map(one, parts), (len(parts),)) for one in (sum, _most))
    first = _numbers((one[0] if one else NOT_TOLD for one in blocks), (len(blocks),))
    many = _numbers(map(len, blocks), (len(blocks),))
    return np.stack([run, wait, distribution, first, many, total, most, counts, core])


def _numbers(values: Iterable[int], shape: tuple[int, ...]) -> Ints:
    return np.fromiter(values, np.int64, int(np.prod(shape))).reshape(shape)


def _most(runs: list[int]) -> int:
    return max(runs, default=0)


def _untold(count: int) -> Ints:
    return np.full((len(POOL_COLUMNS), count), NOT_TOLD, np.int64)
