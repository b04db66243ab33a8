"""ORT's thread pool in a profile: which nodes used it, who worked, who waited for whom.

What `thread_scheduling_stats` holds for one node, from ORT's sources (`ThreadPoolProfiler` in
EigenNonBlockingThreadPool.h and threadpool.cc); all times are whole µs of the calling thread,
summed over the parallel loops of the node:

- `Distribution`: handing the loop to the pool (`DistributionEnqueue` is part of it);
- `Run`: the calling thread takes blocks of iterations like every other thread;
- `Wait`: it has found no block left and waits for the others to finish theirs (`WaitRevoke`,
  taking back what no thread has begun, is part of it);
- `block_size`: one number for each loop, the iterations that a thread claims at a time; how many
  blocks each thread claimed is not recorded;
- `num_run` of a helper thread: parallel loops (tasks) that it took part in and finished, counted
  from the start of the session, so a node's own are the growth since the node before. It is
  read when the node ends, which may be just before a helper has counted its last loop: then the
  next node gets it. Sums over many calls are hardly touched by that.
- `core` −1, no blocks and all times 0: the node used no pool.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, structs

from ortlab.analysis.reading.arrays import Flags, Ints, combined, dense
from ortlab.analysis.reading.derived import Derived
from ortlab.analysis.reading.nesting import NOBODY
from ortlab.catalog.providers import ASYNCHRONOUS
from ortlab.domain.threads import (
    ALONE,
    HANDS_OUT,
    ONE_THREAD,
    WAITS,
    HelperThread,
    PoolRow,
    ThreadReport,
)
from ortlab.domain.trace import NOT_TOLD

MAX_NODES = 200
MAX_THREADS = 256
# Absurd numbers of a damaged file: ten million of these still add up in 64 bits.
_MAX_NUMBER = 1 << 39
# Rows below this share of the node time get no verdict: nothing would be won.
_NOTICEABLE_SHARE = 0.01
# Half of the time in loops spent waiting: the others had more to do, or started too late.
_WAITING_SHARE = 0.5
# Helpers that take part in fewer loops than one in ten are as good as absent.
_ALONE_SHARE = 0.1
# Loops needed before that can be said of a row.
_MIN_LOOPS = 10
# Handing out costs a few µs a loop; a quarter of the time means that the loops are too short.
_HANDING_SHARE = 0.25
# Calls without any loop run on one thread; where nearly all of the time is theirs, the row does.
_SERIAL_SHARE = 0.9


def threads(derived: Derived) -> ThreadReport | None:
    """The thread pool over the steady runs, by operator and by node.

    None where no node event tells about a pool: one thread, or ORT before 1.10.
    """
    found = _events(derived)
    if not found.told.any():
        return None
    inside = found.counted & found.told
    idle = inside & ~found.used
    helpers = int(found.helpers[inside].max())
    loops, joined = int(found.loops[inside].sum()), int(found.joined[inside].sum())
    events = derived.events
    operator = combined(events.op_type.codes, events.provider.codes)
    total_us = int(events.duration[found.counted].sum())
    by_operator = _rows(derived, found, dense(operator), helpers=helpers, total_us=total_us)
    by_node = _rows(derived, found, derived.node, helpers=helpers, total_us=total_us, nodes=True)
    return ThreadReport(
        helper_count=helpers,
        event_count=int(inside.sum()),
        untold_count=int((found.counted & ~found.told).sum()),
        no_pool_count=int(idle.sum()),
        no_pool_us=int(events.duration[idle].sum()),
        node_us=total_us,
        run_us=int(found.run[inside].sum()),
        wait_us=int(found.wait[inside].sum()),
        distribution_us=int(found.distribution[inside].sum()),
        loop_count=loops,
        joined_count=joined,
        joined_share=_joined_share(loops, joined, helpers),
        imbalance=_imbalance(loops, joined, helpers),
        concurrent=_concurrent(derived, inside),
        operators=by_operator,
        nodes=by_node[:MAX_NODES],
        node_count=len(by_node),
        threads=_helper_threads(derived, found, helpers)[:MAX_THREADS],
    )


class _Events(Struct, frozen=True, kw_only=True):
    """The pool's columns of all node events; 0 where they are not told."""

    counted: Flags
    """Steady, and without a graph of its own: nodes inside reset the pool's clock."""
    told: Flags
    used: Flags
    run: Ints
    wait: Ints
    distribution: Ints
    loops: Ints
    joined: Ints
    helpers: Ints
    block: Ints
    """Iterations of the first loop's blocks, `NOT_TOLD` where there was no loop."""


def _events(derived: Derived) -> _Events:
    column = derived.stored.column
    parent = derived.nested.parent
    counted = derived.table.steady()
    counted = counted if counted.any() else derived.everything
    counted[parent[parent != NOBODY]] = False
    written = column("pool_run_us") != NOT_TOLD
    told = written & ~_launched(derived)

    def number(name: str) -> Ints:
        return np.where(written, np.clip(column(name), 0, _MAX_NUMBER), 0)

    run, wait = number("pool_run_us"), number("pool_wait_us")
    distribution, loops = number("pool_distribution_us"), number("block_count")
    return _Events(
        counted=counted,
        told=told,
        used=told & (run + wait + distribution + loops > 0),
        run=run,
        wait=wait,
        distribution=distribution,
        loops=loops,
        joined=_growth(number("sub_run_count"), written),
        helpers=number("sub_thread_count"),
        block=np.where(told, column("block_size"), NOT_TOLD),
    )


def _launched(derived: Derived) -> Flags:
    """Events of providers whose work is on a device: an idle pool says nothing about them."""
    provider = derived.events.provider
    elsewhere = [code for code, text in enumerate(provider.texts) if text in ASYNCHRONOUS]
    return np.isin(provider.codes, elsewhere)


def _growth(counts: Ints, told: Flags) -> Ints:
    """By how much a counter grew since the event before; where it fell, another pool began."""
    grown = np.zeros_like(counts)
    values = counts[told]
    steps = np.diff(values, prepend=0)
    grown[told] = np.where(steps < 0, 0, steps)
    return grown


def _rows(
    derived: Derived,
    found: _Events,
    key: Ints,
    *,
    helpers: int,
    total_us: int,
    nodes: bool = False,
) -> tuple[PoolRow, ...]:
    """One row per key, most time first."""
    at = np.flatnonzero(found.counted & found.told)
    at = at[np.argsort(key[at], kind="stable")]
    bounds = np.flatnonzero(np.diff(key[at], prepend=-1))
    parts = np.split(at, bounds[1:]) if len(at) else []
    rows = [
        _judged(
            _row(derived, found, part, helpers=helpers, node=nodes),
            idle_us=int(derived.events.duration[part[~found.used[part]]].sum()),
            total_us=total_us,
        )
        for part in parts
    ]
    return tuple(sorted(rows, key=lambda row: -row.duration_us))


def _row(derived: Derived, found: _Events, at: Ints, *, helpers: int, node: bool) -> PoolRow:
    events, one = derived.events, int(at[0])
    run, wait, handing, loops, joined, duration = (
        int(column[at].sum())
        for column in (found.run, found.wait, found.distribution, found.loops, found.joined,
                       events.duration)
    )  # fmt: skip
    in_loops = run + wait + handing
    blocks = found.block[at]
    blocks = blocks[blocks != NOT_TOLD]
    return PoolRow(
        op_type=events.op_type.texts[events.op_type.codes[one]],
        provider=events.provider.texts[events.provider.codes[one]],
        node=int(derived.node[one]) if node else None,
        name=events.name.texts[events.name.codes[one]] if node else "",
        scope=derived.scope.texts[derived.scope.codes[one]] if node else "",
        calls=len(at),
        pool_calls=int(found.used[at].sum()),
        duration_us=duration,
        run_us=run,
        wait_us=wait,
        distribution_us=handing,
        # Each time is cut to whole µs by itself, so the parts may exceed the whole.
        pool_share=min(1.0, in_loops / duration) if duration else 0.0,
        wait_share=wait / in_loops if in_loops else None,
        loop_count=loops,
        joined_count=joined,
        joined_share=_joined_share(loops, joined, helpers),
        imbalance=_imbalance(loops, joined, helpers),
        block_size=int(np.median(blocks)) if len(blocks) else None,
    )


def _judged(row: PoolRow, *, idle_us: int, total_us: int) -> PoolRow:
    """The row with what stands out, where it takes a noticeable part of the time.

    Args:
        row: its figures.
        idle_us: time of its calls that ran no loop.
        total_us: node time of all rows.
    """
    if row.duration_us >= _NOTICEABLE_SHARE * total_us and row.duration_us:
        return structs.replace(row, says=_says(row, idle_us / row.duration_us))
    return row


def _says(row: PoolRow, idle_share: float) -> str:
    if idle_share >= _SERIAL_SHARE:
        return ONE_THREAD
    in_loops = row.run_us + row.wait_us + row.distribution_us
    if row.wait_us >= max(1, _WAITING_SHARE * in_loops):
        return WAITS
    if row.distribution_us >= max(1, _HANDING_SHARE * in_loops):
        return HANDS_OUT
    few = row.joined_share is not None and row.joined_share < _ALONE_SHARE
    return ALONE if few and row.loop_count >= _MIN_LOOPS else ""


def _joined_share(loops: int, joined: int, helpers: int) -> float | None:
    """Part of the times that helpers could have taken part; a loop counted late keeps it at 1."""
    return min(1.0, joined / (loops * helpers)) if loops and helpers else None


def _imbalance(loops: int, joined: int, helpers: int) -> float | None:
    """Loops of the calling thread, which is in all of them, ÷ mean over all threads."""
    if not loops or not helpers:
        return None
    joined = min(joined, loops * helpers)
    return loops * (helpers + 1) / (loops + joined)


def _concurrent(derived: Derived, inside: Flags) -> bool:
    """Whether nodes or runs went on at the same time."""
    events = derived.events
    order = np.argsort(events.start[inside], kind="stable")
    start, end = events.start[inside][order], events.end[inside][order]
    # Times are cut to whole µs, so neighbours may seem to overlap by one.
    return derived.table.overlap or bool((start[1:] + 1 < np.maximum.accumulate(end)[:-1]).any())


def _helper_threads(derived: Derived, found: _Events, helpers: int) -> tuple[HelperThread, ...]:
    """Every helper thread with the loops it joined, as the file counts them to its end.

    The file also names calling threads; those of no counted loop cannot be told from helpers
    that joined none, so a pool is filled up to its size.
    """
    counts: dict[str, list[int]] = {}
    for one in derived.stored.facts.pool_threads.values():
        counts.setdefault(one.pool, []).append(one.run_count)
    loops = int(found.loops[found.told].sum())
    # The loops of a pool are not known apart from those of another.
    alone = len(counts) == 1 and loops > 0
    return tuple(
        HelperThread(
            pool=pool,
            number=number,
            loop_count=count,
            share=min(1.0, count / loops) if alone else None,
        )
        for pool, all_counts in counts.items()
        for number, count in enumerate(sorted(all_counts, reverse=True)[:helpers], 1)
    )
