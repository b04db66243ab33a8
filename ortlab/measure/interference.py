"""What else the machine did while we measured: load, steal, throttling, other processes."""

from __future__ import annotations

import os
import sys
import time

import psutil
from msgspec import Struct

from ortlab.domain.study import Interference
from ortlab.measure import cgroup

# A process below this share of one core is not worth naming.
NAMED_CORE_SHARE = 0.05

Used = dict[int, tuple[str, float]]
"""Name and seconds of CPU time by process id."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """The machine's counters at one moment; seconds of CPU time unless named otherwise."""

    taken_s: float
    busy_s: float
    steal_s: float
    total_s: float
    throttled_us: int | None
    load: float | None
    frequency_mhz: float | None
    processes: Used
    own: frozenset[int]
    """This process and everything it has started that is still there."""
    own_s: float | None
    """CPU time of this process and of all its workers, those that are gone included."""


def snapshot() -> Snapshot:
    """The counters now; takes a few milliseconds, never called inside a turn."""
    times = psutil.cpu_times()
    steal = float(getattr(times, "steal", 0.0))
    idle = times.idle + float(getattr(times, "iowait", 0.0))
    # Time of guests is counted in user time already.
    guests = float(getattr(times, "guest", 0.0)) + float(getattr(times, "guest_nice", 0.0))
    total = float(sum(times)) - guests
    processes, own = _processes(), _own()
    return Snapshot(
        taken_s=time.monotonic(),
        busy_s=total - idle - steal,
        steal_s=steal,
        total_s=total,
        throttled_us=cgroup.throttled_us(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        frequency_mhz=_frequency_mhz(),
        processes=processes,
        own=own,
        own_s=_own_s(processes, own),
    )


def interference(before: Snapshot, after: Snapshot) -> Interference:
    """What happened between two snapshots that this process took."""
    wall = max(after.taken_s - before.taken_s, 1e-9)
    total = after.total_s - before.total_s
    others = others_used(before, after)
    name, most = max(others.values(), key=lambda item: item[1], default=("", 0.0))
    throttled = (
        after.throttled_us - before.throttled_us
        if after.throttled_us is not None and before.throttled_us is not None
        else None
    )
    frequencies = [f for f in (before.frequency_mhz, after.frequency_mhz) if f]
    # Some sandboxes show counters that never move; they tell nothing.
    told = total > 0
    return Interference(
        load_before=before.load,
        load_after=after.load,
        steal_share=max(0.0, after.steal_s - before.steal_s) / total if told else None,
        other_cpu_share=_other_share(before, after, others, total=total) if told else None,
        throttled_us=throttled,
        frequency_mhz_min=min(frequencies, default=None),
        frequency_mhz_max=max(frequencies, default=None),
        top_other=name if most / wall > NAMED_CORE_SHARE else None,
    )


def others_used(before: Snapshot, after: Snapshot) -> Used:
    """What every process that is not ours, and still there, has used in between."""
    own = before.own | after.own
    return {
        pid: (name, max(0.0, used - before.processes.get(pid, (name, 0.0))[1]))
        for pid, (name, used) in after.processes.items()
        if pid not in own
    }


def _other_share(before: Snapshot, after: Snapshot, others: Used, *, total: float) -> float:
    """CPU time of others as a part of all there was.

    What the machine did less what we did: this also counts processes that came and went in
    between, and neighbours outside the container.
    """
    if before.own_s is None or after.own_s is None:
        used = sum(seconds for _, seconds in others.values())
    else:
        used = after.busy_s - before.busy_s - (after.own_s - before.own_s)
    return min(1.0, max(0.0, used) / total)


def _own() -> frozenset[int]:
    me = psutil.Process()
    return frozenset({me.pid, *(child.pid for child in me.children(recursive=True))})


def _own_s(processes: Used, own: frozenset[int]) -> float | None:
    """Our own time: this process, workers already collected, and those still there."""
    # Windows does not add up children that are gone.
    if sys.platform == "win32":
        return None
    living = sum(processes[pid][1] for pid in own - {os.getpid()} if pid in processes)
    return sum(os.times()[:4]) + living


def _frequency_mhz() -> float | None:
    try:
        now = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return float(now.current) if now and now.current else None


def _processes() -> Used:
    found: Used = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.pid] = (process.info["name"] or "?", times.user + times.system)
    return found
