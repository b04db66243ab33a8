"""Documents that are slow to make and seldom change, such as what this machine can do."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from ortlab.store.database import Database, now
from ortlab.store.schema import report


class Reports:
    """JSON documents by key; the key holds everything the document depends on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> str | None:
        """The document, or None when there is none for this key."""
        with self._database.reading() as connection:
            query = select(report.c.document).where(report.c.key == key)
            return connection.execute(query).scalar()

    def save(self, key: str, document: str) -> None:
        """Keep the document under this key, in place of an older one."""
        values = {"document": document, "made_at": now()}
        with self._database.writing() as connection:
            statement = insert(report).values(key=key, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))
