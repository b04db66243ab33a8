"""Timing inside the child: open, warm up until steady, then short blocks on request.

Every latency is kept raw, in nanoseconds of the monotonic clock; process CPU time is taken
once per block, because reading it costs too much to do for every run.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ortlab.errors import ProviderUnavailableError
from ortlab.worker.protocol import Context, Message
from ortlab.worker.sessions import import_onnxruntime, open_session

# Warm-up ends when the lower quartile of a window is within this of the window before.
STEADY_CHANGE = 0.03
WINDOW_MIN_RUNS = 5
WINDOW_MIN_NS = 10_000_000
# A run of 100 ms or more averages its own noise; three of them make a window.
LONG_RUN_NS = 100_000_000
LONG_WINDOW_RUNS = 3
# Two stable steps in a row: one may be luck.
STABLE_WINDOWS = 2

Call = Callable[[], Any]


def warm_imports(request: Message, context: Context) -> Message:
    """The version of the runtime, once everything slow to import is imported."""
    import numpy

    ort = import_onnxruntime()
    return {"onnxruntime": ort.__version__, "numpy": numpy.__version__}


def open_session_task(request: Message, context: Context) -> Message:
    """Loads the feeds and opens the session, without running it.

    Request: `model`, `configuration`, `feeds` (path), `plugins` (provider → module).
    Reply: `session_init_us`, `active`.
    """
    from ortlab.worker import feeds

    context.phase("load")
    context.state.update(request=request, feeds=feeds.load(Path(request["feeds"])))
    return _open(context)


def reopen_session(request: Message, context: Context) -> Message:
    """A fresh session of the same configuration in the same process; replies as `open`."""
    context.state.pop("call", None)
    context.state.pop("session", None)
    gc.collect()
    return _open(context)


def _open(context: Context) -> Message:
    request = context.state["request"]
    context.phase("session")
    session, facts = open_session(
        request["model"], request["configuration"], plugins=request.get("plugins", {})
    )
    call = caller(session, context.state["feeds"], request["configuration"])
    context.state.update(session=session, call=call, active=facts["active"])
    gc.collect()
    # Collections in the middle of a block would be charged to the model.
    gc.disable()
    return facts


def first_run(request: Message, context: Context) -> Message:
    """The first run of an open session; replies `first_run_us`."""
    context.phase("first run")
    started = time.perf_counter_ns()
    context.state["call"]()
    return {"first_run_us": (time.perf_counter_ns() - started) / 1e3}


def caller(session: Any, feeds: dict[str, Any], configuration: dict[str, Any]) -> Call:
    """The one call that is timed: `run`, `run_with_ort_values` or `run_with_iobinding`."""
    from ortlab.worker import feeds as feed_files

    if configuration["io_binding"]:
        return _bound(session, feeds, configuration)
    if feed_files.needs_ort_values(feeds):
        names = [output.name for output in session.get_outputs()]
        return lambda: session.run_with_ort_values(names, feeds)
    run = session.run
    return lambda: run(None, feeds)


def _bound(session: Any, feeds: dict[str, Any], configuration: dict[str, Any]) -> Call:
    """A call with inputs and outputs bound to the memory of the first provider."""
    ort = import_onnxruntime()
    first = configuration["providers"][0]["name"]
    device = "cuda" if first in ("CUDAExecutionProvider", "TensorrtExecutionProvider") else "cpu"
    binding = session.io_binding()
    kept = []
    for name, value in feeds.items():
        is_value = isinstance(value, ort.OrtValue)
        bound = value if is_value else ort.OrtValue.ortvalue_from_numpy(value, device, 0)
        # A binding does not own its values; dropped, they would crash the process.
        kept.append(bound)
        binding.bind_ortvalue_input(name, bound)
    for output in session.get_outputs():
        binding.bind_output(output.name, device)
    run = session.run_with_iobinding

    def call(_kept: list[Any] = kept) -> None:
        run(binding)

    if device == "cpu":
        return call

    def call_and_wait() -> None:
        run(binding)
        binding.synchronize_outputs()

    return call_and_wait


def warm_up(request: Message, context: Context) -> Message:
    """Runs until steady: the lower quartile of the last windows stopped moving.

    Request: `runs` (exactly so many) or `max_runs` and `max_s`; no run starts after `max_s`.
    `window_ns` is the least length of a window.
    Reply: `runs`, `us`, `steady`, `run_us` (lower quartile of the last window).
    """
    context.phase("warm-up")
    call = context.state["call"]
    started = time.perf_counter_ns()
    if request.get("runs") is not None:
        latencies = _timed(call, request["runs"]) if request["runs"] else []
        return _warm_up_reply(latencies, started, steady=True)
    deadline = started + int(request["max_s"] * 1e9)
    latencies = _timed(call, 1)
    stable, last = 0, float(latencies[0])
    while stable < STABLE_WINDOWS:
        if time.perf_counter_ns() >= deadline or len(latencies) >= request["max_runs"]:
            return _warm_up_reply(latencies, started, steady=False)
        wanted = _window_runs(last, request.get("window_ns", WINDOW_MIN_NS))
        window = _timed_until(call, wanted, deadline_ns=deadline)
        latencies += window
        if len(window) < wanted:
            return _warm_up_reply(latencies, started, steady=False)
        quartile = _lower_quartile(window)
        stable = stable + 1 if abs(quartile - last) <= STEADY_CHANGE * last else 0
        last = quartile
    return _warm_up_reply(latencies, started, steady=True)


def block(request: Message, context: Context) -> Message:
    """One turn: `drop` runs that only warm the caches again, then `runs` that count.

    Reply: `latency_ns` (a list), `cpu_ns` and `wall_ns` over the counted runs together.

    Raises:
        ProviderUnavailableError: the session runs on other providers than it was opened on.
    """
    context.phase("run")
    call = context.state["call"]
    for _ in range(request["drop"]):
        call()
    cpu_started = time.process_time_ns()
    started = time.perf_counter_ns()
    latencies = _timed(call, request["runs"])
    wall_ns = time.perf_counter_ns() - started
    cpu_ns = time.process_time_ns() - cpu_started
    _refuse_other_providers(context)
    return {"latency_ns": latencies, "cpu_ns": cpu_ns, "wall_ns": wall_ns}


def memory(request: Message, context: Context) -> Message:
    """Peak resident memory of this process that no file backs, bytes.

    Source: `VmHWM - RssFile - RssShmem` of /proc/self/status on Linux; elsewhere the peak
    resident size, which then includes shared pages (`shared_included`).
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        kib = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if " kB" in line}
        # Some sandboxes leave it out.
        if "VmHWM" in kib:
            peak = int(kib["VmHWM"]) - int(kib.get("RssFile", 0)) - int(kib.get("RssShmem", 0))
            return {"peak_memory_bytes": peak * 1024, "shared_included": False}
    return {"peak_memory_bytes": _peak_portable(), "shared_included": True}


def _peak_portable() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return peak if sys.platform == "darwin" else peak * 1024


def _refuse_other_providers(context: Context) -> None:
    """A session that replaced itself while it ran would be timed under the wrong name."""
    opened, now = context.state["active"], context.state["session"].get_providers()
    if list(now) != list(opened):
        raise ProviderUnavailableError(
            f"The session was opened on {' and '.join(opened)}, and while it ran it changed to "
            f"{' and '.join(now) or 'nothing'}.",
            hint="ONNX Runtime fell back in the middle of a run; its log has the reason.",
        )


def _timed(call: Call, runs: int) -> list[int]:
    """Latency of each of so many runs, ns."""
    clock = time.perf_counter_ns
    latencies = [0] * runs
    for i in range(runs):
        started = clock()
        call()
        latencies[i] = clock() - started
    return latencies


def _timed_until(call: Call, runs: int, *, deadline_ns: int) -> list[int]:
    """Latency of each of so many runs, ns; fewer when the deadline passes."""
    clock = time.perf_counter_ns
    latencies: list[int] = []
    while len(latencies) < runs:
        started = clock()
        call()
        ended = clock()
        latencies.append(ended - started)
        if ended >= deadline_ns:
            break
    return latencies


def _window_runs(run_ns: float, window_ns: int = WINDOW_MIN_NS) -> int:
    fewest = WINDOW_MIN_RUNS if run_ns < LONG_RUN_NS else LONG_WINDOW_RUNS
    return max(fewest, min(2000, int(window_ns / max(run_ns, 1.0))))


def _lower_quartile(values: list[int]) -> float:
    return float(sorted(values)[len(values) // 4])


def _warm_up_reply(latencies: list[int], started_ns: int, *, steady: bool) -> Message:
    tail = latencies[-WINDOW_MIN_RUNS * 4 :]
    return {
        "runs": len(latencies),
        "us": (time.perf_counter_ns() - started_ns) / 1e3,
        "steady": steady,
        "run_us": _lower_quartile(tail) / 1e3 if tail else None,
        "median_us": statistics.median(tail) / 1e3 if tail else None,
    }
