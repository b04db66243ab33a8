"""Whether the clock of a trace can be followed: time going back, standing still, overlapping."""

from __future__ import annotations

import numpy as np

from ortlab.analysis.reading.arrays import Ints
from ortlab.analysis.reading.nesting import Nesting
from ortlab.analysis.reading.runs import OUTSIDE, RunTable
from ortlab.analysis.reading.stored_events import Events
from ortlab.domain.trace import ClockFacts

# Start and length are cut to whole µs each.
_TOLERANCE_US = 2
# Where more events than this part end before the one written before them, it is not the clock:
# another program sorted the file.
_REORDERED_SHARE = 0.01
_REORDERED_COUNT = 10
# A pause inside a run that is a multiple of whole runs is no work of the model, but below a
# tenth of a second it may be the system's scheduler.
_STALL_RUNS = 5.0
_STALL_US = 100_000
# Threads that real traces have; a hostile file with more is looked at in part.
_MAX_LANES = 1_000


def clock_facts(nodes: Events, nested: Nesting, table: RunTable) -> ClockFacts:
    """What is wrong with the times of these events; ORT writes an event when it ends."""
    by_lane = np.argsort(nodes.lane, kind="stable")
    borders = np.flatnonzero(np.diff(nodes.lane[by_lane])) + 1
    threads = np.split(by_lane, borders[:_MAX_LANES])[:_MAX_LANES] if len(by_lane) else []
    found = [_of_thread(mine, nodes, nested, table) for mine in threads]
    backs = sum(f.back_count for f in found)
    reordered = backs > max(_REORDERED_COUNT, _REORDERED_SHARE * len(nodes))
    return ClockFacts(
        back_count=0 if reordered else backs,
        back_us=0 if reordered else max((f.back_us for f in found), default=0),
        reordered=reordered,
        overlap_count=0 if reordered else sum(f.overlap_count for f in found),
        stall_count=0 if reordered else sum(f.stall_count for f in found),
        stall_us=0 if reordered else max((f.stall_us for f in found), default=0),
    )


def _of_thread(mine: Ints, nodes: Events, nested: Nesting, table: RunTable) -> ClockFacts:
    end = nodes.end[mine]
    latest = np.maximum.accumulate(end)
    back = latest[:-1] - end[1:]
    # A clock that goes back takes all later events with it; only the step counts.
    steps = np.flatnonzero((back > _TOLERANCE_US) & (np.diff(end) < -_TOLERANCE_US))
    top = mine[nested.top[mine]]
    pause = nodes.start[top[1:]] - nodes.end[top[:-1]]
    run = table.run_of[top]
    inside = (run[1:] == run[:-1]) & (run[1:] != OUTSIDE)
    usual = float(np.median(table.duration)) if len(table) else 0.0
    stalls = pause[inside & (pause > max(_STALL_US, _STALL_RUNS * usual))]
    return ClockFacts(
        back_count=len(steps),
        back_us=int(back[steps].max(initial=0)),
        overlap_count=int((pause < -_TOLERANCE_US).sum()),
        stall_count=len(stalls),
        stall_us=int(stalls.max(initial=0)),
    )
