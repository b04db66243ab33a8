"""How far a profile can be believed: a grade, and every reason that lowers it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ortlab.analysis.trusting import doubts_of_file, doubts_of_times
from ortlab.analysis.trusting.claims import ASYNC_PROVIDERS
from ortlab.domain.trace import (
    ClockFacts,
    Correction,
    DeviceFacts,
    ProviderRow,
    Run,
    TraceFacts,
    Trust,
    TrustReason,
)

GRADES = "ABCDEF"
MEANING = {
    "A": "Believe the times as they are.",
    "B": "Believe the order of nodes and their shares; read small differences with care.",
    "C": "Believe what is large; small nodes and small differences may be wrong.",
    "D": "The file proves which nodes ran and how often, but its times do not rank them.",
    "E": "Much of the recording is missing or wrong: use it only to see what ran.",
    "F": "Nothing about where the time goes can be learned from this file.",
}


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
    """Median profiled run ÷ unprofiled p50; None without the twin."""
    tail_count: int = 0
    """Node events after the last run: a run whose end was not recorded."""
    drift: float = 0.0
    """Last level of run durations ÷ first - 1, where they went one way; else 0."""
    from_executors: bool = False
    """Runs were told by their executors, because the file has no `model_run`."""
    clock: ClockFacts = ClockFacts()
    device: DeviceFacts | None = None
    correction: Correction | None = None

    @property
    def steady(self) -> list[Run]:
        """Whole runs that are no warm-up."""
        return [run for run in self.runs if not (run.warmup or run.partial)]

    @property
    def judged(self) -> list[Run]:
        """The steady runs, or all of them where none is."""
        return self.steady or list(self.runs)


def trust(evidence: Evidence) -> Trust:
    """The worst grade that any doubt leaves, and all doubts, worst first."""
    doubts = (*doubts_of_times.DOUBTS, *doubts_of_file.DOUBTS)
    reasons = [found for doubt in doubts if (found := doubt(evidence)) is not None]
    reasons.sort(key=lambda reason: reason.grade, reverse=True)
    grade = max((reason.grade for reason in reasons), default=GRADES[0])
    return Trust(grade, tuple(reasons))


def async_providers(providers: Sequence[ProviderRow]) -> tuple[str, ...]:
    """Those of the providers whose node times are launch times."""
    return tuple(row.provider for row in providers if row.provider in ASYNC_PROVIDERS)


__all__ = ["GRADES", "MEANING", "Evidence", "Trust", "TrustReason", "async_providers", "trust"]
