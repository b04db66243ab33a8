"""Checks of where the work ran: providers, partitions, copies, the session's start."""

from __future__ import annotations

from ortlab.analysis.diagnosing.evidence import (
    Check,
    Evidence,
    Symptom,
    changed,
    node_us_per_run,
    was_asked,
)
from ortlab.domain import units
from ortlab.domain.configuration import CPU, Configuration

# Each change of provider costs a copy or a synchronisation; fewer are normal (ends, shapes).
MANY_PARTITIONS = 8
# Copies below this part of the node time are not worth a change.
COPY_SHARE = 0.05
# Opening is worth a word when a person waits for it, and many runs fit into it.
SLOW_SESSION_US = 1_000_000
SLOW_SESSION_RUNS = 100
SLOW_FIRST_RUN_US = 100_000
SLOW_FIRST_RUN_FACTOR = 10
PREPACK_KEY = "session.prepack.enable_parallel"


def _provider_not_used(evidence: Evidence) -> Symptom | None:
    error = evidence.row.error
    if error is None or error.kind != "provider_unavailable":
        return None
    return Symptom(evidence=f"{evidence.row.label}: {error.message}")


def _provider_fallback(evidence: Evidence) -> Symptom | None:
    """Costly nodes outside the provider asked for first; ORT's deliberate shape nodes are not."""
    placement = evidence.placement
    if placement is None or placement.requested[:1] in ((), (CPU,)):
        return None
    costly = [node for node in placement.fallback if node.severity == "costly"]
    if not costly:
        return None
    times = [node.cost_us for node in costly if node.cost_us is not None]
    spent = f", {units.time(sum(times))} per run" if times else ""
    kinds = ", ".join(sorted({node.op_type for node in costly})[:5])
    return Symptom(
        evidence=f"{len(costly)} of {len(placement.nodes)} nodes did not run on "
        f"{placement.requested[0]}{spent}: {kinds}.",
        gain=_part(sum(times), evidence),
    )


def _many_partitions(evidence: Evidence) -> Symptom | None:
    placement = evidence.placement
    if placement is None or len(placement.partitions) < MANY_PARTITIONS:
        return None
    return Symptom(
        evidence=f"{len(placement.nodes)} nodes run in {len(placement.partitions)} partitions, "
        f"with {len(placement.crossings)} tensors going from one provider to another.",
    )


def _copy_overhead(evidence: Evidence) -> Symptom | None:
    profile = evidence.profile
    if profile is None or not profile.copies.count or not profile.toplevel_us:
        return None
    part = profile.copies.total_us / profile.toplevel_us
    if part < COPY_SHARE:
        return None
    per_run = units.time(node_us_per_run(profile, profile.copies.total_us))
    return Symptom(
        evidence=f"{profile.copies.count} copies take {per_run} per run, {units.share(part)} of "
        "the node time.",
        gain=part,
    )


def _slow_session(evidence: Evidence) -> Symptom | None:
    row = evidence.row
    if row.latency is None or (row.session_init_us or 0) < SLOW_SESSION_US:
        return None
    runs = (row.session_init_us or 0) / max(row.latency.p50_us, 1e-3)
    if runs < SLOW_SESSION_RUNS:
        return None
    return Symptom(
        evidence=f"Opening '{row.label}' takes {units.time(row.session_init_us)}, as long as "
        f"{units.count(round(runs))} runs.",
        proposal=_with_parallel_prepacking(evidence),
    )


def _with_parallel_prepacking(evidence: Evidence) -> Configuration | None:
    entries = {**evidence.configuration.session_config, PREPACK_KEY: "1"}
    proposal = changed(evidence.configuration, session_config=entries)
    # Prepacking is the CPU kernels' work; other providers compile in their own way.
    return proposal if evidence.on_cpu_only and not was_asked(evidence, proposal) else None


def _slow_first_run(evidence: Evidence) -> Symptom | None:
    row = evidence.row
    first = row.first_run_us or 0.0
    if row.latency is None or first < SLOW_FIRST_RUN_US:
        return None
    factor = first / max(row.latency.p50_us, 1e-3)
    if factor < SLOW_FIRST_RUN_FACTOR:
        return None
    return Symptom(
        evidence=f"The first run of '{row.label}' takes {units.time(first)}, "
        f"{units.count(round(factor))} times the median of {units.time(row.latency.p50_us)}."
    )


def _part(us: float, evidence: Evidence) -> float:
    return us / evidence.row.latency.p50_us if evidence.row.latency else 0.0


CHECKS: dict[str, Check] = {
    "provider-not-used": _provider_not_used,
    "provider-fallback": _provider_fallback,
    "many-partitions": _many_partitions,
    "copy-overhead": _copy_overhead,
    "slow-session": _slow_session,
    "slow-first-run": _slow_first_run,
}
