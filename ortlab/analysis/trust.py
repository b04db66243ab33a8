"""How far a profile can be believed: a grade, and every reason that lowers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from ortlab.domain.trace import ProviderRow, Run, TraceFacts, Trust, TrustReason
from ortlab.domain.units import share as share_text

# Providers that hand work to a device and go on: the host's node times are launch times.
# Checked here for WebGPU; by their documentation for the others.
ASYNC_PROVIDERS = frozenset({
    "CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider",
    "WebGpuExecutionProvider", "JsExecutionProvider", "DmlExecutionProvider",
    "MIGraphXExecutionProvider", "ROCMExecutionProvider", "CANNExecutionProvider",
})  # fmt: skip

# Seen on ORT 1.31: what the profiler itself adds to each node at one thread.
PROFILER_US_PER_NODE = 7.5
# Below this many steady runs a median per node is one or two observations.
MIN_STEADY_RUNS = 3
GOOD_STEADY_RUNS = 10
_GRADES = "ABCDEF"


class Evidence(Struct, frozen=True, kw_only=True):
    """What the grade is made from."""

    facts: TraceFacts
    runs: Sequence[Run]
    providers: Sequence[ProviderRow]
    node_event_count: int
    outside_count: int
    overlapping: bool
    ambiguous_count: int
    thread_count: int
    device_event_count: int
    steady_only: bool
    overhead_ratio: float | None

    @property
    def steady(self) -> list[Run]:
        """Runs that are no warm-up."""
        return [run for run in self.runs if not run.warmup]


class Doubt(Struct, frozen=True):
    """One reason: its code, a sentence, and the best grade that it leaves."""

    code: str
    message: str
    grade: str


def trust(evidence: Evidence) -> Trust:
    """The worst grade that any doubt leaves, and all doubts, worst first."""
    doubts = [doubt for check in _CHECKS if (doubt := check(evidence)) is not None]
    doubts.sort(key=lambda doubt: doubt.grade, reverse=True)
    grade = max((doubt.grade for doubt in doubts), default=_GRADES[0])
    return Trust(grade, tuple(TrustReason(doubt.code, doubt.message) for doubt in doubts))


def async_providers(providers: Sequence[ProviderRow]) -> tuple[str, ...]:
    """Those of the providers whose node times are launch times."""
    return tuple(row.provider for row in providers if row.provider in ASYNC_PROVIDERS)


def _no_nodes(e: Evidence) -> Doubt | None:
    if e.node_event_count:
        return None
    return Doubt("no_nodes", "The file holds no node event, so it tells nothing of operators.", "F")


def _async_launches(e: Evidence) -> Doubt | None:
    names = async_providers(e.providers)
    if not names:
        return None
    part = share_text(sum(row.share for row in e.providers if row.provider in names))
    what = f"{', '.join(names)} ({part} of the node time) works asynchronously: its node times "
    if e.device_event_count:
        return Doubt(
            "async_launches",
            what + f"are launches. The file also has {e.device_event_count:,} device events.",
            "C",
        )
    return Doubt(
        "async_launches",
        what + "are launches and waits, and the file has no device events. They do not rank "
        "operators.",
        "D",
    )


def _truncated(e: Evidence) -> Doubt | None:
    facts = e.facts
    if facts.dropped_count is not None:
        limit = f" after {facts.max_events:,}" if facts.max_events else ""
        return Doubt(
            "truncated",
            f"ONNX Runtime stopped recording{limit} and dropped {facts.dropped_count:,} events.",
            "C",
        )
    if facts.capped_count:
        return Doubt(
            "capped", f"{facts.capped_count:,} events beyond {facts.events:,} were left out.", "C"
        )
    if facts.truncated:
        return Doubt(
            "cut_off", "The file ends before its list does: the last events are missing.", "C"
        )
    return None


def _damaged(e: Evidence) -> Doubt | None:
    count = e.facts.damaged_count
    if not count:
        return None
    part = count / (count + sum(e.facts.category_counts.values()))
    line = f", the first on line {e.facts.damaged_lines[0]}" if e.facts.damaged_lines else ""
    grade = "B" if part < 0.01 else "C" if part < 0.2 else "E"
    return Doubt(
        "damaged",
        f"{count:,} event{'s' * (count != 1)} ({share_text(part)}) could not be read{line}.",
        grade,
    )


def _recovered(e: Evidence) -> Doubt | None:
    if not e.facts.recovered_count:
        return None
    return Doubt(
        "recovered",
        f"{e.facts.recovered_count:,} events were invalid JSON (ONNX Runtime before 1.31 does "
        "not escape names) and were read by their position.",
        "B",
    )


def _no_runs(e: Evidence) -> Doubt | None:
    if e.runs or not e.node_event_count:
        return None
    return Doubt(
        "no_runs",
        "The file has no model_run event: times cannot be told per run, nor warm-up apart.",
        "D",
    )


def _few_runs(e: Evidence) -> Doubt | None:
    count = len(e.steady)
    if not e.runs or count >= GOOD_STEADY_RUNS:
        return None
    return Doubt(
        "few_runs",
        f"Only {count} steady run{'s' * (count != 1)}: medians per node are uncertain.",
        "C" if count < MIN_STEADY_RUNS else "B",
    )


def _outside(e: Evidence) -> Doubt | None:
    if not e.runs or not e.outside_count:
        return None
    part = e.outside_count / e.node_event_count
    return Doubt(
        "outside_runs",
        f"{e.outside_count:,} node events ({share_text(part)}) lie in no run: a run is missing, "
        "or the file is from several sessions.",
        "B" if part < 0.2 else "C",
    )


def _concurrent(e: Evidence) -> Doubt | None:
    if not e.overlapping:
        return None
    more = f" {e.ambiguous_count:,} events fit several runs." if e.ambiguous_count else ""
    return Doubt(
        "concurrent_runs",
        f"Runs went on at the same time and slowed each other down.{more}",
        "D" if e.ambiguous_count else "C",
    )


def _over_run(e: Evidence) -> Doubt | None:
    # Whole µs are cut off each event; more than that is no rounding.
    over = [run for run in e.runs if run.node_time_us > run.duration_us + run.node_count]
    if not over:
        return None
    run = max(over, key=lambda run: run.node_time_us / max(run.duration_us, 1))
    what = (
        f"In {len(over)} of {len(e.runs)} runs node times add up to more than the run: "
        f"{run.node_time_us:,} of {run.duration_us:,} µs in run {run.index}."
    )
    if e.thread_count > 1:
        return Doubt("parallel_nodes", what + " Nodes ran in parallel, so shares are of work.", "B")
    return Doubt("nodes_exceed_run", what + " One thread cannot do that.", "D")


def _gaps(e: Evidence) -> Doubt | None:
    steady = e.steady or list(e.runs)
    whole = sum(run.duration_us for run in steady)
    inside = sum(run.node_time_us for run in steady)
    if not e.node_event_count or not whole or inside >= 0.5 * whole:
        return None
    return Doubt(
        "low_coverage",
        f"Nodes take only {share_text(inside / whole)} of the runs; the rest is between them: "
        "the framework, hand-over between threads, the profiler.",
        "B",
    )


def _warmup(e: Evidence) -> Doubt | None:
    slow = [run for run in e.runs if run.warmup]
    if not slow or e.steady_only:
        return None
    part = sum(r.node_time_us for r in slow) / max(1, sum(r.node_time_us for r in e.runs))
    return Doubt(
        "warmup_mixed",
        f"Totals include {len(slow)} warm-up run{'s' * (len(slow) != 1)} with "
        f"{share_text(part)} of the node time; look at steady runs only.",
        "B" if part < 0.5 else "C",
    )


def _overhead(e: Evidence) -> Doubt | None:
    ratio = e.overhead_ratio
    if ratio is None:
        return _estimated_overhead(e)
    if ratio < 1.1:
        return None
    return Doubt(
        "profiler_overhead",
        f"Profiled runs take {ratio:.2f} times as long as unprofiled ones; small nodes look "
        "larger than they are.",
        "A" if ratio < 1.25 else "B" if ratio < 2 else "C" if ratio < 5 else "D",
    )


def _estimated_overhead(e: Evidence) -> Doubt | None:
    steady = e.steady or list(e.runs)
    whole = sum(run.duration_us for run in steady)
    part = sum(run.node_count for run in steady) * PROFILER_US_PER_NODE / whole if whole else 0.0
    if part < 0.2:
        return None
    size = f"about {share_text(part)} of a run" if part < 0.5 else "more than half of a run"
    return Doubt(
        "profiler_overhead_estimated",
        f"No unprofiled twin. At some {PROFILER_US_PER_NODE} µs per node the profiler itself may "
        f"be {size}.",
        "B" if part < 0.5 else "C",
    )


def _no_provider(e: Evidence) -> Doubt | None:
    nameless = sum(row.calls for row in e.providers if row.provider == "?")
    if not nameless:
        return None
    return Doubt("no_provider", f"{nameless:,} node events name no provider.", "B")


_CHECKS: tuple[Callable[[Evidence], Doubt | None], ...] = (
    _no_nodes, _async_launches, _truncated, _damaged, _recovered, _no_runs, _few_runs, _outside,
    _concurrent, _over_run, _gaps, _warmup, _overhead, _no_provider,
)  # fmt: skip
