"""Who needs which artifact, so that what nobody needs can go."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from ortlab.store.schema import decoded, digest, reference


def add(connection: Connection, owner: str, digests: Iterable[str | None]) -> None:
    """Note that `owner` needs these artifacts."""
    values = [{"digest": d, "owner": owner} for d in digests if d]
    if values:
        connection.execute(insert(reference).values(values).on_conflict_do_nothing())


def drop(connection: Connection, owner: str) -> list[str]:
    """Forget `owner`; the artifacts that nobody needs now."""
    mine = reference.c.owner == owner
    digests = list(connection.execute(select(reference.c.digest).where(mine)).scalars())
    connection.execute(reference.delete().where(mine))
    needed = set(connection.execute(select(reference.c.digest)).scalars())
    orphans = [d for d in digests if d not in needed]
    connection.execute(decoded.delete().where(decoded.c.trace_digest.in_(orphans)))
    connection.execute(digest.delete().where(digest.c.events_digest.in_(orphans)))
    return orphans


def forget(connection: Connection, digests: Iterable[str]) -> None:
    """Note that nobody needs these artifacts any more."""
    connection.execute(reference.delete().where(reference.c.digest.in_(list(digests))))


def needed(connection: Connection) -> set[str]:
    """Every artifact that somebody needs."""
    return set(connection.execute(select(reference.c.digest)).scalars())
