"""What `thread_scheduling_stats` tells: the calling thread's and the pool's work per node.

The text is the same from node to node while the pool rests, so only those that differ from
the one before are decoded, a block of events at once.
"""

from __future__ import annotations

from operator import ne
from typing import TypeAlias

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from ortlab.domain.trace import NOT_TOLD, POOL_COLUMNS, PoolThread
from ortlab.worker.tracing.formats import NOTHING, UNREADABLE

# A pool has as many threads as a machine has cores; sessions times cores bound this.
MAX_POOL_THREADS = 2_000

_MAX_ID = 100
# Sums of numbers below this fit a column.
_LIMIT = 1 << 62

Rows: TypeAlias = NDArray[np.int64]
Row: TypeAlias = tuple[int, ...]


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

    main_thread: MainThread | None = None
    sub_threads: dict[str, SubThread] = {}


_MANY = msgspec.json.Decoder(list[Stats | str], strict=False)
_ONE = msgspec.json.Decoder(Stats | str, strict=False)
_NOBODY = MainThread()
_UNTOLD: Row = (NOT_TOLD,) * len(POOL_COLUMNS)


class Pool:
    """Turns the statistics of events into rows of `POOL_COLUMNS`."""

    def __init__(self) -> None:
        self._text: Raw = NOTHING
        self._row: Row = _UNTOLD
        self._stats: Stats | str = ""
        self._pools: dict[str, str] = {}
        self._runs: dict[str, int] = {}
        self._events: dict[str, int] = {}

    def rows(self, texts: list[Raw]) -> Rows:
        """One row for each event, in order."""
        changed = np.fromiter(map(ne, texts, [self._text, *texts[:-1]]), np.bool_, len(texts))
        places = np.flatnonzero(changed)
        stats = [self._stats, *_decoded([texts[place] for place in places])]
        rows = [self._row, *map(_row, stats[1:])]
        self._count(stats, np.diff([0, *places, len(texts)]).tolist())
        # What is remembered must not lie in the buffer that the next block is read into.
        self._text, self._row, self._stats = texts[-1].copy(), rows[-1], stats[-1]
        return np.array(rows, np.int64)[np.cumsum(changed)]

    def threads(self) -> dict[str, PoolThread]:
        """Every thread that the statistics name."""
        return {
            thread: PoolThread(
                pool=self._pools.get(thread, ""),
                run_count=self._runs.get(thread, 0),
                event_count=count,
            )
            for thread, count in self._events.items()
        }

    def _count(self, stats: list[Stats | str], events: list[int]) -> None:
        """Remember who worked; `events` is how many events in a row each of the stats covers."""
        seen: dict[tuple[str, ...], int] = {}
        latest: dict[tuple[str, ...], Stats] = {}
        for one, count in zip(stats, events, strict=True):
            if count and isinstance(one, Stats):
                main = one.main_thread or _NOBODY
                who = (main.thread_pool_name, main.thread_id, *one.sub_threads)
                seen[who] = seen.get(who, 0) + count
                latest[who] = one
        for who, one in latest.items():
            pool, *threads = who
            for thread in filter(None, threads):
                if thread in self._events or len(self._events) < MAX_POOL_THREADS:
                    thread = thread[:_MAX_ID]
                    self._events[thread] = self._events.get(thread, 0) + seen[who]
                    self._pools.setdefault(thread, pool[:_MAX_ID])
            for thread, sub in one.sub_threads.items():
                if thread in self._events:
                    self._runs[thread] = max(self._runs.get(thread, 0), _bounded(sub.num_run))


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


def _row(stats: Stats | str) -> Row:
    """The values of `POOL_COLUMNS`."""
    if isinstance(stats, str):
        return _UNTOLD
    main, subs = stats.main_thread, stats.sub_threads
    runs = [sub.num_run for sub in subs.values()]
    if main is None:
        main, told = _NOBODY, False
    else:
        told = True
    blocks = main.block_size
    row = (
        main.Run if told else NOT_TOLD,
        main.Wait if told else NOT_TOLD,
        main.Distribution if told else NOT_TOLD,
        blocks[0] if blocks else NOT_TOLD,
        len(blocks),
        sum(runs),
        max(runs, default=0),
        len(runs),
        main.core,
    )
    return row if max(row) < _LIMIT else _UNTOLD


def _bounded(number: int) -> int:
    return min(max(number, 0), _LIMIT)
