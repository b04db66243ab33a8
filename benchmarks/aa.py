"""How far two identical configurations stray from 1, and whether a planted slowdown is called.

Every repeat is a whole measurement with fresh processes. `ORTLAB_BENCH_REPEATS` sets how many;
the full forty of each take about three quarters of an hour.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import chain
from ortlab.domain.configuration import Configuration
from ortlab.domain.study import Comparison, StopRule
from ortlab.measure.precision import schedule
from ortlab.measure.rounds import Bounds, Coordinator, Member
from ortlab.measure.samples import sessions
from ortlab.measure.verdict import compare
from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.spawn import run_task

REPEATS = int(os.environ.get("ORTLAB_BENCH_REPEATS", "40"))
PLANTED_REPEATS = 10
# One more layer than this is a slowdown of 3 %.
PLANTED_LAYERS = 33
SETTINGS = (("14 µs", 14.0, 4.0), ("0.8 ms", 800.0, 4.0), ("27 ms", 27_000.0, 10.0))
QUIET_TARGET, BUSY_TARGET = 0.005, 0.03
PLANTED_SECONDS = 30.0

BUSY = "while True: sum(i * i for i in range(10000))"


def once(models: tuple[Path, Path], feeds: Path, *, run_us: float, seconds: float,
         seed: int, folder: Path) -> tuple[Comparison, float]:  # fmt: skip
    """One whole comparison of two members, and its wall time in seconds."""
    started = time.monotonic()
    members = [
        Member(name=name, configuration=Configuration(threads=1), model=model, feeds=feeds,
               plugins={}, run_us=run_us)
        for name, model in zip(("a", "b"), models, strict=True)
    ]  # fmt: skip
    coordinator = Coordinator(
        members, folder=folder / f"r{seed}", seed=seed, cancel=threading.Event(),
        watch=lambda seen, doing: None,
        bounds=Bounds(limits=default_limits(), open_s=60, run_s=60),
    )  # fmt: skip
    plan = schedule(StopRule(seconds=seconds), run_us=[run_us] * 2, open_s=[0.05] * 2)
    seen = coordinator.run(plan, enough=lambda _: False)
    found = compare(sessions(seen.blocks, "a"), sessions(seen.blocks, "b"), cpu_time_allowed=True)
    assert found is not None
    return found, time.monotonic() - started


def identical(
    name: str, *, run_us: float, seconds: float, repeats: int, busy: bool
) -> dict[str, Any]:
    """One row: the 95th percentile of |ratio − 1| and how many intervals hold 1."""
    found = _repeat(name, run_us=run_us, seconds=seconds, repeats=repeats, busy=busy)
    errors = [abs(math.log(c.ratio)) for c, _ in found]
    held = sum(c.ci95[0] <= 1 <= c.ci95[1] for c, _ in found)
    error = float(np.percentile(errors, 95))
    target = BUSY_TARGET if busy else QUIET_TARGET
    wall = float(np.median([w for _, w in found]))
    needed = math.ceil(repeats * 37 / 40)
    return {
        "name": f"A/A error, {name}, {seconds:g} s of turns ({wall:.1f} s in all), "
        f"{'both cores loaded' if busy else 'quiet'}",
        "measured": f"{error:.2%}, {held} of {repeats} intervals hold 1",
        "target": f"≤ {target:.1%}, ≥ {needed} of {repeats}",
        "met": error <= target and held >= needed,
    }


def planted(*, repeats: int) -> dict[str, Any]:
    """One row: how often a slowdown of about 3 % is called within thirty seconds."""
    found = _repeat("0.8 ms", run_us=800, seconds=PLANTED_SECONDS / 2, repeats=repeats,
                    busy=False, layers=PLANTED_LAYERS)  # fmt: skip
    called = sum(c.verdict == "slower" for c, _ in found)
    wall = max(w for _, w in found)
    change = 1 / float(np.median([c.ratio for c, _ in found])) - 1
    return {
        "name": f"planted slowdown of {change:.1%} called (longest {wall:.0f} s)",
        "measured": f"{called} of {repeats}",
        "target": f"≥ {math.ceil(0.9 * repeats)} of {repeats} in 30 s",
        "met": called >= math.ceil(0.9 * repeats) and wall <= PLANTED_SECONDS,
    }


def _repeat(name: str, *, run_us: float, seconds: float, repeats: int, busy: bool,
            layers: int | None = None) -> list[tuple[Comparison, float]]:  # fmt: skip
    """So many comparisons of a model with itself, or with one of a layer more than `layers`."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        first = chain(name, folder, layers=layers)
        second = chain(name, folder, layers=layers, extra=1) if layers else first
        request = {"model": str(first), "dims": {}, "seed": 0, "npz": None}
        feeds = Path(run_task("feeds", request, folder=folder / "f", timeout_s=60)["path"])
        load = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2 * busy)]
        try:
            return [
                once((first, second), feeds, run_us=run_us, seconds=seconds, seed=i, folder=folder)
                for i in range(repeats)
            ]
        finally:
            for process in load:
                process.kill()


def rows() -> Iterator[dict[str, Any]]:
    """Quiet and loaded A/A, and the planted slowdown, as they come."""
    for busy in (False, True):
        for name, run_us, seconds in SETTINGS:
            yield identical(name, run_us=run_us, seconds=seconds, repeats=REPEATS, busy=busy)
    yield planted(repeats=min(PLANTED_REPEATS, REPEATS))


if __name__ == "__main__":
    for row in rows():
        print(row)
