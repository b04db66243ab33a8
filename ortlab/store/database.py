"""The SQLite file: opened safely, brought up to date, and every failure told as a sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, exc

from ortlab.errors import StoreError
from ortlab.store import schema
from ortlab.store.failures import FULL_HINT, from_os_error

# Before this version SQLite's write-ahead log can corrupt the file in a rare race
# (sqlite.org/wal.html, "WAL-reset bug"); a rollback journal cannot.
SAFE_WAL = (3, 51, 3)
JOURNAL_MODE = "WAL" if sqlite3.sqlite_version_info >= SAFE_WAL else "DELETE"
MIGRATION_WAIT_S = 60.0

_BY_SQLITE_CODE = {
    sqlite3.SQLITE_BUSY: ("locked", "is locked by another process",
                          "Close other programs that have the file open, then try again."),
    sqlite3.SQLITE_LOCKED: ("locked", "is locked by another process",
                            "Close other programs that have the file open, then try again."),
    sqlite3.SQLITE_FULL: ("disk_full", "could not be written: the disk is full", FULL_HINT),
    sqlite3.SQLITE_READONLY: ("read_only", "may not be written",
                              "Check who owns the folder, or set ORTLAB_HOME."),
    sqlite3.SQLITE_PERM: ("read_only", "may not be opened",
                          "Check who owns the folder, or set ORTLAB_HOME."),
    sqlite3.SQLITE_CANTOPEN: ("unreachable", "cannot be opened",
                              "Check that the folder exists and may be written."),
    sqlite3.SQLITE_NOTADB: ("damaged", "is not a database",
                            "Move the file away, or restore one from the backups folder."),
    sqlite3.SQLITE_CORRUPT: ("damaged", "is damaged",
                             "Move the file away, or restore one from the backups folder."),
    sqlite3.SQLITE_IOERR: ("disk_full", "could not be written: the disk is full or failing",
                           FULL_HINT),
}  # fmt: skip
"""Kind, sentence and hint by SQLite's primary result code."""


class Database:
    """Transactions on one file. `reading()` and `writing()` are the only ways in."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the store."""
        with as_store_errors(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are kept together, or not at all.

        The write lock is taken at the start: a transaction that reads first and asks
        for the lock later fails when another was quicker.
        """
        with as_store_errors(self.path), self._engine.connect() as connection:
            connection = connection.execution_options(ortlab_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @cached_property
    def _engine(self) -> Engine:
        with as_store_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._bring_up_to_date()
        return self._new_engine()

    def _new_engine(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self.path}", connect_args={"timeout": self._busy_timeout_s}
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _bring_up_to_date(self) -> None:
        if self._revision() == schema.REVISION:
            return
        lock = FileLock(f"{self.path}.upgrade.lock")
        try:
            with lock.acquire(timeout=MIGRATION_WAIT_S):
                # Another process may have done it while this one waited.
                found = self._revision()
                if found != schema.REVISION:
                    self._upgrade(found)
        except Timeout:
            raise StoreError(
                f"Another process has been upgrading '{self.path}' for over a minute.",
                hint="Wait for it to end, or end it, then try again.",
                kind="locked",
            ) from None

    def _revision(self) -> str | None:
        """The schema the file has; None for a new file. Asked without Alembic, which is slow."""
        if not self.path.exists():
            return None
        with closing(sqlite3.connect(self.path, timeout=self._busy_timeout_s)) as connection:
            tables = {
                row[0]
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            }
            if "alembic_version" not in tables:
                self._refuse_foreign(tables)
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None

    def _refuse_foreign(self, tables: set[str]) -> None:
        if tables:
            raise StoreError(
                f"'{self.path}' is a database, but not one of ortlab's.",
                hint="Point ORTLAB_HOME at another folder.",
                kind="damaged",
            )

    def _upgrade(self, found: str | None) -> None:
        if found is not None and found > schema.REVISION:
            raise StoreError(
                f"'{self.path}' has schema {found}; this ortlab knows schemas up to "
                f"{schema.REVISION}.",
                hint="Install the newer ortlab that wrote it, or point ORTLAB_HOME elsewhere.",
                kind="newer_schema",
            )
        if found is not None:
            self._back_up(found)
        engine = self._new_engine()
        try:
            with engine.connect() as connection:
                migrate(connection.execution_options(ortlab_begin="BEGIN IMMEDIATE"))
        finally:
            engine.dispose()

    def _back_up(self, revision: str) -> None:
        folder = self.path.parent / "backups"
        folder.mkdir(exist_ok=True)
        copy = folder / f"{self.path.stem}-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.sqlite"
        with closing(sqlite3.connect(self.path)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)


def migrate(connection: Connection, *, revision: str = "head") -> None:
    """Bring the schema behind `connection` to `revision`, all of it or nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    with connection.begin():
        command.upgrade(config, revision)


@contextmanager
def as_store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say about `path` into a `StoreError`."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _store_error(error.orig, path) from error
    except sqlite3.Error as error:
        raise _store_error(error, path) from error
    except OSError as error:
        raise from_os_error(error, path) from error


def now() -> str:
    """The time of day in UTC, for people; durations are measured elsewhere."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _store_error(error: BaseException | None, path: Path) -> Exception:
    # The low byte is the primary code; the rest says more about the same thing.
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    if not isinstance(error, Exception):
        return StoreError(f"'{path}' failed for an unknown reason.")
    if code not in _BY_SQLITE_CODE:
        return error
    kind, sentence, hint = _BY_SQLITE_CODE[code]
    return StoreError(f"'{path}' {sentence} ({error}).", hint=hint, kind=kind)


def _prepare(connection: Any, _record: Any) -> None:
    # SQLAlchemy says BEGIN itself, below; sqlite3 must not say its own.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA journal_mode={JOURNAL_MODE}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("ortlab_begin", "BEGIN"))
