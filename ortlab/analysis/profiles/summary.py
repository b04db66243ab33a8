"""What a trace means, as it is kept and opened again: as large as the graph, not the recording.

Opening it needs neither numpy nor Arrow, so a command that only shows it starts at once.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.trusting.correction import corrected, correction
from ortlab.analysis.trusting.trust import Evidence, trust
from ortlab.domain.memory import MemoryReport
from ortlab.domain.threads import ThreadReport
from ortlab.domain.trace import SUMMARY_VERSION, Profile, Run
from ortlab.errors import TraceError


class Side(Struct, frozen=True):
    """A profile, and what its trust is judged by."""

    profile: Profile
    evidence: Evidence


class TraceSummary(Struct, frozen=True, kw_only=True):
    """Everything about a trace that is small: as large as its graph, not as its events."""

    version: int = SUMMARY_VERSION
    whole: Side
    """All runs."""
    steady: Side
    """Without warm-up, and without what belongs to no run."""
    memory: MemoryReport | None = None
    """The arena over a run; None for a trace without memory fields."""
    threads: ThreadReport | None = None
    """What the thread pool did; None for a trace that does not tell."""

    def profile(
        self, *, source: str, steady: bool = False, twin_p50_us: float | None = None
    ) -> Profile:
        """The profile under its name, beside the p50 it has without the profiler.

        Args:
            source: name of the file or configuration, for people.
            steady: leave warm-up runs out, and events that belong to no run.
            twin_p50_us: p50 of the same configuration without the profiler, µs.
        """
        side = self.steady if steady else self.whole
        found = replace(side.profile, source=source)
        return with_twin(found, side.evidence, twin_p50_us=twin_p50_us)


def read(path: Path) -> TraceSummary:
    """The summary that `ortlab.analysis.profiles.digest` wrote.

    Raises:
        TraceError: it cannot be read, or another version of ortlab wrote it.
    """
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
    except (OSError, msgspec.MsgspecError) as error:
        raise TraceError(
            f"The summary of this trace cannot be read: {error}", hint="Open the trace again."
        ) from None
    found = stored.summary
    return replace(
        found,
        whole=_with_runs(found.whole, stored.runs),
        steady=_with_runs(found.steady, stored.runs),
    )


class _Stored(Struct, frozen=True):
    """The summary as it is written: a long trace has more runs than anything else, so once."""

    summary: TraceSummary
    runs: tuple[Run, ...]


def written(found: TraceSummary) -> bytes:
    """The summary as bytes for its file."""
    bare = replace(found, whole=_with_runs(found.whole, ()), steady=_with_runs(found.steady, ()))
    return msgspec.json.encode(_Stored(bare, found.whole.profile.runs))


def _with_runs(side: Side, runs: tuple[Run, ...]) -> Side:
    return Side(replace(side.profile, runs=runs), replace(side.evidence, runs=runs))


def with_twin(found: Profile, evidence: Evidence, *, twin_p50_us: float | None) -> Profile:
    """The profile beside the p50 that the same configuration has without the profiler."""
    ratio = _overhead(found.runs, twin_p50_us)
    one_thread = evidence.thread_count == 1 and not evidence.overlapping
    cost = correction(found.runs, twin_p50_us=twin_p50_us, one_thread=one_thread)
    told = trust(replace(evidence, overhead_ratio=ratio, correction=cost))
    beside = replace(found, twin_p50_us=twin_p50_us, overhead_ratio=ratio, trust=told)
    return corrected(beside, cost)


def _overhead(rows: tuple[Run, ...], twin_p50_us: float | None) -> float | None:
    steady = [run.duration_us for run in rows if not (run.warmup or run.partial)]
    if not steady or not twin_p50_us:
        return None
    return median(steady) / twin_p50_us
