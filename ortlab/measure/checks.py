"""What follows the turns: are the outputs still right, and where did the time go."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from ortlab.domain.accuracy import Accuracy
from ortlab.domain.configuration import Configuration
from ortlab.domain.study import ConfigurationResult, Notice
from ortlab.errors import OrtlabError
from ortlab.measure.prepare import Prepared, plugins_of
from ortlab.measure.rounds import Bounds
from ortlab.measure.sink import Sink
from ortlab.sandbox.spawn import run_task

# A profile holds this much running time, within these bounds of runs.
PROFILE_US = 2_000_000
PROFILE_RUNS = (3, 50)


def accuracies(
    prepared: Prepared,
    baseline: Configuration,
    *,
    folder: Path,
    bounds: Bounds,
    cancel: threading.Event,
) -> dict[str, Accuracy]:
    """Every configuration's outputs against the baseline's, on the same feeds."""
    found: dict[str, Accuracy] = {}
    reference = prepared.rehearsals[baseline.id].outputs
    for identifier, rehearsal in prepared.rehearsals.items():
        same_feeds = prepared.feeds[identifier] == prepared.feeds[baseline.id]
        if not same_feeds:
            note = "Other dimensions than the baseline: outputs cannot be compared."
            found[identifier] = Accuracy(note=note)
            continue
        try:
            reply = run_task(
                "compare",
                {"baseline": str(reference), "candidate": str(rehearsal.outputs)},
                folder=folder / f"compare-{identifier}",
                timeout_s=bounds.run_s,
                cancel=cancel,
            )
            found[identifier] = msgspec.convert(reply, Accuracy)
        except OrtlabError as error:
            if error.kind == "cancelled":
                raise
            note = f"Outputs could not be compared: {error.message}"
            found[identifier] = Accuracy(note=note)
    return found


def profiled(
    row: ConfigurationResult,
    prepared: Prepared,
    *,
    folder: Path,
    bounds: Bounds,
    sink: Sink,
    cancel: threading.Event,
) -> ConfigurationResult:
    """The row with its trace, assignment and optimized graph; a failure becomes a notice."""
    assert row.latency is not None
    few, many = PROFILE_RUNS
    runs = max(few, min(many, int(PROFILE_US / max(row.latency.p50_us, 1.0))))
    try:
        reply = run_task(
            "profile",
            {
                "model": str(prepared.models[row.id]),
                "configuration": msgspec.to_builtins(row.configuration),
                "feeds": str(prepared.feeds[row.id]),
                "plugins": plugins_of(row.configuration),
                "runs": runs,
                "optimized": True,
            },
            folder=folder / f"profile-{row.id}",
            timeout_s=bounds.open_s + bounds.run_s * 2,
            limits=bounds.limits,
            cancel=cancel,
        )
    except OrtlabError as error:
        if error.kind == "cancelled":
            raise
        notice = Notice("no-profile", f"No profile could be recorded: {error.message}")
        return msgspec.structs.replace(row, warnings=(*row.warnings, notice))
    return _with_profile(row, reply, sink)


def _with_profile(
    row: ConfigurationResult, reply: dict[str, object], sink: Sink
) -> ConfigurationResult:
    """The row with the files of one profiled run kept."""
    trace, optimized = reply["trace"], reply["optimized"]
    assignment = reply["assignment"]
    return msgspec.structs.replace(
        row,
        trace_artifact=sink.artifact(Path(str(trace))) if trace else None,
        optimized_artifact=sink.artifact(Path(str(optimized))) if optimized else None,
        assignment=msgspec.convert(assignment, tuple[tuple[str, str, str], ...] | None),
        placement_log=str(reply["log"]),
    )
