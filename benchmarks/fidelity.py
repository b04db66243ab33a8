"""Does ortlab report what a bare loop of `session.run` would? p50 over p50, interleaved.

The bare loop is a plain script in a process of its own. It gets its turns between ortlab's
rounds, so that both meet the same machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import SIZES, chain
from ortlab.domain.configuration import Configuration
from ortlab.domain.study import StopRule
from ortlab.measure.precision import schedule
from ortlab.measure.rounds import Bounds, Coordinator, Member, Seen
from ortlab.measure.samples import sessions
from ortlab.measure.verdict import latency
from ortlab.sandbox.limits import default_limits, environment
from ortlab.sandbox.spawn import run_task

SECONDS = 6.0
TARGET = 0.02
# Long enough that what is counted runs as in a loop that never stopped.
BARE_TURN_S = 0.03

BARE = """
import json, sys, time
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = dict(np.load(sys.argv[2]))
for _ in range(20):
    session.run(None, feeds)
for line in sys.stdin:
    times, end = [], time.perf_counter() + float(line)
    while not times or time.perf_counter() < end:
        started = time.perf_counter_ns()
        session.run(None, feeds)
        times.append(time.perf_counter_ns() - started)
    print(json.dumps(times), flush=True)
"""


class Bare:
    """A plain loop in its own process; a fresh one for every process set of ortlab's."""

    def __init__(self, model: Path, feeds: Path, folder: Path) -> None:
        self._command = [sys.executable, "-c", BARE, str(model), str(feeds)]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._set = -1
        self.times: list[int] = []

    def turn(self, seconds: float, *, process_set: int) -> None:
        if process_set != self._set:
            self.close()
            self._set = process_set
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=environment(self._folder), stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._loop(seconds)
            return
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
        # As ortlab does: the first runs after a switch find cold caches, a loop's do not.
        times = self._loop(seconds)
        self.times += times[3:] if len(times) > 6 else times[1:] or times

    def _loop(self, seconds: float) -> list[int]:
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        times: list[int] = json.loads(self._process.stdout.readline())
        os.kill(self._process.pid, signal.SIGSTOP)
        return times

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def ratio(name: str) -> tuple[float, float]:
    """(ortlab's p50 ÷ the bare loop's p50, the bare p50 in µs)."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        model = chain(name, folder)
        configuration = Configuration(threads=1)
        request: dict[str, Any] = {"model": str(model), "dims": {}, "seed": 0, "npz": None}
        feeds = run_task("feeds", request, folder=folder / "feeds", timeout_s=60)["path"]
        bare = Bare(model, Path(feeds), folder)
        probe = SIZES[name][2]
        member = Member(name="one", configuration=configuration, model=model, feeds=Path(feeds),
                        plugins={}, run_us=probe)  # fmt: skip

        def watch(seen: Seen, doing: str) -> None:
            if doing == "measuring":
                bare.turn(max(BARE_TURN_S, 4 * probe / 1e6), process_set=seen.process_sets)

        coordinator = Coordinator(
            [member], folder=folder / "work", seed=0, cancel=threading.Event(), watch=watch,
            bounds=Bounds(limits=default_limits(), open_s=60, run_s=60),
        )  # fmt: skip
        plan = schedule(StopRule(seconds=SECONDS), run_us=[probe], open_s=[0.1])
        seen = coordinator.run(plan, enough=lambda _: False)
        bare.close()
        ours = latency(sessions(seen.blocks, "one")).p50_us
        theirs = float(np.median(bare.times)) / 1e3
        return ours / theirs, theirs


def rows() -> Iterator[dict[str, Any]]:
    """One row per model size, as they come."""
    for name in ("0.2 ms", "5 ms", "50 ms"):
        value, bare_us = ratio(name)
        yield {
            "name": f"fidelity: ortlab p50 ÷ bare loop p50, {name} model "
            f"(bare {bare_us / 1e3:.3g} ms)",
            "measured": f"{value:.4f}",
            "target": f"1 ± {TARGET}",
            "met": abs(value - 1) <= TARGET,
        }


if __name__ == "__main__":
    for row in rows():
        print(row)
