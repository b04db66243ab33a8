"""Doubts about the file: what it lacks, and where it contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ortlab.analysis.trusting.doubt import NOTE, Doubt, plural, reason
from ortlab.domain.trace import TrustReason
from ortlab.domain.units import share as share_text
from ortlab.domain.units import time as time_text

if TYPE_CHECKING:
    from ortlab.analysis.trusting.trust import Evidence

_MANY_DAMAGED = 0.2
_FEW_DAMAGED = 0.01
_MANY_OUTSIDE = 0.2


def _no_nodes(e: Evidence) -> TrustReason | None:
    if e.node_event_count:
        return None
    return reason(
        "no_nodes", "The file holds no node event, so it tells nothing of operators.", grade="F",
        cost="There are no operators, nodes or shares to show.",
        remedy="Profile with SessionOptions.enable_profiling and at least one run.",
    )  # fmt: skip


def _truncated(e: Evidence) -> TrustReason | None:
    facts = e.facts
    cost = "Totals lack what came after; figures per run are of the runs that are whole."
    if facts.dropped_count is not None:
        limit = f" after {facts.max_events:,}" if facts.max_events else ""
        return reason(
            "truncated",
            f"ONNX Runtime stopped recording{limit} and dropped {facts.dropped_count:,} events.",
            grade="C", cost=cost, remedy="Profile fewer runs: ONNX Runtime keeps a million events.",
        )  # fmt: skip
    if facts.capped_count:
        return reason(
            "capped", f"{facts.capped_count:,} events beyond {facts.events:,} were left out.",
            grade="C", cost=cost, remedy="Profile fewer runs.",
        )  # fmt: skip
    if facts.truncated:
        return reason(
            "cut_off", "The file ends before its list does: the last events are missing.",
            grade="C", cost=cost,
            remedy="Let end_profiling() return before the process ends, and look for a full disk.",
        )  # fmt: skip
    return None


def _cut_off_run(e: Evidence) -> TrustReason | None:
    if not e.tail_count:
        return None
    return reason(
        "partial_run",
        f"A run's end was not recorded: {e.tail_count:,} node event{plural(e.tail_count)} at the "
        "end of the file belong to it.",
        grade="B", cost="They count in totals, but not in figures per run.",
        remedy="Look at steady runs only.",
    )  # fmt: skip


def _partial_runs(e: Evidence) -> TrustReason | None:
    some = [run.index for run in e.runs if run.partial]
    if not some:
        return None
    shown = ", ".join(map(str, some[:5])) + (" …" if len(some) > 5 else "")
    return reason(
        "partial_runs",
        f"Nodes are missing from {len(some)} run{plural(len(some))} ({shown}): failed, replayed "
        "from a captured graph, or damaged in the file.",
        grade="B", cost="They are left out of steady figures.",
    )  # fmt: skip


def _damaged(e: Evidence) -> TrustReason | None:
    count = e.facts.damaged_count
    if not count:
        return None
    part = count / (count + sum(e.facts.category_counts.values()))
    line = f", the first on line {e.facts.damaged_lines[0]}" if e.facts.damaged_lines else ""
    return reason(
        "damaged", f"{count:,} event{plural(count)} ({share_text(part)}) could not be read{line}.",
        grade="B" if part < _FEW_DAMAGED else "C" if part < _MANY_DAMAGED else "E",
        cost="Their time is missing from every sum.",
    )  # fmt: skip


def _recovered(e: Evidence) -> TrustReason | None:
    if not e.facts.recovered_count:
        return None
    return reason(
        "recovered",
        f"{e.facts.recovered_count:,} events were invalid JSON (ONNX Runtime before 1.31 does "
        "not escape names) and were read by their position.",
        grade="B", cost="Their names may be cut in the wrong place; their times are right.",
        remedy="Name the model's nodes without quotes, backslashes and line breaks.",
    )  # fmt: skip


def _folded(e: Evidence) -> TrustReason | None:
    names, shapes = e.facts.folded_count, e.facts.folded_shapes_count
    if not names and not shapes:
        return None
    if names:
        return reason(
            "folded_names", f"{names:,} events lost their names: the file has too many.",
            grade="C", cost="They are counted together, so nodes look fewer and larger.",
        )  # fmt: skip
    return reason(
        "folded_shapes", f"{shapes:,} events lost their shapes: the file has too many.", grade="B",
        cost="They miss from tables by shape, and from FLOPs and bytes.",
    )  # fmt: skip


def _unknown(e: Evidence) -> TrustReason | None:
    known = {"Session", "Node", "Kernel", "Api"}
    categories = sorted(set(e.facts.category_counts) - known)
    fields = sorted(e.facts.unknown_fields)
    if not categories and not fields:
        return None
    parts = [f"categories {', '.join(categories[:4])}"] * bool(categories)
    parts += [f"fields {', '.join(fields[:4])}"] * bool(fields)
    return reason(
        "unknown_content", f"The file has what no known ONNX Runtime writes: {'; '.join(parts)}.",
        grade=NOTE, cost="It is kept and counted, and taken for nothing else.",
    )  # fmt: skip


def _no_runs(e: Evidence) -> TrustReason | None:
    if not e.node_event_count or (e.runs and not e.from_executors):
        return None
    if e.from_executors:
        return reason(
            "runs_from_executors",
            "The file has no model_run event; runs are told by their executors.", grade="B",
            cost="Durations of runs lack ONNX Runtime's own work around the executor.",
        )  # fmt: skip
    return reason(
        "no_runs",
        "The file has no model_run event: times cannot be told per run, nor warm-up apart.",
        grade="D", cost="Every figure may be of warm-up; every call stands for itself.",
        remedy="Profile whole runs, about ten after warm-up.",
    )  # fmt: skip


def _outside(e: Evidence) -> TrustReason | None:
    count = e.outside_count - e.tail_count
    if not e.runs or count <= 0:
        return None
    part = count / e.node_event_count
    return reason(
        "outside_runs",
        f"{count:,} node events ({share_text(part)}) lie in no run: a run's event is missing.",
        grade="B" if part < _MANY_OUTSIDE else "C",
        cost="They count in totals, but not in figures per run.",
        remedy="Look at steady runs only.",
    )  # fmt: skip


def _sessions(e: Evidence) -> TrustReason | None:
    count = max(e.facts.session_count, len({run.session for run in e.runs}))
    if count < 2:
        return None
    return reason(
        "several_sessions",
        f"The file holds {count} sessions. Each has its own clock and its own warm-up.", grade="B",
        cost="Sums and medians mix the sessions; nodes of the same name count as one.",
        remedy="Open the profile of one session by itself.",
    )  # fmt: skip


def _clock(e: Evidence) -> TrustReason | None:
    clock = e.clock
    if clock.back_count:
        return reason(
            "clock_back",
            f"The clock went back {clock.back_count} time{plural(clock.back_count)}, by up to "
            f"{time_text(clock.back_us)}.",
            grade="C", cost="Times around those moments are wrong.",
            remedy="Do not set the machine's time while profiling.",
        )  # fmt: skip
    if clock.overlap_count:
        return reason(
            "overlapping_events",
            f"{clock.overlap_count:,} node events of one thread overlap without being nested.",
            grade="C", cost="Their times cannot all be right: the clock jumped, or threads of "
            "several processes were joined under one number.",
        )  # fmt: skip
    if clock.stall_count:
        return reason(
            "stalls",
            f"{clock.stall_count} time{plural(clock.stall_count)} nothing was recorded inside a "
            f"run, for up to {time_text(clock.stall_us)}.",
            grade="B", cost="Those runs say nothing of the model: the process stood still, or the "
            "clock was set forward.",
        )  # fmt: skip
    return None


def _reordered(e: Evidence) -> TrustReason | None:
    if not e.clock.reordered:
        return None
    return reason(
        "reordered", "The events are not in the order in which ONNX Runtime writes them.",
        grade="B", cost="Clock jumps cannot be seen; nodes that begin together may be taken for "
        "nested in the wrong order.", remedy="Open the file as ONNX Runtime wrote it.",
    )  # fmt: skip


def _no_provider(e: Evidence) -> TrustReason | None:
    nameless = sum(row.calls for row in e.providers if row.provider == "?")
    if not nameless:
        return None
    return reason(
        "no_provider", f"{nameless:,} node event{plural(nameless)} name no provider.", grade="B",
        cost="Whether their times are work or launches cannot be told.",
    )  # fmt: skip


DOUBTS: tuple[Doubt, ...] = (
    _no_nodes, _truncated, _damaged, _no_runs, _clock, _reordered, _partial_runs, _cut_off_run,
    _outside, _sessions, _recovered, _folded, _no_provider, _unknown,
)  # fmt: skip
