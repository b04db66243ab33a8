"""A runner whose measurement is steered by files, for tests that kill it at a certain point.

    python -m tests.jobs.serving HOME

It keeps the first row of a study, then waits for the file `HOME/go`, and keeps the rest.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from ortlab import settings
from ortlab.domain.study import Progress, Study, StudySpec
from ortlab.jobs import runner
from ortlab.sandbox.outcome import ChildFailedError, Outcome
from tests import records

GO = "go"


def run(
    spec: StudySpec, *, study_id: str, sink: Any, cancel: threading.Event, folder: Path, **_: Any
) -> Study:
    """The rows of a study, the first one now, the others when told to."""
    folder.mkdir()
    rows = [records.row(c) for c in spec.configurations]
    sink.row(rows[0])
    sink.progress(Progress(study_id=study_id, status="running", phase="measuring"))
    home = folder.parents[2]
    while not (home / GO).exists():
        if cancel.wait(0.02):
            raise ChildFailedError("The study was cancelled.", outcome=Outcome.CANCELLED)
    for row in rows[1:]:
        sink.row(row)
    return msgspec.structs.replace(records.study(*rows), id=study_id, spec=spec)


def main() -> None:
    """Serve the home given as the only argument, leaving as soon as nothing is queued."""
    home = settings.load(sys.argv[1]).model_copy(update={"runner_idle_s": 0.5})
    started = time.monotonic()
    runner.serve(home, run=run)
    sys.stderr.write(f"served for {time.monotonic() - started:.1f} s\n")


if __name__ == "__main__":
    main()
