"""What the server does for the data of each view of a trace that is open.

`python -m benchmarks.traces_views HOME TRACE` prints the middle of five times in ms by view,
as JSON. Charts and tables are made of these data; that is in the time from click to drawn.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ortlab.analysis.naming import modules
from ortlab.analysis.timelines import timeline
from ortlab.domain.timeline import HOST_CLOCK
from ortlab.domain.trace import Profile
from ortlab.jobs import explain
from ortlab.lab import Lab

REPEATS = 5


def views(lab: Lab, trace: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and data of each view."""

    def profile() -> Profile:
        return lab.trace(trace, steady=True).record

    def window(start_us: int, end_us: int) -> bytes:
        return timeline.encoded(timeline.window(path, start_us=start_us, end_us=end_us))

    path = explain.digest_of(lab.store, trace, None).timeline
    begin, end = timeline.contents(path).extents[HOST_CLOCK]
    middle, part = (begin + end) // 2, (end - begin) // 200
    run = profile().runs[len(profile().runs) // 2]
    yield "operators", lambda: profile().operators
    yield "nodes", lambda: profile().nodes
    yield "runs", lambda: profile().runs
    yield "flame", lambda: modules.tree(profile())
    yield "memory", lambda: lab.summary(trace).memory
    yield "threads", lambda: lab.summary(trace).threads
    yield "timeline, whole", lambda: window(begin, end)
    yield "timeline, a hundredth", lambda: window(middle - part, middle + part)
    yield "timeline, one run", lambda: window(run.start_us, run.start_us + run.duration_us)


def milliseconds(data: Callable[[], Any]) -> float:
    """The middle of several times."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        data()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


if __name__ == "__main__":
    found = views(Lab.open(sys.argv[1]), sys.argv[2])
    print(json.dumps({name: milliseconds(data) for name, data in found}))
