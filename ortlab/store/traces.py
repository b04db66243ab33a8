"""Traces read once, in a child process, and kept as events with what they mean beside them."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.sqlite import insert

from ortlab.domain.trace import EVENTS_NAME, SUMMARY_NAME, SUMMARY_VERSION, TIMELINE_NAME
from ortlab.errors import RequestError, TraceError
from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.spawn import READER_PROGRAM, run_task
from ortlab.settings import Settings
from ortlab.store import references, schema
from ortlab.store.artifacts import Artifacts
from ortlab.store.database import Database, now
from ortlab.store.folders import private_folder
from ortlab.store.reading import Reading, Stamp, content_id, stamp_of


class DigestFiles(Struct, frozen=True):
    """A trace as it is kept: its events, their meaning, and its timeline."""

    events: Path
    summary: Path
    timeline: Path


class Traces:
    """ORT profiles: those of studies by digest, those a person opened by id."""

    def __init__(self, database: Database, artifacts: Artifacts, settings: Settings) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._ids: dict[Stamp, str] = {}

    def keep(self, reading: Reading) -> str:
        """The id of a foreign trace, once it is read and kept; the same content has the same id.

        Raises:
            TraceError: it holds nothing of ONNX Runtime.
        """
        if self._known(reading.trace_id):
            reading.stop()
            self._rename(reading.trace_id, reading.path.name)
        else:
            reading.finish(timeout_s=self._settings.trace_timeout_s)
            self._keep(reading)
        self._ids[reading.stamp] = reading.trace_id
        return reading.trace_id

    def kept(self, path: Path) -> str | None:
        """The id of this file when it was opened before, else None; starts no process.

        What did not change since this process opened it is not read again. Otherwise its
        content is looked at, when a trace of its size is kept.
        """
        table = schema.trace
        try:
            stamp = stamp_of(path)
            query = select(table.c.id).where(table.c.source_bytes == stamp[2])
            with self._database.reading() as connection:
                same_size = {str(row.id) for row in connection.execute(query)}
            found = (self._ids.get(stamp) or content_id(path)) if same_size else None
        except (OSError, ValueError):
            # No file, or no path at all: whoever reads it says so.
            return None
        if found not in same_size:
            return None
        self._ids[stamp] = found
        self._rename(found, path.name)
        return found

    def name(self, trace_id: str) -> str:
        """The name of the file that a trace was opened from."""
        return str(self._row(trace_id).name)

    def opened(self, *, limit: int) -> list[tuple[str, str]]:
        """Id and name of the traces that a person opened, the last one first."""
        table = schema.trace
        query = select(table.c.id, table.c.name).order_by(table.c.added_at.desc()).limit(limit)
        with self._database.reading() as connection:
            return [(str(row.id), str(row.name)) for row in connection.execute(query)]

    def files(self, trace_id: str) -> DigestFiles:
        """What is kept of an opened trace.

        Raises:
            RequestError: no trace with this id was opened.
        """
        return self._files(self._row(trace_id).events_digest, owner=f"trace:{trace_id}")

    def files_of(self, trace_digest: str, *, owner: str) -> DigestFiles:
        """What is kept of a trace that a study recorded; read now if it was not before."""
        events = self._decoded(trace_digest)
        if events is None:
            with private_folder(self._settings.home, purpose="trace") as folder:
                path = self._artifacts.path(trace_digest)
                request = {"path": str(path.absolute()), "into": str(folder)}
                self._run("read", request, folder)
                events = self._take(folder, owner=owner)
            with self._database.writing() as connection:
                values = {"trace_digest": trace_digest, "events_digest": events}
                connection.execute(insert(schema.decoded).values(values).on_conflict_do_nothing())
        return self._files(events, owner=owner)

    def _row(self, trace_id: str) -> Row[tuple[str, ...]]:
        table = schema.trace
        with self._database.reading() as connection:
            found = connection.execute(select(table).where(table.c.id == trace_id)).first()
        if found is None:
            raise RequestError(
                f"There is no trace '{trace_id}' in the store.", hint="Open its file again."
            )
        return found

    def _known(self, trace_id: str) -> bool:
        query = select(schema.trace.c.id).where(schema.trace.c.id == trace_id)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def _rename(self, trace_id: str, name: str) -> None:
        """The same content under another name is called as it was opened last."""
        table = schema.trace
        if self.name(trace_id) == name:
            return
        with self._database.writing() as connection:
            connection.execute(update(table).where(table.c.id == trace_id).values(name=name))

    def _keep(self, reading: Reading) -> None:
        values = {
            "id": reading.trace_id,
            "name": reading.path.name,
            "events_digest": self._take(reading.folder, owner=f"trace:{reading.trace_id}"),
            "source_bytes": reading.size,
            "added_at": now(),
        }
        with self._database.writing() as connection:
            connection.execute(insert(schema.trace).values(values).on_conflict_do_nothing())

    def _decoded(self, trace_digest: str) -> str | None:
        table = schema.decoded
        query = select(table.c.events_digest).where(table.c.trace_digest == trace_digest)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def _files(self, events: str, *, owner: str) -> DigestFiles:
        """The files beside these events, worked out anew when another version made them."""
        found = self._digest(events)
        if found is None:
            with private_folder(self._settings.home, purpose="trace") as folder:
                request = {"events": str(self._artifacts.path(events)), "into": str(folder)}
                self._run("digest", request, folder)
                self._take_meaning(folder, events=events, owner=owner)
            found = self._digest(events)
        if found is None:
            raise TraceError("The summary of this trace was not kept.", hint="Open it again.")
        paths = (found.events_digest, found.summary_digest, found.timeline_digest)
        return DigestFiles(*(self._artifacts.path(digest) for digest in paths))

    def _digest(self, events: str) -> Row[tuple[str, ...]] | None:
        table = schema.digest
        query = select(table).where(
            table.c.events_digest == events, table.c.version == SUMMARY_VERSION
        )
        with self._database.reading() as connection:
            return connection.execute(query).first()

    def _take(self, folder: Path, *, owner: str) -> str:
        """The digest of the events that the reader left in its folder; all of it is kept."""
        events = self._artifacts.take(folder / EVENTS_NAME)
        self._take_meaning(folder, events=events, owner=owner)
        return events

    def _take_meaning(self, folder: Path, *, events: str, owner: str) -> None:
        values = {
            "events_digest": events,
            "version": SUMMARY_VERSION,
            "summary_digest": self._artifacts.take(folder / SUMMARY_NAME),
            "timeline_digest": self._artifacts.take(folder / TIMELINE_NAME),
        }
        kept = insert(schema.digest).values(values)
        newer = kept.on_conflict_do_update(index_elements=["events_digest"], set_=values)
        digests = [events, str(values["summary_digest"]), str(values["timeline_digest"])]
        with self._database.writing() as connection:
            table = schema.digest
            told = select(table.c.summary_digest, table.c.timeline_digest)
            before = connection.execute(told.where(table.c.events_digest == events)).first()
            connection.execute(newer)
            references.add(connection, owner, digests)
            outdated = [str(d) for d in before or () if d not in digests]
            references.forget(connection, outdated)
        for digest in outdated:
            self._artifacts.remove(digest, grace_s=0)

    def _run(self, task: str, request: dict[str, str], folder: Path) -> None:
        run_task(
            task,
            request,
            folder=folder,
            timeout_s=self._settings.trace_timeout_s,
            limits=default_limits(memory_bytes=self._settings.memory_limit_bytes),
            program=READER_PROGRAM,
        )
