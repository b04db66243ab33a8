"""Who measures what next: claims, leases, cancels, and what was lost when a runner died.

A study is claimed in one statement inside `BEGIN IMMEDIATE`, so that it is claimed once.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, select, text, update
from sqlalchemy.sql import ColumnElement

from ortlab.domain.study import Failure, Notice
from ortlab.store.database import Database, now
from ortlab.store.schema import study as table
from ortlab.store.studies import unknown

MAX_ATTEMPTS = 2
CANCELLED = Failure(kind="cancelled", message="The study was cancelled.")

# One statement, so that no other claimer comes between choosing and taking.
_CLAIM = text(
    "UPDATE study SET status = 'running', lease_owner = :owner, lease_until = :until,"
    " attempt = attempt + 1, started_at = :now, phase = 'start', error = NULL,"
    " progress = NULL"
    " WHERE id = (SELECT id FROM study WHERE status = 'queued' ORDER BY number LIMIT 1)"
    " AND status = 'queued' RETURNING id"
)


class Queue:
    """The waiting line, as one process sees it. `owner` names that process."""

    def __init__(self, database: Database, *, lease_s: float, owner: str | None = None) -> None:
        self._database = database
        self._lease_s = lease_s
        self.renew_every_s = lease_s / 3
        self.owner = owner or f"{platform.node()}:{os.getpid()}"

    def claim(self) -> str | None:
        """The id of the study that waited longest, now this process's; None when none waits."""
        values = {"owner": self.owner, "until": time.time() + self._lease_s, "now": now()}
        with self._database.writing() as connection:
            found: str | None = connection.execute(_CLAIM, values).scalar()
        return found

    def renew(self, study_id: str) -> bool:
        """Whether the lease was still ours; it is longer now."""
        mine = (table.c.id == study_id) & (table.c.lease_owner == self.owner)
        with self._database.writing() as connection:
            changed = connection.execute(
                update(table).where(mine).values(lease_until=time.time() + self._lease_s)
            )
        return changed.rowcount == 1

    def waiting(self) -> bool:
        """Whether a study waits to be claimed."""
        with self._database.reading() as connection:
            query = select(table.c.id).where(table.c.status == "queued").limit(1)
            return connection.execute(query).first() is not None

    def cancel(self, study_id: str) -> None:
        """End a waiting study now; ask the runner to end a running one."""
        with self._database.writing() as connection:
            found = connection.execute(
                select(table.c.status).where(table.c.id == study_id)
            ).scalar()
            if found is None:
                raise unknown(study_id)
            if found == "queued":
                _cancel(connection, study_id)
            elif found == "running":
                _set(connection, study_id, cancel_requested=1)

    def cancel_requested(self, study_id: str) -> bool:
        """Whether the runner should end this study."""
        with self._database.reading() as connection:
            query = select(table.c.cancel_requested).where(table.c.id == study_id)
            return bool(connection.execute(query).scalar())

    def recover(self, *, alone: bool) -> list[str]:
        """Studies whose runner died: queued again once, the second time left as lost.

        Args:
            alone: this process holds the runner's lock, so that whoever held a lease
                on this machine is gone, however long the lease still runs.
        """
        dead: ColumnElement[bool] = table.c.lease_until < bindparam("now")
        if alone:
            dead = dead | table.c.lease_owner.startswith(f"{platform.node()}:")
        query = select(table).where(table.c.status == "running", dead)
        with self._database.writing() as connection:
            lost = connection.execute(query, {"now": time.time()}).all()
            for found in lost:
                _recover(connection, found)
        return [found.id for found in lost]


def _recover(connection: Connection, found: Row[Any]) -> None:
    if found.cancel_requested:
        _cancel(connection, found.id)
        return
    phase = f" in phase '{found.phase}'" if found.phase else ""
    sentence = f"The runner ended while measuring{phase}, attempt {found.attempt}"
    if found.attempt < MAX_ATTEMPTS:
        _note(connection, found, f"{sentence}. The study was queued again.")
        _set(connection, found.id, status="queued", lease_owner=None, lease_until=None)
        return
    _note(connection, found, f"{sentence}. It is not tried again.")
    failure = Failure(
        kind="lost",
        message=f"The runner ended twice while measuring this study, last{phase}.",
        hint="See logs/runner.log in ortlab's folder; finished configurations are kept.",
        phase=found.phase or None,
    )
    _end(connection, found.id, status="lost", error=failure)


def _note(connection: Connection, found: Row[Any], sentence: str) -> None:
    notices = msgspec.json.decode(found.notices, type=list[Notice])
    notices.append(Notice("lost", sentence))
    _set(connection, found.id, notices=msgspec.json.encode(notices).decode())


def _cancel(connection: Connection, study_id: str) -> None:
    _end(connection, study_id, status="cancelled", error=CANCELLED)


def _end(connection: Connection, study_id: str, *, status: str, error: Failure) -> None:
    _set(
        connection,
        study_id,
        status=status,
        error=msgspec.json.encode(error).decode(),
        finished_at=now(),
        lease_owner=None,
        lease_until=None,
    )


def _set(connection: Connection, study_id: str, **values: Any) -> None:
    connection.execute(update(table).where(table.c.id == study_id).values(values))
