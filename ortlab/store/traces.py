"""Traces decoded once, in a worker, and kept as Parquet."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from ortlab.errors import RequestError, TraceError
from ortlab.sandbox.spawn import run_task
from ortlab.settings import Settings
from ortlab.store import references, schema
from ortlab.store.artifacts import Artifacts
from ortlab.store.database import Database, now
from ortlab.store.folders import private_folder

EVENTS_NAME = "events.parquet"


class Traces:
    """ORT profiles: those of studies by digest, those a person opened by id."""

    def __init__(self, database: Database, artifacts: Artifacts, settings: Settings) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings

    def open(self, path: Path) -> str:
        """The id of a foreign trace, kept decoded; the same content has the same id.

        Raises:
            TraceError: it is not there, too large, or holds nothing of ONNX Runtime.
        """
        size, content = _size_and_hash(path, limit=self._settings.trace_limit_bytes)
        trace_id = base64.b32encode(content).decode().lower()[:10]
        if not self._known(trace_id):
            self._keep(trace_id, path, size)
        return trace_id

    def events(self, trace_id: str) -> tuple[str, Path]:
        """The name of an opened trace, and its decoded events.

        Raises:
            RequestError: no trace with this id was opened.
        """
        table = schema.trace
        with self._database.reading() as connection:
            found = connection.execute(select(table).where(table.c.id == trace_id)).first()
        if found is None:
            raise RequestError(
                f"There is no trace '{trace_id}' in the store.", hint="Open its file again."
            )
        return found.name, self._artifacts.path(found.events_digest)

    def events_of(self, trace_digest: str, *, owner: str) -> Path:
        """The decoded events of a trace that a study recorded; decoded now if not before."""
        digest = self._decoded(trace_digest)
        if digest is None:
            digest = self._decode(self._artifacts.path(trace_digest))
            with self._database.writing() as connection:
                values = {"trace_digest": trace_digest, "events_digest": digest}
                connection.execute(insert(schema.decoded).values(values).on_conflict_do_nothing())
                references.add(connection, owner, [digest])
        return self._artifacts.path(digest)

    def _known(self, trace_id: str) -> bool:
        query = select(schema.trace.c.id).where(schema.trace.c.id == trace_id)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def _keep(self, trace_id: str, path: Path, size: int) -> None:
        values = {
            "id": trace_id,
            "name": path.name,
            "events_digest": self._decode(path),
            "source_bytes": size,
            "added_at": now(),
        }
        with self._database.writing() as connection:
            connection.execute(insert(schema.trace).values(values).on_conflict_do_nothing())
            references.add(connection, f"trace:{trace_id}", [str(values["events_digest"])])

    def _decoded(self, trace_digest: str) -> str | None:
        table = schema.decoded
        query = select(table.c.events_digest).where(table.c.trace_digest == trace_digest)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def _decode(self, path: Path) -> str:
        with private_folder(self._settings.home, purpose="trace") as folder:
            out = folder / EVENTS_NAME
            request = {"path": str(path.absolute()), "out": str(out)}
            run_task("trace", request, folder=folder, timeout_s=self._settings.trace_timeout_s)
            return self._artifacts.take(out)


def _size_and_hash(path: Path, *, limit: int) -> tuple[int, bytes]:
    try:
        if not path.is_file():
            raise TraceError(
                f"'{str(path)[:300]}' is not a file.", hint="Give the .json that ORT wrote."
            )
        size = path.stat().st_size
        if size > limit:
            raise _too_large(path, size, limit)
        with path.open("rb") as stream:
            return size, hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise TraceError(
            f"'{str(path)[:300]}' cannot be read: {error.strerror}.",
            hint="Check its name and its rights.",
        ) from None


def _too_large(path: Path, size: int, limit: int) -> TraceError:
    return TraceError(
        f"'{path.name}' has {size:,} bytes; the limit for a trace is {limit:,}.",
        hint="Profile fewer runs, or raise ORTLAB_TRACE_LIMIT_BYTES.",
        kind="trace_too_large",
    )
