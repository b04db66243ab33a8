"""What a trace means, worked out once and kept beside its events in files that open at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis import traces
from ortlab.analysis.derived import derive
from ortlab.analysis.trust import Evidence
from ortlab.domain.trace import SUMMARY_NAME, SUMMARY_VERSION, TIMELINE_NAME, Profile, Run
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
        return traces.with_twin(found, side.evidence, twin_p50_us=twin_p50_us)


def digest(events: Path, into: Path) -> TraceSummary:
    """What the stored events mean, after writing it to `summary.json` in the folder `into`.

    Raises:
        TraceError: the stored events cannot be read.
    """
    derived = derive(events)
    found = TraceSummary(
        whole=Side(*traces.profile_of(derived, source="", steady=False)),
        steady=Side(*traces.profile_of(derived, source="", steady=True)),
    )
    (into / SUMMARY_NAME).write_bytes(_written(found))
    (into / TIMELINE_NAME).write_bytes(b"")
    return found


def summary(path: Path) -> TraceSummary:
    """The summary that `digest` wrote.

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


def _written(found: TraceSummary) -> bytes:
    bare = replace(found, whole=_with_runs(found.whole, ()), steady=_with_runs(found.steady, ()))
    return msgspec.json.encode(_Stored(bare, found.whole.profile.runs))


def _with_runs(side: Side, runs: tuple[Run, ...]) -> Side:
    return Side(replace(side.profile, runs=runs), replace(side.evidence, runs=runs))
