"""What else the machine did while we measured: load, steal, throttling, other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
from msgspec import Struct

from ortlab.domain.study import Interference

# A process below this share of one core is not worth naming.
NAMED_CORE_SHARE = 0.05
_CGROUP_STAT = ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat")


class Snapshot(Struct, frozen=True, kw_only=True):
    """The machine's counters at one moment; seconds of CPU time unless named otherwise."""

    taken_s: float
    busy_s: float
    steal_s: float
    total_s: float
    throttled_us: int | None
    load: float | None
    frequency_mhz: float | None
    processes: dict[int, tuple[str, float]]


def snapshot() -> Snapshot:
    """The counters now; takes a few milliseconds, never called inside a turn."""
    times = psutil.cpu_times()
    steal = float(getattr(times, "steal", 0.0))
    idle = times.idle + float(getattr(times, "iowait", 0.0))
    total = float(sum(times))
    return Snapshot(
        taken_s=time.monotonic(),
        busy_s=total - idle - steal,
        steal_s=steal,
        total_s=total,
        throttled_us=_throttled_us(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        frequency_mhz=_frequency_mhz(),
        processes=_processes(),
    )


def interference(before: Snapshot, after: Snapshot, *, own: set[int]) -> Interference:
    """What happened between two snapshots.

    Args:
        before: at the start of measuring.
        after: at its end.
        own: process ids of this study: the runner and everything it started.
    """
    total = max(after.total_s - before.total_s, 1e-9)
    others = {
        pid: (name, used - before.processes.get(pid, (name, 0.0))[1])
        for pid, (name, used) in after.processes.items()
        if pid not in own
    }
    other_s = sum(used for _, used in others.values())
    wall = max(after.taken_s - before.taken_s, 1e-9)
    name, most = max(others.values(), key=lambda item: item[1], default=("", 0.0))
    throttled = (
        after.throttled_us - before.throttled_us
        if after.throttled_us is not None and before.throttled_us is not None
        else None
    )
    frequencies = [f for f in (before.frequency_mhz, after.frequency_mhz) if f]
    return Interference(
        load_before=before.load,
        load_after=after.load,
        steal_share=max(0.0, after.steal_s - before.steal_s) / total,
        other_cpu_share=min(1.0, max(0.0, other_s) / total),
        throttled_us=throttled,
        frequency_mhz_min=min(frequencies, default=None),
        frequency_mhz_max=max(frequencies, default=None),
        top_other=name if most / wall > NAMED_CORE_SHARE else None,
    )


def _throttled_us() -> int | None:
    for path in _CGROUP_STAT:
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        values = dict(line.split()[:2] for line in lines if " " in line)
        if "throttled_usec" in values:
            return int(values["throttled_usec"])
        if "throttled_time" in values:
            return int(values["throttled_time"]) // 1000
    return None


def _frequency_mhz() -> float | None:
    try:
        now = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return float(now.current) if now and now.current else None


def _processes() -> dict[int, tuple[str, float]]:
    found: dict[int, tuple[str, float]] = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None:
            found[process.pid] = (process.info["name"] or "?", times.user + times.system)
    return found
