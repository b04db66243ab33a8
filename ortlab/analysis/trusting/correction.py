"""What the profiler itself adds to the times that it records, and the times without it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from msgspec.structs import replace

from ortlab.domain.trace import Correction, NodeRow, OperatorRow, Profile, Run

# Profiled against unprofiled runs of chains of 20 to 200 nodes, ORT 1.31: 3.5 to 5.4 µs per
# node on a quiet machine, 7.5 on a loaded one.
ESTIMATE_LOW_US = 3.5
ESTIMATE_US = 5.0
ESTIMATE_HIGH_US = 7.5
# Of that, 1.1 µs (one thread) to 2.9 µs (two) were inside the node events: shorter calls may
# be mostly the profiler.
INSIDE_HIGH_US = 3.0
# Fewer steady runs have no median to compare with the twin's.
MIN_RUNS = 3
# A figure that is more than this part correction is no longer an observation.
_MAX_CORRECTED_SHARE = 0.5


def correction(
    runs: Sequence[Run], *, twin_p50_us: float | None, one_thread: bool
) -> Correction | None:
    """What the profiler adds per node event; None for a trace without runs.

    Measured, it is the difference of the median steady run to the unprofiled one. How much of
    it lies inside node times is not recorded, but nodes that run one after the other cannot
    take longer than the whole unprofiled run: what they do is the profiler's.

    Args:
        runs: of the profile.
        twin_p50_us: p50 of the same configuration without the profiler.
        one_thread: node events of a run follow one another on one thread.
    """
    steady = [r for r in runs if not (r.warmup or r.partial) and r.node_count]
    if not steady:
        return None
    if not twin_p50_us or len(steady) < MIN_RUNS:
        return Correction(basis="estimated", per_event_us=ESTIMATE_US, low_us=ESTIMATE_LOW_US,
                          high_us=ESTIMATE_HIGH_US)  # fmt: skip
    events = median(r.node_count for r in steady)
    per_event = max(0.0, (median(r.duration_us for r in steady) - twin_p50_us) / events)
    over = (median(r.node_time_us for r in steady) - twin_p50_us) / events
    inside = min(max(0.0, over), per_event) if one_thread else 0.0
    return Correction(basis="measured", per_event_us=per_event, low_us=per_event,
                      high_us=per_event, inside_us=inside)  # fmt: skip


def corrected(profile: Profile, found: Correction | None) -> Profile:
    """The profile with own times less the profiler's proven part, and with doubtful ones marked.

    No time becomes negative; what could not be taken off is told in the correction.
    """
    nodes = tuple(_node(row, found) for row in profile.nodes)
    if found is None:
        return replace(profile, nodes=nodes, operators=_operators(profile.operators, nodes))
    changed = [(row, row.corrected_self_us) for row in nodes]
    removed = sum(row.self_us - us for row, us in changed if us is not None)
    asked = sum(found.inside_us * row.calls for row, us in changed if us is not None)
    told = replace(found, removed_us=removed, withheld_us=max(0.0, asked - removed))
    return replace(
        profile, nodes=nodes, operators=_operators(profile.operators, nodes), correction=told
    )


def _node(row: NodeRow, found: Correction | None) -> NodeRow:
    if row.time_kind in ("launch", "wait"):
        return replace(row, doubt=row.time_kind)
    if found is None or row.time_kind != "host":
        return row
    if found.basis == "measured":
        us = max(0.0, row.self_us - found.inside_us * row.calls) if found.inside_us else None
        mostly = us is not None and row.self_us - us > _MAX_CORRECTED_SHARE * row.self_us
        return replace(row, corrected_self_us=us, doubt="profiler" if mostly else None)
    short = row.calls > 0 and row.self_us < INSIDE_HIGH_US * row.calls
    return replace(row, doubt="profiler" if short else None)


def _operators(
    operators: Sequence[OperatorRow], nodes: Sequence[NodeRow]
) -> tuple[OperatorRow, ...]:
    """Operators with the sums of their nodes; doubtful when most of their time is."""
    own: dict[tuple[str, str], list[NodeRow]] = {}
    for row in nodes:
        own.setdefault((row.op_type, row.provider), []).append(row)
    return tuple(_operator(row, own.get((row.op_type, row.provider), [])) for row in operators)


def _operator(row: OperatorRow, own: Sequence[NodeRow]) -> OperatorRow:
    told = [n.corrected_self_us for n in own if n.corrected_self_us is not None]
    doubtful = [n for n in own if n.doubt is not None]
    most = sum(n.self_us for n in doubtful) > 0.5 * sum(n.self_us for n in own)
    doubt = max(doubtful, key=lambda n: n.self_us).doubt if doubtful and most else None
    return replace(row, corrected_self_us=sum(told) if told else None, doubt=doubt)
