"""Tasks of the reader process."""

from __future__ import annotations

from pathlib import Path

from ortlab.analysis.profiles import digest as digests
from ortlab.domain.trace import EVENTS_NAME
from ortlab.worker import traces
from ortlab.worker.protocol import Context, Message


def read(request: Message, context: Context) -> Message:
    """Read the trace at `path` into the folder `into`: its events, and what they mean.

    Request: `path` of the profile, `into`: the folder for `events.parquet` and the files of
    `ortlab.analysis.profiles.digest`.
    Reply: `events`, how many there are.
    """
    into = Path(request["into"])
    context.phase("trace")
    facts = traces.decode(Path(request["path"]), into / EVENTS_NAME)
    context.phase("digest")
    digests.digest(into / EVENTS_NAME, into)
    return {"events": facts.events}


def digest(request: Message, context: Context) -> Message:
    """Work out anew what the stored events at `events` mean, into the folder `into`.

    Reply: empty.
    """
    context.phase("digest")
    digests.digest(Path(request["events"]), Path(request["into"]))
    return {}
