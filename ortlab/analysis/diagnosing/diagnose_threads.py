"""Checks of threads, spinning, execution mode, IO binding and memory."""

from __future__ import annotations

from ortlab.analysis.diagnosing.evidence import (
    Check,
    Evidence,
    Pair,
    Symptom,
    changed,
    clearly_faster,
    compared,
    latency,
    twins,
    use_other,
    was_asked,
)
from ortlab.domain import units

# A speed-up below this is not worth more threads.
WORTH_SPEEDUP = 1.05
# CPU time that grows by less than this is not "more".
MORE_CPU = 1.3
# Sharing is uneven by nature; waiting this much is more than that.
WAITING_OF_POOL = 0.4
WAITING_OF_NODES = 0.1
# Changes of latency below this are real only for statistics.
CLEAR_CHANGE = 1.02
# Repacked weights and activations take a few times the weights; an interpreter with ONNX
# Runtime takes about 100 MiB.
ARENA_FACTOR = 4
ARENA_MIN_BYTES = 512 << 20
ARENA_SAVED_SHARE = 0.2
ARENA_SAVED_BYTES = 16 << 20


def _oversubscribed(evidence: Evidence) -> Symptom | None:
    threads, cores = evidence.configuration.threads, evidence.usable_cores
    if evidence.row.latency is None or threads <= cores:
        return None
    fitting = [p for p in twins(evidence, "threads") if p.other.configuration.threads <= cores]
    if any(pair.ci95[0] > 1 for pair in fitting):
        return None  # measured: here the extra threads help
    best = min(fitting, key=lambda pair: pair.ratio, default=None)
    beside = f" {compared(best)}" if best else ""
    return Symptom(
        evidence=f"'{evidence.row.label}' has {threads} intra-op threads on {cores} usable "
        f"cores.{beside}",
        proposal=changed(evidence.configuration, threads=cores),
        gain=max(0.0, 1 - best.ratio) if best else 0.0,
    )


def _thread_contention(evidence: Evidence) -> Symptom | None:
    """Fires on the row with more threads, where they fit the cores and still bring nothing."""
    if evidence.configuration.threads > evidence.usable_cores:
        return None  # that is `oversubscribed`
    fewer = [
        pair
        for pair in twins(evidence, "threads")
        if pair.other.configuration.threads < evidence.configuration.threads
        # other ÷ row: even the upper end of the speed-up by more threads is small
        and pair.ci95[1] < WORTH_SPEEDUP
        and _cpu_growth(evidence, pair) >= MORE_CPU
    ]
    if not fewer:
        return None
    pair = min(fewer, key=lambda p: p.ratio)
    more, less = evidence.configuration.threads, pair.other.configuration.threads
    return Symptom(
        evidence=f"{more} threads are {units.speedup(pair.ratio)} as fast as {less} "
        f"({_interval(pair)}) and use {units.speedup(_cpu_growth(evidence, pair))} the CPU time.",
        proposal=pair.other.configuration,
        gain=max(0.0, 1 - pair.ratio),
    )


def _pool_waiting(evidence: Evidence) -> Symptom | None:
    """What ORT itself recorded of the calling thread: work against waiting."""
    profile, threads = evidence.profile, evidence.configuration.threads
    if profile is None or threads < 2 or not profile.pool_wait_us or not profile.toplevel_us:
        return None
    pooled = profile.pool_wait_us + (profile.pool_run_us or 0)
    of_pool, of_nodes = profile.pool_wait_us / pooled, profile.pool_wait_us / profile.toplevel_us
    if of_pool < WAITING_OF_POOL or of_nodes < WAITING_OF_NODES:
        return None
    proposal = changed(evidence.configuration, threads=threads // 2)
    return Symptom(
        evidence=f"In '{evidence.row.label}' the calling thread waited {units.share(of_pool)} of "
        f"its time in the pool, {units.share(of_nodes)} of the node time.",
        proposal=None if was_asked(evidence, proposal) else proposal,
        gain=of_nodes,
    )


def _spinning(evidence: Evidence) -> Symptom | None:
    if not evidence.configuration.spinning or evidence.row.latency is None:
        return None
    return _spinning_against_off(evidence) or _spinning_against_one_thread(evidence)


def _spinning_against_off(evidence: Evidence) -> Symptom | None:
    for pair in twins(evidence, "spinning"):
        growth = _cpu_growth(evidence, pair)
        if not pair.other.configuration.spinning and growth >= MORE_CPU:
            return Symptom(
                evidence=f"'{evidence.row.label}' uses {_cpu(evidence)} of CPU time per run, "
                f"{units.speedup(growth)} what it uses without spinning. {compared(pair)}",
                proposal=pair.other.configuration,
                gain=max(0.0, 1 - pair.ratio),
            )
    return None


def _spinning_against_one_thread(evidence: Evidence) -> Symptom | None:
    """One thread never spins: what more threads use beyond its CPU time is waiting."""
    proposal = changed(evidence.configuration, spinning=False)
    if was_asked(evidence, proposal):
        return None
    for pair in twins(evidence, "threads"):
        growth = _cpu_growth(evidence, pair)
        if pair.other.configuration.threads == 1 and growth >= MORE_CPU:
            return Symptom(
                evidence=f"'{evidence.row.label}' uses {_cpu(evidence)} of CPU time per run, "
                f"{units.speedup(growth)} what one thread needs for the same work.",
                proposal=proposal,
            )
    return None


def _parallel_slower(evidence: Evidence) -> Symptom | None:
    if evidence.configuration.execution_mode != "parallel":
        return None
    for pair in clearly_faster(
        twins(evidence, "execution_mode", "inter_op_threads"), at_least=CLEAR_CHANGE
    ):
        if pair.other.configuration.execution_mode == "sequential":
            return use_other(pair)
    return None


def _io_binding_idle(evidence: Evidence) -> Symptom | None:
    if not evidence.configuration.io_binding or not evidence.on_cpu_only:
        return None
    for pair in twins(evidence, "io_binding"):
        if pair.ci95[1] < CLEAR_CHANGE:  # without ÷ with: binding gains nothing
            return use_other(pair)
    return None


def _arena_memory(evidence: Evidence) -> Symptom | None:
    row = evidence.row
    if row.latency is None or not evidence.configuration.arena or not row.peak_memory_bytes:
        return None
    against_off = _arena_against_off(evidence, row.peak_memory_bytes)
    if against_off is not None:
        return against_off
    weights = max(evidence.model.parameter_bytes, row.model_bytes or 0)
    limit = max(ARENA_MIN_BYTES, ARENA_FACTOR * weights)
    proposal = changed(evidence.configuration, arena=False, memory_pattern=False)
    if row.peak_memory_bytes <= limit or was_asked(evidence, proposal):
        return None
    return Symptom(
        evidence=f"'{row.label}' takes {units.size(row.peak_memory_bytes)} at its peak for "
        f"{units.size(weights)} of weights.",
        proposal=proposal,
    )


def _arena_against_off(evidence: Evidence, peak_bytes: int) -> Symptom | None:
    for pair in twins(evidence, "arena", "memory_pattern"):
        other = pair.other.peak_memory_bytes
        if pair.other.configuration.arena or other is None:
            continue
        saved = peak_bytes - other
        if saved >= max(ARENA_SAVED_BYTES, ARENA_SAVED_SHARE * peak_bytes):
            return Symptom(
                evidence=f"Without the arena the peak is {units.size(other)} instead of "
                f"{units.size(peak_bytes)}. {compared(pair)}",
                proposal=pair.other.configuration,
            )
    return None


def _interval(pair: Pair) -> str:
    return f"95 % interval {pair.ci95[0]:.2f} to {pair.ci95[1]:.2f}"


def _cpu_growth(evidence: Evidence, pair: Pair) -> float:
    """CPU time per run of this row ÷ the other's; 0 where the system does not tell."""
    mine = evidence.row.latency.cpu_us if evidence.row.latency else None
    theirs = latency(pair.other).cpu_us
    return mine / theirs if mine and theirs else 0.0


def _cpu(evidence: Evidence) -> str:
    return units.time(evidence.row.latency.cpu_us if evidence.row.latency else None)


CHECKS: dict[str, Check] = {
    "oversubscribed": _oversubscribed,
    "thread-contention": _thread_contention,
    "pool-waiting": _pool_waiting,
    "spinning": _spinning,
    "parallel-slower": _parallel_slower,
    "io-binding-idle": _io_binding_idle,
    "arena-memory": _arena_memory,
}
