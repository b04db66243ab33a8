"""Doubts about times: what they are of, and how much the recording itself changed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ortlab.analysis.trusting.claims import ASYNC_PROVIDERS, MAX_UNATTRIBUTED_SHARE
from ortlab.analysis.trusting.doubt import NOTE, Doubt, plural, reason
from ortlab.domain.trace import Correction, Run, TrustReason
from ortlab.domain.units import share as share_text
from ortlab.domain.units import significant

if TYPE_CHECKING:
    from ortlab.analysis.trusting.trust import Evidence

# Below this many steady runs a median per node is one or two observations.
MIN_STEADY_RUNS = 3
GOOD_STEADY_RUNS = 10
# Nodes below this part of their runs say little about where a run's time goes.
_LOW_COVERAGE = 0.5
# Above this part of a run the profiler's cost is visible; above the next it is most of the run.
_VISIBLE_OVERHEAD = 0.2
_MOST = 0.5
# Less than this part of the node time changes no figure that is shown with three digits.
_UNSEEN_WARMUP = 0.005
# Profiled ÷ unprofiled, and the grade that it leaves below.
_RATIO_GRADES = ((1.25, "A"), (2.0, "B"), (5.0, "C"))


def _async_launches(e: Evidence) -> TrustReason | None:
    names = [row.provider for row in e.providers if row.provider in ASYNC_PROVIDERS]
    if not names:
        return None
    does = "hands work to a device and goes on" if len(names) == 1 else "hand work over and go on"
    who = f"{', '.join(names)} {does}"
    device = e.device
    if device is None or not device.attributed_count:
        more = (
            f" Its {e.device_event_count:,} device events belong to no node that is known."
            if e.device_event_count
            else " The file has no device events."
        )
        return reason(
            "async_launches", f"{who}: node times are launches and waits.{more}", grade="D",
            cost="They do not rank operators, so no shares are shown for them; a copy's time is "
            "mostly waiting for everything launched before it.",
            remedy=_device_remedy(names),
        )  # fmt: skip
    whole = device.attributed_us >= (1 - MAX_UNATTRIBUTED_SHARE) * device.total_us
    return reason(
        "async_launches", f"{who}: node times are launches. {device.how}",
        grade="B" if whole else "C",
        cost="Shares are of device time, and of the host's own nodes; times on the host are greyed."
        if whole
        else "Too much of the device time has no node, so no shares are shown.",
    )  # fmt: skip


def _device_remedy(names: Sequence[str]) -> str:
    if any(name.startswith(("CUDA", "Tensorrt", "NvTensorRT")) for name in names):
        return (
            "Profile again with the environment variable CUDA_LAUNCH_BLOCKING=1: each node then "
            "waits for its kernels. Or use a build of ONNX Runtime with CUPTI."
        )
    if any(name.startswith("WebGpu") for name in names):
        return (
            "The WebGPU provider built into ONNX Runtime writes device events; its plugin did not "
            "up to version 0.4."
        )
    return "For times on the device use the profiler of the device's maker."


def _device_events(e: Evidence) -> TrustReason | None:
    device = e.device
    if device is None or any(row.provider in ASYNC_PROVIDERS for row in e.providers):
        return None
    return reason(
        "device_events", device.how,
        grade=NOTE if device.attributed_count == device.event_count else "B",
        cost="" if device.attributed_count == device.event_count
        else "Device time of the nodes is less than it was.",
    )  # fmt: skip


def _few_runs(e: Evidence) -> TrustReason | None:
    count = len(e.steady)
    if not e.runs or count >= GOOD_STEADY_RUNS:
        return None
    alone = " It is the only one, so it may be warm-up." if len(e.runs) == 1 else ""
    return reason(
        "few_runs",
        f"Only {count} steady run{plural(count)}: medians per node are uncertain.{alone}",
        grade="C" if count < MIN_STEADY_RUNS else "B",
        cost="A node may look slow by chance; there is no interval to tell."
        if count < MIN_STEADY_RUNS
        else "Differences between nodes of a few percent mean nothing.",
        remedy=f"Profile at least {GOOD_STEADY_RUNS} runs after warm-up.",
    )  # fmt: skip


def _concurrent(e: Evidence) -> TrustReason | None:
    if not e.overlapping:
        return None
    more = f" {e.ambiguous_count:,} events fit several runs." if e.ambiguous_count else ""
    return reason(
        "concurrent_runs", f"Runs went on at the same time.{more}",
        grade="D" if e.ambiguous_count else "C",
        cost="They slowed each other down: times are of this load, not of the model alone.",
        remedy="Profile with one run at a time.",
    )  # fmt: skip


def _over_run(e: Evidence) -> TrustReason | None:
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
        return reason(
            "parallel_nodes", what + " Nodes ran in parallel.", grade="B",
            cost="Shares are of work, not of the time that a caller waits.",
        )  # fmt: skip
    return reason(
        "nodes_exceed_run", what + " One thread cannot do that.", grade="D",
        cost="Some times are wrong, and the file does not tell which.",
    )  # fmt: skip


def _gaps(e: Evidence) -> TrustReason | None:
    whole = sum(run.duration_us for run in e.judged)
    inside = sum(run.node_time_us for run in e.judged)
    if not e.node_event_count or not whole or inside >= _LOW_COVERAGE * whole:
        return None
    return reason(
        "low_coverage", f"Nodes take only {share_text(inside / whole)} of the runs.", grade="B",
        cost="The rest is between them (the framework, hand-over between threads, the profiler): "
        "a faster node saves less of a run than its share says.",
    )  # fmt: skip


def _warmup(e: Evidence) -> TrustReason | None:
    slow = [run for run in e.runs if run.warmup]
    if not slow or e.steady_only:
        return None
    part = sum(r.node_time_us for r in slow) / max(1, sum(r.node_time_us for r in e.runs))
    return reason(
        "warmup_mixed",
        f"Totals include {len(slow)} warm-up run{plural(len(slow))} with {share_text(part)} of the "
        "node time.",
        grade=NOTE if part < _UNSEEN_WARMUP else "B" if part < _MOST else "C",
        cost="Nodes that prepare something once look larger than they are.",
        remedy="Look at steady runs only.",
    )  # fmt: skip


def _changed(e: Evidence) -> TrustReason | None:
    changes = [run for run in e.runs if run.changed]
    if not changes:
        return None
    first = changes[0]
    more = f"; it changed {len(changes)} times in all" * (len(changes) > 1)
    return reason(
        "changed", f"From run {first.index} on runs take {_step(e.runs, changes)}{more}.",
        grade="B", cost="A median over all runs is of neither level.",
        remedy="Look at runs before and after it by themselves: the input, the clock of the "
        "machine or other work on it changed.",
    )  # fmt: skip


def _step(runs: Sequence[Run], changes: Sequence[Run]) -> str:
    """How much longer or shorter runs are after the first change, in words."""
    first = changes[0].index
    last = changes[1].index if len(changes) > 1 else len(runs)
    whole = [r for r in runs if not r.partial and r.session == runs[first].session]
    before = _middle([r.duration_us for r in whole if r.index < first and not r.warmup])
    after = _middle([r.duration_us for r in whole if first <= r.index < last])
    if not before or not after:
        return "another time than before"
    ratio = after / before
    if not 0.5 < ratio < 2:
        return f"{significant(ratio, 2)} times as long as before"
    return f"{share_text(abs(ratio - 1))} {'longer' if ratio > 1 else 'shorter'} than before"


def _middle(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0


def _drift(e: Evidence) -> TrustReason | None:
    if not e.drift:
        return None
    way = "slower" if e.drift > 0 else "faster"
    return reason(
        "drifting", f"Runs kept getting {way}, by {share_text(abs(e.drift))} in all.", grade="B",
        cost="There is no steady state: medians are of the middle of the recording.",
        remedy="Look for heat, power limits, other work, or inputs that grow.",
    )  # fmt: skip


def _overhead(e: Evidence) -> TrustReason | None:
    ratio, found = e.overhead_ratio, e.correction
    if ratio is None or (found is not None and found.basis != "measured"):
        return _estimated_overhead(e)
    if ratio < 1.1:
        return None
    cost = "Small nodes look larger than they are."
    if found is not None and found.inside_us:
        cost = (
            f"At least {significant(found.inside_us, 2)} µs of each node event is the profiler's; "
            "corrected times leave it out."
        )
    return reason(
        "profiler_overhead", f"Profiled runs take {ratio:.2f} times as long as unprofiled ones.",
        grade=next((grade for limit, grade in _RATIO_GRADES if ratio < limit), "D"), cost=cost,
        remedy="Use these times for shares, and the measured latency for how long a run takes.",
    )  # fmt: skip


def _estimated_overhead(e: Evidence) -> TrustReason | None:
    found = e.correction
    whole = sum(run.duration_us for run in e.judged)
    if found is None or not whole:
        return None
    low, middle, high = (min(1.0, _profiler_part(e.judged, us, whole)) for us in _estimates(found))
    if middle < _VISIBLE_OVERHEAD:
        return None
    each = f"{significant(found.low_us, 2)} to {significant(found.high_us, 2)} µs"
    return reason(
        "profiler_overhead_estimated",
        f"At {each} per node, as seen elsewhere, the profiler itself may be {low:.0%} to "
        f"{high:.0%} of a run.",
        grade="B" if middle < _MOST else "C",
        cost="Small nodes look larger than they are. It is an estimate, so nothing is subtracted.",
        remedy="Measure the same model without the profiler: the difference is then known.",
    )  # fmt: skip


def _estimates(found: Correction) -> tuple[float, float, float]:
    return found.low_us, found.per_event_us, found.high_us


def _profiler_part(runs: Sequence[Run], per_event_us: float, whole_us: int) -> float:
    return sum(run.node_count for run in runs) * per_event_us / whole_us


DOUBTS: tuple[Doubt, ...] = (
    _async_launches, _few_runs, _concurrent, _over_run, _warmup, _overhead, _changed, _drift, _gaps,
    _device_events,
)  # fmt: skip
