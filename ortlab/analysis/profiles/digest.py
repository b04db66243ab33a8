"""What a trace means, worked out once and kept beside its events in files that open at once."""

from __future__ import annotations

from pathlib import Path

from ortlab.analysis.arenas.memory import memory
from ortlab.analysis.profiles import traces
from ortlab.analysis.profiles.summary import Side, TraceSummary, written
from ortlab.analysis.reading.derived import derive
from ortlab.analysis.threads import threads
from ortlab.analysis.timelines import lanes
from ortlab.domain.trace import SUMMARY_NAME


def digest(events: Path, into: Path) -> TraceSummary:
    """What the stored events mean, after writing `summary.json` and `timeline.bin` into a folder.

    Raises:
        TraceError: the stored events cannot be read.
    """
    derived = derive(events)
    found = TraceSummary(
        whole=Side(*traces.profile_of(derived, source="", steady=False)),
        steady=Side(*traces.profile_of(derived, source="", steady=True)),
        memory=memory(derived),
        threads=threads(derived),
    )
    (into / SUMMARY_NAME).write_bytes(written(found))
    lanes.write(derived, into)
    return found
